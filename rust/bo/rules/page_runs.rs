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
    if pages.is_power_of_two() && pages <= 1 << MAX_ORDER {
        Some(pages.trailing_zeros())
    } else {
        None
    }
}

/// How many blocks of each order a directory has.
///
/// # Invariants
///
/// `pages` is the sum over all blocks of their pages, `len` the number of blocks. If there are any,
/// `last` is the lowest order that has some, and none above `first` has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    blocks: [u32; ORDERS],
    pages: u64,
    len: usize,
    first: u32,
    last: u32,
}

impl Layout {
    /// Of a directory without blocks.
    pub const fn new() -> Self {
        // INVARIANT: No blocks, no pages.
        Self {
            blocks: [0; ORDERS],
            pages: 0,
            len: 0,
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
        let is_first = self.len == 0;
        if !is_first && order > self.last {
            return false;
        }
        let Some(slot) = self.blocks.get_mut(order as usize) else {
            return false;
        };
        let Some(n) = slot.checked_add(1) else {
            return false;
        };
        // INVARIANT: No lower order has blocks, as `last` says, or there are none at all.
        *slot = n;
        self.pages += 1 << order;
        self.len += 1;
        if is_first {
            self.first = order;
        }
        self.last = order;
        true
    }

    /// Takes the last block off the directory and returns its order; `None`: there is none.
    #[inline]
    pub fn pop(&mut self) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let order = self.last;
        let slot = self.blocks.get_mut(order as usize)?;
        *slot -= 1;
        self.pages -= 1 << order;
        self.len -= 1;
        // INVARIANT: The orders below `order` have no blocks; the next that has some is above.
        if *slot == 0 && self.len != 0 {
            self.last = (order..ORDERS as u32)
                .find(|&higher| self.blocks.get(higher as usize).is_some_and(|&n| n != 0))?;
        }
        Some(order)
    }

    /// Blocks altogether.
    #[inline]
    pub fn blocks(&self) -> usize {
        self.len
    }

    /// Returns the number of pages.
    #[inline]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The order of the last block; `None`: there is none.
    #[inline]
    pub fn last_order(&self) -> Option<u32> {
        (self.len != 0).then_some(self.last)
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
    pub fn orders(&self) -> impl Iterator<Item = u32> + Clone + '_ {
        self.descending()
            .flat_map(|(order, n)| core::iter::repeat_n(order, n as usize))
    }

    /// `(order, blocks)` from the largest order down, of those that have blocks and some that do not.
    fn descending(&self) -> impl Iterator<Item = (u32, u32)> + Clone + '_ {
        let largest = self.first as usize + 1;
        let blocks = self.blocks.get(..largest).unwrap_or(&self.blocks);
        (0..ORDERS as u32).zip(blocks.iter().copied()).rev()
    }
}
