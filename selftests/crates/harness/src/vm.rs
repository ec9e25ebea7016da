// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs a VM to its end and says how it ended.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
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
    /// How long it took, from the last time it was booted.
    pub took: Duration,
    /// Why it was booted again, each time it was.
    pub again: Vec<String>,
}

/// What a line about a boot that is repeated begins with.
pub const AGAIN: &str = "booting again: ";

/// Hears what the guest says while it says it.
pub trait Listener {
    /// The machine is booted again, because its kernel failed for this reason before it ran anything of ours.
    fn again(&mut self, why: &str) {
        println!("{AGAIN}{why}");
    }
    /// A line of the console.
    fn console(&mut self, _line: &str) {}
    /// A line of the captured output of the script.
    fn output(&mut self, _line: &str) {}
}

/// How long a kernel may be silent before it runs init. On the slowest machine it says something every few seconds.
const SILENT_BOOT: Duration = Duration::from_secs(120);

/// How long a run may take.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// In all.
    pub total: Duration,
    /// Without a word from the guest: neither a line on its console nor one of the script's output.
    pub silent: Duration,
    /// After the kernel's first complaint.
    pub after_splat: Duration,
}

impl Limit {
    /// A limit for the whole, silent or not.
    pub fn total(total: Duration) -> Self {
        Self {
            total,
            silent: total,
            after_splat: total,
        }
    }
}

/// How often a machine is booted again whose kernel failed before it ran anything of ours.
const REBOOTS: usize = 2;

/// Boots the machine, waits for its end but no longer than `limit` allows.
///
/// A kernel that complains, ends or stops before it runs init has run neither the module nor the script. Emulated machines
/// do that now and then, and with KASAN and lockdep off after their first report the rest of the boot would prove
/// less. So it is booted again, which the listener is told and the outcome counts; one that fails each time is a
/// failure.
pub fn run(
    machine: &Machine,
    job: Job<'_>,
    limit: Limit,
    listener: &mut dyn Listener,
) -> Result<Outcome> {
    let dir = &machine.dir;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let initramfs = dir.join("initramfs.cpio");
    fs::write(&initramfs, machine.initramfs(job)?)
        .with_context(|| format!("writing {}", initramfs.display()))?;
    let mut again = Vec::new();
    let outcome = loop {
        let disk = machine.make_disk()?;
        let (outcome, early) = boot(machine, &initramfs, limit, listener)?;
        drop(disk);
        match early {
            Some(why) if again.len() < REBOOTS => {
                keep_console(&outcome.console, again.len() + 1)?;
                listener.again(&why);
                again.push(why);
            }
            _ => break Outcome { again, ..outcome },
        }
    };
    // Made of files that are still there, and big.
    fs::remove_file(&initramfs).context("removing the initramfs")?;
    Ok(outcome)
}

/// Puts the console of a boot that is repeated beside that of the next one.
fn keep_console(console: &Path, number: usize) -> Result<()> {
    let kept = console.with_file_name(format!("console-early-{number}.log"));
    fs::rename(console, &kept).with_context(|| format!("renaming to {}", kept.display()))
}

