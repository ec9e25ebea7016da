// SPDX-License-Identifier: GPL-2.0-or-later

//! The trace events of page accounting, through tracefs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use crate::test::Outcome;
use crate::test::Stop;

/// Every event of page accounting and of dirty logs.
pub(crate) const EVENTS: [&str; 15] = [
    "tt_populate",
    "tt_unpopulate",
    "tt_swapout",
    "tt_swapin",
    "tt_backup",
    "tt_restore",
    "tt_overcommit",
    "pool_shrink",
    "log_start",
    "log_get",
    "log_clear",
    "log_write_fault",
    "log_fence",
    "log_unfence",
    "log_hold",
];

const TRACEFS: &str = "/sys/kernel/tracing";

/// An event as the kernel shows it.
#[derive(Debug)]
pub(crate) struct Event {
    /// The task it happened in, as `ps` shows it.
    pub(crate) task: String,
    pub(crate) name: String,
    fields: BTreeMap<String, String>,
}

impl Event {
    /// An event of ours in a line such as `sh-1 [000] ..... 1.2: tt_populate: device=0 ...`.
    fn parse(line: &str) -> Option<Self> {
        let name = EVENTS
            .into_iter()
            .find(|name| line.contains(&format!(": {name}: ")))?;
        let (before, rest) = line.split_once(&format!(": {name}: "))?;
        let pairs = rest.split_whitespace();
        // A name may have dashes in it, and the number behind it has none.
        let (task, _) = before.split_once('[')?.0.rsplit_once('-')?;
        Some(Self {
            task: task.trim().to_owned(),
            name: name.to_owned(),
            fields: pairs
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    /// A field.
    pub(crate) fn text(&self, field: &str) -> Outcome<&str> {
        let text = self.fields.get(field);
        text.map(String::as_str)
            .ok_or_else(|| Stop::failed(format!("no {field} in {self:?}")))
    }

    /// A field that is a number.
    pub(crate) fn number(&self, field: &str) -> Outcome<i64> {
        let text = self.text(field)?;
        text.parse()
            .map_err(|_| Stop::failed(format!("{field} is {text:?}")))
    }
}

/// Some events, enabled until dropped.
pub(crate) struct Tracing(());

impl Tracing {
    /// Enables these and no others.
    pub(crate) fn of(events: &[&str]) -> Outcome<Self> {
        need()?;
        put("events/reeve/enable", "0")?;
        put("trace", "")?;
        let tracing = Self(());
        for event in events {
            put(&format!("events/reeve/{event}/enable"), "1")?;
        }
        Ok(tracing)
    }

    /// The events so far, but for those of others.
    pub(crate) fn seen(&self) -> Outcome<Vec<Event>> {
        let text = fs::read_to_string(path("trace"))?;
        Ok(text.lines().filter_map(Event::parse).collect())
    }

    /// The only event so far.
    pub(crate) fn one(&self) -> Outcome<Event> {
        let mut events = self.seen()?;
        match (events.pop(), events.is_empty()) {
            (Some(event), true) => Ok(event),
            (last, _) => Err(Stop::failed(format!("{events:?} and {last:?}"))),
        }
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        // When this fails, the next case that looks says so.
        let _ = put("events/reeve/enable", "0");
        let _ = put("trace", "");
    }
}

/// Where a file of tracefs is.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(TRACEFS).join(name)
}

/// Writes into a file of tracefs.
pub(crate) fn put(name: &str, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    // Opening it so is what empties the file `trace`.
    let options = options.write(true).truncate(name == "trace");
    let mut file = options.open(path(name))?;
    match text {
        "" => Ok(()),
        text => file.write_all(text.as_bytes()),
    }
}

/// Skips where the kernel has no trace events; the one with lockdep has.
pub(crate) fn need() -> Outcome {
    if path("events/reeve").is_dir() {
        return Ok(());
    }
    match Path::new("/proc/lockdep_stats").exists() {
        true => Err(Stop::failed("the debug kernel has no events of reeve")),
        false => Err(Stop::skipped("this kernel has no trace events")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let line =
            "  kworker/0:1-ev-38    [000] .....   114.39: tt_backup: device=0 pages=5 result=-12";
        let event = Event::parse(line).unwrap();
        assert_eq!(event.task, "kworker/0:1-ev");
        assert_eq!(event.name, "tt_backup");
        assert_eq!(event.number("result"), Ok(-12));
        assert!(event.number("nonsense").is_err());
        assert!(Event::parse("sh-1 [000] ..... 1.2: other: pages=5").is_none());
    }
}
