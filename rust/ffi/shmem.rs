// SPDX-License-Identifier: GPL-2.0

//! Files in shared memory: where content goes that leaves its pages.
//!
//! C header: [`include/linux/shmem_fs.h`](srctree/include/linux/shmem_fs.h)

use super::{
    bindings as shim,
    pages::{
        PageMut,
        PageRef, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    page::PAGE_SHIFT,
    prelude::*, //
};

/// An unlinked file in shared memory; dropping it frees its content.
///
/// The last reference goes when the task returns to user space (`fput()`), so memory comes back
/// then, not in the middle of a call.
///
/// # Invariants
///
/// `file` is a reference of ours to a shmem file that nobody else knows, with a size of `pages`
/// pages.
pub(crate) struct ShmemFile {
    file: NonNull<bindings::file>,
    pages: u64,
}

// SAFETY: A reference to a file may be used and dropped by any task.
unsafe impl Send for ShmemFile {}
// SAFETY: `&self` methods only call into the page cache, which does its own locking.
unsafe impl Sync for ShmemFile {}

impl ShmemFile {
    /// Makes a file of `pages` pages, for which memory is reserved but not yet taken.
    ///
    /// `EINVAL`: more than a file can have. `ENOMEM`: no memory, or not that much to promise.
    /// May sleep.
    pub(crate) fn new(name: &'static CStr, pages: u64) -> Result<Self> {
        let bytes = i64::try_from(pages)
            .ok()
            .and_then(|n| n.checked_mul(1 << PAGE_SHIFT))
            .ok_or(EINVAL)?;
        // SAFETY: `name` is a string that lives on; the size is not negative.
        let file = unsafe { shim::reeve_shim_shmem_create(name.as_char_ptr(), bytes) };
        let file = from_err_ptr(file).map_err(no_room_is_no_memory)?;
        // INVARIANT: `shmem_file_setup()` succeeded, so it gave us a new file of that size and its
        // reference.
        let file = NonNull::new(file).ok_or(ENOMEM)?;
        Ok(Self { file, pages })
    }

    /// Copies `from` to page `index`.
    ///
    /// `EINVAL`: past the end. `ENOMEM`: no memory. May sleep.
    #[inline]
    pub(crate) fn write_page(&self, index: u64, from: PageRef<'_>) -> Result {
        let to = self.page(index)?;
        // SAFETY: Both are valid pages: `to` is ours until `reeve_shim_put_page()`, `from` by its
        // lifetime. Nobody else knows the file, so nobody else accesses `to`'s content.
        unsafe {
            shim::reeve_shim_copy_highpage(to.as_ptr(), from.as_ptr());
            bindings::set_page_dirty(to.as_ptr());
            bindings::mark_page_accessed(to.as_ptr());
            shim::reeve_shim_put_page(to.as_ptr());
        }
        Ok(())
    }

    /// Copies page `index` to `to`.
    ///
    /// `EINVAL`: past the end. `ENOMEM`: no memory; `EIO`: it could not be read back from swap.
    /// May sleep.
    #[inline]
    pub(crate) fn read_page(&self, index: u64, to: PageMut<'_>) -> Result {
        let from = self.page(index)?;
        // SAFETY: Both are valid pages: `from` is ours until `reeve_shim_put_page()`, `to` by its
        // lifetime, which also says that nobody else accesses its content.
        unsafe {
            shim::reeve_shim_copy_highpage(to.as_ptr(), from.as_ptr());
            shim::reeve_shim_put_page(from.as_ptr());
        }
        Ok(())
    }

    /// A reference to page `index` of the page cache, uptodate; to be put by the caller.
    #[inline]
    fn page(&self, index: u64) -> Result<NonNull<bindings::page>> {
        if index >= self.pages {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant `self.file` is a live shmem file, and the index is inside
        // it, thus a `pgoff_t`.
        let page = unsafe {
            shim::reeve_shim_shmem_page(self.file.as_ptr(), index as usize, shim::REEVE_GFP_PAGE)
        };
        let page = from_err_ptr(page).map_err(no_room_is_no_memory)?;
        NonNull::new(page).ok_or(ENOMEM)
    }
}

/// shmem says `ENOSPC` when it has no memory for an inode.
fn no_room_is_no_memory(e: Error) -> Error {
    if e == ENOSPC {
        ENOMEM
    } else {
        e
    }
}

impl Drop for ShmemFile {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours, and this is its end.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
