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
pub mod context_table;
pub mod dma_runs;
pub mod doing;
pub mod file_limit;
pub mod held;
mod held_checks;
pub mod histogram;
pub mod lock_flags;
pub mod mappings;
pub mod order;
pub mod own_orders;
pub mod page_kind;
pub mod page_runs;
pub mod pool_rules;
pub mod rotation;
pub mod rules;
pub mod sanity;
pub mod sanity_cases;
pub mod sizes;
pub mod tt_state;
pub mod violation;
pub mod violation_record;
