// SPDX-License-Identifier: GPL-2.0

//! The ioctls on dirty logs.
//!
//! Bitmaps are copied through a buffer, with no object reserved: the user's may lie in a mapping of the
//! very object.
#![deny(unsafe_code)]

use super::{
    args::{
        read,
        write, //
    },
    bo_ioctl::read_bo,
    open_file::OpenFile,
    uapi::{
        consts::*,
        BoLogClear,
        BoLogFence,
        BoLogGet,
        BoLogInfo,
        LogMode, //
    }, //
};
use crate::{
    abstractions::{
        anon_file,
        gate::Gate,
        uaccess::{
            clear_user_words,
            copy_from_user,
            copy_to_user,
            user_ptr, //
        },
        user_sized, //
    },
    bo::{
        dirty::{
            room_for,
            DirtyLog,
            Parts, //
        },
        fence::LogFence,
        rules::dirty::{
            self,
            Mode, //
        }, //
    }, //
};
use kernel::{
    fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    },
    prelude::*,
    sync::atomic::Relaxed,
    transmute::AsBytes, //
};

impl OpenFile {
    /// `REEVE_IOC_LOG_MODE`.
    pub(super) fn log_mode(&self, arg: usize) -> Result<isize> {
        let mut args = read::<LogMode>(arg)?;
        if args.flags & !REEVE_LOG_MODE_SET != 0 {
            return Err(EINVAL);
        }
        let set = args.flags & REEVE_LOG_MODE_SET != 0;
        if !set {
            args.mode = self.log_mode.load(Relaxed);
        }
        let mode = Mode::of(args.mode).ok_or(EINVAL)?;
        args.supported = Mode::SUPPORTED;
        // Before it is set, so that a struct that can't be written changes nothing.
        write(arg, &args)?;
        if set {
            self.log_mode.store(mode.bits(), Relaxed);
        }
        Ok(0)
    }

    /// `REEVE_IOC_BO_LOG_START`.
    pub(super) fn bo_log_start(&self, arg: usize) -> Result<isize> {
        let mut args = read_bo(arg, 0)?;
        let bo = self.handles.get(args.handle)?;
        let reservation = bo.reserve_killable()?;
        args.pages = reservation.pages_to_log()?;
        let logs = reservation.log().is_ok();
        drop(reservation);
        write(arg, &args)?;
        if !logs {
            let mode = Mode::of(self.log_mode.load(Relaxed)).ok_or(EINVAL)?;
            let log = DirtyLog::new(args.pages, mode, Some(self.client.logs().clone()))?;
            let unused = bo.reserve_killable()?.start_log(log)?;
            drop(unused);
        }
        Ok(0)
    }

    /// `REEVE_IOC_BO_LOG_STOP`.
    pub(super) fn bo_log_stop(&self, arg: usize) -> Result<isize> {
        let mut args = read_bo(arg, 0)?;
        let bo = self.handles.get(args.handle)?;
        args.pages = bo.reserve_killable()?.log()?.pages();
        write(arg, &args)?;
        let log = bo.reserve_killable()?.stop_log()?;
        drop(log);
        Ok(0)
    }

    /// `REEVE_IOC_BO_LOG_GET`.
    ///
    /// Only those parts of the log are copied that have bits set, of which most logs have few.
    pub(super) fn bo_log_get(&self, arg: usize) -> Result<isize> {
        let mut args = read::<BoLogGet>(arg)?;
        let bo = self.handles.get(args.handle)?;
        args.dirty = 0;
        let mut parts = room_for(0, args.pages)?;
        let mut written = false;
        let (dirty, taken) = loop {
            let mut reservation = bo.reserve_killable()?;
            let log = reservation.log()?;
            if args.pages != log.pages() {
                return Err(EINVAL);
            }
            // Not before it is known that the struct can be written.
            if written || !log.mode().get_clears() {
                if let Some(got) = reservation.get_log(&mut parts)? {
                    break got;
                }
            }
            let mut wanted = reservation.log()?.parts();
            drop(reservation);
            if written {
                // More parts got bits meanwhile. There is no end to that but the log's.
                wanted = usize::try_from(dirty::parts_for(args.pages)).map_err(|_| ENOMEM)?;
            } else {
                write(arg, &args)?;
                written = true;
            }
            parts = room_for(wanted, args.pages)?;
        };
        args.dirty = dirty;
        let result = hand_out(args.bitmap, args.pages, &parts).and_then(|()| write(arg, &args));
        if let (Err(_), Some(number)) = (result, taken) {
            // Not killable: a task that dies must not take them with it.
            bo.reserve().put_back_log(number, &parts);
        }
        result.map(|()| 0)
    }

