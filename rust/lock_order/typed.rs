// SPDX-License-Identifier: GPL-2.0

//! Locks whose type carries their order; each lock, trylock and unlock is recorded.
//!
//! They wrap the `kernel` crate's locks. A lock that is free is taken and recorded; one that is not
//! is recorded as waited for first, so a wrong order is in the log even if the thread never comes
//! back. An unlock is recorded before the lock is let go. All locks of one order are one class to lockdep.
#![deny(unsafe_code)]

use super::{
    classes::{
        self,
        Class, //
    },
    record,
    rules::flags::{
        EXCLUSIVE,
        WAITING, //
    }, //
};
use crate::abstractions::mutex;
use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::lock::{
        self,
        mutex::MutexBackend,
        spinlock::SpinLockBackend,
        Backend, //
    }, //
};

/// A sleeping lock of order `O`. See [`kernel::sync::Mutex`].
pub(crate) type Mutex<T, O> = Tracked<T, MutexBackend, O>;
/// What holding a [`Mutex`] gives access through.
pub(crate) type MutexGuard<'a, T, O> = Guard<'a, T, MutexBackend, O>;
/// A spinning lock of order `O`; interrupts stay on. See [`kernel::sync::SpinLock`].
pub(crate) type SpinLock<T, O> = Tracked<T, SpinLockBackend, O>;
/// A lock of the kernel with an order of the module's hierarchy.
#[pin_data]
pub(crate) struct Tracked<T, B: Backend, O: Class> {
    #[pin]
    inner: lock::Lock<T, B>,
    _order: PhantomData<fn() -> O>,
}

impl<T, B: Backend, O: Class> Tracked<T, B, O> {
    const USE: u32 = record::packed(O::ORDER, EXCLUSIVE);

    /// Constructs the lock.
    pub(crate) fn new(value: impl PinInit<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- lock::Lock::new(value, O::CLASS_NAME, O::class()),
            _order: PhantomData,
        })
    }

    /// Takes the lock, waiting for it. The thread must have a context.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Guard<'_, T, B, O> {
        let inner = if record::is_tracking() {
            self.lock_recorded()
        } else {
            self.inner.lock()
        };
        Guard::new(inner, self)
    }

    #[inline(always)]
    fn lock_recorded(&self) -> lock::Guard<'_, T, B> {
        // Lockdep learns no order from a trylock.
        if !cfg!(CONFIG_LOCKDEP) {
            if let Some(inner) = self.inner.try_lock() {
                record::record_lock_plain(classes::hierarchy(), self.address(), Self::USE);
                return inner;
            }
        }
        self.wait()
    }

    #[cold]
    fn wait(&self) -> lock::Guard<'_, T, B> {
        let (hierarchy, address) = (classes::hierarchy(), self.address());
        record::record_lock(hierarchy, address, O::ORDER, EXCLUSIVE | WAITING);
        let inner = self.inner.lock();
        record::record_acquired(hierarchy, address, O::ORDER);
        inner
    }

    /// Takes the lock if that needs no waiting; may be out of order.
    #[inline(always)]
    #[must_use = "if unused, the lock will be immediately unlocked"]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T, B, O>> {
        let inner = self.inner.try_lock()?;
        if record::is_tracking() {
            record::record_trylock_plain(classes::hierarchy(), self.address(), Self::USE);
        }
        Some(Guard::new(inner, self))
    }

    pub(super) fn address(&self) -> *const c_void {
        core::ptr::from_ref(self).cast()
    }
}

impl<T, O: Class> Mutex<T, O> {
    /// Takes the lock, waiting for it until a fatal signal arrives: then it returns `EINTR`. The
    /// thread must have a context.
    #[inline(always)]
    pub(crate) fn lock_killable(&self) -> Result<MutexGuard<'_, T, O>> {
        if record::is_tracking() {
            record::record_lock_plain(classes::hierarchy(), self.address(), Self::USE);
        }
        match mutex::lock_killable(&self.inner) {
            Ok(inner) => Ok(Guard::new(inner, self)),
            Err(e) => {
                if record::is_tracking() {
                    let lock = self.address();
                    record::record_unlock_plain(classes::hierarchy(), lock, Self::USE);
                }
                Err(e)
            }
        }
    }
}

impl<T: Unpin, O: Class> Mutex<T, O> {
    /// Runs `f` with what it protects. The mutex is borrowed exclusively, so it is free, and neither waits for anything nor
    /// is waited for: there is no order to record. `None`: a guard of it was leaked.
    #[inline]
    pub(crate) fn alone<R>(self: Pin<&mut Self>, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut value = self.into_ref().get_ref().inner.try_lock()?;
        Some(f(&mut value))
    }
}

/// Holds a [`Tracked`] lock; dropping it unlocks.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub(crate) struct Guard<'a, T, B: Backend, O: Class> {
    inner: lock::Guard<'a, T, B>,
    lock: &'a Tracked<T, B, O>,
    /// Whether it is in no record of the thread: see [`Guard::forget`].
    forgotten: bool,
}

impl<'a, T, B: Backend, O: Class> Guard<'a, T, B, O> {
    #[inline(always)]
    fn new(inner: lock::Guard<'a, T, B>, lock: &'a Tracked<T, B, O>) -> Self {
        Self {
            inner,
            lock,
            forgotten: false,
        }
    }

    /// Takes the lock out of what the thread is recorded to hold, so that its context can end before the
    /// lock is released. It must be the last that the thread has taken.
    #[inline]
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
        if record::is_tracking() {
            let lock = self.lock.address();
            record::record_unlock_plain(classes::hierarchy(), lock, Tracked::<T, B, O>::USE);
        }
    }

    /// Undoes [`Guard::forget`], in a later context of the same thread.
    #[inline]
    pub(crate) fn remember(&mut self) {
        self.forgotten = false;
        if record::is_tracking() {
            let lock = self.lock.address();
            record::record_trylock_plain(classes::hierarchy(), lock, Tracked::<T, B, O>::USE);
        }
    }
}

impl<T, B: Backend, O: Class> Drop for Guard<'_, T, B, O> {
    #[inline(always)]
    fn drop(&mut self) {
        // `inner`, dropped next, unlocks.
        if record::is_tracking() && !self.forgotten {
            let lock = self.lock.address();
            record::record_unlock_plain(classes::hierarchy(), lock, Tracked::<T, B, O>::USE);
        }
    }
}

impl<T, B: Backend, O: Class> Deref for Guard<'_, T, B, O> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Unpin, B: Backend, O: Class> DerefMut for Guard<'_, T, B, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// Runs `f`, which takes and releases a lock of order `O` that is not one of the types here.
pub(super) fn recorded<O: Class, R>(f: impl FnOnce() -> R) -> R {
    let lock = core::ptr::null();
    record::record_lock(classes::hierarchy(), lock, O::ORDER, EXCLUSIVE);
    let result = f();
    record::record_unlock(classes::hierarchy(), lock, O::ORDER, EXCLUSIVE);
    result
}
