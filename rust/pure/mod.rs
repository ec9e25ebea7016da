// SPDX-License-Identifier: GPL-2.0

//! Logic without kernel types: state machines, arithmetic and policies.
//!
//! These files use nothing but `core`: no `unsafe`, no allocation, no atomics, no printing. The
//! module compiles them as `crate::pure`, the host tests include the same files by path, so what
//! `cargo test` proves in seconds is what the kernel runs. Locks, memory and errno stay with the
//! callers.
#![deny(unsafe_code)]

pub mod accounting;
pub mod bo_rules;
pub mod dma_runs;
pub mod file_limit;
pub mod histogram;
pub mod mappings;
pub mod page_kind;
pub mod page_runs;
pub mod pool_rules;
pub mod rotation;
pub mod sizes;
pub mod tt_state;
