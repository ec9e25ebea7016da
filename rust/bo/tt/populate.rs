// SPDX-License-Identifier: GPL-2.0

//! How a TT gets its pages, and how it drops them.
#![deny(unsafe_code)]

use super::{
    dma,
    swapin,
    Tt, //
};
use crate::{
    abstractions::task::EndedBy,
    bo::{
        backing::Backing,
        charge::Counted,
        counters::Accounting,
        pages::shmem::ShmemPages,
        pool::alloc,
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
                Event,
                State, //
            },
            victims::{
                self,
                Victims, //
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
    /// Gives the TT its pages, and its content back if it was swapped out or backed up. Returns the
    /// number of pages gained.
    ///
    /// The pages are counted first. While that is over a limit, `reclaim` is asked to evict other
    /// objects; when none can go, or all of them would not help, the populate goes on over the limit. `clear`: pages that get no
    /// content are cleared, as they are anyway if the TT was made so.
    ///
    /// Returns `ENOMEM` if there is no memory, `EINTR` if a fatal signal arrived, `EIO` if the pages
    /// can't be mapped for the device or content can't be read back, or the error of an eviction. May
    /// sleep, and reclaim may run: the caller holds nothing that reclaim waits for.
    ///
    /// C original: `ttm_tt_populate()`.
    #[inline]
    pub(crate) fn populate(
        &mut self,
        backing: &Backing,
        reclaim: &impl Reclaim,
        clear: bool,
    ) -> Result<u64> {
        let clear = clear | self.flags.zero_alloc();
        self.populate_with(backing, reclaim, |tt, missing| {
            tt.allocate(missing, clear, backing, reclaim.ended_by())?;
            tt.cleared = clear;
            Ok(())
        })
    }

    /// Does what [`Tt::populate`] does but for the pages themselves: `allocate` gives the TT the pages
    /// that are missing, with its content, or fails and leaves it as it was.
    #[inline]
    pub(crate) fn populate_with(
        &mut self,
        backing: &Backing,
        reclaim: &impl Reclaim,
        allocate: impl FnOnce(&mut Self, u64) -> Result,
    ) -> Result<u64> {
        let from = self.state;
        let Some(next) = state::step(from, Event::Populate) else {
            return Ok(0);
        };
        if self.charge.is_beside() && !self.flags.owns_pages() {
            self.state = next;
            return Ok(0);
        }
        // Its own pages are charged while it holds them.
        let missing = self.num_pages - self.charge.held();
        let room = self.charge_pages(missing, backing.accounting(), reclaim);
        let counted = match room.and_then(|counted| allocate(self, missing).map(|()| counted)) {
            Ok(counted) => counted,
            Err(e) => {
                self.charge.reduce_to(self.num_pages - missing);
                return Err(e);
            }
        };
        // Nothing can fail any more.
        self.state = next;
        match (from, counted) {
            (State::Empty, Counted::Within) => backing.accounting().statistics.populates.count(),
            _ => self.count_populate(from, counted, missing, backing),
        }
        Ok(missing)
    }

    /// Charges the `missing` pages, and evicts other objects until the counters are within their
    /// limits. Otherwise as [`Charge::try_add`](crate::bo::charge::Charge::try_add).
    #[inline]
    fn charge_pages(
        &mut self,
        missing: u64,
        accounting: &Arc<Accounting>,
        reclaim: &impl Reclaim,
    ) -> Result<Counted> {
        let whole = self.num_pages;
        self.charge
            .try_add(accounting, missing, whole, reclaim, make_room)
    }

    /// Counts a populate by the state that it began in, and drops the storage from which the content came.
    #[cold]
    fn count_populate(&mut self, from: State, counted: Counted, gained: u64, backing: &Backing) {
        self.storage = None;
        let statistics = &backing.accounting().statistics;
        // A TT that is partly backed up has been counted as populated all the time.
        if counted != Counted::Beside && from != State::PartlyBackedUp {
            statistics.populates.count();
        }
        if counted == Counted::Over {
            count_overcommit(backing, gained);
        }
        match from {
            State::Swapped => statistics.swapins.count(),
            State::BackedUp | State::PartlyBackedUp => statistics.restores.count(),
            State::Empty | State::Populated => {}
        }
    }

    /// Allocates the `missing` pages, with the content that is in storage, and maps them for the
    /// device if the TT has addresses for it.
    #[inline(always)]
    fn allocate(
        &mut self,
        missing: u64,
        clear: bool,
        backing: &Backing,
        ended_by: EndedBy,
    ) -> Result {
        let pool = Some(backing.pool());
        if self.flags.is_shmem() {
            return self.hold_shmem(backing);
        }
        if let Some(storage) = &self.storage {
            let (pages, all) = (&mut self.pages, self.num_pages);
            let device = (
                self.flags.has_dma().then(|| backing.dma()),
                self.flags.is_decrypted(),
            );
            return swapin::swap_in(pages, all, storage, pool, device, ended_by);
        }
        alloc::fill_until(&mut self.pages, missing, clear, pool, ended_by)?;
        if self.flags.has_dma() {
            let decrypted = self.flags.is_decrypted();
            return dma::show_fresh(&mut self.pages, backing.dma(), decrypted, clear);
        }
        Ok(())
    }

    /// Takes hold of the pages in the file in which they live, of which it gets a range if it has none.
    #[inline(never)]
    fn hold_shmem(&mut self, backing: &Backing) -> Result {
        let dma = self.flags.has_dma().then(|| backing.dma());
        if let Some(shmem) = &mut self.shmem {
            return dma::hold(shmem, dma);
        }
        let mut shmem = ShmemPages::new(backing.storage(), self.num_pages)?;
        dma::hold(&mut shmem, dma)?;
        self.shmem = Some(shmem);
        Ok(())
    }

    /// Drops pages and content, if it is populated, and returns the number of pages freed. May sleep.
    ///
    /// A swapped out TT keeps its content. The charge must be in flight.
    ///
    /// C original: `ttm_tt_unpopulate()`.
    #[inline(always)]
    pub(crate) fn unpopulate(&mut self, backing: &Backing) -> u64 {
        let Some(next) = state::step(self.state, Event::Unpopulate) else {
            return 0;
        };
        self.state = next;
        let lost = self.charge.held();
        // Two pointers are tested together.
        if self.shmem.is_some() || self.log.is_some() | self.pages.dma().is_some() {
            self.leave_file_and_device();
        }
        alloc::give_back(&mut self.pages, self.cleared, Some(backing.pool()));
        self.charge.drop_all(backing.accounting());
        lost
    }

    /// Drops the range of a file and the DMA addresses that it has; all pages read as zeroes from now on.
    #[inline(never)]
    fn leave_file_and_device(&mut self) {
        if let Some(log) = &self.log {
            log.all_written();
        }
        self.pages.set_dma(None);
        self.shmem = None;
    }
}

/// Counts a populate that went on over a limit.
#[cold]
fn count_overcommit(backing: &Backing, gained: u64) {
    let accounting = backing.accounting();
    accounting.statistics.overcommits.count();
    let (counted, limits) = (accounting.counted(), accounting.limits.get());
    trace::overcommitted(backing.device(), gained, counted, limits);
}

/// Evicts objects until the counters are within their limits. `true`: no more can go, and they still are
/// over a limit; or the limits are hard and `wanted` by itself is over them. Returns `EINTR` if a fatal
/// signal arrived.
///
/// Nothing is evicted for a limit that would be exceeded without any other object that can go.
#[cold]
#[inline(never)]
fn make_room(accounting: &Accounting, wanted: Amount, reclaim: &impl Reclaim) -> Result<bool> {
    let mut stuck = Amount::default();
    while accounting.over_limit() {
        let (counted, limit) = (accounting.counted(), accounting.limits.get());
        if accounting.limits.are_hard() && limits::over_limit(wanted, limit) {
            // Nothing is evicted for what can't succeed.
            return Ok(true);
        }
        reclaim.ended_by().cond_resched()?;
        if !accounting.limits.eviction_helps(accounting.limits.stored()) {
            return Ok(true);
        }
        let pinned = reclaim
            .pinned()
            .plus(stuck)
            .unwrap_or(Amount::of(u64::MAX, true));
        let freed = match victims::victims(counted, limit, pinned, wanted) {
            Some(Victims::Any) => {
                let enough = || accounting.counted().pages <= accounting.limits.get().pages;
                reclaim.evict_until(EvictScope::Any, &mut { enough })?
            }
            Some(Victims::Dma32) => {
                let enough = || accounting.counted().dma32 <= accounting.limits.get().dma32;
                let freed = reclaim.evict_until(EvictScope::Dma32, &mut { enough })?;
                if freed == 0 {
                    // Only for the other limit anything can be done.
                    stuck.dma32 = limit.dma32.saturating_add(1);
                    continue;
                }
                freed
            }
            None => 0,
        };
        if freed == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
