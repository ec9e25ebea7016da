// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl ps`: which processes hold buffer objects' memory, from `/proc/PID/fdinfo`.
//!
//! Every driver whose open files say what they hold, in the format of drm-usage-stats, is seen; `/dev/reeve` is one.

mod fdinfo;
mod scan;

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::PsArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Result;
use crate::size;
use crate::stat::print_json;
use crate::table::Align;
use crate::table::Table;

pub(crate) use scan::scan;
pub(crate) use scan::Client;

/// The longest line.
const WIDTH: usize = 100;

/// All clients, as they appear in JSON.
#[derive(Debug, Serialize)]
struct PsJson<'a> {
    clients: &'a [Client],
    total_bytes: u64,
    resident_bytes: u64,
    swapped_bytes: u64,
    /// Processes whose files could not be looked at.
    unreadable: usize,
}

/// Shows every client once.
pub(crate) fn run(args: &PsArgs, out: &mut dyn Write) -> Result<()> {
    let proc = Path::new("/proc");
    let mut found = scan(proc).asked(Asked::File(proc.to_owned()))?;
    if let Some(driver) = &args.driver {
        found.clients.retain(|client| client.driver == *driver);
    }
    if args.json {
        let sum = |of: fn(&Client) -> u64| found.clients.iter().map(of).sum();
        let facts = PsJson {
            clients: &found.clients,
            total_bytes: sum(|client| client.total_bytes),
            resident_bytes: sum(|client| client.resident_bytes),
            swapped_bytes: sum(|client| client.swapped_bytes),
            unreadable: found.unreadable,
        };
        return print_json(&facts, out);
    }
    table(&found.clients).print_within("", WIDTH, out)?;
    let resident = found.clients.iter().map(|client| client.resident_bytes);
    let clients = match found.clients.len() {
        1 => "1 client".to_owned(),
        number => format!("{number} clients"),
    };
    writeln!(out, "{clients}, {} in memory", size::human(resident.sum()))?;
    match found.unreadable {
        0 => {}
        1 => writeln!(
            out,
            "note: the files of 1 process could not be looked at; run as root"
        )?,
        more => writeln!(
            out,
            "note: the files of {more} processes could not be looked at; run as root"
        )?,
    }
    Ok(())
}

/// Returns a row for each client and, without numbers, one for each other process that has it open.
pub(crate) fn table(clients: &[Client]) -> Table {
    let mut table = Table::new(&[
        ("pid", Align::Right),
        ("command", Align::Left),
        ("client", Align::Left),
        ("resident", Align::Right),
        ("swapped", Align::Right),
        ("total", Align::Right),
        ("objects", Align::Right),
        ("cgroup", Align::Left),
    ]);
    for client in clients {
        let name = format!("{}/{}", client.driver, client.client);
        for (index, process) in client.processes.iter().enumerate() {
            let mut numbers = [
                size::human(client.resident_bytes),
                size::human(client.swapped_bytes),
                size::human(client.total_bytes),
                client
                    .objects
                    .map_or_else(|| "-".to_owned(), |objects| objects.to_string()),
            ];
            if index > 0 {
                // Counted above.
                numbers = [const { String::new() }; 4];
            }
            let head = [process.pid.to_string(), process.comm.clone(), name.clone()];
            let cgroup = process.cgroup.clone().unwrap_or_else(|| "-".to_owned());
            table.row(head.into_iter().chain(numbers).chain([cgroup]));
        }
    }
    table
}
