// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks a vhost-user back end against the protocol, as its front end.
//!
//! Exit codes: 0 nothing that must be is missing, 1 something is, 2 wrong usage.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{bail, Context, Result};
use clap::Parser;
use reeve_vhost_user::check::{self, Level, Outcome, Requirement, Target};
use reeve_vhost_user::front::Kind;
use reeve_vhost_user::proxy;
use reeve_vhost_user::server::{terminated, Control};
use reeve_vhost_user::wire::connect_now;
use rustix::io::Errno;
use serde_json::json;

/// Checks a vhost-user back end against the protocol, as its front end. Prints KTAP.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The back end's socket.
    #[arg(long, required_unless_present_any = ["list", "proxy"])]
    socket: Option<PathBuf>,
    /// What the back end is.
    #[arg(long, value_enum, default_value = "blk")]
    device: Kind,
    /// The back end's process, to look for file descriptors and mappings that it leaks.
    #[arg(long)]
    pid: Option<u32>,
    /// Check only requirements whose name contains this; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the requirements with the sentence that each stands for.
    #[arg(long)]
    list: bool,
    /// Pass clients of the socket LISTEN through to the back end at CONNECT, print what is said and which rule is broken,
    /// until SIGTERM.
    #[arg(long, num_args = 2, value_names = ["LISTEN", "CONNECT"], conflicts_with_all = ["socket", "list", "json"])]
    proxy: Vec<PathBuf>,
    /// Print JSON instead of KTAP.
    #[arg(long)]
    json: bool,
    /// How many clients come one after the other in limits/reconnects.
    #[arg(long, default_value_t = 1000)]
    reconnects: u32,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("reeve-vhost-check: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    if let [listen, connect] = cli.proxy.as_slice() {
        is_socket(connect)?;
        let control = Control {
            stop: terminated()?,
            actions: None,
        };
        return Ok(proxy::run(listen, connect, &control)? == 0);
    }
    let mut requirements = check::all();
    if !cli.only.is_empty() {
        requirements.retain(|r| cli.only.iter().any(|only| r.name.contains(only.as_str())));
        if requirements.is_empty() {
            bail!("no requirement has such a name; --list shows them");
        }
    }
    if cli.list {
        for requirement in requirements {
            let level = requirement.level.name();
            println!("{} [{level}] {}", requirement.name, requirement.sentence);
        }
        return Ok(true);
    }
    let target = Target {
        socket: cli
            .socket
            .clone()
            .context("give the socket with --socket")?,
        kind: cli.device,
        pid: cli.pid,
        reconnects: cli.reconnects,
    };
    look(&target.socket)?;
    if let Ok(Some(advice)) = target.probe() {
        bail!("{advice}");
    }
    Ok(check_all(&requirements, &target, cli.json))
}

/// Refuses a path at which there is no socket.
fn is_socket(path: &Path) -> Result<()> {
    let shown = path.display();
    if path.as_os_str().len() > 107 {
        bail!("the path {shown} is longer than the 107 bytes of a socket's; use a shorter one");
    }
    let meta = std::fs::metadata(path);
    let meta = meta.with_context(|| format!("{shown}: start the back end first"))?;
    if !meta.file_type().is_socket() {
        bail!("{shown} is no socket; give the one that the back end listens on");
    }
    Ok(())
}

/// Refuses a path at which no back end listens.
fn look(path: &Path) -> Result<()> {
    is_socket(path)?;
    let shown = path.display();
    match connect_now(path) {
        // It does not accept: its requirements say so.
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => {
            bail!("no process listens on {shown} ({error}); start the back end first")
        }
    }
}

/// Checks all and prints a line for each; returns whether nothing failed that must not.
fn check_all(requirements: &[&Requirement], target: &Target, json: bool) -> bool {
    let mut good = true;
    let mut rows = Vec::new();
    let mut gone = None;
    if !json {
        println!("KTAP version 1\n1..{}", requirements.len());
    }
    for (number, requirement) in requirements.iter().enumerate() {
        let start = Instant::now();
        let result = match gone {
            Some(after) => Ok(Outcome::Skip(format!(
                "the back end does not listen any more since {after}"
            ))),
            None => requirement.check(target),
        };
        if result.is_err() && gone.is_none() && !target.listens() {
            gone = Some(requirement.name);
        }
        let seconds = start.elapsed().as_secs_f64();
        let (word, message) = match &result {
            Ok(Outcome::Pass) => ("ok", String::new()),
            Ok(Outcome::Seen(seen)) => ("ok", seen.clone()),
            Ok(Outcome::Skip(reason)) => ("skip", reason.clone()),
            Err(error) => ("not ok", format!("{error:#}")),
        };
        good &= result.is_ok() || requirement.level != Level::Must;
        good &= gone.is_none();
        let (name, level) = (requirement.name, requirement.level.name());
        if json {
            rows.push(json!({
                "name": name, "level": level, "result": word, "message": message,
                "seconds": seconds, "sentence": requirement.sentence,
            }));
            continue;
        }
        let number = number + 1;
        match word {
            "skip" => println!("ok {number} {name} [{level}] # SKIP {message}"),
            _ if message.is_empty() => println!("{word} {number} {name} [{level}]"),
            "ok" => println!("ok {number} {name} [{level}] # {message}"),
            _ => println!(
                "# {}\nnot ok {number} {name} [{level}]",
                message.replace('\n', " ")
            ),
        }
    }
    if json {
        println!("{:#}", json!({ "requirements": rows, "ok": good }));
    }
    good
}
