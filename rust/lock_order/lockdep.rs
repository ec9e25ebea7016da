// SPDX-License-Identifier: GPL-2.0

//! Teaches lockdep the declared order, by taking one lock of each order once, outermost first.
//!
//! Lockdep by itself only knows the orders that have run, and reports an inversion when both have.
//! Primed, it reports the first inversion, even if the right order never ran. After
//! `dma_resv_lockdep()`.
//!
//! A task's `mmap_lock` is taken first, as page faults of mapped objects do: from then on lockdep
//! reports a thread that touches user memory while it holds a lock of the module.
#![deny(unsafe_code)]

use super::{
    classes::{
        self,
        Class, //
    },
    context,
    record::with_context,
    typed::{
        recorded,
        Mutex,
        SpinLock, //
    }, //
};
use crate::abstractions::{
    mistake,
    uaccess, //
};
use kernel::prelude::*;

/// Makes a lock of some order, to be taken once. May sleep.
pub(super) type Primer = fn() -> Result<KBox<dyn Primed>>;

/// A lock of some order.
pub(super) trait Primed {
    /// Runs `inner` while the lock is held.
    fn hold(&self, inner: &mut dyn FnMut());
}

impl<O: Class> Primed for Pin<KBox<Mutex<(), O>>> {
    fn hold(&self, inner: &mut dyn FnMut()) {
        let _held = self.lock();
        inner();
    }
}

impl<O: Class> Primed for Pin<KBox<SpinLock<(), O>>> {
    fn hold(&self, inner: &mut dyn FnMut()) {
        let _held = self.lock();
        inner();
    }
}

/// The sequence in which threads look at other threads' contexts, which acts like a lock.
struct Turn<O>(core::marker::PhantomData<O>);

impl<O: Class> Primed for Turn<O> {
    fn hold(&self, inner: &mut dyn FnMut()) {
        recorded::<O, _>(|| {
            context::any_held(|_| false);
            inner();
        });
    }
}

/// The [`Primer`] of an order of mutexes.
pub(super) fn mutex<O: Class + 'static>() -> Result<KBox<dyn Primed>> {
    let lock = KBox::pin_init(Mutex::<(), O>::new(()), GFP_KERNEL)?;
    Ok(KBox::new(lock, GFP_KERNEL)?)
}

/// The [`Primer`] of an order of spinlocks.
pub(super) fn spinlock<O: Class + 'static>() -> Result<KBox<dyn Primed>> {
    let lock = KBox::pin_init(SpinLock::<(), O>::new(()), GFP_KERNEL)?;
    Ok(KBox::new(lock, GFP_KERNEL)?)
}

/// The [`Primer`] of the turn to look at contexts.
pub(super) fn turn<O: Class + 'static>() -> Result<KBox<dyn Primed>> {
    Ok(KBox::new(Turn::<O>(core::marker::PhantomData), GFP_KERNEL)?)
}

/// Makes the list of [`Primer`]s of the declaration.
macro_rules! primers {
    ($name:literal {
        $($(#[$meta:meta])* $kind:ident $([$nestable:ident])? $order:ident,)*
    }) => {
        /// One for each order, outermost first.
        const PRIMERS: &[Primer] = &[$($kind::<classes::$order>),*];
    };
}

crate::own_lock_orders!(primers);

/// Takes the locks, each while the ones before are held.
fn hold_all(locks: &[KBox<dyn Primed>]) {
    if let Some((first, rest)) = locks.split_first() {
        first.hold(&mut || hold_all(rest));
    }
}

/// Takes the locks. Process context, may sleep; nothing held. Does nothing without lockdep.
pub(super) fn prime() -> Result {
    if !cfg!(CONFIG_LOCKDEP) {
        return Ok(());
    }
    let mut locks = KVec::with_capacity(PRIMERS.len(), GFP_KERNEL)?;
    for primer in PRIMERS {
        locks.push(primer()?, GFP_KERNEL)?;
    }
    with_context(|| uaccess::with_memory_locked(|| hold_all(&locks)));
    // In a build that is broken on purpose: the first inversion, for lockdep to find.
    if mistake::is_made(c"lockdep") {
        with_context(|| {
            if let [_, reservation, device_list, ..] = locks.as_slice() {
                device_list.hold(&mut || reservation.hold(&mut || {}));
            }
        });
    }
    Ok(())
}