/// One boot of [`run`], and why it should be repeated, if it should.
fn boot(
    machine: &Machine,
    initramfs: &Path,
    limit: Limit,
    listener: &mut dyn Listener,
) -> Result<(Outcome, Option<String>)> {
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
    let mut heard = begin;
    let mut complained = None;
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
        if watch.splat.is_some() {
            complained.get_or_insert_with(Instant::now);
        }
        let splat = complained.map(|since| since.elapsed());
        let over = watch.over(begin.elapsed(), heard.elapsed(), splat, limit);
        let last = status.is_some() || over.is_some();
        let read = if last {
            Follower::last_lines
        } else {
            Follower::new_lines
        };
        for line in read(&mut console)? {
            heard = Instant::now();
            listener.console(&line);
            watch.console(&line);
        }
        for line in read(&mut control)? {
            heard = Instant::now();
            watch.control(&line);
        }
        for line in read(&mut output)? {
            heard = Instant::now();
            listener.output(&line);
            watch.output.push(line);
        }
        match (status, over) {
            (Some(status), _) => break Stop::Exited(status),
            (None, _) if watch.early.is_some() => break Stop::Early,
            (None, Some(over)) => break over,
            (None, None) => std::thread::sleep(TICK),
        }
    };
    drop(qemu);

    let bytes = fs::read(&archive).with_context(|| format!("reading {}", archive.display()))?;
    let files = cpio::read_files(&bytes);
    let qemu_said = fs::read_to_string(&complaints).unwrap_or_default();
    let early = watch.failed_early(&stopped, &qemu_said);
    let mut end = watch.judge(stopped, &qemu_said);
    let files = match files {
        Ok(files) => files,
        Err(error) if watch.facts.ended && end.is_success() => {
            end = End::Reason(format!("the guest's /out came over damaged: {error}"));
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    let outcome = Outcome {
        end,
        facts: watch.facts,
        files,
        output: watch.output,
        console: console_path,
        took: begin.elapsed(),
        again: Vec::new(),
    };
    Ok((outcome, early))
}

/// Gives the user a shell in the machine. True if QEMU exited with 0.
///
/// The terminal is QEMU's; what the kernel says before init is read from a copy of the console.
pub fn shell(machine: &Machine) -> Result<bool> {
    let dir = &machine.dir;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let initramfs = dir.join("initramfs.cpio");
    fs::write(&initramfs, machine.initramfs(Job::Shell)?)?;
    let _disk = machine.make_disk()?;
    let file = |name: &str| PortTo::File(dir.join(name));
    let console = dir.join("console.log");
    let ports = [
        PortTo::Terminal(console.clone()),
        file("control.log"),
        file("output.log"),
        file("out.cpio"),
    ];
    let mut reboots = 0;
    loop {
        let mut lines = Follower::create(&console)?;
        let mut qemu = machine
            .command(&initramfs, &ports)
            .spawn()
            .context("starting QEMU (is qemu-system-x86 installed? see make deps)")?;
        let mut watch = Watch::default();
        let mut heard = Instant::now();
        let mut why = None;
        while reboots < REBOOTS && !watch.init_runs && why.is_none() {
            if qemu.try_wait().context("waiting for QEMU")?.is_some() {
                break;
            }
            for line in lines.new_lines()? {
                heard = Instant::now();
                watch.console(&line);
            }
            let over = (heard.elapsed() >= SILENT_BOOT).then_some(Stop::SilentBoot);
            why = watch.failed_early(&over.unwrap_or(Stop::Early), "");
            std::thread::sleep(TICK);
        }
        if let Some(why) = why {
            // Asked to end, it leaves the terminal as it found it.
            let pid = qemu.id().to_string();
            Command::new("kill").arg(&pid).status()?;
            qemu.wait().context("waiting for QEMU")?;
            reboots += 1;
            keep_console(&console, reboots)?;
            println!("\r\n{AGAIN}{why}");
            continue;
        }
        let status = qemu.wait().context("waiting for QEMU")?;
        return Ok(status.success());
    }
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
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Exited(ExitStatus),
    TimedOut(Duration),
    /// The guest said nothing for so long.
    Silent(Duration),
    /// Nor did the kernel, before it ran anything of ours.
    SilentBoot,
    /// The kernel complained before it ran anything of ours.
    Early,
    /// The kernel complained so long ago.
    Splat,
}

/// What was seen so far.
#[derive(Default)]
struct Watch {
    facts: Facts,
    output: Vec<String>,
    splat: Option<Splat>,
    /// The kernel has begun to run the first process.
    init_runs: bool,
    /// The first complaint, if it came before that.
    early: Option<Splat>,
}

impl Watch {
    fn console(&mut self, line: &str) {
        self.init_runs |= splat::begins_init(line);
        if self.splat.is_none() {
            self.splat = splat::find(line);
            if !self.runs() {
                self.early = self.splat.clone();
            }
        }
    }

    fn runs(&self) -> bool {
        self.init_runs || self.facts.kernel.is_some()
    }

    /// Which limit is over, when the machine has run for `took`, the last word of it was `ago`, and the kernel complained
    /// `splat` ago.
    fn over(
        &self,
        took: Duration,
        ago: Duration,
        splat: Option<Duration>,
        limit: Limit,
    ) -> Option<Stop> {
        if splat.is_some_and(|splat| splat >= limit.after_splat) {
            Some(Stop::Splat)
        } else if !self.runs() && ago >= SILENT_BOOT {
            Some(Stop::SilentBoot)
        } else if took >= limit.total {
            Some(Stop::TimedOut(limit.total))
        } else if ago >= limit.silent {
            Some(Stop::Silent(limit.silent))
        } else {
            None
        }
    }

    /// Why nothing of ours was run, if the kernel is at fault and another boot may do better.
    fn failed_early(&self, stopped: &Stop, qemu_said: &str) -> Option<String> {
        if let Some(splat) = &self.early {
            return Some(splat.headline.clone());
        }
        if *stopped == Stop::SilentBoot {
            return Some("the kernel stopped before it ran init".to_owned());
        }
        let ended = matches!(stopped, Stop::Exited(_)) && qemu_said.trim().is_empty();
        (ended && !self.runs()).then(|| "the kernel did not come up".to_owned())
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
        } else if let Stop::Silent(limit) = stopped {
            format!("nothing was heard of the guest for {} s", limit.as_secs())
        } else if stopped == Stop::SilentBoot {
            "the kernel stopped before it ran init".to_owned()
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
