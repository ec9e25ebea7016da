// SPDX-License-Identifier: GPL-2.0

//! The ioctls on buffer objects.
#![deny(unsafe_code)]

use super::{
    args::{
        read,
        write, //
    },
    open_file::OpenFile,
    uapi::{
        consts::*,
        Bo,
        BoCreate,
        BoDmaAddress,
        BoInfo,
        BoMmap,
        BoRw, //
    }, //
};
use crate::{
    abstractions::{
        cred::{
            self,
            Capability, //
        },
        params,
        task,
        uaccess::{
            copy_from_user,
            copy_to_user,
            user_ptr, //
        }, //
    },
    bo::{
        desc::flags_of,
        object::BoRef,
        reservation::Reservation,
        rules::{
            object::BoType,
            page_kind::Caching,
            state::Request, //
        },
        tt::{
            swapout::BackUp,
            Tt, //
        },
        vm::Mapping, //
    }, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// The most bytes copied at once. They are copied through a buffer, because user memory can't be
/// accessed while an object is reserved: a page fault may reserve objects.
const COPY_CHUNK: usize = 64 * 1024;

impl OpenFile {
    /// `REEVE_IOC_BO_CREATE`.
    pub(super) fn bo_create(&self, arg: usize) -> Result<isize> {
        let mut args = read::<BoCreate>(arg)?;
        let (ty, flags) = flags_of(args.type_, args.caching, args.flags)?;
        // A bad size is a bad field, so it is checked before the device is looked up.
        let extra = args.extra_pages.into();
        Tt::new(args.size, extra, flags)?;
        let device = self
            .manager
            .devices()
            .get(args.device as usize)
            .ok_or(ENOENT)?;

        let bo = BoRef::of_file(&self.client, device, args.size, extra, ty, flags)?;
        args.handle = self.handles.insert(bo)?;
        if let Err(e) = write(arg, &args) {
            // The caller did not get the handle.
            drop(self.handles.remove(args.handle));
            return Err(e);
        }
        Ok(0)
    }

    /// `REEVE_IOC_BO_DESTROY`.
    pub(super) fn bo_destroy(&self, arg: usize) -> Result<isize> {
        let mut args = read_bo(arg, 0)?;
        self.handles.get(args.handle)?;
        args.pages = 0;
        write(arg, &args)?;
        drop(self.handles.remove(args.handle)?);
        Ok(0)
    }

    /// `REEVE_IOC_BO_POPULATE`.
    pub(super) fn bo_populate(&self, arg: usize) -> Result<isize> {
        self.change(arg, Request::Populate, |bo| bo.populate(&*self.manager))
    }

    /// `REEVE_IOC_BO_UNPOPULATE`.
    pub(super) fn bo_unpopulate(&self, arg: usize) -> Result<isize> {
        self.change(arg, Request::Unpopulate, |bo| bo.unpopulate())
    }

    /// `REEVE_IOC_BO_PIN`.
    pub(super) fn bo_pin(&self, arg: usize) -> Result<isize> {
        self.change(arg, Request::Pin, |bo| bo.pin().map(|()| 0))
    }

    /// `REEVE_IOC_BO_UNPIN`.
    pub(super) fn bo_unpin(&self, arg: usize) -> Result<isize> {
        self.change(arg, Request::Unpin, |bo| bo.unpin().map(|()| 0))
    }

    /// `REEVE_IOC_BO_SWAPOUT`.
    pub(super) fn bo_swapout(&self, arg: usize) -> Result<isize> {
        self.change(arg, Request::SwapOut, |bo| bo.swap_out())
    }

    /// `REEVE_IOC_BO_RESTORE`.
    pub(super) fn bo_restore(&self, arg: usize) -> Result<isize> {
        self.change(arg, Request::Restore, |bo| bo.restore(&*self.manager))
    }

    /// `REEVE_IOC_BO_BACKUP`.
    pub(super) fn bo_backup(&self, arg: usize) -> Result<isize> {
        let args = read_bo(arg, REEVE_BO_BACKUP_PURGE | REEVE_BO_BACKUP_WRITEBACK)?;
        let how = BackUp {
            writeback: args.flags & REEVE_BO_BACKUP_WRITEBACK != 0,
            ..BackUp::RELAXED
        };
        if args.flags & REEVE_BO_BACKUP_PURGE == 0 {
            self.change_with(arg, args, Request::BackUp, |bo| bo.back_up(how))
        } else if how.writeback {
            // Dropped content can't be written back.
            Err(EINVAL)
        } else {
            self.change_with(arg, args, Request::Purge, |bo| bo.purge())
        }
    }

    /// Changes an object by an ioctl without flags; see [`OpenFile::change_with`].
    fn change(
        &self,
        arg: usize,
        request: Request,
        act: impl Fn(&mut Reservation<'_>) -> Result<u64>,
    ) -> Result<isize> {
        self.change_with(arg, read_bo(arg, 0)?, request, act)
    }

    /// Changes an object with `act`, which returns the number of pages that it gained or lost. What drops
    /// content waits for fences.
    ///
    /// The number that is expected is written to user space before the change, so that a call which
    /// fails, also with `EFAULT`, has changed nothing. User memory can't be accessed while the object
    /// is reserved, so it is reserved again afterwards; if another number is expected by then, that
    /// is written and tried again.
    fn change_with(
        &self,
        arg: usize,
        mut args: Bo,
        request: Request,
        act: impl Fn(&mut Reservation<'_>) -> Result<u64>,
    ) -> Result<isize> {
        let bo = self.handles.get(args.handle)?;
        let reserve = || match request {
            Request::Unpopulate | Request::Purge => bo.reserve_to_change(),
            _ => bo.reserve_killable(),
        };
        loop {
            args.pages = reserve()?.forecast(request)?;
            write(arg, &args)?;

            let mut reservation = reserve()?;
            if reservation.forecast(request)? == args.pages {
                let pages = act(&mut reservation)?;
                drop(reservation);
                if pages != args.pages {
                    args.pages = pages;
                    write(arg, &args)?;
                }
                return Ok(0);
            }
            drop(reservation);
            task::cond_resched_killable()?;
        }
    }

    /// `REEVE_IOC_BO_INFO`.
    pub(super) fn bo_info(&self, info: &mut BoInfo) -> Result {
        fill_info(info, &self.handles.get(info.handle)?)
    }

    /// `REEVE_IOC_BO_NEXT`.
    pub(super) fn bo_next(&self, info: &mut BoInfo) -> Result {
        let (handle, bo) = self.handles.next(info.handle)?;
        info.handle = handle;
        fill_info(info, &bo)
    }

    /// `REEVE_IOC_BO_MMAP`.
    pub(super) fn bo_mmap(&self, args: &mut BoMmap) -> Result {
        let bo = self.handles.get(args.handle)?;
        let mapping = Mapping::new(&bo, &self.manager, &self.space)?;
        args.length = mapping.pages() << PAGE_SHIFT;
        args.offset = self.handles.place(args.handle, mapping)? << PAGE_SHIFT;
        Ok(())
    }

    /// `REEVE_IOC_BO_DMA_ADDRESS`.
    pub(super) fn bo_dma_address(&self, args: &mut BoDmaAddress) -> Result {
        let bo = self.handles.get(args.handle)?;
        // As with /proc/PID/pagemap: where memory is helps those that attack it.
        if !params::show_dma_addresses() && !cred::capable(Capability::SysAdmin) {
            return Err(EPERM);
        }
        let run = bo.reserve_killable()?.dma_address(args.page)?;
        args.address = run.address;
        args.pages = run.pages;
        Ok(())
    }

    /// `REEVE_IOC_BO_READ`.
    pub(super) fn bo_read(&self, arg: usize) -> Result<isize> {
        self.copy(arg, |bo, args, done, chunk| {
            bo.reserve_killable()?
                .read(args.offset + done, chunk, &*self.manager)?;
            Ok(copy_to_user(user_ptr(args.addr, done)?, chunk))
        })
    }

    /// `REEVE_IOC_BO_WRITE`.
    pub(super) fn bo_write(&self, arg: usize) -> Result<isize> {
        self.copy(arg, |bo, args, done, chunk| {
            let copied = copy_from_user(chunk, user_ptr(args.addr, done)?);
            let copied = chunk.get(..copied).ok_or(EFAULT)?;
            if !copied.is_empty() {
                bo.reserve_to_change()?
                    .write(args.offset + done, copied, &*self.manager)?;
            }
            Ok(copied.len())
        })
    }

    /// Copies chunk by chunk with `step`, which gets the number of bytes copied before and a buffer
    /// of the chunk's length and returns the number of bytes it copied; fewer mean a bad address.
    fn copy(
        &self,
        arg: usize,
        step: impl Fn(&BoRef, &BoRw, u64, &mut [u8]) -> Result<usize>,
    ) -> Result<isize> {
        let mut args = read::<BoRw>(arg)?;
        let bo = self.handles.get(args.handle)?;
        bo.reserve_killable()?
            .check_copy(args.offset, args.length)?;
        args.done = 0;
        // Before anything changes, so that a struct that can't be written changes nothing.
        write(arg, &args)?;

        let chunk = args.length.min(COPY_CHUNK as u64) as usize;
        let mut buffer = KVVec::from_elem(0u8, chunk, GFP_KERNEL)?;
        let result = loop {
            let left = args.length - args.done;
            if left == 0 {
                break Ok(());
            }
            if let Err(e) = task::cond_resched_killable() {
                break Err(e);
            }
            let length = left.min(chunk as u64) as usize;
            let Some(part) = buffer.get_mut(..length) else {
                break Err(EINVAL);
            };
            match step(&bo, &args, args.done, part) {
                Ok(copied) => {
                    args.done += copied as u64;
                    if copied < length {
                        break Err(EFAULT);
                    }
                }
                Err(e) => break Err(e),
            }
        };
        // Also on errors: the caller needs the number of bytes copied.
        write(arg, &args)?;
        result.map(|()| 0)
    }
}

/// Reads a `struct reeve_bo` and checks that no other flags than `flags` are set.
pub(super) fn read_bo(arg: usize, flags: u32) -> Result<Bo> {
    let args = read::<Bo>(arg)?;
    if args.flags & !flags != 0 {
        return Err(EINVAL);
    }
    Ok(args)
}

/// Fills in all of `info` but the handle. Returns `EINTR` if a fatal signal arrived.
fn fill_info(info: &mut BoInfo, bo: &BoRef) -> Result {
    let facts = bo.reserve_killable()?.info();
    info.type_ = match bo.ty() {
        BoType::Device => REEVE_BO_TYPE_DEVICE,
        BoType::Kernel => REEVE_BO_TYPE_KERNEL,
        BoType::Sg => REEVE_BO_TYPE_SG,
    };
    info.size = bo.size();
    info.num_pages = facts.num_pages;
    info.pages_resident = facts.resident;
    info.pages_charged = facts.charged;
    info.flags = facts.flags;
    info.caching = match facts.kind.caching {
        Caching::Cached => REEVE_CACHING_CACHED,
        Caching::WriteCombined => REEVE_CACHING_WRITE_COMBINED,
        Caching::Uncached => REEVE_CACHING_UNCACHED,
    };
    info.pin_count = facts.pins;
    info.device = bo.device().index();
    Ok(())
}
