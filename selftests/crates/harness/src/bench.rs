// SPDX-License-Identifier: GPL-2.0
//! `make bench`: measures on emulated processors that count instructions, and compares with the peers.
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
use crate::suite::desk::tail;
use crate::vm::{self, Listener};

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

const SCRIPT: &[u8] = include_bytes!("../../../ext-bench/run.sh");

/// Makes every boot the same to the bit. Without it boots differ by microseconds, and in one of ten lockdep's figures
/// grew by 1.3 % half-way, as if another lock chain had come into the hash bucket that it searches. Only for lockdep:
/// that ours repeat in boots that do differ is worth knowing.
const PINNED: &str = "-seed 1 -rtc base=2026-01-01,clock=vm";

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
    let missed = rows.iter().filter(|row| row.met() == Some(false)).count();
    Ok(!(options.strict && missed > 0))
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
    let outcome = vm::run(&machine, job, limit, &mut Quiet)?;
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
    let qemu_args = match kernel {
        Kernel::Bench => COUNTING.to_owned(),
        Kernel::Lockdep => format!("{COUNTING} {PINNED}"),
    };
    Machine {
        kernel: parts.join("bzImage"),
        module: Some(parts.join("reeve.ko")),
        programs: None,
        params: String::new(),
        no_load: false,
        files: vec![parts.join("reeve_bench.ko")],
        mem: 1024,
        smp: 1,
        accel: Accel::Tcg,
        qemu_args,
        dir: parts.join(format!("boot-{boot}")),
    }
}

/// The table says it all.
struct Quiet;

impl Listener for Quiet {}
