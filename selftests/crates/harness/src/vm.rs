// SPDX-License-Identifier: GPL-2.0
//! Runs a VM to its end and says how it ended.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::control::{self, Facts};
use crate::cpio;
use crate::lines::Follower;
use crate::machine::{Job, Machine, PortTo};
use crate::splat::{self, Splat};

/// How often the machine's files are looked at. Only the display depends on it.
const TICK: Duration = Duration::from_millis(50);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The script came to its end, and nothing else happened.
    Status(i32),
    /// Something else decides.
    Reason(String),
}

impl End {
    /// Did all go well?
    pub fn is_success(&self) -> bool {
        *self == Self::Status(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Reason(reason) => f.write_str(reason),
        }
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What the guest told.
    pub facts: Facts,
    /// What the script wrote to /out.
    pub files: Vec<cpio::File>,
    /// The script's output, if it was captured.
    pub output: Vec<String>,
    /// The whole console.
    pub console: PathBuf,
    /// How long it took.
    pub took: Duration,
}

/// Hears what the guest says while it says it.
pub trait Listener {
    /// A line of the console.
    fn console(&mut self, _line: &str) {}
    /// A line of the captured output of the script.
    fn output(&mut self, _line: &str) {}
}

/// How often a kernel that falls over before it runs anything of ours is booted again.
const REBOOTS: u32 = 2;

/// Boots the machine, waits for its end but no longer than `limit`.
///
/// A machine that ends before its init said a word ran none of what is to be tried: neither the module nor the
/// script. Emulated CPUs do that now and then, so it is booted again, and said so.
pub fn run(
    machine: &Machine,
    job: Job<'_>,
    limit: Duration,
    listener: &mut dyn Listener,
) -> Result<Outcome> {
    let dir = &machine.dir;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let initramfs = dir.join("initramfs.cpio");
    fs::write(&initramfs, machine.initramfs(job)?)
        .with_context(|| format!("writing {}", initramfs.display()))?;
    let mut reboots = 0;
    loop {
        let disk = machine.make_disk()?;
        let outcome = boot(machine, &initramfs, limit, listener)?;
        drop(disk);
        if outcome.facts.kernel.is_some() || reboots == REBOOTS {
            return Ok(outcome);
        }
        reboots += 1;
        eprintln!(
            "reeve: the kernel fell over before init ({}); booting it again",
            outcome.end
        );
    }
}

/// One boot of [`run`].
fn boot(
    machine: &Machine,
    initramfs: &Path,
    limit: Duration,
    listener: &mut dyn Listener,
) -> Result<Outcome> {
    let dir = &machine.dir;
    let paths = ["console.log", "control.log", "output.log", "out.cpio"].map(|name| dir.join(name));
    let mut console = Follower::create(&paths[0])?;
    let mut control = Follower::create(&paths[1])?;
    let mut output = Follower::create(&paths[2])?;
    fs::write(&paths[3], [])?;
    let ports = paths.clone().map(PortTo::File);
    let [console_path, _, _, archive] = paths;
    let complaints = dir.join("qemu.log");

    let begin = Instant::now();
    let mut qemu = Qemu(
        machine
            .command(initramfs, &ports)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&complaints)?)
            .spawn()
            .context("starting QEMU (is qemu-system-x86 installed? see make deps)")?,
    );

    let mut watch = Watch::default();
    let stopped = loop {
        let status = qemu.0.try_wait().context("waiting for QEMU")?;
        let last = status.is_some() || begin.elapsed() >= limit;
        let read = if last {
            Follower::last_lines
        } else {
            Follower::new_lines
        };
        for line in read(&mut console)? {
            listener.console(&line);
            watch.console(&line);
        }
        for line in read(&mut control)? {
            watch.control(&line);
        }
        for line in read(&mut output)? {
            listener.output(&line);
            watch.output.push(line);
        }
        match status {
            Some(status) => break Stop::Exited(status),
            None if last => break Stop::TimedOut(limit),
            None => std::thread::sleep(TICK),
        }
    };
    drop(qemu);
    // Made of files that are still there, and big.
    fs::remove_file(initramfs).context("removing the initramfs")?;

    let bytes = fs::read(&archive).with_context(|| format!("reading {}", archive.display()))?;
    let files = cpio::read_files(&bytes);
    let qemu_said = fs::read_to_string(&complaints).unwrap_or_default();
    let mut end = watch.judge(stopped, &qemu_said);
    let files = match files {
        Ok(files) => files,
        Err(error) if watch.facts.ended && end.is_success() => {
            end = End::Reason(format!("the guest's /out came over damaged: {error}"));
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    Ok(Outcome {
        end,
        facts: watch.facts,
        files,
        output: watch.output,
        console: console_path,
        took: begin.elapsed(),
    })
}

/// Gives somebody a shell in the machine. True if QEMU was content.
pub fn shell(machine: &Machine) -> Result<bool> {
    let dir = &machine.dir;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let initramfs = dir.join("initramfs.cpio");
    fs::write(&initramfs, machine.initramfs(Job::Shell)?)?;
    let _disk = machine.make_disk()?;
    let file = |name: &str| PortTo::File(dir.join(name));
    let ports = [
        PortTo::Terminal,
        file("control.log"),
        file("output.log"),
        file("out.cpio"),
    ];
    let status = machine
        .command(&initramfs, &ports)
        .status()
        .context("starting QEMU (is qemu-system-x86 installed? see make deps)")?;
    Ok(status.success())
}

/// QEMU, which ends when we lose interest.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and nothing to do about it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Why we stopped watching.
enum Stop {
    Exited(ExitStatus),
    TimedOut(Duration),
}

/// What was seen so far.
#[derive(Default)]
struct Watch {
    facts: Facts,
    output: Vec<String>,
    splat: Option<Splat>,
}

impl Watch {
    fn console(&mut self, line: &str) {
        if self.splat.is_none() {
            self.splat = splat::find(line);
        }
    }

    /// What the kernel remembers counts like what it printed.
    fn control(&mut self, line: &str) {
        self.facts.line(line);
        if let Some(remembered) = line.strip_prefix("dmesg ") {
            self.console(remembered);
        }
    }

    /// The most telling reason first: what the kernel complained about explains everything after it.
    fn judge(&self, stopped: Stop, qemu_said: &str) -> End {
        let facts = &self.facts;
        let reason = if let Some(splat) = &self.splat {
            format!("kernel splat: {}", splat.headline)
        } else if let Stop::TimedOut(limit) = stopped {
            format!("timeout after {} s", limit.as_secs())
        } else if let Some(words) = &facts.load_failed {
            format!("the module could not be inserted: {words}")
        } else if let Some(leak) = facts.leaks.first() {
            format!("kmemleak: {leak} ({} in all)", count_leaks(&facts.leaks))
        } else if let Some(what) = facts
            .taint
            .map(control::complaints)
            .filter(|what| !what.is_empty())
        {
            format!("kernel splat: taint flags say {}", what.join(", "))
        } else if !facts.ended {
            match (facts.kernel.is_some(), qemu_said.trim()) {
                (_, words) if !words.is_empty() => format!("QEMU: {words}"),
                (true, _) => "the machine stopped before the script ended".to_owned(),
                (false, _) => "the kernel did not come up".to_owned(),
            }
        } else if let Some(status) = facts.status {
            return End::Status(status);
        } else {
            "the script's exit status got lost".to_owned()
        };
        let Stop::Exited(status) = stopped else {
            return End::Reason(reason);
        };
        match status.success() {
            true => End::Reason(reason),
            false => End::Reason(format!("{reason} ({status})")),
        }
    }
}

fn count_leaks(lines: &[String]) -> usize {
    let headline = |line: &&String| line.starts_with("unreferenced object");
    lines.iter().filter(headline).count()
}

#[cfg(test)]
#[path = "vm_tests.rs"]
mod tests;
