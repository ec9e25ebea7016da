// SPDX-License-Identifier: GPL-2.0

//! Notification that the machine is about to hibernate.
//!
//! C header: [`include/linux/suspend.h`](srctree/include/linux/suspend.h)

use super::bindings as helpers;
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::Arc, //
};

/// Is notified when the machine is about to hibernate.
pub(crate) trait Sleeper: Send + Sync + 'static {
    /// Called before the machine hibernates, not before it is suspended to RAM, while processes still run, and without
    /// a context for held locks. May sleep.
    fn prepare_to_sleep(&self);
}

/// A registered [`Sleeper`]; dropping it unregisters it and waits for a call in progress.
///
/// In a kernel without `CONFIG_PM_SLEEP` it is never called.
///
/// # Invariants
///
/// `watch` is registered with a pointer to what `sleeper` holds.
pub(crate) struct SleepWatch<T: Sleeper> {
    watch: NonNull<helpers::reeve_pm_watch>,
    _sleeper: Arc<T>,
}

// SAFETY: A notifier belongs to no task: any task may unregister it; a `T` may be shared and sent.
unsafe impl<T: Sleeper> Send for SleepWatch<T> {}
// SAFETY: There are no `&self` methods, so a shared reference gives access to nothing.
unsafe impl<T: Sleeper> Sync for SleepWatch<T> {}

impl<T: Sleeper> SleepWatch<T> {
    /// Registers `sleeper`.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(sleeper: Arc<T>) -> Result<Self> {
        let data = Arc::as_ptr(&sleeper).cast_mut().cast();
        // SAFETY: The helper wants a function that may be called with `data` until it is
        // unregistered. `prepare::<T>` wants `data` to point to a valid `T`: `self` has a reference
        // to it, and `drop` unregisters before that reference is dropped.
        let watch = unsafe { helpers::reeve_helper_pm_watch(Some(prepare::<T>), data) };
        Ok(Self {
            // INVARIANT: The helper has registered it just now, with that pointer.
            watch: NonNull::new(watch).ok_or(ENOMEM)?,
            _sleeper: sleeper,
        })
    }
}

impl<T: Sleeper> Drop for SleepWatch<T> {
    fn drop(&mut self) {
        // SAFETY: The helper wants what registering returned, once: by the type invariant `watch`
        // is registered, and it is not used after this. It waits for a call in progress.
        unsafe { helpers::reeve_helper_pm_unwatch(self.watch.as_ptr()) };
    }
}

/// Passes the notification on to a `T`.
///
/// # Safety
///
/// `data` must point to a `T` that is valid during the call.
unsafe extern "C" fn prepare<T: Sleeper>(data: *mut c_void) {
    // SAFETY: By the contract `data` points to a `T` that is valid during the call.
    let sleeper = unsafe { &*data.cast::<T>() };
    sleeper.prepare_to_sleep();
}
