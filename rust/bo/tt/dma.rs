// SPDX-License-Identifier: GPL-2.0

//! A TT's pages as the device and the kernel access them.
#![deny(unsafe_code)]

use super::{
    access::{
        KmapIter,
        KmapIterMut, //
    },
    Tt, //
};
use crate::{
    abstractions::{
        dma::{
            DmaAddresses,
            DmaDevice, //
        },
        kmap::Protection, //
    },
    bo::{
        pages::{
            shmem::ShmemPages,
            PageBlocks, //
        },
        pool::alloc,
        rules::dma_runs::Place, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl Tt {
    /// Goes over its pages from `first` on, each mapped while it is read; none, while it is not
    /// populated.
    #[inline]
    pub(in crate::bo) fn kmap(&self, first: u64) -> KmapIter<'_> {
        KmapIter::new(self, first)
    }

    /// Goes over its pages from `first` on, each mapped while it is written to; none, while it is not
    /// populated.
    #[inline]
    pub(in crate::bo) fn kmap_mut(&mut self, first: u64) -> KmapIterMut<'_> {
        KmapIterMut::new(self, first)
    }

    /// Returns the protection that all mappings of its pages have.
    #[inline]
    pub(in crate::bo) fn protection(&self) -> Protection {
        Self::protection_of(self.flags)
    }

    /// Returns the DMA addresses that its pages have now.
    pub(in crate::bo) fn dma(&self) -> Option<&DmaAddresses> {
        match &self.shmem {
            None => self.pages.dma(),
            Some(shmem) => shmem.dma(),
        }
    }

    /// Returns the DMA address of the page `index`. Returns `EINVAL` if there is no such page, it is
    /// not in memory, or its address is not known.
    pub(crate) fn dma_address(&self, index: u64) -> Result<Place> {
        self.dma()
            .and_then(|addresses| addresses.locate(index))
            .ok_or(EINVAL)
    }

    /// Keeps the DMA addresses of external pages, until it is unpopulated.
    ///
    /// Returns `EINVAL` if they are not for all of its pages, if the pages are its own or not
    /// populated, or if it was made without addresses.
    ///
    /// C original: `dma_address` of a TT from `ttm_sg_tt_init()`, which drivers fill in.
    pub(crate) fn set_dma_addresses(&mut self, addresses: KBox<DmaAddresses>) -> Result {
        let wanted = self.flags.has_dma() && !self.flags.owns_pages();
        if !wanted || !self.state().is_populated() || addresses.pages() != self.num_pages {
            return Err(EINVAL);
        }
        self.pages.set_dma(Some(addresses));
        Ok(())
    }

    /// Lets the processor see what the device wrote to these pages, which count as written to; see
    /// [`DmaAddresses::sync_for_cpu`].
    pub(in crate::bo) fn sync_for_cpu(&mut self, first: u64, pages: u64) {
        let Some(addresses) = self.dma() else {
            return;
        };
        addresses.sync_for_cpu(first, pages);
        if let Some(log) = &self.log {
            log.written_range(first, pages);
        }
    }

    /// Lets the device see what the processor wrote to these pages; see
    /// [`DmaAddresses::sync_for_device`].
    pub(in crate::bo) fn sync_for_device(&self, first: u64, pages: u64) {
        if let Some(addresses) = self.dma() {
            addresses.sync_for_device(first, pages);
        }
    }
}

/// Shows fresh pages to the device: shares them with it if it is outside of a confidential guest,
/// and maps them. When that fails, gives all back.
#[inline(never)]
pub(super) fn show_fresh(
    pages: &mut PageBlocks,
    dma: &Arc<DmaDevice>,
    decrypted: bool,
    clear: bool,
) -> Result {
    if decrypted {
        let result = pages.decrypt();
        if result.is_err() {
            alloc::take_back(pages, 0);
            return result;
        }
        // Decrypting loses their content, zeroes too.
        if clear {
            pages.clear();
        }
    }
    map_or_take_back(pages, dma, 0)
}

/// Maps all pages for the device; when that fails, gives back all but the first `blocks` blocks.
pub(super) fn map_or_take_back(
    pages: &mut PageBlocks,
    dma: &Arc<DmaDevice>,
    blocks: usize,
) -> Result {
    let result = pages.map_dma(dma);
    if result.is_err() {
        alloc::take_back(pages, blocks);
    }
    result
}

/// Takes hold of a file's pages, and maps them for the device if there is one.
pub(super) fn hold(shmem: &mut ShmemPages, dma: Option<&Arc<DmaDevice>>) -> Result {
    shmem.hold()?;
    if let Some(dma) = dma {
        if let Err(e) = shmem.map_dma(dma) {
            shmem.release();
            return Err(e);
        }
    }
    Ok(())
}
