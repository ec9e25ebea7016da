// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl migrate`: moves objects to another open file while they are written to.

mod estimate;
mod signals;
mod svg;

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use reeve_precopy::receive;
use reeve_precopy::reeve::Fenced;
use reeve_precopy::reeve::ReeveSink;
use reeve_precopy::reeve::ReeveSource;
use reeve_precopy::send;
use reeve_precopy::writers::Cgroup;
use reeve_precopy::writers::Duty;
use reeve_precopy::writers::NoWriters;
use reeve_precopy::writers::Processes;
use reeve_precopy::AtLimit;
use reeve_precopy::Cause;
use reeve_precopy::Failure;
use reeve_precopy::FirstSync;
use reeve_precopy::Kind;
use reeve_precopy::Limits;
use reeve_precopy::Monotonic;
use reeve_precopy::Options;
use reeve_precopy::Progress;
use reeve_precopy::Received;
use reeve_precopy::Request;
use reeve_precopy::Resume;
use reeve_precopy::Side;
use reeve_precopy::Stage;
use reeve_precopy::Statistics;
use reeve_precopy::Watch;
use reeve_precopy::Writers;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::cli;
use crate::cli::MigrateCommand;
use crate::cli::ReceiveArgs;
use crate::cli::SendArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::session::Session;
use crate::size;
use crate::stat::print_json;
use crate::table::Align;
use crate::table::Table;

use signals::Again;
use signals::Connection;
pub(crate) use signals::Signals;

/// One side of a migration.
pub(crate) fn run(session: &Session, command: &MigrateCommand, out: &mut dyn Write) -> Result<()> {
    if !session.inherited {
        return Err(Error::Usage(
            "objects are moved between open files: give one that stays open with --fd\n  \
             `reevectl --help` says how."
                .to_owned(),
        ));
    }
    match command {
        MigrateCommand::Send(args) => send_objects(session, args, out),
        MigrateCommand::Receive(args) => receive_objects(session, args, out),
        MigrateCommand::Estimate(args) => estimate::run(session, args, out),
    }
}

/// A failure before there is a connection.
fn unconnected(error: std::io::Error) -> Error {
    Error::Migration(Box::new(Failure::new(
        Side::Link,
        Stage::Setup,
        Cause::Lost(error),
    )))
}

fn options(args: &SendArgs) -> Result<Options> {
    Ok(Options {
        first_sync: match args.first_sync {
            cli::FirstSync::Auto => FirstSync::Auto,
            cli::FirstSync::Never => FirstSync::Never,
            cli::FirstSync::Always => FirstSync::Always,
        },
        clear_shift: args.clear_shift,
        downtime: Duration::from_millis(args.downtime),
        limit: args.time_limit.map(Duration::from_secs),
        at_limit: match args.at_limit {
            cli::AtLimit::Cancel => AtLimit::Cancel,
            cli::AtLimit::Force => AtLimit::Force,
        },
        bandwidth: args.bandwidth,
        resume: resume(args.resume)?,
    })
}

/// Returns how to take up a lost connection, with a name for this migration that no other one has.
fn resume(seconds: Option<u64>) -> Result<Option<Resume>> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    let mut bytes = [0; 16];
    let file = PathBuf::from("/dev/urandom");
    File::open(&file)
        .and_then(|mut random| random.read_exact(&mut bytes))
        .asked(Asked::File(file))?;
    Ok(Some(Resume {
        window: Duration::from_secs(seconds),
        id: u128::from_le_bytes(bytes),
    }))
}

fn writers<'d>(
    device: &'d Device,
    handles: &[Handle],
    args: &SendArgs,
) -> Result<Box<dyn Writers + 'd>> {
    let writers = || -> std::io::Result<Box<dyn Writers>> {
        if let Some(path) = &args.cgroup {
            return Ok(Box::new(Duty::new(Cgroup::new(path)?)?));
        }
        if args.writer.is_empty() {
            return Ok(Box::new(NoWriters));
        }
        Ok(Box::new(Duty::new(Processes::new(&args.writer)?)?))
    };
    let writers = writers().asked(Asked::Writers)?;
    if !args.fence {
        return Ok(writers);
    }
    let fenced = Fenced::new(device, handles, writers).asked(Asked::Migrate)?;
    Ok(Box::new(fenced))
}

