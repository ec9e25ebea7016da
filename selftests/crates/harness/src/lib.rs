// SPDX-License-Identifier: GPL-2.0-or-later
//! Boots test kernels in QEMU, runs things in them and judges what happened.
//!
//! `make run`, `make test`, `make bench`, `make vm` and `make shell` end here; what they need is built before, by the
//! scripts in `selftests/setup`. From the bottom up: [`cpio`], [`lines`], [`ktap`], [`splat`] and [`control`] read and
//! write formats; [`machine`] says what to boot; [`vm`] boots it and judges; [`script`], [`report`], [`mod@bench`]
//! and [`suite`] are what the user asked for. [`rooms`] checks the layout of the module's sources, [`coverage`] counts
//! its lines that a guest reached.

pub mod bench;
pub mod control;
pub mod coverage;
pub mod cpio;
pub mod ktap;
pub mod lines;
pub mod machine;
pub mod paths;
pub mod report;
pub mod rooms;
pub mod script;
pub mod splat;
pub mod suite;
pub mod vm;
