// SPDX-License-Identifier: GPL-2.0

//! A TT's pages, as a compact list of blocks.
//!
//! C original: the array of pages in `struct ttm_tt`.

#![expect(unsafe_code, reason = "pages are known by their struct page")]

pub(crate) mod block;
pub(crate) mod caching;
pub(super) mod decrypted;
pub(crate) mod free_list;
mod freer;
pub(crate) mod shmem;
pub(crate) mod small_list;

use super::rules::{
    page_kind::{
        Caching,
        PageKind, //
    },
    page_runs::{
        Layout,
        Place, //
    }, //
};
use crate::abstractions::{
    bindings as helpers,
    dma::{
        DmaAddresses,
        DmaDevice, //
    },
    page::{
        self,
        PageMut,
        PageRef,
        Run,
        RunMut, //
    },
    task,
    vma, //
};
use block::{
    Block,
    Partial, //
};
use caching::Batch;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use freer::Freer;
use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};
use small_list::SmallList;

/// Blocks freed between two calls of `cond_resched()`.
const FREE_BATCH: usize = 512;

/// Owns pages, in blocks of powers of two.
///
/// It costs a pointer per block, and no memory on the heap while there are few blocks.
///
/// # Invariants
///
/// - `blocks` has as many entries as `layout` has blocks. Entry `i` came from [`Block::into_raw`],
///   is of the order that `layout` has for it, and is owned by this value and in no other entry.
/// - The last `plain` entries are of the same memory as `kind` says but still cached; the others are of
///   kind `kind`.
/// - The first `decrypted` entries are shared with the host of a confidential guest.
/// - The pages of `partial` come after those of the blocks.
/// - Users have pages mapped at `mapped` at most, and `dma` is of our pages or was given by
///   [`PageBlocks::set_dma`]; both are of pages in blocks, not of those of `partial`.
pub(crate) struct PageBlocks {
    layout: Layout,
    blocks: SmallList<First>,
    plain: usize,
    decrypted: usize,
    kind: PageKind,
    /// What is left of a block that lost pages at its end.
    partial: Option<Partial>,
    /// These two are dropped by [`PageBlocks::remove_mappings`], and tested together: mostly both are none.
    mapped: ManuallyDrop<vma::Mappings>,
    dma: ManuallyDrop<Option<KBox<DmaAddresses>>>,
}

/// The first page of a block; null in unused entries only.
#[derive(Clone, Copy)]
struct First(*mut bindings::page);

// SAFETY: A page belongs to no task: any task may use and free it.
unsafe impl Send for First {}
// SAFETY: A `First` only names the block, and has no methods; who may access the pages is up to
// `PageBlocks`, whose `&self` methods give read access only.
unsafe impl Sync for First {}

impl PageBlocks {
    /// How many pages have their caching changed at once.
    pub(crate) const CACHING_BATCH: u64 = caching::BATCH as u64;

    /// Makes a value without pages; those that are added are to be of kind `kind`.
    #[inline]
    pub(crate) const fn new(kind: PageKind) -> Self {
        // INVARIANT: No blocks, no partial block, and nothing is mapped.
        Self {
            layout: Layout::new(),
            blocks: SmallList::new(First(core::ptr::null_mut())),
            plain: 0,
            decrypted: 0,
            kind,
            partial: None,
            mapped: ManuallyDrop::new(vma::Mappings::none()),
            dma: ManuallyDrop::new(None),
        }
    }

    /// Returns the kind that its pages have, or get when their caching is applied.
    #[inline]
    pub(crate) fn kind(&self) -> PageKind {
        self.kind
    }

    /// Returns the number of pages.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        match &self.partial {
            None => self.layout.pages(),
            Some(partial) => self.layout.pages() + partial.len(),
        }
    }

    /// Returns the number of blocks, without a partial one.
    #[inline]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the order of the last block, if there is one; a block that is pushed next may not be
    /// larger.
    #[inline]
    pub(crate) fn last_order(&self) -> Option<u32> {
        self.layout.last_order()
    }

    /// Whether its last block is charged to a memory cgroup; then the others most likely are, too.
    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        let last = self.blocks.as_slice().last();
        match last.and_then(|first| NonNull::new(first.0)) {
            // SAFETY: The helper wants the valid first page of a block that stays allocated. By the
            // type invariant an entry is that, and we own the block while we are borrowed.
            Some(first) if cfg!(CONFIG_MEMCG) => unsafe {
                helpers::reeve_helper_page_is_charged(first.as_ptr())
            },
            _ => false,
        }
    }

    /// Returns the bytes, on the heap and in here, that it takes to find the pages.
    #[cfg(any(reeve_bench, reeve_kunit))]
    pub(crate) fn metadata_bytes(&self) -> usize {
        core::mem::size_of::<Self>() + self.blocks.heap_bytes()
    }
}

