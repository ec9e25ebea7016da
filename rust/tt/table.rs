// SPDX-License-Identifier: GPL-2.0

//! A TT (translation table): the pages behind a buffer object, or where its content is instead.
//!
//! What is allowed in which state is in [`tt_state`]; here it is done. Every operation that fails
//! leaves the TT, the counters and the statistics as they were.
//!
//! C original: `struct ttm_tt`.

use super::{
    books::Books,
    charge::Charge,
    device::Device,
    source, //
};
use crate::{
    ffi::{
        pages::{
            total_ram,
            PageDirectory, //
        },
        shmem::ShmemFile,
        task, //
    },
    pure::{
        bo_rules::{
            self,
            Creation, //
        },
        sizes,
        tt_state::{
            self,
            Event,
            State, //
        }, //
    }, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// Pages copied between two looks at the scheduler and at fatal signals.
const COPY_BATCH: u64 = 64;

/// Somebody who can free pages when a limit is exceeded.
pub(crate) trait Reclaim {
    /// Swaps out one TT and answers how many pages that freed; 0: there is none left.
    ///
    /// May sleep; the caller holds at most reservations.
    fn swap_out_one(&self) -> Result<u64>;
}

/// The pages behind a buffer object, or where its content is.
///
/// `content` says what the rest holds: unless it is populated there are no pages and no charge. It
/// ends with its pages going back to the system before the charge is given back.
pub(crate) struct Tt {
    num_pages: u64,
    creation: Creation,
    content: Content,
    pages: PageDirectory,
    /// None if there are no pages, or they are somebody else's.
    charge: Option<Charge>,
    /// Whether the pages were cleared when it got them.
    cleared: bool,
}

/// Where the content is. Variants are those of [`State`].
enum Content {
    Empty,
    Populated,
    Swapped(ShmemFile),
}

/// A TT's content in swap storage, while the TT still has it in its pages too.
pub(super) struct Saved(ShmemFile);

impl Tt {
    /// Makes a TT without pages for an object of `size` bytes, with `extra` pages behind it.
    ///
    /// `EINVAL`: zero, or more than can be counted. Any context.
    ///
    /// C original: `ttm_tt_create()` and `ttm_tt_init()`; a directory is only made when there are
    /// pages.
    #[inline]
    pub(crate) fn new(size: u64, extra: u64, creation: Creation) -> Result<Self> {
        Ok(Self {
            num_pages: sizes::pages_for(size, extra, PAGE_SHIFT as u32).map_err(|_| EINVAL)?,
            creation,
            content: Content::Empty,
            pages: PageDirectory::new(creation.kind),
            charge: None,
            cleared: false,
        })
    }

    /// Where the content is.
    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.content {
            Content::Empty => State::Empty,
            Content::Populated => State::Populated,
            Content::Swapped(_) => State::Swapped,
        }
    }

    /// The flags a user sees.
    pub(crate) fn flags(&self) -> u32 {
        bo_rules::flags_of(self.creation, self.state())
    }

    /// What was decided when it was made.
    pub(crate) fn creation(&self) -> Creation {
        self.creation
    }

    /// Whether its pages are somebody else's.
    #[inline]
    pub(crate) fn is_external(&self) -> bool {
        self.creation.external
    }

    /// Pages it has when populated.
    pub(crate) fn num_pages(&self) -> u64 {
        self.num_pages
    }

    /// Pages it holds in memory now.
    #[inline]
    pub(crate) fn resident_pages(&self) -> u64 {
        self.pages.len()
    }

    /// Pages it has added to the counters.
    #[inline]
    pub(crate) fn charged_pages(&self) -> u64 {
        self.charge.as_ref().map_or(0, Charge::pages)
    }

    /// The pages, while it is populated.
    pub(super) fn directory(&self) -> Option<&PageDirectory> {
        match self.content {
            Content::Populated => Some(&self.pages),
            _ => None,
        }
    }

    /// The pages, to be written to, while it is populated.
    pub(super) fn directory_mut(&mut self) -> Option<&mut PageDirectory> {
        match self.content {
            Content::Populated => Some(&mut self.pages),
            _ => None,
        }
    }

    /// Gives it its pages, and its content back if it was swapped out; answers the pages gained.
    ///
    /// The pages are counted first. While that is over a limit, `reclaim` is asked to swap out
    /// others; when it finds none the populate goes on over the limit. `clear`: pages that get no
    /// content are cleared, as they are anyway if the TT was made so.
    ///
    /// `ENOMEM`: no memory; `EINTR`: a fatal signal; or what swapping out failed with. May sleep,
    /// and reclaim may run: the caller holds nothing that reclaim waits for.
    ///
    /// C original: `ttm_tt_populate()`.
    pub(crate) fn populate(
        &mut self,
        device: &Device,
        reclaim: &impl Reclaim,
        clear: bool,
    ) -> Result<u64> {
        if tt_state::step(self.state(), Event::Populate).is_err() {
            return Ok(0);
        }
        if self.creation.external {
            self.content = Content::Populated;
            return Ok(0);
        }
        // Don't empty the machine for what can't succeed.
        if self.num_pages > total_ram() {
            return Err(ENOMEM);
        }

        let books = device.books();
        let charge = Charge::new(books, self.num_pages, self.creation.kind.dma32);
        let overcommitted = make_room(books, reclaim)?;
        let pool = Some(device.pool());
        let swapped = match &self.content {
            Content::Swapped(storage) => {
                // Every page is overwritten: no need to clear any.
                source::fill(&mut self.pages, self.num_pages, false, pool)?;
                if let Err(e) = read_back(storage, &mut self.pages) {
                    self.pages.release();
                    return Err(e);
                }
                true
            }
            _ => {
                let clear = clear || self.creation.zero_alloc;
                source::fill(&mut self.pages, self.num_pages, clear, pool)?;
                false
            }
        };

        // Nothing can fail any more.
        let statistics = &books.statistics;
        statistics.populates.count();
        if swapped {
            statistics.swapins.count();
        }
        if overcommitted {
            statistics.overcommits.count();
        }
        self.cleared = clear || self.creation.zero_alloc;
        self.content = Content::Populated;
        self.charge = Some(charge);
        Ok(self.num_pages)
    }

    /// Drops pages and content, if it is populated; answers the pages lost. May sleep.
    ///
    /// A swapped out TT keeps its content. The charge must be in flight.
    ///
    /// C original: `ttm_tt_unpopulate()`.
    pub(crate) fn unpopulate(&mut self, device: &Device) -> u64 {
        if tt_state::step(self.state(), Event::Unpopulate).is_err() {
            return 0;
        }
        let lost = self.charged_pages();
        if lost != 0 {
            device.books().statistics.unpopulates.count();
        }
        self.content = Content::Empty;
        source::give_back(&mut self.pages, self.cleared, Some(device.pool()));
        self.charge = None;
        lost
    }

    /// Copies the content to swap storage, first half of a swapout; `None`: there is nothing to
    /// swap out.
    ///
    /// `EINVAL`: the pages are somebody else's; `ENOMEM`: no memory; `EINTR`: a fatal signal. May
    /// sleep, like [`Tt::populate`].
    ///
    /// C original: `ttm_tt_swapout()`.
    pub(super) fn save(&self) -> Result<Option<Saved>> {
        if self.creation.external {
            return Err(EINVAL);
        }
        if tt_state::step(self.state(), Event::SwapOut).is_err() {
            return Ok(None);
        }

        let storage = ShmemFile::new(c"reeve swap", self.num_pages)?;
        for (i, page) in (0u64..).zip(self.pages.iter()) {
            if i % COPY_BATCH == COPY_BATCH - 1 {
                task::breathe()?;
            }
            storage.write_page(i, page)?;
        }
        Ok(Some(Saved(storage)))
    }

    /// Lets go of the pages whose content was saved, second half of a swapout; answers how many.
    ///
    /// Can't fail; may sleep. The charge must be in flight.
    pub(super) fn let_go(&mut self, saved: Saved, books: &Books) -> u64 {
        let freed = self.charged_pages();
        self.content = Content::Swapped(saved.0);
        // To the system: this is done to have less in memory.
        self.pages.release();
        self.charge = None;
        books.statistics.swapouts.count();
        books.statistics.swapped_pages.count_many(freed);
        freed
    }

    /// Makes a swapped out TT whose storage can't be read back, to see what populating it does.
    #[cfg(reeve_kunit)]
    pub(super) fn truncate_storage(&mut self) -> Result {
        if matches!(self.content, Content::Swapped(_)) {
            self.content = Content::Swapped(ShmemFile::new(c"reeve swap", self.num_pages - 1)?);
        }
        Ok(())
    }
}

/// Swaps out others until the counters are in their limits. `true`: there was nobody left, and
/// they still are not.
fn make_room(books: &Books, reclaim: &impl Reclaim) -> Result<bool> {
    while books.over_limit() {
        task::breathe()?;
        if reclaim.swap_out_one()? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fills pages from `storage`.
///
/// C original: `ttm_tt_swapin()`.
fn read_back(storage: &ShmemFile, pages: &mut PageDirectory) -> Result {
    for (i, page) in (0u64..).zip(pages.iter_mut()) {
        if i % COPY_BATCH == COPY_BATCH - 1 {
            task::breathe()?;
        }
        storage.read_page(i, page)?;
    }
    #[cfg(reeve_break_selftest)]
    corrupt_one_byte(pages)?;
    Ok(())
}

/// What a build made to fail does: the tests must notice.
#[cfg(reeve_break_selftest)]
fn corrupt_one_byte(pages: &mut PageDirectory) -> Result {
    let mut byte = [0];
    pages.page(0).ok_or(EINVAL)?.read(0, &mut byte)?;
    pages.page_mut(0).ok_or(EINVAL)?.write(0, &byte.map(|b| !b))
}
