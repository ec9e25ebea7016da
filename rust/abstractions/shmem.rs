// SPDX-License-Identifier: GPL-2.0

//! Files in shared memory (shmem): those in which an object's pages live, and those that hold content
//! which was swapped out, a few for all objects of a device.
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
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The shmem mounts for files with large folios, and with small ones; dropping it unmounts them.
///
/// # Invariants
///
/// There is only one, and no file is made while it is mounted or unmounted.
pub(crate) struct Mount(());

impl Mount {
    /// Mounts them. If the kernel has no large folios for shmem, or no memory now, all files get
    /// small ones. May sleep.
    ///
    /// # Safety
    ///
    /// There must be no other one, and no [`ShmemFile`] may be made before this or after it was
    /// dropped.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: The helper sets variables that making a file reads: by the contract no file is
        // made meanwhile, and they are not set yet, for there is no other mount.
        // INVARIANT: By the contract it is the only one.
        unsafe { helpers::reeve_helper_shmem_mount() };
        Self(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: The helper clears the variables that making a file reads: by the contract of `new`
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
/// `file` is a reference of ours to a shmem file that can have `pages` pages and that only we know.
pub(crate) struct ShmemFile {
    file: NonNull<bindings::file>,
    pages: u64,
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
    #[cfg(reeve_kunit)]
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
        Ok(Self { file, pages })
    }

    /// Creates a file in which the pages of many objects are used in place. Memory is reserved when they
    /// are allocated.
    ///
    /// Returns `ENOMEM` if there is no memory, `ENFILE` if there are too many open files. May sleep.
    fn in_place(name: &'static CStr) -> Result<Self> {
        let name = name.as_char_ptr();
        // SAFETY: The helper wants a string. By the invariant of `Mount` its variables are not written to.
        let file = unsafe { helpers::reeve_helper_shmem_create_in_place(name) };
        let file = from_err_ptr(file).map_err(no_room_is_no_memory)?;
        // INVARIANT: `shmem_file_setup()` succeeded, so it returned the only reference to a new file,
        // which has pages behind its size, too.
        Ok(Self {
            file: NonNull::new(file).ok_or(ENOMEM)?,
            pages: SPACE,
        })
    }

    /// Creates a file for the content of many objects. Memory is reserved when content is written. Fails
    /// like [`ShmemFile::in_place`].
    fn storage(name: &'static CStr, folios: Folios) -> Result<Self> {
        let large = folios == Folios::Large;
        let bytes = (SPACE << PAGE_SHIFT) as i64;
        let name = name.as_char_ptr();
        // SAFETY: The helper wants a string and a size that is not negative, which `SPACE` makes sure of.
        // By the invariant of `Mount` its variables are not written to.
        let file = unsafe { helpers::reeve_helper_shmem_create_storage(name, bytes, large) };
        let file = from_err_ptr(file).map_err(no_room_is_no_memory)?;
        // INVARIANT: `shmem_file_setup()` succeeded, so it returned the only reference to a new
        // file of that size.
        Ok(Self {
            file: NonNull::new(file).ok_or(ENOMEM)?,
            pages: SPACE,
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
        Ok(Self { file, pages })
    }

    /// Returns the C struct.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
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
    #[inline]
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

/// The pages of a file for many objects. Places in it are never used again, and this many are never used up.
const SPACE: u64 = 1 << (62 - PAGE_SHIFT);

/// Pages in a folio of the largest size.
const LARGE: u64 = 1 << helpers::REEVE_HUGE_ORDER;

/// The files in which the content of a device's objects is kept that is not in their pages, and in which
/// the pages of some live. So the number of open files does not grow with the number of objects.
pub(crate) struct Storage {
    small: ShmemFile,
    /// For large folios; `None`: the kernel has none.
    large: Option<ShmemFile>,
    /// For pages that are used in place.
    in_place: ShmemFile,
    /// The first page of each file that was never used.
    next_small: Atomic<u64>,
    next_large: Atomic<u64>,
    next_in_place: Atomic<u64>,
    /// Whether objects whose pages are used in place have large folios to themselves, for the kernel made
    /// one that did not fit.
    apart: Atomic<bool>,
}

impl Storage {
    /// Makes the files, with nothing in them. Returns `ENOMEM` if there is no memory, `ENFILE` if there are
    /// too many open files. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        // SAFETY: The helper reads a variable that is not written to, by the invariant of `Mount`.
        let large = unsafe { helpers::reeve_helper_shmem_has_large() };
        let large = large.then(|| ShmemFile::storage(c"reeve swap", Folios::Large));
        let this = Self {
            small: ShmemFile::storage(c"reeve swap", Folios::Small)?,
            large: large.transpose()?,
            in_place: ShmemFile::in_place(c"reeve pages")?,
            next_small: Atomic::new(0),
            next_large: Atomic::new(0),
            next_in_place: Atomic::new(0),
            apart: Atomic::new(false),
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }
}

/// The place of an object's content in a [`Storage`]; dropping it frees the content. Making one takes no
/// memory.
///
/// The first `whole` pages are in large folios, each filled by this object alone. No other slot has any of
/// its pages.
pub(crate) struct Slot {
    storage: Arc<Storage>,
    pages: u64,
    whole: u64,
    /// Where these begin in the file for large folios.
    first_large: u64,
    /// Where the others begin in the file for small ones.
    first_small: u64,
}

impl Slot {
    /// Makes a place for `pages` pages, none of which is used yet. Returns `ENOMEM` if there is none left,
    /// `EINVAL` if that is more than a file can have.
    pub(crate) fn new(storage: &Arc<Storage>, pages: u64, folios: Folios) -> Result<Self> {
        if pages > SPACE {
            return Err(EINVAL);
        }
        let whole = match folios {
            Folios::Large if storage.large.is_some() => pages - pages % LARGE,
            _ => 0,
        };
        let take = |next: &Atomic<u64>, pages: u64| {
            let first = match pages {
                0 => 0,
                _ => next.fetch_add(pages, Relaxed),
            };
            let end = first.checked_add(pages).ok_or(ENOMEM)?;
            if end > SPACE {
                return Err(ENOMEM);
            }
            Ok(first)
        };
        Ok(Self {
            // Each takes a multiple of a large folio, so all of them begin with one.
            first_large: take(&storage.next_large, whole)?,
            first_small: take(&storage.next_small, pages - whole)?,
            storage: storage.clone(),
            pages,
            whole,
        })
    }

    /// Makes a place that has one page less in the same storage.
    #[cfg(reeve_kunit)]
    pub(crate) fn shorter(&self) -> Result<Self> {
        Self::new(&self.storage, self.pages - 1, Folios::Small)
    }

    /// Returns the size of the folios that it keeps most of its content in.
    pub(crate) fn folios(&self) -> Folios {
        if self.whole == 0 {
            Folios::Small
        } else {
            Folios::Large
        }
    }

    /// Returns the number of pages from `index` on, at most `pages`, that lie in one file, and the file and
    /// the page there. Returns `EINVAL` if a page is past the end.
    #[inline]
    fn find(&self, index: u64, pages: u64) -> Result<(u64, &ShmemFile, u64)> {
        if index.checked_add(pages).is_none_or(|end| end > self.pages) {
            return Err(EINVAL);
        }
        match &self.storage.large {
            Some(large) if index < self.whole => Ok((
                pages.min(self.whole - index),
                large,
                self.first_large + index,
            )),
            _ => {
                let at = self.first_small + (index - self.whole);
                Ok((pages, &self.storage.small, at))
            }
        }
    }

    /// Copies `from` to the pages from `index` on; see [`ShmemFile::write`].
    #[inline]
    pub(crate) fn write(&self, index: u64, from: Run<'_>, writeback: bool) -> Result {
        let (count, file, at) = self.find(index, from.len())?;
        if count == from.len() {
            return file.write(at, from, writeback);
        }
        let (first, rest) = from.split(count);
        file.write(at, first, writeback)?;
        let (_, file, at) = self.find(index + count, rest.len())?;
        file.write(at, rest, writeback)
    }

    /// Copies the pages from `index` on to `to`; see [`ShmemFile::read`].
    #[inline(always)]
    pub(crate) fn read(&self, index: u64, to: RunMut<'_>) -> Result {
        let (count, file, at) = self.find(index, to.len())?;
        if count == to.len() {
            return file.read(at, to);
        }
        let (first, rest) = to.split(count);
        file.read(at, first)?;
        let (_, file, at) = self.find(index + count, rest.len())?;
        file.read(at, rest)
    }

    /// Frees the content of `pages` pages from `index` on. May sleep.
    pub(crate) fn forget(&self, index: u64, pages: u64) {
        let mut done = 0;
        while done < pages {
            let Ok((count, file, at)) = self.find(index + done, pages - done) else {
                return;
            };
            file.forget(at, count);
            done += count;
        }
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        let small = self.pages - self.whole;
        if small != 0 {
            self.storage.small.forget(self.first_small, small);
        }
        if let (Some(large), 1..) = (&self.storage.large, self.whole) {
            large.forget(self.first_large, self.whole);
        }
    }
}

/// The range of the device's file in which an object's pages live; dropping it frees what is in it. Making
/// one takes no memory.
///
/// No other one has any of its pages, and normally no folio has pages of two.
pub(crate) struct Stretch {
    storage: Arc<Storage>,
    first: u64,
    pages: u64,
    /// `pages`, and those behind them that no other one gets.
    taken: u64,
}

impl Stretch {
    /// Makes one of `pages` pages, none of which is used yet. Returns `ENOMEM` if there is none left,
    /// `EINVAL` if that is more than a file can have.
    pub(crate) fn new(storage: &Arc<Storage>, pages: u64) -> Result<Self> {
        if pages > SPACE {
            return Err(EINVAL);
        }
        let unit = unit_of(pages, storage.apart.load(Relaxed));
        let next = &storage.next_in_place;
        let mut before = next.load(Relaxed);
        loop {
            let first = before.checked_next_multiple_of(unit).ok_or(ENOMEM)?;
            let taken = pages.checked_next_multiple_of(unit).ok_or(ENOMEM)?;
            let end = first.checked_add(taken).ok_or(ENOMEM)?;
            if end > SPACE {
                return Err(ENOMEM);
            }
            match next.cmpxchg(before, end, Relaxed) {
                Ok(_) => {
                    return Ok(Self {
                        storage: storage.clone(),
                        first,
                        pages,
                        taken,
                    })
                }
                Err(now) => before = now,
            }
        }
    }

    /// Returns the file, in which it has the pages from [`Stretch::first`] on.
    #[inline]
    pub(crate) fn file(&self) -> &ShmemFile {
        &self.storage.in_place
    }

    /// Returns its first page in the file.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of its pages.
    #[inline]
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Has those that are made from now on have large folios to themselves: the kernel made one that has
    /// pages of others, which is freed only with all of them.
    pub(crate) fn keep_apart(&self) {
        self.storage.apart.store(true, Relaxed);
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        self.file().forget(self.first, self.taken);
    }
}

/// Returns what the first page of a [`Stretch`] is a multiple of, and its end, too.
///
/// A folio that ends before the stretch does begins in it: one of less than this many pages because of its
/// alignment, and one of more is larger than the stretch or, being the largest there is, as aligned.
const fn unit_of(pages: u64, apart: bool) -> u64 {
    if apart || pages > LARGE / 4 {
        LARGE
    } else {
        2 * pages.next_power_of_two()
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
