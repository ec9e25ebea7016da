// SPDX-License-Identifier: GPL-2.0

//! Everything unsafe: C objects, C shims and bindings, wrapped so that the rest is safe Rust.
//!
//! The shims are one macro or inline of the kernel each; `shim.h` lists them. The bindings are made
//! by Kbuild from `bindings_helper.h`.

pub(crate) mod block;
pub(crate) mod block_stack;
pub(crate) mod caching;
pub(crate) mod confidential;
pub(crate) mod context;
pub(crate) mod counters;
pub(crate) mod debugfs;
pub(crate) mod dma;
pub(crate) mod dmem;
pub(crate) mod hierarchy;
pub(crate) mod kmap;
mod lock_order;
pub(crate) mod member_list;
pub(crate) mod memcg;
pub(crate) mod node;
pub(crate) mod pages;
pub(crate) mod params;
pub(crate) mod pm;
pub(crate) mod record;
pub(crate) mod report;
#[cfg(reeve_kunit)]
pub(crate) mod rwsem;
pub(crate) mod shmem;
pub(crate) mod shmem_pages;
pub(crate) mod shrinker;
pub(crate) mod task;
#[cfg(reeve_bench)]
pub(crate) mod ticks;
pub(crate) mod tt_trace;
pub(crate) mod uapi;
pub(crate) mod user;
pub(crate) mod vma;

/// Bindings of our own C and of the user ABI; C names the kernel knows come from its bindings.
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]
pub(crate) mod bindings {
    include!(env!("REEVE_BINDINGS"));
}
