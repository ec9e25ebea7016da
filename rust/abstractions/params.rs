// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, read anew at each call because sysfs can change them at any time.
//!
//! The kernel crate's own parameters neither appear in sysfs nor can be written, so these are C
//! variables; see `helpers/params.c`.

use super::bindings;
use kernel::{
    error::to_result,
    ffi::c_void,
    prelude::*,
    sync::Arc, //
};

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

/// `file_pages_limit` in pages; 0: none.
#[inline]
pub(crate) fn file_pages_limit() -> u64 {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_file_pages_limit() as u64 }
}

/// `page_pool_size` in pages; 0: the default.
#[inline]
pub(crate) fn page_pool_size() -> u64 {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_page_pool_size() as u64 }
}

/// Sets `page_pool_size`, as if written in sysfs.
pub(crate) fn set_page_pool_size(pages: u64) {
    // SAFETY: Writes a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_set_page_pool_size(saturate(pages)) }
}

/// Says what `pages_limit` and `dma32_pages_limit` are where they are 0. One that nobody set
/// becomes that. May sleep.
pub(crate) fn set_default_limits(pages: u64, dma32: u64) {
    // SAFETY: We are in task context and may sleep.
    unsafe { bindings::reeve_shim_params_default_limits(pages, dma32) }
}

/// Whether the limits are hard.
pub(crate) fn hard_limit() -> bool {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_hard_limit() }
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

/// Wants to know when somebody set a limit.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// A limit was set. Called in a context of its own, one call at a time; may sleep, and the
    /// writer does not wait for it.
    fn limits_written(&self);
}

/// Tells the [`Watcher`], if there is one, that a limit is another one. Does not wait for it. May
/// sleep.
pub(crate) fn limit_changed() {
    // SAFETY: We are in task context and may sleep.
    unsafe { bindings::reeve_shim_params_look() };
}

/// Keeps a [`Watcher`] told; dropping it ends that, after a call in progress.
pub(crate) struct Watch<T: Watcher> {
    _watcher: Arc<T>,
}

impl<T: Watcher> Watch<T> {
    /// Has `watcher` told. `EBUSY`: somebody is, or was, already. May sleep.
    pub(crate) fn new(watcher: Arc<T>) -> Result<Self> {
        let data = Arc::as_ptr(&watcher).cast_mut().cast();
        // SAFETY: `data` points to a live `T` until `drop` has unwatched, for `self` owns it.
        to_result(unsafe { bindings::reeve_shim_params_watch(Some(written::<T>), data) })?;
        Ok(Self { _watcher: watcher })
    }
}

impl<T: Watcher> Drop for Watch<T> {
    fn drop(&mut self) {
        // SAFETY: We are in task context and may sleep.
        unsafe { bindings::reeve_shim_params_unwatch() };
    }
}

/// # Safety
///
/// `data` must point to a live `T`.
unsafe extern "C" fn written<T: Watcher>(data: *mut c_void) {
    // SAFETY: By the contract.
    let watcher = unsafe { &*data.cast::<T>() };
    watcher.limits_written();
}
