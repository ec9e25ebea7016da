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
        BoLogGet,
        BoLogInfo,
        LogMode, //
    }, //
};
use crate::{
    abstractions::uaccess::{
        copy_from_user,
        copy_to_user,
        user_ptr, //
    },
    bo::{
        dirty::DirtyLog,
        object::BoRef,
        rules::dirty::{
            self,
            Mode, //
        }, //
    }, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
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
    pub(super) fn bo_log_get(&self, arg: usize) -> Result<isize> {
        let mut args = read::<BoLogGet>(arg)?;
        let bo = self.handles.get(args.handle)?;
        let pages = bo.reserve_killable()?.log()?.pages();
        if args.pages != pages {
            return Err(EINVAL);
        }
        args.dirty = 0;
        // Before anything changes.
        write(arg, &args)?;

        let mut words = buffer(pages)?;
        let (dirty, taken) = bo.reserve_killable()?.get_log(pages, &mut words)?;
        args.dirty = dirty;
        let result = hand_out(args.bitmap, &words).and_then(|()| write(arg, &args));
        if let (Err(_), Some(number)) = (result, taken) {
            put_back(&bo, number, 0, &words);
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
            put_back(&bo, number, first, &mask);
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
        Ok(())
    }
}

/// Makes a bitmap of `pages` pages. Returns `ENOMEM` if there is no memory. May sleep.
fn buffer(pages: u64) -> Result<KVVec<u64>> {
    let words = usize::try_from(dirty::words_for(pages)).map_err(|_| ENOMEM)?;
    Ok(KVVec::from_elem(0u64, words, GFP_KERNEL_ACCOUNT)?)
}

/// Copies the bitmap to user memory at `to`. Returns `EFAULT` if not all of it can be. May sleep.
fn hand_out(to: u64, words: &[u64]) -> Result {
    let bytes = AsBytes::as_bytes(words);
    if copy_to_user(user_ptr(to, 0)?, bytes) == bytes.len() {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Gives bits back that were taken by a call that failed afterwards.
fn put_back(bo: &BoRef, number: u64, first: u64, words: &[u64]) {
    // Not killable: a task that dies must not take them with it.
    bo.reserve().put_back_log(number, first, words);
}
