// SPDX-License-Identifier: GPL-2.0-or-later
//!
//! | module | subject |
//! |---|---|
//! | [`wire`] | messages on the socket, for both sides |
//! | [`features`] | what can be negotiated |
//! | [`map`] | mappings of other processes' files; the only `unsafe` |
//! | [`memory`], [`log`] | the guest's memory, and the marks of what was written |
//! | [`ring`] | split virtqueues |
//! | [`device`] | net and blk |
//! | [`backend`] | what each message does |
//! | [`server`], [`local`] | clients one after the other, in a program or in a thread |
//! | [`trace`] | each message on a line |
//! | [`broken`] | mistakes on purpose |

#![deny(unsafe_code)]

pub mod backend;
pub mod broken;
pub mod device;
pub mod error;
pub mod features;
pub mod local;
pub mod log;
#[expect(unsafe_code, reason = "mapping files is what it is for")]
pub mod map;
pub mod memory;
pub mod ring;
pub mod server;
pub mod trace;
pub mod wire;
