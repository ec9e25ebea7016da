// SPDX-License-Identifier: GPL-2.0

//! Copies from and to user space that return how many bytes were copied.
//!
//! Those of the `kernel` crate fail if not all bytes were copied; calls that report partial copies
//! need the number.

use super::bindings as helpers;
use kernel::{
    prelude::*,
    uaccess::UserPtr, //
};

/// Copies `from` to user memory at `to`. Returns how many bytes were copied, from the first on.
///
/// May sleep, and takes what page faults take: `mmap_lock`, and in faults of ours reservations.
pub(crate) fn copy_to_user(to: UserPtr, from: &[u8]) -> usize {
    // SAFETY: `copy_to_user()` wants a source that is valid for the length, which a slice is, and
    // checks the user address itself.
    let left = unsafe {
        kernel::bindings::copy_to_user(to.as_mut_ptr(), from.as_ptr().cast(), from.len())
    };
    from.len().saturating_sub(left)
}

/// Makes these `words` words of user memory at `to` 0. Returns whether all of them could be.
///
/// May sleep, and takes what page faults take: `mmap_lock`, and in faults of ours reservations.
pub(crate) fn clear_user_words(to: UserPtr, words: usize) -> bool {
    // SAFETY: The helper checks the user address itself, and must be called where sleeping is allowed, as
    // this function says.
    unsafe { helpers::reeve_helper_clear_user_words(to.as_mut_ptr().cast(), words) }
}

/// Copies user memory at `from` to `to`. Returns how many bytes were copied, from the first on.
///
/// May sleep, and takes what page faults take: `mmap_lock`, and in faults of ours reservations.
pub(crate) fn copy_from_user(to: &mut [u8], from: UserPtr) -> usize {
    // SAFETY: `copy_from_user()` wants a destination that is valid for writes of the length, which
    // an exclusive slice is, and checks the user address itself.
    let left = unsafe {
        kernel::bindings::copy_from_user(to.as_mut_ptr().cast(), from.as_const_ptr(), to.len())
    };
    to.len().saturating_sub(left)
}

/// Returns the user address `offset` bytes after `base`, or `EFAULT` if that overflows.
pub(crate) fn user_ptr(base: u64, offset: u64) -> Result<UserPtr> {
    let address = base.checked_add(offset).ok_or(EFAULT)?;
    Ok(UserPtr::from_addr(
        usize::try_from(address).map_err(|_| EFAULT)?,
    ))
}

/// Calls `f` with the current task's `mmap_lock` held for reading, if the task has user memory. May
/// sleep.
pub(crate) fn with_memory_locked<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: The helper takes `mmap_lock`, so it must be called where sleeping is allowed, as this
    // function says. What it takes is released below, in the same function.
    let locked = unsafe { helpers::reeve_helper_lock_user_memory() };
    let result = f();
    if locked {
        // SAFETY: The helper releases the `mmap_lock` of the current task's memory, which was taken
        // above by the same task; `f` can't have changed the memory that the task has.
        unsafe { helpers::reeve_helper_unlock_user_memory() };
    }
    result
}
