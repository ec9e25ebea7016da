// SPDX-License-Identifier: GPL-2.0

//! A block: pages that lie side by side and belong to us.

use super::caching;
use crate::{
    abstractions::bindings as shim,
    bo::rules::page_kind::{
        Caching,
        PageKind, //
    }, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::bindings;

/// Owns `2^order` pages; dropping it gives them back to the system.
///
/// # Invariants
///
/// `first` is the first page of a block of order `order` that came from `alloc_pages()` and that
/// nobody else frees or looks into. The kernel's mapping of all its pages is cached as `kind` says,
/// and with `kind.dma32` they are from the lowest 4 GiB.
pub(crate) struct Block {
    first: NonNull<bindings::page>,
    order: u32,
    kind: PageKind,
}

// SAFETY: Pages can be used and freed by any task.
unsafe impl Send for Block {}
// SAFETY: `&self` methods only look at what never changes while the block is owned.
unsafe impl Sync for Block {}

impl Block {
    /// Takes a block of cached pages from the system, cleared if `clear`; `None`: there is none.
    /// `charged`: charged to the memory cgroup of the current task, if that has room.
    ///
    /// Only single pages wait for reclaim, and no process is killed for them. May sleep.
    #[inline]
    pub(crate) fn allocate_for(
        order: u32,
        dma32: bool,
        clear: bool,
        charged: bool,
    ) -> Option<Self> {
        let flags = match (order, dma32) {
            (0, false) => shim::REEVE_GFP_PAGE,
            (0, true) => shim::REEVE_GFP_PAGE_DMA32,
            (_, false) => shim::REEVE_GFP_BLOCK,
            (_, true) => shim::REEVE_GFP_BLOCK_DMA32,
        };
        let clear = if clear { shim::REEVE_GFP_CLEAR } else { 0 };
        let charged = if charged { shim::REEVE_GFP_CHARGED } else { 0 };
        // SAFETY: We may sleep, and are not in interrupt context.
        let first = unsafe { bindings::alloc_pages(flags | clear | charged, order) };
        let first = NonNull::new(first)?;
        // INVARIANT: Fresh pages are ours alone, and cached like any memory.
        Some(Self {
            first,
            order,
            kind: PageKind {
                caching: Caching::Cached,
                dma32,
            },
        })
    }

    /// The same, charged to nobody.
    #[cfg(any(reeve_kunit, reeve_bench))]
    pub(crate) fn allocate(order: u32, dma32: bool, clear: bool) -> Option<Self> {
        Self::allocate_for(order, dma32, clear, false)
    }

    /// Its first page.
    #[inline]
    pub(crate) fn first(&self) -> NonNull<bindings::page> {
        self.first
    }

    /// Gives up ownership; [`Block::from_raw`] takes it again.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<bindings::page> {
        ManuallyDrop::new(self).first
    }

    /// Takes ownership again.
    ///
    /// # Safety
    ///
    /// `first` must come from [`Block::into_raw`] of a block of this order that has not been owned
    /// since, and its pages must be of this kind.
    #[inline]
    pub(crate) unsafe fn from_raw(
        first: NonNull<bindings::page>,
        order: u32,
        kind: PageKind,
    ) -> Self {
        // INVARIANT: By the contract.
        Self { first, order, kind }
    }

    /// It has `2^order` pages.
    #[inline]
    pub(crate) fn order(&self) -> u32 {
        self.order
    }

    /// How many pages it has.
    #[inline]
    pub(crate) fn pages(&self) -> u64 {
        1 << self.order
    }

    /// What kind of pages they are.
    #[inline]
    pub(crate) fn kind(&self) -> PageKind {
        self.kind
    }

    /// Whether it is charged to a memory cgroup.
    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        // SAFETY: By the type invariant this is a valid page, the first of the block.
        cfg!(CONFIG_MEMCG) && unsafe { shim::reeve_shim_page_is_charged(self.first.as_ptr()) }
    }

    /// The memory node they are from.
    #[inline]
    pub(crate) fn node(&self) -> usize {
        // SAFETY: By the type invariant this is a valid page.
        let node = unsafe { shim::reeve_shim_page_node(self.first.as_ptr()) };
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
        // SAFETY: By the type invariant these pages are ours; nobody else looks into them.
        unsafe { shim::reeve_shim_clear_pages(self.first.as_ptr(), 1 << self.order) };
    }
}

/// Owns pages side by side, each by itself; dropping it gives them back to the system.
///
/// # Invariants
///
/// The `len` pages from `first` on came from one block and were split; nobody else frees or looks
/// into them. The kernel's mapping of them is cached as `caching` says.
pub(crate) struct Singles {
    first: NonNull<bindings::page>,
    len: u64,
    caching: Caching,
}

// SAFETY: Pages can be used and freed by any task.
unsafe impl Send for Singles {}
// SAFETY: `&self` methods only look at what never changes while the pages are owned.
unsafe impl Sync for Singles {}

impl Singles {
    /// Splits a block. Any context.
    pub(crate) fn split(block: Block) -> Self {
        let (order, len, caching) = (block.order, block.pages(), block.kind.caching);
        let first = block.into_raw();
        if order != 0 {
            // SAFETY: The block was ours, of this order, and was not allocated as a compound page.
            unsafe { bindings::split_page(first.as_ptr(), order) };
        }
        // INVARIANT: All pages of the block, split.
        Self {
            first,
            len,
            caching,
        }
    }

    /// The first page; there may be none.
    pub(crate) fn first(&self) -> NonNull<bindings::page> {
        self.first
    }

    /// How many pages there are.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Frees the last `count` pages, or all if they are fewer; answers how many. May sleep.
    pub(crate) fn shorten(&mut self, count: u64) -> u64 {
        let count = count.min(self.len);
        // INVARIANT: The pages behind are not counted any more, and freed below.
        self.len -= count;
        // SAFETY: By the type invariant there were `len + count` pages side by side.
        let first = unsafe { self.first.add(self.len as usize) };
        if self.caching != Caching::Cached && count != 0 {
            caching::make_all_cached(first, count as i32);
        }
        for i in 0..count as usize {
            // SAFETY: By the type invariant the page was ours by itself, and is no longer counted.
            unsafe { bindings::__free_pages(first.add(i).as_ptr(), 0) };
        }
        count
    }
}

impl Drop for Singles {
    fn drop(&mut self) {
        self.shorten(u64::MAX);
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if self.kind.caching != Caching::Cached {
            caching::make_cached(self.first, self.order);
        }
        // SAFETY: By the type invariant the block is ours and of this order. It is cached again,
        // as the system expects its pages to be.
        unsafe { bindings::__free_pages(self.first.as_ptr(), self.order) };
    }
}