/// Adding and removing blocks.
impl PageBlocks {
    /// Appends a block, which is of our kind or still cached.
    ///
    /// Returns `ENOMEM` if there is no memory for its entry; the block is freed then. Returns
    /// `EINVAL` if it does not fit: its order is above the last block's, it is of the wrong kind,
    /// or its caching is applied while that of the block before is not. May sleep.
    #[inline(always)]
    pub(crate) fn push(&mut self, block: Block) -> Result {
        let applied = block.kind() == self.kind;
        let fits = if applied {
            self.plain == 0
        } else {
            block.kind().caching == Caching::Cached && block.kind().dma32 == self.kind.dma32
        };
        if !fits || !self.layout.push(block.order()) {
            return Err(EINVAL);
        }
        if let Err(e) = self.blocks.push(First(block.first().as_ptr())) {
            self.layout.pop();
            return Err(e);
        }
        // INVARIANT: One more entry in both; the block was owned by our caller and is of this order. If
        // its caching is applied, so is that of all blocks before it.
        let _ = block.into_raw();
        if !applied {
            self.plain += 1;
        }
        Ok(())
    }

    /// Removes the last block and returns it.
    ///
    /// Returns `None` if there is no block, or if it was decrypted and could not be encrypted
    /// again: then it can never be used again and is leaked. May sleep if the block is mapped or
    /// decrypted.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Block> {
        self.remove_mappings();
        let first = NonNull::new(self.blocks.pop()?.0)?;
        let order = self.layout.pop()?;
        let mut kind = self.kind;
        if self.plain != 0 {
            self.plain -= 1;
            kind.caching = Caching::Cached;
        }
        if self.decrypted > self.blocks() {
            self.decrypted = self.blocks();
            // SAFETY: `encrypt` wants a block that `decrypt` was called for and that only we
            // access. By the type invariant the entry was a block of this order that we owned, and
            // among the decrypted ones; its mappings were removed above.
            if unsafe { decrypted::encrypt(first, order) }.is_err() {
                return None;
            }
        }
        // SAFETY: By the type invariant the last entry came from `Block::into_raw` of a block of
        // this order, which nothing but the entry owned, and which is cached if it was among the last
        // `plain`, else of our kind.
        // INVARIANT: One entry less in both.
        Some(unsafe { Block::from_raw(first, order, kind) })
    }

    /// Removes all mappings of pages of blocks, for users and for the device. May sleep.
    #[inline(always)]
    fn remove_mappings(&mut self) {
        if self.mapped.range().is_some() | self.dma.is_some() {
            self.remove_each_mapping();
        }
    }

    #[inline(never)]
    fn remove_each_mapping(&mut self) {
        self.mapped.remove();
        *self.dma = None;
    }

    /// Takes out what is left of a partial block, so that blocks can be pushed in its place.
    pub(crate) fn take_partial(&mut self) -> Option<Partial> {
        self.partial.take()
    }

    /// Puts back what [`PageBlocks::take_partial`] took out, after blocks that were pushed since
    /// have been removed again.
    pub(crate) fn put_partial(&mut self, partial: Option<Partial>) {
        self.partial = partial;
    }
}

/// Caching and encryption.
impl PageBlocks {
    /// Whether all blocks have the caching that their kind asks for.
    #[cfg(reeve_kunit)]
    pub(crate) fn has_caching_applied(&self) -> bool {
        self.plain == 0
    }

    /// Gives all blocks the caching that their kind asks for.
    ///
    /// Returns `ENOMEM` if there is no memory; those blocks that were cached still are then. May
    /// sleep.
    pub(crate) fn apply_caching(&mut self, batch: &mut Batch) -> Result {
        let blocks = self.blocks.as_slice().iter().zip(self.layout.orders());
        let cached = blocks
            .skip(self.blocks() - self.plain)
            .filter_map(|(first, order)| Some((NonNull::new(first.0)?, order)));
        // SAFETY: `change` wants blocks of these orders that nothing else accesses. By the type
        // invariant they are ours, and we are borrowed exclusively.
        unsafe { batch.change(cached, self.kind.caching) }?;
        // INVARIANT: All blocks are of our kind now.
        self.plain = 0;
        Ok(())
    }

