// SPDX-License-Identifier: GPL-2.0

//! How a TT gets its pages, and how it drops them.
#![deny(unsafe_code)]

use super::{
    dma,
    swapin,
    Content,
    Tt, //
};
use crate::{
    abstractions::{
        dma::DmaDevice,
        task, //
    },
    bo::{
        backing::Backing,
        counters::Accounting,
        pages::{
            shmem::ShmemPages,
            total_ram, //
        },
        pool::{
            alloc,
            Pool, //
        },
        reclaim::{
            EvictScope,
            Reclaim, //
        },
        rules::{
            limits::{
                self,
                Amount, //
            },
            state::{
                self,
                Event, //
            }, //
        },
        trace, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl Tt {
    /// Gives it its pages, and its content back if it was swapped out or backed up; answers the
    /// pages gained.
    ///
    /// The pages are counted first. While that is over a limit, `reclaim` is asked to swap out
    /// others; when it finds none the populate goes on over the limit. `clear`: pages that get no
    /// content are cleared, as they are anyway if the TT was made so.
    ///
    /// `ENOMEM`: no memory; `EINTR`: a fatal signal; `EIO`: the pages can't be mapped for the
    /// device, or content can't be read back; or what swapping out failed with. May sleep, and
    /// reclaim may run: the caller holds nothing that reclaim waits for.
    ///
    /// C original: `ttm_tt_populate()`.
    #[inline(always)]
    pub(crate) fn populate(
        &mut self,
        backing: &Backing,
        reclaim: &impl Reclaim,
        clear: bool,
    ) -> Result<u64> {
        let clear = clear || self.flags.zero_alloc;
        let gained = self.populate_by(backing, reclaim, |tt, missing| {
            tt.allocate(missing, clear, backing)
        })?;
        if gained != 0 {
            self.cleared = clear;
        }
        Ok(gained)
    }

    /// What [`Tt::populate`] does but for the pages themselves, which `allocate` sees to: the TT
    /// gets the pages that are missing, with its content, or an error and it is as before.
    #[inline(always)]
    pub(crate) fn populate_by(
        &mut self,
        backing: &Backing,
        reclaim: &impl Reclaim,
        allocate: impl FnOnce(&mut Self, u64) -> Result,
    ) -> Result<u64> {
        // What is most common takes the fewest steps. It does what the other one does.
        if !matches!(self.content, Content::Empty) || self.flags.external {
            return self.populate_other(backing, reclaim, allocate);
        }
        let (accounting, missing) = (backing.accounting(), self.num_pages);
        if self.charge.add(accounting, missing) {
            self.charge.reduce_to(0);
            return self.populate_other(backing, reclaim, allocate);
        }
        if let Err(e) = allocate(self, missing) {
            self.charge.reduce_to(0);
            return Err(e);
        }
        accounting.statistics.populates.count();
        // An empty one has nothing to drop.
        core::mem::forget(core::mem::replace(&mut self.content, Content::Populated));
        Ok(missing)
    }

    /// [`Tt::populate_by`] in any state, whether or not there is room.
    #[inline(never)]
    fn populate_other(
        &mut self,
        backing: &Backing,
        reclaim: &impl Reclaim,
        allocate: impl FnOnce(&mut Self, u64) -> Result,
    ) -> Result<u64> {
        if state::step(self.state(), Event::Populate).is_err() {
            return Ok(0);
        }
        if !self.flags.owns_pages() {
            self.content = Content::Populated;
            return Ok(0);
        }
        let missing = self.num_pages - self.resident_pages();
        let charged = self.charge.pages();
        let tight = if self.flags.external {
            self.num_pages > total_ram()
        } else {
            self.charge.add(backing.accounting(), missing)
        };
        let result = match tight {
            true => self.make_room(backing.accounting(), reclaim),
            false => Ok(false),
        };
        match result.and_then(|over| allocate(self, missing).map(|()| over)) {
            // Nothing can fail any more.
            Ok(over) => self.count_populate(backing, missing, over),
            Err(e) => {
                self.charge.reduce_to(charged);
                return Err(e);
            }
        }
        self.content = Content::Populated;
        Ok(missing)
    }

    /// Swaps out others until the counters are in their limits. `true`: there was nobody left, and
    /// they still are not. `ENOMEM`: that many pages the machine does not have.
    fn make_room(&self, accounting: &Accounting, reclaim: &impl Reclaim) -> Result<bool> {
        // Don't empty the machine for what can't succeed.
        if self.num_pages > total_ram() {
            return Err(ENOMEM);
        }
        let wanted = Amount::of(self.num_pages, self.flags.kind.dma32);
        make_room(accounting, wanted, reclaim)
    }

    /// Counts a populate by what it was.
    fn count_populate(&self, backing: &Backing, gained: u64, overcommitted: bool) {
        let statistics = &backing.accounting().statistics;
        if !self.flags.external {
            // One that is partly backed up has been counted as populated all the time.
            if !matches!(self.content, Content::PartlyBackedUp(_)) {
                statistics.populates.count();
            }
            if overcommitted {
                statistics.overcommits.count();
                let accounting = backing.accounting();
                let (counted, limits) = (accounting.counted(), accounting.limits.get());
                trace::overcommitted(backing.device(), gained, counted, limits);
            }
        }
        match self.content {
            Content::Swapped(_) => statistics.swapins.count(),
            Content::BackedUp(_) | Content::PartlyBackedUp(_) => statistics.restores.count(),
            Content::Empty | Content::Populated => {}
        }
    }

    /// Gets the `missing` pages, with the content that is elsewhere, and shows them to the device if
    /// it is to know them.
    #[inline(always)]
    fn allocate(&mut self, missing: u64, clear: bool, backing: &Backing) -> Result {
        let pool = Some(backing.pool());
        if matches!(self.content, Content::Empty) && self.simple {
            return alloc::fill(&mut self.pages, missing, clear, pool);
        }
        let dma = self.flags.dma.then(|| backing.dma());
        self.allocate_other(missing, clear, pool, dma)
    }

    /// [`Tt::allocate`] in any state, and of pages of any kind.
    #[inline(never)]
    fn allocate_other(
        &mut self,
        missing: u64,
        clear: bool,
        pool: Option<&Pool>,
        dma: Option<&Arc<DmaDevice>>,
    ) -> Result {
        match &self.content {
            _ if self.flags.shmem => self.hold_shmem(dma),
            Content::Swapped(Some(storage))
            | Content::BackedUp(Some(storage))
            | Content::PartlyBackedUp(storage) => {
                let decrypted = self.flags.decrypted;
                swapin::refill(
                    &mut self.pages,
                    self.num_pages,
                    storage,
                    pool,
                    dma,
                    decrypted,
                )
            }
            _ => {
                alloc::fill(&mut self.pages, missing, clear, pool)?;
                match dma {
                    None => Ok(()),
                    Some(dma) => {
                        let decrypted = self.flags.decrypted;
                        dma::show_fresh(&mut self.pages, dma, decrypted, clear)
                    }
                }
            }
        }
    }

    /// Gets hold of the pages of the file they live in, which is made if there is none.
    fn hold_shmem(&mut self, dma: Option<&Arc<DmaDevice>>) -> Result {
        if let Some(shmem) = &mut self.shmem {
            return dma::hold(shmem, dma);
        }
        let mut shmem = ShmemPages::new(c"reeve pages", self.num_pages)?;
        dma::hold(&mut shmem, dma)?;
        self.shmem = Some(shmem);
        Ok(())
    }

    /// Drops pages and content, if it is populated; answers the pages lost. May sleep.
    ///
    /// A swapped out TT keeps its content. The charge must be in flight.
    ///
    /// C original: `ttm_tt_unpopulate()`.
    #[inline(always)]
    pub(crate) fn unpopulate(&mut self, backing: &Backing) -> u64 {
        if state::step(self.state(), Event::Unpopulate).is_err() {
            return 0;
        }
        self.content = Content::Empty;
        let lost = match self.pages.blocks() {
            0 if self.simple => 0,
            _ => self.release_pages(backing),
        };
        if self.charge.reduce_to(0) {
            backing.accounting().statistics.unpopulates.count();
        }
        lost
    }

    /// Lets go of all pages, of their addresses, and of the file they live in; answers how many it
    /// were.
    #[inline]
    fn release_pages(&mut self, backing: &Backing) -> u64 {
        let lost = self.resident_pages();
        if self.flags.dma {
            self.pages.set_dma(None);
        }
        if self.flags.shmem {
            self.shmem = None;
        }
        alloc::give_back(&mut self.pages, self.cleared, Some(backing.pool()));
        lost
    }
}

/// Swaps out others until the counters are in their limits. `true`: there was nobody left, and
/// they still are not. `ENOMEM`: likewise, but the limits are hard; or `wanted` by itself is more.
fn make_room(accounting: &Accounting, wanted: Amount, reclaim: &impl Reclaim) -> Result<bool> {
    while accounting.over_limit() {
        if accounting.limits.are_hard() && limits::over_limit(wanted, accounting.limits.get()) {
            // Nobody is swapped out for what can't succeed.
            accounting.statistics.refusals.count();
            return Err(ENOMEM);
        }
        task::cond_resched_killable()?;
        if reclaim.evict_one(EvictScope::Any)? == 0 {
            if accounting.limits.are_hard() {
                accounting.statistics.refusals.count();
                return Err(ENOMEM);
            }
            return Ok(true);
        }
    }
    Ok(false)
}
