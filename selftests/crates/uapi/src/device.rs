// SPDX-License-Identifier: GPL-2.0-or-later

//! An open `/dev/reeve`.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::path::Path;

use crate::raw;
use crate::raw::Raw;
use crate::sys;
use crate::BoCall;
use crate::BoType;
use crate::Caching;
use crate::Handle;
use crate::Mapping;
use crate::Protection;

/// The usual path of the device node.
pub const DEFAULT_PATH: &str = "/dev/reeve";

/// An open `/dev/reeve`: owns the buffer objects made on it.
///
/// Methods take `&self`: the module serializes what needs it, so several threads may call at once.
/// Dropping the last descriptor of the open file destroys its objects.
///
/// A call that fails has changed nothing, and its errno says why:
///
/// ```no_run
/// use reeve_uapi::{Create, Device, DEFAULT_PATH};
///
/// # fn main() -> std::io::Result<()> {
/// let device = Device::open(DEFAULT_PATH)?;
/// let handle = device.create(Create::new(4096))?;
/// device.populate(handle)?;
/// device.pin(handle)?;
/// let refused = device.swapout(handle).unwrap_err();
/// assert_eq!(refused.kind(), std::io::ErrorKind::ResourceBusy); // EBUSY: it is pinned
/// device.unpin(handle)?;
/// assert_eq!(device.swapout(handle)?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
}

/// The arguments of [`Device::create`].
///
/// ```
/// use reeve_uapi::{Caching, Create};
///
/// let create = Create::new(10 << 20).caching(Caching::WriteCombined).dma32();
/// assert_eq!((create.size, create.dma32, create.zero), (10 << 20, true, false));
/// assert_eq!(create.to_raw().size, 10 << 20);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Create {
    /// Bytes; the module rounds up to whole pages.
    pub size: u64,
    /// What it is for.
    pub kind: BoType,
    /// Pages are cleared before use.
    pub zero: bool,
    /// How its pages are cached.
    pub caching: Caching,
    /// Its pages are below 4 GiB.
    pub dma32: bool,
    /// It is external, but has pages that can be mapped.
    pub mappable: bool,
    /// Its pages live in a shmem file.
    pub shmem: bool,
    /// Its pages are mapped for the device.
    pub dma_addresses: bool,
    /// Index of the device it belongs to.
    pub device: u32,
    /// Pages behind the object's own.
    pub extra_pages: u32,
}

impl Create {
    /// An object of `size` bytes for user space, on the first device.
    pub const fn new(size: u64) -> Self {
        Self {
            size,
            kind: BoType::Device,
            zero: false,
            caching: Caching::Cached,
            dma32: false,
            mappable: false,
            shmem: false,
            dma_addresses: false,
            device: 0,
            extra_pages: 0,
        }
    }

    /// The same of another type.
    pub const fn kind(self, kind: BoType) -> Self {
        Self { kind, ..self }
    }

    /// The same with its pages cleared first.
    pub const fn zeroed(self) -> Self {
        Self { zero: true, ..self }
    }

    /// The same with its pages cached otherwise.
    pub const fn caching(self, caching: Caching) -> Self {
        Self { caching, ..self }
    }

    /// The same with its pages below 4 GiB.
    pub const fn dma32(self) -> Self {
        Self {
            dma32: true,
            ..self
        }
    }

    /// The same with pages that can be mapped though it is external.
    pub const fn mappable(self) -> Self {
        Self {
            mappable: true,
            ..self
        }
    }

    /// The same with pages that live in a shmem file.
    pub const fn shmem(self) -> Self {
        Self {
            shmem: true,
            ..self
        }
    }

    /// The same with its pages mapped for the device.
    pub const fn dma_addresses(self) -> Self {
        Self {
            dma_addresses: true,
            ..self
        }
    }

    /// The same on another device.
    pub const fn on(self, device: u32) -> Self {
        Self { device, ..self }
    }

    /// The same with extra pages.
    pub const fn extra(self, extra_pages: u32) -> Self {
        Self {
            extra_pages,
            ..self
        }
    }

