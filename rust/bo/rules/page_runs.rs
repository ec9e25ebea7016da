// SPDX-License-Identifier: GPL-2.0-or-later

//! The arithmetic of a compact page directory.
//!
//! Pages come from the buddy allocator in blocks of `2^order`, the largest order first; when an
//! order cannot be allocated, the rest comes from lower ones. So orders never go up along the
//! directory, and how many blocks there are of each order says which block a page is in: a
//! directory needs one pointer per block and this table.
#![deny(unsafe_code)]

/// The largest order asked for; 2 MiB blocks on x86-64, where larger ones map no better.
pub const MAX_ORDER: u32 = 9;

/// How many orders there are.
pub const ORDERS: usize = MAX_ORDER as usize + 1;

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

/// Pages asked for, and the orders of the blocks they come in when all orders are available; for the
/// host tests and the module's own tests.
pub const SHAPES: [(u64, &[u32]); 8] = [
    (1, &[0]),
    (2, &[1]),
    (3, &[1, 0]),
    (4, &[2]),
    (7, &[2, 1, 0]),
    (512, &[9]),
    (513, &[9, 0]),
    (1027, &[9, 9, 1, 0]),
];

/// The order of a block of just so many pages; `None`: there is none.
#[inline]
pub const fn one_block(pages: u64) -> Option<u32> {
    let below = pages.wrapping_sub(1);
    if below < 1 << MAX_ORDER && pages & below == 0 {
        Some(pages.trailing_zeros())
    } else {
        None
    }
}

/// How many blocks of each order a directory has.
///
/// # Invariants
///
/// `pages` is the sum over all blocks of their pages. If there are any, `last` is the lowest order that has some, and none above `first` has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    blocks: [u32; ORDERS],
    pages: u64,
    first: u32,
    last: u32,
}

/// See [`Layout::orders`].
#[derive(Clone, Debug)]
pub struct Orders<'a> {
    blocks: &'a [u32; ORDERS],
    /// The order above the next lower one that is looked at.
    above: u32,
    /// Blocks that are left of order `above`.
    left: u32,
}

impl Iterator for Orders<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.above = self.above.checked_sub(1)?;
            self.left = *self.blocks.get(self.above as usize)?;
        }
        self.left -= 1;
        Some(self.above)
    }
}

impl Layout {
    /// Of a directory without blocks.
    pub const fn new() -> Self {
        // INVARIANT: No blocks, no pages.
        Self {
            blocks: [0; ORDERS],
            pages: 0,
            first: 0,
            last: 0,
        }
    }

    /// Counts a block appended to the directory.
    ///
    /// `false`, and nothing changed: the order is too large, it is larger than the last block's,
    /// or there are 2^32 - 1 blocks of it.
    #[must_use]
    #[inline(always)]
    pub fn push(&mut self, order: u32) -> bool {
        let is_first = self.pages == 0;
        if !is_first && order > self.last {
            return false;
        }
        let Some(slot) = self.blocks.get_mut(order as usize) else {
            return false;
        };
        let Some(n) = slot.checked_add(1) else {
            return false;
        };
        // INVARIANT: No lower order has blocks, as `last` says, or there are none at all. The sum fits:
        // there are 10 orders, each with less than 2^32 blocks of at most 2^9 pages.
        *slot = n;
        self.pages = self.pages.wrapping_add(1 << order);
        if is_first {
            self.first = order;
        }
        self.last = order;
        true
    }

    /// Takes the last block off the directory and returns its order; `None`: there is none.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<u32> {
        let order = self.last;
        let slot = self.blocks.get_mut(order as usize)?;
        let n = slot.checked_sub(1)?;
        // INVARIANT: The pages of the block are in the sum.
        *slot = n;
        self.pages = self.pages.wrapping_sub(1 << order);
        // INVARIANT: The orders below `order` have no blocks; the next that has some is above.
        if self.pages != 0 && n == 0 {
            self.last = (order..ORDERS as u32)
                .find(|&higher| self.blocks.get(higher as usize).is_some_and(|&n| n != 0))?;
        }
        Some(order)
    }

    /// Blocks altogether.
    pub fn blocks(&self) -> usize {
        self.blocks.iter().map(|&n| n as usize).sum()
    }

    /// Returns the number of pages.
    #[inline]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The order of the last block; `None`: there is none.
    #[inline]
    pub fn last_order(&self) -> Option<u32> {
        (self.pages != 0).then_some(self.last)
    }

    /// Returns where the page `index` is; `None`: not in this directory.
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
    #[inline]
    pub fn orders(&self) -> Orders<'_> {
        Orders {
            blocks: &self.blocks,
            above: if self.pages == 0 { 0 } else { self.first + 1 },
            left: 0,
        }
    }

    /// `(order, blocks)` from the largest order down, of those that have blocks and some that do not.
    fn descending(&self) -> impl Iterator<Item = (u32, u32)> + Clone + '_ {
        let largest = self.first as usize + 1;
        let blocks = self.blocks.get(..largest).unwrap_or(&self.blocks);
        (0..ORDERS as u32).zip(blocks.iter().copied()).rev()
    }
}
