// SPDX-License-Identifier: GPL-2.0-or-later

//! The kernel's own way to follow writes: anonymous memory that an asynchronous userfaultfd write-protects, and
//! PAGEMAP_SCAN, which finds what was written to and protects it again.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use super::Result;
use super::PAGE;

const UFFD_API: u64 = 0xaa;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const REGISTER_WP: u64 = 1 << 1;
/// UFFD_FEATURE_WP_UNPOPULATED and UFFD_FEATURE_WP_ASYNC.
const FEATURES: u64 = 1 << 13 | 1 << 15;

const PAGEMAP_SCAN: u64 = 0xc060_6610;
const SCAN_WP_MATCHING: u64 = 1 << 0;
const SCAN_CHECK_WPASYNC: u64 = 1 << 1;
const PAGE_IS_WRITTEN: u64 = 1 << 1;

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// The most runs of written pages that a scan returns.
const REGIONS: usize = 2048;

/// Memory whose writes the kernel keeps.
pub(super) struct Written {
    start: NonNull<libc::c_void>,
    length: usize,
    pagemap: File,
    _uffd: OwnedFd,
}

impl Written {
    /// Maps so many pages and writes to each.
    pub(super) fn new(pages: u64) -> Result<Self> {
        let length = pages as usize * PAGE;
        let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        let usable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_POPULATE;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let start = unsafe { mmap_anonymous(None, size, usable, flags) }?;
        // SAFETY: the call takes a number, and makes a descriptor that nothing else owns.
        let uffd = unsafe {
            let fd = Errno::result(libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC))?;
            OwnedFd::from_raw_fd(fd as i32)
        };
        let mut api = Api {
            api: UFFD_API,
            features: FEATURES,
            ioctls: 0,
        };
        call(&uffd, UFFDIO_API, &mut api)?;
        let mut register = Register {
            start: start.as_ptr().expose_provenance() as u64,
            length: length as u64,
            mode: REGISTER_WP,
            ioctls: 0,
        };
        call(&uffd, UFFDIO_REGISTER, &mut register)?;
        Ok(Self {
            start,
            length,
            pagemap: File::open("/proc/self/pagemap")?,
            _uffd: uffd,
        })
    }

    pub(super) fn memory(&self) -> *mut u8 {
        self.start.as_ptr().cast()
    }

    /// Protects what was written to.
    pub(super) fn protect_all(&self) -> Result<()> {
        self.get_and_protect().map(drop)
    }

    /// Finds the pages that were written to, and protects them. Returns how many.
    pub(super) fn get_and_protect(&self) -> Result<u64> {
        let mut regions = [Region::default(); REGIONS];
        let start = self.start.as_ptr().expose_provenance() as u64;
        let end = start + self.length as u64;
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            flags: SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
            start,
            end,
            vec: regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: REGIONS as u64,
            category_mask: PAGE_IS_WRITTEN,
            return_mask: PAGE_IS_WRITTEN,
            ..Scan::default()
        };
        let mut pages = 0;
        while scan.start < end {
            // The regions are borrowed here, and as many as it says.
            let count = call(&self.pagemap, PAGEMAP_SCAN, &mut scan)? as usize;
            let found = regions[..count].iter();
            pages += found
                .map(|region| (region.end - region.start) / PAGE as u64)
                .sum::<u64>();
            scan.start = scan.walk_end;
        }
        Ok(pages)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

/// An ioctl whose argument is a struct, of the size that is in the request.
fn call<T>(file: &impl AsRawFd, request: u64, arg: &mut T) -> io::Result<i32> {
    assert_eq!((request >> 16 & 0x3fff) as usize, size_of::<T>());
    // SAFETY: the kernel reads and writes as many bytes as the struct has, which is borrowed exclusively. Callers see to
    // the addresses in it.
    Ok(Errno::result(unsafe {
        libc::ioctl(file.as_raw_fd(), request, std::ptr::from_mut(arg))
    })?)
}
