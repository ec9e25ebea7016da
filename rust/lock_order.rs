// SPDX-License-Identifier: GPL-2.0

//! Lock-order tracking: finds a wrong order of taking locks the first time it is used, whether or
//! not two threads ever deadlock over it.
//!
//! - [`classes`]: the one hierarchy that all locks of this module belong to.
//! - [`typed`]: `Mutex` and `SpinLock` whose type carries the order; nothing else is used here.
//! - [`track`]: the operations; their fast paths are in `api.rs`, their rules in
//!   [`crate::lock_order::rules::held`].
//! - [`report`]: what happens to violations; [`records`] keeps the last ones for [`debugfs`], and
//!   [`trace`] has the tracepoints.
//! - [`sanity`]: the suite that user space can run.
//!
//! Other drivers use the same through `reeve/lock_order.h`. After NVIDIA UVM's `uvm_lock.c` and
//! `uvm_thread_context.c`.

mod across;
mod api;
pub(crate) mod classes;
mod context;
pub(crate) mod debugfs;
pub(crate) mod hierarchy;
mod lockdep;
mod print;
pub(crate) mod record;
mod records;
mod report;
#[allow(
    unreachable_pub,
    reason = "host tests see these files as a crate's public API"
)]
#[allow(
    dead_code,
    reason = "what only one of the two worlds uses stays with the rest"
)]
pub(crate) mod rules;
pub(crate) mod sanity;
#[cfg(reeve_kunit)]
mod tests;
pub(crate) mod trace;
pub(crate) mod track;
pub(crate) mod typed;

use self::hierarchy::{
    Hierarchy,
    Registered, //
};
pub(crate) use self::{
    hierarchy::total_violations,
    record::with_context, //
};
use kernel::prelude::*;

/// The tracker's own part of the module's state: dropping it unregisters what it registered.
pub(crate) struct LockOrder {
    /// Dropped first: it uses the module's hierarchy.
    _modules: print::ModuleWatch,
    sanity: Registered,
    /// Dropped after all others: the module's locks are of this hierarchy.
    _own: Registered,
    _others: Others,
    /// Dropped last: everything above gives its contexts back.
    _stock: context::Stock,
}

/// The hierarchies of drivers that bind at run time: they are dropped with the module.
struct Others;

impl Drop for Others {
    fn drop(&mut self) {
        hierarchy::unregister_all();
    }
}

impl LockOrder {
    /// Registers the module's hierarchy and the sanity suite's.
    ///
    /// # Safety
    ///
    /// Must be called once per load, before any lock of the module is used, and be dropped after
    /// the last one was.
    pub(crate) unsafe fn new() -> Result<Self> {
        // SAFETY: Called once per load and before any lock is used, by this function's contract, so
        // also before anything records.
        let stock = unsafe { context::init() }?;
        let own = classes::register()?;
        let sanity = sanity::register()?;
        lockdep::prime()?;
        // The graph is to show what drivers did, not this.
        own.hierarchy().forget_taken();
        Ok(Self {
            _modules: print::ModuleWatch::new(),
            sanity,
            _own: own,
            _others: Others,
            _stock: stock,
        })
    }

    /// The hierarchy that the sanity suite runs on.
    pub(crate) fn sanity_hierarchy(&self) -> &'static Hierarchy {
        self.sanity.hierarchy()
    }
}
