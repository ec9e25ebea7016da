// SPDX-License-Identifier: GPL-2.0

//! /dev/reeve: buffer objects, statistics and the lock sanity suite for user space.
//!
//! [`file`] dispatches the calls of `uapi/reeve.h`, [`handles`] names an open file's buffer
//! objects, [`bo_ioctl`], [`mmap`] and [`ioctl`] do what is asked.
//!
//! Each call looks at its arguments in the same order: unknown call (`ENOTTY`), struct that can't be
//! read (`EFAULT`), fields (`EINVAL`), handle (`ENOENT`), then the object's state.

mod args;
mod bo_ioctl;
mod fdinfo;
mod file;
mod handles;
mod ioctl;
mod mmap;
mod uapi;

pub(crate) use self::file::{
    OpenFile,
    Shared, //
};
