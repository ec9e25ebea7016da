// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects in this process's memory. All `unsafe` around mappings is here.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use nix::sys::mman;
use nix::sys::mman::MRemapFlags;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use crate::raw::Way;
use crate::sys;
use crate::Device;
use crate::Handle;

const PAGE: usize = 4096;

/// What may be done with mapped memory. More than that is SIGSEGV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and running it.
    ReadExecute,
}

impl Protection {
    const fn flags(self) -> ProtFlags {
        match self {
            Self::None => ProtFlags::PROT_NONE,
            Self::Read => ProtFlags::PROT_READ,
            Self::ReadWrite => ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE),
            Self::ReadExecute => ProtFlags::PROT_READ.union(ProtFlags::PROT_EXEC),
        }
    }
}

/// Mapped bytes of an object, until dropped.
///
/// Others may change them at any time, so there are no slices of them: they are read and written a
/// word at a time. Touching them is SIGBUS when the object has ended or can't have its pages.
///
/// ```no_run
/// use reeve_uapi::{Create, Device, DEFAULT_PATH};
///
/// # fn main() -> std::io::Result<()> {
/// let device = Device::open(DEFAULT_PATH)?;
/// let handle = device.create(Create::new(4096))?;
/// let mapping = device.map(handle)?; // no pages yet
/// mapping.write(100, b"hello"); // populates the object
/// device.swapout(handle)?;
/// let mut found = [0; 5];
/// mapping.read(100, &mut found); // brings the content back
/// assert_eq!(&found, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: The memory belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: All access through `&self` is by volatile words, also while others access the memory.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes from `offset` of the open file on, shared with all who do.
    pub fn new(
        device: &Device,
        offset: u64,
        length: usize,
        protection: Protection,
    ) -> io::Result<Self> {
        Self::with_flags(device, offset, length, protection, MapFlags::MAP_SHARED)
    }

    /// The same, private: copied when written to.
    pub fn private(
        device: &Device,
        offset: u64,
        length: usize,
        protection: Protection,
    ) -> io::Result<Self> {
        Self::with_flags(device, offset, length, protection, MapFlags::MAP_PRIVATE)
    }

    fn with_flags(
        device: &Device,
        offset: u64,
        length: usize,
        protection: Protection,
        flags: MapFlags,
    ) -> io::Result<Self> {
        let size = NonZeroUsize::new(length).ok_or(nix::Error::EINVAL)?;
        let offset = offset as i64;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let start = unsafe {
            mman::mmap(
                None,
                size,
                protection.flags(),
                flags,
                device.as_fd(),
                offset,
            )
        }?;
        Ok(Self { start, length })
    }

    /// Bytes it has.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none; it always has some.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where it is.
    pub fn address(&self) -> usize {
        self.start.as_ptr().expose_provenance()
    }

    /// The word `index`, counted in 8 bytes.
    fn word(&self, index: usize) -> *mut u64 {
        assert!(index < self.length / 8, "word {index} of {}", self.length);
        self.start.as_ptr().cast::<u64>().wrapping_add(index)
    }

    /// Reads `to.len()` bytes from `offset` on. Both have to be multiples of 8, and inside.
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        assert!(offset & 7 == 0 && to.len() & 7 == 0);
        for (index, bytes) in to.chunks_exact_mut(8).enumerate() {
            // SAFETY: the word is in the mapping, and aligned.
            let word = unsafe { self.word(offset / 8 + index).read_volatile() };
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
    }

    /// Writes `from` at `offset`. Both have to be multiples of 8, and inside.
    pub fn write(&self, offset: usize, from: &[u8]) {
        assert!(offset & 7 == 0 && from.len() & 7 == 0);
        for (index, bytes) in from.chunks_exact(8).enumerate() {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            // SAFETY: the word is in the mapping, and aligned.
            unsafe {
                self.word(offset / 8 + index)
                    .write_volatile(u64::from_ne_bytes(word))
            };
        }
    }

    /// All bytes, for objects of whole pages.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        self.read(0, &mut bytes);
        bytes
    }

    /// Reads one word of every page, so that all are mapped.
    pub fn touch(&self) {
        for offset in (0..self.length).step_by(PAGE) {
            self.read(offset, &mut [0; 8]);
        }
    }

    /// Changes what may be done with `length` bytes from `offset` on.
    pub fn protect(&self, offset: usize, length: usize, protection: Protection) -> io::Result<()> {
        let part = self.part(offset, length);
        // SAFETY: the bytes are ours, and no reference into them exists.
        unsafe { mman::mprotect(part, length, protection.flags()) }?;
        Ok(())
    }

    /// Unmaps `length` bytes from `offset` on; what is before and after stays. Both have to be
    /// there.
    pub fn cut(self, offset: usize, length: usize) -> io::Result<(Self, Self)> {
        let middle = self.part(offset, length);
        let end = offset + length;
        assert!(offset > 0 && end < self.length, "something has to be left");
        // SAFETY: the bytes are ours, and no reference into them exists.
        unsafe { mman::munmap(middle, length) }?;
        let before = Self {
            start: self.start,
            length: offset,
        };
        let after = Self {
            start: self.part(end, 0),
            length: self.length - end,
        };
        std::mem::forget(self);
        Ok((before, after))
    }

    /// Moves it to another address.
    pub fn moved(self) -> io::Result<Self> {
        let size = NonZeroUsize::new(self.length).ok_or(nix::Error::EINVAL)?;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let room = unsafe {
            mman::mmap_anonymous(None, size, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE)
        }?;
        let flags = MRemapFlags::MREMAP_MAYMOVE.union(MRemapFlags::MREMAP_FIXED);
        // SAFETY: both are ours; what is replaced was made above and never used.
        let moved =
            unsafe { mman::mremap(self.start, self.length, self.length, flags, Some(room)) };
        let start = match moved {
            Ok(start) => start,
            Err(err) => {
                // SAFETY: made above and never used.
                let _ = unsafe { mman::munmap(room, self.length) };
                return Err(err.into());
            }
        };
        let length = self.length;
        std::mem::forget(self);
        Ok(Self { start, length })
    }

    /// Makes it longer or shorter, wherever there is room for it.
    pub fn resize(&mut self, length: usize) -> io::Result<()> {
        let flags = MRemapFlags::MREMAP_MAYMOVE;
        // SAFETY: it is ours, and borrowed exclusively.
        self.start = unsafe { mman::mremap(self.start, self.length, length, flags, None) }?;
        self.length = length;
        Ok(())
    }

    /// Has the module write `length` bytes from `offset` on to an object at `at`. Returns the number of
    /// bytes it wrote, also when it failed.
    pub fn send(
        &self,
        offset: usize,
        length: usize,
        device: &Device,
        handle: Handle,
        at: u64,
    ) -> (io::Result<()>, u64) {
        self.copy(Way::Write, offset, length, device, handle, at)
    }

    /// Has the module read `length` bytes of an object at `at` to `offset`. Returns the number of bytes
    /// it read, also when it failed.
    pub fn receive(
        &self,
        offset: usize,
        length: usize,
        device: &Device,
        handle: Handle,
        at: u64,
    ) -> (io::Result<()>, u64) {
        self.copy(Way::Read, offset, length, device, handle, at)
    }

    fn copy(
        &self,
        way: Way,
        offset: usize,
        length: usize,
        device: &Device,
        handle: Handle,
        at: u64,
    ) -> (io::Result<()>, u64) {
        let mut arg = sys::reeve_bo_rw {
            handle: handle.get(),
            offset: at,
            addr: self.part(offset, length).as_ptr().expose_provenance() as u64,
            length: length as u64,
            ..Default::default()
        };
        // SAFETY: the bytes are in the mapping, which no references lead into; other threads
        // access them in whole words only, as all methods here do.
        let result = unsafe { device.raw().bo_rw(way, &mut arg) };
        (result, arg.done)
    }

    fn part(&self, offset: usize, length: usize) -> NonNull<c_void> {
        let end = offset.checked_add(length);
        assert!(end.is_some_and(|end| end <= self.length), "outside of it");
        // SAFETY: inside of the mapping, or just behind it, as was checked.
        unsafe { self.start.byte_add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference into it exists, because no method
        // returns one.
        let _ = unsafe { mman::munmap(self.start, self.length) };
    }
}
