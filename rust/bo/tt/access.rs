// SPDX-License-Identifier: GPL-2.0

//! Going over a TT's pages, each mapped for the kernel while its bytes are used.
//!
//! One page is mapped at a time, with the protection that all mappings of the TT's pages have. So it
//! works where the kernel can't have all memory mapped, too.
//!
//! C original: `struct ttm_kmap_iter_tt`.
#![deny(unsafe_code)]

use super::Tt;
use crate::{
    abstractions::{
        kmap::Protection,
        page::{
            PageMut,
            PageRef, //
        }, //
    }, //
};
use kernel::prelude::*;

/// Goes over pages that are read. There are none while the TT is not populated.
pub(crate) struct KmapIter<'a> {
    tt: &'a Tt,
    protection: Protection,
    next: u64,
}

/// A page that can be read.
pub(crate) struct Kmap<'a> {
    page: PageRef<'a>,
    protection: Protection,
}

/// Goes over pages that are written to. There are none while the TT is not populated.
pub(crate) struct KmapIterMut<'a> {
    tt: &'a mut Tt,
    protection: Protection,
    next: u64,
}

/// A page that can be written to.
pub(crate) struct KmapMut<'a> {
    page: PageMut<'a>,
    protection: Protection,
}

impl<'a> KmapIter<'a> {
    /// Goes over the pages from `first` on.
    #[inline]
    pub(in crate::bo) fn new(tt: &'a Tt, first: u64) -> Self {
        Self {
            tt,
            protection: tt.protection(),
            next: first,
        }
    }

    /// Returns how pages are mapped.
    #[cfg(reeve_kunit)]
    pub(crate) fn protection(&self) -> Protection {
        self.protection
    }
}

impl<'a> Iterator for KmapIter<'a> {
    type Item = Kmap<'a>;

    #[inline]
    fn next(&mut self) -> Option<Kmap<'a>> {
        let page = self.tt.page(self.next)?;
        self.next += 1;
        Some(Kmap {
            page,
            protection: self.protection,
        })
    }
}

impl Kmap<'_> {
    /// Copies its bytes from `offset` on to `to`; it is mapped meanwhile.
    ///
    /// Returns `EINVAL` if that is more than the page has.
    #[inline]
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        self.page.read_as(self.protection, offset, to)
    }

    /// Returns the page.
    #[cfg(reeve_kunit)]
    pub(crate) fn page(&self) -> PageRef<'_> {
        self.page
    }
}

impl<'a> KmapIterMut<'a> {
    /// Goes over the pages from `first` on.
    #[inline]
    pub(in crate::bo) fn new(tt: &'a mut Tt, first: u64) -> Self {
        Self {
            protection: tt.protection(),
            tt,
            next: first,
        }
    }

    /// Returns the next page; the one before can't be used any more.
    #[inline]
    pub(crate) fn advance(&mut self) -> Option<KmapMut<'_>> {
        let page = self.tt.page_mut(self.next)?;
        self.next += 1;
        Some(KmapMut {
            page,
            protection: self.protection,
        })
    }
}

impl KmapMut<'_> {
    /// Copies `from` to its bytes from `offset` on; it is mapped meanwhile.
    ///
    /// Returns `EINVAL` if that is more than the page has.
    #[inline]
    pub(crate) fn write(&mut self, offset: usize, from: &[u8]) -> Result {
        self.page.write_as(self.protection, offset, from)
    }
}
