// SPDX-License-Identifier: GPL-2.0-or-later

//! Memory with holes, and calls that point anywhere. All `unsafe` around memory is here.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::ptr::NonNull;
use std::slice;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::mmap;
use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::mprotect;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use reeve_uapi::raw::Way;
use reeve_uapi::sys::reeve_bo_log_clear;
use reeve_uapi::sys::reeve_bo_log_get;
use reeve_uapi::sys::reeve_bo_rw;
use reeve_uapi::Device;
use reeve_uapi::Mapping;

use crate::test::Outcome;
use crate::test::Stop;

const PAGE: usize = 4096;

/// Addresses at which no process has memory.
pub(crate) const NOWHERE: [u64; 5] = [
    0,
    0x0000_7fff_ffff_f000, // behind the last page
    0x8000_0000_0000_0000, // no address at all
    0xffff_8880_0000_0000, // the kernel's
    u64::MAX - 7,
];

/// Pages of our own, followed by one that may not be touched: a hole.
pub(crate) struct Region {
    start: NonNull<c_void>,
    pages: usize,
}

impl Region {
    /// Maps `pages` pages, all touched, so that using them later needs no new memory.
    pub(crate) fn new(pages: usize) -> Outcome<Self> {
        // All of it without any access first: the hole keeps its place and nothing moves in.
        let length = NonZeroUsize::MIN.saturating_add((pages + 1) * PAGE - 1);
        let none = ProtFlags::PROT_NONE;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let start = unsafe { mmap_anonymous(None, length, none, MapFlags::MAP_PRIVATE) }?;
        let mut region = Self { start, pages };
        let usable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: these pages are the mapping made above, which was not used yet.
        unsafe { mprotect(start, pages * PAGE, usable) }?;
        region.bytes().fill(0);
        Ok(region)
    }

    /// Address of a byte of it.
    pub(crate) fn address(&self, offset: usize) -> u64 {
        self.start
            .as_ptr()
            .wrapping_byte_add(offset)
            .expose_provenance() as u64
    }

    /// First byte behind it: the hole.
    pub(crate) fn end(&self) -> u64 {
        self.address(self.pages * PAGE)
    }

    /// Its bytes; only while it is writable.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is this many readable and writable bytes, initialised by the
        // kernel, and borrowed as long as the slice is. `read_only` takes the value away.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.pages * PAGE) }
    }

    /// The same memory, no longer writable.
    pub(crate) fn read_only(self) -> Outcome<ReadOnly> {
        let length = self.pages * PAGE;
        // SAFETY: the pages are ours, and there is no reference into them as `self` is owned.
        unsafe { mprotect(self.start, length, ProtFlags::PROT_READ) }?;
        Ok(ReadOnly(self))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the pages are ours and no borrow of them is left.
        let _ = unsafe { munmap(self.start, (self.pages + 1) * PAGE) };
    }
}

/// Memory that can be read and not written.
pub(crate) struct ReadOnly(Region);

impl ReadOnly {
    pub(crate) fn address(&self, offset: usize) -> u64 {
        self.0.address(offset)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is this many readable bytes, borrowed as long as the slice is.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr().cast(), self.0.pages * PAGE) }
    }
}

