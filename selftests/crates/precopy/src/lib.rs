// SPDX-License-Identifier: GPL-2.0-or-later

//! Pre-copy: moves buffer objects from one open file to another over a socket while they are written to.
//!
//! [`send()`] runs at the source, [`receive()`] at the other side. What they work on is behind traits: the memory with its
//! dirty log ([`Source`]), what takes it ([`Sink`]), those who write ([`Writers`]), the socket ([`Channel`]) and time
//! ([`Clock`]). [`mod@reeve`] has the module's objects as source and sink.
//!
//! A migration goes through rounds. Round 1 sends every page; each later round sends what was written meanwhile, as
//! the dirty log says. When what is left fits the downtime limit, the writers are stopped, the rest is sent, a checksum
//! of every page is compared on both sides, and the receiver takes over.
//!
//! A connection that is lost can be taken up by both sides ([`Resume`], [`Limits::resume`]): the log goes on meanwhile, and
//! what may not have come is sent again.
//!
//! The order that everything depends on: a page's bit in the log is cleared *before* the page is read. So a write after
//! the read sets the bit again, and the next round has it.

#![forbid(unsafe_code)]

mod bitmap;
mod channel;
mod clock;
mod estimate;
mod failure;
mod pace;
mod plan;
mod receive;
pub mod reeve;
mod region;
mod send;
mod sink;
mod source;
mod statistics;
#[cfg(test)]
mod tests;
mod throttle;
pub mod wire;
pub mod writers;

pub use bitmap::Bitmap;
pub use channel::Address;
pub use channel::Channel;
pub use channel::Listener;
pub use channel::Socket;
pub use channel::SILENCE;
pub use clock::Clock;
pub use clock::Monotonic;
pub use estimate::Estimate;
pub use estimate::Measured;
pub use failure::Cause;
pub use failure::Failure;
pub use failure::Kind;
pub use failure::Side;
pub use failure::Stage;
pub use plan::clamp_shift;
pub use receive::receive;
pub use receive::Limits;
pub use receive::Received;
pub use region::Region;
pub use send::send;
pub use send::AtLimit;
pub use send::Failed;
pub use send::FirstSync;
pub use send::Options;
pub use send::Request;
pub use send::Resume;
pub use send::Watch;
pub use sink::Sink;
pub use source::LogMode;
pub use source::Source;
pub use statistics::Progress;
pub use statistics::Round;
pub use statistics::Statistics;
pub use writers::Writers;
