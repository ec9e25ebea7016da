// SPDX-License-Identifier: GPL-2.0

//! Borrowed pages, whose content is read and written while their owner is borrowed; and what the
//! kernel knows of its pages as a whole.
//!
//! | one page | pages side by side | access |
//! |---|---|---|
//! | [`PageRef`] | [`Run`] | shared |
//! | [`PageMut`] | [`RunMut`] | exclusive |
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::{
    bindings as helpers,
    kmap::{
        with_mapped,
        Protection, //
    }, //
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

/// A page that may be read.
///
/// # Invariants
///
/// The page is valid for `'a`, and only user space writes to it during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct PageRef<'a>(NonNull<bindings::page>, PhantomData<&'a ()>);

impl PageRef<'_> {
    /// Borrows a page.
    ///
    /// # Safety
    ///
    /// For the lifetime of the result the page must be valid, and only user space may write to it.
    #[inline]
    pub(crate) unsafe fn new(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: The contract of this function is the invariant.
        Self(page, PhantomData)
    }

    /// Returns the C struct.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// Returns the number of its page frame.
    #[cfg(reeve_kunit)]
    pub(crate) fn frame(&self) -> u64 {
        // SAFETY: `frame` requires a valid page, which this is by the type invariant.
        unsafe { frame(self.0) }
    }

    /// Returns how the kernel's mapping of it is cached, in the architecture's own terms; 0 for a
    /// page that is cached like any other.
    #[cfg(reeve_kunit)]
    pub(crate) fn cache_bits(&self) -> usize {
        // SAFETY: The helper looks up the page's entry in the kernel's page table; the page is
        // valid by the type invariant.
        unsafe { helpers::reeve_helper_page_cache_bits(self.0.as_ptr()) }
    }

    /// Copies its bytes from `offset` on to `to`, for a page that is cached like any other.
    ///
    /// Returns `EINVAL` if that is more than the page has.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        self.read_as(Protection::PLAIN, offset, to)
    }

    /// Copies its bytes from `offset` on to `to`. The page is mapped with this protection.
    ///
    /// Returns `EINVAL` if that is more than the page has.
    pub(crate) fn read_as(&self, protection: Protection, offset: usize, to: &mut [u8]) -> Result {
        check_range(offset, to.len())?;
        let copy = |page: *mut u8| {
            // SAFETY: `check_range` has put the range inside the page. By the type invariant only
            // user space writes to it meanwhile, and what a copy that races with that reads does
            // not matter to the kernel. `to` is an exclusive slice of that length, which the page
            // is no part of.
            unsafe {
                page.add(offset)
                    .copy_to_nonoverlapping(to.as_mut_ptr(), to.len())
            };
        };
        // SAFETY: `with_mapped` requires a valid page, which this is by the type invariant.
        unsafe { with_mapped(self.0, protection, copy) };
        Ok(())
    }
}

/// A page that may be written to.
///
/// # Invariants
///
/// The page is valid for `'a`, and only we and user space access it during `'a`.
pub(crate) struct PageMut<'a>(NonNull<bindings::page>, PhantomData<&'a mut ()>);

impl PageMut<'_> {
    /// Borrows a page exclusively.
    ///
    /// # Safety
    ///
    /// For the lifetime of the result the page must be valid, and only user space may access it by
    /// other ways than the result.
    #[inline]
    pub(crate) unsafe fn new(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: The contract of this function is the invariant.
        Self(page, PhantomData)
    }

    /// Returns the page, to be read.
    #[cfg(reeve_kunit)]
    pub(crate) fn as_ref(&self) -> PageRef<'_> {
        // INVARIANT: The page is valid, and while this is borrowed it is not written to.
        PageRef(self.0, PhantomData)
    }

    /// Copies `from` to its bytes from `offset` on, for a page that is cached like any other.
    ///
    /// Returns `EINVAL` if that is more than the page has.
    pub(crate) fn write(&mut self, offset: usize, from: &[u8]) -> Result {
        self.write_as(Protection::PLAIN, offset, from)
    }

    /// Copies `from` to its bytes from `offset` on. The page is mapped with this protection.
    ///
    /// Returns `EINVAL` if that is more than the page has.
    pub(crate) fn write_as(
        &mut self,
        protection: Protection,
        offset: usize,
        from: &[u8],
    ) -> Result {
        check_range(offset, from.len())?;
        let copy = |page: *mut u8| {
            // SAFETY: `check_range` has put the range inside the page. By the type invariant only
            // user space accesses it meanwhile, and what it sees of a copy that races with it does
            // not matter to the kernel. `from` is a slice of that length, which the page is no part
            // of.
            unsafe {
                page.add(offset)
                    .copy_from_nonoverlapping(from.as_ptr(), from.len())
            };
        };
        // SAFETY: `with_mapped` requires a valid page, which this is by the type invariant.
        unsafe { with_mapped(self.0, protection, copy) };
        Ok(())
    }
}

/// Returns `EINVAL` if a range is not inside a page.
fn check_range(offset: usize, length: usize) -> Result {
    match offset.checked_add(length) {
        Some(end) if end <= PAGE_SIZE => Ok(()),
        _ => Err(EINVAL),
    }
}

