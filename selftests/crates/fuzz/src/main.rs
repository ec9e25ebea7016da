// SPDX-License-Identifier: GPL-2.0-or-later

//! Calls the module with everything that it can be called with, from several processes: every `ioctl()`, mappings,
//! fdinfo, parameters, debugfs, as 64-bit and 32-bit processes, in cgroups, with allocations that fail, and killed
//! anywhere. What it finds, the kernel says: a debug kernel complains, a process hangs, or something is left at the end.
//!
//! Where the kernel has kcov, programs that reached new code of the module are kept and varied.

mod calls;
mod corpus;
mod coverage;
mod execute;
mod fleet;
mod generate;
mod minimise;
mod program;
mod swap;
mod system;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{ensure, Context, Result};
use clap::{Parser, Subcommand};
use reeve_uapi::{knobs, Device, DEFAULT_PATH};

use calls::CALLS;
use coverage::{Reached, Trace};
use execute::Counts;
use fleet::Fleet;
use program::Program;

/// How often a call has to have been made for chance to be no excuse.
const ENOUGH: u64 = 500;

/// How long it may take until what processes had is freed.
const SOON: Duration = Duration::from_secs(60);

/// Calls the module with everything that it can be called with.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes programs and runs them, in a guest; prints KTAP.
    Run {
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How many processes.
        #[arg(long, default_value_t = 4)]
        processes: u64,
        /// With the same one the same programs are made. [default: the time]
        #[arg(long)]
        seed: Option<u64>,
        /// A file of programs to begin with.
        #[arg(long)]
        corpus: Option<PathBuf>,
        /// Where to write the programs that reached something, and `reached.txt`: where in the module's code.
        #[arg(long)]
        out: Option<PathBuf>,
        /// A disk to note each program on before it runs.
        #[arg(long)]
        last: Option<PathBuf>,
        /// A disk to swap to.
        #[arg(long)]
        swap: Option<PathBuf>,
    },
    /// Runs the programs of a file side by side, in a guest.
    Replay {
        /// The file; an empty line is between two programs.
        file: PathBuf,
        /// How often at most; not again after a minute.
        #[arg(long, default_value_t = 20)]
        times: u64,
    },
    /// Prints the programs that were noted last on a disk.
    Last {
        /// The disk's image.
        image: PathBuf,
    },
    /// Leaves out of a file's programs what they fail without, and prints the rest.
    Minimise {
        /// The file.
        file: PathBuf,
        /// How often to try.
        #[arg(long, default_value_t = 60)]
        most: usize,
        /// What fails, with a file of programs as one more argument.
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Options::parse().what) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("reeve-fuzz: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> Result<bool> {
    match what {
        What::Run {
            seconds,
            processes,
            seed,
            corpus,
            out,
            last,
            swap,
        } => {
            let seed = seed.unwrap_or_else(seed_of_now);
            // Where the console's last lines are looked at, it is among them.
            let _ = fs::write("/dev/kmsg", format!("reeve-fuzz: seed {seed}\n"));
            let _swap = swap.as_deref().map(swap::Swap::on).transpose()?;
            // What can't be set is no reason not to go on.
            let _ = knobs::let_allocations_fail();
            let fleet = Fleet {
                processes,
                last,
                ..fleet(seed)?
            };
            fuzz(
                &fleet,
                Duration::from_secs(seconds),
                corpus.as_deref(),
                out.as_deref(),
            )
        }
        What::Replay { file, times } => {
            let fleet = fleet(0)?;
            let _ = knobs::let_allocations_fail();
            fleet.replay(&corpus::read(&file)?, times)?;
            let left = what_is_left()?;
            ensure!(
                left.is_none(),
                "left at the end: {}",
                left.unwrap_or_default()
            );
            Ok(true)
        }
        What::Last { image } => {
            print!("{}", corpus::text(&corpus::Last::read(&image)?));
            Ok(true)
        }
        What::Minimise {
            file,
            most,
            command,
        } => minimise(&file, most, &command),
    }
}

fn fleet(seed: u64) -> Result<Fleet> {
    // What looks after the others stays if memory ends.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    Ok(Fleet {
        processes: 1,
        seed,
        found: std::env::temp_dir().join("reeve-fuzz"),
        last: None,
        counts: Counts::new()?,
        reached: Reached::new()?,
        compat: system::has_compat()?,
    })
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(1, |time| time.as_secs())
}

