// SPDX-License-Identifier: GPL-2.0

//! Shrinkers: callbacks of the kernel's reclaim.
//!
//! C header: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use super::{
    bindings as helpers,
    memcg::Group, //
};
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

/// What the allocation that reclaim runs for allows it to do.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    /// To take locks that file systems take, such as those of page cache folios.
    pub(crate) fs: bool,
    /// To start I/O.
    pub(crate) io: bool,
}

/// Frees memory when it is short.
///
/// Both methods are called by any task, in the middle of any allocation that may sleep, by several
/// tasks at once, and without a context for held locks. They must only try to take locks under
/// which memory is allocated.
pub(crate) trait Shrink: Send + Sync + 'static {
    /// The name of the shrinker in the kernel's reports.
    const NAME: &'static CStr;
    /// How many pages each scan is asked for.
    const BATCH: u32;
    /// The cost of getting a page back, relative to other shrinkers; 2 is usual, less makes reclaim
    /// ask for more pages.
    const SEEKS: i32;
    /// Whether it is called for each memory node by itself, or always for node 0.
    const BY_NODE: bool;

    /// Whether it is called for each memory cgroup by itself that has
    /// [`Marker`](super::memcg::Marker)s. There may be one registered shrinker like that.
    const BY_MEMCG: bool = false;

    /// Returns the number of pages of this memory node, and of this cgroup, that could be freed.
    fn count(&self, node: usize, memcg: Option<Group<'_>>) -> u64;

    /// Frees about `pages` pages of this memory node, and of this cgroup. Returns how many, or 0 if no
    /// more can be freed now.
    fn scan(&self, node: usize, memcg: Option<Group<'_>>, pages: u64, allowed: Allowed) -> u64;
}

/// A registered shrinker; dropping it unregisters it and waits for calls in progress.
///
/// # Invariants
///
/// `shrinker` is registered with a pointer to `_operations`, which point to the `T` of `_data`.
pub(crate) struct Shrinker<T: Shrink> {
    shrinker: NonNull<bindings::shrinker>,
    _operations: KBox<helpers::reeve_shrinker_ops>,
    _data: Arc<T>,
}

// SAFETY: A shrinker belongs to no task: any task may unregister it; a `T` may be shared and sent.
unsafe impl<T: Shrink> Send for Shrinker<T> {}
// SAFETY: There are no `&self` methods, so a shared reference gives access to nothing.
unsafe impl<T: Shrink> Sync for Shrinker<T> {}

impl<T: Shrink> Shrinker<T> {
    /// Registers a shrinker that calls `data`.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(data: Arc<T>) -> Result<Self> {
        let operations = KBox::new(
            helpers::reeve_shrinker_ops {
                count: Some(count::<T>),
                scan: Some(scan::<T>),
                data: Arc::as_ptr(&data).cast_mut().cast(),
                batch: T::BATCH as isize,
                seeks: T::SEEKS,
                by_node: T::BY_NODE,
                by_memcg: T::BY_MEMCG,
            },
            GFP_KERNEL,
        )?;
        let name = T::NAME.as_char_ptr();
        // SAFETY: The helper wants a string, which it copies, and operations that stay valid until
        // the shrinker is freed: they are on the heap, and they and the `T` that their functions
        // are called with are fields, which are dropped after `drop` has freed the shrinker.
        let shrinker = unsafe { helpers::reeve_helper_shrinker_new(name, &*operations) };
        Ok(Self {
            // INVARIANT: The helper has registered it just now, with these operations.
            shrinker: NonNull::new(shrinker).ok_or(ENOMEM)?,
            _operations: operations,
            _data: data,
        })
    }
}

impl<T: Shrink> Drop for Shrinker<T> {
    fn drop(&mut self) {
        // SAFETY: The helper wants a shrinker that was allocated and is not freed yet, which it is by the
        // type invariant, and its operations; it is not used after this. It waits for calls in progress.
        // Markers are of objects, of which there are none when the module goes.
        unsafe { helpers::reeve_helper_shrinker_free(self.shrinker.as_ptr(), &*self._operations) };
    }
}

/// Passes the question how many pages could be freed on to a `T`.
///
/// # Safety
///
/// `data` must point to a `T` that is valid during the call, `memcg` be null or a cgroup that is not the
/// root and valid as long.
unsafe extern "C" fn count<T: Shrink>(
    data: *mut c_void,
    node: c_int,
    memcg: *mut bindings::mem_cgroup,
) -> c_ulong {
    // SAFETY: By the contract `data` points to a `T` that is valid during the call.
    let this = unsafe { &*data.cast::<T>() };
    // SAFETY: By the contract it is valid during the call, and no one keeps it.
    let group = unsafe { Group::from_raw(memcg) };
    let pages = this.count(usize::try_from(node).unwrap_or(0), group);
    // The two largest values of C's type are `SHRINK_EMPTY` and `SHRINK_STOP`.
    pages.min(u64::from(u32::MAX)) as c_ulong
}

/// Passes the request to free pages on to a `T`.
///
/// # Safety
///
/// `data` must point to a `T` that is valid during the call, `memcg` be null or a cgroup that is not the
/// root and valid as long.
unsafe extern "C" fn scan<T: Shrink>(
    data: *mut c_void,
    node: c_int,
    pages: c_ulong,
    gfp: bindings::gfp_t,
    memcg: *mut bindings::mem_cgroup,
) -> c_ulong {
    // SAFETY: By the contract `data` points to a `T` that is valid during the call.
    let this = unsafe { &*data.cast::<T>() };
    let allowed = Allowed {
        fs: gfp & helpers::REEVE_GFP_FS != 0,
        io: gfp & helpers::REEVE_GFP_IO != 0,
    };
    let node = usize::try_from(node).unwrap_or(0);
    // SAFETY: By the contract it is valid during the call, and no one keeps it.
    let group = unsafe { Group::from_raw(memcg) };
    let freed = this.scan(node, group, pages as u64, allowed);
    freed.min(u64::from(u32::MAX)) as c_ulong
}

/// Calls `f` as reclaim would: lockdep checks the locks that it takes, and its allocations do not
/// reclaim.
pub(crate) fn as_reclaim<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: The helper enters lockdep's map of reclaim and sets a flag of the current task; it
    // may be called in any task context, and what it does is undone below, in the same function.
    let before = unsafe { helpers::reeve_helper_reclaim_enter() };
    let result = f();
    // SAFETY: The helper undoes the one above, whose result `before` is, on the same task; `f` has
    // undone all nested calls.
    unsafe { helpers::reeve_helper_reclaim_leave(before) };
    result
}

/// Returns the number of free pages of swap.
pub(crate) fn free_swap() -> u64 {
    // SAFETY: `get_nr_swap_pages()` reads an atomic counter, in any context.
    u64::try_from(unsafe { helpers::reeve_helper_free_swap() }).unwrap_or(0)
}

/// Whether the current task is a kswapd, which reclaims in the background.
pub(crate) fn is_kswapd() -> bool {
    // SAFETY: `current_is_kswapd()` reads a flag of the current task, in any context.
    unsafe { helpers::reeve_helper_is_kswapd() }
}
