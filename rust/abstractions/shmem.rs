// SPDX-License-Identifier: GPL-2.0

//! Files in shared memory: where content goes that leaves its pages.
//!
//! C header: [`include/linux/shmem_fs.h`](srctree/include/linux/shmem_fs.h)

use super::{
    bindings as shim,
    page::{
        Run,
        RunMut, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    page::PAGE_SHIFT,
    prelude::*, //
};

/// Where files in large folios are made; dropping it ends that.
///
/// # Invariants
///
/// There is only one, and the C side has its mount, unless it could not be made.
pub(crate) struct Mount(());

impl Mount {
    /// Makes it. Where the kernel has no large folios for this, or no memory now, files are made in
    /// small ones. May sleep.
    ///
    /// # Safety
    ///
    /// There must be no other one, and no [`ShmemFile`] must be made before this or after it was
    /// dropped.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: By the contract nobody makes files meanwhile, and it is not there yet.
        // INVARIANT: It is the only one by the contract.
        unsafe { shim::reeve_shim_shmem_mount() };
        Self(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: By the contract of `new` nobody makes files any more.
        unsafe { shim::reeve_shim_shmem_unmount() };
    }
}

/// In what a file keeps its content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folios {
    /// As large as the kernel grants: cheaper, but a little content may take a lot of memory for a
    /// while. For content that comes in large pieces.
    Large,
    /// Single pages, for when memory is short.
    Small,
}

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
    folios: Folios,
}

// SAFETY: A reference to a file may be used and dropped by any task.
unsafe impl Send for ShmemFile {}
// SAFETY: `&self` methods only call into the page cache, which does its own locking.
unsafe impl Sync for ShmemFile {}

impl ShmemFile {
    /// Makes a file of `pages` pages, kept in such folios, for which memory is reserved but not yet taken.
    ///
    /// `EINVAL`: more than a file can have. `ENOMEM`: no memory, or not that much to promise.
    /// May sleep.
    pub(crate) fn new(name: &'static CStr, pages: u64, folios: Folios) -> Result<Self> {
        let bytes = i64::try_from(pages)
            .ok()
            .and_then(|n| n.checked_mul(1 << PAGE_SHIFT))
            .ok_or(EINVAL)?;
        let large = folios == Folios::Large;
        // SAFETY: `name` is a string that lives on; the size is not negative.
        let file = unsafe { shim::reeve_shim_shmem_create(name.as_char_ptr(), bytes, large) };
        let file = from_err_ptr(file).map_err(no_room_is_no_memory)?;
        // INVARIANT: `shmem_file_setup()` succeeded, so it gave us a new file of that size and its
        // reference.
        let file = NonNull::new(file).ok_or(ENOMEM)?;
        Ok(Self {
            file,
            pages,
            folios,
        })
    }

    /// Makes a file of `pages` pages, for which no memory is promised: it may have more than the
    /// machine. Errors as [`ShmemFile::new`].
    #[cfg(reeve_kunit)]
    pub(crate) fn sparse(name: &'static CStr, pages: u64) -> Result<Self> {
        let bytes = i64::try_from(pages)
            .ok()
            .and_then(|n| n.checked_mul(1 << PAGE_SHIFT))
            .ok_or(EINVAL)?;
        // SAFETY: `name` is a string that lives on; the size is not negative.
        let file = unsafe { shim::reeve_shim_shmem_create_sparse(name.as_char_ptr(), bytes) };
        // INVARIANT: As in `new`.
        let file = NonNull::new(from_err_ptr(file)?).ok_or(ENOMEM)?;
        Ok(Self {
            file,
            pages,
            folios: Folios::Small,
        })
    }

    /// The file.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// In what it keeps its content.
    pub(crate) fn folios(&self) -> Folios {
        self.folios
    }

    /// How many pages it has.
    #[inline]
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Copies `from` to the pages from `index` on. `writeback`: they are sent on to swap.
    ///
    /// `EINVAL`: past the end. `ENOMEM`: no memory; some of it may have been copied. May sleep, and
    /// takes locks of the page cache.
    #[inline]
    pub(crate) fn write(&self, index: u64, from: Run<'_>, writeback: bool) -> Result {
        self.check(index, from.len())?;
        // SAFETY: By the type invariant `self.file` is a live shmem file, and the range is inside
        // it. `from` are that many valid pages side by side. Nobody else knows the file, so nobody
        // else accesses its content.
        to_result(unsafe {
            shim::reeve_shim_shmem_write(
                self.file.as_ptr(),
                index as usize,
                from.as_ptr(),
                from.len() as usize,
                writeback,
            )
        })
        .map_err(no_room_is_no_memory)
    }

    /// Copies the pages from `index` on to `to`.
    ///
    /// `EINVAL`: past the end. `ENOMEM`: no memory; `EIO`: it could not be read back from swap.
    /// Some of it may have been copied. May sleep.
    #[inline]
    pub(crate) fn read(&self, index: u64, to: RunMut<'_>) -> Result {
        self.check(index, to.len())?;
        // SAFETY: As in `write`; `to` are that many pages that nobody else accesses meanwhile.
        to_result(unsafe {
            shim::reeve_shim_shmem_read(
                self.file.as_ptr(),
                index as usize,
                to.as_ptr(),
                to.len() as usize,
            )
        })
        .map_err(no_room_is_no_memory)
    }

    /// Frees the content of `pages` pages from `index` on; they read as zeroes then. May sleep.
    pub(crate) fn forget(&self, index: u64, pages: u64) {
        if self.check(index, pages).is_ok() {
            // SAFETY: By the type invariant `self.file` is a live shmem file, and the range is
            // inside it.
            unsafe {
                shim::reeve_shim_shmem_forget(self.file.as_ptr(), index as usize, pages as usize)
            };
        }
    }

    /// Whether a range is inside the file, thus of `pgoff_t`s. `EINVAL`: no.
    #[inline]
    fn check(&self, index: u64, pages: u64) -> Result {
        match index.checked_add(pages) {
            Some(end) if end <= self.pages => Ok(()),
            _ => Err(EINVAL),
        }
    }
}

/// shmem says `ENOSPC` when it has no memory for an inode.
pub(crate) fn no_room_is_no_memory(e: Error) -> Error {
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