fn fuzz(fleet: &Fleet, time: Duration, corpus: Option<&Path>, out: Option<&Path>) -> Result<bool> {
    let mut known = corpus::seeds()?;
    if let Some(corpus) = corpus {
        known.append(&mut corpus::read(corpus)?);
    }
    let kcov = Trace::open()?.is_some();
    println!("KTAP version 1\n1..3");
    println!(
        "# seed {}, {} processes, {} programs to begin with; {}, {}",
        fleet.seed,
        fleet.processes,
        known.len(),
        if kcov { "guided by kcov" } else { "no kcov" },
        if fleet.compat {
            "32-bit calls, too"
        } else {
            "no 32-bit calls"
        },
    );
    let result = fleet.run(time, &known);
    let none_hangs = verdict(1, "fuzz.no_process_hangs", result.map(|_| ()));
    fleet::reset_parameters()?;
    let nothing_left = what_is_left().and_then(|left| {
        ensure!(left.is_none(), "{}", left.unwrap_or_default());
        Ok(())
    });
    let nothing_left = verdict(2, "fuzz.nothing_is_left", nothing_left);
    let reach = verdict(
        3,
        "fuzz.every_call_succeeds_and_fails",
        every_call(fleet.counts),
    );
    for call in CALLS {
        let (made, succeeded) = fleet.counts.of(call);
        println!("# {}: {made} calls, {succeeded} succeeded", call.name);
    }
    println!(
        "# {} steps in all, of them {} calls",
        fleet.counts.steps(),
        fleet.counts.total()
    );
    if kcov {
        println!(
            "# {} places of the module's code reached",
            fleet.reached.count()
        );
    }
    if let Some(out) = out {
        fs::create_dir_all(out)?;
        let mut all = corpus.map(corpus::read).transpose()?.unwrap_or_default();
        all.append(&mut fleet.all_found()?);
        corpus::write(&out.join("corpus.txt"), &all)?;
        let mut file = fs::File::create(out.join("reached.txt"))?;
        for offset in fleet.reached.offsets() {
            writeln!(file, "{offset:#x}")?;
        }
    }
    Ok(none_hangs && nothing_left && reach)
}

/// Prints a line of KTAP. Returns whether it is a good one.
fn verdict(number: u32, name: &str, result: Result<()>) -> bool {
    match &result {
        Ok(()) => println!("ok {number} {name}"),
        Err(err) => println!("# {err:#}\nnot ok {number} {name}"),
    }
    result.is_ok()
}

/// Programs that reach nothing find nothing.
fn every_call(counts: Counts) -> Result<()> {
    for call in CALLS {
        let (made, succeeded) = counts.of(call);
        let are_few = counts.total() < ENOUGH * CALLS.len() as u64;
        ensure!(made != 0 || are_few, "{} was never called", call.name);
        if made >= ENOUGH {
            ensure!(
                succeeded != 0,
                "{} never succeeded in {made} calls",
                call.name
            );
            ensure!(
                succeeded < made,
                "{} never failed in {made} calls",
                call.name
            );
        }
    }
    Ok(())
}

/// What the module still has, though no file is open any more.
fn what_is_left() -> Result<Option<String>> {
    let end = Instant::now() + SOON;
    loop {
        let stats = Device::open(DEFAULT_PATH)?.stats()?;
        let left = [
            ("objects", stats.buffer_objects),
            ("pages", stats.pages_allocated),
        ];
        let texts = left.iter().filter(|(_, count)| *count != 0);
        let texts: Vec<_> = texts
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        if texts.is_empty() {
            return Ok(None);
        }
        if Instant::now() > end {
            return Ok(Some(texts.join(", ")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn minimise(file: &Path, most: usize, command: &[String]) -> Result<bool> {
    let programs = corpus::read(file)?;
    let candidate = file.with_extension("candidate");
    let fails = |programs: &[Program]| -> Result<bool> {
        corpus::write(&candidate, programs)?;
        let status = Command::new(&command[0])
            .args(&command[1..])
            .arg(&candidate)
            .stdout(std::io::stderr())
            .status()
            .with_context(|| format!("running {}", command[0]))?;
        let steps: usize = programs.iter().map(|program| program.0.len()).sum();
        let verdict = if status.success() {
            "no failure"
        } else {
            "fails"
        };
        eprintln!("{} programs, {steps} steps: {verdict}", programs.len());
        Ok(!status.success())
    };
    ensure!(
        fails(&programs)?,
        "the programs of {} do not fail",
        file.display()
    );
    let mut error = None;
    let least = minimise::minimise(programs, most, |programs| {
        fails(programs).unwrap_or_else(|err| {
            error = Some(err);
            false
        })
    });
    let _ = fs::remove_file(&candidate);
    error.map_or(Ok(()), Err)?;
    print!("{}", corpus::text(&least));
    Ok(true)
}
