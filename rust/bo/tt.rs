// SPDX-License-Identifier: GPL-2.0

//! A TT (translation table): the pages behind a buffer object, or where its content is instead.
//!
//! What may happen in which state is in [`rules::state`](super::rules::state). Every operation that
//! fails leaves the TT, the counters and the statistics as they were.
//!
//! C original: `struct ttm_tt`.
#![deny(unsafe_code)]

pub(super) mod access;
mod dma;
mod log;
pub(crate) mod populate;
mod swapin;
pub(crate) mod swapout;

use super::{
    charge::Charge,
    dirty::DirtyLog,
    pages::{
        decrypted,
        shmem::ShmemPages,
        PageBlocks, //
    },
    rules::{
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
    }, //
};
use crate::abstractions::{
    kmap::Protection,
    mistake,
    page::{
        total_ram,
        PageMut,
        PageRef, //
    },
    shmem::Slot,
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

/// The pages behind a buffer object, or where its content is.
///
/// `state` says what the rest holds: unless it is populated or partly backed up, there are no pages
/// and no charge. Dropping it frees its pages, then its charge.
pub(crate) struct Tt {
    num_pages: u64,
    flags: BoFlags,
    state: State,
    /// The content that is not in `pages`, if it is swapped out or backed up and does not live in
    /// `shmem`.
    storage: Option<Slot>,
    pages: PageBlocks,
    /// The range of a file in which its pages live, with none in `pages`, if it was made so; None while it
    /// is empty.
    shmem: Option<ShmemPages>,
    /// The charge for its pages.
    charge: Charge,
    /// Whether the pages were cleared when it got them.
    cleared: bool,
    /// The place for a backup that was set up and is not used yet.
    prepared: Option<Slot>,
    /// Which pages were written to, if that is logged.
    log: Option<Arc<DirtyLog>>,
}

impl Tt {
    /// Makes a TT without pages for an object of `size` bytes, with `extra` pages behind it.
    ///
    /// Returns `EINVAL` if that is zero, or more than can be counted. Any context.
    ///
    /// C original: `ttm_tt_create()` and `ttm_tt_init()`; page blocks are only made when it
    /// is populated.
    #[inline]
    pub(crate) fn new(size: u64, extra: u64, flags: BoFlags) -> Result<Self> {
        let num_pages = Self::pages_for(size, extra)?;
        Ok(Self::with_pages(num_pages, Self::flags_here(flags)))
    }

    /// Returns the number of pages of one for an object of `size` bytes, with `extra` pages behind it. Errors as
    /// [`Tt::new`].
    #[inline]
    pub(super) fn pages_for(size: u64, extra: u64) -> Result<u64> {
        sizes::pages_for(size, extra, PAGE_SHIFT as u32).map_err(|_| EINVAL)
    }

    /// Returns the flags of one that is made on this machine.
    #[inline(always)]
    pub(super) fn flags_here(flags: BoFlags) -> BoFlags {
        if flags.has_dma() {
            Self::flags_for_device(flags)
        } else {
            flags
        }
    }

    #[cold]
    #[inline(never)]
    fn flags_for_device(flags: BoFlags) -> BoFlags {
        flags.in_guest(decrypted::guest_memory_is_encrypted())
    }

    /// Returns the protection that all mappings of pages of one with these flags have.
    #[inline]
    pub(super) fn protection_of(flags: BoFlags) -> Protection {
        Protection::of(flags.kind().caching, flags.is_decrypted())
    }

    /// Makes one of `num_pages` pages, with flags as from [`Tt::flags_here`]. Inlined, so that it is made where it is
    /// to stay.
    #[inline(always)]
    pub(super) fn with_pages(num_pages: u64, flags: BoFlags) -> Self {
        let kind = flags.kind();
        // Before the pages: with a branch behind them, the compiler makes these in one place and copies them to another.
        let charge = Charge::new(flags.is_external(), kind.dma32);
        Self {
            num_pages,
            flags,
            state: State::Empty,
            storage: None,
            pages: PageBlocks::new(kind),
            shmem: None,
            charge,
            cleared: false,
            prepared: None,
            log: None,
        }
    }

    /// Returns where the content is.
    #[inline]
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Returns whether it has no pages, no content, no place for any, and no log.
    #[inline]
    pub(super) fn holds_nothing(&self) -> bool {
        self.state == State::Empty
            && self.storage.is_none()
            && self.prepared.is_none()
            && self.shmem.is_none()
            && self.log.is_none()
    }

    /// Enters the state after `event`.
    #[inline]
    fn enter(&mut self, event: Event) {
        if let Some(next) = state::step(self.state, event) {
            self.state = next;
        }
    }

    /// Returns the flags that a user sees.
    pub(crate) fn user_flags(&self) -> u32 {
        let logging = if self.log.is_some() {
            object::flags::LOGGING
        } else {
            0
        };
        object::flags_of(self.flags, self.state()) | logging
    }

    /// Returns the flags with which it was made.
    pub(crate) fn flags(&self) -> BoFlags {
        self.flags
    }

    /// Returns whether its pages are external.
    #[inline]
    pub(crate) fn is_external(&self) -> bool {
        self.flags.is_external()
    }

    /// Returns the number of pages that it has when populated.
    pub(crate) fn num_pages(&self) -> u64 {
        self.num_pages
    }

    /// Returns the number of pages that it holds in memory.
    #[inline]
    pub(crate) fn resident_pages(&self) -> u64 {
        match &self.shmem {
            None => self.pages.len(),
            Some(shmem) => shmem.held(),
        }
    }

    /// Returns the number of pages for which it is charged.
    #[inline]
    pub(crate) fn charged_pages(&self) -> u64 {
        self.charge.pages()
    }

    /// Returns the number of bytes that the directory of the pages takes.
    #[cfg(reeve_bench)]
    pub(crate) fn metadata_bytes(&self) -> usize {
        self.pages.metadata_bytes()
    }

    /// Returns for how many pages it would be charged if it was populated, in all and more than now. None
    /// if that can't succeed.
    #[inline]
    pub(super) fn to_be_charged(&self) -> (u64, u64) {
        if !self.flags.owns_pages() || self.num_pages > total_ram() {
            return (0, 0);
        }
        (self.num_pages, self.num_pages - self.resident_pages())
    }

    /// Returns the page `index`, while it is populated.
    pub(super) fn page(&self, index: u64) -> Option<PageRef<'_>> {
        match (self.state, &self.shmem) {
            (State::Populated, None) => self.pages.page(index),
            (State::Populated, Some(shmem)) => shmem.page(index),
            _ => None,
        }
    }

    /// Returns the page `index`, to be written to, while it is populated. It counts as written to.
    pub(super) fn page_mut(&mut self, index: u64) -> Option<PageMut<'_>> {
        if let (State::Populated, Some(log), false) =
            (self.state, &self.log, mistake::is_made(c"log_write"))
        {
            log.written(index);
        }
        match (self.state, &mut self.shmem) {
            (State::Populated, None) => self.pages.page_mut(index),
            (State::Populated, Some(shmem)) => shmem.page_mut(index),
            _ => None,
        }
    }

    /// Removes all user mappings of the pages, so that these do not change any more. May sleep.
    ///
    /// C original: `ttm_bo_unmap_virtual()`.
    pub(super) fn unmap(&mut self) {
        self.pages.unmap();
        if let Some(shmem) = &mut self.shmem {
            shmem.unmap();
        }
    }

    /// Maps the page `index`, while it is populated. The mapping is removed before the page is freed.
    pub(super) fn map(&mut self, fault: Fault<'_>, index: u64, range: &Range) -> FaultResult {
        let log = self.log.as_deref();
        match (self.state, &mut self.shmem) {
            (State::Populated, None) => fault.map(&mut self.pages, index, range, log),
            (State::Populated, Some(shmem)) => fault.map(shmem, index, range, log),
            _ => fault.sigbus(),
        }
    }
}