    /// Shares all blocks with the host of a confidential guest, until they are removed. The content
    /// of those that were not shared is lost.
    ///
    /// Fails with the architecture's errno, `EIO` for instance; some blocks may be shared then. May
    /// sleep.
    pub(crate) fn decrypt(&mut self) -> Result {
        let blocks = self.blocks.as_slice().iter().zip(self.layout.orders());
        let decrypted = self.decrypted;
        for (first, order) in blocks.skip(decrypted) {
            // INVARIANT: One more is shared, or may be if this fails.
            self.decrypted += 1;
            if let Some(first) = NonNull::new(first.0) {
                // SAFETY: `decrypt` wants a block that is always mapped for the kernel and that
                // only we access. By the type invariant the block is ours and of this order, and we
                // are borrowed exclusively. Guests with encrypted memory are 64-bit, so that no
                // page is highmem.
                unsafe { decrypted::decrypt(first, order) }?;
            }
        }
        Ok(())
    }

    /// Whether there are decrypted blocks. Those can't become partial, because encrypting them
    /// loses their content.
    #[inline]
    pub(crate) fn is_decrypted(&self) -> bool {
        self.decrypted != 0
    }
}

/// Access to pages.
impl PageBlocks {
    /// Overwrites the pages of all blocks with zeroes. May sleep.
    pub(crate) fn clear(&mut self) {
        for (_, first, pages) in self.raw_runs() {
            // SAFETY: The helper wants `pages` valid pages of one block that nothing else accesses:
            // by the type invariant they are ours, and we are borrowed exclusively.
            unsafe { helpers::reeve_helper_clear_pages(first.as_ptr(), pages as usize) };
            task::cond_resched();
        }
    }

    /// Borrows page `index`. Returns `None` if no block has it.
    pub(crate) fn page(&self, index: u64) -> Option<PageRef<'_>> {
        // SAFETY: By the type invariant the page is ours. While we are borrowed it is not freed,
        // for that takes `&mut self`, and not written to but by users who have it mapped.
        Some(unsafe { PageRef::new(self.find(index)?) })
    }

    /// Borrows page `index` exclusively. Returns `None` if no block has it.
    pub(crate) fn page_mut(&mut self, index: u64) -> Option<PageMut<'_>> {
        // SAFETY: By the type invariant the page is ours. While we are borrowed exclusively only
        // users who have it mapped access it.
        Some(unsafe { PageMut::new(self.find(index)?) })
    }

    fn find(&self, index: u64) -> Option<NonNull<bindings::page>> {
        let place = self.layout.locate(index)?;
        let first = self.blocks.as_slice().get(place.block)?;
        // SAFETY: By the type invariant the block has `2^place.order` pages, `place.page` is less
        // than that, and the `struct page`s of a block lie side by side.
        NonNull::new(unsafe { first.0.add(place.page) })
    }

    /// Returns the first page, of a block or of the partial one.
    pub(crate) fn first_page(&self) -> Option<PageRef<'_>> {
        let first = match self.blocks.as_slice().first() {
            Some(first) => NonNull::new(first.0)?,
            None => self.partial.as_ref()?.first(),
        };
        // SAFETY: By the type invariants of this and of `Partial`, which is dropped when it has no
        // pages left, the page is ours. While we are borrowed it is not freed, and only users
        // write to it.
        Some(unsafe { PageRef::new(first) })
    }

    /// Iterates over the pages of all blocks, in order.
    #[inline]
    #[cfg(reeve_kunit)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = PageRef<'_>> {
        (0..self.layout.pages()).filter_map(|index| self.page(index))
    }

    /// Iterates over the pages of all blocks, in order, each borrowed exclusively.
    #[inline]
    #[cfg(reeve_kunit)]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = PageMut<'_>> {
        (0..self.layout.pages()).filter_map(|index| {
            // SAFETY: By the type invariant the page is ours, and it is at this index only, so that
            // no other `PageMut` is of it. While we are borrowed exclusively only users access it.
            Some(unsafe { PageMut::new(self.find(index)?) })
        })
    }

    /// Borrows the pages of each block with the index of the first, from the `from`-th block on.
    #[inline]
    pub(crate) fn runs(&self, from: usize) -> impl Iterator<Item = (u64, Run<'_>)> {
        self.raw_runs().skip(from).map(|(index, first, pages)| {
            // SAFETY: By the type invariant these are the pages of a block of ours. While we are
            // borrowed they are not freed, and only users write to them.
            (index, unsafe { Run::new(first, pages) })
        })
    }

    /// Borrows the pages of each block exclusively, like [`PageBlocks::runs`].
    #[inline]
    pub(crate) fn runs_mut(&mut self, from: usize) -> impl Iterator<Item = (u64, RunMut<'_>)> {
        self.raw_runs().skip(from).map(|(index, first, pages)| {
            // SAFETY: By the type invariant these are the pages of a block of ours, and no other
            // entry has them, so that no other `RunMut` does. While we are borrowed exclusively
            // only users access them.
            (index, unsafe { RunMut::new(first, pages) })
        })
    }

    /// Borrows the last pages that lie side by side, at most `most`, with the index of the first.
    /// Returns `None` if there are no pages.
    pub(crate) fn last_run(&self, most: u64) -> Option<(u64, Run<'_>)> {
        let (first, pages) = match &self.partial {
            Some(partial) => (partial.first(), partial.len()),
            None => {
                let first = NonNull::new(self.blocks.as_slice().last()?.0)?;
                (first, 1 << self.layout.last_order()?)
            }
        };
        let count = most.min(pages).max(1);
        // SAFETY: By the type invariants of this and of `Partial` there are `pages` pages of ours
        // side by side, and `count` is at most that: a partial block without pages is dropped.
        // While we are borrowed they are not freed, and only users write to them.
        let run = unsafe { Run::new(first.add((pages - count) as usize), count) };
        Some((self.len() - count, run))
    }

    /// Iterates over the blocks: the index of the first page, that page, and the number of pages.
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
}

