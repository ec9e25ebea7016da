// SPDX-License-Identifier: GPL-2.0-or-later
//! What a job works with: where things are, and how to run a command so that its output is kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{bail, Context, Result};

use crate::vm::AGAIN;

/// A job's place to work.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// The checkout.
    pub root: PathBuf,
    /// Where everything made goes.
    pub build: PathBuf,
    /// This job's own directory.
    pub dir: PathBuf,
    /// How many processors to use.
    pub jobs: usize,
    /// Of all jobs: which boots were repeated, and why. See [`crate::vm::run`].
    pub again: Arc<Mutex<Vec<String>>>,
}

/// What a command left.
#[derive(Debug)]
pub struct Done {
    /// Did it exit 0?
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
}

impl JobContext {
    /// The log that commands without a better place write to.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Adds a line to the log; the last one is shown while the job runs.
    pub fn note(&self, line: &str) {
        use std::io::Write as _;
        // Losing a progress line is no reason to fail.
        if let Ok(mut log) = File::options().create(true).append(true).open(self.log()) {
            let _ = writeln!(log, "{line}");
        }
    }

    /// Counts a boot that is repeated because its kernel failed before it ran anything of ours.
    pub fn booted_again(&self, why: &str) {
        self.note(&format!("{AGAIN}{why}"));
        let job = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.push(format!("{job}: {why}"));
    }

    /// The boots that were repeated so far.
    pub fn all_booted_again(&self) -> Vec<String> {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.clone()
    }

    /// A command in the checkout that dies with us.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", program]);
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Runs a command, its standard output and errors in one log. Returns the output of this run alone.
    pub fn run_merged(&self, command: &mut Command, name: &str) -> Result<Done> {
        let path = self.dir.join(name);
        let log = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let status = command
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let bytes = fs::read(&path)?;
        Ok(Done {
            success: status.success(),
            stdout: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// Runs a verb of the setup scripts. Returns what it printed, line by line.
    pub fn setup(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let output = self
            .command("selftests/setup/make.sh")
            .args(arguments)
            .stderr(log)
            .output()
            .context("starting selftests/setup/make.sh")?;
        if !output.status.success() {
            bail!(
                "{} failed:\n{}",
                arguments.join(" "),
                self.tail(&self.log(), 15)
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The last lines of a file, for an error text.
    pub fn tail(&self, path: &Path, count: usize) -> String {
        let bytes = fs::read(path).unwrap_or_default();
        tail(&String::from_utf8_lossy(&bytes), count)
    }

    /// The files of the checkout whose path satisfies `wanted`, new ones that are not ignored included.
    pub fn files(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let output = self
            .command("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("starting git")?;
        if !output.status.success() {
            bail!("git ls-files failed; is this a git checkout?");
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let exists = |path: &&str| self.root.join(path).is_file();
        let mut files: Vec<String> = text
            .lines()
            .filter(|path| wanted(path))
            .filter(exists)
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// The last `count` lines of a text.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