    /// Returns the struct that the call takes.
    pub const fn to_raw(self) -> sys::reeve_bo_create {
        sys::reeve_bo_create {
            size: self.size,
            type_: self.kind as u32,
            caching: self.caching as u32,
            flags: bit(self.zero, sys::REEVE_BO_CREATE_ZERO_ALLOC)
                | bit(self.dma32, sys::REEVE_BO_CREATE_DMA32)
                | bit(self.mappable, sys::REEVE_BO_CREATE_EXTERNAL_MAPPABLE)
                | bit(self.shmem, sys::REEVE_BO_CREATE_SHMEM)
                | bit(self.dma_addresses, sys::REEVE_BO_CREATE_DMA_ADDRESSES),
            device: self.device,
            extra_pages: self.extra_pages,
            handle: 0,
            reserved: [0; 2],
        }
    }
}

/// Returns `bit` if `set`, else 0.
const fn bit(set: bool, bit: u32) -> u32 {
    if set {
        bit
    } else {
        0
    }
}

impl Device {
    /// Opens the device node at `path`.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self::from(OwnedFd::from(file)))
    }

    /// Uses the open file that this process inherited as descriptor `fd`.
    ///
    /// The number itself stays open; handles made before on that open file are valid here.
    /// EBADF: nothing is open under the number.
    pub fn inherited(fd: RawFd) -> io::Result<Self> {
        raw::duplicate(fd).map(Self::from)
    }

    /// Returns the calls on plain structs.
    pub fn raw(&self) -> Raw<'_> {
        Raw::new(self.as_fd())
    }

    /// Returns the module's version and features.
    pub fn version(&self) -> io::Result<sys::reeve_version> {
        let mut arg = sys::reeve_version::default();
        self.raw().version(&mut arg)?;
        Ok(arg)
    }

    /// Returns the module's statistics.
    pub fn stats(&self) -> io::Result<sys::reeve_stats> {
        let mut arg = sys::reeve_stats::default();
        self.raw().stats(&mut arg)?;
        Ok(arg)
    }

    /// Makes a buffer object without pages.
    pub fn create(&self, create: Create) -> io::Result<Handle> {
        let mut arg = create.to_raw();
        self.raw().bo_create(&mut arg)?;
        Ok(Handle::new(arg.handle))
    }

    /// Returns the state of an object.
    pub fn info(&self, handle: Handle) -> io::Result<sys::reeve_bo_info> {
        let mut arg = sys::reeve_bo_info {
            handle: handle.get(),
            ..Default::default()
        };
        self.raw().bo_info(&mut arg)?;
        Ok(arg)
    }

    /// Returns the object with the next higher handle than `after`, the first one for `None`, or `None`
    /// if there is none.
    pub fn next(&self, after: Option<Handle>) -> io::Result<Option<sys::reeve_bo_info>> {
        let mut arg = sys::reeve_bo_info {
            handle: after.map_or(0, Handle::get),
            ..Default::default()
        };
        match self.raw().bo_next(&mut arg) {
            Ok(()) => Ok(Some(arg)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Returns every object of this open file, by ascending handle.
    pub fn list(&self) -> io::Result<Vec<sys::reeve_bo_info>> {
        let mut all = Vec::new();
        let mut last = None;
        while let Some(info) = self.next(last)? {
            last = Some(info.handle());
            all.push(info);
        }
        Ok(all)
    }

    /// Makes one of the calls that take a handle only. Returns the number of pages it reports.
    pub fn bo(&self, call: BoCall, handle: Handle) -> io::Result<u64> {
        let mut arg = sys::reeve_bo {
            handle: handle.get(),
            ..Default::default()
        };
        self.raw().bo(call, &mut arg)?;
        Ok(arg.pages)
    }

    /// Destroys the object.
    pub fn destroy(&self, handle: Handle) -> io::Result<()> {
        self.bo(BoCall::Destroy, handle).map(drop)
    }

    /// Populates the object. Returns the number of pages it gained.
    pub fn populate(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Populate, handle)
    }

    /// Drops pages and content. Returns the number of pages the object lost.
    pub fn unpopulate(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Unpopulate, handle)
    }

    /// Keeps the populated object in memory until [`Device::unpin`].
    pub fn pin(&self, handle: Handle) -> io::Result<()> {
        self.bo(BoCall::Pin, handle).map(drop)
    }

    /// Undoes one [`Device::pin`].
    pub fn unpin(&self, handle: Handle) -> io::Result<()> {
        self.bo(BoCall::Unpin, handle).map(drop)
    }

    /// Swaps the object out. Returns the number of pages freed.
    pub fn swapout(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Swapout, handle)
    }

    /// Backs the object up. Returns the number of pages moved, which is less than it had if memory ran
    /// out.
    pub fn backup(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Backup, handle)
    }

    /// The same with these `REEVE_BO_BACKUP_*` bits.
    pub fn backup_with(&self, handle: Handle, flags: u32) -> io::Result<u64> {
        let mut arg = sys::reeve_bo {
            handle: handle.get(),
            flags,
            ..Default::default()
        };
        self.raw().bo(BoCall::Backup, &mut arg)?;
        Ok(arg.pages)
    }

    /// Restores the object from its backup. Returns the number of pages it gained.
    pub fn restore(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Restore, handle)
    }

    /// Fills `to` with the object's bytes from `offset` on.
    pub fn read(&self, handle: Handle, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let done = self.raw().read_slice(handle, offset, to)?;
        whole(done, to.len())
    }

    /// Writes `from` to the object at `offset`.
    pub fn write(&self, handle: Handle, offset: u64, from: &[u8]) -> io::Result<()> {
        let done = self.raw().write_slice(handle, offset, from)?;
        whole(done, from.len())
    }

    /// Returns the offset at which the object can be mapped.
    pub fn map_place(&self, handle: Handle) -> io::Result<sys::reeve_bo_mmap> {
        let mut arg = sys::reeve_bo_mmap {
            handle: handle.get(),
            ..Default::default()
        };
        self.raw().bo_mmap(&mut arg)?;
        Ok(arg)
    }

    /// Returns the DMA address of the page `page`, and the number of pages from it on whose addresses
    /// are contiguous.
    pub fn dma_address(&self, handle: Handle, page: u64) -> io::Result<(u64, u64)> {
        let mut arg = sys::reeve_bo_dma_address {
            handle: handle.get(),
            page,
            ..Default::default()
        };
        self.raw().bo_dma_address(&mut arg)?;
        Ok((arg.address, arg.pages))
    }

    /// Maps all of the object, to be read and written.
    pub fn map(&self, handle: Handle) -> io::Result<Mapping> {
        let place = self.map_place(handle)?;
        let length = usize::try_from(place.length).map_err(io::Error::other)?;
        Mapping::new(self, place.offset, length, Protection::ReadWrite)
    }

    /// Returns the limit on the pages that this open file's objects may have charged, and the pages
    /// charged.
    pub fn file_limit(&self) -> io::Result<sys::reeve_file_limit> {
        let mut arg = sys::reeve_file_limit::default();
        self.raw().file_limit(&mut arg)?;
        Ok(arg)
    }

    /// Sets that limit, in pages; 0 is the default limit of the module. Returns what
    /// [`Device::file_limit`] returns.
    pub fn set_file_limit(&self, pages: u64) -> io::Result<sys::reeve_file_limit> {
        let mut arg = sys::reeve_file_limit {
            flags: sys::REEVE_FILE_LIMIT_SET,
            limit: pages,
            ..Default::default()
        };
        self.raw().file_limit(&mut arg)?;
        Ok(arg)
    }

    /// Returns the mode in which this open file starts dirty logs, and the bits that there are, as
    /// `REEVE_LOG_*`.
    pub fn log_mode(&self) -> io::Result<(u32, u32)> {
        let mut arg = sys::reeve_log_mode::default();
        self.raw().log_mode(&mut arg)?;
        Ok((arg.mode, arg.supported))
    }

    /// Sets that mode. Returns what [`Device::log_mode`] returns.
    pub fn set_log_mode(&self, mode: u32) -> io::Result<(u32, u32)> {
        let mut arg = sys::reeve_log_mode {
            flags: sys::REEVE_LOG_MODE_SET,
            mode,
            ..Default::default()
        };
        self.raw().log_mode(&mut arg)?;
        Ok((arg.mode, arg.supported))
    }

    /// Gives the object a dirty log. Returns the number of pages that it has.
    pub fn log_start(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::LogStart, handle)
    }

    /// Frees the dirty log. Returns the number of pages that it had.
    pub fn log_stop(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::LogStop, handle)
    }

    /// Gets the dirty log, of `pages` pages: a bit for each, the first one lowest. Returns how many are
    /// set.
    pub fn log_get(&self, handle: Handle, pages: u64, to: &mut [u64]) -> io::Result<u64> {
        self.raw().log_get_slice(handle, pages, to)
    }

    /// Clears the bits of `mask` in the `pages` pages of the dirty log from `first` on. Returns how
    /// many were set.
    pub fn log_clear(
        &self,
        handle: Handle,
        first: u64,
        pages: u64,
        mask: &[u64],
    ) -> io::Result<u64> {
        self.raw().log_clear_slice(handle, first, pages, mask)
    }

    /// Returns the state of the dirty log.
    pub fn log_info(&self, handle: Handle) -> io::Result<sys::reeve_bo_log_info> {
        let mut arg = sys::reeve_bo_log_info {
            handle: handle.get(),
            ..Default::default()
        };
        self.raw().bo_log_info(&mut arg)?;
        Ok(arg)
    }

    /// Holds writers back until the descriptor is dropped: the object's content does not change meanwhile. A
    /// store by this thread would wait for itself.
    ///
    /// Returns `ENOENT` if the object has no log.
    pub fn log_fence(&self, handle: Handle) -> io::Result<OwnedFd> {
        self.raw().log_fence(handle)
    }

    /// Runs the lock sanity suite.
    pub fn lock_sanity(&self) -> io::Result<sys::reeve_lock_sanity> {
        let mut arg = sys::reeve_lock_sanity::default();
        self.raw().lock_sanity(&mut arg)?;
        Ok(arg)
    }
}

