// SPDX-License-Identifier: GPL-2.0

//! /dev/reeve: buffer objects, statistics and the lock sanity suite for user space.
//!
//! [`mod@file`] has the file operations and dispatches the ioctls of `uapi/reeve.h` to [`bo_ioctl`],
//! [`dirty_ioctl`] and [`ioctl`]. [`open_file`] is the open file that they work on, [`handles`] its buffer objects.
//!
//! Each ioctl checks its arguments in the same order: unknown ioctl (`ENOTTY`), struct that can't be
//! read (`EFAULT`), fields (`EINVAL`), handle (`ENOENT`), then the object's state.
#![deny(unsafe_code)]

mod args;
mod bo_ioctl;
mod dirty_ioctl;
mod fdinfo;
mod file;
mod handles;
mod ioctl;
mod open_file;
mod uapi;

pub(crate) use self::open_file::{
    OpenFile,
    Shared, //
};
