// SPDX-License-Identifier: GPL-2.0-or-later

//! Drives the Reeve module: one call per command, a batch of them, or a whole report.
//!
//! Exit codes: 0 success, 1 an operation or a check failed, 2 wrong usage; 3 to 6 are a migration's.

mod batch;
mod bo;
mod cli;
mod error;
mod latency;
mod limit;
mod limits;
mod line;
mod locks;
mod migrate;
mod prometheus;
mod ps;
mod report;
mod sanity;
mod session;
mod shrink;
mod size;
mod stat;
mod style;
mod table;
mod top;
mod watch;

use std::io;
use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;

use cli::Action;
use cli::Args;
use cli::Command;
use error::Error;
use error::Result;
use session::Session;

/// Runs the command line of this process. Returns its exit code.
pub fn main() -> ExitCode {
    // Before it is known whether the rest is right: errors of usage are JSON, too.
    let json = std::env::args_os().any(|word| word == "--json");
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(err) if json && err.use_stderr() => {
            return failed(&Error::Usage(err.to_string().trim_end().to_owned()), json);
        }
        Err(err) => return usage(&err),
    };
    style::choose(args.color);
    let mut out = io::stdout().lock();
    match run(&args, &mut out).and_then(|()| out.flush().map_err(Error::Output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) if err.is_closed_pipe() => ExitCode::SUCCESS,
        Err(err) => failed(&err, json),
    }
}

/// Returns the command line, to make manual pages and completions of.
pub fn command() -> clap::Command {
    Args::command()
}

/// Says what went wrong on standard error.
fn failed(err: &Error, json: bool) -> ExitCode {
    match err.json().filter(|_| json) {
        Some(line) => eprintln!("{line}"),
        None => eprintln!("reevectl: {err}"),
    }
    ExitCode::from(err.exit_code())
}

/// Help and version are asked for with exit code 0; the rest is wrong usage.
fn usage(err: &clap::Error) -> ExitCode {
    // Nothing sensible is left to do when even this cannot be printed.
    let _ = err.print();
    ExitCode::from(if err.use_stderr() { 2 } else { 0 })
}

fn run(args: &Args, out: &mut dyn Write) -> Result<()> {
    let session = || Session::open(&args.node, args.fd);
    match &args.command {
        Command::Action(action) => act(&mut session()?, action, out),
        Command::Batch(batch) => batch::run(&mut session()?, batch, out),
        Command::Report(report) => report::run(&session()?, report, out),
        Command::Locks(locks) => locks::run(locks, out),
        Command::Top(top) => top::run(&session()?, top, out),
        Command::Ps(args) => ps::run(args, out),
        Command::Limits(args) => limits::run(args, out),
        Command::Migrate(command) => migrate::run(&session()?, command, out),
    }
}

/// One command on an open file; what a batch repeats.
fn act(session: &mut Session, action: &Action, out: &mut dyn Write) -> Result<()> {
    match action {
        Action::LockSanity(args) => sanity::run(session, args, out),
        Action::Bo(command) => bo::run(session, command, out),
        Action::Shrink(args) => shrink::run(args, out),
        Action::Limit(args) => limit::run(session, args, out),
        Action::Stat(args) => stat::stat(session, args, out),
        Action::Version(args) => stat::version(session, args, out),
    }
}
