// SPDX-License-Identifier: GPL-2.0

//! Abstractions of kernel interfaces that the `kernel` crate lacks, one file for each file of
//! `rust/kernel` that it would become.
//!
//! Each wraps C objects, and the helpers of `rust/helpers/`, so that the rest is safe Rust. The
//! bindings are made by Kbuild from `bindings_helper.h`.

pub(crate) mod anon_file;
pub(crate) mod atomic_words;
pub(crate) mod cred;
pub(crate) mod debugfs;
pub(crate) mod dma;
pub(crate) mod dma_resv;
pub(crate) mod dmem;
pub(crate) mod export;
pub(crate) mod gate;
pub(crate) mod kmap;
#[cfg(reeve_kunit)]
#[macro_use]
mod kunit;
pub(crate) mod list;
pub(crate) mod memcg;
pub(crate) mod miscdevice;
pub(crate) mod mistake;
pub(crate) mod mutex;
pub(crate) mod page;
pub(crate) mod page_counters;
pub(crate) mod params;
pub(crate) mod pm;
pub(crate) mod published;
pub(crate) mod shmem;
pub(crate) mod shrinker;
pub(crate) mod slab;
pub(crate) mod task;
#[cfg(reeve_bench)]
pub(crate) mod ticks;
pub(crate) mod uaccess;
pub(crate) mod uapi;
pub(crate) mod user_sized;
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
