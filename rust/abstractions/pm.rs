// SPDX-License-Identifier: GPL-2.0

//! Being told that the machine is about to sleep.
//!
//! C header: [`include/linux/suspend.h`](srctree/include/linux/suspend.h)

use super::bindings as shim;
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::Arc, //
};

/// Wants to know when the machine is about to sleep.
pub(crate) trait Sleeper: Send + Sync + 'static {
    /// The machine is about to be suspended or hibernated. Processes still run. May sleep; nothing
    /// of ours is held.
    fn prepare_to_sleep(&self);
}

/// Keeps a [`Sleeper`] told; dropping it ends that, after a call in progress.
///
/// Where the kernel can't sleep (no `CONFIG_PM_SLEEP`) it is never told anything.
///
/// # Invariants
///
/// `watch` is registered with a pointer to what `sleeper` holds.
pub(crate) struct SleepWatch<T: Sleeper> {
    watch: NonNull<shim::reeve_pm_watch>,
    _sleeper: Arc<T>,
}

// SAFETY: It may be unregistered by any task; `T` is used by all of them anyway.
unsafe impl<T: Sleeper> Send for SleepWatch<T> {}
// SAFETY: There are no `&self` methods.
unsafe impl<T: Sleeper> Sync for SleepWatch<T> {}

impl<T: Sleeper> SleepWatch<T> {
    /// Has `sleeper` told. `ENOMEM`. May sleep.
    pub(crate) fn new(sleeper: Arc<T>) -> Result<Self> {
        let data = Arc::as_ptr(&sleeper).cast_mut().cast();
        // SAFETY: `data` points to a live `T` until `drop` has unregistered, for `self` owns it.
        let watch = unsafe { shim::reeve_shim_pm_watch(Some(prepare::<T>), data) };
        Ok(Self {
            // INVARIANT: It was registered just now.
            watch: NonNull::new(watch).ok_or(ENOMEM)?,
            _sleeper: sleeper,
        })
    }
}

impl<T: Sleeper> Drop for SleepWatch<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is registered. Waits for a call in progress.
        unsafe { shim::reeve_shim_pm_unwatch(self.watch.as_ptr()) };
    }
}

/// # Safety
///
/// `data` must point to a live `T`.
unsafe extern "C" fn prepare<T: Sleeper>(data: *mut c_void) {
    // SAFETY: By the contract.
    let sleeper = unsafe { &*data.cast::<T>() };
    sleeper.prepare_to_sleep();
}
