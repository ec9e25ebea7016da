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
pub(crate) mod populate;
mod swapin;
pub(crate) mod swapout;

use super::{
    charge::Charge,
    pages::{
        decrypted,
        shmem::ShmemPages,
        total_ram,
        PageBlocks,
        PageMut,
        PageRef, //
    },
    rules::{
        object::{
            self,
            BoFlags, //
        },
        sizes,
        state::State, //
    }, //
};
use crate::abstractions::{
    shmem::ShmemFile,
    vma::{
        Fault,
        FaultResult,
        Pages,
        Range, //
    }, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

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
    pub(crate) fn directory_bytes(&self) -> usize {
        self.pages.directory_bytes()
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
            _ => fault.refuse(),
        }
    }
}