/// Where a call is to find its argument: only places that nothing else in this process uses.
pub(crate) enum Place<'a> {
    /// One of [`NOWHERE`].
    Nowhere(u64),
    /// So many bytes before the hole behind a region.
    BeforeHole(&'a mut Region, usize),
    /// The start of read-only memory.
    ReadOnly(&'a ReadOnly),
    /// A buffer that is at least as large as any argument.
    Buffer(&'a mut [u8; 4096]),
}

/// An ioctl of any number with its argument anywhere.
pub(crate) fn ioctl(device: &Device, request: u32, place: Place<'_>) -> io::Result<()> {
    use std::os::fd::AsFd;
    let address = match place {
        Place::Nowhere(address) => address,
        Place::BeforeHole(region, bytes) => region.end() - bytes as u64,
        Place::ReadOnly(memory) => memory.address(0),
        Place::Buffer(buffer) => buffer.as_mut_ptr().expose_provenance() as u64,
    };
    // SAFETY: what the kernel can reach from `address` is either nothing, or memory that is
    // borrowed exclusively, or memory that it cannot write. The arguments used with it hold no
    // address but 0.
    let result = unsafe { libc::ioctl(device.as_fd().as_raw_fd(), u64::from(request), address) };
    Errno::result(result)?;
    Ok(())
}

/// A read or write whose buffer is at one of [`NOWHERE`].
pub(crate) fn rw_nowhere(device: &Device, way: Way, arg: &mut reeve_bo_rw) -> io::Result<()> {
    assert!(NOWHERE.contains(&arg.addr));
    // SAFETY: there is no memory of this process at that address.
    unsafe { device.raw().bo_rw(way, arg) }
}

/// A read or write whose buffer begins `before` bytes before the hole behind a region.
pub(crate) fn rw_at_hole(
    device: &Device,
    way: Way,
    arg: &mut reeve_bo_rw,
    region: &mut Region,
    before: usize,
) -> io::Result<()> {
    assert!(before <= region.pages * PAGE && arg.length as usize <= before + PAGE);
    arg.addr = region.end() - before as u64;
    // SAFETY: the bytes up to the hole are borrowed exclusively; behind them is a page that
    // belongs to the region and holds nothing.
    unsafe { device.raw().bo_rw(way, arg) }
}

/// A read into memory that must not be written.
pub(crate) fn read_into(device: &Device, arg: &mut reeve_bo_rw, to: &ReadOnly) -> io::Result<()> {
    arg.addr = to.address(0);
    // SAFETY: the kernel obeys the protection of user memory, and if it does not, the bytes are a
    // private mapping that nothing depends on but the case that looks.
    unsafe { device.raw().bo_rw(Way::Read, arg) }
}

/// Where the bitmap of a dirty log is.
pub(crate) enum Words<'a> {
    /// One of [`NOWHERE`].
    Nowhere(u64),
    /// So many bytes before the hole behind a region.
    BeforeHole(&'a mut Region, usize),
    /// The start of read-only memory.
    ReadOnly(&'a ReadOnly),
    /// So many bytes behind the start of a mapped object.
    Mapped(&'a Mapping, usize),
}

impl Words<'_> {
    /// Where they are; at least as many as for `pages` pages have to be there, or nothing.
    fn address(&self, pages: u64) -> u64 {
        let bytes = pages.div_ceil(64) * 8;
        match self {
            Self::Nowhere(address) => {
                assert!(NOWHERE.contains(address));
                *address
            }
            Self::BeforeHole(region, before) => {
                assert!(*before <= region.pages * PAGE && bytes as usize <= before + PAGE);
                region.end() - *before as u64
            }
            Self::ReadOnly(memory) => {
                assert!(bytes as usize <= memory.bytes().len());
                memory.address(0)
            }
            Self::Mapped(mapping, offset) => {
                assert!(offset + bytes as usize <= mapping.len());
                (mapping.address() + offset) as u64
            }
        }
    }
}

/// Gets a dirty log to anywhere.
pub(crate) fn log_get(
    device: &Device,
    arg: &mut reeve_bo_log_get,
    to: Words<'_>,
) -> io::Result<()> {
    // A call with another number of pages than the log has writes nothing.
    arg.bitmap = to.address(if matches!(to, Words::Nowhere(_)) {
        0
    } else {
        arg.pages
    });
    // SAFETY: what is there is no memory, or a region that is borrowed exclusively with the hole
    // behind it, or can't be written to, or is mapped, into which no references lead.
    unsafe { device.raw().bo_log_get(arg) }
}

/// Clears a dirty log by a bitmap that is anywhere.
pub(crate) fn log_clear(
    device: &Device,
    arg: &mut reeve_bo_log_clear,
    from: Words<'_>,
) -> io::Result<()> {
    let nowhere = matches!(from, Words::Nowhere(_));
    arg.bitmap = from.address(if nowhere { 0 } else { arg.num_pages });
    // SAFETY: the call only reads, and what is there is borrowed, mapped, or no memory.
    unsafe { device.raw().bo_log_clear(arg) }
}

/// A page whose address has 32 bits, for calls by the entry of 32-bit programs.
pub(crate) struct LowPage(NonNull<c_void>);

impl LowPage {
    /// Maps it.
    pub(crate) fn new() -> Outcome<Self> {
        let usable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_32BIT;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let start = unsafe {
            mmap_anonymous(
                None,
                NonZeroUsize::MIN.saturating_add(PAGE - 1),
                usable,
                flags,
            )
        }?;
        Ok(Self(start))
    }

    /// Where it is.
    pub(crate) fn address(&self) -> u32 {
        self.0.as_ptr().expose_provenance() as u32
    }

    /// Its words.
    pub(crate) fn words(&mut self) -> &mut [u64] {
        // SAFETY: the page is ours, aligned, initialised by the kernel and borrowed as the slice is.
        unsafe { slice::from_raw_parts_mut(self.0.as_ptr().cast(), PAGE / 8) }
    }

    /// An ioctl by `int 0x80`, with the argument in the words from `at` on, which may have the address of
    /// other words of the page. Returns `ENOSYS` if the kernel has no such entry.
    pub(crate) fn ioctl(&mut self, device: &Device, request: u32, at: usize) -> io::Result<()> {
        use std::os::fd::AsFd;
        const SYS_IOCTL: i64 = 54;
        assert!(at + (request as usize >> 16 & 0x3fff) / 8 <= PAGE / 8);
        let fd = i64::from(device.as_fd().as_raw_fd());
        let arg = i64::from(self.address()) + at as i64 * 8;
        let result: i64;
        // SAFETY: the entry keeps all registers but those named here. The kernel reads and writes the
        // argument, which is in the page and borrowed exclusively, and what addresses in it lead to.
        unsafe {
            std::arch::asm!(
                "xchg {fd}, rbx",
                "int 0x80",
                "xchg {fd}, rbx",
                fd = inout(reg) fd => _,
                inlateout("rax") SYS_IOCTL => result,
                in("rcx") i64::from(request),
                in("rdx") arg,
                out("r8") _,
                out("r9") _,
                out("r10") _,
                out("r11") _,
            );
        }
        match result as i32 {
            0.. => Ok(()),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        }
    }
}

impl Drop for LowPage {
    fn drop(&mut self) {
        // SAFETY: the page is ours and no borrow of it is left.
        let _ = unsafe { munmap(self.0, PAGE) };
    }
}

/// Writes the first bytes of a mapping to the start of a file: the kernel reads them, so that what
/// would be a signal otherwise is EFAULT.
pub(crate) fn save(mapping: &Mapping, len: usize, to: &File) -> io::Result<()> {
    assert!(len <= mapping.len());
    let address = ptr::with_exposed_provenance(mapping.address());
    // SAFETY: the mapping has as many bytes, which the kernel only reads.
    whole(
        unsafe { libc::pwrite(to.as_raw_fd(), address, len, 0) },
        len,
    )
}

/// Reads the first bytes of a mapping from the start of a file, likewise.
pub(crate) fn load(mapping: &Mapping, len: usize, from: &File) -> io::Result<()> {
    assert!(len <= mapping.len());
    let address = ptr::with_exposed_provenance_mut(mapping.address());
    // SAFETY: the mapping has as many bytes, which are everybody's to write.
    whole(
        unsafe { libc::pread(from.as_raw_fd(), address, len, 0) },
        len,
    )
}

/// A part only means that the next byte was out of reach.
fn whole(done: isize, len: usize) -> io::Result<()> {
    match Errno::result(done)? == len as isize {
        true => Ok(()),
        false => Err(Errno::EFAULT.into()),
    }
}

/// Unmaps a mapping that is still used: a thread that accesses it from now on is killed by a signal.
pub(crate) fn unmap(mapping: &Mapping) -> Outcome {
    let start = NonNull::new(ptr::with_exposed_provenance_mut(mapping.address()));
    let start = start.ok_or_else(|| Stop::failed("a mapping at 0"))?;
    // SAFETY: the bytes are a mapping of a file, into which no reference exists. Reads and writes of it
    // are volatile, and end in a signal.
    Ok(unsafe { munmap(start, mapping.len()) }?)
}

/// Has the kernel write to a word of a mapping by a futex operation that wakes nothing.
pub(crate) fn futex_write(mapping: &Mapping, offset: usize) -> io::Result<()> {
    assert!(offset + 8 <= mapping.len());
    let address = mapping.address() + offset;
    let own = 0_u32;
    // FUTEX_OP_ADD of 1, and a comparison that is of no account.
    let operation = libc::FUTEX_WAKE_OP | libc::FUTEX_PRIVATE_FLAG;
    let add = 1 << 28 | 1 << 12;
    // SAFETY: the words are a local one, which is not written to, and one of the mapping, which anything may write to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            &raw const own,
            operation,
            0,
            0,
            address,
            add,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

/// Asks the kernel to give a mapping its pages: with `mlock()` if there is no `advice`.
pub(crate) fn prefault(mapping: &Mapping, advice: Option<i32>) -> io::Result<()> {
    let address = ptr::with_exposed_provenance_mut(mapping.address());
    // SAFETY: neither call changes what the memory of the mapping, which is all there, holds.
    let result = unsafe {
        match advice {
            None => libc::mlock(address, mapping.len()),
            Some(advice) => libc::madvise(address, mapping.len(), advice),
        }
    };
    Ok(Errno::result(result).map(drop)?)
}

/// Maps `length` bytes of a device at `offset` with `MAP_POPULATE`, and unmaps them again.
pub(crate) fn map_populated(device: &Device, offset: u64, length: usize) -> io::Result<()> {
    let length = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
    let usable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
    // SAFETY: no address is asked for, so that nothing that exists is replaced.
    let start = unsafe { mmap(None, length, usable, flags, device, offset as i64) }?;
    // SAFETY: the mapping was made above, and nothing refers to it.
    Ok(unsafe { munmap(start, length.get()) }?)
}

/// Has the pages that this thread gets come from one memory node.
pub(crate) fn bind_to_node(node: u32) -> io::Result<()> {
    let nodes: [libc::c_ulong; 1] = [1 << node];
    set_policy(libc::MPOL_BIND, nodes.as_ptr(), 64)
}

/// Has them come from any.
pub(crate) fn unbind() -> io::Result<()> {
    set_policy(libc::MPOL_DEFAULT, ptr::null(), 0)
}

fn set_policy(mode: i32, nodes: *const libc::c_ulong, count: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the kernel reads so many bits at most behind the pointer, which has them or is null.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes, count) };
    Ok(Errno::result(result).map(drop)?)
}

/// Fills the start of a file.
pub(crate) fn fill(file: &File, bytes: &[u8]) -> Outcome {
    Ok(file.write_all_at(bytes, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_end_in_a_hole() {
        let mut region = Region::new(2).unwrap();
        let bytes = region.bytes();
        assert_eq!(bytes.len(), 2 * PAGE);
        bytes[2 * PAGE - 1] = 9;
        assert_eq!(region.end() - region.address(0), 2 * PAGE as u64);
        let region = region.read_only().unwrap();
        assert_eq!(region.bytes()[2 * PAGE - 1], 9);
    }
}