    /// `REEVE_IOC_BO_LOG_CLEAR`.
    pub(super) fn bo_log_clear(&self, arg: usize) -> Result<isize> {
        let mut args = read::<BoLogClear>(arg)?;
        if !dirty::begins_at_a_word(args.first_page) {
            return Err(EINVAL);
        }
        let bo = self.handles.get(args.handle)?;
        let whole = bo.reserve_killable()?.log()?.pages();
        if !dirty::is_range(whole, args.first_page, args.num_pages) {
            return Err(EINVAL);
        }
        args.cleared = 0;
        if args.num_pages == 0 {
            write(arg, &args)?;
            return Ok(0);
        }
        let mut mask = buffer(args.num_pages)?;
        let bytes = AsBytes::as_bytes_mut(&mut *mask);
        if copy_from_user(bytes, user_ptr(args.bitmap, 0)?) != bytes.len() {
            return Err(EFAULT);
        }
        // Before anything changes.
        write(arg, &args)?;
        let (first, pages) = (args.first_page, args.num_pages);
        let mut reservation = bo.reserve_killable()?;
        let (cleared, number) = reservation.clear_log(first, pages, &mut mask)?;
        drop(reservation);
        args.cleared = cleared;
        let result = write(arg, &args);
        if result.is_err() {
            // Not killable, as in a get.
            bo.reserve().put_back_words(number, first, &mask);
        }
        result.map(|()| 0)
    }

    /// `REEVE_IOC_BO_LOG_INFO`.
    pub(super) fn bo_log_info(&self, args: &mut BoLogInfo) -> Result {
        let info = self
            .handles
            .get(args.handle)?
            .reserve_killable()?
            .log_info()?;
        args.mode = info.mode.bits();
        args.pages = info.pages;
        args.dirty = info.dirty;
        args.write_faults = info.write_faults;
        args.protections = info.protections;
        args.bytes = info.bytes;
        args.fences = info.fences;
        Ok(())
    }

    /// `REEVE_IOC_BO_LOG_FENCE`.
    ///
    /// All that may fail comes before the fence, which is lifted with the file.
    pub(super) fn bo_log_fence(&self, arg: usize) -> Result<isize> {
        let mut args = read::<BoLogFence>(arg)?;
        let bo = self.handles.get(args.handle)?;
        bo.reserve_killable()?.log()?;
        let gate = Gate::new()?;
        let fence = LogFence::new(&bo)?;
        let file = anon_file::new(fence.clone())?;
        let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
        args.fd = i32::try_from(fd.reserved_fd()).map_err(|_| EMFILE)?;
        write(arg, &args)?;
        fence.put(gate)?;
        fd.fd_install(file);
        Ok(0)
    }
}

/// Makes a bitmap of `pages` pages. Returns `ENOMEM` if there is no memory. May sleep.
fn buffer(pages: u64) -> Result<KVVec<u64>> {
    let words = usize::try_from(dirty::words_for(pages)).map_err(|_| ENOMEM)?;
    user_sized::vector(0u64, words)
}

/// Copies the bitmap of a log of `pages` pages to user memory at `to`. Returns `EFAULT` if not all of it can
/// be. May sleep.
fn hand_out(to: u64, pages: u64, parts: &Parts) -> Result {
    let words = usize::try_from(dirty::words_for(pages)).map_err(|_| EFAULT)?;
    let mut left = words;
    for piece in parts.pieces(words) {
        let to = user_ptr(to, piece.first as u64 * size_of::<u64>() as u64)?;
        let done = match piece.words {
            None => clear_user_words(to, piece.length),
            Some(words) => copy_to_user(to, AsBytes::as_bytes(words)) == size_of_val(words),
        };
        if !done {
            return Err(EFAULT);
        }
        left -= piece.length;
    }
    if left == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}
