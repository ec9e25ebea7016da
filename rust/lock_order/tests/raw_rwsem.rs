// SPDX-License-Identifier: GPL-2.0

//! A reader-writer semaphore around data; the `kernel` crate has none.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// Data that many tasks may read or one may write. May sleep.
///
/// # Invariants
///
/// `sem` is an initialised semaphore.
#[pin_data]
pub(crate) struct RwSem<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    #[pin]
    _pin: PhantomPinned,
    data: UnsafeCell<T>,
}

// SAFETY: A semaphore that is not held belongs to no task, and while it is held it is borrowed and
// can't be sent; the data can be sent.
unsafe impl<T: Send> Send for RwSem<T> {}
// SAFETY: The semaphore may be used by several tasks at once. Readers share `&T`, which needs
// `Sync`, and a writer may take the value out, which needs `Send`.
unsafe impl<T: Send + Sync> Sync for RwSem<T> {}

impl<T> RwSem<T> {
    /// Makes a semaphore of the lock class `key`.
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `__init_rwsem()` wants a place to write to, which `slot` is, that stays where
            // it is, as it is pinned, and a name and a key that live as long: they are static.
            // INVARIANT: The semaphore is initialised here.
            sem <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr())
            }),
            _pin: PhantomPinned,
            data: UnsafeCell::new(data),
        })
    }

    /// Acquires it for reading. May sleep.
    #[inline(always)]
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: The call wants an initialised semaphore, which `sem` is by the type invariant.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard(self, NotThreadSafe)
    }

    /// Tries to acquire it for reading, without sleeping.
    #[inline(always)]
    pub(crate) fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        // SAFETY: The call wants an initialised semaphore, which `sem` is by the type invariant.
        (unsafe { bindings::down_read_trylock(self.sem.get()) } != 0)
            .then(|| ReadGuard(self, NotThreadSafe))
    }

    /// Acquires it for writing. May sleep.
    #[inline(always)]
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: The call wants an initialised semaphore, which `sem` is by the type invariant.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard(self, NotThreadSafe)
    }

    /// Tries to acquire it for writing, without sleeping.
    #[inline(always)]
    pub(crate) fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: The call wants an initialised semaphore, which `sem` is by the type invariant.
        (unsafe { bindings::down_write_trylock(self.sem.get()) } != 0)
            .then(|| WriteGuard(self, NotThreadSafe))
    }
}

/// Access to the data for reading; dropping it releases the semaphore.
///
/// # Invariants
///
/// The current task holds the semaphore for reading.
#[must_use = "the semaphore is released when the guard is dropped"]
pub(crate) struct ReadGuard<'a, T>(&'a RwSem<T>, NotThreadSafe);

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the semaphore is held for reading, so only readers access
        // the data while the guard exists.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `up_read()` wants a semaphore that the current task holds for reading: by the
        // type invariant it does. The guard can't be used any more.
        unsafe { bindings::up_read(self.0.sem.get()) };
    }
}

/// Access to the data for writing; dropping it releases the semaphore.
///
/// # Invariants
///
/// The current task holds the semaphore for writing.
#[must_use = "the semaphore is released when the guard is dropped"]
pub(crate) struct WriteGuard<'a, T>(&'a RwSem<T>, NotThreadSafe);

impl<'a, T> WriteGuard<'a, T> {
    /// Turns it into access for reading, without another writer in between.
    #[inline(always)]
    pub(crate) fn downgrade(self) -> ReadGuard<'a, T> {
        let sem = self.0;
        core::mem::forget(self);
        // SAFETY: `downgrade_write()` wants a semaphore that the current task holds for writing: by
        // the invariant of the guard it does, for the guard was forgotten, not dropped.
        unsafe { bindings::downgrade_write(sem.sem.get()) };
        // INVARIANT: The current task holds it for reading now.
        ReadGuard(sem, NotThreadSafe)
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the semaphore is held for writing, so only this guard gives
        // access to the data, and it is borrowed.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariant the semaphore is held for writing, so only this guard gives
        // access to the data, and it is borrowed exclusively.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `up_write()` wants a semaphore that the current task holds for writing: by the
        // type invariant it does. The guard can't be used any more.
        unsafe { bindings::up_write(self.0.sem.get()) };
    }
}
