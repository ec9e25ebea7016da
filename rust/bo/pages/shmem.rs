// SPDX-License-Identifier: GPL-2.0

//! Pages that live in a shmem file, which all objects of a device share, and are used in place: they are
//! pinned in the page cache by references to their folios while they are used, and reclaim may swap them
//! out when they are released.
//!
//! The file's page cache leads to the pages, so no list of them is needed.

use crate::{
    abstractions::{
        bindings as helpers,
        dma::{
            DmaAddresses,
            DmaDevice, //
        },
        page::{
            self,
            PageMut,
            PageRef, //
        },
        shmem::{
            no_room_is_no_memory,
            Storage,
            Stretch, //
        },
        vma, //
    },
    bo::rules::page_runs::Place, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::Arc, //
};

/// A range of a shmem file of which either all pages are held, or none.
///
/// # Invariants
///
/// While `held` is set we have one reference to every folio with a page of the range, which keeps the
/// folio in the page cache and at its index. While it is not, no page is mapped, for users or for a
/// device. Only we use these pages.
pub(crate) struct ShmemPages {
    stretch: Stretch,
    held: bool,
    /// Whether they never were held.
    fresh: bool,
    mapped: vma::Mappings,
    dma: Option<KBox<DmaAddresses>>,
}

impl ShmemPages {
    /// Makes a range of `pages` pages, none of them held. Fails like [`Stretch::new`]. May sleep.
    pub(crate) fn new(storage: &Arc<Storage>, pages: u64) -> Result<Self> {
        // INVARIANT: Nothing is held or mapped, and no other stretch has these pages.
        Ok(Self {
            stretch: Stretch::new(storage, pages)?,
            held: false,
            fresh: true,
            mapped: vma::Mappings::none(),
            dma: None,
        })
    }

    /// Returns the number of pages that are held: all or none.
    #[inline]
    pub(crate) fn held(&self) -> u64 {
        if self.held {
            self.stretch.pages()
        } else {
            0
        }
    }

    /// Holds all pages. Those that were never used are zeroed; those that were swapped out are read
    /// back.
    ///
    /// Returns `ENOMEM` if there is no memory, `EIO` if swap can't be read, and `EINTR` after a
    /// fatal signal; no page is held then. May sleep; takes locks of the page cache.
    pub(crate) fn hold(&mut self) -> Result {
        if self.held {
            return Ok(());
        }
        let mut beyond = false;
        // SAFETY: The helper wants a shmem file and a range that it can have, which a `Stretch` is, and a
        // place for a result. When it fails it has dropped the references that it took.
        let result = to_result(unsafe {
            helpers::reeve_helper_shmem_hold(
                self.stretch.file().as_ptr(),
                self.stretch.first() as usize,
                self.stretch.pages() as usize,
                self.fresh,
                &mut beyond,
            )
        });
        self.fresh = false;
        if beyond {
            self.stretch.keep_apart();
        }
        result.map_err(no_room_is_no_memory)?;
        // INVARIANT: The helper succeeded, so it took a reference to every folio.
        self.held = true;
        Ok(())
    }

    /// Releases all pages, so that reclaim may swap them out. May sleep.
    pub(crate) fn release(&mut self) {
        self.mapped.remove();
        self.dma = None;
        if core::mem::take(&mut self.held) {
            // SAFETY: The helper drops one reference to each folio with a page of the range. By
            // the type invariant, as `held` was set, each has a reference of ours; they are not
            // used again, for `held` is clear and all mappings were removed.
            // INVARIANT: Nothing is held or mapped.
            unsafe {
                helpers::reeve_helper_shmem_release(
                    self.stretch.file().as_ptr(),
                    self.stretch.first() as usize,
                    self.stretch.pages() as usize,
                )
            };
        }
    }

    /// Maps the pages for a device, until they are released.
    ///
    /// Returns `EINVAL` if none are held, else fails like [`DmaAddresses::map`]. May sleep.
    pub(crate) fn map_dma(&mut self, device: &Arc<DmaDevice>) -> Result {
        if !self.held {
            return Err(EINVAL);
        }
        let pages = (0..self.stretch.pages()).map_while(|index| self.find(index));
        let blocks = pages.map(|page| {
            // SAFETY: `frame` wants a valid page; by the type invariant we have a reference to the
            // folio that it is in.
            (unsafe { page::frame(page) }, 1)
        });
        // SAFETY: `map` wants pages that stay ours until the addresses are dropped. By the type
        // invariant our references keep each page until `release`, which drops the addresses first.
        let addresses = unsafe { DmaAddresses::map(device, blocks) }?;
        self.dma = Some(addresses);
        Ok(())
    }

    /// Returns the addresses that the pages have for a device, if they have.
    pub(crate) fn dma(&self) -> Option<&DmaAddresses> {
        self.dma.as_deref()
    }

    /// Borrows page `index`. Returns `None` if there is none, or pages are not held.
    pub(crate) fn page(&self, index: u64) -> Option<PageRef<'_>> {
        // SAFETY: By the type invariant the page is held while we are borrowed, for releasing it
        // takes `&mut self`. Only we use it, so it is written to only through `&mut self`, and by users
        // who have it mapped.
        Some(unsafe { PageRef::new(self.find(index)?) })
    }

    /// Borrows page `index` exclusively. Returns `None` if there is none, or pages are not held.
    pub(crate) fn page_mut(&mut self, index: u64) -> Option<PageMut<'_>> {
        // SAFETY: By the type invariant the page is held while we are borrowed. Only we use it, and we
        // are borrowed exclusively, so only users who have it mapped access it meanwhile.
        Some(unsafe { PageMut::new(self.find(index)?) })
    }

    fn find(&self, index: u64) -> Option<NonNull<bindings::page>> {
        if !self.held || index >= self.stretch.pages() {
            return None;
        }
        let at = self.stretch.first() + index;
        // SAFETY: The helper wants a page of a shmem file to whose folio there is a reference, so
        // that the page stays valid when the helper has dropped its own. The page is in the range, and
        // by the type invariant, as `held` is set, we have that reference.
        NonNull::new(unsafe {
            helpers::reeve_helper_shmem_held_page(self.stretch.file().as_ptr(), at as usize)
        })
    }
}

// SAFETY: `page` returns held pages, at their index. They stay held until `release`, which removes
// the mappings first and marks all pages dirty, so that what users wrote is not lost.
unsafe impl vma::Pages for ShmemPages {
    fn mappings(&mut self) -> &mut vma::Mappings {
        &mut self.mapped
    }

    fn page(&self, index: u64) -> Option<NonNull<bindings::page>> {
        self.find(index)
    }

    fn block(&self, _index: u64) -> Option<(NonNull<bindings::page>, Place)> {
        None
    }
}

impl Drop for ShmemPages {
    fn drop(&mut self) {
        self.release();
    }
}
