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
mod line;
mod locks;
mod migrate;
mod report;
mod sanity;
mod session;
mod shrink;
mod size;
mod stat;
mod table;
mod top;
mod watch;

use std::io;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::Action;
use cli::Args;
use cli::Command;
use error::Error;
use error::Result;
use session::Session;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(err) => return usage(&err),
    };
    let mut out = io::stdout().lock();
    match run(&args, &mut out).and_then(|()| out.flush().map_err(Error::Output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) if err.is_closed_pipe() => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("reevectl: {err}");
            ExitCode::from(err.exit_code())
        }
    }
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