/// Pages side by side that may be read.
///
/// # Invariants
///
/// The pages, of one block, are valid for `'a`, and only user space writes to them during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a>(NonNull<bindings::page>, u64, PhantomData<&'a ()>);

impl Run<'_> {
    /// Borrows the `pages` pages from `first` on.
    ///
    /// # Safety
    ///
    /// For the lifetime of the result they must be valid pages of one block, and only user space
    /// may write to them.
    #[inline]
    pub(crate) unsafe fn new(first: NonNull<bindings::page>, pages: u64) -> Self {
        // INVARIANT: The contract of this function is the invariant.
        Self(first, pages, PhantomData)
    }

    /// Returns the first page.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// Returns the number of pages.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.1
    }

    /// Splits it into the first `pages` pages, or all if they are fewer, and the rest.
    #[inline]
    pub(crate) fn split(self, pages: u64) -> (Self, Self) {
        let count = pages.min(self.1);
        // SAFETY: By the type invariant the `struct page`s lie side by side in one block; `count`
        // is at most their number, so the result is inside them or one past their end.
        let rest = unsafe { self.0.add(count as usize) };
        // INVARIANT: Both have pages of `self` only.
        (
            Self(self.0, count, PhantomData),
            Self(rest, self.1 - count, PhantomData),
        )
    }
}

/// Pages side by side that may be written to.
///
/// # Invariants
///
/// The pages, of one block, are valid for `'a`, and only we and user space access them during `'a`.
pub(crate) struct RunMut<'a>(NonNull<bindings::page>, u64, PhantomData<&'a mut ()>);

impl RunMut<'_> {
    /// Borrows the `pages` pages from `first` on exclusively.
    ///
    /// # Safety
    ///
    /// For the lifetime of the result they must be valid pages of one block, and only user space
    /// may access them by other ways than the result.
    #[inline]
    pub(crate) unsafe fn new(first: NonNull<bindings::page>, pages: u64) -> Self {
        // INVARIANT: The contract of this function is the invariant.
        Self(first, pages, PhantomData)
    }

    /// Returns the first page.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// Returns the number of pages.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.1
    }

    /// Splits it into the first `pages` pages, or all if they are fewer, and the rest.
    pub(crate) fn split(self, pages: u64) -> (Self, Self) {
        let count = pages.min(self.1);
        // SAFETY: By the type invariant the `struct page`s lie side by side in one block; `count`
        // is at most their number, so the result is inside them or one past their end.
        let rest = unsafe { self.0.add(count as usize) };
        // INVARIANT: Each page is in exactly one of the two, and `self`, which had the exclusive
        // access, is gone.
        (
            Self(self.0, count, PhantomData),
            Self(rest, self.1 - count, PhantomData),
        )
    }
}

/// Returns the number of the page frame of a page.
///
/// # Safety
///
/// The page must be valid.
pub(crate) unsafe fn frame(page: NonNull<bindings::page>) -> u64 {
    // SAFETY: `page_to_pfn()` computes with the address of the `struct page`, and on some memory
    // models reads its flags; the page is valid by the contract.
    unsafe { helpers::reeve_helper_page_pfn(page.as_ptr()) as u64 }
}

/// Returns the size of the machine's memory, in pages.
pub(crate) fn total_ram() -> u64 {
    // SAFETY: `totalram_pages()` reads an atomic counter; it may be called in any context.
    unsafe { helpers::reeve_helper_total_ram() as u64 }
}

/// Returns the size of the memory that the kernel always has mapped, in pages.
pub(crate) fn low_ram() -> u64 {
    // SAFETY: The helper reads two atomic counters; it may be called in any context.
    unsafe { helpers::reeve_helper_low_ram() as u64 }
}

/// Returns how many memory nodes there may be; nodes are numbered from 0.
pub(crate) fn nodes() -> usize {
    // SAFETY: `nr_node_ids` is a constant, or a variable that does not change after boot.
    unsafe { helpers::reeve_helper_nr_nodes() as usize }
}

/// Returns the memory node nearest to the CPU that runs this, if the current task's cpuset has it.
/// `None` also if the task has a memory policy: then only the page allocator knows the node.
#[inline]
pub(crate) fn allowed_node() -> Option<usize> {
    // SAFETY: `numa_mem_id()` reads a per-CPU variable with `raw_cpu_read()`, which is right in any
    // context if, as here, the node of any CPU will do. The policy is the current task's own; it is
    // compared with NULL only, and the nodes of its cpuset are a hint that may be changed meanwhile.
    usize::try_from(unsafe { helpers::reeve_helper_allowed_node() }).ok()
}

/// Returns the memory node nearest to the CPU that runs this; the task may move to another CPU at
/// any time.
#[cfg(reeve_kunit)]
#[inline]
pub(crate) fn local_node() -> usize {
    // SAFETY: `numa_mem_id()` reads a per-CPU variable with `raw_cpu_read()`, which is right in any
    // context if, as here, the node of any CPU will do.
    usize::try_from(unsafe { helpers::reeve_helper_local_node() }).unwrap_or(0)
}
