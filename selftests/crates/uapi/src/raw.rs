// SPDX-License-Identifier: GPL-2.0-or-later

//! The calls on the plain structs, and the only hand-written `unsafe` of this crate but for mappings.
//!
//! Any content of a struct may be sent: the module checks it. Only
//! the four calls whose struct carries an address are unsafe.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;

use crate::sys;
use crate::BoCall;
use crate::Handle;

/// The ioctl functions, generated from the table of the ABI.
mod nr {
    use crate::sys;

    macro_rules! functions {
        (
            structs { $($structs:tt)* }
            requests {
                $($call:ident = $request:ident: $nr:ident($argument:ident) = $code:literal;)*
            }
        ) => {
            $(
                nix::ioctl_readwrite!(
                    $call,
                    sys::REEVE_IOC_MAGIC as u8,
                    sys::$nr as u8,
                    sys::$argument
                );
            )*
        };
    }

    crate::layout::abi_layout!(functions);
}

/// The direction in which [`Raw::bo_rw`] copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the object to the caller's memory.
    Read,
    /// From the caller's memory to the object.
    Write,
}

/// A borrowed open file to make plain calls on.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'fd>(BorrowedFd<'fd>);

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident($arg:ident);)*) => {
        $(
            $(#[$doc])*
            pub fn $name(self, arg: &mut sys::$arg) -> io::Result<()> {
                // SAFETY: the file is open while it is borrowed, and `arg` is an exclusive
                // reference to exactly the struct that this number reads and writes; the struct
                // holds no address, so nothing else is touched.
                unsafe { nr::$name(self.0.as_raw_fd(), arg) }?;
                Ok(())
            }
        )*
    };
}

impl<'fd> Raw<'fd> {
    /// Makes calls on this file.
    pub const fn new(fd: BorrowedFd<'fd>) -> Self {
        Self(fd)
    }

    plain! {
        /// `REEVE_IOC_VERSION`.
        version(reeve_version);
        /// `REEVE_IOC_STATS`.
        stats(reeve_stats);
        /// `REEVE_IOC_BO_CREATE`.
        bo_create(reeve_bo_create);
        /// `REEVE_IOC_BO_INFO`.
        bo_info(reeve_bo_info);
        /// `REEVE_IOC_BO_NEXT`.
        bo_next(reeve_bo_info);
        /// `REEVE_IOC_BO_MMAP`.
        bo_mmap(reeve_bo_mmap);
        /// `REEVE_IOC_FILE_LIMIT`.
        file_limit(reeve_file_limit);
        /// `REEVE_IOC_BO_DMA_ADDRESS`.
        bo_dma_address(reeve_bo_dma_address);
        /// `REEVE_IOC_LOG_MODE`.
        log_mode(reeve_log_mode);
        /// `REEVE_IOC_BO_LOG_INFO`.
        bo_log_info(reeve_bo_log_info);
        /// `REEVE_IOC_BO_LOG_FENCE`. The number in `arg` is that of a descriptor that is the caller's to close;
        /// [`Raw::log_fence`] does that.
        bo_log_fence(reeve_bo_log_fence);
        /// `REEVE_IOC_LOCK_SANITY`.
        lock_sanity(reeve_lock_sanity);
    }

    /// One of the `REEVE_IOC_BO_*` calls on `struct reeve_bo`.
    pub fn bo(self, call: BoCall, arg: &mut sys::reeve_bo) -> io::Result<()> {
        let ioctl = match call {
            BoCall::Destroy => nr::bo_destroy,
            BoCall::Populate => nr::bo_populate,
            BoCall::Unpopulate => nr::bo_unpopulate,
            BoCall::Pin => nr::bo_pin,
            BoCall::Unpin => nr::bo_unpin,
            BoCall::Swapout => nr::bo_swapout,
            BoCall::Backup => nr::bo_backup,
            BoCall::Restore => nr::bo_restore,
            BoCall::LogStart => nr::bo_log_start,
            BoCall::LogStop => nr::bo_log_stop,
        };
        // SAFETY: the file is open while it is borrowed, `arg` is an exclusive reference to the struct
        // that each of these calls reads and writes, and that struct holds no address.
        unsafe { ioctl(self.0.as_raw_fd(), arg) }?;
        Ok(())
    }

    /// `REEVE_IOC_BO_READ` and `REEVE_IOC_BO_WRITE` with whatever address `arg` carries.
    ///
    /// # Safety
    ///
    /// For [`Way::Read`]: the `arg.length` bytes at `arg.addr` may be overwritten, or are no
    /// memory of this process at all. For [`Way::Write`]: they are not written to meanwhile.
    pub unsafe fn bo_rw(self, way: Way, arg: &mut sys::reeve_bo_rw) -> io::Result<()> {
        let ioctl = match way {
            Way::Read => nr::bo_read,
            Way::Write => nr::bo_write,
        };
        // SAFETY: the file is open while it is borrowed, and `arg` is an exclusive reference to the
        // struct that both calls read and write. The caller vouches for the address in it, by the
        // contract above.
        unsafe { ioctl(self.0.as_raw_fd(), arg) }?;
        Ok(())
    }