/// Checks that a copy that succeeded copied everything, as the ABI says.
fn whole(done: u64, asked: usize) -> io::Result<()> {
    if done == asked as u64 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the module reports success but copied {done} of {asked} bytes"),
    ))
}

impl From<OwnedFd> for Device {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_told_apart() {
        let missing = Device::open("/nonexistent/reeve").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);

        let null = Device::open("/dev/null").unwrap();
        let errno = null.version().unwrap_err().raw_os_error();
        assert_eq!(errno, Some(nix::libc::ENOTTY));

        for fd in [-1, 9999] {
            let errno = Device::inherited(fd).unwrap_err().raw_os_error();
            assert_eq!(errno, Some(nix::libc::EBADF));
        }
    }

    #[test]
    fn inherited_descriptors_are_duplicated() {
        use std::os::fd::AsRawFd;
        let null = Device::open("/dev/null").unwrap();
        let again = Device::inherited(null.as_fd().as_raw_fd()).unwrap();
        drop(again);
        assert!(null.as_fd().try_clone_to_owned().is_ok());
    }

    #[test]
    fn create_sets_only_what_was_asked() {
        let raw = Create::new(4096).to_raw();
        assert_eq!(
            (raw.type_, raw.flags, raw.device, raw.extra_pages),
            (0, 0, 0, 0)
        );
        let raw = Create::new(1)
            .kind(BoType::Sg)
            .zeroed()
            .dma32()
            .caching(Caching::Uncached)
            .on(2)
            .extra(3)
            .to_raw();
        assert_eq!(
            (raw.type_, raw.flags, raw.device, raw.extra_pages),
            (2, 3, 2, 3)
        );
        assert_eq!(raw.caching, sys::REEVE_CACHING_UNCACHED);
        assert_eq!((raw.handle, raw.reserved), (0, [0; 2]));
    }

    #[test]
    fn short_copies_are_errors() {
        assert!(whole(3, 3).is_ok());
        assert!(whole(2, 3).is_err());
    }
}
