// SPDX-License-Identifier: GPL-2.0

//! Confidential guests: their memory is encrypted, so that the host can't read it. Nor can its
//! devices, unless pages are decrypted, which shares them with the host.
//!
//! C headers: [`include/linux/cc_platform.h`](srctree/include/linux/cc_platform.h),
//! [`include/linux/set_memory.h`](srctree/include/linux/set_memory.h)

use crate::abstractions::bindings as helpers;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Whether this is such a guest. If it is, the first call logs that pages for devices are
/// decrypted.
pub(crate) fn guest_memory_is_encrypted() -> bool {
    // SAFETY: `cc_platform_has()` reads what was found out at boot; it and the logging may be
    // called in any context.
    unsafe { helpers::reeve_helper_guest_memory_is_encrypted() }
}

/// Shares the `2^order` pages of a block with the host; in any other guest, does nothing. Their
/// content is lost.
///
/// Fails with the architecture's errno; some pages may be shared then. May sleep.
///
/// # Safety
///
/// The block must be owned by the caller, of this order, always mapped for the kernel, and nothing
/// may access it during the call.
pub(super) unsafe fn decrypt(first: NonNull<bindings::page>, order: u32) -> Result {
    // SAFETY: `set_memory_decrypted()` wants that many pages from an address of the kernel's own
    // mapping on. By the contract the pages have such addresses, side by side as the pages of a
    // block are, and nothing sees that their content changes.
    to_result(unsafe { helpers::reeve_helper_set_decrypted(first.as_ptr(), 1 << order) })
}

/// Ends the sharing of a block with the host. The content of the pages is lost.
///
/// Fails with the architecture's errno; the pages may never be used again then. May sleep.
///
/// # Safety
///
/// The contract of [`decrypt`]; and the block must have been passed to it before.
pub(super) unsafe fn encrypt(first: NonNull<bindings::page>, order: u32) -> Result {
    // SAFETY: `set_memory_encrypted()` wants that many pages from an address of the kernel's own
    // mapping on. By the contract the pages have such addresses, side by side as the pages of a
    // block are, and nothing sees that their content changes.
    to_result(unsafe { helpers::reeve_helper_set_encrypted(first.as_ptr(), 1 << order) })
}