/// Returns the objects that were named, or all of the open file.
fn chosen(device: &Device, named: &[u32]) -> Result<Vec<Handle>> {
    let handles: Vec<Handle> = if named.is_empty() {
        let all = device.list().asked(Asked::List)?;
        all.iter().map(|info| info.handle()).collect()
    } else {
        named.iter().copied().map(Handle::new).collect()
    };
    for (index, handle) in handles.iter().enumerate() {
        device.info(*handle).asked(Asked::Info(*handle))?;
        if handles[..index].contains(handle) {
            return Err(Error::Usage(format!("object {handle} is named twice")));
        }
    }
    Ok(handles)
}

fn send_objects(session: &Session, args: &SendArgs, out: &mut dyn Write) -> Result<()> {
    // Before there are threads, which are not to take them.
    let signals = Signals::block()?;
    let device = &session.device;
    let handles = chosen(device, &args.handles)?;
    let mut source = ReeveSource::new(device, &handles).asked(Asked::Migrate)?;
    let mut writers = writers(device, &handles, args)?;
    let options = options(args)?;
    let silence = Duration::from_secs(args.silence);
    let socket = args.address.connect(silence).map_err(unconnected)?;
    let mut user = User {
        signals: &signals,
        shown: args.progress,
        begin: Instant::now(),
        samples: Vec::new(),
    };
    let result = send(
        &mut source,
        &mut writers,
        &mut Connection::new(socket, silence, &signals, Again::To(args.address.clone())),
        &Monotonic::new(),
        &options,
        &mut user,
    );
    let took = user.begin.elapsed();
    let (statistics, failure) = match result {
        Ok(statistics) => (statistics, None),
        Err(failed) => (*failed.statistics, Some(failed.failure)),
    };
    if let Some(path) = &args.svg {
        let picture = svg::draw(&user.samples, took, &statistics);
        std::fs::write(path, picture).asked(Asked::File(path.clone()))?;
    }
    for warning in &statistics.warnings {
        eprintln!("warning: {warning}");
    }
    if args.json {
        print_json(&statistics, out)?;
    } else if failure.is_none() {
        out.write_all(table(&statistics, args.fence)?.as_bytes())?;
    }
    let Some(failure) = failure else {
        return Ok(());
    };
    if args.fence && failure.kind() == Kind::AcknowledgementLost {
        hold(&failure, &signals)?;
        drop(writers);
        for handle in handles {
            // It fails only for one that was destroyed meanwhile, or whose log was stopped.
            let _ = device.log_stop(handle);
        }
        return Err(Error::HeldBack(Box::new(failure)));
    }
    Err(Error::Migration(Box::new(failure)))
}

/// Holds the writers back until it is told that they may run on: whether the receiver has the objects is not known.
fn hold(failure: &Failure, signals: &Signals) -> Result<()> {
    // One that came before this was no answer to it.
    let refused = |error| Error::Check(format!("could not wait for signals: {error}"));
    signals.forget().map_err(refused)?;
    eprintln!(
        "{failure}\nThe writers are held back while process {} runs. Look at the receiver: if it has the objects, end\n\
         the writers; then end this process with SIGINT or SIGTERM, which lets those run on that are left.",
        std::process::id()
    );
    signals.wait().map_err(refused)
}

/// The user at the terminal.
struct User<'s> {
    signals: &'s Signals,
    shown: bool,
    begin: Instant,
    samples: Vec<(Duration, Progress)>,
}

impl Watch for User<'_> {
    fn request(&mut self) -> Request {
        if self.signals.came() {
            Request::Cancel
        } else {
            Request::Continue
        }
    }

    fn progress(&mut self, progress: &Progress) {
        self.samples.push((self.begin.elapsed(), *progress));
        if self.shown {
            eprintln!("{}", line(progress));
        }
    }

    fn lost(&mut self, failure: &Failure) {
        eprintln!("{failure}; connecting again");
    }
}

