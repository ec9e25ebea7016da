// SPDX-License-Identifier: GPL-2.0-or-later

//! Several processes that run one program after the other, each in a child, which may be killed anywhere.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use reeve_uapi::knobs::set_parameter;
use reeve_uapi::DEFAULT_PATH;

use crate::corpus::{self, Last};
use crate::coverage::{Reached, Trace};
use crate::execute::{Counts, Process};
use crate::generate::{Generator, PARAMETERS};
use crate::program::{Program, SHARED_FILES};
use crate::system;

const CGROUPS: &str = "/sys/fs/cgroup";

/// How long the same shared files are used: what is in them is freed then. So short that what made it what it is is still
/// noted when something fails.
const ROUND: Duration = Duration::from_secs(2);

/// How long programs are run again at most, but for the first time.
const AGAIN: Duration = Duration::from_secs(60);

/// How many programs a process runs, one after the other. To make a process and to note what it runs takes as long as
/// half of them.
const IN_A_ROW: usize = 4;

/// How many processes run what is run again.
const SIDE_BY_SIDE: usize = 8;

/// How long such programs may take.
const PROGRAM: Duration = Duration::from_secs(20);

/// How long a process may be silent, with an emulated machine that is busy otherwise, before it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What all processes have.
pub(crate) struct Fleet {
    pub(crate) processes: u64,
    pub(crate) seed: u64,
    /// Where programs that reached something go, one file for each process.
    pub(crate) found: PathBuf,
    pub(crate) last: Option<PathBuf>,
    pub(crate) counts: Counts,
    pub(crate) reached: Reached,
    pub(crate) compat: bool,
}

impl Fleet {
    /// Runs programs until that time is over, and returns how many rounds there were. It is an error if a process
    /// hangs.
    pub(crate) fn run(&self, time: Duration, corpus: &[Program]) -> Result<u64> {
        fs::create_dir_all(&self.found)?;
        let end = Instant::now() + time;
        let mut rounds = 0;
        while Instant::now() < end {
            let until = end.min(Instant::now() + ROUND);
            self.round(rounds, until, corpus)?;
            rounds += 1;
        }
        Ok(rounds)
    }

    /// Runs these programs, at most `times` times, in few processes side by side, each of which has neighbours of the
    /// list.
    pub(crate) fn replay(&self, programs: &[Program], times: u64) -> Result<()> {
        let each = programs.len().div_ceil(SIDE_BY_SIDE).max(1);
        let time = PROGRAM * each.div_ceil(IN_A_ROW) as u32;
        let end = Instant::now() + AGAIN;
        for nth in 0..times {
            if nth != 0 && Instant::now() > end {
                break;
            }
            let shared = shared_files()?;
            let children = programs.chunks(each).map(|programs| {
                system::in_child(|| self.child(&shared, None, None, time, programs))
            });
            let children = children.collect::<std::io::Result<Vec<_>>>()?;
            wait_for(children, Instant::now() + time)?;
        }
        Ok(())
    }

    /// What processes found so far.
    pub(crate) fn all_found(&self) -> Result<Vec<Program>> {
        let mut all = Vec::new();
        for process in 0..self.processes {
            let path = self.found_by(process);
            if path.exists() {
                all.append(&mut corpus::read(&path)?);
            }
        }
        Ok(all)
    }

    fn found_by(&self, process: u64) -> PathBuf {
        self.found.join(format!("{process}.txt"))
    }

    fn round(&self, round: u64, until: Instant, corpus: &[Program]) -> Result<()> {
        let shared = shared_files()?;
        let mut known = corpus.to_vec();
        known.append(&mut self.all_found()?);
        let mut workers = Vec::new();
        for process in 0..self.processes {
            workers.push(system::in_child(|| {
                system::end_with_parent();
                if let Err(err) = self.work(round, process, until, known.clone(), &shared) {
                    println!("# process {process}: {err:#}");
                }
            })?);
        }
        wait_for(workers, until)
    }

