// SPDX-License-Identifier: GPL-2.0

//! Files in shared memory (shmem), which hold content that was swapped out.
//!
//! C header: [`include/linux/shmem_fs.h`](srctree/include/linux/shmem_fs.h)

use super::{
    bindings as helpers,
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

/// The shmem mount for files with large folios; dropping it unmounts it.
///
/// # Invariants
///
/// There is only one, and no file is made while it is mounted or unmounted.
pub(crate) struct Mount(());

impl Mount {
    /// Mounts it. If the kernel has no large folios for shmem, or no memory now, all files get
    /// small ones. May sleep.
    ///
    /// # Safety
    ///
    /// There must be no other one, and no [`ShmemFile`] may be made before this or after it was
    /// dropped.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: The helper sets a variable that making a file reads: by the contract no file is
        // made meanwhile, and the variable is not set yet, for there is no other mount.
        // INVARIANT: By the contract it is the only one.
        unsafe { helpers::reeve_helper_shmem_mount() };
        Self(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: The helper clears the variable that making a file reads: by the contract of `new`
        // no file is made any more.
        unsafe { helpers::reeve_helper_shmem_unmount() };
    }
}

/// The size of the folios that a file keeps its content in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folios {
    /// As large as the kernel allows: cheaper, but a little content may take much memory for a
    /// while. For content that comes in large pieces.
    Large,
    /// Single pages, for use when memory is short.
    Small,
}

/// An unlinked file in shared memory; dropping it frees its content.
///
/// `fput()` defers the end of the file to the return to user space, so the memory is freed then,
/// not in the middle of a call.
///
/// # Invariants
///
/// `file` is a reference of ours to a shmem file of `pages` pages that only we know.
pub(crate) struct ShmemFile {
    file: NonNull<bindings::file>,
    pages: u64,
    folios: Folios,
}

// SAFETY: A reference to a `struct file` belongs to no task: any task may use and drop it.
unsafe impl Send for ShmemFile {}
// SAFETY: `&self` methods only read fields that never change and call into the page cache, which
// does its own locking.
unsafe impl Sync for ShmemFile {}

impl ShmemFile {
    /// Creates a file of `pages` pages, for which memory is reserved but not yet allocated.
    ///
    /// Returns `EINVAL` if that is more than a file can have, `ENOMEM` if there is no memory, or
    /// not so much to reserve. May sleep.
    pub(crate) fn new(name: &'static CStr, pages: u64, folios: Folios) -> Result<Self> {
        let bytes = i64::try_from(pages)
            .ok()
            .and_then(|n| n.checked_mul(1 << PAGE_SHIFT))
            .ok_or(EINVAL)?;
        let large = folios == Folios::Large;
        // SAFETY: The helper wants a string and a size that is not negative, which `bytes` is not
        // as it comes from a `u64` without overflow. By the invariant of `Mount` its variable is
        // not written to.
        let file = unsafe { helpers::reeve_helper_shmem_create(name.as_char_ptr(), bytes, large) };
        let file = from_err_ptr(file).map_err(no_room_is_no_memory)?;
        // INVARIANT: `shmem_file_setup()` succeeded, so it returned the only reference to a new
        // file of that size.
        let file = NonNull::new(file).ok_or(ENOMEM)?;
        Ok(Self {
            file,
            pages,
            folios,
        })
    }

    /// Creates a file of `pages` pages, for which no memory is reserved: it may be larger than the
    /// machine's. Fails like [`ShmemFile::new`].
    #[cfg(reeve_kunit)]
    pub(crate) fn sparse(name: &'static CStr, pages: u64) -> Result<Self> {
        let bytes = i64::try_from(pages)
            .ok()
            .and_then(|n| n.checked_mul(1 << PAGE_SHIFT))
            .ok_or(EINVAL)?;
        // SAFETY: The helper wants a string and a size that is not negative, which `bytes` is not
        // as it comes from a `u64` without overflow.
        let file = unsafe { helpers::reeve_helper_shmem_create_sparse(name.as_char_ptr(), bytes) };
        // INVARIANT: `shmem_file_setup()` succeeded, so it returned the only reference to a new
        // file of that size.
        let file = NonNull::new(from_err_ptr(file)?).ok_or(ENOMEM)?;
        Ok(Self {
            file,
            pages,
            folios: Folios::Small,
        })
    }

    /// Returns the C struct.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// Returns the size of the folios that it keeps its content in.
    pub(crate) fn folios(&self) -> Folios {
        self.folios
    }

    /// Returns the number of pages.
    #[inline]
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Copies `from` to the pages from `index` on, and starts to write them to swap if `writeback`.
    ///
    /// Returns `EINVAL` if that is past the end, `ENOMEM` if there is no memory; some pages may
    /// have been copied then. May sleep, and takes locks of the page cache.
    #[inline]
    pub(crate) fn write(&self, index: u64, from: Run<'_>, writeback: bool) -> Result {
        self.check(index, from.len())?;
        // SAFETY: The helper wants a shmem file and a range inside it, as the type invariant and
        // `check` say, whose content nothing else accesses, for only we know the file; and so many
        // valid pages side by side to read, which `from` is by its invariant.
        to_result(unsafe {
            helpers::reeve_helper_shmem_write(
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
    /// Returns `EINVAL` if that is past the end, `ENOMEM` if there is no memory, and `EIO` if swap
    /// can't be read; some pages may have been copied then. May sleep.
    #[inline]
    pub(crate) fn read(&self, index: u64, to: RunMut<'_>) -> Result {
        self.check(index, to.len())?;
        // SAFETY: The helper wants a shmem file and a range inside it, as the type invariant and
        // `check` say, and so many valid pages side by side that only it writes to, which `to` is
        // by its invariant.
        to_result(unsafe {
            helpers::reeve_helper_shmem_read(
                self.file.as_ptr(),
                index as usize,
                to.as_ptr(),
                to.len() as usize,
            )
        })
        .map_err(no_room_is_no_memory)
    }

    /// Frees the content of `pages` pages from `index` on, which are read as zeroes then. May
    /// sleep.
    pub(crate) fn forget(&self, index: u64, pages: u64) {
        if self.check(index, pages).is_ok() {
            // SAFETY: The helper wants a shmem file and a range inside it: the type invariant and
            // `check` say so.
            unsafe {
                helpers::reeve_helper_shmem_forget(
                    self.file.as_ptr(),
                    index as usize,
                    pages as usize,
                )
            };
        }
    }

    /// Returns `EINVAL` if a range is not inside the file. What is inside it fits a `pgoff_t`.
    #[inline]
    fn check(&self, index: u64, pages: u64) -> Result {
        match index.checked_add(pages) {
            Some(end) if end <= self.pages => Ok(()),
            _ => Err(EINVAL),
        }
    }
}

/// Whether `pages` pages could have room in memory and swap, as far as can be told before any is allocated.
/// Few pages always could. Any context.
pub(crate) fn may_have_room(pages: u64) -> bool {
    const FEW: u64 = 256;
    // SAFETY: The helper reads counters, in any context.
    pages <= FEW || pages <= unsafe { helpers::reeve_helper_shmem_room() } as u64
}

/// Turns `ENOSPC`, with which shmem fails when it has no memory for an inode or a page, into
/// `ENOMEM`.
pub(crate) fn no_room_is_no_memory(e: Error) -> Error {
    if e == ENOSPC {
        ENOMEM
    } else {
        e
    }
}

impl Drop for ShmemFile {
    fn drop(&mut self) {
        // SAFETY: `fput()` drops a reference that the caller owns: by the type invariant we own
        // one, and it is not used again.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
