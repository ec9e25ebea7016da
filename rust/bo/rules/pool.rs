// SPDX-License-Identifier: GPL-2.0

//! What a pool of free pages keeps, and what it gives back first.

use super::{
    page_kind::PageKind,
    page_runs::ORDERS, //
};

/// How many kinds of pages there are.
pub const KINDS: usize = PageKind::ALL.len();

/// Whether `pages` more pages may be kept beside `kept`, when `cap` is the most.
#[inline]
pub const fn has_room(kept: u64, pages: u64, cap: u64) -> bool {
    match kept.checked_add(pages) {
        Some(sum) => sum <= cap,
        None => false,
    }
}

/// Whether pages are kept when a TT lets go of them.
///
/// Kept pages are cleared. For pages that are not plain memory that is cheap beside what they cost
/// to make; for plain memory it is only done if whoever takes them next has them cleared anyway,
/// which `cleared` says: that their last owner got them cleared.
#[inline]
pub const fn worth_keeping(kind: PageKind, cleared: bool) -> bool {
    cleared || !matches!(kind.caching, super::page_kind::Caching::Cached)
}

/// How many blocks a pool keeps of each kind and order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    blocks: [[u64; ORDERS]; KINDS],
}

/// A kind and an order: blocks of one are as good as any other of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// Index of the kind in [`PageKind::ALL`].
    pub kind: usize,
    /// The order.
    pub order: usize,
}

impl Stock {
    /// Of an empty pool.
    pub const fn new() -> Self {
        Self {
            blocks: [[0; ORDERS]; KINDS],
        }
    }

    fn slot(&mut self, shelf: Shelf) -> Option<&mut u64> {
        self.blocks.get_mut(shelf.kind)?.get_mut(shelf.order)
    }

    /// Counts one more.
    pub fn add(&mut self, shelf: Shelf) {
        if let Some(slot) = self.slot(shelf) {
            *slot += 1;
        }
    }

    /// Counts one less.
    pub fn remove(&mut self, shelf: Shelf) {
        if let Some(slot) = self.slot(shelf) {
            *slot = slot.saturating_sub(1);
        }
    }

    /// Blocks on a shelf.
    pub fn blocks(&self, shelf: Shelf) -> u64 {
        self.blocks
            .get(shelf.kind)
            .and_then(|orders| orders.get(shelf.order))
            .copied()
            .unwrap_or(0)
    }

    /// Pages on all shelves.
    pub fn pages(&self) -> u64 {
        self.shelves().map(|(shelf, n)| n << shelf.order).sum()
    }

    /// From which shelf to take a block to give `want` pages back to the system; `None`: the pool
    /// is empty.
    ///
    /// The largest block that is not more than wanted, since large blocks are what the system runs
    /// out of first; else the smallest there is.
    pub fn victim(&self, want: u64) -> Option<Shelf> {
        let there = || {
            self.shelves()
                .filter(|(_, n)| *n != 0)
                .map(|(shelf, _)| shelf)
        };
        there()
            .filter(|shelf| 1u64 << shelf.order <= want)
            .max_by_key(|shelf| shelf.order)
            .or_else(|| there().min_by_key(|shelf| shelf.order))
    }

    fn shelves(&self) -> impl Iterator<Item = (Shelf, u64)> + '_ {
        self.blocks.iter().enumerate().flat_map(|(kind, orders)| {
            orders
                .iter()
                .enumerate()
                .map(move |(order, &n)| (Shelf { kind, order }, n))
        })
    }
}

impl Default for Stock {
    fn default() -> Self {
        Self::new()
    }
}
