// SPDX-License-Identifier: GPL-2.0-or-later
//! `make bench`: measures on emulated CPUs that count instructions, and compares with the references.
//!
//! Each kernel is booted several times, and each boot measures several times ([`samples`]). [`rows`] declares the rows
//! of the result; [`table`] prints them and writes them as JSON. Documentation/bench.md describes the method.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use clap::Args;

use crate::machine::{Accel, Job, Machine};
use crate::paths::near;
use crate::suite::job_context::tail;
use crate::vm::{self, Limit, Listener};

pub mod rows;
pub mod samples;
pub mod table;

use rows::{Kernel, Row};
use samples::Samples;

/// The options of `make bench`.
#[derive(Debug, Args)]
pub struct Options {
    /// Directory with a directory for each kernel: `bzImage`, `reeve.ko` and `reeve_bench.ko`.
    #[arg(long)]
    dir: PathBuf,
    /// File to which the rows are written as JSON.
    #[arg(long)]
    json: PathBuf,
    /// Measure on this kernel alone, and leave out the rows that need another one.
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
    /// Fail if a target is missed.
    #[arg(long)]
    strict: bool,
    /// Give up on a boot after this many seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

/// QEMU options for a guest whose clock is the number of instructions that its one CPU has executed, and jumps forward
/// while the CPU is idle. Without `erms` the kernel copies and clears with one instruction per word.
pub const COUNTING: &str = "-icount shift=0,sleep=off -cpu max,-erms";

const SCRIPT: &[u8] = include_bytes!("../../../modules/bench/run.sh");

/// What measures the dirty log. It does nothing twice: an object of 4 GiB takes its time.
const LOG_SCRIPT: &[u8] = b"#!/bin/sh\n./reeve-log-bench || exit\necho end\n";

/// QEMU options that make every boot identical. Otherwise boots differ by microseconds, and in one of ten lockdep's
/// figures grew by 1.3 % during the boot, as if another lock chain had been added to the hash bucket that it searches.
/// Only lockdep's guest has them: Reeve's figures have to repeat in boots that differ.
const PINNED: &str = "-seed 1 -rtc base=2026-01-01,clock=vm";

/// The modules of C TTM and of the GEM helper for shmem, the references of page accounting, in the order of insertion.
/// Only the bench kernel has them.
const TTM: [&str; 7] = [
    "i2c-core.ko",
    "drm_panel_orientation_quirks.ko",
    "drm.ko",
    "ttm.ko",
    "ttm_bench.ko",
    "drm_shmem_helper.ko",
    "gem_bench.ko",
];

/// What measures the back end of vhost-user, and the back end.
const VHOST: [&str; 2] = ["reeve-vhost-bench", "reeve-vhost-peer"];

/// The number of boots of each kernel.
const BOOTS: usize = 2;

/// The relative difference allowed between figures of one name.
pub const TOLERANCE: f64 = 0.01;

/// The number of lines of the console that are shown after a failure.
const TAIL: usize = 30;

/// Measures and prints the result. Returns whether it is a success: with `strict`, that no target was missed.
pub fn run(options: &Options) -> Result<bool> {
    let begin = Instant::now();
    let mut all = BTreeMap::new();
    for kernel in Kernel::ALL {
        if options.kernel.is_none_or(|only| kernel.is_part_of(only)) {
            all.insert(kernel, measure(options, kernel)?);
        }
    }
    let rows = rows::all()
        .filter(|spec| spec.is_measured(&all))
        .map(|spec| Row::of(spec, &all))
        .collect::<Result<Vec<_>>>()?;
    table::write_json(&options.json, &rows)?;
    print!("\n{}", table::text(&rows));
    println!();
    print!("{}", table::remarks(&rows, &all));
    println!("as JSON: {}", near(&options.json).display());
    println!("measured in {} s", begin.elapsed().as_secs());
    Ok(verdict(&rows, &table::unsteady(&all), options.strict))
}

/// Returns whether the result is a success, and prints the missed targets if it is not.
fn verdict(rows: &[Row], unsteady: &str, strict: bool) -> bool {
    if strict && !unsteady.is_empty() {
        eprintln!("make bench: STRICT=1, and these do not repeat:\n{unsteady}");
        return false;
    }
    let missed = table::missed(rows);
    if strict && !missed.is_empty() {
        eprintln!("make bench: STRICT=1, and these missed their targets:\n{missed}");
        return false;
    }
    true
}

/// Boots a kernel [`BOOTS`] times and returns the figures of all boots.
fn measure(options: &Options, kernel: Kernel) -> Result<Samples> {
    let mut samples = Samples::default();
    for boot in 1..=BOOTS {
        println!(
            "measuring on the {} kernel, boot {boot} of {BOOTS}",
            kernel.name()
        );
        let lines = boot_once(options, kernel, boot)?;
        samples
            .read(lines.iter().map(String::as_str))
            .with_context(|| format!("what the {} kernel measured", kernel.name()))?;
    }
    samples
        .check()
        .with_context(|| format!("on the {} kernel", kernel.name()))?;
    Ok(samples)
}

/// Boots a kernel once and returns the lines that the script printed.
fn boot_once(options: &Options, kernel: Kernel, boot: usize) -> Result<Vec<String>> {
    let parts = options.dir.join(kernel.image());
    let machine = machine(&parts, kernel, boot);
    let job = Job::Script {
        name: "bench.sh",
        content: match kernel {
            Kernel::Log => LOG_SCRIPT,
            Kernel::Bench | Kernel::Lockdep => SCRIPT,
        },
        capture: true,
    };
    let limit = Duration::from_secs(options.timeout);
    let outcome = vm::run(&machine, job, Limit::total(limit), &mut Quiet)?;
    if !outcome.end.is_success() {
        let console = std::fs::read(&outcome.console).unwrap_or_default();
        bail!(
            "the machine ended with: {}\n{}\n{}\nconsole: {}",
            outcome.end,
            outcome.output.join("\n"),
            tail(&String::from_utf8_lossy(&console), TAIL),
            near(&outcome.console).display()
        );
    }
    Ok(outcome.output)
}

fn machine(parts: &Path, kernel: Kernel, boot: usize) -> Machine {
    let (qemu_args, mem) = match kernel {
        Kernel::Bench => (COUNTING.to_owned(), 2048),
        Kernel::Lockdep => (format!("{COUNTING} {PINNED}"), 2048),
        // Room for an object of 4 GiB.
        Kernel::Log => (COUNTING.to_owned(), 6144),
    };
    let files: Vec<&str> = match kernel {
        Kernel::Bench => ["reeve_bench.ko", "bo_bench.ko"]
            .into_iter()
            .chain(TTM)
            .chain(VHOST)
            .collect(),
        Kernel::Lockdep => vec!["reeve_bench.ko"],
        Kernel::Log => vec!["reeve-log-bench"],
    };
    Machine {
        kernel: parts.join("bzImage"),
        module: Some(parts.join("reeve.ko")),
        programs: None,
        params: String::new(),
        no_load: false,
        files: files.iter().map(|file| parts.join(file)).collect(),
        mem,
        smp: 1,
        disk: 0,
        accel: Accel::Tcg,
        append: String::new(),
        qemu_args,
        dir: parts.join(format!("{}-{boot}", kernel.name())),
    }
}

/// A listener that prints nothing: the table is the output.
struct Quiet;

impl Listener for Quiet {}

#[cfg(test)]
mod tests {
    use super::*;
    use rows::{Bound, Row, Verdict};

    fn row(ours: f64, verdict: Option<Verdict>) -> Row {
        Row {
            name: "x",
            unit: "instructions",
            ours,
            reference: None,
            reference_name: None,
            ratio: None,
            target: verdict.map(|_| Bound::Ours(60.0)),
            verdict,
        }
    }

    #[test]
    fn a_missed_target_is_a_failure_only_with_strict() {
        let missed = [
            row(50.0, Some(Verdict::Met)),
            row(61.0, Some(Verdict::Missed)),
        ];
        assert!(verdict(&missed, "", false));
        assert!(!verdict(&missed, "", true));
        let met = [row(60.0, Some(Verdict::Met)), row(1000.0, None)];
        assert!(verdict(&met, "", false));
        assert!(verdict(&met, "", true));
        assert!(!verdict(&met, "it does not repeat", true));
    }
}