/// Bytes a second, for people.
fn rate(rate: Option<u64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", size::human(rate)))
}

/// The progress in a line.
fn line(progress: &Progress) -> String {
    let mut line = format!(
        "round {}{}: {} sent, {} pages left, sending {}, dirtying {}",
        progress.round,
        if progress.stopped { " (stopped)" } else { "" },
        size::human(progress.bytes),
        progress.left,
        rate(progress.send_rate),
        rate(progress.dirty_rate),
    );
    if progress.slowed > 0 {
        line += &format!(", writers slowed by {} %", progress.slowed);
    }
    if progress.converges == Some(false) {
        line += ", will not end at these rates";
    }
    line
}

/// What a migration did, for people.
fn table(statistics: &Statistics, fence: bool) -> Result<String> {
    let mut out = Vec::new();
    let downtime = statistics.downtime_seconds.unwrap_or_default();
    writeln!(
        out,
        "{} objects ({} pages) moved in {:.3} s, writers {} for {:.3} s",
        statistics.regions,
        statistics.pages,
        statistics.seconds,
        if fence { "held back" } else { "stopped" },
        downtime
    )?;
    writeln!(
        out,
        "first sync {}, {} syncs, {} clears, {} sent{}",
        if statistics.first_sync_skipped {
            "skipped"
        } else {
            "done"
        },
        statistics.syncs,
        statistics.clears,
        size::human(statistics.bytes),
        if statistics.forced {
            ", forced by the time limit"
        } else {
            ""
        },
    )?;
    if statistics.resumed > 0 {
        writeln!(
            out,
            "connection lost and taken up: {}; pages sent again for that: {}",
            statistics.resumed, statistics.resent
        )?;
    }
    let mut table = Table::new(&[
        ("round", Align::Right),
        ("pages", Align::Right),
        ("zero", Align::Right),
        ("empty objects", Align::Right),
        ("sent", Align::Right),
        ("seconds", Align::Right),
        ("sending", Align::Right),
        ("dirtying", Align::Right),
        ("pages left", Align::Right),
    ]);
    for round in &statistics.rounds {
        table.row([
            round.number.to_string(),
            round.pages.to_string(),
            round.zero_pages.to_string(),
            round.empty.to_string(),
            size::human(round.bytes),
            format!("{:.3}", round.seconds),
            rate(round.send_rate),
            rate(round.dirty_rate),
            round.left.to_string(),
        ]);
    }
    table.print("", &mut out)?;
    String::from_utf8(out).map_err(|err| Error::Check(err.to_string()))
}

/// An object that came.
#[derive(Debug, Serialize)]
struct Moved {
    source: u32,
    handle: u32,
}

/// What came, in JSON.
#[derive(Debug, Serialize)]
struct Arrival {
    #[serde(flatten)]
    received: Received,
    objects: Vec<Moved>,
}

