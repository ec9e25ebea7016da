// SPDX-License-Identifier: GPL-2.0

//! Lock-order tracking: finds a wrong order of taking locks the first time it is used, whether or
//! not two threads ever deadlock over it.
//!
//! - [`classes`]: the one hierarchy that all locks of this module belong to.
//! - [`typed`]: `Mutex` and `SpinLock` whose type carries the order; nothing else is used here.
//! - [`track`]: the operations; their fast paths are in `ffi/lock_order.rs`, their rules in
//!   [`crate::lock_order::rules::held`].
//! - [`report`]: what happens to violations; [`records`] keeps the last ones for [`debugfs`], and
//!   [`trace`] has the tracepoints.
//! - [`sanity`]: the suite that user space can run.
//!
//! Other drivers use the same through `reeve/lock_order.h`. After NVIDIA UVM's `uvm_lock.c` and
//! `uvm_thread_context.c`.

mod api;
pub(crate) mod classes;
mod context;
pub(crate) mod debugfs;
pub(crate) mod hierarchy;
mod lockdep;
mod print;
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
#[cfg(reeve_kunit)]
mod typed_rwsem;

use self::hierarchy::{
    Hierarchy,
    Names, //
};
pub(crate) use self::{
    api::record::with_context,
    hierarchy::total_violations, //
};
use kernel::prelude::*;

/// The tracker's own part of the module's state: dropping it unregisters what it registered.
pub(crate) struct LockOrder {
    sanity: Registered,
    /// Dropped last: the module's locks are of this hierarchy.
    _own: Registered,
}

impl LockOrder {
    /// Registers the module's hierarchy and the sanity suite's.
    ///
    /// # Safety
    ///
    /// Must be called once per load, before any lock of the module is used, and be dropped after
    /// the last one was.
    pub(crate) unsafe fn new() -> Result<Self> {
        // SAFETY: By the contract.
        unsafe { context::init() };
        let own = classes::register()?;
        let sanity = sanity::register()?;
        lockdep::prime()?;
        // The graph is to show what drivers did, not this.
        own.0.forget_taken();
        Ok(Self { sanity, _own: own })
    }

    /// The hierarchy that the sanity suite runs on.
    pub(crate) fn sanity_hierarchy(&self) -> &'static Hierarchy {
        self.sanity.0
    }
}

/// A hierarchy registered by the module itself; dropping it unregisters it.
pub(crate) struct Registered(&'static Hierarchy);

impl Registered {
    /// Registers a hierarchy with these orders, outermost first. May sleep.
    ///
    /// A quiet one's violations are not logged and count for it alone.
    fn new(name: &str, orders: &[&str], quiet: bool) -> Result<Self> {
        let names = Names::new(name.as_bytes(), orders.iter().map(|order| order.as_bytes()))?;
        Hierarchy::register(KBox::new(names, GFP_KERNEL)?, quiet).map(Self)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Fails only if it is still held; then there is nothing better to do than to leave it.
        let _ = self.0.unregister(|_| false);
    }
}
