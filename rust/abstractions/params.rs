// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, read anew at each call because sysfs can change them at any time.
//!
//! The kernel crate's own parameters neither appear in sysfs nor can be written, so these are C
//! variables; see `helpers/params.c`.

use super::{
    bindings,
    page, //
};
use crate::bo::rules::limits::{
    effective_limits,
    Amount, //
};
use kernel::{
    error::to_result,
    ffi::c_void,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The limits that hold where the parameters are 0.
static DEFAULT_PAGES: Atomic<u64> = Atomic::new(u64::MAX);
static DEFAULT_DMA32: Atomic<u64> = Atomic::new(u64::MAX);

/// Returns the limits in force now: `pages_limit` and `dma32_pages_limit`, with the default where one
/// is 0. Any context.
#[inline]
pub(crate) fn limits() -> Amount {
    effective_limits(
        Amount {
            pages: pages_limit(),
            dma32: dma32_pages_limit(),
        },
        Amount {
            pages: DEFAULT_PAGES.load(Relaxed),
            dma32: DEFAULT_DMA32.load(Relaxed),
        },
    )
}

/// Sets what the limits are where the parameters are 0. Parameters that are 0 now are set to it, so
/// that sysfs shows what is in force. May sleep.
pub(crate) fn set_default_limits(default: Amount) {
    DEFAULT_PAGES.store(default.pages, Relaxed);
    DEFAULT_DMA32.store(default.dma32, Relaxed);
    // SAFETY: The helper takes the module's parameter lock, so it must be called where sleeping is
    // allowed, as this function says, and without that lock, which only sysfs writes hold.
    unsafe {
        bindings::reeve_shim_params_set_limits_left_0(
            saturate(default.pages),
            saturate(default.dma32),
        )
    }
}

/// Computes the bounds that charges are compared with, after a limit was written. Called by C with
/// the parameter lock held, so that the bounds are those of the last write.
#[no_mangle]
pub(crate) extern "C" fn reeve_limits_written() {
    let limits = limits();
    // More than the machine has is looked at more closely, for it may be wrong.
    let pages = limits.pages.min(page::total_ram());
    // SAFETY: The helper writes two variables with `WRITE_ONCE()`, in any context.
    unsafe { bindings::reeve_shim_params_set_bounds(pages, limits.dma32) }
}

const _: unsafe extern "C" fn() = if true {
    reeve_limits_written
} else {
    bindings::reeve_limits_written
};

/// `pages_limit` in pages; 0: the default.
#[inline]
fn pages_limit() -> u64 {
    // SAFETY: Reads a variable once; no requirements.
    unsafe { bindings::reeve_shim_param_pages_limit() as u64 }
}

/// `dma32_pages_limit` in pages; 0: the default.
#[inline]
fn dma32_pages_limit() -> u64 {
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
