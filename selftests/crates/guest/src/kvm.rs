// SPDX-License-Identifier: GPL-2.0-or-later

//! A KVM guest with one processor that stores to the pages it is told, and KVM's dirty log of them. All
//! `unsafe` around it is here.
//!
//! The structs are those of `linux/kvm.h` on x86.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::mmap;
use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use reeve_uapi::Mapping;

use crate::memory::NOWHERE;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

const PAGE: usize = 4096;

const CREATE_VM: u64 = 0xae01;
const CHECK_EXTENSION: u64 = 0xae03;
const VCPU_MMAP_SIZE: u64 = 0xae04;
const CREATE_VCPU: u64 = 0xae41;
const SET_REGION: u64 = 0x4020_ae46;
const GET_DIRTY_LOG: u64 = 0x4010_ae42;
const CLEAR_DIRTY_LOG: u64 = 0xc018_aec0;
const RUN: u64 = 0xae80;
const SET_REGS: u64 = 0x4090_ae82;
const GET_SREGS: u64 = 0x8138_ae83;
const SET_SREGS: u64 = 0x4138_ae84;
const ENABLE_CAP: u64 = 0x4068_aea3;

const CAP_MANUAL_DIRTY_LOG_PROTECT2: u64 = 168;
const MEM_LOG_DIRTY_PAGES: u32 = 1;
const EXIT_HLT: u32 = 5;

/// Where the guest finds the pages that are logged; below is its code.
const LOGGED_AT: u64 = 0x1_0000;
/// The slot of those.
const LOGGED: u32 = 1;

#[repr(C)]
#[derive(Default)]
struct Region {
    slot: u32,
    flags: u32,
    guest_phys_addr: u64,
    memory_size: u64,
    userspace_addr: u64,
}

#[repr(C)]
#[derive(Default)]
struct GetLog {
    slot: u32,
    padding: u32,
    bitmap: u64,
}

#[repr(C)]
#[derive(Default)]
struct ClearLog {
    slot: u32,
    num_pages: u32,
    first_page: u64,
    bitmap: u64,
}

#[repr(C)]
struct EnableCap {
    cap: u32,
    flags: u32,
    args: [u64; 4],
    pad: [u8; 64],
}

/// Anonymous or device memory of this process that lives as long as the value.
struct Memory {
    start: NonNull<libc::c_void>,
    length: usize,
}

impl Memory {
    fn anonymous(length: usize) -> Outcome<Self> {
        let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        let usable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let start = unsafe { mmap_anonymous(None, size, usable, MapFlags::MAP_SHARED) }?;
        Ok(Self { start, length })
    }

    fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

/// The guest. It runs only in [`Guest::write`].
pub(crate) struct Guest<'a> {
    // In the order in which they have to go.
    vcpu: File,
    vm: File,
    run: Memory,
    _code: Memory,
    own: Option<Memory>,
    object: Option<&'a Mapping>,
    pages: u64,
}

/// An ioctl whose argument is a number.
fn call(file: &File, request: u64, arg: u64) -> io::Result<i32> {
    // SAFETY: the requests that this is used for take a number.
    Ok(Errno::result(unsafe {
        libc::ioctl(file.as_raw_fd(), request, arg)
    })?)
}

/// An ioctl whose argument is a struct, of the size that is in the request.
fn call_with<T>(file: &File, request: u64, arg: &mut T) -> io::Result<i32> {
    assert_eq!((request >> 16 & 0x3fff) as usize, size_of::<T>());
    // SAFETY: the kernel reads and writes as many bytes as the struct has, which is borrowed
    // exclusively. Callers see to the addresses in it.
    Ok(Errno::result(unsafe {
        libc::ioctl(file.as_raw_fd(), request, std::ptr::from_mut(arg))
    })?)
}

/// A file that an ioctl made.
fn made(fd: i32) -> File {
    // SAFETY: the kernel has just made the descriptor, so nothing else owns it.
    unsafe { File::from_raw_fd(fd) }
}

impl<'a> Guest<'a> {
    /// A guest with `pages` pages of its own.
    pub(crate) fn new(pages: u64) -> Outcome<Self> {
        let own = Memory::anonymous(pages as usize * PAGE)?;
        Self::with(Some(own), None, pages)
    }

    /// One whose pages are those of an object.
    pub(crate) fn of(object: &'a Mapping) -> Outcome<Self> {
        Self::with(None, Some(object), (object.len() / PAGE) as u64)
    }

