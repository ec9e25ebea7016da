// SPDX-License-Identifier: GPL-2.0

//! A TT (translation table): the pages behind a buffer object, or where its content is instead.
//!
//! What is allowed in which state is in [`tt_state`]; here it is done. Every operation that fails
//! leaves the TT, the counters and the statistics as they were.
//!
//! C original: `struct ttm_tt`.

mod dma;

use super::{
    books::Books,
    charge::Charge,
    device::Device,
    pool::Pool,
    source,
    timing,
    whose::Whose, //
};
use crate::{
    ffi::{
        confidential,
        dma::DmaDevice,
        memcg,
        pages::{
            total_ram,
            PageDirectory,
            PageMut,
            PageRef,
            Torn, //
        },
        shmem::{
            Folios,
            ShmemFile, //
        },
        shmem_pages::ShmemPages,
        task,
        vma::{
            Answer,
            Fault,
            Pages,
            Range, //
        }, //
    },
    pure::{
        accounting::{
            self,
            Amount, //
        },
        bo_rules::{
            self,
            Creation, //
        },
        page_runs::MAX_ORDER,
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
    fn swap_out_one_of(&self, whose: Whose<'_>) -> Result<u64>;
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
    /// The file its pages live in, and none in `pages`, if it was made so; None while it is empty.
    shmem: Option<ShmemPages>,
    /// Of its pages, unless they are somebody else's.
    charge: Charge,
    /// Whether the pages were cleared when it got them.
    cleared: bool,
    /// A place for a backup that was set up and is not used yet.
    prepared: Option<ShmemFile>,
}

/// How a backup is made.
#[derive(Clone, Copy)]
pub(crate) struct BackUp {
    /// Content is sent on to swap at once.
    pub(crate) writeback: bool,
    /// The most pages whose content is copied before they are freed.
    pub(crate) granule: u64,
    /// The pages at which it ends; 0: none are left.
    pub(crate) until: u64,
}

impl BackUp {
    /// How many pages to copy before they are freed, when there is next to no memory.
    pub(crate) const SPARING: u64 = 16;

    /// The cheapest way, when there is memory.
    pub(crate) const RELAXED: Self = Self {
        writeback: false,
        granule: 1 << MAX_ORDER,
        until: 0,
    };
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

/// A TT's content in swap storage, while the TT still has it in its pages too.
pub(super) struct Saved(Option<ShmemFile>);

impl Tt {
    /// Makes a TT without pages for an object of `size` bytes, with `extra` pages behind it.
    ///
    /// `EINVAL`: zero, or more than can be counted. Any context.
    ///
    /// C original: `ttm_tt_create()` and `ttm_tt_init()`; a directory is only made when there are
    /// pages.
    #[inline]
    pub(crate) fn new(size: u64, extra: u64, mut creation: Creation) -> Result<Self> {
        if creation.dma {
            creation = creation.in_guest(confidential::guest_memory_is_encrypted());
        }
        Ok(Self {
            num_pages: sizes::pages_for(size, extra, PAGE_SHIFT as u32).map_err(|_| EINVAL)?,
            creation,
            content: Content::Empty,
            pages: PageDirectory::new(creation.kind),
            shmem: None,
            charge: Charge::none(creation.kind.dma32),
            cleared: false,
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
    pub(super) fn directory_bytes(&self) -> usize {
        self.pages.directory_bytes()
    }

    /// Pages it would be charged for if it was populated, in all and more than now. None of what
    /// can't succeed.
    #[inline]
    pub(super) fn to_be_charged(&self) -> (u64, u64) {
        if self.creation.external || self.num_pages > total_ram() {
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
    pub(super) fn map(&mut self, fault: Fault<'_>, index: u64, range: &Range) -> Answer {
        match (&self.content, &mut self.shmem) {
            (Content::Populated, None) => fault.map(&mut self.pages, index, range),
            (Content::Populated, Some(shmem)) => fault.map(shmem, index, range),
            _ => fault.refuse(),
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
        let clear = clear || self.creation.zero_alloc;
        let dma = self.creation.dma.then(|| device.dma());
        let gained = self.populate_by(device, reclaim, |tt, missing| {
            tt.allocate(missing, clear, Some(device.pool()), dma)
        })?;
        if gained != 0 {
            self.cleared = clear;
        }
        Ok(gained)
    }

    /// What [`Tt::populate`] does but for the pages themselves, which `allocate` sees to: the TT
    /// gets the pages that are missing, with its content, or an error and it is as before.
    #[inline(always)]
    pub(super) fn populate_by(
        &mut self,
        device: &Device,
        reclaim: &impl Reclaim,
        allocate: impl FnOnce(&mut Self, u64) -> Result,
    ) -> Result<u64> {
        // What is most common takes the fewest steps. It does what the other one does.
        if !matches!(self.content, Content::Empty) || self.creation.external {
            return self.populate_other(device, reclaim, allocate);
        }
        let (books, missing) = (device.books(), self.num_pages);
        if self.charge.add(books, missing) {
            self.charge.reduce_to(0);
            return self.populate_other(device, reclaim, allocate);
        }
        if let Err(e) = allocate(self, missing) {
            self.charge.reduce_to(0);
            return Err(e);
        }
        books.statistics.populates.count();
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
        if tt_state::step(self.state(), Event::Populate).is_err() {
            return Ok(0);
        }
        if !self.creation.owns_pages() {
            self.content = Content::Populated;
            return Ok(0);
        }
        let missing = self.num_pages - self.resident_pages();
        let charged = self.charge.pages();
        let tight = if self.creation.external {
            self.num_pages > total_ram()
        } else {
            self.charge.add(device.books(), missing)
        };
        let result = match tight {
            true => self.make_room(device.books(), reclaim),
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
    fn make_room(&self, books: &Books, reclaim: &impl Reclaim) -> Result<bool> {
        // Don't empty the machine for what can't succeed.
        if self.num_pages > total_ram() {
            return Err(ENOMEM);
        }
        let wanted = Amount::of(self.num_pages, self.creation.kind.dma32);
        make_room(books, wanted, reclaim)
    }

    /// Counts a populate by what it was.
    fn count_populate(&self, device: &Device, gained: u64, overcommitted: bool) {
        let statistics = &device.books().statistics;
        if !self.creation.external {
            // One that is partly backed up has been counted as populated all the time.
            if !matches!(self.content, Content::PartlyBackedUp(_)) {
                statistics.populates.count();
            }
            if overcommitted {
                statistics.overcommits.count();
                timing::overcommitted(device, gained);
            }
        }
        match self.content {
            Content::Swapped(_) => statistics.swapins.count(),
            Content::BackedUp(_) | Content::PartlyBackedUp(_) => statistics.restores.count(),
            Content::Empty | Content::Populated => {}
        }
    }

    /// Gets the `missing` pages, with the content that is elsewhere, and shows them to `dma`.
    #[inline(always)]
    fn allocate(
        &mut self,
        missing: u64,
        clear: bool,
        pool: Option<&Pool>,
        dma: Option<&Arc<DmaDevice>>,
    ) -> Result {
        if matches!(self.content, Content::Empty) && !self.creation.shmem && dma.is_none() {
            return source::fill(&mut self.pages, missing, clear, pool);
        }
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
            _ if self.creation.shmem => self.hold_shmem(dma),
            Content::Swapped(Some(storage))
            | Content::BackedUp(Some(storage))
            | Content::PartlyBackedUp(storage) => {
                let decrypted = self.creation.decrypted;
                refill(
                    &mut self.pages,
                    self.num_pages,
                    storage,
                    pool,
                    dma,
                    decrypted,
                )
            }
            _ => {
                source::fill(&mut self.pages, missing, clear, pool)?;
                match dma {
                    None => Ok(()),
                    Some(dma) => {
                        let decrypted = self.creation.decrypted;
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
        if tt_state::step(self.state(), Event::Unpopulate).is_err() {
            return 0;
        }
        self.content = Content::Empty;
        let lost = match self.pages.blocks() {
            0 if !self.creation.shmem && !self.creation.dma => 0,
            _ => self.shed(device),
        };
        if self.charge.reduce_to(0) {
            device.books().statistics.unpopulates.count();
        }
        lost
    }

    /// Lets go of all pages, of their addresses, and of the file they live in; answers how many it
    /// were.
    #[inline]
    fn shed(&mut self, device: &Device) -> u64 {
        let lost = self.resident_pages();
        if self.creation.dma {
            self.pages.set_dma(None);
        }
        if self.creation.shmem {
            self.shmem = None;
        }
        source::give_back(&mut self.pages, self.cleared, Some(device.pool()));
        lost
    }

    /// Copies the content to swap storage, first half of a swapout; `None`: there is nothing to
    /// swap out. Mappings are removed, so that nobody changes what is saved.
    ///
    /// `EINVAL`: the pages are somebody else's; `ENOMEM`: no memory; `EINTR`: a fatal signal. May
    /// sleep, like [`Tt::populate`].
    ///
    /// C original: `ttm_tt_swapout()`.
    pub(super) fn save(&mut self) -> Result<Option<Saved>> {
        if self.creation.external {
            return Err(EINVAL);
        }
        if tt_state::step(self.state(), Event::SwapOut).is_err() {
            return Ok(None);
        }

        self.unmap();
        if self.shmem.is_some() {
            return Ok(Some(Saved(None)));
        }
        let _scope = memcg::Scope::of(&self.pages);
        let storage = ShmemFile::new(c"reeve swap", self.num_pages, Folios::Large)?;
        for (index, run) in self.pages.runs(0) {
            task::breathe()?;
            storage.write(index, run, false)?;
        }
        Ok(Some(Saved(Some(storage))))
    }

    /// Lets go of the pages whose content was saved, second half of a swapout; answers how many.
    ///
    /// Can't fail; may sleep. The charge must be in flight.
    pub(super) fn let_go(&mut self, saved: Saved, books: &Books) -> u64 {
        let freed = self.charged_pages();
        self.content = Content::Swapped(saved.0);
        // To the system: this is done to have less in memory.
        self.pages.release();
        if let Some(shmem) = &mut self.shmem {
            shmem.let_go();
        }
        self.charge.reduce_to(0);
        books.statistics.swapouts.count();
        books.statistics.swapped_pages.count_many(freed);
        freed
    }

    /// Makes the place for a backup, so that it needs not be made when memory is short.
    ///
    /// `EINVAL`: the pages are somebody else's, and nothing was made. `ENOMEM`. May sleep.
    ///
    /// C original: `ttm_tt_setup_backup()`, which leaves the file behind when it refuses.
    pub(crate) fn set_up_backup(&mut self) -> Result {
        self.prepare_backup(Folios::Small)
    }

    fn prepare_backup(&mut self, folios: Folios) -> Result {
        if !self.creation.owns_pages() {
            return Err(EINVAL);
        }
        if self.prepared.is_none() && !self.creation.shmem && !self.state().is_backed_up() {
            self.prepared = Some(ShmemFile::new(c"reeve backup", self.num_pages, folios)?);
        }
        Ok(())
    }

    /// Moves content to the backup and frees its pages, from the last page on; answers how many.
    ///
    /// When memory runs out half-way, or a fatal signal arrives, what was moved stays moved; going
    /// on later starts there. The caller then makes the charge what [`Tt::resident_pages`] says,
    /// with [`Tt::uncharge_moved`].
    ///
    /// `EINVAL`: the pages are somebody else's. `ENOMEM`, `EINTR`: nothing was moved. May sleep;
    /// takes locks of the page cache.
    ///
    /// C original: `ttm_tt_backup()`, which leaves the counters as they are.
    pub(super) fn back_up(&mut self, how: BackUp) -> Result<u64> {
        if !self.creation.owns_pages() {
            return Err(EINVAL);
        }
        if tt_state::step(self.state(), Event::BackUp).is_err() {
            return Ok(0);
        }
        self.unmap();
        if let Some(shmem) = &mut self.shmem {
            let moved = shmem.held();
            shmem.let_go();
            self.content = Content::BackedUp(None);
            return Ok(moved);
        }
        let _scope = memcg::Scope::of(&self.pages);
        self.ready_backup(how)?;
        let before = self.pages.len();
        let storage = match core::mem::replace(&mut self.content, Content::Populated) {
            Content::PartlyBackedUp(storage) => Some(storage),
            _ => self.prepared.take(),
        };
        let Some(storage) = storage else {
            return Err(EINVAL);
        };
        let result = move_from_end(&mut self.pages, &storage, how);
        let moved = before - self.pages.len();
        if self.pages.len() == 0 {
            self.content = Content::BackedUp(Some(storage));
        } else if before < self.num_pages || moved != 0 {
            self.content = Content::PartlyBackedUp(storage);
        }
        match result {
            Err(e) if moved == 0 => Err(e),
            _ => Ok(moved),
        }
    }

    /// Sees that there is a place for the backup.
    fn ready_backup(&mut self, how: BackUp) -> Result {
        match self.content {
            Content::PartlyBackedUp(_) => Ok(()),
            // A large folio is for content that is copied all at once.
            _ if how.until == 0 && how.granule >= BackUp::RELAXED.granule => {
                self.prepare_backup(Folios::Large)
            }
            _ => self.prepare_backup(Folios::Small),
        }
    }

    /// Counts no more pages than are held, after a backup. What is not held any more must be in
    /// flight.
    pub(super) fn uncharge_moved(&mut self) {
        self.charge.reduce_to(self.resident_pages());
    }

    /// Drops content, from pages and backup, and the pages; answers how many. May sleep.
    ///
    /// The charge must be in flight.
    ///
    /// C original: `ttm_pool_backup()` that is told to purge, and `ttm_pool_drop_backed_up()`.
    pub(crate) fn purge(&mut self, device: &Device) -> u64 {
        if tt_state::step(self.state(), Event::Purge).is_err() {
            return 0;
        }
        let lost = self.resident_pages();
        if self.charge.pages() != 0 {
            device.books().statistics.unpopulates.count();
        }
        self.content = Content::Empty;
        self.shmem = None;
        // To the system: this is done to have less in memory.
        self.pages.release();
        self.charge.reduce_to(0);
        lost
    }

    /// Makes a swapped out TT whose storage can't be read back, to see what populating it does.
    #[cfg(reeve_kunit)]
    pub(super) fn truncate_storage(&mut self) -> Result {
        if matches!(self.content, Content::Swapped(_)) {
            let short = ShmemFile::new(c"reeve swap", self.num_pages - 1, Folios::Large)?;
            self.content = Content::Swapped(Some(short));
        }
        Ok(())
    }
}

/// Swaps out others until the counters are in their limits. `true`: there was nobody left, and
/// they still are not. `ENOMEM`: likewise, but the limits are hard; or `wanted` by itself is more.
fn make_room(books: &Books, wanted: Amount, reclaim: &impl Reclaim) -> Result<bool> {
    while books.over_limit() {
        if books.limits.are_hard() && accounting::over_limit(wanted, books.limits.get()) {
            // Nobody is swapped out for what can't succeed.
            books.statistics.refusals.count();
            return Err(ENOMEM);
        }
        task::breathe()?;
        if reclaim.swap_out_one()? == 0 {
            if books.limits.are_hard() {
                books.statistics.refusals.count();
                return Err(ENOMEM);
            }
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the pages that are missing to `num_pages`, with their content from `storage`. When it fails
/// the directory is as it was.
fn refill(
    pages: &mut PageDirectory,
    num_pages: u64,
    storage: &ShmemFile,
    pool: Option<&Pool>,
    dma: Option<&Arc<DmaDevice>>,
    decrypted: bool,
) -> Result {
    let torn = pages.take_torn();
    let before = pages.blocks();
    let missing = num_pages - pages.len();
    // Every page is overwritten: no need to clear any.
    let mut result = source::fill(pages, missing, false, pool);
    if decrypted && result.is_ok() {
        result = pages.share();
        if result.is_err() {
            source::take_back(pages, before);
        }
    }
    if result.is_ok() {
        result = read_back(pages, before, torn.as_ref(), storage);
        if result.is_err() {
            source::take_back(pages, before);
        } else if let Some(dma) = dma {
            // Now that the content is there: mapping shows it to the device.
            result = dma::map_or_take_back(pages, dma, before);
        }
    }
    if result.is_err() {
        pages.put_torn(torn);
    }
    result
}

/// Fills the blocks from the `from`-th on: the first pages with what is left of a torn block, the
/// others from `storage`.
///
/// C original: `ttm_tt_swapin()`.
fn read_back(
    pages: &mut PageDirectory,
    from: usize,
    torn: Option<&Torn>,
    storage: &ShmemFile,
) -> Result {
    let mut torn_from = None;
    for (index, run) in pages.runs_mut(from) {
        task::breathe()?;
        let offset = index - *torn_from.get_or_insert(index);
        let at_hand = torn.map_or(0, |torn| torn.len().saturating_sub(offset));
        let (first, rest) = run.split(at_hand);
        let index = index + first.len();
        if let (Some(torn), 1..) = (torn, first.len()) {
            torn.copy_to(offset, first)?;
        }
        if rest.len() != 0 {
            storage.read(index, rest)?;
        }
    }
    #[cfg(reeve_break_selftest)]
    corrupt_one_byte(pages)?;
    Ok(())
}

/// Moves content to `storage`, from the end, until there are no more pages left than asked.
fn move_from_end(pages: &mut PageDirectory, storage: &ShmemFile, mut how: BackUp) -> Result {
    if storage.folios() == Folios::Large {
        // Part of a large folio takes more memory than it frees.
        how.granule = BackUp::RELAXED.granule;
        how.until -= how.until % how.granule;
    }
    // What is shared can't be torn.
    let whole = pages.is_shared();
    let mut granule = if whole { u64::MAX } else { how.granule };
    loop {
        let excess = pages.len().saturating_sub(how.until);
        if excess == 0 {
            return Ok(());
        }
        task::breathe()?;
        let most = if whole { granule } else { granule.min(excess) };
        let Some((index, run)) = pages.last_run(most) else {
            return Ok(());
        };
        let count = run.len();
        match storage.write(index, run, how.writeback) {
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

/// What a build made to fail does: the tests must notice.
#[cfg(reeve_break_selftest)]
fn corrupt_one_byte(pages: &mut PageDirectory) -> Result {
    let mut byte = [0];
    pages.page(0).ok_or(EINVAL)?.read(0, &mut byte)?;
    pages.page_mut(0).ok_or(EINVAL)?.write(0, &byte.map(|b| !b))
}
