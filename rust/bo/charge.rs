// SPDX-License-Identifier: GPL-2.0

//! The charge of a TT: the pages that it has added to the counters, as a value.
//!
//! It adds, dropping it subtracts, and nothing else does either. So whatever way a populate fails
//! or a TT is destroyed, the counters are right. C TTM repeats the block that adds and subtracts, and
//! its backup lacks it: there the counters drift.
#![deny(unsafe_code)]

pub(super) mod budget;
pub(super) mod groups;
pub(super) mod owners;
pub(super) mod pins;
pub(super) mod settling;

use super::{
    counters::Accounting,
    reclaim::{
        EvictScope,
        Reclaim, //
    },
    rules::limits::{
        self,
        Amount, //
    }, //
};
use crate::abstractions::{page::total_ram, page_counters::Charged};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What pages are counted as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Pages of any kind.
    Any,
    /// Pages for DMA32 pools.
    Dma32,
    /// Pages of an external object: not in the counters, but a hard limit bounds them as well.
    External,
}

impl Kind {
    /// Takes back pages of this kind that are in flight.
    #[inline(always)]
    fn uncharge(self, accounting: &Accounting, pages: u64) {
        match self {
            Self::Any => accounting.uncharge(pages, false),
            Self::Dma32 => accounting.uncharge_dma32(pages),
            Self::External => accounting.limits.uncharge_external(pages),
        }
    }
}

/// What became of pages that were to be counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// They are in the counters, which are within the limits.
    Within,
    /// They are in the counters, and a soft limit is exceeded.
    Over,
    /// They are of an external object, so not in the counters.
    Beside,
}

/// Pages counted in an accounting; dropping it uncharges them.
///
/// Pages that are uncharged must be in flight, that is in no device's list.
pub(crate) struct Charge {
    /// None until something was counted first; then always the same.
    accounting: Option<Arc<Accounting>>,
    pages: u64,
    kind: Kind,
}

impl Charge {
    /// Makes a charge of no pages. `external`: it is for those of an external object; `dma32`: those it will have are
    /// from a DMA32 pool.
    #[inline(always)]
    pub(super) const fn new(external: bool, dma32: bool) -> Self {
        Self {
            accounting: None,
            pages: 0,
            kind: if external {
                Kind::External
            } else if dma32 {
                Kind::Dma32
            } else {
                Kind::Any
            },
        }
    }

    /// Returns whether its pages are not in the counters.
    #[inline]
    pub(super) fn is_beside(&self) -> bool {
        self.kind == Kind::External
    }

    /// Counts `pages` more, in flight, for an object of `whole` pages.
    ///
    /// What can never succeed is refused before it is counted. Over a limit, `make_room` is called,
    /// which evicts other objects until the counters are within their limits and returns `false`, or
    /// `true` when none is left. Then a soft limit is exceeded; for a hard one this waits for others in
    /// flight, if there are such.
    ///
    /// Returns `ENOMEM` if the machine does not have that many pages, or a hard limit can't be kept;
    /// `EINTR` if a fatal signal arrived; or the error of `make_room`. What was counted may stay
    /// charged on failure. May sleep. `accounting` must be the same each time.
    #[inline]
    pub(super) fn try_add<R: Reclaim>(
        &mut self,
        accounting: &Arc<Accounting>,
        pages: u64,
        whole: u64,
        reclaim: &R,
        make_room: impl FnOnce(&Accounting, Amount, &R) -> Result<bool>,
    ) -> Result<Counted> {
        let charged = match self.kind {
            Kind::Any => accounting.charge(pages, whole, false),
            Kind::Dma32 => accounting.charge_dma32(pages, whole),
            Kind::External => Charged::Not,
        };
        match charged {
            Charged::Within => {
                self.own(accounting, pages);
                Ok(Counted::Within)
            }
            over => self.try_add_over(accounting, pages, whole, over, reclaim, make_room),
        }
    }

