// SPDX-License-Identifier: GPL-2.0

//! `dma_resv`, the lock by which DRM drivers share objects, as far as lockdep is to see it.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)

use super::bindings;
use kernel::ffi::c_void;

/// Calls `f` with a `dma_resv` locked that nothing else knows: once with an acquire context, once without. In a kernel
/// that has none it is not called. May sleep.
pub(crate) fn with_any_locked<F: FnMut()>(mut f: F) {
    // SAFETY: The helper may be called where sleeping is allowed, which is asked of the caller. It wants a function that
    // may be called with the pointer, one call after the other: `call::<F>` wants one to an `F` that nothing else uses
    // meanwhile, which a local of this function is.
    unsafe { bindings::reeve_helper_with_dma_resv(Some(call::<F>), (&raw mut f).cast()) };
}

/// Calls an `F`.
///
/// # Safety
///
/// `data` must point to an `F` that is valid during the call, and that nothing else uses.
unsafe extern "C" fn call<F: FnMut()>(data: *mut c_void) {
    // SAFETY: By the contract it points to a valid `F`, and there is no other reference to it.
    let f = unsafe { &mut *data.cast::<F>() };
    f();
}
