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

/// Data that many may read or one may write. Sleeps; see `down_read()` and `down_write()`.
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

// SAFETY: Moving it moves the data.
unsafe impl<T: Send> Send for RwSem<T> {}
// SAFETY: Readers share `&T`, which needs `Sync`, and a writer may take the value out, which needs
// `Send`.
unsafe impl<T: Send + Sync> Sync for RwSem<T> {}

impl<T> RwSem<T> {
    /// Constructs the semaphore, of the lock class `key`.
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid while the closure runs; name and key are static.
            // INVARIANT: Initialised here.
            sem <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr())
            }),
            _pin: PhantomPinned,
            data: UnsafeCell::new(data),
        })
    }

    /// Waits for no writer to hold it, then reads.
    #[inline(always)]
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: By the type invariant.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard(self, NotThreadSafe)
    }

    /// Reads if that needs no waiting.
    #[inline(always)]
    pub(crate) fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        // SAFETY: By the type invariant.
        (unsafe { bindings::down_read_trylock(self.sem.get()) } != 0)
            .then(|| ReadGuard(self, NotThreadSafe))
    }

    /// Waits for nobody to hold it, then writes.
    #[inline(always)]
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: By the type invariant.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard(self, NotThreadSafe)
    }

    /// Writes if that needs no waiting.
    #[inline(always)]
    pub(crate) fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: By the type invariant.
        (unsafe { bindings::down_write_trylock(self.sem.get()) } != 0)
            .then(|| WriteGuard(self, NotThreadSafe))
    }
}

/// Reads; dropping it lets go.
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
        // SAFETY: By the invariant no writer has access.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the invariant.
        unsafe { bindings::up_read(self.0.sem.get()) };
    }
}

/// Writes; dropping it lets go.
///
/// # Invariants
///
/// The current task holds the semaphore for writing.
#[must_use = "the semaphore is released when the guard is dropped"]
pub(crate) struct WriteGuard<'a, T>(&'a RwSem<T>, NotThreadSafe);

impl<'a, T> WriteGuard<'a, T> {
    /// Lets other readers in, without letting another writer in before.
    #[inline(always)]
    pub(crate) fn downgrade(self) -> ReadGuard<'a, T> {
        let sem = self.0;
        core::mem::forget(self);
        // SAFETY: By the invariant of the guard, which was not dropped.
        unsafe { bindings::downgrade_write(sem.sem.get()) };
        // INVARIANT: It is held for reading now.
        ReadGuard(sem, NotThreadSafe)
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: By the invariant nobody else has access.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the invariant nobody else has access.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the invariant.
        unsafe { bindings::up_write(self.0.sem.get()) };
    }
}
