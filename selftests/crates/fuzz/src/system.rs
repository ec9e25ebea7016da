// SPDX-License-Identifier: GPL-2.0-or-later

//! All `unsafe` of this program: calls with odd arguments, memory at any address, processes.
//!
//! What a program of steps does to memory goes through the kernel, by address: an address that is not there is an error
//! and not the end of the process. The memory that a step may name is that of an [`Arena`] and of mappings of objects,
//! which nothing else in the process uses, so that whatever is written there, the process itself is sound.

use std::arch::asm;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{mmap_anonymous, MapFlags, ProtFlags};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, pipe, ForkResult, Pid};

/// The size of a page, in bytes.
pub(crate) const PAGE: usize = 4096;

/// Pages of an arena; behind them there is nothing.
const ARENA_PAGES: usize = 32;

/// Memory that calls may be given, below 4 GiB, so that 32-bit calls have it, too.
pub(crate) struct Arena {
    start: usize,
    /// A pipe, to have the kernel copy from and to any address.
    reader: File,
    writer: File,
    zero: File,
}

impl Arena {
    /// Maps it. It is there until this is dropped.
    pub(crate) fn new() -> io::Result<Self> {
        let length = NonZeroUsize::MIN.saturating_add(ARENA_PAGES * PAGE - 1);
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_32BIT;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, at an address that the kernel chooses.
        let start = unsafe { mmap_anonymous(None, length, protection, flags) }?;
        let (reader, writer) = pipe()?;
        let arena = Self {
            start: start.addr().get(),
            reader: reader.into(),
            writer: writer.into(),
            zero: File::open("/dev/zero")?,
        };
        // What is mapped next must not follow at once.
        arena.protect(arena.start + (ARENA_PAGES - 1) * PAGE, PAGE, 0)?;
        Ok(arena)
    }

    /// The address of that byte; more than there is goes round.
    pub(crate) fn address(&self, at: usize) -> usize {
        self.start + at % (ARENA_PAGES * PAGE)
    }

    /// Has the kernel write there. Returns `EFAULT` if it can't.
    pub(crate) fn poke(&self, address: usize, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PAGE) {
            io::Write::write_all(&mut &self.writer, piece)?;
            // SAFETY: the kernel writes at an address of the arena or of an object's mapping, which no reference is to,
            // or there is nothing, and it returns an error.
            let read =
                unsafe { libc::read(self.reader.as_raw_fd(), address as *mut _, piece.len()) };
            if Errno::result(read).is_err() {
                // What it did not take must not be there for the next.
                io::Read::read_exact(&mut &self.reader, &mut vec![0; piece.len()])?;
                return Err(Errno::EFAULT.into());
            }
        }
        Ok(())
    }

    /// Has the kernel read `length` bytes there, at most a page. Returns `EFAULT` if it can't.
    pub(crate) fn peek(&self, address: usize, length: usize) -> io::Result<Vec<u8>> {
        let length = length.min(PAGE);
        // SAFETY: the kernel only reads, or returns an error.
        let written = unsafe { libc::write(self.writer.as_raw_fd(), address as *const _, length) };
        let mut bytes = vec![0; Errno::result(written)? as usize];
        io::Read::read_exact(&mut &self.reader, &mut bytes)?;
        Ok(bytes)
    }

    /// Has the kernel clear `length` bytes there.
    pub(crate) fn clear(&self, address: usize, length: usize) -> io::Result<()> {
        // SAFETY: as in `poke`.
        let read = unsafe { libc::read(self.zero.as_raw_fd(), address as *mut _, length) };
        Errno::result(read)?;
        Ok(())
    }

    /// `mprotect()` of memory of the arena or of a mapping.
    pub(crate) fn protect(&self, address: usize, length: usize, protection: u8) -> io::Result<()> {
        // SAFETY: no reference is to that memory.
        Errno::result(unsafe {
            libc::mprotect(address as *mut _, length, i32::from(protection & 7))
        })?;
        Ok(())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: this memory was mapped by `new`, and no reference is to it.
        unsafe { libc::munmap(self.start as *mut _, ARENA_PAGES * PAGE) };
    }
}

/// `ioctl()` with a struct at this address.
pub(crate) fn call(file: BorrowedFd<'_>, request: u32, address: usize) -> io::Result<()> {
    // SAFETY: what the call writes, at this address and at those in the struct, is the arena, a mapping of an object, or
    // nowhere: no reference is to any of it.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::Ioctl::from(request), address) })?;
    Ok(())
}

