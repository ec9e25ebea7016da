// SPDX-License-Identifier: GPL-2.0

//! Mutexes that are waited for until a fatal signal arrives.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)

use super::bindings as helpers;
use kernel::{
    bindings,
    prelude::*,
    sync::lock::{
        mutex::MutexBackend,
        Guard,
        Lock, //
    }, //
};

/// Takes the mutex, waiting for it. Returns `EINTR` if a fatal signal arrived before. May sleep.
///
/// C original: `mutex_lock_killable()`.
#[inline]
pub(crate) fn lock_killable<T>(lock: &Lock<T, MutexBackend>) -> Result<Guard<'_, T, MutexBackend>> {
    let state: *mut bindings::mutex = core::ptr::from_ref(lock).cast_mut().cast();
    // SAFETY: The helper wants an initialised mutex. A `Lock` is `repr(C)` and begins with the state
    // of its backend, which for this one is a `struct mutex`, as `Lock::from_raw` relies on, too; it
    // was initialised when the lock was made, and the borrow keeps it.
    if unsafe { helpers::reeve_helper_mutex_lock_killable(state) } != 0 {
        return Err(EINTR);
    }
    // SAFETY: `Guard::new` wants the caller to own the lock, which it does as the helper succeeded,
    // and the guard's state, of which this backend has none.
    Ok(unsafe { Guard::new(lock, ()) })
}
