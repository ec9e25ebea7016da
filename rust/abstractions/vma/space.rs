// SPDX-License-Identifier: GPL-2.0

//! Where pages are mapped.

use crate::abstractions::bindings as helpers;
use core::ptr::NonNull;
use kernel::{
    bindings,
    fs::File,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// The address space in which pages are mapped: an open file's, with all its mappings and no others, or
/// that of an inode.
///
/// # Invariants
///
/// `inner` is an initialised address space without pages, unless `inode` is an inode of which we have a
/// reference, and which has an address space of its own.
#[pin_data(PinnedDrop)]
pub(crate) struct MapSpace {
    inode: Option<NonNull<bindings::inode>>,
    #[pin]
    inner: Opaque<bindings::address_space>,
}

// SAFETY: An address space belongs to no task: any task may use and free it. So is it with a reference to
// an inode.
unsafe impl Send for MapSpace {}
// SAFETY: `&self` methods only take its address, for functions that do their own locking.
unsafe impl Sync for MapSpace {}

impl MapSpace {
    /// Makes an address space for `file`, which is being opened.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(file: &File) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                inode: None,
                // INVARIANT: The helper initialises it, without pages.
                // SAFETY: The helper wants a place to write to that stays where it is, as `slot`
                // does for it is pinned, and a valid file, which a `File` is.
                inner <- Opaque::ffi_init(|slot| unsafe {
                    helpers::reeve_helper_space_init(slot, file.as_ptr())
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the address space of the file that `vma` maps.
    ///
    /// Returns `EINVAL` if it is not that of an inode, which can be kept, `ENOMEM` if there is no memory.
    /// May sleep.
    ///
    /// # Safety
    ///
    /// `vma` must be a valid mapping of a file.
    pub(crate) unsafe fn of_vma(vma: NonNull<bindings::vm_area_struct>) -> Result<Arc<Self>> {
        // SAFETY: The helper wants a valid mapping of a file, as the caller vouches for.
        let inode = unsafe { helpers::reeve_helper_vma_hold_inode(vma.as_ptr()) };
        let inode = NonNull::new(inode).ok_or(EINVAL)?;
        let made = Arc::pin_init(
            pin_init!(Self {
                // INVARIANT: The helper took a reference to the inode, whose own address space it is.
                inode: Some(inode),
                inner: Opaque::uninit(),
            }),
            GFP_KERNEL,
        );
        if made.is_err() {
            // SAFETY: The helper took a reference, which nothing else has.
            unsafe { bindings::iput(inode.as_ptr()) };
        }
        made
    }

    /// Returns the C struct.
    pub(super) fn as_ptr(&self) -> *mut bindings::address_space {
        match self.inode {
            None => self.inner.get(),
            // SAFETY: By the type invariant the inode is valid, for we have a reference to it.
            Some(inode) => unsafe { &raw mut (*inode.as_ptr()).i_data },
        }
    }

    /// Makes it the address space of `file`.
    ///
    /// # Safety
    ///
    /// `file` must be in its `open`, and this must live until [`MapSpace::leave`].
    pub(crate) unsafe fn enter(&self, file: &File) {
        // SAFETY: By the contract the file is being opened, so nothing else accesses its fields.
        // The address space stays valid until `leave` resets the pointer.
        unsafe { (*file.as_ptr()).f_mapping = self.as_ptr() };
    }

    /// Undoes [`MapSpace::enter`].
    ///
    /// # Safety
    ///
    /// `file` must be in its `release`, so that it has no mappings.
    pub(crate) unsafe fn leave(file: &File) {
        // SAFETY: The helper writes a field of a file that nothing else accesses: by the contract
        // it is being released, after its last reference is gone.
        unsafe { helpers::reeve_helper_space_leave(file.as_ptr()) };
    }
}

#[pinned_drop]
impl PinnedDrop for MapSpace {
    fn drop(self: Pin<&mut Self>) {
        if let Some(inode) = self.inode {
            // SAFETY: By the type invariant we have a reference, which is not used again.
            unsafe { bindings::iput(inode.as_ptr()) };
        }
    }
}

/// A range of an open file's offsets, in pages, at which an owner's pages are mapped.
#[derive(Clone)]
pub(crate) struct Range {
    pub(super) space: Arc<MapSpace>,
    first: u64,
    pages: u64,
}

impl Range {
    /// Makes the range of `pages` pages of the file from `first` on.
    pub(crate) fn new(space: Arc<MapSpace>, first: u64, pages: u64) -> Self {
        Self {
            space,
            first,
            pages,
        }
    }

    /// Returns the first page.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of pages.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether both ranges are the same.
    fn is(&self, other: &Self) -> bool {
        self.space.as_ptr() == other.space.as_ptr()
            && (self.first, self.pages) == (other.first, other.pages)
    }

    /// Changes the first page.
    pub(crate) fn set_first(&mut self, first: u64) {
        self.first = first;
    }

    /// Removes all mappings of these offsets, in every process; when it returns no user accesses
    /// pages through them any more. May sleep.
    fn unmap(&self) {
        // SAFETY: `unmap_mapping_pages()` wants an initialised address space: by the invariant of
        // `MapSpace` it is one, and our reference keeps it.
        unsafe {
            bindings::unmap_mapping_pages(
                self.space.as_ptr(),
                self.first as usize,
                self.pages as usize,
                true,
            )
        };
    }

    /// Makes all mappings of these `pages` pages, which lie side by side from `page` on and are mapped
    /// at page `first` of the range, fault when they are written to; when it returns no user writes to
    /// them through an entry from before. Returns the number of entries that changed. May sleep.
    ///
    /// Entries are cleaned, too: `mprotect()` would make a dirty one writable without a fault.
    ///
    /// # Safety
    ///
    /// `page` must be valid, and no more than one of the pages' entries in a process be huge.
    pub(super) unsafe fn protect(
        &self,
        first: u64,
        page: NonNull<bindings::page>,
        pages: u64,
    ) -> u64 {
        // SAFETY: The helper wants an initialised address space, which it is by the invariant of
        // `MapSpace` and which our reference keeps, and a valid page, of which it takes the frame
        // number; the caller vouches for that.
        unsafe {
            helpers::reeve_helper_protect(
                self.space.as_ptr(),
                (self.first + first) as usize,
                page.as_ptr(),
                pages as usize,
            ) as u64
        }
    }
}

/// Where an owner's pages are mapped, if they are.
///
/// # Invariants
///
/// All user mappings of these pages are at the range, if there is one; else there are none.
pub(crate) struct Mappings(Option<Range>);

impl Mappings {
    /// Makes a value for pages that are not mapped.
    pub(crate) const fn none() -> Self {
        // INVARIANT: There are no mappings.
        Self(None)
    }

    /// Notes that pages are about to be mapped at `range`. Returns `false` if they may be mapped at
    /// another one; then they must not be.
    pub(super) fn note(&mut self, range: &Range) -> bool {
        match &self.0 {
            None => self.0 = Some(range.clone()),
            Some(known) if !known.is(range) => return false,
            Some(_) => {}
        }
        true
    }

    /// Returns where they are mapped, if they are.
    #[inline]
    pub(crate) fn range(&self) -> Option<&Range> {
        self.0.as_ref()
    }

    /// Removes all mappings. May sleep.
    #[inline]
    pub(crate) fn remove(&mut self) {
        if let Some(range) = self.0.take() {
            // INVARIANT: All mappings are at the range, so none are left when this returns.
            range.unmap();
        }
    }
}
