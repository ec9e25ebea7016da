// SPDX-License-Identifier: GPL-2.0

//! A slab cache of the module's own: memory for values of one type, no larger than they are.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::{
    alloc::Layout,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    alloc::{
        flags::GFP_KERNEL_ACCOUNT,
        AllocError,
        Allocator,
        Flags,
        NumaNode, //
    },
    bindings,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};

/// The cache; null: there is none.
static CACHE: Atomic<*mut bindings::kmem_cache> = Atomic::new(ptr::null_mut());
/// The alignment of what it has.
const ALIGN: usize = 8;

/// The cache; dropping it frees it.
pub(crate) struct Cache(());

impl Cache {
    /// Makes it, for what [`Slab`] allocates. Returns `ENOMEM` if there is no memory. May sleep.
    ///
    /// C original: `kmem_cache_create()`.
    ///
    /// # Safety
    ///
    /// This must be called once, and the result be dropped after all that was allocated from the cache was freed. Before
    /// and afterwards nothing may be. `SIZE` must be that of all [`Slab`]s.
    pub(crate) unsafe fn new<const SIZE: usize>(name: &'static CStr) -> Result<Self> {
        let mut args = bindings::kmem_cache_args {
            align: ALIGN as u32,
            ..Default::default()
        };
        let size = u32::try_from(SIZE)?;
        // SAFETY: The name is a string that stays, the arguments are valid during the call. May sleep.
        let cache = unsafe {
            bindings::__kmem_cache_create_args(name.as_char_ptr(), size, &raw mut args, 0)
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        CACHE.store(cache, Release);
        Ok(Self(()))
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let cache = CACHE.load(Relaxed);
        CACHE.store(ptr::null_mut(), Relaxed);
        // SAFETY: `new` made it, and by its contract nothing that was allocated from it is left.
        unsafe { bindings::kmem_cache_destroy(cache) };
    }
}

/// What allocates values of up to `SIZE` bytes from the [`Cache`].
pub(crate) struct Slab<const SIZE: usize>;

// SAFETY: Memory from a cache is that of one value until it is freed, by whatever task; it is as large and as aligned
// as the layout that was asked for, or it is refused. Nothing is allocated anew in place.
unsafe impl<const SIZE: usize> Allocator for Slab<SIZE> {
    const MIN_ALIGN: usize = ALIGN;

    #[inline]
    fn alloc(layout: Layout, flags: Flags, _nid: NumaNode) -> Result<NonNull<[u8]>, AllocError> {
        // Other flags can't be told from here; on which node it is, is for the cache to say.
        if flags != GFP_KERNEL_ACCOUNT || layout.size() > SIZE || layout.align() > ALIGN {
            return Err(AllocError);
        }
        // SAFETY: By the contract of `Cache::new` the cache is there, and stays. May sleep.
        let place = unsafe {
            bindings::kmem_cache_alloc_noprof(CACHE.load(Acquire), bindings::GFP_KERNEL_ACCOUNT)
        };
        let place = NonNull::new(place.cast()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(place, layout.size()))
    }

    #[inline]
    unsafe fn realloc(
        ptr: Option<NonNull<u8>>,
        layout: Layout,
        _old_layout: Layout,
        flags: Flags,
        nid: NumaNode,
    ) -> Result<NonNull<[u8]>, AllocError> {
        match ptr {
            None => Self::alloc(layout, flags, nid),
            Some(place) if layout.size() == 0 => {
                // SAFETY: By the contract it was allocated here, and is not used any more.
                unsafe { bindings::kmem_cache_free(CACHE.load(Acquire), place.as_ptr().cast()) };
                Ok(NonNull::slice_from_raw_parts(NonNull::dangling(), 0))
            }
            Some(_) => Err(AllocError),
        }
    }
}