    /// Puts a fence before an object that logs. Dropping the descriptor lifts it.
    pub fn log_fence(self, handle: Handle) -> io::Result<OwnedFd> {
        let mut arg = sys::reeve_bo_log_fence {
            handle: handle.get(),
            ..Default::default()
        };
        self.bo_log_fence(&mut arg)?;
        // SAFETY: the call has just made this descriptor, and nothing else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(arg.fd) })
    }

    /// `REEVE_IOC_BO_LOG_GET` with whatever address `arg` carries.
    ///
    /// # Safety
    ///
    /// The words for `arg.pages` bits at `arg.bitmap` may be overwritten, or are no memory of this
    /// process at all.
    pub unsafe fn bo_log_get(self, arg: &mut sys::reeve_bo_log_get) -> io::Result<()> {
        // SAFETY: the file is open while it is borrowed, and `arg` is an exclusive reference to the
        // struct that the call reads and writes. The caller vouches for the address in it, by the
        // contract above.
        unsafe { nr::bo_log_get(self.0.as_raw_fd(), arg) }?;
        Ok(())
    }

    /// `REEVE_IOC_BO_LOG_CLEAR` with whatever address `arg` carries.
    ///
    /// # Safety
    ///
    /// The words for `arg.num_pages` bits at `arg.bitmap` are not written to meanwhile, or are no
    /// memory of this process at all.
    pub unsafe fn bo_log_clear(self, arg: &mut sys::reeve_bo_log_clear) -> io::Result<()> {
        // SAFETY: the file is open while it is borrowed, and `arg` is an exclusive reference to the
        // struct that the call reads and writes. The caller vouches for the address in it, by the
        // contract above.
        unsafe { nr::bo_log_clear(self.0.as_raw_fd(), arg) }?;
        Ok(())
    }

    /// Gets the log of `pages` pages into a slice of as many words as that takes. Returns the number
    /// of bits that are set.
    ///
    /// Returns `EINVAL` if the slice is shorter, or if the log has another number of pages.
    pub fn log_get_slice(self, handle: Handle, pages: u64, to: &mut [u64]) -> io::Result<u64> {
        if (to.len() as u64) < pages.div_ceil(64) {
            return Err(io::Error::from(nix::Error::EINVAL));
        }
        let mut arg = sys::reeve_bo_log_get {
            handle: handle.get(),
            pages,
            bitmap: to.as_mut_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: the address is that of an exclusively borrowed slice, which has the words.
        unsafe { self.bo_log_get(&mut arg) }?;
        Ok(arg.dirty)
    }

    /// Clears the bits of `mask` in the `pages` pages of the log from `first` on. Returns how many were
    /// set.
    ///
    /// Returns `EINVAL` if the slice is shorter than that, or if the range is not one of the log's.
    pub fn log_clear_slice(
        self,
        handle: Handle,
        first: u64,
        pages: u64,
        mask: &[u64],
    ) -> io::Result<u64> {
        if (mask.len() as u64) < pages.div_ceil(64) {
            return Err(io::Error::from(nix::Error::EINVAL));
        }
        let mut arg = sys::reeve_bo_log_clear {
            handle: handle.get(),
            first_page: first,
            num_pages: pages,
            bitmap: mask.as_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: the address is that of a slice that stays borrowed, and unchanged, for the
        // duration of the call, and which has the words.
        unsafe { self.bo_log_clear(&mut arg) }?;
        Ok(arg.cleared)
    }

    /// Copies from the object into a slice. Returns the number of bytes copied.
    pub fn read_slice(self, handle: Handle, offset: u64, to: &mut [u8]) -> io::Result<u64> {
        let mut arg = rw(
            handle,
            offset,
            to.as_mut_ptr().expose_provenance(),
            to.len(),
        );
        // SAFETY: address and length are those of an exclusively borrowed slice.
        unsafe { self.bo_rw(Way::Read, &mut arg) }?;
        Ok(arg.done)
    }

    /// Copies from a slice into the object. Returns the number of bytes copied.
    pub fn write_slice(self, handle: Handle, offset: u64, from: &[u8]) -> io::Result<u64> {
        let mut arg = rw(
            handle,
            offset,
            from.as_ptr().expose_provenance(),
            from.len(),
        );
        // SAFETY: address and length are those of a slice that stays borrowed, and unchanged,
        // for the duration of the call.
        unsafe { self.bo_rw(Way::Write, &mut arg) }?;
        Ok(arg.done)
    }
}

fn rw(handle: Handle, offset: u64, addr: usize, length: usize) -> sys::reeve_bo_rw {
    sys::reeve_bo_rw {
        handle: handle.get(),
        offset,
        addr: addr as u64,
        length: length as u64,
        ..Default::default()
    }
}

/// Duplicates the descriptor `fd` that this process inherited.
///
/// Returns `EBADF` if it is not open.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from(nix::Error::EBADF));
    }
    // SAFETY: not -1, and used for this one call only, which fails with EBADF if the number is
    // not open; nothing is closed or kept through it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let new = fcntl(borrowed, FcntlArg::F_DUPFD_CLOEXEC(0))?;
    // SAFETY: the kernel has just made this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
