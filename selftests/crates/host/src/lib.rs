// SPDX-License-Identifier: GPL-2.0-or-later

//! The module's rules, file for file, as a host library.
//!
//! Nothing is written twice: the kernel compiles the same files. Tests are in `tests/`.
#![no_std]
#![forbid(unsafe_code)]

pub mod bo;
pub mod lock_order;
