// SPDX-License-Identifier: GPL-2.0

//! How content leaves a TT's pages: for swap storage, for a backup, or for good.
#![deny(unsafe_code)]

use super::Tt;
use crate::{
    abstractions::{
        memcg,
        mistake,
        shmem::{
            Folios,
            Slot, //
        },
        shrinker,
        task, //
    },
    bo::{
        backing::Backing,
        counters::Accounting,
        pages::PageBlocks,
        rules::{
            page_runs::MAX_ORDER,
            state::{
                self,
                Event,
                State, //
            }, //
        }, //
    }, //
};
use kernel::prelude::*;

/// How a backup is made.
#[derive(Clone, Copy)]
pub(crate) struct BackUp {
    /// Content is sent on to swap at once.
    pub(crate) writeback: bool,
    /// The most pages whose content is copied before they are freed.
    pub(crate) granule: u64,
    /// The pages at which it ends; 0: none are left.
    pub(crate) until: u64,
    /// Whether each granule may be charged above the limit of its cgroup until its pages are freed.
    pub(crate) overcharge: bool,
}

impl BackUp {
    /// How many pages to copy before they are freed, when there is next to no memory.
    pub(crate) const SPARING: u64 = 16;

    /// The cheapest way, when there is memory.
    pub(crate) const RELAXED: Self = Self {
        writeback: false,
        granule: 1 << MAX_ORDER,
        until: 0,
        overcharge: false,
    };
}

/// A copy of a TT's content in swap storage, while the TT still has its pages too.
pub(crate) struct SwapCopy {
    storage: Option<Slot>,
    /// The state after the swapout.
    next: State,
}

impl Tt {
    /// Copies the content to swap storage, the first half of a swapout; `None`: there is nothing to
    /// swap out. Mappings are removed before, users' and the device's, so that the content does not change
    /// any more, and what the device wrote is seen.
    ///
    /// Returns `EINVAL` if the pages are external, `ENOMEM` if there is no memory, `EINTR` if a
    /// fatal signal arrived. May sleep, like [`Tt::populate`].
    ///
    /// C original: `ttm_tt_swapout()`.
    pub(crate) fn copy_to_swap(&mut self, backing: &Backing) -> Result<Option<SwapCopy>> {
        if self.flags.is_external() {
            return Err(EINVAL);
        }
        let Some(next) = state::step(self.state, Event::SwapOut) else {
            return Ok(None);
        };

        self.unmap();
        if self.shmem.is_some() {
            let storage = None;
            return Ok(Some(SwapCopy { storage, next }));
        }
        let had_dma = self.unmap_dma();
        let copy = self.copy_all(backing);
        if copy.is_err() && had_dma {
            self.map_dma_again(backing);
        }
        let storage = Some(copy?);
        Ok(Some(SwapCopy { storage, next }))
    }

    /// Copies all pages to storage.
    fn copy_all(&self, backing: &Backing) -> Result<Slot> {
        let _scope = memcg::Scope::of(self.pages.first_page());
        let slot = Slot::new(backing.storage(), self.num_pages, Folios::Large)?;
        for (index, run) in self.pages.runs(0) {
            task::cond_resched_killable()?;
            slot.write(index, run, false)?;
        }
        Ok(slot)
    }

    /// Removes the addresses that the pages have for a device. Returns whether they had any.
    fn unmap_dma(&mut self) -> bool {
        let had = self.pages.dma().is_some();
        self.pages.set_dma(None);
        had
    }

    /// Gives the pages addresses again, after their content could not be moved. If that fails they have
    /// none until the object is populated the next time.
    fn map_dma_again(&mut self, backing: &Backing) {
        let _ = self.pages.map_dma(backing.dma());
    }

    /// Frees the pages whose content was copied, the second half of a swapout, and returns how many.
    ///
    /// Can't fail; may sleep. The charge must be in flight.
    pub(crate) fn swap_out(&mut self, copy: SwapCopy, accounting: &Accounting) -> u64 {
        if let (Some(log), true) = (&self.log, mistake::is_made(c"log_swapout")) {
            log.clear(0, u64::MAX, &mut [u64::MAX; 64]);
        }
        let freed = self.charged_pages();
        self.state = copy.next;
        self.storage = copy.storage;
        // To the system: this is done to have less in memory.
        self.pages.release();
        if let Some(shmem) = &mut self.shmem {
            shmem.release();
        }
        self.charge.reduce_to(0);
        accounting.statistics.swapouts.count();
        accounting.statistics.swapped_pages.count_many(freed);
        freed
    }

    /// Makes the place for a backup beforehand. A backup that fails leaves it.
    ///
    /// Returns `EINVAL` if the pages are external.
    ///
    /// C original: `ttm_tt_setup_backup()`, which leaves the file behind when it refuses.
    pub(crate) fn set_up_backup(&mut self, backing: &Backing) -> Result {
        self.prepare_backup(Folios::Small, backing)
    }

    fn prepare_backup(&mut self, folios: Folios, backing: &Backing) -> Result {
        if !self.flags.owns_pages() {
            return Err(EINVAL);
        }
        if self.prepared.is_none() && !self.flags.is_shmem() && !self.state().is_backed_up() {
            self.prepared = Some(Slot::new(backing.storage(), self.num_pages, folios)?);
        }
        Ok(())
    }

