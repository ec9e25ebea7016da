// SPDX-License-Identifier: GPL-2.0

//! KUnit: page accounting with real pages.
//!
//! What the kernel's suites for C TTM check of `ttm_tt` and `ttm_device` is checked here, as
//! behaviour, and more. Every test has devices and limits of its own, so that the module's don't
//! matter and aren't disturbed. Tests end with everything released, and then look at the counters.

#![deny(unsafe_code)]

mod access;
mod backup;
mod clients;
mod dma;
mod global;
mod objects;
mod pages;
mod pm;
mod pool;
mod reference;
mod support;
mod swapping;
mod trace;
mod waiting;
