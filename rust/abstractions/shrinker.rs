// SPDX-License-Identifier: GPL-2.0

//! Shrinkers: what the kernel's reclaim calls when memory is short.
//!
//! C header: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use super::bindings as shim;
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::Arc, //
};

/// What the allocation that is waited for allows reclaim to do.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    /// To take locks that file systems take, as page cache pages' are.
    pub(crate) fs: bool,
    /// To start I/O.
    pub(crate) io: bool,
}

/// Gives memory back when it is short.
///
/// Both methods are called by any task, in the middle of any allocation that may sleep, and by
/// several at once. They may take no lock under which memory is allocated, other than by trying.
pub(crate) trait Shrink: Send + Sync + 'static {
    /// Its name in the kernel's reports.
    const NAME: &'static CStr;
    /// Pages to be asked for at once.
    const BATCH: u32;
    /// What a page costs to be made again; 2 is usual, less means it is asked for more.
    const SEEKS: i32;

    /// Whether it is asked for each memory node by itself; otherwise always for node 0.
    const BY_NODE: bool;

    /// Pages that could be given back of this memory node.
    fn count(&self, node: usize) -> u64;

    /// Gives back about `pages` pages of this memory node; answers how many it were. 0: no more can
    /// be done now.
    fn scan(&self, node: usize, pages: u64, allowed: Allowed) -> u64;
}

/// A registered shrinker. Dropping it unregisters it and waits for calls in progress.
///
/// # Invariants
///
/// `shrinker` is registered, and `operations` and what they lead to stay where they are until it is
/// not.
pub(crate) struct Shrinker<T: Shrink> {
    shrinker: NonNull<bindings::shrinker>,
    _operations: KBox<shim::reeve_shrinker_ops>,
    _data: Arc<T>,
}

// SAFETY: A shrinker may be unregistered by any task; `T` is used by all of them anyway.
unsafe impl<T: Shrink> Send for Shrinker<T> {}
// SAFETY: There are no `&self` methods.
unsafe impl<T: Shrink> Sync for Shrinker<T> {}

impl<T: Shrink> Shrinker<T> {
    /// Registers it. `ENOMEM`. May sleep.
    pub(crate) fn new(data: Arc<T>) -> Result<Self> {
        let operations = KBox::new(
            shim::reeve_shrinker_ops {
                count: Some(count::<T>),
                scan: Some(scan::<T>),
                data: Arc::as_ptr(&data).cast_mut().cast(),
                batch: T::BATCH as isize,
                seeks: T::SEEKS,
                by_node: T::BY_NODE,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The operations are on the heap and stay there until the shrinker is unregistered,
        // because it is the first thing that is dropped.
        let shrinker =
            unsafe { shim::reeve_shim_shrinker_new(T::NAME.as_char_ptr(), &*operations) };
        Ok(Self {
            // INVARIANT: It was registered just now.
            shrinker: NonNull::new(shrinker).ok_or(ENOMEM)?,
            _operations: operations,
            _data: data,
        })
    }
}

impl<T: Shrink> Drop for Shrinker<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is registered. Waits for calls in progress.
        unsafe { bindings::shrinker_free(self.shrinker.as_ptr()) };
    }
}

/// # Safety
///
/// `data` must point to a live `T`.
unsafe extern "C" fn count<T: Shrink>(data: *mut c_void, node: c_int) -> c_ulong {
    // SAFETY: By the contract.
    let this = unsafe { &*data.cast::<T>() };
    let pages = this.count(usize::try_from(node).unwrap_or(0));
    // The two largest values mean something else.
    pages.min(u64::from(u32::MAX)) as c_ulong
}

/// # Safety
///
/// `data` must point to a live `T`.
unsafe extern "C" fn scan<T: Shrink>(
    data: *mut c_void,
    node: c_int,
    pages: c_ulong,
    gfp: bindings::gfp_t,
) -> c_ulong {
    // SAFETY: By the contract.
    let this = unsafe { &*data.cast::<T>() };
    // SAFETY: They only look at bits.
    let allowed = unsafe {
        Allowed {
            fs: shim::reeve_shim_gfp_may_fs(gfp),
            io: shim::reeve_shim_gfp_may_io(gfp),
        }
    };
    let node = usize::try_from(node).unwrap_or(0);
    let freed = this.scan(node, pages as u64, allowed);
    freed.min(u64::from(u32::MAX)) as c_ulong
}

/// Runs `f` as if reclaim did: lockdep then knows what it may not do, and allocations do not reclaim
/// in turn.
pub(crate) fn as_reclaim<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Tells lockdep something, and marks the current task; no requirements. What undoes it
    // is in the same function.
    let before = unsafe { shim::reeve_shim_reclaim_enter() };
    let result = f();
    // SAFETY: As above; `before` is what the other answered.
    unsafe { shim::reeve_shim_reclaim_leave(before) };
    result
}

/// Pages of swap that are free.
pub(crate) fn free_swap() -> u64 {
    // SAFETY: Reads a counter; no requirements.
    u64::try_from(unsafe { shim::reeve_shim_free_swap() }).unwrap_or(0)
}

/// Whether the current task is the kernel's own that reclaims in the background.
pub(crate) fn in_background() -> bool {
    // SAFETY: Looks at the current task; no requirements.
    unsafe { shim::reeve_shim_is_kswapd() }
}
