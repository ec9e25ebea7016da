// SPDX-License-Identifier: GPL-2.0

//! /dev/reeve: buffer objects, statistics and the lock sanity suite for user space.
//!
//! [`open_file`] dispatches the calls of `uapi/reeve.h`, [`handles`] names an open file's buffer
//! objects, [`bo_calls`], [`mmap`] and [`other_calls`] do what is asked.
//!
//! Each call looks at its arguments in the same order: unknown call (`ENOTTY`), struct that can't be
//! read (`EFAULT`), fields (`EINVAL`), handle (`ENOENT`), then the object's state.

mod args;
mod bo_calls;
mod fdinfo;
mod handles;
mod mmap;
mod open_file;
mod other_calls;

pub(crate) use self::open_file::{
    OpenFile,
    Shared, //
};
