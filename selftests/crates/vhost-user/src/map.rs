// SPDX-License-Identifier: GPL-2.0-or-later
//! Shared mappings of other processes' files: the only `unsafe` of the library.

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;

use rustix::fs::{fstat, fstatfs, FileType};
use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};
use vm_memory::volatile_memory::VolatileSlice;

use crate::error::{Error, Result};

/// The magic number of hugetlbfs, whose files are mapped in multiples of their own page size only.
const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;

/// A part of a file, mapped shared, readable and writable; unmapped when dropped.
///
/// The other side may change the content at any time, so it is reached through [`VolatileSlice`] only. A file that is
/// truncated after it was mapped ends this process with SIGBUS, as with every back end.
///
/// # Invariants
///
/// `base` is the start of a mapping of `mapped` bytes that nothing else unmaps, and `skip + size <= mapped`.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<c_void>,
    mapped: usize,
    skip: usize,
    size: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only reached through volatile or atomic accesses.
unsafe impl Send for Mapping {}
// SAFETY: as above; two threads that write the same byte through a `VolatileSlice` race as two processes would.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `size` bytes of `fd` from `offset` on, which need not be multiples of a page.
    ///
    /// A regular file has to be large enough. A device has no size to compare with; its driver decides.
    pub fn new(fd: impl AsFd, offset: u64, size: u64) -> Result<Self> {
        let fd = fd.as_fd();
        let stat = fstat(fd).map_err(Error::os("fstat"))?;
        let end = offset.checked_add(size);
        let end = end.ok_or(Error::Value("offset plus size", offset))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if end > u64::try_from(stat.st_size).unwrap_or(0) => {
                return Err(Error::File(format!(
                    "a file of {} bytes, of which those up to {end} are asked for",
                    stat.st_size
                )));
            }
            FileType::RegularFile | FileType::CharacterDevice => {}
            _ => return Err(Error::FdKind("a file that can be mapped")),
        }
        if size == 0 {
            return Err(Error::File("a size of 0".into()));
        }
        let page = match fstatfs(fd) {
            Ok(fs) if fs.f_type == HUGETLBFS_MAGIC => u64::try_from(fs.f_bsize).unwrap_or(4096),
            _ => 4096,
        };
        let skip = offset % page;
        let mapped = (skip + size)
            .checked_next_multiple_of(page)
            .and_then(|mapped| usize::try_from(mapped).ok())
            .ok_or(Error::Value("a mapping's size", size))?;
        // SAFETY: the kernel chooses where, so nothing that exists is replaced.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
                fd,
                offset - skip,
            )
        }
        .map_err(Error::os("mmap"))?;
        let base = NonNull::new(base).ok_or(Error::File("mapped at address 0".into()))?;
        // INVARIANT: `base` is new, and `mapped` was rounded up from `skip + size`.
        Ok(Self {
            base,
            mapped,
            skip: skip as usize,
            size: size as usize,
        })
    }

    /// Returns one of the mapped bytes, `None` behind the end.
    #[inline]
    pub fn byte(&self, index: u64) -> Option<&AtomicU8> {
        if index >= self.size as u64 {
            return None;
        }
        let at = self.base.as_ptr().cast::<u8>();
        // SAFETY: by the invariants the byte is mapped for as long as `self` is borrowed; a byte is always aligned, and
        // everything that reaches it does so by atomic or volatile accesses.
        Some(unsafe { AtomicU8::from_ptr(at.add(self.skip + index as usize)) })
    }

    /// Returns the mapped bytes.
    pub fn slice(&self) -> VolatileSlice<'_> {
        // SAFETY: by the invariants these bytes are mapped for as long as `self` is borrowed, and everything that
        // reaches them does so through a `VolatileSlice` or an atomic.
        unsafe { VolatileSlice::new(self.base.as_ptr().cast::<u8>().add(self.skip), self.size) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: by the invariants the range is ours, and no slice outlives `self`. It cannot fail for such a range.
        let _ = unsafe { munmap(self.base.as_ptr(), self.mapped) };
    }
}
