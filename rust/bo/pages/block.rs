// SPDX-License-Identifier: GPL-2.0

//! Blocks: pages that lie side by side and are owned, allocated and freed together.

use super::caching;
use crate::{
    abstractions::{
        bindings as helpers,
        page::RunMut, //
    },
    bo::rules::page_kind::{
        Caching,
        PageKind, //
    }, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Owns `2^order` pages; dropping it frees them.
///
/// # Invariants
///
/// `first` is the first page of a block of order `order` that came from `alloc_pages()`, not as a
/// compound page, and that only the owner of this value frees or accesses. The kernel's mapping of
/// all its pages is cached as `kind` says, and with `kind.dma32` they are from the lowest 4 GiB.
pub(crate) struct Block {
    first: NonNull<bindings::page>,
    order: u32,
    kind: PageKind,
}

// SAFETY: A page belongs to no task: any task may use and free it.
unsafe impl Send for Block {}
// SAFETY: `&self` methods only read what never changes while the block is owned: its fields, and
// the flags and the cgroup of its first page.
unsafe impl Sync for Block {}

impl Block {
    /// Allocates a block of cached pages, cleared if `clear`, and charged to the memory cgroup of
    /// the current task if `charged`.
    ///
    /// Returns `None` if there is no such block, or the cgroup has no room for it. Only single
    /// pages wait for reclaim, and no process is killed for them. May sleep.
    #[inline]
    pub(crate) fn allocate_for(
        order: u32,
        dma32: bool,
        clear: bool,
        charged: bool,
    ) -> Option<Self> {
        let flags = match (order, dma32) {
            (0, false) => helpers::REEVE_GFP_PAGE,
            (0, true) => helpers::REEVE_GFP_PAGE_DMA32,
            (_, false) => helpers::REEVE_GFP_BLOCK,
            (_, true) => helpers::REEVE_GFP_BLOCK_DMA32,
        };
        let clear = if clear { helpers::REEVE_GFP_CLEAR } else { 0 };
        let charged = if charged {
            helpers::REEVE_GFP_CHARGED
        } else {
            0
        };
        // SAFETY: `alloc_pages()` with flags that allow it to sleep must be called where that is
        // allowed, which callers guarantee: this may sleep. Any order may be asked for.
        let first = unsafe { bindings::alloc_pages(flags | clear | charged, order) };
        let first = NonNull::new(first)?;
        // SAFETY: The helper wants the first page of a block, which this is.
        unsafe { helpers::reeve_helper_count_active(first.as_ptr(), 1 << order) };
        // INVARIANT: The block was allocated just now, without `__GFP_COMP`, so only we know it.
        // Free pages are cached, and those from `GFP_DMA32` are from the lowest 4 GiB.
        Some(Self {
            first,
            order,
            kind: PageKind {
                caching: Caching::Cached,
                dma32,
            },
        })
    }

    /// Allocates a block like [`Block::allocate_for`], not charged to a memory cgroup.
    #[cfg(any(reeve_kunit, reeve_bench))]
    pub(crate) fn allocate(order: u32, dma32: bool, clear: bool) -> Option<Self> {
        Self::allocate_for(order, dma32, clear, false)
    }

    /// Counts its pages as free ones that a shrinker gives back, or not any more; else they are counted as in
    /// use. C original: `ttm_pool_type_give()` and `ttm_pool_type_take()`.
    pub(super) fn count_reclaimable(&self, yes: bool) {
        let pages = if yes {
            1 << self.order
        } else {
            -(1 << self.order)
        };
        // SAFETY: The helpers want the first page of a block, which by the type invariant this is.
        unsafe {
            helpers::reeve_helper_count_active(self.first.as_ptr(), -pages);
            helpers::reeve_helper_count_reclaimable(self.first.as_ptr(), pages);
        }
    }

    /// Returns the first page.
    #[inline]
    pub(crate) fn first(&self) -> NonNull<bindings::page> {
        self.first
    }

    /// Gives up ownership and returns the first page; [`Block::from_raw`] takes it back.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<bindings::page> {
        ManuallyDrop::new(self).first
    }

    /// Takes back ownership of a block.
    ///
    /// # Safety
    ///
    /// `first` must come from [`Block::into_raw`] of a block of this order that no `Block` has
    /// owned since, and its pages must be of this kind.
    #[inline]
    pub(crate) unsafe fn from_raw(
        first: NonNull<bindings::page>,
        order: u32,
        kind: PageKind,
    ) -> Self {
        // INVARIANT: By the contract the pages were a block's, which had this invariant, and
        // nothing else owns them; their kind is as the contract says.
        Self { first, order, kind }
    }

    /// Returns the order: it has `2^order` pages.
    #[inline]
    pub(crate) fn order(&self) -> u32 {
        self.order
    }

    /// Returns the number of pages.
    #[inline]
    pub(crate) fn pages(&self) -> u64 {
        1 << self.order
    }

    /// Returns what kind of pages they are.
    #[inline]
    pub(crate) fn kind(&self) -> PageKind {
        self.kind
    }

    /// Whether it is charged to a memory cgroup.
    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        // SAFETY: The helper reads fields of a valid page, the first of its block; by the type
        // invariant `first` is that, and it is not freed while we are borrowed.
        cfg!(CONFIG_MEMCG) && unsafe { helpers::reeve_helper_page_is_charged(self.first.as_ptr()) }
    }

    /// Returns the memory node that the pages are from.
    #[inline]
    pub(crate) fn node(&self) -> usize {
        // SAFETY: `page_to_nid()` reads the flags of a valid page; by the type invariant `first` is
        // one.
        let node = unsafe { helpers::reeve_helper_page_node(self.first.as_ptr()) };
        usize::try_from(node).unwrap_or(0)
    }

    /// Whether both were cut out of one block.
    #[cfg(reeve_bench)]
    pub(crate) fn is_buddy_of(&self, other: &Self) -> bool {
        // The `struct page`s of all memory lie in an array that is aligned to more than a block.
        let bytes = size_of::<bindings::page>() << self.order;
        self.order == other.order
            && self.first.as_ptr().addr() ^ other.first.as_ptr().addr() == bytes
    }

    /// Overwrites all pages with zeroes. May sleep.
    pub(crate) fn clear(&mut self) {
        // SAFETY: The helper wants that many valid pages side by side that nothing else accesses:
        // by the type invariant they are ours alone, and we are borrowed exclusively.
        unsafe { helpers::reeve_helper_clear_pages(self.first.as_ptr(), 1 << self.order) };
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if self.kind.caching != Caching::Cached {
            caching::make_cached(self.first, self.order);
        }
        // SAFETY: The helper wants the first page of a block, which by the type invariant this is.
        unsafe { helpers::reeve_helper_count_active(self.first.as_ptr(), (-1) << self.order) };
        // SAFETY: By the type invariant the block came from `alloc_pages()` with this order, and
        // nothing else frees or uses it. It is cached, as the allocator expects its pages to be.
        unsafe { bindings::__free_pages(self.first.as_ptr(), self.order) };
    }
}

