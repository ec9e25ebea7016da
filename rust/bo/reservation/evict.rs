// SPDX-License-Identifier: GPL-2.0

//! How a reserved buffer object leaves memory: swapped out, backed up, or its content dropped.
#![deny(unsafe_code)]

use super::Reservation;
use crate::bo::{
    driver::Leaving,
    reclaim::Reclaim,
    rules::state::{
        Request,
        State, //
    },
    trace,
    tt::{
        swapout::BackUp,
        Tt, //
    }, //
};
use kernel::prelude::*;

impl Reservation<'_> {
    /// Moves the content to swap storage, if it is populated, and returns the number of pages freed.
    ///
    /// Returns `EINVAL` if its pages are external, `EBUSY` if it is pinned, `ENOMEM` if there is no
    /// memory, `EINTR` if a fatal signal arrived. A swapout that fails leaves the object's place in
    /// the LRU as it was.
    pub(crate) fn swap_out(&mut self) -> Result<u64> {
        if !self.decide(Request::SwapOut)? {
            return Ok(0);
        }
        self.asked(Leaving::Kept, Self::swap_out_asked)
    }

    fn swap_out_asked(&mut self) -> Result<u64> {
        let (id, device, accounting) = (self.bo.id(), self.device(), self.accounting());
        let pages = self.guard.tt.as_ref().map_or(0, Tt::charged_pages);
        trace::swap_out(id, &accounting.statistics.times, pages, || {
            let Some(copy) = self.tt()?.copy_to_swap(device.backing())? else {
                return Ok(0);
            };
            self.delist(pages);
            let freed = self.tt()?.swap_out(copy, accounting);
            self.uncharge_to(0);
            Ok(freed)
        })
    }

    /// Moves the object out of memory: by swapping it out or, if it is partly backed up, by backing
    /// up the rest. Otherwise as [`Reservation::swap_out`].
    ///
    /// Content is charged to the memory cgroup to which the pages are charged. If the cgroup has no
    /// room for the copy, the content is moved a few pages at a time. That of a purgeable object is
    /// dropped.
    pub(in crate::bo) fn evict(&mut self) -> Result<u64> {
        if self.guard.purgeable {
            return self.purge();
        }
        let result = if self.state() == State::PartlyBackedUp {
            self.back_up(BackUp::RELAXED)
        } else {
            self.swap_out()
        };
        match result {
            Err(ENOMEM) if self.bo.charges().memcg().is_some() => self.evict_in_parts(),
            result => result,
        }
    }

    /// Moves the object out of memory a few pages at a time, which may be charged above the limit of its
    /// cgroup until those that they are copied from are freed. Otherwise as [`Reservation::back_up`].
    pub(in crate::bo) fn evict_in_parts(&mut self) -> Result<u64> {
        if self.guard.purgeable {
            return self.purge();
        }
        self.back_up(BackUp {
            writeback: true,
            granule: BackUp::SPARING,
            until: 0,
            overcharge: true,
        })
    }

    /// Moves about `pages` pages out of memory, for reclaim, and returns how many it moved; all those of a
    /// purgeable object are dropped. Otherwise as [`Reservation::back_up`].
    pub(in crate::bo) fn shrink(&mut self, pages: u64, writeback: bool) -> Result<u64> {
        if self.guard.purgeable {
            return self.purge();
        }
        let resident = self.guard.tt.as_ref().map_or(0, Tt::resident_pages);
        self.back_up(BackUp {
            writeback,
            granule: BackUp::SPARING,
            until: resident.saturating_sub(pages),
            overcharge: false,
        })
    }

    /// Makes the place for a backup beforehand; see [`Tt::set_up_backup`].
    #[cfg_attr(not(reeve_kunit), expect(dead_code, reason = "for in-kernel users"))]
    pub(crate) fn set_up_backup(&mut self) -> Result {
        let device = self.device();
        self.tt()?.set_up_backup(device.backing())
    }

    /// Moves content to the backup, as far as memory goes, frees its pages, and returns how many.
    ///
    /// What is left keeps its place in the LRU; the next backup goes on there. Returns `EINVAL` if
    /// its pages are external, `EBUSY` if it is pinned, and `ENOMEM` or `EINTR` if nothing was moved
    /// for want of memory or because of a fatal signal.
    pub(crate) fn back_up(&mut self, how: BackUp) -> Result<u64> {
        if !self.decide(Request::BackUp)? {
            return Ok(0);
        }
        self.asked(Leaving::Kept, |this| this.back_up_asked(how))
    }

    fn back_up_asked(&mut self, how: BackUp) -> Result<u64> {
        let (bo, device, accounting) = (self.bo, self.device(), self.accounting());
        let pages = self.guard.tt.as_ref().map_or(0, Tt::resident_pages);
        trace::back_up(bo.id(), &accounting.statistics.times, pages, || {
            let tt = self.tt()?;
            let charged = tt.charged_pages();
            let moved = tt.back_up(how, device.backing())?;
            let left = tt.resident_pages();
            accounting.statistics.backed_up_pages.count_many(moved);
            if charged != 0 {
                if left == 0 {
                    accounting.statistics.backups.count();
                    self.delist(charged);
                } else {
                    device.resize(bo, left);
                }
            }
            self.tt()?.uncharge_moved();
            self.uncharge_to(left);
            Ok(moved)
        })
    }

    /// Gives the object its pages and content back, if they are in a backup, and returns the number
    /// of pages gained. Otherwise as [`Reservation::populate`].
    pub(crate) fn restore(&mut self, reclaim: &impl Reclaim) -> Result<u64> {
        if self.decide(Request::Restore)? {
            self.populate(reclaim)
        } else {
            Ok(0)
        }
    }

    /// Drops content, from pages and backup, and the pages, and returns how many. Swapped out content
    /// stays.
    ///
    /// Returns `EINVAL` if its pages are external, `EBUSY` if it is pinned.
    pub(crate) fn purge(&mut self) -> Result<u64> {
        if !self.decide(Request::Purge)? {
            return Ok(0);
        }
        self.asked(Leaving::Dropped, Self::purge_asked)
    }

    fn purge_asked(&mut self) -> Result<u64> {
        let (id, accounting) = (self.bo.id(), self.accounting());
        let charged = self.tt()?.charged_pages();
        self.delist(charged);
        let tt = self.tt()?;
        let lost = trace::unpopulate(id, || tt.purge(accounting));
        self.uncharge_to(0);
        Ok(lost)
    }
}
