// SPDX-License-Identifier: GPL-2.0

//! Names of pages, by which their content is read and written while their owner is borrowed.

use super::PageBlocks;
use crate::abstractions::kmap::{
    with_mapped,
    Protection, //
};
#[cfg(reeve_kunit)]
use crate::abstractions::{
    bindings as shim,
    dma, //
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

/// Pages side by side that may be read.
///
/// # Invariants
///
/// The pages are valid for `'a`, and nobody writes to them meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a>(
    pub(super) NonNull<bindings::page>,
    pub(super) u64,
    pub(super) PhantomData<&'a PageBlocks>,
);

impl Run<'_> {
    /// The first page.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// How many pages.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.1
    }
}

/// Pages side by side that may be written to.
///
/// # Invariants
///
/// The pages are valid for `'a`, and nobody else accesses them meanwhile.
pub(crate) struct RunMut<'a>(
    pub(super) NonNull<bindings::page>,
    pub(super) u64,
    pub(super) PhantomData<&'a mut PageBlocks>,
);

impl<'a> RunMut<'a> {
    /// The first page.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// How many pages.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.1
    }

    /// The first `pages` pages, or all if they are fewer, and the rest.
    pub(crate) fn split(self, pages: u64) -> (Self, Self) {
        let count = pages.min(self.1);
        // SAFETY: The pages lie side by side, and `count` is not more than there are.
        let rest = unsafe { self.0.add(count as usize) };
        // INVARIANT: Each page of ours is in one of both.
        (
            Self(self.0, count, PhantomData),
            Self(rest, self.1 - count, PhantomData),
        )
    }
}

/// A page that may be read.
///
/// # Invariants
///
/// The page is valid for `'a`, and nobody but user space writes to it meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct PageRef<'a>(
    pub(super) NonNull<bindings::page>,
    pub(super) PhantomData<&'a ()>,
);

impl PageRef<'_> {
    /// Names a page.
    ///
    /// # Safety
    ///
    /// It must be valid, and nobody may write to it, for the lifetime.
    #[inline]
    pub(crate) unsafe fn new(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: By the contract.
        Self(page, PhantomData)
    }

    /// Its page frame.
    #[cfg(reeve_kunit)]
    pub(crate) fn frame(&self) -> u64 {
        // SAFETY: By the type invariant the page is valid.
        unsafe { dma::frame(self.0) }
    }

    /// How the kernel's mapping of it is cached, in the architecture's own terms; 0: as any memory.
    #[cfg(reeve_kunit)]
    pub(crate) fn cache_bits(&self) -> usize {
        // SAFETY: By the type invariant the page is valid.
        unsafe { shim::reeve_shim_page_cache_bits(self.0.as_ptr()) }
    }

    /// Copies its bytes from `offset` on to `to`, the page being any memory.
    ///
    /// `EINVAL`: that is more than the page has.
    #[cfg(any(reeve_kunit, reeve_break_selftest))]
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        self.read_as(Protection::PLAIN, offset, to)
    }

    /// Copies its bytes from `offset` on to `to`. The page is mapped with this protection.
    ///
    /// `EINVAL`: that is more than the page has.
    pub(crate) fn read_as(&self, protection: Protection, offset: usize, to: &mut [u8]) -> Result {
        check_range(offset, to.len())?;
        let copy = |page: *mut u8| {
            // SAFETY: The range is inside the page, which nobody writes to by the type invariant
            // but user space, with which no race is one of ours; `to` is a slice of that length
            // elsewhere.
            unsafe {
                page.add(offset)
                    .copy_to_nonoverlapping(to.as_mut_ptr(), to.len())
            };
        };
        // SAFETY: By the type invariant the page is valid.
        unsafe { with_mapped(self.0, protection, copy) };
        Ok(())
    }
}

/// A page that may be written to.
///
/// # Invariants
///
/// The page is valid for `'a`, and nobody else but user space accesses it meanwhile.
pub(crate) struct PageMut<'a>(
    pub(super) NonNull<bindings::page>,
    pub(super) PhantomData<&'a mut ()>,
);

impl PageMut<'_> {
    /// Names a page.
    ///
    /// # Safety
    ///
    /// It must be valid, and nobody else may access it, for the lifetime.
    #[inline]
    pub(crate) unsafe fn new(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: By the contract.
        Self(page, PhantomData)
    }

    /// The page, to be read.
    #[cfg(reeve_kunit)]
    pub(crate) fn as_ref(&self) -> PageRef<'_> {
        // INVARIANT: We are borrowed, so nobody writes to it.
        PageRef(self.0, PhantomData)
    }

    /// Copies `from` to its bytes from `offset` on, the page being any memory.
    ///
    /// `EINVAL`: that is more than the page has.
    #[cfg(any(reeve_kunit, reeve_break_selftest))]
    pub(crate) fn write(&mut self, offset: usize, from: &[u8]) -> Result {
        self.write_as(Protection::PLAIN, offset, from)
    }

    /// Copies `from` to its bytes from `offset` on. The page is mapped with this protection.
    ///
    /// `EINVAL`: that is more than the page has.
    pub(crate) fn write_as(
        &mut self,
        protection: Protection,
        offset: usize,
        from: &[u8],
    ) -> Result {
        check_range(offset, from.len())?;
        let copy = |page: *mut u8| {
            // SAFETY: The range is inside the page, which nobody else accesses by the type
            // invariant but user space, with which no race is one of ours; `from` is a slice of
            // that length elsewhere.
            unsafe {
                page.add(offset)
                    .copy_from_nonoverlapping(from.as_ptr(), from.len())
            };
        };
        // SAFETY: By the type invariant the page is valid.
        unsafe { with_mapped(self.0, protection, copy) };
        Ok(())
    }
}

fn check_range(offset: usize, length: usize) -> Result {
    match offset.checked_add(length) {
        Some(end) if end <= PAGE_SIZE => Ok(()),
        _ => Err(EINVAL),
    }
}
