// SPDX-License-Identifier: GPL-2.0

//! The module's parameters. They are read at each use, because sysfs can change them at any time.
//!
//! The parameters of the `kernel` crate do not appear in sysfs, so these are C variables; see
//! `helpers/params.c`.

use super::{
    bindings,
    page,
    page_counters, //
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

/// Returns the limits in force now: `pages_limit` and `dma32_pages_limit`, with the default where
/// one is 0. Any context.
#[inline]
pub(crate) fn limits() -> Amount {
    effective_limits(
        written_limits(),
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
        bindings::reeve_helper_params_set_unset_limits(
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
    // More than the machine has is looked at more closely, for it may be wrong; and all that is
    // charged against hard limits, for these bound more than what is counted.
    let pages = if hard_limit() {
        0
    } else {
        limits.pages.min(page::total_ram())
    };
    page_counters::set_bounds(pages, limits.dma32);
}

const _: unsafe extern "C" fn() = if true {
    reeve_limits_written
} else {
    bindings::reeve_limits_written
};

/// Returns `pages_limit` and `dma32_pages_limit` in pages; 0 is the default.
#[inline]
fn written_limits() -> Amount {
    // SAFETY: Each helper reads a variable with `READ_ONCE()`, in any context.
    unsafe {
        Amount {
            pages: bindings::reeve_helper_param_pages_limit() as u64,
            dma32: bindings::reeve_helper_param_dma32_pages_limit() as u64,
        }
    }
}

/// Returns `file_pages_limit` in pages; 0 is no limit.
#[inline]
pub(crate) fn file_pages_limit() -> u64 {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_file_pages_limit() as u64 }
}

/// Returns `file_objects_limit`; 0 is the default.
pub(crate) fn file_objects_limit() -> u64 {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_file_objects_limit() as u64 }
}

/// Returns `pinned_pages_limit` in pages; 0 is no limit.
pub(crate) fn pinned_pages_limit() -> u64 {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_pinned_pages_limit() as u64 }
}

/// Returns whether DMA addresses are shown without `CAP_SYS_ADMIN`, too.
pub(crate) fn show_dma_addresses() -> bool {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_show_dma_addresses() }
}

/// Returns `page_pool_size` in pages; 0 is the default.
#[inline]
pub(crate) fn page_pool_size() -> u64 {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_page_pool_size() as u64 }
}

/// Sets `page_pool_size`, without telling the [`Watcher`].
pub(crate) fn set_page_pool_size(pages: u64) {
    // SAFETY: The helper writes a variable with `WRITE_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_set_page_pool_size(saturate(pages)) }
}

/// Returns whether the limits are hard.
pub(crate) fn hard_limit() -> bool {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_hard_limit() }
}

/// Returns whether the ioctls for tests are allowed.
pub(crate) fn enable_builtin_tests() -> bool {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_enable_builtin_tests() }
}

/// Returns the number of devices that was asked for when the module was loaded.
pub(crate) fn devices() -> usize {
    // SAFETY: The helper reads a variable with `READ_ONCE()`, in any context.
    unsafe { bindings::reeve_helper_param_devices() as usize }
}

/// Converts to C's `unsigned long`.
fn saturate(pages: u64) -> usize {
    usize::try_from(pages).unwrap_or(usize::MAX)
}

/// Is told of changes of limits.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// Returns whether there is more than the limits allow. Called after a limit was written, by the
    /// writer, with the module's parameter lock held and without a context for held locks.
    fn is_over(&self) -> bool;

    /// Called if there was, by a work item: one call at a time, without a context for held locks, and
    /// the writer does not wait for it. May sleep.
    fn limits_written(&self);
}

/// Has the [`Watcher`] called, if there is one, for a limit that is not a parameter and is exceeded. Does
/// not wait for it. May sleep.
pub(crate) fn limit_changed() {
    // SAFETY: The helper takes the module's parameter lock, so it must be called where sleeping is
    // allowed, as this function says, and without that lock, which only sysfs writes hold.
    unsafe { bindings::reeve_helper_params_queue_watcher() };
}

/// A registered [`Watcher`]; dropping it unregisters it and waits for a call in progress.
pub(crate) struct Watch<T: Watcher> {
    _watcher: Arc<T>,
}

impl<T: Watcher> Watch<T> {
    /// Registers `watcher`.
    ///
    /// Returns `EBUSY` if one is or was registered. May sleep.
    pub(crate) fn new(watcher: Arc<T>) -> Result<Self> {
        let data = Arc::as_ptr(&watcher).cast_mut().cast();
        // SAFETY: The helper wants functions that may be called with `data` until they are
        // unregistered. These want `data` to point to a valid `T`: `self` has a reference to it, and
        // `drop` unregisters before that reference is dropped.
        to_result(unsafe {
            bindings::reeve_helper_params_watch(Some(is_over::<T>), Some(written::<T>), data)
        })?;
        Ok(Self { _watcher: watcher })
    }
}

impl<T: Watcher> Drop for Watch<T> {
    fn drop(&mut self) {
        // SAFETY: The helper waits for the work item, so it must be called where sleeping is
        // allowed, as it is where a value like this is dropped, and not by the watcher, which does
        // not own it.
        unsafe { bindings::reeve_helper_params_unwatch() };
    }
}

/// Asks a `T` whether there is more than the limits allow.
///
/// # Safety
///
/// `data` must point to a `T` that is valid during the call.
unsafe extern "C" fn is_over<T: Watcher>(data: *mut c_void) -> bool {
    // SAFETY: By the contract `data` points to a `T` that is valid during the call.
    let watcher = unsafe { &*data.cast::<T>() };
    watcher.is_over()
}

/// Passes a change of a limit on to a `T`.
///
/// # Safety
///
/// `data` must point to a `T` that is valid during the call.
unsafe extern "C" fn written<T: Watcher>(data: *mut c_void) {
    // SAFETY: By the contract `data` points to a `T` that is valid during the call.
    let watcher = unsafe { &*data.cast::<T>() };
    watcher.limits_written();
}
