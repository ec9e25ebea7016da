// SPDX-License-Identifier: GPL-2.0

//! A value that readers find without a lock, and that can be taken away from them.
//!
//! RCU would make whoever takes it away wait for all processors; here they count the readers, of which
//! there are few and which stay for some instructions.

use core::ptr;
use kernel::{
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// How long to wait for readers before looking again.
const A_MOMENT: Delta = Delta::from_micros(20);

/// A value that there may be.
///
/// # Invariants
///
/// `value` is null, or came from [`Arc::into_raw`] and that reference is ours. Whoever has made it
/// null, and taken the reference over by that, does not drop it before `readers` was 0. Readers count
/// themselves before they look at `value`, until they do not use it any more.
pub(crate) struct Published<T: Send + Sync> {
    value: Atomic<*mut T>,
    readers: Atomic<u64>,
}

impl<T: Send + Sync> Published<T> {
    /// Makes one without a value.
    pub(crate) const fn none() -> Self {
        // INVARIANT: It is null.
        Self {
            value: Atomic::new(ptr::null_mut()),
            readers: Atomic::new(0),
        }
    }

    /// Lets readers find `value`, instead of what they find now, which is returned when none of them
    /// uses it any more. What was done before is seen by readers. May sleep.
    pub(crate) fn replace(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        let new = value.map_or(ptr::null_mut(), |value| Arc::into_raw(value).cast_mut());
        // INVARIANT: The new reference becomes ours, and the old one the caller's, after the wait.
        let old = self.value.xchg(new, Full);
        if old.is_null() {
            return None;
        }
        // A reader that counts itself from now on finds the new value.
        while self.readers.load(Acquire) != 0 {
            fsleep(A_MOMENT);
        }
        // SAFETY: By the type invariant it came from `into_raw`, and the reference is ours: nobody
        // else finds it after the exchange, and the readers that found it before are through.
        Some(unsafe { Arc::from_raw(old) })
    }

    /// Returns whether there is a value. Any context.
    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        !self.value.load(Relaxed).is_null()
    }

    /// Returns a reference to the value, if there is one. Any context.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        self.with(|value| {
            // SAFETY: `ArcBorrow::from_raw` wants what `Arc::into_raw` returned, of a reference that
            // stays during the borrow: by the type invariant `value` came from there, and the
            // reference is not dropped before `with` is through.
            unsafe { ArcBorrow::from_raw(value) }.into()
        })
    }

    /// Calls `f` with the value, if there is one. `f` must not sleep or wait. Any context.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        // Most often there is none. And who takes it away does not wait for readers that come later.
        if self.value.load(Relaxed).is_null() {
            return None;
        }
        self.readers.fetch_add(1u64, Full);
        let value = self.value.load(Acquire);
        // SAFETY: By the type invariant it is null or valid, and the reference is not dropped while
        // this is counted as a reader, which it is since before it looked.
        let result = unsafe { value.as_ref() }.map(f);
        self.readers.fetch_sub(1u64, Release);
        result
    }
}

impl<T: Send + Sync> Drop for Published<T> {
    fn drop(&mut self) {
        if !self.value.get_mut().is_null() {
            drop(self.replace(None));
        }
    }
}
