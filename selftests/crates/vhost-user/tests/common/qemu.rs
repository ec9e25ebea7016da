// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU as the front end: its command line, its monitor (QMP), its test protocol (qtest).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use qapi::Command;

use super::common::{command, until, within, Dir, Running, LIMIT};
use super::qmp::{Migration, Qmp, QueryMigrate, QueryStatus};

/// How long firmware may take until its driver is there, on a machine that is busy.
pub(crate) const BOOT: Duration = Duration::from_secs(30);

/// A socket on which requests and replies are lines.
struct Lines {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Lines {
    fn new(stream: UnixStream) -> Self {
        let writer = stream.try_clone().unwrap();
        let reader = BufReader::new(stream);
        Self { reader, writer }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader
            .read_line(&mut line)
            .expect("QEMU replies in time");
        assert!(!line.is_empty(), "QEMU has ended");
        line
    }

    fn send(&mut self, line: &str) {
        writeln!(self.writer, "{line}").unwrap();
    }
}

/// Connects to a socket of QEMU's, which replies in time.
fn connect(path: &PathBuf) -> UnixStream {
    let stream = within(BOOT, "QEMU's socket", || UnixStream::connect(path).ok());
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Executes commands at a socket of qtest, and returns what they reply after `OK`.
pub(crate) fn qtest(path: &PathBuf, commands: &[String]) -> Vec<String> {
    let mut qtest = Lines::new(connect(path));
    let mut reply = |command: &String| {
        qtest.send(command);
        let reply = qtest.line();
        let value = reply.trim().strip_prefix("OK");
        let value = value.unwrap_or_else(|| panic!("qtest: {command}: {reply}"));
        value.trim().to_string()
    };
    commands.iter().map(&mut reply).collect()
}

/// Returns a number that qtest replied with.
fn number(reply: &str) -> u32 {
    let digits = reply.strip_prefix("0x").unwrap();
    u64::from_str_radix(digits, 16).unwrap() as u32
}

/// A QEMU that is killed when dropped.
pub(crate) struct Qemu {
    running: Running,
    qmp: Qmp,
    qtest: Option<PathBuf>,
    errors: PathBuf,
}

/// Whether QEMU is installed.
pub(crate) fn is_there() -> bool {
    let mut version = command("qemu-system-x86_64");
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

impl Qemu {
    /// Starts a machine whose memory is shared; `memory` is the backend's object without its size.
    pub(crate) fn start(dir: &Dir, name: &str, memory: &str, kib: u64, more: &[String]) -> Self {
        let (qmp, errors) = (
            dir.join(&format!("{name}.qmp")),
            dir.join(&format!("{name}.err")),
        );
        let mut qemu = command("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none"]);
        qemu.args([
            "-machine",
            "pc,accel=tcg,memory-backend=mem",
            "-m",
            &format!("{kib}k"),
        ]);
        qemu.args(["-object", &format!("{memory},id=mem,size={kib}k,share=on")]);
        qemu.args([
            "-qmp",
            &format!("unix:{},server=on,wait=off", qmp.display()),
        ]);
        let qtest = more
            .iter()
            .any(|m| m == "-qtest")
            .then(|| dir.join(&format!("{name}.qtest")));
        for argument in more {
            qemu.arg(argument);
            if let (Some(path), "-qtest") = (&qtest, argument.as_str()) {
                qemu.arg(format!("unix:{},server=on,wait=off", path.display()));
                qemu.args(["-qtest-log", "/dev/null"]);
            }
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::null());
        qemu.stderr(fs::File::create(&errors).unwrap());
        let running = Running(qemu.spawn().unwrap());
        Self {
            running,
            qmp: Qmp::new(connect(&qmp)),
            qtest,
            errors,
        }
    }

    /// Returns what QEMU said on standard error.
    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// Executes a command; the error is QEMU's description.
    pub(crate) fn ask<C: Command>(&mut self, command: &C) -> Result<C::Ok, String> {
        self.qmp.ask(command)
    }

    /// Waits for an event that came since the start.
    pub(crate) fn event(&mut self, name: &str, limit: Duration) {
        within(limit, name, || {
            self.ask(&QueryStatus {}).unwrap();
            self.qmp.has_seen(name).then_some(())
        });
    }

    /// Returns the migration as it is now.
    pub(crate) fn migration(&mut self) -> Migration {
        self.ask(&QueryMigrate {}).unwrap()
    }

    /// Waits until the migration has this status.
    pub(crate) fn migration_is(&mut self, status: &str, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            let now = self.migration();
            let is = now.status.as_deref().unwrap_or_default();
            if is == status {
                return;
            }
            let ended = ["failed", "completed", "cancelled"].contains(&is);
            assert!(
                !ended && Instant::now() < end,
                "the migration is not {status}: {now:?}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns how often the dirty bitmap was taken.
    pub(crate) fn rounds(&mut self) -> u64 {
        self.migration().ram.map_or(0, |ram| ram.dirty_sync_count)
    }

    /// Reads words of the guest's memory, from address 0 on, by qtest.
    pub(crate) fn words(&self, count: u64) -> Vec<u32> {
        let commands: Vec<_> = (0..count).map(|n| format!("readl {:#x}", 4 * n)).collect();
        let replies = self.qtest(&commands);
        replies.iter().map(|reply| number(reply)).collect()
    }

    /// Reads a word of the guest's memory by qtest.
    pub(crate) fn word(&self, address: u64) -> u32 {
        number(&self.qtest(&[format!("readl {address:#x}")])[0])
    }

    /// Executes commands of qtest, and returns what they reply after `OK`.
    pub(crate) fn qtest(&self, commands: &[String]) -> Vec<String> {
        qtest(self.qtest.as_ref().expect("with -qtest"), commands)
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.running.0.kill().unwrap();
        until("QEMU's end", || self.running.0.try_wait().unwrap());
    }
}
