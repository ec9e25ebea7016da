// SPDX-License-Identifier: GPL-2.0

//! Page accounting: buffer objects, the pages behind them, and what happens when those get many.
//!
//! From the outside in:
//! - [`manager`]: the list of devices and global swapout; everything hangs off it.
//! - [`device`]: a device's LRU of buffer objects.
//! - [`bo`]: a buffer object and its reservation.
//! - [`table`]: the TT, that is the pages behind an object and where its content is.
//! - [`holder`] and [`shares`]: whom an object's pages are charged to, and [`whose`] objects make
//!   room for it.
//! - [`kmap`]: going over its pages, each mapped for the kernel while it is used.
//! - [`mapping`]: its pages in the memory of user processes.
//! - [`source`] and [`pool`]: where its pages come from and go to.
//! - [`books`] and [`charge`]: the counters, the limits, and the one place that changes them.
//! - [`hibernation`]: what happens before the machine sleeps.
//! - [`timing`]: how long all this takes.
//!
//! After `ttm_tt.c` and `ttm_device.c`. Documentation/accounting.md is the manual.

#[cfg(reeve_bench)]
pub(crate) mod bench;
pub(crate) mod bo;
pub(crate) mod books;
pub(crate) mod charge;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod hibernation;
pub(crate) mod holder;
pub(crate) mod kmap;
pub(crate) mod limits;
mod lru;
pub(crate) mod manager;
pub(crate) mod mapping;
pub(crate) mod pool;
pub(crate) mod reservation;
pub(crate) mod shares;
pub(crate) mod shrinkers;
pub(crate) mod small_list;
mod source;
pub(crate) mod table;
pub(crate) mod timing;
pub(crate) mod whose;

#[cfg(reeve_kunit)]
mod tests;

pub(crate) use self::manager::Manager;
