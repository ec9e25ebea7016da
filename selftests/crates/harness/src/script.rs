// SPDX-License-Identifier: GPL-2.0-or-later
//! `make vm`: a script of the user's in a VM, the console on standard output, one line at the end for the verdict.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::machine::{Job, Machine};
use crate::paths::near;
use crate::vm::{self, Limit, Listener};

/// What `make vm` was asked for.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    machine: Machine,
    /// The script to run as root in the guest.
    #[arg(long)]
    script: PathBuf,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// End it so many seconds after the kernel's first complaint.
    #[arg(long)]
    after_splat: Option<u64>,
}

/// What a machine boots into, for a program that starts QEMU itself.
#[derive(Debug, Args)]
pub struct InitramfsOptions {
    #[command(flatten)]
    machine: Machine,
    /// The script to run as root in the guest, its output on the third serial port.
    #[arg(long)]
    script: PathBuf,
    /// Where the archive goes.
    #[arg(long)]
    out: PathBuf,
}

/// Writes it.
pub fn initramfs(options: &InitramfsOptions) -> Result<bool> {
    let script = &options.script;
    let content = fs::read(script).with_context(|| format!("reading {}", script.display()))?;
    let job = Job::Script {
        name: "script.sh",
        content: &content,
        capture: true,
    };
    let archive = options.machine.initramfs(job)?;
    let out = &options.out;
    fs::write(out, archive).with_context(|| format!("writing {}", out.display()))?;
    Ok(true)
}

/// Runs it. True if the script exited 0 and the kernel had nothing to complain about.
pub fn run(options: &Options) -> Result<bool> {
    let script = &options.script;
    let content =
        fs::read(script).with_context(|| format!("reading SCRIPT={}", script.display()))?;
    let name = script
        .file_name()
        .and_then(|name| name.to_str())
        .context("SCRIPT= has no usable file name")?;
    let job = Job::Script {
        name,
        content: &content,
        capture: false,
    };
    let mut limit = Limit::total(Duration::from_secs(options.timeout));
    if let Some(seconds) = options.after_splat {
        limit.after_splat = Duration::from_secs(seconds);
    }
    let outcome = vm::run(&options.machine, job, limit, &mut Console)?;
    for note in &outcome.facts.notes {
        println!("vm: note: {note}");
    }
    for line in &outcome.facts.leaks {
        println!("vm: kmemleak: {line}");
    }
    for why in &outcome.again {
        println!("vm: booted again: {why}");
    }
    println!(
        "vm: {:.0} s, console in {}",
        outcome.took.as_secs_f64(),
        near(&outcome.console).display()
    );
    println!("vm: exit {}", outcome.end);
    Ok(outcome.end.is_success())
}

/// Shows the console as it comes.
struct Console;

impl Listener for Console {
    fn console(&mut self, line: &str) {
        println!("{line}");
    }
}
