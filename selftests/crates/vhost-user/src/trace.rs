// SPDX-License-Identifier: GPL-2.0-or-later
//! Prints each message, with its file descriptors and the time.

use std::os::fd::AsRawFd;

use rustix::time::{clock_gettime, ClockId};

use crate::backend::Backend;
use crate::error::Error;
use crate::server::Observer;
use crate::wire::{Message, NEED_REPLY};

/// Prints to standard output. The times are the machine's monotonic clock: those of two programs can be compared.
#[derive(Debug)]
pub struct Trace;

impl Observer for Trace {
    fn connected(&mut self) {
        println!("{} connected", now());
    }

    fn before(&mut self, _backend: &mut Backend, message: &Message) {
        println!("{} > {}", now(), describe(message));
    }

    fn after(&mut self, _backend: &mut Backend, _name: &str, replies: &[Message]) {
        for reply in replies {
            println!("{} < {}", now(), describe(reply));
        }
    }

    fn closed(&mut self, error: Option<&Error>) {
        match error {
            Some(error) => println!("{} closed: {error}", now()),
            None => println!("{} closed", now()),
        }
    }
}

/// Returns a message on a line.
pub fn describe(message: &Message) -> String {
    let fds: Vec<String> = message
        .fds
        .iter()
        .map(|fd| fd.as_raw_fd().to_string())
        .collect();
    let body: String = message
        .body
        .iter()
        .take(64)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let more = if message.body.len() > 64 { "..." } else { "" };
    let asks = if message.flags & NEED_REPLY != 0 {
        " need_reply"
    } else {
        ""
    };
    let name = message.name();
    format!("{name}{asks} fds=[{}] {body}{more}", fds.join(","))
}

/// Returns the monotonic clock in seconds.
pub fn now() -> String {
    let now = clock_gettime(ClockId::Monotonic);
    format!("{}.{:06}", now.tv_sec, now.tv_nsec / 1000)
}
