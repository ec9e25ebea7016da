// SPDX-License-Identifier: GPL-2.0

//! A TT's pages, and the compact directory that leads to them.
//!
//! C original: the array of pages in `struct ttm_tt`.

use super::{
    bindings as shim,
    block::Block,
    caching::{
        self,
        Batch,
        Freer, //
    },
    task, //
};
use crate::{
    pure::{
        page_kind::{
            Caching,
            PageKind, //
        },
        page_runs::Layout, //
    },
    tt::small_list::SmallList, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
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
/// first `settled` entries are of kind `kind`, the others are of the same memory but cached.
pub(crate) struct PageDirectory {
    layout: Layout,
    blocks: SmallList<First>,
    settled: usize,
    kind: PageKind,
}

/// The first page of a block; null in unused entries only.
#[derive(Clone, Copy)]
struct First(*mut bindings::page);

// SAFETY: Pages can be used and freed by any task.
unsafe impl Send for First {}
// SAFETY: It is just the name of a block's pages; access to their content is up to
// `PageDirectory`.
unsafe impl Sync for First {}

impl PageDirectory {
    /// Has no pages; those it will have are to be of kind `kind`.
    #[inline]
    pub(crate) const fn new(kind: PageKind) -> Self {
        // INVARIANT: No blocks.
        Self {
            layout: Layout::new(),
            blocks: SmallList::new(First(core::ptr::null_mut())),
            settled: 0,
            kind,
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

    /// Takes the last block off, if there is one.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Block> {
        let first = NonNull::new(self.blocks.pop()?.0)?;
        let order = self.layout.pop()?;
        let mut kind = self.kind;
        if self.settled > self.layout.blocks() {
            self.settled = self.layout.blocks();
        } else {
            kind.caching = Caching::Cached;
        }
        // SAFETY: By the type invariant the last entry was a block of this order that we owned,
        // and of our kind if it was among the settled ones.
        // INVARIANT: One entry less in both.
        Some(unsafe { Block::from_raw(first, order, kind) })
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

    /// How many pages are settled at once.
    pub(crate) const SETTLE_BATCH: u64 = caching::BATCH as u64;

    /// What kind of pages it has.
    #[inline]
    pub(crate) fn kind(&self) -> PageKind {
        self.kind
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
        self.layout.pages()
    }

    /// Bytes on the heap and in here that it takes to find the pages.
    #[allow(dead_code, reason = "for the benchmark of directory bytes per page")]
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

    /// All pages in order.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = PageRef<'_>> {
        // INVARIANT: As in `page`.
        self.raw_iter().map(|page| PageRef(page, PhantomData))
    }

    /// All pages in order, to be written to.
    #[inline]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = PageMut<'_>> {
        // INVARIANT: As in `page_mut`; and `raw_iter` gives each page once, for no page is in two
        // blocks.
        self.raw_iter().map(|page| PageMut(page, PhantomData))
    }

    #[inline]
    fn raw_iter(&self) -> impl Iterator<Item = NonNull<bindings::page>> + '_ {
        let blocks = self.blocks.as_slice().iter().zip(self.layout.orders());
        blocks.flat_map(|(first, order)| {
            // SAFETY: By the type invariant the block has `2^order` pages, whose `struct page`s
            // lie side by side; none is null.
            (0..1usize << order).map(|i| unsafe { NonNull::new_unchecked(first.0.add(i)) })
        })
    }

    /// Gives all pages back to the system. May sleep.
    pub(crate) fn release(&mut self) {
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
        let mut given = 0;
        while let Some(block) = self.pop() {
            to(block);
            given += 1;
            if given % FREE_BATCH == 0 {
                task::cond_resched();
            }
        }
    }
}

impl Drop for PageDirectory {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

/// A page that may be read.
///
/// # Invariants
///
/// The page is valid for `'a`, and nobody writes to it meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct PageRef<'a>(NonNull<bindings::page>, PhantomData<&'a PageDirectory>);

impl PageRef<'_> {
    /// How the kernel's mapping of it is cached, in the architecture's own terms; 0: as any memory.
    #[cfg(reeve_kunit)]
    pub(crate) fn cache_bits(&self) -> usize {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::reeve_shim_page_cache_bits(self.0.as_ptr()) }
    }

    /// The page.
    #[inline]
    pub(super) fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// Copies its bytes from `offset` on to `to`.
    ///
    /// `EINVAL`: that is more than the page has.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        check_range(offset, to.len())?;
        with_mapped(self.0, |page| {
            // SAFETY: The range is inside the page, which nobody writes to by the type invariant;
            // `to` is a slice of that length elsewhere.
            unsafe {
                page.add(offset)
                    .copy_to_nonoverlapping(to.as_mut_ptr(), to.len())
            };
        });
        Ok(())
    }
}

/// A page that may be written to.
///
/// # Invariants
///
/// The page is valid for `'a`, and nobody else accesses it meanwhile.
pub(crate) struct PageMut<'a>(NonNull<bindings::page>, PhantomData<&'a mut PageDirectory>);

impl PageMut<'_> {
    /// The page.
    #[inline]
    pub(super) fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// Copies `from` to its bytes from `offset` on.
    ///
    /// `EINVAL`: that is more than the page has.
    pub(crate) fn write(&mut self, offset: usize, from: &[u8]) -> Result {
        check_range(offset, from.len())?;
        with_mapped(self.0, |page| {
            // SAFETY: The range is inside the page, which nobody else accesses by the type
            // invariant; `from` is a slice of that length elsewhere.
            unsafe {
                page.add(offset)
                    .copy_from_nonoverlapping(from.as_ptr(), from.len())
            };
        });
        Ok(())
    }
}

fn check_range(offset: usize, length: usize) -> Result {
    match offset.checked_add(length) {
        Some(end) if end <= PAGE_SIZE => Ok(()),
        _ => Err(EINVAL),
    }
}

/// Runs `f` on the page's memory, which is mapped for this task meanwhile. `f` must not sleep
/// for long.
fn with_mapped(page: NonNull<bindings::page>, f: impl FnOnce(*mut u8)) {
    // SAFETY: The callers pass pages that are valid meanwhile. Mappings nest because `f` runs
    // between the two calls.
    let mapped = unsafe { bindings::kmap_local_page(page.as_ptr()) };
    f(mapped.cast());
    // SAFETY: Undoes the mapping made above, the last one that is left.
    unsafe { bindings::kunmap_local(mapped) };
}
