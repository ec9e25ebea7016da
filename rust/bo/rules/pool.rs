// SPDX-License-Identifier: GPL-2.0-or-later

//! What a pool of free pages keeps, and what it gives back first.
#![deny(unsafe_code)]

use super::{
    page_kind::PageKind,
    page_runs::ORDERS, //
};

/// How many kinds of pages there are.
pub const KINDS: usize = PageKind::ALL.len();

/// Returns whether `pages` more pages may be kept beside `kept`, when `cap` is the most.
#[inline]
pub const fn has_room(kept: u64, pages: u64, cap: u64) -> bool {
    match kept.checked_add(pages) {
        Some(sum) => sum <= cap,
        None => false,
    }
}

/// Returns whether pages are kept when a TT frees them.
///
/// Kept pages are cleared. For pages that are not plain memory that is cheap beside what they cost
/// to make; for plain memory it is only done if the next owner is expected to have them cleared
/// anyway, that is if their last owner got them cleared (`cleared`).
#[inline]
pub const fn worth_keeping(kind: PageKind, cleared: bool) -> bool {
    cleared || !matches!(kind.caching, super::page_kind::Caching::Cached)
}

/// How many blocks a pool keeps of each kind and order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeCounts {
    blocks: [[u64; ORDERS]; KINDS],
}

/// Names a free list by the kind and the order of its blocks, which are interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeListId {
    /// Index of the kind in [`PageKind::ALL`].
    pub kind: usize,
    /// The order.
    pub order: usize,
}

impl FreeCounts {
    /// Makes the counts of an empty pool.
    pub const fn new() -> Self {
        Self {
            blocks: [[0; ORDERS]; KINDS],
        }
    }

    fn slot(&mut self, id: FreeListId) -> Option<&mut u64> {
        self.blocks.get_mut(id.kind)?.get_mut(id.order)
    }

    /// Counts one more.
    pub fn add(&mut self, id: FreeListId) {
        if let Some(slot) = self.slot(id) {
            // There are no more blocks than pages, so their number fits.
            *slot = slot.wrapping_add(1);
        }
    }

    /// Counts one less.
    pub fn remove(&mut self, id: FreeListId) {
        if let Some(slot) = self.slot(id) {
            *slot = slot.saturating_sub(1);
        }
    }

    /// Returns the number of blocks on a free list.
    pub fn blocks(&self, id: FreeListId) -> u64 {
        self.blocks
            .get(id.kind)
            .and_then(|orders| orders.get(id.order))
            .copied()
            .unwrap_or(0)
    }

    /// Returns the number of pages on all free lists.
    pub fn pages(&self) -> u64 {
        self.lists().map(|(id, n)| n << id.order).sum()
    }

    /// Returns the free list from which to take a block to give `want` pages back to the system;
    /// `None`: the pool is empty.
    ///
    /// That is the list of the largest blocks that are not more than wanted, since large blocks are
    /// what the system runs out of first; else of the smallest ones.
    pub fn victim(&self, want: u64) -> Option<FreeListId> {
        let there = || self.lists().filter(|(_, n)| *n != 0).map(|(id, _)| id);
        there()
            .filter(|id| 1u64 << id.order <= want)
            .max_by_key(|id| id.order)
            .or_else(|| there().min_by_key(|id| id.order))
    }

    fn lists(&self) -> impl Iterator<Item = (FreeListId, u64)> + '_ {
        self.blocks.iter().enumerate().flat_map(|(kind, orders)| {
            orders
                .iter()
                .enumerate()
                .map(move |(order, &n)| (FreeListId { kind, order }, n))
        })
    }
}

impl Default for FreeCounts {
    fn default() -> Self {
        Self::new()
    }
}
