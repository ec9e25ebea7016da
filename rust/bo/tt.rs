// SPDX-License-Identifier: GPL-2.0

//! A TT (translation table): the pages behind a buffer object, or where its content is instead.
//!
//! What is allowed in which state is in [`tt_state`]; here it is done. Every operation that fails
//! leaves the TT, the counters and the statistics as they were.
//!
//! C original: `struct ttm_tt`.

pub(super) mod access;
mod dma;
mod swapin;
mod swapout;

pub(crate) use swapout::BackUp;

use super::{
    charge::Charge,
    counters::Accounting,
    device::Device,
    evict::EvictScope,
    pages::{
        decrypted,
        shmem::ShmemPages,
        PageBlocks, //
    },
    pool::{
        alloc,
        Pool, //
    },
    rules::{
        limits::{
            self,
            Amount, //
        },
        object::{
            self,
            BoFlags, //
        },
        sizes,
        state::{
            self,
            Event,
            State, //
        }, //
    },
    trace, //
};
use crate::abstractions::{
    dma::DmaDevice,
    page::{
        total_ram,
        PageMut,
        PageRef, //
    },
    shmem::ShmemFile,
    task,
    vma::{
        Fault,
        FaultResult,
        Pages,
        Range, //
    }, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

/// Somebody who can free pages when a limit is exceeded.
pub(crate) trait Reclaim {
    /// Swaps out one TT and answers how many pages that freed; 0: there is none left.
    ///
    /// May sleep; the caller holds at most reservations.
    fn swap_out_one(&self) -> Result<u64>;

    /// The same, of those asked for only.
    fn swap_out_one_of(&self, scope: EvictScope<'_>) -> Result<u64>;
}

/// The pages behind a buffer object, or where its content is.
///
/// `content` says what the rest holds: unless it is populated there are no pages and no charge. It
/// ends with its pages going back to the system before the charge is given back.
pub(crate) struct Tt {
    num_pages: u64,
    flags: BoFlags,
    content: Content,
    pages: PageBlocks,
    /// The file its pages live in, and none in `pages`, if it was made so; None while it is empty.
    shmem: Option<ShmemPages>,
    /// Of its pages, unless they are somebody else's.
    charge: Charge,
    /// Whether the pages were cleared when it got them.
    cleared: bool,
    /// Its pages, if it has some, are in `pages` and no device knows of them.
    simple: bool,
    /// A place for a backup that was set up and is not used yet.
    prepared: Option<ShmemFile>,
}

/// Where the content is. Variants are those of [`State`].
enum Content {
    Empty,
    Populated,
    /// None: in the file that its pages live in.
    Swapped(Option<ShmemFile>),
    /// Likewise.
    BackedUp(Option<ShmemFile>),
    /// The pages are the first of the TT's, in full; the content of the others is here.
    PartlyBackedUp(ShmemFile),
}

impl Tt {
    /// Makes a TT without pages for an object of `size` bytes, with `extra` pages behind it.
    ///
    /// `EINVAL`: zero, or more than can be counted. Any context.
    ///
    /// C original: `ttm_tt_create()` and `ttm_tt_init()`; a directory is only made when there are
    /// pages.
    #[inline]
    pub(crate) fn new(size: u64, extra: u64, mut flags: BoFlags) -> Result<Self> {
        if flags.dma {
            flags = flags.in_guest(decrypted::guest_memory_is_encrypted());
        }
        Ok(Self {
            num_pages: sizes::pages_for(size, extra, PAGE_SHIFT as u32).map_err(|_| EINVAL)?,
            flags,
            content: Content::Empty,
            pages: PageBlocks::new(flags.kind),
            shmem: None,
            charge: Charge::none(flags.kind.dma32),
            cleared: false,
            simple: !flags.shmem && !flags.dma,
            prepared: None,
        })
    }

    /// Where the content is.
    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.content {
            Content::Empty => State::Empty,
            Content::Populated => State::Populated,
            Content::Swapped(_) => State::Swapped,
            Content::BackedUp(_) => State::BackedUp,
            Content::PartlyBackedUp(_) => State::PartlyBackedUp,
        }
    }

    /// The flags a user sees.
    pub(crate) fn user_flags(&self) -> u32 {
        object::flags_of(self.flags, self.state())
    }

    /// What was decided when it was made.
    pub(crate) fn flags(&self) -> BoFlags {
        self.flags
    }

    /// Whether its pages are somebody else's.
    #[inline]
    pub(crate) fn is_external(&self) -> bool {
        self.flags.external
    }

    /// Pages it has when populated.
    pub(crate) fn num_pages(&self) -> u64 {
        self.num_pages
    }

    /// Pages it holds in memory now.
    #[inline]
    pub(crate) fn resident_pages(&self) -> u64 {
        match &self.shmem {
            None => self.pages.len(),
            Some(shmem) => shmem.held(),
        }
    }

    /// Pages it has added to the counters.
    #[inline]
    pub(crate) fn charged_pages(&self) -> u64 {
        self.charge.pages()
    }

    /// Bytes that it takes to find the pages.
    #[cfg(reeve_bench)]
    pub(crate) fn metadata_bytes(&self) -> usize {
        self.pages.metadata_bytes()
    }

    /// Pages it would be charged for if it was populated, in all and more than now. None of what
    /// can't succeed.
    #[inline]
    pub(super) fn to_be_charged(&self) -> (u64, u64) {
        if self.flags.external || self.num_pages > total_ram() {
            return (0, 0);
        }
        (self.num_pages, self.num_pages - self.resident_pages())
    }

    /// The page `index`, while it is populated.
    pub(super) fn page(&self, index: u64) -> Option<PageRef<'_>> {
        match (&self.content, &self.shmem) {
            (Content::Populated, None) => self.pages.page(index),
            (Content::Populated, Some(shmem)) => shmem.page(index),
            _ => None,
        }
    }

    /// The page `index`, to be written to, while it is populated.
    pub(super) fn page_mut(&mut self, index: u64) -> Option<PageMut<'_>> {
        match (&self.content, &mut self.shmem) {
            (Content::Populated, None) => self.pages.page_mut(index),
            (Content::Populated, Some(shmem)) => shmem.page_mut(index),
            _ => None,
        }
    }

    /// Removes all user mappings of the pages, so that nobody writes to them any more. May sleep.
    ///
    /// C original: `ttm_bo_unmap_virtual()`.
    fn unmap(&mut self) {
        self.pages.unmap();
        if let Some(shmem) = &mut self.shmem {
            shmem.unmap();
        }
    }

    /// Maps the page `index`, while it is populated. The mapping goes before the page does.
    pub(super) fn map(&mut self, fault: Fault<'_>, index: u64, range: &Range) -> FaultResult {
        match (&self.content, &mut self.shmem) {
            (Content::Populated, None) => fault.map(&mut self.pages, index, range),
            (Content::Populated, Some(shmem)) => fault.map(shmem, index, range),
            _ => fault.sigbus(),
        }
    }

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
        device: &Device,
        reclaim: &impl Reclaim,
        clear: bool,
    ) -> Result<u64> {
        let clear = clear || self.flags.zero_alloc;
        let gained = self.populate_by(device, reclaim, |tt, missing| {
            tt.allocate(missing, clear, device)
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
        device: &Device,
        reclaim: &impl Reclaim,
        allocate: impl FnOnce(&mut Self, u64) -> Result,
    ) -> Result<u64> {
        // What is most common takes the fewest steps. It does what the other one does.
        if !matches!(self.content, Content::Empty) || self.flags.external {
            return self.populate_other(device, reclaim, allocate);
        }
        let (accounting, missing) = (device.accounting(), self.num_pages);
        if self.charge.add(accounting, missing) {
            self.charge.reduce_to(0);
            return self.populate_other(device, reclaim, allocate);
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
        device: &Device,
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
            self.charge.add(device.accounting(), missing)
        };
        let result = match tight {
            true => self.make_room(device.accounting(), reclaim),
            false => Ok(false),
        };
        match result.and_then(|over| allocate(self, missing).map(|()| over)) {
            // Nothing can fail any more.
            Ok(over) => self.count_populate(device, missing, over),
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
    fn count_populate(&self, device: &Device, gained: u64, overcommitted: bool) {
        let statistics = &device.accounting().statistics;
        if !self.flags.external {
            // One that is partly backed up has been counted as populated all the time.
            if !matches!(self.content, Content::PartlyBackedUp(_)) {
                statistics.populates.count();
            }
            if overcommitted {
                statistics.overcommits.count();
                trace::overcommitted(device, gained);
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
    fn allocate(&mut self, missing: u64, clear: bool, device: &Device) -> Result {
        let pool = Some(device.pool());
        if matches!(self.content, Content::Empty) && self.simple {
            return alloc::fill(&mut self.pages, missing, clear, pool);
        }
        let dma = self.flags.dma.then(|| device.dma());
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
    pub(crate) fn unpopulate(&mut self, device: &Device) -> u64 {
        if state::step(self.state(), Event::Unpopulate).is_err() {
            return 0;
        }
        self.content = Content::Empty;
        let lost = match self.pages.blocks() {
            0 if self.simple => 0,
            _ => self.shed(device),
        };
        if self.charge.reduce_to(0) {
            device.accounting().statistics.unpopulates.count();
        }
        lost
    }

    /// Lets go of all pages, of their addresses, and of the file they live in; answers how many it
    /// were.
    #[inline]
    fn shed(&mut self, device: &Device) -> u64 {
        let lost = self.resident_pages();
        if self.flags.dma {
            self.pages.set_dma(None);
        }
        if self.flags.shmem {
            self.shmem = None;
        }
        alloc::give_back(&mut self.pages, self.cleared, Some(device.pool()));
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
        if reclaim.swap_out_one()? == 0 {
            if accounting.limits.are_hard() {
                accounting.statistics.refusals.count();
                return Err(ENOMEM);
            }
            return Ok(true);
        }
    }
    Ok(false)
}
