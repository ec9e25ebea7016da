// SPDX-License-Identifier: GPL-2.0

//! A TT's pages, and the compact directory that leads to them.
//!
//! C original: `ttm_pool_alloc()` and `ttm_pool_free()` without the pool.

use super::{
    bindings as shim,
    task, //
};
use crate::{
    pure::page_runs::{
        self,
        Layout, //
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

/// Owns pages, in blocks of powers of two.
///
/// It costs a pointer per block, and none on the heap while there are few blocks.
///
/// # Invariants
///
/// `blocks` has as many entries as `layout` has blocks. Entry `i` is the first page of a block, of
/// the order that `layout` has for it, that came from `alloc_pages()`, is ours and is in no other
/// entry.
pub(crate) struct PageDirectory {
    layout: Layout,
    blocks: SmallList<Block>,
}

/// The first page of a block; null in unused entries only.
#[derive(Clone, Copy)]
struct Block(*mut bindings::page);

// SAFETY: Pages can be used and freed by any task.
unsafe impl Send for Block {}
// SAFETY: A block is just the name of its pages; access to their content is up to `PageDirectory`.
unsafe impl Sync for Block {}

impl PageDirectory {
    /// Has no pages.
    #[inline]
    pub(crate) const fn new() -> Self {
        // INVARIANT: No blocks.
        Self {
            layout: Layout::new(),
            blocks: SmallList::new(Block(core::ptr::null_mut())),
        }
    }

    /// Allocates `pages` pages, cleared if `clear`; otherwise they show what was in them last.
    ///
    /// `ENOMEM`: not that many to be had; no process is killed for them. `EINTR`: a fatal signal
    /// arrived. Either way none are left allocated. May sleep; holds no lock, and reclaim may run.
    pub(crate) fn allocate(pages: u64, clear: bool) -> Result<Self> {
        let mut directory = Self::new();
        let mut missing = pages;
        let mut order = page_runs::MAX_ORDER;

        while missing != 0 {
            if !directory.blocks.is_empty() {
                task::breathe()?;
            }
            order = page_runs::order_for(missing, order);
            order = directory.add_block(order, clear)?;
            missing -= 1 << order;
        }
        Ok(directory)
    }

    /// Adds a block of at most `order`, which must not exceed the last block's, and answers its
    /// order.
    fn add_block(&mut self, mut order: u32, clear: bool) -> Result<u32> {
        let clear = if clear { shim::REEVE_GFP_CLEAR } else { 0 };
        let slot = self.blocks.reserve()?;
        loop {
            let flags = clear
                | if order == 0 {
                    shim::REEVE_GFP_PAGE
                } else {
                    shim::REEVE_GFP_BLOCK
                };
            // SAFETY: We may sleep, and are not in interrupt context.
            let first = unsafe { bindings::alloc_pages(flags, order) };
            if !first.is_null() {
                if !self.layout.push(order) {
                    // SAFETY: The block is ours and was just allocated with this order.
                    unsafe { bindings::__free_pages(first, order) };
                    return Err(ENOMEM);
                }
                // INVARIANT: One more entry in both; the block is new, ours and of this order, and
                // `Layout` took it as its last one.
                slot.fill(Block(first));
                return Ok(order);
            }
            order = order.checked_sub(1).ok_or(ENOMEM)?;
        }
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
        let block = self.blocks.as_slice().get(place.block)?;
        // SAFETY: By the type invariant the block has `2^place.order` pages, `place.page` is less
        // than that, and the `struct page`s of a block lie side by side.
        NonNull::new(unsafe { block.0.add(place.page) })
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
        blocks.flat_map(|(block, order)| {
            // SAFETY: By the type invariant the block has `2^order` pages, whose `struct page`s
            // lie side by side; none is null.
            (0..1usize << order).map(|i| unsafe { NonNull::new_unchecked(block.0.add(i)) })
        })
    }
}

impl Drop for PageDirectory {
    fn drop(&mut self) {
        let blocks = self.blocks.as_slice().iter().zip(self.layout.orders());
        for (i, (block, order)) in blocks.enumerate() {
            if i % FREE_BATCH == FREE_BATCH - 1 {
                task::cond_resched();
            }
            // SAFETY: By the type invariant the block is ours and of this order. Nobody looks at
            // it again, for all borrows of `self` have ended.
            unsafe { bindings::__free_pages(block.0, order) };
        }
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
