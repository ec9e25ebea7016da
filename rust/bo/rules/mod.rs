// SPDX-License-Identifier: GPL-2.0-or-later

//! The rules of page accounting: states, limits and arithmetic, without kernel types.
//!
//! These files use nothing but `core`: no `unsafe`, no allocation, no atomics, no printing. The
//! module compiles them as `crate::bo::rules`, the host tests include the same files by path, so
//! what `cargo test` proves in seconds is what the kernel runs. Locks, memory and errno stay with
//! the callers.
#![deny(unsafe_code)]

pub mod client_limit;
pub mod dirty;
pub mod dma_runs;
pub mod handles;
pub mod histogram;
pub mod limits;
pub mod mappings;
pub mod object;
pub mod page_kind;
pub mod page_runs;
pub mod pool;
pub mod sequence;
pub mod sizes;
pub mod state;
pub mod victims;
