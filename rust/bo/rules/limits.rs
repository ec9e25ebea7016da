// SPDX-License-Identifier: GPL-2.0-or-later

//! The arithmetic of the page counters: limits, and whether the accounting balances.
#![deny(unsafe_code)]

/// An amount of pages: what a TT is charged, what all are, or what all may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Pages of any kind.
    pub pages: u64,
    /// Of these, pages for DMA32 pools.
    pub dma32: u64,
}

impl Amount {
    /// Returns what `pages` pages of one pool count as.
    pub const fn of(pages: u64, dma32: bool) -> Self {
        Self {
            pages,
            dma32: if dma32 { pages } else { 0 },
        }
    }

    /// Returns the sum; `None`: it does not fit.
    pub const fn plus(self, more: Self) -> Option<Self> {
        match (
            self.pages.checked_add(more.pages),
            self.dma32.checked_add(more.dma32),
        ) {
            (Some(pages), Some(dma32)) => Some(Self { pages, dma32 }),
            _ => None,
        }
    }

    /// Returns the difference; `None`: it would be negative.
    pub const fn minus(self, less: Self) -> Option<Self> {
        match (
            self.pages.checked_sub(less.pages),
            self.dma32.checked_sub(less.dma32),
        ) {
            (Some(pages), Some(dma32)) => Some(Self { pages, dma32 }),
            _ => None,
        }
    }
}

/// Returns whether more is counted than the limits allow, of either kind.
///
/// C original: the loop condition in `ttm_tt_populate()`.
pub const fn over_limit(counted: Amount, limit: Amount) -> bool {
    counted.pages > limit.pages || counted.dma32 > limit.dma32
}

/// Returns the limits that hold when none was set: half of the memory, and for DMA32 the low memory but
/// at most 2 GiB. Both arguments in pages.
///
/// C original: `ttm_global_init()`.
pub const fn default_limits(total: u64, low: u64, page_shift: u32) -> Amount {
    let two_gib = 2u64 << (30 - page_shift);
    Amount {
        pages: total / 2,
        dma32: if low < two_gib { low } else { two_gib },
    }
}

/// Returns the limits in force: what was set, with the default wherever 0 was.
pub const fn effective_limits(set: Amount, default: Amount) -> Amount {
    Amount {
        pages: if set.pages == 0 {
            default.pages
        } else {
            set.pages
        },
        dma32: if set.dma32 == 0 {
            default.dma32
        } else {
            set.dma32
        },
    }
}

/// The counters at one moment, as read without a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Changes of the lists begun, ever.
    pub begun: u64,
    /// Changes of the lists finished, ever.
    pub finished: u64,
    /// What is counted.
    pub counted: u64,
    /// Of this, what belongs to TTs in no device's list: they are being populated or unpopulated.
    pub in_flight: u64,
}

/// What a check of the accounting found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The counter is the sum.
    Ok,
    /// The counter is not the sum.
    Drift {
        /// Pages counted.
        counted: u64,
        /// Pages the TTs hold.
        summed: u64,
    },
    /// Something changed meanwhile: look again.
    Retry,
}

/// Compares the counter with `listed`, the pages held by all TTs in the devices' lists.
///
/// `before` was read before the sum was made and `after` afterwards. Every change of a list, and of
/// how much of the counter belongs to the lists, is between a step of `begun` and one of `finished`.
pub fn verdict(before: Sample, listed: u64, after: Sample) -> Verdict {
    if before.begun != before.finished || before != after {
        return Verdict::Retry;
    }
    let summed = listed.saturating_add(before.in_flight);
    if summed == before.counted {
        Verdict::Ok
    } else {
        Verdict::Drift {
            counted: before.counted,
            summed,
        }
    }
}