    fn with(own: Option<Memory>, object: Option<&'a Mapping>, pages: u64) -> Outcome<Self> {
        let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm");
        let kvm = match kvm {
            Ok(kvm) => kvm,
            Err(err) => return Err(Stop::skipped(format!("no /dev/kvm: {err}"))),
        };
        let vm = made(call(&kvm, CREATE_VM, 0)?);
        let known = call(&vm, CHECK_EXTENSION, CAP_MANUAL_DIRTY_LOG_PROTECT2)?;
        check_eq!(known, 3, "capability 168");
        let code = Memory::anonymous(PAGE)?;
        // mov [0], al; hlt
        for (at, byte) in [0xa2, 0, 0, 0xf4].into_iter().enumerate() {
            // SAFETY: a byte of the page that was made above, which nothing else uses yet.
            unsafe {
                code.start
                    .as_ptr()
                    .cast::<u8>()
                    .add(at)
                    .write_volatile(byte)
            };
        }
        let mut region = Region {
            memory_size: PAGE as u64,
            userspace_addr: code.address(),
            ..Default::default()
        };
        call_with(&vm, SET_REGION, &mut region)?;
        let vcpu = made(call(&vm, CREATE_VCPU, 0)?);
        let length = NonZeroUsize::new(call(&kvm, VCPU_MMAP_SIZE, 0)? as usize);
        let length = length.ok_or(Errno::EINVAL)?;
        let usable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let start = unsafe { mmap(None, length, usable, MapFlags::MAP_SHARED, &vcpu, 0) }?;
        let guest = Self {
            vcpu,
            vm,
            run: Memory {
                start,
                length: length.get(),
            },
            _code: code,
            own,
            object,
            pages,
        };
        guest.log(false)?;
        Ok(guest)
    }

    /// Starts or stops the log.
    pub(crate) fn log(&self, on: bool) -> io::Result<()> {
        let own = self.own.as_ref().map(Memory::address);
        let object = self.object.map(|object| object.address() as u64);
        let mut region = Region {
            slot: LOGGED,
            flags: if on { MEM_LOG_DIRTY_PAGES } else { 0 },
            guest_phys_addr: LOGGED_AT,
            memory_size: self.pages * PAGE as u64,
            userspace_addr: own.or(object).unwrap_or(0),
        };
        call_with(&self.vm, SET_REGION, &mut region).map(drop)
    }

    /// Sets the mode of logs that are started from then on.
    pub(crate) fn set_mode(&self, mode: u64, flags: u32) -> io::Result<()> {
        let mut cap = EnableCap {
            cap: CAP_MANUAL_DIRTY_LOG_PROTECT2 as u32,
            flags,
            args: [mode, 0, 0, 0],
            pad: [0; 64],
        };
        call_with(&self.vm, ENABLE_CAP, &mut cap).map(drop)
    }

    /// Has the guest store to a page.
    pub(crate) fn write(&self, page: u64, value: u8) -> Outcome {
        assert!(page < self.pages);
        let mut sregs = [0u8; 312];
        call_with(&self.vcpu, GET_SREGS, &mut sregs)?;
        // Base and selector of cs and ds.
        sregs[..8].fill(0);
        sregs[12..14].fill(0);
        sregs[24..32].copy_from_slice(&(LOGGED_AT + page * PAGE as u64).to_ne_bytes());
        call_with(&self.vcpu, SET_SREGS, &mut sregs)?;
        let mut regs = [0u64; 18];
        regs[0] = value.into();
        regs[17] = 2;
        call_with(&self.vcpu, SET_REGS, &mut regs)?;
        loop {
            match call(&self.vcpu, RUN, 0) {
                Err(err) if errno(&err) == Errno::EINTR => {}
                Err(err) => return Err(err.into()),
                Ok(_) => break,
            }
        }
        // SAFETY: the field `exit_reason` of the processor's own page, which is mapped as long as
        // `self.run` is there; the guest does not run.
        let reason = unsafe {
            self.run
                .start
                .as_ptr()
                .byte_add(8)
                .cast::<u32>()
                .read_volatile()
        };
        check_eq!(reason, EXIT_HLT, "the guest ended oddly");
        Ok(())
    }

    /// Copies what whole pages of its own hold, from `page` on.
    pub(crate) fn read(&self, page: u64, to: &mut [u8]) {
        let Some(own) = &self.own else {
            return;
        };
        let at = page as usize * PAGE;
        assert!(at <= own.length && to.len() <= own.length - at);
        for (index, byte) in to.iter_mut().enumerate() {
            // SAFETY: inside of the memory, as was looked at above. The guest, which may write to it, does not run.
            *byte = unsafe {
                own.start
                    .as_ptr()
                    .byte_add(at + index)
                    .cast::<u8>()
                    .read_volatile()
            };
        }
    }

    /// Gets the log.
    pub(crate) fn get(&self, slot: Option<u32>) -> io::Result<Vec<u64>> {
        let mut words = vec![0; self.pages.div_ceil(64) as usize];
        let mut arg = GetLog {
            slot: slot.unwrap_or(LOGGED),
            bitmap: words.as_mut_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // The words are as many as the slot has; others have none or a page.
        call_with(&self.vm, GET_DIRTY_LOG, &mut arg)?;
        Ok(words)
    }

    /// Clears a part of the log; `None` for `mask`: the bitmap is nowhere.
    pub(crate) fn clear(
        &self,
        slot: Option<u32>,
        first: u64,
        pages: u32,
        mask: Option<&[u64]>,
    ) -> io::Result<()> {
        if let Some(mask) = mask {
            // Else it would be read behind its end.
            let valid = u64::from(pages) <= self.pages;
            assert!(!valid || mask.len() as u64 >= u64::from(pages).div_ceil(64));
        }
        let mut arg = ClearLog {
            slot: slot.unwrap_or(LOGGED),
            num_pages: pages,
            first_page: first,
            bitmap: mask.map_or(NOWHERE[1], |mask| mask.as_ptr().expose_provenance() as u64),
        };
        call_with(&self.vm, CLEAR_DIRTY_LOG, &mut arg).map(drop)
    }
}
