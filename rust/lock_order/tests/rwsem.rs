// SPDX-License-Identifier: GPL-2.0

//! A reader-writer semaphore whose type carries its order; see [`crate::lock_order::typed`].
#![deny(unsafe_code)]

use super::raw_rwsem::{
    self as rwsem,
    RwSem, //
};
use crate::lock_order::{
    classes::{
        self,
        Class, //
    },
    record,
    rules::flags::{
        EXCLUSIVE,
        SHARED,
        TRYLOCK, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    ffi::c_void,
    prelude::*, //
};

/// Data that many may read or one may write, of order `O`. Sleeps.
#[pin_data]
pub(crate) struct RwSemaphore<T, O: Class> {
    #[pin]
    inner: RwSem<T>,
    _order: PhantomData<fn() -> O>,
}

impl<T, O: Class> RwSemaphore<T, O> {
    /// Constructs the semaphore.
    pub(crate) fn new(value: T) -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- RwSem::new(value, O::CLASS_NAME, O::class()),
            _order: PhantomData,
        })
    }

    /// Reads, waiting for the writer. The thread must have a context.
    #[inline(always)]
    pub(crate) fn read(&self) -> ReadGuard<'_, T, O> {
        let held = Held::taken(self, SHARED);
        ReadGuard(held, self.inner.read())
    }

    /// Reads if that needs no waiting; may be out of order.
    #[inline(always)]
    pub(crate) fn try_read(&self) -> Option<ReadGuard<'_, T, O>> {
        let inner = self.inner.try_read()?;
        Some(ReadGuard(Held::taken(self, SHARED | TRYLOCK), inner))
    }

    /// Locks for writing; waits for all other holders. The thread must have a context.
    #[inline(always)]
    pub(crate) fn write(&self) -> WriteGuard<'_, T, O> {
        let held = Held::taken(self, EXCLUSIVE);
        WriteGuard(held, self.inner.write())
    }

    /// Writes if that needs no waiting; may be out of order.
    #[inline(always)]
    pub(crate) fn try_write(&self) -> Option<WriteGuard<'_, T, O>> {
        let inner = self.inner.try_write()?;
        Some(WriteGuard(Held::taken(self, EXCLUSIVE | TRYLOCK), inner))
    }

    /// Checks that the calling thread holds it in this mode; if not, that is a violation.
    pub(crate) fn assert_held_in(&self, mode: u32) -> bool {
        record::check_locked(classes::hierarchy(), self.address(), O::ORDER, mode)
    }

    fn address(&self) -> *const c_void {
        core::ptr::from_ref(self).cast()
    }
}

/// The record of a held semaphore; dropping it records the release, so in the guards it comes
/// before what releases.
struct Held<'a, T, O: Class> {
    sem: &'a RwSemaphore<T, O>,
    mode: u32,
}

impl<'a, T, O: Class> Held<'a, T, O> {
    #[inline(always)]
    fn taken(sem: &'a RwSemaphore<T, O>, flags: u32) -> Self {
        if record::is_tracking() {
            record::record_lock(classes::hierarchy(), sem.address(), O::ORDER, flags);
        }
        let mode = flags & !TRYLOCK;
        Self { sem, mode }
    }
}

impl<T, O: Class> Drop for Held<'_, T, O> {
    #[inline(always)]
    fn drop(&mut self) {
        if record::is_tracking() {
            let lock = self.sem.address();
            record::record_unlock(classes::hierarchy(), lock, O::ORDER, self.mode);
        }
    }
}

/// Reads; dropping it lets go.
#[must_use = "the semaphore is released when the guard is dropped"]
pub(crate) struct ReadGuard<'a, T, O: Class>(
    #[expect(dead_code, reason = "dropped first")] Held<'a, T, O>,
    rwsem::ReadGuard<'a, T>,
);

impl<T, O: Class> Deref for ReadGuard<'_, T, O> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.1
    }
}

/// Writes; dropping it lets go.
#[must_use = "the semaphore is released when the guard is dropped"]
pub(crate) struct WriteGuard<'a, T, O: Class>(Held<'a, T, O>, rwsem::WriteGuard<'a, T>);

impl<'a, T, O: Class> WriteGuard<'a, T, O> {
    /// Goes on reading and lets other readers in.
    #[inline(always)]
    pub(crate) fn downgrade(self) -> ReadGuard<'a, T, O> {
        let Self(mut held, inner) = self;
        if record::is_tracking() {
            record::record_downgrade(classes::hierarchy(), held.sem.address(), O::ORDER);
        }
        held.mode = SHARED;
        ReadGuard(held, inner.downgrade())
    }
}

impl<T, O: Class> Deref for WriteGuard<'_, T, O> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.1
    }
}

impl<T, O: Class> DerefMut for WriteGuard<'_, T, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.1
    }
}
