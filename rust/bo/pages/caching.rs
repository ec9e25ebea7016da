// SPDX-License-Identifier: GPL-2.0

//! How the kernel's own mapping of pages is cached.
//!
//! On x86 all mappings of a page must agree, and changing one makes every processor flush; so pages
//! are collected and changed many at a time. Elsewhere nothing is to be done.
//!
//! C header: [`include/asm-generic/set_memory.h`](srctree/include/asm-generic/set_memory.h)

use crate::{
    abstractions::bindings as shim,
    bo::rules::page_kind::Caching, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// The most pages that are changed at once.
pub(crate) const BATCH: usize = 512;

/// Collects pages whose caching is to change.
pub(crate) struct Batch {
    pages: KVec<*mut bindings::page>,
}

impl Batch {
    /// Makes room for as many of `pages` pages as are changed at once. `ENOMEM`. May sleep.
    pub(crate) fn new(pages: u64) -> Result<Self> {
        let room = usize::try_from(pages).unwrap_or(BATCH).min(BATCH);
        Ok(Self {
            pages: KVec::with_capacity(room, GFP_KERNEL)?,
        })
    }

    /// Makes the pages of these blocks, given as first page and order, `caching`; all were cached
    /// before. When it fails they are that still.
    ///
    /// # Safety
    ///
    /// The blocks must be the caller's, who nobody else accesses meanwhile.
    pub(crate) unsafe fn change(
        &mut self,
        blocks: impl Iterator<Item = (NonNull<bindings::page>, u32)> + Clone,
        caching: Caching,
    ) -> Result {
        let number = match caching {
            Caching::Cached => return Ok(()),
            Caching::WriteCombined => shim::REEVE_CACHING_WRITE_COMBINED,
            Caching::Uncached => shim::REEVE_CACHING_UNCACHED,
        };
        for (first, order) in blocks.clone() {
            for i in 0..1usize << order {
                // SAFETY: The block has `2^order` pages, whose `struct page`s lie side by side.
                let page = unsafe { first.as_ptr().add(i) };
                if self.pages.push_within_capacity(page).is_ok() {
                    continue;
                }
                let changed = self.apply(number);
                if changed.is_err() || self.pages.push_within_capacity(page).is_err() {
                    return Self::undo(changed, blocks);
                }
            }
        }
        let changed = self.apply(number);
        Self::undo(changed, blocks)
    }

    /// Changes what was collected, and forgets it.
    fn apply(&mut self, number: u32) -> Result {
        let count = self.pages.len() as i32;
        if count == 0 {
            return Ok(());
        }
        // SAFETY: The array has `count` pages, which are the caller's of `change`.
        let result = to_result(unsafe {
            shim::reeve_shim_set_pages_array(self.pages.as_mut_ptr(), count, number)
        });
        self.pages.clear();
        // Whatever the architecture says: it had no memory for its tables, or for its accounting.
        result.map_err(|_| ENOMEM)
    }

    /// After a failure some pages may have been changed: makes all of them cached again.
    fn undo(
        changed: Result,
        blocks: impl Iterator<Item = (NonNull<bindings::page>, u32)>,
    ) -> Result {
        if changed.is_err() {
            blocks.for_each(|(first, order)| make_cached(first, order));
        }
        changed
    }
}

/// Makes the pages of a block cached again.
///
/// It needs no memory: the kernel's mapping of these pages was cut into small pages when they
/// became something else. May sleep.
pub(crate) fn make_cached(first: NonNull<bindings::page>, order: u32) {
    make_all_cached(first, 1 << order);
}

/// The same for `count` pages side by side.
pub(crate) fn make_all_cached(first: NonNull<bindings::page>, count: i32) {
    // SAFETY: Changing the caching of pages that are somebody's is no worse than slow; callers pass
    // pages of their own.
    unsafe { shim::reeve_shim_set_pages_wb(first.as_ptr(), count) };
}

/// Pages of small blocks that are made cached at once.
const SMALL_BATCH: usize = 64;

/// Frees blocks that are not cached, many small ones with one flush.
///
/// # Invariants
///
/// The first `pages_len` of `pages` are, block after block, the pages of the blocks whose orders
/// are the first `blocks_len` of `orders`; all are ours.
pub(crate) struct Freer {
    pages: [*mut bindings::page; SMALL_BATCH],
    orders: [u8; SMALL_BATCH],
    pages_len: usize,
    blocks_len: usize,
}

impl Freer {
    pub(crate) fn new() -> Self {
        // INVARIANT: Nothing in it.
        Self {
            pages: [core::ptr::null_mut(); SMALL_BATCH],
            orders: [0; SMALL_BATCH],
            pages_len: 0,
            blocks_len: 0,
        }
    }

    /// Frees a block now or later. May sleep.
    pub(crate) fn free(&mut self, block: super::block::Block) {
        let (order, pages) = (block.order(), 1usize << block.order());
        if pages > SMALL_BATCH || block.kind().caching == Caching::Cached {
            return drop(block);
        }
        if self.pages_len + pages > SMALL_BATCH {
            self.flush();
        }
        let Some(room) = self.pages.get_mut(self.pages_len..self.pages_len + pages) else {
            return drop(block);
        };
        let first = block.into_raw();
        for (i, slot) in room.iter_mut().enumerate() {
            // SAFETY: The block has that many pages, whose `struct page`s lie side by side.
            *slot = unsafe { first.as_ptr().add(i) };
        }
        // INVARIANT: One more block, whose pages are behind the others'. There are no more blocks
        // than pages, so `orders` has room too.
        if let Some(slot) = self.orders.get_mut(self.blocks_len) {
            *slot = order as u8;
        }
        self.pages_len += pages;
        self.blocks_len += 1;
    }

    fn flush(&mut self) {
        if self.pages_len == 0 {
            return;
        }
        // SAFETY: By the type invariant, these are pages of ours.
        unsafe {
            shim::reeve_shim_set_pages_array(
                self.pages.as_mut_ptr(),
                self.pages_len as i32,
                shim::REEVE_CACHING_CACHED,
            )
        };
        let mut at = 0;
        for &order in self.orders.iter().take(self.blocks_len) {
            if let Some(&first) = self.pages.get(at) {
                // SAFETY: By the type invariant this is a block of ours, of this order, cached
                // again.
                unsafe { bindings::__free_pages(first, order.into()) };
            }
            at += 1 << order;
        }
        // INVARIANT: Nothing in it.
        self.pages_len = 0;
        self.blocks_len = 0;
    }
}

impl Drop for Freer {
    fn drop(&mut self) {
        self.flush();
    }
}
