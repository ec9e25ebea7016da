// SPDX-License-Identifier: GPL-2.0

//! Freeing of many blocks that are not cached.

use super::block::Block;
use crate::{
    abstractions::bindings as helpers,
    bo::rules::page_kind::Caching, //
};
use kernel::bindings;

/// How many pages of small blocks are made cached at once.
const SMALL_BATCH: usize = 64;

/// Frees blocks that are not cached, many small ones with one flush of the CPUs' caches. Dropping
/// it frees those that are left.
///
/// # Invariants
///
/// The first `pages_len` of `pages` are, block after block, the pages of the blocks whose orders
/// are the first `blocks_len` of `orders`. All of them came from [`Block::into_raw`] and are owned
/// by this value.
pub(crate) struct Freer {
    pages: [*mut bindings::page; SMALL_BATCH],
    orders: [u8; SMALL_BATCH],
    pages_len: usize,
    blocks_len: usize,
}

impl Freer {
    /// Makes a value with nothing to free.
    pub(super) fn new() -> Self {
        // INVARIANT: Both lengths are 0.
        Self {
            pages: [core::ptr::null_mut(); SMALL_BATCH],
            orders: [0; SMALL_BATCH],
            pages_len: 0,
            blocks_len: 0,
        }
    }

    /// Frees a block, now or when enough of them were collected. May sleep.
    pub(super) fn free(&mut self, block: Block) {
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
            // SAFETY: The block has `pages` pages, whose `struct page`s lie side by side, and
            // `room` has as many entries.
            *slot = unsafe { first.as_ptr().add(i) };
        }
        // INVARIANT: One more block, which we own since `into_raw`; its pages are behind the
        // others'. There are no more blocks than pages, so `orders` has room too.
        if let Some(slot) = self.orders.get_mut(self.blocks_len) {
            *slot = order as u8;
        }
        self.pages_len += pages;
        self.blocks_len += 1;
    }

    /// Frees all blocks that were collected. May sleep.
    fn flush(&mut self) {
        if self.pages_len == 0 {
            return;
        }
        // SAFETY: The helper wants an array of that many valid pages. By the type invariant the
        // first `pages_len` entries are pages of blocks that we own, so nothing accesses them by a
        // mapping that is cached otherwise.
        unsafe {
            helpers::reeve_helper_set_pages_array(
                self.pages.as_mut_ptr(),
                self.pages_len as i32,
                helpers::REEVE_CACHING_CACHED,
            )
        };
        let mut at = 0;
        for &order in self.orders.iter().take(self.blocks_len) {
            if let Some(&first) = self.pages.get(at) {
                // SAFETY: By the type invariant `first` is the first page of a block that we own,
                // of this order, because `at` is the sum of the pages of the blocks before it. It
                // was made cached above, as the allocator expects, and is forgotten below.
                unsafe {
                    helpers::reeve_helper_count_active(first, -(1 << order));
                    bindings::__free_pages(first, order.into());
                }
            }
            at += 1 << order;
        }
        // INVARIANT: Both lengths are 0.
        self.pages_len = 0;
        self.blocks_len = 0;
    }
}

impl Drop for Freer {
    fn drop(&mut self) {
        self.flush();
    }
}
