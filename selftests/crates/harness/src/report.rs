// SPDX-License-Identifier: GPL-2.0-or-later
//! `make run`: shows what the module can do, and writes the same as JSON.
//!
//! `reevectl report` does the work in the guest: it prints for people and, with `--output`, writes for programs. Here
//! it is put into a frame: which kernel, which module, how long, and the verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::machine::{Job, Machine};
use crate::paths::near;
use crate::vm::{self, Limit, Listener, Outcome};

/// What `make run` was asked for.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    machine: Machine,
    /// Where the report goes as JSON.
    #[arg(long)]
    json: PathBuf,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

const SCRIPT: &[u8] = b"#!/bin/sh\nexec reevectl report --output /out/report.json\n";

/// How many lines of the console explain a failure.
const TAIL: usize = 30;

/// The report, as programs read it.
#[derive(Serialize)]
struct Report<'a> {
    kernel: Option<&'a str>,
    module_inserted: bool,
    seconds: f64,
    passed: bool,
    end: String,
    booted_again: &'a [String],
    report: Value,
}

/// Runs it. True if everything in the report is as it should be.
pub fn run(options: &Options) -> Result<bool> {
    let job = Job::Script {
        name: "report.sh",
        content: SCRIPT,
        capture: true,
    };
    let mut frame = Frame::default();
    println!("booting the test kernel ...");
    let limit = Duration::from_secs(options.timeout);
    let outcome = vm::run(&options.machine, job, Limit::total(limit), &mut frame)?;
    let parsed = machine_form(&outcome);
    let passed = outcome.end.is_success() && parsed.is_ok();

    let report = Report {
        kernel: outcome.facts.kernel.as_deref(),
        module_inserted: outcome.facts.module,
        seconds: outcome.took.as_secs_f64(),
        passed,
        end: outcome.end.to_string(),
        booted_again: &outcome.again,
        report: parsed.as_ref().map_or(Value::Null, Value::clone),
    };
    write_json(&options.json, &report)?;

    if !passed {
        show_tail(&outcome);
        if outcome.end.is_success() {
            if let Err(error) = &parsed {
                println!("reevectl's report cannot be read: {error:#}");
            }
        }
    }
    println!();
    println!("power-on to power-off: {:.1} s", report.seconds);
    for why in &outcome.again {
        println!("booted again:          {why}");
    }
    println!(
        "the guest's console:   {}",
        near(&outcome.console).display()
    );
    println!("this report as JSON:   {}", near(&options.json).display());
    match passed {
        true => println!("make run: PASS"),
        false => println!("make run: FAIL ({})", outcome.end),
    }
    Ok(passed)
}

fn machine_form(outcome: &Outcome) -> Result<Value> {
    let file = outcome
        .files
        .iter()
        .find(|file| file.path == "report.json")
        .context("reevectl wrote none")?;
    serde_json::from_slice(&file.content).context("it is no JSON")
}

fn write_json(path: &Path, report: &Report<'_>) -> Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn show_tail(outcome: &Outcome) {
    let console = fs::read(&outcome.console).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let lines: Vec<&str> = console.lines().collect();
    println!("\n--- the end of the console");
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        println!("{line}");
    }
    println!("---");
}

/// Shows the report as it comes.
#[derive(Default)]
struct Frame {
    begun: bool,
}

impl Listener for Frame {
    fn output(&mut self, line: &str) {
        if !self.begun {
            self.begun = true;
            println!();
        }
        println!("{line}");
    }
}