    /// What each process does in a round.
    fn work(
        &self,
        round: u64,
        process: u64,
        until: Instant,
        mut known: Vec<Program>,
        shared: &[File; SHARED_FILES],
    ) -> Result<()> {
        let mut rng = Rng::with_seed(self.seed.wrapping_add(round << 16 | process << 8));
        let trace = Trace::open()?;
        let last = self.last.as_deref().map(Last::open).transpose()?;
        let cgroup = cgroup(process);
        if let Some(cgroup) = &cgroup {
            // Its children are born there: to move each would wait for all processors.
            fs::write(cgroup.join("cgroup.procs"), "0")?;
        }
        let mut mine = match self.found_by(process) {
            path if path.exists() => corpus::read(&path)?,
            _ => Vec::new(),
        };
        let before = mine.len();
        let mut nth = 0;
        while Instant::now() < until {
            // What a trace says is of one program.
            let count = if trace.is_some() { 1 } else { IN_A_ROW };
            let next = || next_program(&mut rng, &known);
            let programs: Vec<_> = std::iter::repeat_with(next).take(count).collect();
            if let Some(last) = &last {
                last.note(process, nth, &programs)?;
            }
            nth += 1;
            // Some end in the middle of something.
            let time = match rng.u8(0..100) {
                0..=3 => Duration::from_micros(rng.u64(1..50_000)),
                _ => PROGRAM,
            };
            let (trace, cgroup) = (trace.as_ref(), cgroup.as_deref());
            let child = system::in_child(|| self.child(shared, trace, cgroup, time, &programs))?;
            waitpid(child, None)?;
            if let Some(cgroup) = cgroup {
                let _ = fs::write(cgroup.join("memory.max"), "max");
                let _ = fs::write(cgroup.join("memory.high"), "max");
            }
            if trace.is_some_and(|trace| trace.note(&self.reached)) {
                known.extend_from_slice(&programs);
                mine.extend(programs);
            }
        }
        if mine.len() > before {
            corpus::write(&self.found_by(process), &mine)?;
        }
        Ok(())
    }

    /// Runs programs in this process, which ends afterwards, or before.
    fn child(
        &self,
        shared: &[File; SHARED_FILES],
        trace: Option<&Trace>,
        cgroup: Option<&Path>,
        time: Duration,
        programs: &[Program],
    ) {
        system::end_with_parent();
        system::end_after(time);
        // If memory ends, these go, and none of those that look after them.
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
        let device = Path::new(DEFAULT_PATH);
        for program in programs {
            let process = Process::new(device, cgroup, shared, self.counts, self.compat);
            let Ok(mut process) = process else {
                return;
            };
            let traced = trace.filter(|trace| trace.begin().is_ok());
            process.run(program);
            if let Some(trace) = traced {
                trace.end();
            }
        }
    }
}

/// Makes a program, anew or of those that are known.
fn next_program(rng: &mut Rng, known: &[Program]) -> Program {
    let mut generator = Generator::new(rng.u64(..));
    if known.is_empty() || rng.u8(0..100) < 30 {
        return generator.program();
    }
    let one = &known[rng.usize(0..known.len())];
    generator.variant(one, &known[rng.usize(0..known.len())])
}

fn shared_files() -> Result<[File; SHARED_FILES]> {
    let open = || File::options().read(true).write(true).open(DEFAULT_PATH);
    Ok([open()?, open()?])
}

/// Makes a cgroup for a process; `None` where there are none.
fn cgroup(process: u64) -> Option<PathBuf> {
    let _ = fs::write(Path::new(CGROUPS).join("cgroup.subtree_control"), "+memory");
    let path = Path::new(CGROUPS).join(format!("fuzz-{process}"));
    fs::create_dir_all(&path).ok()?;
    path.join("memory.max").exists().then_some(path)
}

/// Waits for processes, until long after they should have ended. It is an error if one has not, or failed.
fn wait_for(mut processes: Vec<Pid>, end: Instant) -> Result<()> {
    let mut failed = 0;
    while !processes.is_empty() {
        let mut left = Vec::new();
        for process in processes {
            match waitpid(process, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::StillAlive => left.push(process),
                WaitStatus::Exited(_, 0)
                | WaitStatus::Signaled(_, Signal::SIGALRM | Signal::SIGKILL, _) => {}
                status => {
                    println!("# a process ended with {status:?}");
                    failed += 1;
                }
            }
        }
        processes = left;
        if processes.is_empty() {
            break;
        }
        if Instant::now() > end + PATIENCE {
            for line in where_they_are() {
                println!("# {line}");
            }
            for process in &processes {
                let _ = kill(*process, Signal::SIGKILL);
            }
            anyhow::bail!("{} processes hang", processes.len());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::ensure!(failed == 0, "{failed} processes failed");
    Ok(())
}

/// What processes that wait in the kernel wait for.
fn where_they_are() -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(stack) = fs::read_to_string(path.join("stack")) else {
            continue;
        };
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        if name.starts_with("reeve-fuzz") {
            lines.push(format!("{}:", path.display()));
            lines.extend(stack.lines().map(str::to_owned));
        }
    }
    lines
}

/// Sets every parameter that programs write as it was.
pub(crate) fn reset_parameters() -> Result<()> {
    for (name, values) in PARAMETERS {
        set_parameter(name, values[0]).with_context(|| name.to_owned())?;
    }
    Ok(())
}
