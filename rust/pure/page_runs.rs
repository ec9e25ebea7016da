// SPDX-License-Identifier: GPL-2.0

//! The arithmetic of a compact page directory.
//!
//! Pages come from the buddy allocator in blocks of `2^order`, the largest order first; when an
//! order is not to be had, the rest comes from lower ones. So orders never go up along the
//! directory, and how many blocks there are of each order says which block a page is in: a
//! directory needs one pointer per block and this table.

/// The largest order asked for; 2 MiB blocks on x86-64, where larger ones map no better.
pub const MAX_ORDER: u32 = 9;

const ORDERS: usize = MAX_ORDER as usize + 1;

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of its block in the directory.
    pub block: usize,
    /// Index of the page inside the block.
    pub page: usize,
    /// The block's order.
    pub order: u32,
}

/// The order to try next: the largest that neither exceeds `limit` nor the pages still missing.
///
/// `limit` is the order of the block before, so that orders never go up. `missing` is not 0.
pub fn order_for(missing: u64, limit: u32) -> u32 {
    match missing.checked_ilog2() {
        Some(fits) => fits.min(limit).min(MAX_ORDER),
        None => 0,
    }
}

/// How many blocks of each order a directory has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    blocks: [u32; ORDERS],
}

impl Layout {
    /// Of a directory without blocks.
    pub const fn new() -> Self {
        Self {
            blocks: [0; ORDERS],
        }
    }

    /// Counts a block appended to the directory.
    ///
    /// `false`, and nothing changed: the order is too large, it is larger than the last block's,
    /// or there are 2^32 - 1 blocks of it.
    #[must_use]
    pub fn push(&mut self, order: u32) -> bool {
        let Some((slot, lower)) = self
            .blocks
            .get_mut(..=order as usize)
            .and_then(|upto| upto.split_last_mut())
        else {
            return false;
        };
        if lower.iter().any(|&n| n != 0) {
            return false;
        }
        match slot.checked_add(1) {
            Some(n) => {
                *slot = n;
                true
            }
            None => false,
        }
    }

    /// Blocks altogether.
    pub fn blocks(&self) -> usize {
        self.blocks.iter().map(|&n| n as usize).sum()
    }

    /// Pages altogether.
    pub fn pages(&self) -> u64 {
        self.descending()
            .map(|(order, n)| u64::from(n) << order)
            .sum()
    }

    /// Where the page `index` is; `None`: not in this directory.
    pub fn locate(&self, index: u64) -> Option<Place> {
        let mut index = index;
        let mut block = 0usize;
        for (order, n) in self.descending() {
            let pages = u64::from(n) << order;
            if index < pages {
                return Some(Place {
                    block: block + (index >> order) as usize,
                    page: (index & ((1 << order) - 1)) as usize,
                    order,
                });
            }
            index -= pages;
            block += n as usize;
        }
        None
    }

    /// The order of every block, in directory order.
    pub fn orders(&self) -> impl Iterator<Item = u32> + '_ {
        self.descending()
            .flat_map(|(order, n)| core::iter::repeat_n(order, n as usize))
    }

    /// `(order, blocks)` from the largest order down.
    fn descending(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..ORDERS as u32).zip(self.blocks.iter().copied()).rev()
    }
}