/// Owns what is left of a partial block: pages side by side of which each can be freed by itself.
/// Dropping it frees them.
///
/// # Invariants
///
/// The `len` pages from `first` on came from one [`Block`] and were split; only the owner of this
/// value frees or accesses them. The kernel's mapping of them is cached unless `flush` is 1.
pub(crate) struct Partial {
    first: NonNull<bindings::page>,
    len: u64,
    /// A number, so that `first` says whether there is a `Partial`: with a tag of a byte and padding
    /// behind it, the compiler makes a TT in one place and copies it to another.
    flush: u64,
}

// SAFETY: A page belongs to no task: any task may use and free it.
unsafe impl Send for Partial {}
// SAFETY: `&self` methods only read fields that do not change while the value is borrowed, and the
// content of pages that only `&mut self` methods change.
unsafe impl Sync for Partial {}

impl Partial {
    /// Splits a block. Any context.
    pub(super) fn split(block: Block) -> Self {
        let (order, len) = (block.order, block.pages());
        let flush = u64::from(block.kind.caching != Caching::Cached);
        let first = block.into_raw();
        if order != 0 {
            // SAFETY: `split_page()` wants a block that the caller owns and that is no compound
            // page. By its invariant the block was that, and its ownership came to us by
            // `into_raw`.
            unsafe { bindings::split_page(first.as_ptr(), order) };
        }
        // INVARIANT: These are all pages of the block, split above, and its owner was dissolved.
        Self { first, len, flush }
    }

    /// Returns the first page, if there is one.
    pub(super) fn first(&self) -> NonNull<bindings::page> {
        self.first
    }

    /// Returns the number of pages.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `to` with its pages from `offset` on. Returns `EINVAL` if there are not that many. May
    /// sleep.
    pub(crate) fn copy_to(&self, offset: u64, to: RunMut<'_>) -> Result {
        match offset.checked_add(to.len()) {
            Some(end) if end <= self.len => {}
            _ => return Err(EINVAL),
        }
        // SAFETY: The helper copies that many pages, from pages that are not written to, to others
        // that nothing else accesses. By the type invariant and the check above the first are ours,
        // side by side; by its own, `to` has exclusive access to its pages, so these are others.
        unsafe {
            let from = self.first.add(offset as usize);
            helpers::reeve_helper_copy_pages(to.as_ptr(), from.as_ptr(), to.len() as usize)
        };
        Ok(())
    }

    /// Frees the last `count` pages, or all if there are fewer. Returns how many were freed. May
    /// sleep.
    pub(super) fn shorten(&mut self, count: u64) -> u64 {
        let count = count.min(self.len);
        // INVARIANT: The last `count` pages are no longer ours; they are freed below.
        self.len -= count;
        // SAFETY: By the type invariant there were `len + count` pages side by side, so the result
        // is inside them or one past their end.
        let first = unsafe { self.first.add(self.len as usize) };
        if self.flush != 0 && count != 0 {
            caching::make_all_cached(first, count as i32);
        }
        for i in 0..count as usize {
            // SAFETY: By the type invariant the page was split from its block and ours, so it may
            // be counted and freed by itself; it was taken out of `len` above, so it is freed only
            // once.
            unsafe {
                let page = first.add(i).as_ptr();
                helpers::reeve_helper_count_active(page, -1);
                bindings::__free_pages(page, 0);
            }
        }
        count
    }
}

impl Drop for Partial {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        self.shorten(u64::MAX);
    }
}
