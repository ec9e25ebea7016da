// SPDX-License-Identifier: GPL-2.0-or-later
//! A vhost-user back end whose dirty log can be trusted, and a front end that checks any back end.
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
//! | [`front`], [`check`] | a front end, and what it checks |
//! | [`proxy`] | what two others say to each other |
//! | [`trace`] | each message on a line |
//! | [`broken`] | mistakes on purpose |

#![deny(unsafe_code)]

pub mod backend;
pub mod broken;
pub mod check;
pub mod device;
pub mod error;
pub mod features;
pub mod front;
pub mod local;
pub mod log;
#[expect(unsafe_code, reason = "mapping files is what it is for")]
pub mod map;
pub mod memory;
pub mod proxy;
pub mod ring;
pub mod server;
pub mod trace;
pub mod wire;