    /// Goes on with [`Charge::try_add`] where it may be that there is no room.
    #[cold]
    fn try_add_over<R: Reclaim>(
        &mut self,
        accounting: &Arc<Accounting>,
        pages: u64,
        whole: u64,
        charged: Charged,
        reclaim: &R,
        make_room: impl FnOnce(&Accounting, Amount, &R) -> Result<bool>,
    ) -> Result<Counted> {
        let limits = &accounting.limits;
        let within = match self.kind {
            Kind::External => Counted::Beside,
            _ => Counted::Within,
        };
        let wanted = Amount::of(whole, self.kind == Kind::Dma32);
        if charged == Charged::Not {
            if whole > total_ram() {
                return Err(ENOMEM);
            }
            if limits.are_hard() && limits::over_limit(wanted, limits.nominal()) {
                accounting.statistics.refusals.count();
                return Err(ENOMEM);
            }
            self.add_anyway(accounting, pages);
        } else {
            self.own(accounting, pages);
        }
        if !accounting.over_limit() || (self.kind == Kind::External && !limits.are_hard()) {
            return Ok(within);
        }
        if limits.eviction_helps(limits.stored()) && !make_room(accounting, wanted, reclaim)? {
            return Ok(within);
        }
        if !limits.are_hard() {
            return Ok(match within {
                Counted::Within => Counted::Over,
                beside => beside,
            });
        }
        // What two populates have charged before they fit may be all that keeps both from fitting.
        self.reduce_to(self.pages - pages);
        let room = accounting.settling.retry(|| loop {
            if self.add_within(accounting, pages) {
                return Ok(Some(()));
            }
            reclaim.ended_by().cond_resched()?;
            let helps = limits.eviction_helps(limits.stored());
            if !helps || reclaim.evict_one(EvictScope::Any)? == 0 {
                return Ok(None);
            }
        })?;
        if room.is_none() {
            accounting.statistics.refusals.count();
            return Err(ENOMEM);
        }
        Ok(within)
    }

    /// Returns the number of pages that it has, in the counters or not.
    #[inline]
    pub(super) fn held(&self) -> u64 {
        self.pages
    }

    /// Makes pages that were counted its own.
    #[inline]
    fn own(&mut self, accounting: &Arc<Accounting>, pages: u64) {
        self.accounting.get_or_insert_with(|| accounting.clone());
        // The accounting holds the sum of all charges, so this one fits as well.
        self.pages = self.pages.wrapping_add(pages);
    }

    /// Counts `pages` more, in flight, whatever the limits.
    pub(super) fn add_anyway(&mut self, accounting: &Arc<Accounting>, pages: u64) {
        match self.kind {
            Kind::External => accounting.limits.charge_external(pages),
            kind => accounting.charge_anyway(pages, kind == Kind::Dma32),
        }
        self.own(accounting, pages);
    }

    /// Counts `pages` more, in flight, if that is within the limits. Returns whether it is.
    fn add_within(&mut self, accounting: &Arc<Accounting>, pages: u64) -> bool {
        if self.kind == Kind::External {
            self.add_anyway(accounting, pages);
            if accounting.over_limit() {
                self.reduce_to(self.pages - pages);
                return false;
            }
            return true;
        }
        let within = accounting.charge_within(pages, self.kind == Kind::Dma32);
        if within {
            self.own(accounting, pages);
        }
        within
    }

    /// Returns the number of pages in the counters.
    #[inline]
    pub(super) fn pages(&self) -> u64 {
        match self.kind {
            Kind::External => 0,
            _ => self.pages,
        }
    }

    /// Uncharges all but `pages` pages.
    pub(super) fn reduce_to(&mut self, pages: u64) {
        if self.pages <= pages {
            return;
        }
        let less = self.pages - pages;
        self.pages = pages;
        if let Some(accounting) = &self.accounting {
            self.kind.uncharge(accounting, less);
        }
    }

    /// Uncharges all pages, of which there are some, because they were dropped with their content, and
    /// counts that. `accounting` must be that to which they were added.
    #[inline(always)]
    pub(super) fn drop_all(&mut self, accounting: &Accounting) {
        let (pages, kind) = (core::mem::take(&mut self.pages), self.kind);
        kind.uncharge(accounting, pages);
        if kind != Kind::External {
            accounting.statistics.unpopulates.count();
        }
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        if self.pages != 0 {
            self.reduce_to(0);
        }
    }
}
