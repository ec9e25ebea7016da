// SPDX-License-Identifier: GPL-2.0

//! A TT's pages, and the compact directory that leads to them.
//!
//! C original: the array of pages in `struct ttm_tt`.

mod access;
pub(crate) mod block;
pub(crate) mod caching;
pub(super) mod decrypted;
pub(crate) mod free_list;
pub(crate) mod shmem;
pub(crate) mod small_list;

pub(crate) use access::{
    PageMut,
    PageRef,
    Run,
    RunMut, //
};

use super::{
    pages::{
        block::{
            Block,
            Singles, //
        },
        caching::{
            Batch,
            Freer, //
        },
        small_list::SmallList, //
    },
    rules::{
        page_kind::{
            Caching,
            PageKind, //
        },
        page_runs::{
            Layout,
            Place, //
        }, //
    }, //
};
use crate::abstractions::{
    bindings as shim,
    dma::{
        self,
        DmaAddresses,
        DmaDevice, //
    },
    task,
    vma, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};

/// Blocks freed between two looks at the scheduler.
const FREE_BATCH: usize = 512;

/// Memory of the machine, in pages.
pub(crate) fn total_ram() -> u64 {
    // SAFETY: Reads a counter; no requirements.
    unsafe { shim::reeve_shim_total_ram() as u64 }
}

/// Memory of the machine that is always mapped, in pages.
pub(crate) fn low_ram() -> u64 {
    // SAFETY: Reads counters; no requirements.
    unsafe { shim::reeve_shim_low_ram() as u64 }
}

/// How many memory nodes there may be; nodes are numbered from 0.
pub(crate) fn nodes() -> usize {
    // SAFETY: Reads a variable; no requirements.
    unsafe { shim::reeve_shim_nr_nodes() as usize }
}

/// The memory node nearest to the processor that runs this; it may be another one at once.
#[inline]
pub(crate) fn local_node() -> usize {
    // SAFETY: Reads a per-CPU variable, of whichever CPU; no requirements.
    usize::try_from(unsafe { shim::reeve_shim_local_node() }).unwrap_or(0)
}

/// Owns pages, in blocks of powers of two.
///
/// It costs a pointer per block, and none on the heap while there are few blocks.
///
/// # Invariants
///
/// `blocks` has as many entries as `layout` has blocks. Entry `i` came from [`Block::into_raw`], is
/// of the order that `layout` has for it, and is owned by this directory and in no other entry. The
/// first `settled` entries are of kind `kind`, the others are of the same memory but cached. The
/// first `shared` entries are shared with the machine that a confidential guest runs on. The
/// pages of `torn` come after those of the blocks. User mappings are nowhere but at `mapped`, and of pages of
/// blocks only; so are the pages that `dma` has mapped.
pub(crate) struct PageBlocks {
    layout: Layout,
    blocks: SmallList<First>,
    settled: usize,
    shared: usize,
    kind: PageKind,
    /// What is left of a block that lost pages at its end.
    torn: Option<Partial>,
    mapped: vma::Mappings,
    dma: Option<KBox<DmaAddresses>>,
}

/// The first page of a block; null in unused entries only.
#[derive(Clone, Copy)]
struct First(*mut bindings::page);

// SAFETY: Pages can be used and freed by any task.
unsafe impl Send for First {}
// SAFETY: It is just the name of a block's pages; access to their content is up to
// `PageBlocks`.
unsafe impl Sync for First {}

impl PageBlocks {
    /// Has no pages; those it will have are to be of kind `kind`.
    #[inline]
    pub(crate) const fn new(kind: PageKind) -> Self {
        // INVARIANT: No blocks.
        Self {
            layout: Layout::new(),
            blocks: SmallList::new(First(core::ptr::null_mut())),
            settled: 0,
            shared: 0,
            kind,
            torn: None,
            mapped: vma::Mappings::none(),
            dma: None,
        }
    }

