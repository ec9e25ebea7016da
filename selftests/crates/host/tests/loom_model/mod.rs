// SPDX-License-Identifier: GPL-2.0

//! The context table in loom: `rust/lock_order/rules/context_table.rs` as the kernel compiles it, over atomics
//! of which loom tries every interleaving and every value that a load may see.
//!
//! The orderings are no stronger than the kernel's. Each kind of word can be made faulty, to show
//! that the models notice.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test file uses a part"
)]

mod memory;
mod scene;
mod words;

pub use memory::Memory;
pub use scene::{Faults, Scene};
pub use words::{Fault, Loom, LoomCounter, LoomWord};

use loom::model::Builder;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Tries every interleaving of `model`.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    Builder::new().check(model);
}

/// Tries every interleaving of `model` in which threads are interrupted at most so many times
/// where they could have gone on.
pub fn check_bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Expects that some interleaving of `model`, with three preemptions at most, panics; gives the
/// message.
pub fn caught(model: impl Fn() + Sync + Send + 'static) -> String {
    let result = catch_unwind(AssertUnwindSafe(|| check_bounded(3, model)));
    let panic = result.expect_err("the fault was not noticed");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_default()
}