/// Mapping for a device.
impl PageBlocks {
    /// Maps the pages of all blocks for a device, until the first of them is removed.
    ///
    /// Fails like [`DmaAddresses::map`]; no pages are mapped then. May sleep.
    pub(crate) fn map_dma(&mut self, device: &Arc<DmaDevice>) -> Result {
        let blocks = self.raw_runs().map(|(_, first, pages)| {
            // SAFETY: `frame` wants a valid page: by the type invariant this one is ours.
            (unsafe { page::frame(first) }, pages)
        });
        // SAFETY: `map` wants pages that stay ours until the addresses are dropped. By the type
        // invariant they are ours, and they stay so until `pop`, which drops the addresses first.
        let addresses = unsafe { DmaAddresses::map(device, blocks) }?;
        *self.dma = Some(addresses);
        Ok(())
    }

    /// Returns the addresses that the pages have for a device, if they have.
    pub(crate) fn dma(&self) -> Option<&DmaAddresses> {
        self.dma.as_deref()
    }

    /// Replaces the addresses, by those of imported pages or by none.
    pub(crate) fn set_dma(&mut self, addresses: Option<KBox<DmaAddresses>>) {
        *self.dma = addresses;
    }
}

/// Giving pages back.
impl PageBlocks {
    /// Frees the last `count` pages. A block that loses a part of them becomes partial. May sleep.
    pub(crate) fn release_last(&mut self, count: u64) {
        let mut left = count;
        while left != 0 {
            if let Some(partial) = &mut self.partial {
                left -= partial.shorten(left);
                if partial.len() == 0 {
                    self.partial = None;
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
                self.partial = Some(Partial::split(block));
            }
        }
    }

    /// Frees all pages. May sleep.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.blocks() != 0 {
            self.release_blocks();
        }
        if self.partial.is_some() {
            self.partial = None;
        }
    }

    #[inline(never)]
    fn release_blocks(&mut self) {
        if self.kind.caching == Caching::Cached {
            self.release_to(drop);
        } else {
            self.release_together();
        }
    }

    /// Frees the pages of all blocks, and changes their caching many pages at a time.
    #[inline(never)]
    fn release_together(&mut self) {
        let mut freer = Freer::new();
        self.release_to(|block| freer.free(block));
    }

    /// Passes all blocks to `to`, the last one first. May sleep.
    #[inline]
    pub(crate) fn release_to(&mut self, mut to: impl FnMut(Block)) {
        while self.blocks() != 0 {
            if self.blocks() % FREE_BATCH == 0 {
                task::cond_resched();
            }
            if let Some(block) = self.pop() {
                to(block);
            }
        }
    }
}

// SAFETY: `page` and `block` return pages of blocks that we own, at their index. They stay ours
// until `pop`, which removes the mappings first.
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
    #[inline(always)]
    fn drop(&mut self) {
        // The partial block is dropped with the fields.
        if self.blocks() != 0 {
            self.release_blocks();
        }
        self.remove_mappings();
    }
}
