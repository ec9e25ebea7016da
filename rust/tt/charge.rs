// SPDX-License-Identifier: GPL-2.0

//! The pages a TT has added to the counters, as a value.
//!
//! Making one adds, dropping it subtracts, and nothing else does either. So whatever way a populate
//! fails or a TT ends, the counters are right. C TTM repeats the block that adds and subtracts, and
//! its backup forgot it: there the counters drift.

use super::books::Books;
use crate::pure::accounting::Amount;
use kernel::sync::Arc;

/// Pages counted in some books; dropping it gives them back.
///
/// When it is dropped it must be in flight, that is in no device's list.
pub(crate) struct Charge {
    books: Arc<Books>,
    amount: Amount,
}

impl Charge {
    /// Counts `pages` pages, whether or not that is over a limit. Any context.
    #[inline]
    pub(super) fn new(books: &Arc<Books>, pages: u64, dma32: bool) -> Self {
        let amount = Amount::of(pages, dma32);
        books.charge(amount);
        Self {
            books: books.clone(),
            amount,
        }
    }

    /// How many pages.
    #[inline]
    pub(super) fn pages(&self) -> u64 {
        self.amount.pages
    }
}

impl Charge {
    /// Makes one charge of two; both of the same pool.
    pub(super) fn merge(&mut self, mut more: Self) {
        let added = core::mem::take(&mut more.amount);
        // The books hold both, so the sum is no more than they can count.
        self.amount = self.amount.plus(added).unwrap_or(self.amount);
    }

    /// Gives back all but `pages` pages; those given back must be in flight.
    pub(super) fn reduce_to(&mut self, pages: u64) {
        let left = Amount::of(pages, self.amount.dma32 != 0);
        if let Some(less) = self.amount.minus(left) {
            self.amount = left;
            self.books.uncharge(less);
        }
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        if self.amount.pages == 0 {
            return;
        }
        self.books.uncharge(self.amount);
    }
}
