// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's monitor (QMP): the requests that the flows make, on the traits and errors of the `qapi` crate.
//!
//! That crate's own list of all requests (its feature `qmp`) understands what QEMU 7.2 replies, too, but it takes a core
//! one minute to compile (`qapi-qmp` 0.15, rustc 1.96), for the eight requests that are here.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use qapi::{Any, Command, Empty, Execute};
use serde::{Deserialize, Serialize};

/// A monitor that was greeted.
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    events: Vec<String>,
}

/// A line of QEMU's.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line<T> {
    Event { event: String },
    Error(qapi::Error),
    Return { r#return: T },
}

/// QEMU's first line.
#[derive(Deserialize)]
struct Greeting {
    #[serde(rename = "QMP")]
    _qmp: Any,
}

impl Qmp {
    /// Greets the monitor at the other end; reads fail after the stream's time limit.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let writer = stream.try_clone().unwrap();
        let mut qmp = Self {
            reader: BufReader::new(stream),
            writer,
            events: Vec::new(),
        };
        let _: Greeting = serde_json::from_str(&qmp.line()).unwrap();
        qmp.ask(&Capabilities {}).unwrap();
        qmp
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        read.expect("QEMU replies in time");
        assert!(!line.is_empty(), "QEMU has ended");
        line
    }

    /// Executes a command; the error is QEMU's description.
    pub(crate) fn ask<C: Command>(&mut self, command: &C) -> Result<C::Ok, String> {
        let request = serde_json::to_string(&Execute::<&C>::from(command)).unwrap();
        writeln!(self.writer, "{request}").unwrap();
        loop {
            let line = self.line();
            let parsed: Line<C::Ok> = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{}: {error}: {line}", C::NAME));
            match parsed {
                Line::Event { event } => self.events.push(event),
                Line::Error(error) => return Err(error.desc),
                Line::Return { r#return } => return Ok(r#return),
            }
        }
    }

    /// Tells whether this event came with what was read so far.
    pub(crate) fn has_seen(&self, event: &str) -> bool {
        self.events.iter().any(|seen| seen == event)
    }
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:literal: $request:ident {$($field:ident: $type:ty),*} -> $reply:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) struct $request {
            $(pub(crate) $field: $type,)*
        }

        impl Command for $request {
            type Ok = $reply;
            const NAME: &'static str = $name;
            const ALLOW_OOB: bool = false;
        }
    )*};
}

requests! {
    /// Ends the negotiation.
    "qmp_capabilities": Capabilities {} -> Empty;
    /// Asks whether the guest runs; what it asks for is that events are read.
    "query-status": QueryStatus {} -> Any;
    /// Stops the guest's processors.
    "stop": Stop {} -> Empty;
    /// Resets the machine.
    "system_reset": SystemReset {} -> Empty;
    /// Begins a migration.
    "migrate": Migrate { uri: String } -> Empty;
    /// Sets what a migration may take: bytes a second, and milliseconds.
    "migrate-set-parameters": MigrateSetParameters { max_bandwidth: u64, downtime_limit: u64 } -> Empty;
    /// Cancels a migration.
    "migrate_cancel": MigrateCancel {} -> Empty;
    /// Asks how a migration goes.
    "query-migrate": QueryMigrate {} -> Migration;
}

/// How a migration goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Migration {
    /// What it does.
    pub(crate) status: Option<String>,
    /// What became of the memory so far.
    pub(crate) ram: Option<MigratedMemory>,
    /// Why it failed.
    #[allow(dead_code, reason = "a failed test prints it")]
    pub(crate) error_desc: Option<String>,
}

/// What became of the memory in a migration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct MigratedMemory {
    /// How often the dirty bitmap was taken.
    pub(crate) dirty_sync_count: u64,
}
