// SPDX-License-Identifier: GPL-2.0

//! The charge of a TT: the pages that it has added to the counters, as a value.
//!
//! It adds, dropping it subtracts, and nothing else does either. So whatever way a populate fails
//! or a TT is destroyed, the counters are right. C TTM repeats the block that adds and subtracts, and
//! its backup lacks it: there the counters drift.
#![deny(unsafe_code)]

pub(super) mod owners;

use super::counters::Accounting;
use kernel::sync::Arc;

/// Pages counted in an accounting; dropping it uncharges them.
///
/// Pages that are uncharged must be in flight, that is in no device's list.
pub(crate) struct Charge {
    /// None until something was counted first; then always the same.
    accounting: Option<Arc<Accounting>>,
    pages: u64,
    dma32: bool,
}

impl Charge {
    /// Makes a charge of no pages. `dma32`: those it will have are from a DMA32 pool.
    #[inline]
    pub(super) const fn none(dma32: bool) -> Self {
        Self {
            accounting: None,
            pages: 0,
            dma32,
        }
    }

    /// Counts `pages` more, in flight. Returns whether that may be over a limit, or more than the
    /// machine has; they are counted anyway. Any context.
    ///
    /// `accounting` must be the same each time.
    #[inline]
    pub(super) fn add(&mut self, accounting: &Arc<Accounting>, pages: u64) -> bool {
        let accounting = self.accounting.get_or_insert_with(|| accounting.clone());
        // The accounting holds the sum of all charges, so this one fits as well.
        self.pages = self.pages.wrapping_add(pages);
        accounting.charge(pages, self.dma32)
    }

    /// Returns the number of pages.
    #[inline]
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Uncharges all but `pages` pages and returns whether that was any.
    #[inline]
    pub(super) fn reduce_to(&mut self, pages: u64) -> bool {
        if self.pages <= pages {
            return false;
        }
        let less = self.pages - pages;
        self.pages = pages;
        if let Some(accounting) = &self.accounting {
            accounting.uncharge(less, self.dma32);
        }
        true
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        self.reduce_to(0);
    }
}
