// SPDX-License-Identifier: GPL-2.0

//! Page accounting: buffer objects, the pages behind them, and what happens when there are too many.
//!
//! From the outside in:
//! - [`api`]: what other drivers call; [`desc`] is what they and users say of an object, [`fdinfo`] what both are
//!   shown.
//! - [`manager`]: the devices, and what they share; everything hangs off it.
//! - [`evict`]: what moves objects out of memory; [`shrinker`] and [`pm`] call it for the kernel,
//!   [`reclaim`] is how a populate asks for it.
//! - [`vm`]: objects in the memory of user processes.
//! - [`reservation`]: what can be done with a reserved object.
//! - [`object`]: a buffer object.
//! - [`device`], [`client`]: the LRU of a device, and of an open file with its limit.
//! - [`driver`]: what an object's driver is asked before its pages go.
//! - [`dirty`]: which pages of an object were written to. A [`fence`] keeps them from being written to.
//! - [`tt`]: the pages behind an object, or where its content is. It uses a [`backing`].
//! - [`pool`], [`pages`]: where pages come from and go to.
//! - [`charge`], [`counters`], [`limits`]: the counters, their limits, and the one place that changes
//!   them.
//! - [`trace`]: how long all this takes.
//! - [`rules`]: what of this needs no kernel.
//!
//! After `ttm_tt.c` and `ttm_device.c`. Documentation/accounting.md is the manual.

#![deny(unsafe_code)]

pub(crate) mod api;
mod backing;
pub(crate) mod charge;
pub(crate) mod client;
pub(crate) mod counters;
pub(crate) mod debugfs;
pub(crate) mod desc;
pub(crate) mod device;
pub(crate) mod dirty;
pub(crate) mod driver;
pub(crate) mod evict;
pub(crate) mod fdinfo;
pub(crate) mod fence;
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
