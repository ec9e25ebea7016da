// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, read anew at each call because sysfs can change them at any time.
//!
//! The kernel crate's own parameters neither appear in sysfs nor can be written, so these are C
//! variables; see `params_shim.c`.

use super::bindings;

/// `pages_limit` in pages; 0: the default.
#[inline]
pub(crate) fn pages_limit() -> u64 {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_pages_limit() as u64 }
}

/// `dma32_pages_limit` in pages; 0: the default.
#[inline]
pub(crate) fn dma32_pages_limit() -> u64 {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_dma32_pages_limit() as u64 }
}

/// Sets `pages_limit`, as if written in sysfs.
pub(crate) fn set_pages_limit(pages: u64) {
    // SAFETY: Writes a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_set_pages_limit(saturate(pages)) }
}

/// Sets `dma32_pages_limit`, as if written in sysfs.
pub(crate) fn set_dma32_pages_limit(pages: u64) {
    // SAFETY: Writes a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_set_dma32_pages_limit(saturate(pages)) }
}

/// Whether the ioctls that are only for tests are allowed.
pub(crate) fn enable_builtin_tests() -> bool {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_enable_builtin_tests() }
}

/// How many devices there are to be, as asked for when the module was inserted.
pub(crate) fn devices() -> usize {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_devices() as usize }
}

fn saturate(pages: u64) -> usize {
    usize::try_from(pages).unwrap_or(usize::MAX)
}
