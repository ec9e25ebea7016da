// SPDX-License-Identifier: GPL-2.0

//! Guests whose memory is encrypted, so that the machine they run on can't read it: nor can its
//! devices, unless pages are shared with it.
//!
//! C headers: [`include/linux/cc_platform.h`](srctree/include/linux/cc_platform.h),
//! [`include/linux/set_memory.h`](srctree/include/linux/set_memory.h)

use crate::abstractions::bindings as shim;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Whether this is such a guest. The first time that it is, the kernel's log says what follows.
pub(crate) fn guest_memory_is_encrypted() -> bool {
    // SAFETY: Looks at what the machine is; no requirements.
    unsafe { shim::reeve_shim_guest_memory_is_encrypted() }
}

/// Charges `2^order` pages with the machine; in any other guest, nothing. Their content is lost.
///
/// When it fails, some may be shared. May sleep.
///
/// # Safety
///
/// They must lie side by side, be always mapped for the kernel, and nobody else may access them.
pub(crate) unsafe fn share(first: NonNull<bindings::page>, order: u32) -> Result {
    // SAFETY: By the contract.
    to_result(unsafe { shim::reeve_shim_share(first.as_ptr(), 1 << order) })
}

/// Undoes [`share`]; their content is lost. When it fails they may never be used again.
///
/// # Safety
///
/// As [`share`].
pub(crate) unsafe fn unshare(first: NonNull<bindings::page>, order: u32) -> Result {
    // SAFETY: By the contract.
    to_result(unsafe { shim::reeve_shim_unshare(first.as_ptr(), 1 << order) })
}