/// The same as a 32-bit process does it. Only where [`has_compat`] says so.
pub(crate) fn compat_call(file: BorrowedFd<'_>, request: u32, address: usize) -> io::Result<()> {
    const IOCTL: i64 = 54;
    let mut result = IOCTL;
    // SAFETY: the kernel's 32-bit entry: rbx, rcx and rdx are arguments, rax the result, r8 to r11 are lost, the rest
    // stays. rbx is the compiler's, so it is exchanged and put back. What is written: as in `call`.
    unsafe {
        asm!(
            "xchg rbx, {file}",
            "int 0x80",
            "xchg rbx, {file}",
            file = inout(reg) i64::from(file.as_raw_fd()) => _,
            inout("rax") result,
            in("rcx") i64::from(request),
            in("rdx") address as i64 & 0xffff_ffff,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // A 32-bit number.
    match result as i32 {
        0.. => Ok(()),
        error => Err(Errno::from_raw(-error).into()),
    }
}

/// Whether the kernel takes 32-bit calls.
pub(crate) fn has_compat() -> io::Result<bool> {
    let null = File::open("/dev/null")?;
    // Where it does not, the process that tries ends.
    let child = in_child(|| {
        let _ = compat_call(null.as_fd(), 0, 0);
    })?;
    Ok(matches!(waitpid(child, None)?, WaitStatus::Exited(_, 0)))
}

/// A mapping of an object, until the process ends or it is unmapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub(crate) start: usize,
    pub(crate) length: usize,
}

impl Mapping {
    /// `mmap()`.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        offset: i64,
        length: usize,
        protection: u8,
        flags: i32,
    ) -> io::Result<Self> {
        // SAFETY: new memory, at an address that the kernel chooses, which no reference will be to.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                i32::from(protection & 7),
                flags,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = start as usize;
        Ok(Self { start, length })
    }

    /// Cuts a part to what the mapping has, in bytes.
    pub(crate) fn part(&self, page: usize, pages: usize) -> (usize, usize) {
        let all = self.length.div_ceil(PAGE).max(1);
        let first = page % all;
        let count = pages.clamp(1, all - first);
        (self.start + first * PAGE, count * PAGE)
    }

    /// `munmap()` of a part. What is left of the mapping may have a hole: an address there is an error.
    pub(crate) fn unmap(&self, page: usize, pages: usize) -> io::Result<()> {
        let (start, length) = self.part(page, pages);
        // SAFETY: no reference is to that memory.
        Errno::result(unsafe { libc::munmap(start as *mut _, length) })?;
        Ok(())
    }

    /// `mremap()` of a part, to another length, at an address that the kernel chooses.
    pub(crate) fn remap(&self, page: usize, pages: usize) -> io::Result<Self> {
        let (start, length) = self.part(page, self.length / PAGE);
        let new = pages.max(1) * PAGE;
        // SAFETY: no reference is to that memory, nor will be.
        let moved = unsafe { libc::mremap(start as *mut _, length, new, libc::MREMAP_MAYMOVE) };
        if moved == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: moved as usize,
            length: new,
        })
    }

    /// `madvise()` of a part.
    pub(crate) fn advise(&self, page: usize, advice: u8) -> io::Result<()> {
        let (start, length) = self.part(page, usize::MAX);
        // SAFETY: no reference is to that memory, whatever it holds afterwards.
        Errno::result(unsafe { libc::madvise(start as *mut _, length, i32::from(advice)) })?;
        Ok(())
    }
}

/// Numbers that a process and its children share.
pub(crate) fn shared_numbers(count: usize) -> io::Result<&'static [AtomicU64]> {
    let length = NonZeroUsize::MIN.saturating_add(count * size_of::<AtomicU64>() - 1);
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: new memory, at an address that the kernel chooses.
    let start = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_SHARED) }?;
    Ok(numbers_at(start.cast(), count))
}

/// Numbers that the kernel writes to, in a file.
pub(crate) fn numbers_of(file: &File, count: usize) -> io::Result<&'static [AtomicU64]> {
    let length = count * size_of::<AtomicU64>();
    let mapping = Mapping::new(file.as_fd(), 0, length, 3, libc::MAP_SHARED)?;
    let start = NonNull::new(mapping.start as *mut AtomicU64).ok_or(Errno::ENOMEM)?;
    Ok(numbers_at(start, count))
}

/// The numbers in memory that was just mapped, and is never unmapped.
fn numbers_at(start: NonNull<AtomicU64>, count: usize) -> &'static [AtomicU64] {
    // SAFETY: the two callers have mapped that many, aligned, readable and writable, for the life of the process; all
    // bytes are valid for them, and what changes them otherwise does so in whole numbers.
    unsafe { std::slice::from_raw_parts(start.as_ptr(), count) }
}

/// Runs `work` in a child, which ends with it: with 0, or 101 if it panics.
pub(crate) fn in_child(work: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: this program has no threads, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the process, without what the parent has registered for its own end.
            unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) }
        }
    }
}

/// Has this process killed after that time, wherever it is then.
pub(crate) fn end_after(time: Duration) {
    let value = libc::timeval {
        tv_sec: time.as_secs() as i64,
        tv_usec: i64::from(time.subsec_micros()),
    };
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: value,
    };
    // SAFETY: the struct lives; no handler is installed, so the signal ends the process.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

/// Has this process killed when its parent ends.
pub(crate) fn end_with_parent() {
    // SAFETY: a number is set.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Begins or ends to note what code of the kernel this process reaches.
pub(crate) fn kcov(file: &File, request: u64, argument: u64) -> io::Result<()> {
    // SAFETY: these three requests take a number.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), request, argument) })?;
    Ok(())
}