    /// Moves content to the backup, frees its pages, from the last page on, and returns how many.
    ///
    /// When memory runs out half-way, or a fatal signal arrives, what was moved stays moved; the next
    /// backup goes on there. The caller then makes the charge what [`Tt::resident_pages`] says,
    /// with [`Tt::uncharge_moved`].
    ///
    /// Returns `EINVAL` if the pages are external, `ENOMEM` or `EINTR` if nothing was moved. May
    /// sleep; takes locks of the page cache.
    ///
    /// C original: `ttm_tt_backup()`, which leaves the counters as they are.
    pub(crate) fn back_up(&mut self, how: BackUp, backing: &Backing) -> Result<u64> {
        if !self.flags.owns_pages() {
            return Err(EINVAL);
        }
        if state::step(self.state, Event::BackUp).is_none() {
            return Ok(0);
        }
        self.unmap();
        if let Some(shmem) = &mut self.shmem {
            let moved = shmem.held();
            shmem.release();
            self.enter(Event::BackUp);
            return Ok(moved);
        }
        let was_set_up = self.prepared.is_some();
        self.ready_backup(how, backing)?;
        let had_dma = self.unmap_dma();
        let _scope = memcg::Scope::of(self.pages.first_page());
        let before = self.pages.len();
        if self.storage.is_none() {
            self.storage = self.prepared.take();
        }
        let storage = self.storage.as_ref().ok_or(EINVAL)?;
        let result = move_from_end(&mut self.pages, storage, how);
        let moved = before - self.pages.len();
        if self.pages.len() == 0 {
            self.enter(Event::BackUp);
        } else if before < self.num_pages || moved != 0 {
            self.enter(Event::BackUpInPart);
        } else {
            let unused = self.storage.take();
            if was_set_up {
                self.prepared = unused;
            }
            if had_dma {
                self.map_dma_again(backing);
            }
        }
        match result {
            Err(e) if moved == 0 => Err(e),
            _ => Ok(moved),
        }
    }

    /// Makes the storage for a backup, if there is none.
    fn ready_backup(&mut self, how: BackUp, backing: &Backing) -> Result {
        match self.state {
            State::PartlyBackedUp => Ok(()),
            // A large folio is for content that is copied all at once.
            _ if how.until == 0 && how.granule >= BackUp::RELAXED.granule => {
                self.prepare_backup(Folios::Large, backing)
            }
            _ => self.prepare_backup(Folios::Small, backing),
        }
    }

    /// Uncharges the pages that a backup has freed, which must be in flight.
    pub(crate) fn uncharge_moved(&mut self) {
        self.charge.reduce_to(self.resident_pages());
    }

    /// Drops content, from pages and backup, and the pages, and returns how many. May sleep.
    ///
    /// The charge must be in flight.
    ///
    /// C original: `ttm_pool_backup()` that is told to purge, and `ttm_pool_drop_backed_up()`.
    pub(crate) fn purge(&mut self, accounting: &Accounting) -> u64 {
        let Some(next) = state::step(self.state, Event::Purge) else {
            return 0;
        };
        let lost = self.resident_pages();
        self.state = next;
        // It reads as zeroes from now on.
        if let Some(log) = &self.log {
            log.all_written();
        }
        self.storage = None;
        self.shmem = None;
        // To the system: this is done to have less in memory.
        self.pages.release();
        if self.charge.held() != 0 {
            self.charge.drop_all(accounting);
        }
        lost
    }

    /// Makes the place that was set up for a backup too short for it, so that the backup fails at once.
    #[cfg(reeve_kunit)]
    pub(in crate::bo) fn shorten_prepared(&mut self) -> Result {
        let prepared = self.prepared.as_ref().ok_or(EINVAL)?;
        self.prepared = Some(prepared.shorter()?);
        Ok(())
    }

    /// Whether a place for a backup was set up and is not used yet.
    #[cfg(reeve_kunit)]
    pub(in crate::bo) fn is_set_up(&self) -> bool {
        self.prepared.is_some()
    }

    /// Makes a swapped out TT whose storage can't be read back, to see what populating it does.
    #[cfg(reeve_kunit)]
    pub(in crate::bo) fn truncate_storage(&mut self) -> Result {
        if let (State::Swapped, Some(storage)) = (self.state, &self.storage) {
            self.storage = Some(storage.shorter()?);
        }
        Ok(())
    }
}

/// Moves content to `storage`, from the end, until there are no more pages left than asked.
fn move_from_end(pages: &mut PageBlocks, storage: &Slot, mut how: BackUp) -> Result {
    if storage.folios() == Folios::Large {
        // Part of a large folio takes more memory than it frees.
        how.granule = BackUp::RELAXED.granule;
        how.until -= how.until % how.granule;
    }
    // Decrypted blocks can't become partial.
    let whole = pages.is_decrypted();
    let mut granule = if whole { u64::MAX } else { how.granule };
    loop {
        let excess = pages.len().saturating_sub(how.until);
        if excess == 0 {
            return Ok(());
        }
        task::cond_resched_killable()?;
        let most = if whole { granule } else { granule.min(excess) };
        let Some((index, run)) = pages.last_run(most) else {
            return Ok(());
        };
        let count = run.len();
        let write = || storage.write(index, run, how.writeback);
        let result = if how.overcharge {
            // A task that reclaims is charged above the limit. Only for these few pages, which are freed
            // next: it may also use the last reserves meanwhile.
            shrinker::as_reclaim(write)
        } else {
            write()
        };
        match result {
            Ok(()) => pages.release_last(count),
            Err(e) => {
                // The pages have it still.
                storage.forget(index, count);
                if count == 1 || whole {
                    return Err(e);
                }
                // A page that is freed makes room for the next.
                granule = 1;
            }
        }
    }
}
