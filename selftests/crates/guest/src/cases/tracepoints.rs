// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of page accounting, through tracefs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::BoType;
use reeve_uapi::Create;

use crate::seen::open;
use crate::seen::populated;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("tracepoints";
    are_off_by_default,
    operations_are_traced,
    only_what_is_enabled,
    failures_are_traced,
    the_end_of_an_object_is_traced,
    nothing_done_is_not_traced,
    overcommits_are_traced,
    giving_back_from_the_pool_is_traced,
    small_populates_are_timed_while_traced,
);

const EVENTS: [&str; 8] = [
    "tt_populate",
    "tt_unpopulate",
    "tt_swapout",
    "tt_swapin",
    "tt_backup",
    "tt_restore",
    "tt_overcommit",
    "pool_shrink",
];

const TRACEFS: &str = "/sys/kernel/tracing";

/// An event as the kernel shows it.
#[derive(Debug)]
struct Event {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Event {
    /// An event of ours in a line such as `sh-1 [000] ..... 1.2: tt_populate: device=0 ...`.
    fn parse(line: &str) -> Option<Self> {
        let name = EVENTS
            .into_iter()
            .find(|name| line.contains(&format!(": {name}: ")))?;
        let (_, rest) = line.split_once(&format!(": {name}: "))?;
        let pairs = rest.split_whitespace();
        Some(Self {
            name: name.to_owned(),
            fields: pairs
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    fn text(&self, field: &str) -> Outcome<&str> {
        let text = self.fields.get(field);
        text.map(String::as_str)
            .ok_or_else(|| Stop::failed(format!("no {field} in {self:?}")))
    }

    fn number(&self, field: &str) -> Outcome<i64> {
        let text = self.text(field)?;
        text.parse()
            .map_err(|_| Stop::failed(format!("{field} is {text:?}")))
    }
}

/// Some events, enabled until dropped.
struct Tracing(());

impl Tracing {
    fn of(events: &[&str]) -> Outcome<Self> {
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
    fn seen(&self) -> Outcome<Vec<Event>> {
        let text = fs::read_to_string(path("trace"))?;
        Ok(text.lines().filter_map(Event::parse).collect())
    }

    /// The only event so far.
    fn one(&self) -> Outcome<Event> {
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

fn path(name: &str) -> PathBuf {
    Path::new(TRACEFS).join(name)
}

fn put(name: &str, text: &str) -> io::Result<()> {
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
fn need() -> Outcome {
    if path("events/reeve").is_dir() {
        return Ok(());
    }
    match Path::new("/proc/lockdep_stats").exists() {
        true => Err(Stop::failed("the debug kernel has no events of reeve")),
        false => Err(Stop::skipped("this kernel has no trace events")),
    }
}

const PAGES: u64 = 100;

fn are_off_by_default() -> Outcome {
    need()?;
    for event in EVENTS {
        let enabled = fs::read_to_string(path(&format!("events/reeve/{event}/enable")))?;
        check_eq!(enabled, "0\n", "{event}");
    }
    Ok(())
}

fn operations_are_traced() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGES * PAGE))?;
    let tracing = Tracing::of(&EVENTS)?;
    device.populate(handle)?;
    device.swapout(handle)?;
    device.populate(handle)?;
    device.backup(handle)?;
    device.restore(handle)?;
    device.unpopulate(handle)?;
    let events = tracing.seen()?;
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    check_eq!(
        names,
        [
            "tt_populate",
            "tt_swapout",
            "tt_swapin",
            "tt_backup",
            "tt_restore",
            "tt_unpopulate"
        ]
    );
    for event in &events {
        check_eq!(event.number("device")?, 0);
        check_eq!(event.number("pages")?, PAGES as i64);
        check_eq!(event.number("result")?, 0);
        check!(event.number("duration")? > 0, "{event:?}");
        check_eq!(event.text("bo")?, events[0].text("bo")?);
    }
    Ok(())
}

fn only_what_is_enabled() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGES * PAGE))?;
    let tracing = Tracing::of(&["tt_swapout"])?;
    device.populate(handle)?;
    device.swapout(handle)?;
    device.populate(handle)?;
    check_eq!(tracing.one()?.name, "tt_swapout");
    put("events/reeve/enable", "0")?;
    device.swapout(handle)?;
    check_eq!(tracing.one()?.name, "tt_swapout");
    Ok(())
}

fn failures_are_traced() -> Outcome {
    let device = open()?;
    let huge = device.create(Create::new(1 << 42))?;
    let tracing = Tracing::of(&EVENTS)?;
    refused(device.populate(huge), Errno::ENOMEM)?;
    let event = tracing.one()?;
    check_eq!(event.name, "tt_populate");
    check_eq!(event.number("result")?, -i64::from(Errno::ENOMEM as i32));
    check_eq!(event.number("pages")?, (1 << 42) / PAGE as i64);
    Ok(())
}

fn the_end_of_an_object_is_traced() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 7)?;
    let tracing = Tracing::of(&EVENTS)?;
    device.destroy(handle)?;
    let event = tracing.one()?;
    check_eq!(event.name, "tt_unpopulate");
    check_eq!(event.number("pages")?, 7);
    Ok(())
}

fn nothing_done_is_not_traced() -> Outcome {
    let device = open()?;
    let handle = populated(&device, PAGES)?;
    let empty = device.create(Create::new(PAGES * PAGE))?;
    let tracing = Tracing::of(&EVENTS)?;
    device.populate(handle)?;
    device.unpopulate(empty)?;
    device.swapout(empty)?;
    device.destroy(empty)?;
    let sg = device.create(Create::new(PAGE).kind(BoType::Sg))?;
    device.destroy(sg)?;
    check!(tracing.seen()?.is_empty());
    Ok(())
}

fn overcommits_are_traced() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(10)?;
    let handle = device.create(Create::new(25 * PAGE))?;
    let tracing = Tracing::of(&["tt_overcommit"])?;
    device.populate(handle)?;
    let event = tracing.one()?;
    for (field, value) in [
        ("device", 0),
        ("pages", 25),
        ("allocated", 25),
        ("limit", 10),
        ("dma32_allocated", 0),
    ] {
        check_eq!(event.number(field)?, value, "{field}");
    }
    check_eq!(
        event.number("dma32_limit")? as u64,
        device.stats()?.dma32_pages_limit
    );
    Ok(())
}

fn giving_back_from_the_pool_is_traced() -> Outcome {
    knobs::drain_pool()?;
    let device = open()?;
    device.destroy(populated(&device, PAGES)?)?;
    let tracing = Tracing::of(&["pool_shrink"])?;
    check_eq!(knobs::page_pool_shrink()?, PAGES as i64);
    let mut pages = 0;
    for event in tracing.seen()? {
        check!(event.number("node")? >= 0 && event.number("duration")? > 0);
        check_eq!(event.number("wanted")?, 512);
        pages += event.number("pages")?;
    }
    check_eq!(pages, PAGES as i64);
    Ok(())
}

/// A tracepoint's duration is real, whatever is timed otherwise.
fn small_populates_are_timed_while_traced() -> Outcome {
    let device = open()?;
    for timed in ["64", "0"] {
        knobs::set_parameter("timed_pages", timed)?;
        let tracing = Tracing::of(&["tt_populate"])?;
        populated(&device, 1)?;
        let event = tracing.one()?;
        check_eq!(event.number("pages")?, 1);
        check!(event.number("duration")? > 0, "{event:?}");
    }
    Ok(())
}
