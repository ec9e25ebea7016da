// SPDX-License-Identifier: GPL-2.0

//! Page accounting: buffer objects, the pages behind them, and what happens when those get many.
//!
//! From the outside in:
//! - [`manager`]: the list of devices and global swapout; everything hangs off it.
//! - [`device`]: a device's LRU of buffer objects.
//! - [`bo`]: a buffer object and its reservation.
//! - [`table`]: the TT, that is the pages behind an object and where its content is.
//! - [`client`] and [`shares`]: whom an object's pages are charged to, and [`whose`] objects make
//!   room for it.
//! - [`kmap`]: going over its pages, each mapped for the kernel while it is used.
//! - [`mapping`]: its pages in the memory of user processes.
//! - [`source`] and [`pool`]: where its pages come from and go to.
//! - [`accounting`] and [`charge`]: the counters, the limits, and the one place that changes them.
//! - [`hibernation`]: what happens before the machine sleeps.
//! - [`timing`]: how long all this takes.
//!
//! After `ttm_tt.c` and `ttm_device.c`. Documentation/accounting.md is the manual.

mod backing;
pub(crate) mod charge;
pub(crate) mod client;
pub(crate) mod counters;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod evict;
pub(crate) mod limits;
mod lru;
pub(crate) mod manager;
pub(crate) mod object;
pub(crate) mod pages;
pub(crate) mod pm;
pub(crate) mod pool;
pub(crate) mod reclaim;
pub(crate) mod reservation;
#[allow(
    unreachable_pub,
    reason = "host tests see these files as a crate's public API"
)]
#[allow(
    dead_code,
    reason = "what only one of the two worlds uses stays with the rest"
)]
pub(crate) mod rules;
pub(crate) mod shrinker;
pub(crate) mod trace;
pub(crate) mod tt;
pub(crate) mod vm;

#[cfg(reeve_kunit)]
mod tests;

pub(crate) use self::manager::Manager;
