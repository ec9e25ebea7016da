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

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        self.books.uncharge(self.amount);
    }
}