    /// Appends a block, which is of the directory's kind or still cached.
    ///
    /// `ENOMEM`: no memory for its entry; the block is freed. `EINVAL`: it does not fit: its order
    /// is above the last block's, it is of the wrong kind, or it is settled behind one that is not.
    /// May sleep.
    #[inline]
    pub(crate) fn push(&mut self, block: Block) -> Result {
        let settled = block.kind() == self.kind;
        if settled {
            if self.settled != self.layout.blocks() {
                return Err(EINVAL);
            }
        } else if block.kind().caching != Caching::Cached || block.kind().dma32 != self.kind.dma32 {
            return Err(EINVAL);
        }
        let slot = self.blocks.reserve()?;
        if !self.layout.push(block.order()) {
            return Err(EINVAL);
        }
        // INVARIANT: One more entry in both; the block was owned by our caller and is of this
        // order. If it is settled, so are all before it.
        slot.fill(First(block.into_raw().as_ptr()));
        if settled {
            self.settled += 1;
        }
        Ok(())
    }

    /// Takes the last block off. `None`: there is none; or it was shared, stays so, and is lost. May
    /// sleep if it is mapped or shared.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Block> {
        self.mapped.remove();
        self.dma = None;
        let first = NonNull::new(self.blocks.pop()?.0)?;
        let order = self.layout.pop()?;
        let mut kind = self.kind;
        if self.settled > self.layout.blocks() {
            self.settled = self.layout.blocks();
        } else {
            kind.caching = Caching::Cached;
        }
        if self.shared > self.layout.blocks() {
            self.shared = self.layout.blocks();
            // SAFETY: By the type invariant it was a block of this order that we owned.
            if unsafe { decrypted::unshare(first, order) }.is_err() {
                return None;
            }
        }
        // SAFETY: By the type invariant the last entry was a block of this order that we owned,
        // and of our kind if it was among the settled ones.
        // INVARIANT: One entry less in both.
        Some(unsafe { Block::from_raw(first, order, kind) })
    }

    /// What [`PageBlocks::push`] does; takes fewest steps for a block that is the only one.
    #[inline]
    pub(crate) fn push_only(&mut self, block: Block) -> Result {
        let first = First(block.first().as_ptr());
        if block.kind() != self.kind || !self.blocks.put_only(first) {
            return self.push_another(block);
        }
        if !self.layout.push_only(block.order()) {
            self.blocks.pop();
            return Err(EINVAL);
        }
        // INVARIANT: One entry in both; the block was owned by our caller, is of this order and
        // settled.
        block.into_raw();
        self.settled = 1;
        Ok(())
    }

    #[inline(never)]
    fn push_another(&mut self, block: Block) -> Result {
        self.push(block)
    }

    /// Takes the block off, if it is settled and nowhere mapped and all pages are in it.
    #[inline]
    fn pop_only(&mut self) -> Option<Block> {
        if self.settled != 1
            || self.torn.is_some()
            || self.mapped.any()
            || self.dma.is_some()
            || self.shared != 0
        {
            return None;
        }
        let first = NonNull::new(self.blocks.take_only()?.0)?;
        let order = self.layout.pop_only()?;
        self.settled = 0;
        // SAFETY: By the type invariant the only entry was a block of this order and of our kind
        // that we owned.
        // INVARIANT: No entry in both.
        Some(unsafe { Block::from_raw(first, order, self.kind) })
    }

    /// Whether it has no pages at all.
    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.layout.blocks() == 0 && self.torn.is_none()
    }

    /// Whether there are blocks that are still cached and should not be.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.settled == self.layout.blocks()
    }

    /// Gives all blocks the directory's caching.
    ///
    /// `ENOMEM`: no memory; those that were cached still are. May sleep.
    pub(crate) fn settle(&mut self, batch: &mut Batch) -> Result {
        let blocks = self.blocks.as_slice().iter().zip(self.layout.orders());
        let unsettled = blocks
            .skip(self.settled)
            .filter_map(|(first, order)| Some((NonNull::new(first.0)?, order)));
        // SAFETY: By the type invariant these blocks are ours, and we are borrowed exclusively.
        unsafe { batch.change(unsettled, self.kind.caching) }?;
        // INVARIANT: They are of our kind now.
        self.settled = self.layout.blocks();
        Ok(())
    }

    /// Charges all blocks with the machine that a confidential guest runs on, which ends when they
    /// are taken off. The content of those that were not yet shared is lost.
    ///
    /// `EIO` and the like: it can't be done. May sleep.
    pub(crate) fn share(&mut self) -> Result {
        let blocks = self.blocks.as_slice().iter().zip(self.layout.orders());
        let shared = self.shared;
        for (first, order) in blocks.skip(shared) {
            // INVARIANT: One more is shared, or might be.
            self.shared += 1;
            if let Some(first) = NonNull::new(first.0) {
                // SAFETY: By the type invariant the block is ours, of this order, and we are borrowed
                // exclusively. It is always mapped: guests with encrypted memory have no highmem.
                unsafe { decrypted::share(first, order) }?;
            }
        }
        Ok(())
    }

    /// Overwrites all pages with zeroes. May sleep.
    pub(crate) fn clear(&mut self) {
        for (_, first, pages) in self.raw_runs() {
            // SAFETY: By the type invariant these pages are ours, and we are borrowed exclusively.
            unsafe { shim::reeve_shim_clear_pages(first.as_ptr(), pages as usize) };
            task::cond_resched();
        }
    }

    /// Whether there are shared blocks. Those can't be torn, for what is shared no more has lost its
    /// content.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.shared != 0
    }

    /// How many pages are settled at once.
    pub(crate) const SETTLE_BATCH: u64 = caching::BATCH as u64;

    /// What kind of pages it has.
    #[inline]
    pub(crate) fn kind(&self) -> PageKind {
        self.kind
    }

    /// Whether its last block is charged to a memory cgroup; then the others most likely are, too.
    #[inline]
    pub(crate) fn are_charged(&self) -> bool {
        let last = self.blocks.as_slice().last();
        match last.and_then(|first| NonNull::new(first.0)) {
            // SAFETY: By the type invariant this is the first page of a block of ours.
            Some(first) if cfg!(CONFIG_MEMCG) => unsafe {
                shim::reeve_shim_page_is_charged(first.as_ptr())
            },
            _ => false,
        }
    }

    /// The first page, which is the first of a block, or by itself.
    pub(crate) fn first_page(&self) -> Option<NonNull<bindings::page>> {
        match self.blocks.as_slice().first() {
            Some(first) => NonNull::new(first.0),
            None => self.torn.as_ref().map(|torn| torn.0.first()),
        }
    }

    /// How many blocks it has.
    #[inline]
    pub(crate) fn blocks(&self) -> usize {
        self.layout.blocks()
    }

    /// The order of the last block; what is pushed next may not be larger. `None`: no blocks.
    #[inline]
    pub(crate) fn last_order(&self) -> Option<u32> {
        self.layout.last_order()
    }

    /// How many pages it has.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        match &self.torn {
            None => self.layout.pages(),
            Some(torn) => self.layout.pages() + torn.len(),
        }
    }

    /// Puts aside what is left of a torn block, so that blocks can be pushed in its place.
    pub(crate) fn take_torn(&mut self) -> Option<Partial> {
        self.torn.take()
    }

    /// Puts back what was put aside, after what was pushed has been taken off again.
    pub(crate) fn put_torn(&mut self, torn: Option<Partial>) {
        self.torn = torn;
    }

    /// At most `most` pages from the end that lie side by side, and the index of the first of them;
    /// `None`: there are no pages.
    pub(crate) fn last_run(&self, most: u64) -> Option<(u64, Run<'_>)> {
        let (first, pages) = match &self.torn {
            Some(torn) => (torn.0.first(), torn.0.len()),
            None => {
                let first = NonNull::new(self.blocks.as_slice().last()?.0)?;
                (first, 1 << self.layout.last_order()?)
            }
        };
        let count = most.min(pages).max(1);
        // SAFETY: There are `pages` pages side by side, by the type invariants.
        let first = unsafe { first.add((pages - count) as usize) };
        // INVARIANT: They are the last `count` of these, and ours while we are borrowed.
        Some((self.len() - count, Run(first, count, PhantomData)))
    }

    /// Frees the last `count` pages. A block that loses a part of them is torn. May sleep.
    pub(crate) fn release_last(&mut self, count: u64) {
        let mut left = count;
        while left != 0 {
            if let Some(torn) = &mut self.torn {
                left -= torn.0.shorten(left);
                if torn.0.len() == 0 {
                    self.torn = None;
                }
                continue;
            }
            let Some(block) = self.pop() else {
                return;
            };
            if block.pages() <= left {
                left -= block.pages();
                drop(block);
            } else {
                self.torn = Some(Partial(Singles::split(block)));
            }
        }
    }

    /// Maps the pages for a device, until the first of them goes.
    ///
    /// Errors as [`DmaAddresses::map`]; none are mapped then. May sleep.
    pub(crate) fn map_dma(&mut self, device: &Arc<DmaDevice>) -> Result {
        let blocks = self.raw_runs().map(|(_, first, pages)| {
            // SAFETY: By the type invariant the page is ours.
            (unsafe { dma::frame(first) }, pages)
        });
        // SAFETY: By the type invariant the pages are ours, and stay so until `pop`, which drops
        // the addresses first.
        let addresses = unsafe { DmaAddresses::map(device, blocks) }?;
        self.dma = Some(addresses);
        Ok(())
    }

    /// The addresses that the pages have for a device, if they have.
    pub(crate) fn dma(&self) -> Option<&DmaAddresses> {
        self.dma.as_deref()
    }

    /// Keeps addresses of somebody else's pages, or forgets all.
    pub(crate) fn set_dma(&mut self, addresses: Option<KBox<DmaAddresses>>) {
        self.dma = addresses;
    }

    /// Bytes on the heap and in here that it takes to find the pages.
    #[cfg(any(reeve_bench, reeve_kunit))]
    pub(crate) fn directory_bytes(&self) -> usize {
        core::mem::size_of::<Self>() + self.blocks.heap_bytes()
    }

    /// The page `index`.
    pub(crate) fn page(&self, index: u64) -> Option<PageRef<'_>> {
        // INVARIANT: The page is one of ours, which we free no earlier than when we are dropped.
        Some(PageRef(self.find(index)?, PhantomData))
    }

    /// The page `index`, to be written to.
    pub(crate) fn page_mut(&mut self, index: u64) -> Option<PageMut<'_>> {
        // INVARIANT: As in `page`; and we are borrowed exclusively.
        Some(PageMut(self.find(index)?, PhantomData))
    }

    fn find(&self, index: u64) -> Option<NonNull<bindings::page>> {
        let place = self.layout.locate(index)?;
        let first = self.blocks.as_slice().get(place.block)?;
        // SAFETY: By the type invariant the block has `2^place.order` pages, `place.page` is less
        // than that, and the `struct page`s of a block lie side by side.
        NonNull::new(unsafe { first.0.add(place.page) })
    }

    /// All pages in order, but for those of a torn block.
    #[inline]
    #[cfg(reeve_kunit)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = PageRef<'_>> {
        // INVARIANT: As in `page`.
        self.raw_iter().map(|page| PageRef(page, PhantomData))
    }

    /// All pages in order, to be written to, but for those of a torn block.
    #[inline]
    #[cfg(reeve_kunit)]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = PageMut<'_>> {
        // INVARIANT: As in `page_mut`; and `raw_iter` gives each page once, for no page is in two
        // blocks.
        self.raw_iter().map(|page| PageMut(page, PhantomData))
    }

    #[inline]
    #[cfg(reeve_kunit)]
    fn raw_iter(&self) -> impl Iterator<Item = NonNull<bindings::page>> + '_ {
        self.raw_runs().flat_map(|(_, first, pages)| {
            // SAFETY: The run has `pages` pages, whose `struct page`s lie side by side.
            (0..pages as usize).map(move |i| unsafe { first.add(i) })
        })
    }

    /// The pages of each block with the index of the first, from the `from`-th block on.
    #[inline]
    pub(crate) fn runs(&self, from: usize) -> impl Iterator<Item = (u64, Run<'_>)> {
        // INVARIANT: The pages of a block lie side by side, and are ours while we are borrowed.
        self.raw_runs()
            .skip(from)
            .map(|(index, first, pages)| (index, Run(first, pages, PhantomData)))
    }

    /// The same, to be written to.
    #[inline]
    pub(crate) fn runs_mut(&mut self, from: usize) -> impl Iterator<Item = (u64, RunMut<'_>)> {
        // INVARIANT: As in `runs`; we are borrowed exclusively and no page is in two blocks.
        self.raw_runs()
            .skip(from)
            .map(|(index, first, pages)| (index, RunMut(first, pages, PhantomData)))
    }

    #[inline]
    fn raw_runs(&self) -> impl Iterator<Item = (u64, NonNull<bindings::page>, u64)> + '_ {
        let blocks = self.blocks.as_slice().iter().zip(self.layout.orders());
        let mut index = 0;
        blocks.filter_map(move |(first, order)| {
            let at = index;
            index += 1 << order;
            Some((at, NonNull::new(first.0)?, 1 << order))
        })
    }

    /// Gives all pages back to the system. May sleep.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(block) = self.pop_only() {
            drop(block);
        } else if !self.is_vacant() {
            self.release_all();
        }
    }

    #[inline(never)]
    fn release_all(&mut self) {
        self.torn = None;
        if self.kind.caching == Caching::Cached {
            self.release_to(drop);
        } else {
            let mut freer = Freer::new();
            self.release_to(|block| freer.free(block));
        }
    }

    /// Gives all blocks to `to`, last first. May sleep.
    #[inline]
    pub(crate) fn release_to(&mut self, mut to: impl FnMut(Block)) {
        if let Some(block) = self.pop_only() {
            return to(block);
        }
        let mut given = 0;
        while self.layout.blocks() != 0 {
            let Some(block) = self.pop() else {
                continue;
            };
            to(block);
            given += 1;
            if given % FREE_BATCH == 0 {
                task::cond_resched();
            }
        }
    }
}

