// SPDX-License-Identifier: GPL-2.0
//! `make bench`: measures on emulated processors that count instructions, and compares with the references.
//!
//! Each kernel is booted several times, and measures several times in each boot ([`samples`]). The rows of the result
//! are declared in [`rows`]; [`table`] prints them and writes them as JSON. Documentation/bench.md has the method.

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

/// What `make bench` was asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Directory with a directory for each kernel: `bzImage`, `reeve.ko` and `reeve_bench.ko`.
    #[arg(long)]
    dir: PathBuf,
    /// Where the rows go as JSON.
    #[arg(long)]
    json: PathBuf,
    /// A missed target is a failure.
    #[arg(long)]
    strict: bool,
    /// Give up on a boot after this many seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

/// A guest with one processor whose clock is the number of instructions that it executed, and that jumps forward
/// when the processor is idle. Without `erms` the kernel copies and clears with one instruction per word.
pub const COUNTING: &str = "-icount shift=0,sleep=off -cpu max,-erms";

const SCRIPT: &[u8] = include_bytes!("../../../modules/bench/run.sh");

/// Makes every boot the same to the bit. Without it boots differ by microseconds, and in one of ten lockdep's figures
/// grew by 1.3 % half-way, as if another lock chain had come into the hash bucket that it searches. Only for lockdep:
/// that ours repeat in boots that do differ is worth knowing.
const PINNED: &str = "-seed 1 -rtc base=2026-01-01,clock=vm";

/// C TTM, the reference of page accounting: the modules, in the order they are inserted in. Only one kernel has them.
const TTM: [&str; 5] = [
    "i2c-core.ko",
    "drm_panel_orientation_quirks.ko",
    "drm.ko",
    "ttm.ko",
    "ttm_bench.ko",
];

/// How often each kernel is booted.
const BOOTS: usize = 2;

/// By how much figures of the same thing may differ.
pub const TOLERANCE: f64 = 0.01;

/// How many lines of the console explain a failure.
const TAIL: usize = 30;

/// Measures and shows. True if all was measured, and (if that was asked for) no target was missed.
pub fn run(options: &Options) -> Result<bool> {
    let begin = Instant::now();
    let mut all = BTreeMap::new();
    for kernel in Kernel::ALL {
        all.insert(kernel, measure(options, kernel)?);
    }
    let rows = rows::all()
        .map(|spec| Row::of(spec, &all))
        .collect::<Result<Vec<_>>>()?;
    table::write_json(&options.json, &rows)?;
    print!("\n{}", table::text(&rows));
    println!();
    print!("{}", table::remarks(&rows, &all));
    println!("as JSON: {}", near(&options.json).display());
    println!("measured in {} s", begin.elapsed().as_secs());
    Ok(verdict(&rows, options.strict))
}

/// Whether that is a success. Says so if it is not.
fn verdict(rows: &[Row], strict: bool) -> bool {
    let missed = table::missed(rows);
    if strict && !missed.is_empty() {
        eprintln!("make bench: STRICT=1, and these missed their targets:\n{missed}");
        return false;
    }
    true
}

/// Boots a kernel some times; the figures of all its boots, if they agree.
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
        .check(TOLERANCE)
        .with_context(|| format!("on the {} kernel", kernel.name()))?;
    Ok(samples)
}

/// One boot: the lines that the script printed.
fn boot_once(options: &Options, kernel: Kernel, boot: usize) -> Result<Vec<String>> {
    let parts = options.dir.join(kernel.name());
    let machine = machine(&parts, kernel, boot);
    let job = Job::Script {
        name: "bench.sh",
        content: SCRIPT,
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
    let (qemu_args, references): (_, &[_]) = match kernel {
        Kernel::Bench => (COUNTING.to_owned(), &TTM),
        Kernel::Lockdep => (format!("{COUNTING} {PINNED}"), &[]),
    };
    let files = ["reeve_bench.ko"].iter().chain(references);
    Machine {
        kernel: parts.join("bzImage"),
        module: Some(parts.join("reeve.ko")),
        programs: None,
        params: String::new(),
        no_load: false,
        files: files.map(|file| parts.join(file)).collect(),
        mem: 2048,
        smp: 1,
        disk: 0,
        accel: Accel::Tcg,
        qemu_args,
        dir: parts.join(format!("boot-{boot}")),
    }
}

/// The table says it all.
struct Quiet;

impl Listener for Quiet {}

#[cfg(test)]
mod tests {
    use super::*;
    use rows::Row;

    fn row(ours: f64, target: Option<f64>) -> Row {
        Row {
            name: "x",
            unit: "instructions",
            ours,
            reference: 1.0,
            reference_name: "C TTM",
            ratio: ours,
            target,
        }
    }

    #[test]
    fn a_missed_target_is_a_failure_only_if_asked() {
        let missed = [row(50.0, Some(60.0)), row(61.0, Some(60.0))];
        assert!(verdict(&missed, false));
        assert!(!verdict(&missed, true));
        let met = [row(60.0, Some(60.0)), row(1000.0, None)];
        assert!(verdict(&met, false));
        assert!(verdict(&met, true));
    }
}
