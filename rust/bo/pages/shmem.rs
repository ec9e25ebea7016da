// SPDX-License-Identifier: GPL-2.0

//! Pages that live in a shmem file and are used where they are: letting go of them is all it takes
//! to have them swapped out, and getting hold of them again all it takes to have them back.
//!
//! No directory is needed: the file's page cache is one.

use super::{
    PageMut,
    PageRef, //
};
use crate::{
    abstractions::{
        bindings as shim,
        dma::{
            self,
            DmaAddresses,
            DmaDevice, //
        },
        shmem::{
            Folios,
            ShmemFile, //
        },
        vma, //
    },
    bo::rules::page_runs::Place, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc, //
};

/// A shmem file, and perhaps a hold on all of its pages.
///
/// # Invariants
///
/// While `held` is set there is a reference of ours to every folio of the file, which keeps each in
/// the page cache, where it is. While it is not, nothing is mapped, for users or for a device.
pub(crate) struct ShmemPages {
    file: ShmemFile,
    held: bool,
    mapped: vma::Mappings,
    dma: Option<KBox<DmaAddresses>>,
}

impl ShmemPages {
    /// Makes a file of `pages` pages, none of them there yet. Errors as [`ShmemFile::new`].
    pub(crate) fn new(name: &'static CStr, pages: u64) -> Result<Self> {
        // INVARIANT: Nothing is held.
        Ok(Self {
            file: ShmemFile::new(name, pages, Folios::Large)?,
            held: false,
            mapped: vma::Mappings::none(),
            dma: None,
        })
    }

    /// How many pages are held: all or none.
    #[inline]
    pub(crate) fn held(&self) -> u64 {
        if self.held {
            self.file.pages()
        } else {
            0
        }
    }

    /// Gets hold of all pages: those that never were there come zeroed, those that were swapped out
    /// come back.
    ///
    /// `ENOMEM`: no memory; `EIO`: swap can't be read; `EINTR`: a fatal signal. Nothing is held
    /// then. May sleep; takes locks of the page cache.
    pub(crate) fn hold(&mut self) -> Result {
        if self.held {
            return Ok(());
        }
        // SAFETY: The file is a live shmem file of that many pages. When this fails it has let go
        // of what it held.
        to_result(unsafe {
            shim::reeve_shim_shmem_hold(self.file.as_ptr(), self.file.pages() as usize)
        })
        .map_err(crate::abstractions::shmem::no_room_is_no_memory)?;
        // INVARIANT: There is a reference to every folio now.
        self.held = true;
        Ok(())
    }

    /// Lets go of all pages; from now on reclaim may swap them out. May sleep.
    pub(crate) fn let_go(&mut self) {
        self.mapped.remove();
        self.dma = None;
        if core::mem::take(&mut self.held) {
            // SAFETY: The file is a live shmem file of that many pages; by the type invariant each
            // of its folios has a reference of ours, which is not used again.
            // INVARIANT: Nothing is held.
            unsafe {
                shim::reeve_shim_shmem_let_go(self.file.as_ptr(), self.file.pages() as usize)
            };
        }
    }

    /// Maps the pages for a device, until they are let go of.
    ///
    /// `EINVAL`: none are held; else as [`DmaAddresses::map`]. May sleep.
    pub(crate) fn map_dma(&mut self, device: &Arc<DmaDevice>) -> Result {
        if !self.held {
            return Err(EINVAL);
        }
        let pages = (0..self.file.pages()).map_while(|index| self.find(index));
        let blocks = pages.map(|page| {
            // SAFETY: By the type invariant there is a reference to it.
            (unsafe { dma::frame(page) }, 1)
        });
        // SAFETY: By the type invariant each page stays where it is until `let_go`, which drops the
        // addresses first.
        let addresses = unsafe { DmaAddresses::map(device, blocks) }?;
        self.dma = Some(addresses);
        Ok(())
    }

    /// The addresses that the pages have for a device, if they have.
    pub(crate) fn dma(&self) -> Option<&DmaAddresses> {
        self.dma.as_deref()
    }

    /// The page `index`, if pages are held.
    pub(crate) fn page(&self, index: u64) -> Option<PageRef<'_>> {
        // SAFETY: By the type invariant it stays where it is while we are borrowed, and only who
        // has us exclusively writes to it.
        Some(unsafe { PageRef::new(self.find(index)?) })
    }

    /// The page `index`, to be written to, if pages are held.
    pub(crate) fn page_mut(&mut self, index: u64) -> Option<PageMut<'_>> {
        // SAFETY: As in `page`; we are borrowed exclusively.
        Some(unsafe { PageMut::new(self.find(index)?) })
    }

    fn find(&self, index: u64) -> Option<NonNull<kernel::bindings::page>> {
        if !self.held || index >= self.file.pages() {
            return None;
        }
        // SAFETY: The file is a live shmem file, and the index is inside it; by the type invariant
        // there is a reference to the folio.
        NonNull::new(unsafe {
            shim::reeve_shim_shmem_held_page(self.file.as_ptr(), index as usize)
        })
    }
}

// SAFETY: Pages are held, each where it is, until `let_go`, which removes the mappings first and
// marks all as written to.
unsafe impl vma::Pages for ShmemPages {
    fn mappings(&mut self) -> &mut vma::Mappings {
        &mut self.mapped
    }

    fn page(&self, index: u64) -> Option<NonNull<kernel::bindings::page>> {
        self.find(index)
    }

    fn block(&self, _index: u64) -> Option<(NonNull<kernel::bindings::page>, Place)> {
        None
    }
}

impl Drop for ShmemPages {
    fn drop(&mut self) {
        self.let_go();
    }
}