fn receive_objects(session: &Session, args: &ReceiveArgs, out: &mut dyn Write) -> Result<()> {
    let signals = Signals::block()?;
    let listener = args
        .address
        .listen()
        .asked(Asked::Connection(args.address.clone()))?;
    let asked = || Asked::Connection(args.address.clone());
    if !args.json {
        writeln!(out, "listening on {}", listener.address().asked(asked())?)?;
        out.flush()?;
    }
    signals.wait_for(&listener, None).map_err(unconnected)?;
    let silence = Duration::from_secs(args.silence);
    let socket = listener.accept(silence).asked(asked())?;
    let window = args.resume.map(Duration::from_secs);
    let again = match window {
        Some(_) => Again::From(listener),
        // One migration: a second sender is refused rather than left waiting.
        None => {
            drop(listener);
            Again::Never
        }
    };
    let limits = Limits {
        regions: args.max_objects,
        bytes: args.max_size,
        resume: window,
    };
    let mut sink = ReeveSink::new(&session.device).asked(Asked::Version)?;
    let mut connection = Connection::new(socket, silence, &signals, again);
    let received = receive(&mut sink, &mut connection, &limits)
        .map_err(|failure| Error::Migration(Box::new(failure)))?;
    let objects: Vec<Moved> = sink
        .handles()
        .map(|(source, handle)| Moved {
            source,
            handle: handle.get(),
        })
        .collect();
    if args.json {
        print_json(&Arrival { received, objects }, out)?;
    } else {
        let mut table = Table::new(&[
            ("handle at the source", Align::Right),
            ("handle here", Align::Right),
        ]);
        for moved in &objects {
            table.row([moved.source.to_string(), moved.handle.to_string()]);
        }
        table.print("", out)?;
        writeln!(
            out,
            "{} objects ({} pages) in {} rounds, {} pages received, {} of them zero",
            received.regions,
            received.pages,
            received.rounds,
            received.pages_received,
            received.zero_pages
        )?;
        if received.resumed > 0 {
            writeln!(out, "connection lost and taken up: {}", received.resumed)?;
        }
    }
    if !received.acknowledged {
        let error = std::io::ErrorKind::BrokenPipe.into();
        let cause = Cause::NoAcknowledgement(error);
        let failure = Failure::new(Side::Link, Stage::HandOver, cause);
        return Err(Error::Migration(Box::new(failure)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeve_precopy::Round;

    #[test]
    fn progress_is_a_line() {
        let mut progress = Progress {
            round: 2,
            stopped: false,
            bytes: 3 << 20,
            left: 17,
            send_rate: Some(5 << 20),
            dirty_rate: None,
            slowed: 0,
            converges: None,
        };
        assert_eq!(
            line(&progress),
            "round 2: 3.0 MiB sent, 17 pages left, sending 5.0 MiB/s, dirtying -"
        );
        progress.stopped = true;
        progress.slowed = 30;
        progress.converges = Some(false);
        let text = line(&progress);
        assert!(text.starts_with("round 2 (stopped): "), "{text}");
        assert!(
            text.ends_with(", writers slowed by 30 %, will not end at these rates"),
            "{text}"
        );
    }

    #[test]
    fn statistics_are_a_table() {
        let statistics = Statistics {
            regions: 2,
            pages: 1130,
            first_sync_skipped: true,
            rounds: vec![Round {
                number: 1,
                pages: 1130,
                ..Round::default()
            }],
            moved: true,
            ..Statistics::default()
        };
        let text = table(&statistics, true).unwrap();
        let line = "2 objects (1130 pages) moved in 0.000 s, writers held back for 0.000 s\n";
        assert!(text.starts_with(line), "{text}");
        let text = table(&statistics, false).unwrap();
        let line = "2 objects (1130 pages) moved in 0.000 s, writers stopped for 0.000 s\n";
        assert!(text.starts_with(line), "{text}");
        assert!(text.contains("first sync skipped"), "{text}");
        assert_eq!(text.lines().count(), 4);
        let resumed = Statistics {
            resumed: 2,
            resent: 77,
            ..statistics
        };
        let text = table(&resumed, false).unwrap();
        let line = "\nconnection lost and taken up: 2; pages sent again for that: 77\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn ends_have_exit_codes_of_their_own() {
        let code = |cause| {
            let failure = Failure::new(Side::Link, Stage::Setup, cause);
            Error::Migration(Box::new(failure)).exit_code()
        };
        let io = |kind: std::io::ErrorKind| std::io::Error::from(kind);
        let codes = [
            code(Cause::System {
                what: String::new(),
                error: io(std::io::ErrorKind::OutOfMemory),
            }),
            code(Cause::Cancelled),
            code(Cause::TimeLimit),
            code(Cause::Refused(String::new())),
            code(Cause::Lost(io(std::io::ErrorKind::TimedOut))),
            code(Cause::NoAcknowledgement(io(std::io::ErrorKind::TimedOut))),
        ];
        assert_eq!(codes, [1, 3, 3, 4, 5, 6]);
        assert!(unconnected(io(std::io::ErrorKind::Interrupted)).exit_code() == 3);
    }
}