// SAFETY: Pages of blocks are owned until `pop`, which removes the mappings first.
unsafe impl vma::Pages for PageBlocks {
    fn mappings(&mut self) -> &mut vma::Mappings {
        &mut self.mapped
    }

    fn page(&self, index: u64) -> Option<NonNull<bindings::page>> {
        self.find(index)
    }

    fn block(&self, index: u64) -> Option<(NonNull<bindings::page>, Place)> {
        let place = self.layout.locate(index)?;
        let first = self.blocks.as_slice().get(place.block)?;
        Some((NonNull::new(first.0)?, place))
    }
}

impl Drop for PageBlocks {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

/// What is left of a torn block; dropping it frees it.
pub(crate) struct Partial(Singles);

impl Partial {
    /// How many pages it has.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Fills `to` with its pages from `offset` on. `EINVAL`: they are fewer. May sleep.
    pub(crate) fn copy_to(&self, offset: u64, to: RunMut<'_>) -> Result {
        match offset.checked_add(to.len()) {
            Some(end) if end <= self.len() => {}
            _ => return Err(EINVAL),
        }
        // SAFETY: These are that many pages side by side, by the type invariants; nobody else
        // accesses `to`, which has others than these, because these are owned here.
        unsafe {
            let from = self.0.first().add(offset as usize);
            shim::reeve_shim_copy_pages(to.as_ptr(), from.as_ptr(), to.len() as usize)
        };
        Ok(())
    }
}
