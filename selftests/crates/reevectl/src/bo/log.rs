// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl bo log`: an object's dirty log.

use std::io::Write;

use serde::Serialize;

use reeve_precopy::Bitmap;
use reeve_uapi::sys;
use reeve_uapi::sys::reeve_bo_log_info;
use reeve_uapi::BoCall;
use reeve_uapi::Handle;

use crate::cli::InfoArgs;
use crate::cli::LogClearArgs;
use crate::cli::LogCommand;
use crate::cli::LogMode;
use crate::cli::LogStartArgs;
use crate::cli::Target;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::migrate::Signals;
use crate::session::Session;
use crate::size;
use crate::stat::print_json;
use crate::table::Align;
use crate::table::Table;

/// One command on a log.
pub(super) fn run(session: &Session, command: &LogCommand, out: &mut dyn Write) -> Result<()> {
    match command {
        LogCommand::Start(args) => start(session, args, out),
        LogCommand::Stop(target) => super::plain(session, BoCall::LogStop, *target, out),
        LogCommand::Get(args) => get(session, args, out),
        LogCommand::Clear(args) => clear(session, args, out),
        LogCommand::Info(args) => info(session, args, out),
        LogCommand::Fence(target) => fence(session, *target, out),
    }
}

/// The mode's number in the ABI.
fn number(mode: LogMode) -> u32 {
    match mode {
        LogMode::Legacy => sys::REEVE_LOG_LEGACY,
        LogMode::Manual => sys::REEVE_LOG_MANUAL,
        LogMode::InitiallySet => sys::REEVE_LOG_MANUAL | sys::REEVE_LOG_INITIALLY_SET,
    }
}

/// The mode's name, or its number if it has none here.
fn name(mode: u32) -> String {
    let known = [
        (LogMode::Legacy, "legacy"),
        (LogMode::Manual, "manual"),
        (LogMode::InitiallySet, "initially-set"),
    ];
    let found = known.into_iter().find(|(known, _)| number(*known) == mode);
    found.map_or_else(|| mode.to_string(), |(_, name)| name.to_owned())
}

fn start(session: &Session, args: &LogStartArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let device = &session.device;
    let (before, _) = device.log_mode().asked(Asked::LogMode)?;
    device
        .set_log_mode(number(args.mode))
        .asked(Asked::LogMode)?;
    let started = device.log_start(handle);
    // It is the open file's, and a log keeps the mode it was started in.
    let restored = device.set_log_mode(before);
    let pages = started.asked(Asked::Bo(BoCall::LogStart, handle))?;
    restored.asked(Asked::LogMode)?;
    let mode = state(session, handle)?.mode;
    let mode = name(mode);
    Ok(writeln!(
        out,
        "object {handle} logs writes to {pages} pages, mode {mode}"
    )?)
}

fn state(session: &Session, handle: Handle) -> Result<reeve_bo_log_info> {
    session
        .device
        .log_info(handle)
        .asked(Asked::Log("look at", handle))
}

/// Pages in a row that were written to.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Run {
    page: u64,
    pages: u64,
}

/// What a get shows.
#[derive(Debug, Serialize)]
struct Dirty {
    handle: u32,
    pages: u64,
    dirty: u64,
    runs: Vec<Run>,
}

fn runs(bitmap: &Bitmap) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(page) = bitmap.next(at, bitmap.len()) {
        let pages = bitmap.run(page, bitmap.len() - page);
        runs.push(Run { page, pages });
        at = page + pages;
    }
    runs
}

fn get(session: &Session, args: &InfoArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let pages = state(session, handle)?.pages;
    let asked = || Asked::Log("get", handle);
    let mut bitmap = Bitmap::zeros(pages).asked(asked())?;
    let dirty = bitmap.fill_with(|words| session.device.log_get(handle, pages, words));
    let dirty = Dirty {
        handle: handle.get(),
        pages,
        dirty: dirty.asked(asked())?,
        runs: runs(&bitmap),
    };
    if args.json.json {
        return print_json(&dirty, out);
    }
    let mut table = Table::new(&[("page", Align::Right), ("pages", Align::Right)]);
    for run in &dirty.runs {
        table.row([run.page.to_string(), run.pages.to_string()]);
    }
    table.print("", out)?;
    Ok(writeln!(out, "{} of {pages} pages", dirty.dirty)?)
}

fn clear(session: &Session, args: &LogClearArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let asked = || Asked::Log("clear", handle);
    let all = state(session, handle)?.pages;
    let pages = args.pages.unwrap_or_else(|| all.saturating_sub(args.first));
    // More than the log has is refused, and needs no larger mask for that.
    let mask = Bitmap::ones(pages.min(all)).asked(asked())?;
    let cleared = session
        .device
        .log_clear(handle, args.first, pages, mask.words())
        .asked(asked())?;
    Ok(writeln!(
        out,
        "object {handle}: {cleared} pages count as not written to any more"
    )?)
}

/// A log as it appears in JSON.
#[derive(Debug, Serialize)]
struct Log {
    handle: u32,
    mode: String,
    pages: u64,
    dirty: u64,
    write_faults: u64,
    protections: u64,
    bytes: u64,
    fences: u64,
}

fn info(session: &Session, args: &InfoArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let raw = state(session, handle)?;
    let log = Log {
        handle: handle.get(),
        mode: name(raw.mode),
        pages: raw.pages,
        dirty: raw.dirty,
        write_faults: raw.write_faults,
        protections: raw.protections,
        bytes: raw.bytes,
        fences: raw.fences,
    };
    if args.json.json {
        return print_json(&log, out);
    }
    writeln!(out, "handle        {}", log.handle)?;
    writeln!(out, "mode          {}", log.mode)?;
    writeln!(out, "pages         {}", log.pages)?;
    writeln!(out, "dirty         {}", log.dirty)?;
    writeln!(out, "write_faults  {}", log.write_faults)?;
    writeln!(out, "protections   {}", log.protections)?;
    writeln!(
        out,
        "bytes         {} ({})",
        log.bytes,
        size::human(log.bytes)
    )?;
    writeln!(out, "fences        {}", log.fences)?;
    Ok(())
}

fn fence(session: &Session, target: Target, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(target)?;
    let signals = Signals::block()?;
    let asked = || Asked::Log("put a fence in", handle);
    let fence = session.device.log_fence(handle).asked(asked())?;
    writeln!(out, "writes to object {handle} wait until this ends")?;
    out.flush()?;
    let refused = |error| Error::Check(format!("could not wait for signals: {error}"));
    signals.wait().map_err(refused)?;
    drop(fence);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_pages_in_a_row() {
        let mut bitmap = Bitmap::zeros(130).unwrap();
        assert!(runs(&bitmap).is_empty());
        for page in [0, 63, 64, 65, 129] {
            bitmap.set(page);
        }
        let found: Vec<_> = runs(&bitmap)
            .iter()
            .map(|run| (run.page, run.pages))
            .collect();
        assert_eq!(found, [(0, 1), (63, 3), (129, 1)]);
    }

    #[test]
    fn modes_have_names() {
        assert_eq!([0, 1, 3].map(name), ["legacy", "manual", "initially-set"]);
        assert_eq!(name(7), "7");
    }
}
