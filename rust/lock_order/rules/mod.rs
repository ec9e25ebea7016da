// SPDX-License-Identifier: GPL-2.0-or-later

//! The rules of lock-order tracking: what is correct, without kernel types.
//!
//! These files use nothing but `core`: no `unsafe`, no allocation, no atomics, no printing. The
//! module compiles them as `crate::lock_order::rules`, the host tests include the same files by
//! path, so what `cargo test` proves in seconds is what the kernel runs. Locks, memory and errno
//! stay with the callers.
#![deny(unsafe_code)]

pub mod conflict;
pub mod context_table;
pub mod flags;
pub mod held;
pub mod operation;
pub mod order;
pub mod own_orders;
pub mod pairs;
pub mod plain;
pub mod sanity;
pub mod violation;
