// SPDX-License-Identifier: GPL-2.0

//! Copies from and to user space that say how far they got.
//!
//! The kernel crate's answer all or nothing; a call that reports the bytes it copied needs more.

use super::bindings as shim;
use kernel::{
    prelude::*,
    uaccess::UserPtr, //
};

/// Copies `from` to user memory at `to` and answers how many bytes arrived, from the first on.
///
/// May sleep: hold no lock that a page fault may want.
pub(crate) fn copy_to_user(to: UserPtr, from: &[u8]) -> usize {
    // SAFETY: `from` is valid for its length; any user address will do.
    let left = unsafe {
        kernel::bindings::copy_to_user(to.as_mut_ptr(), from.as_ptr().cast(), from.len())
    };
    from.len().saturating_sub(left)
}

/// Copies user memory at `from` to `to` and answers how many bytes arrived, from the first on.
///
/// May sleep: hold no lock that a page fault may want.
pub(crate) fn copy_from_user(to: &mut [u8], from: UserPtr) -> usize {
    // SAFETY: `to` is valid for its length and exclusively ours; any user address will do.
    let left = unsafe {
        kernel::bindings::copy_from_user(to.as_mut_ptr().cast(), from.as_const_ptr(), to.len())
    };
    to.len().saturating_sub(left)
}

/// The user address `offset` bytes after `base`.
pub(crate) fn user_ptr(base: u64, offset: u64) -> Result<UserPtr> {
    let address = base.checked_add(offset).ok_or(EFAULT)?;
    Ok(UserPtr::from_addr(
        usize::try_from(address).map_err(|_| EFAULT)?,
    ))
}

/// Runs `f` with the current task's `mmap_lock` held for reading, if the task has user memory. May
/// sleep.
pub(crate) fn with_memory_locked<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: May be called wherever sleeping is allowed.
    let locked = unsafe { shim::reeve_shim_lock_user_memory() };
    let result = f();
    if locked {
        // SAFETY: It was locked above, by this task, which has the same memory still.
        unsafe { shim::reeve_shim_unlock_user_memory() };
    }
    result
}
