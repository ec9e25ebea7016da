// SPDX-License-Identifier: GPL-2.0-or-later
//! What the tests have in common: a directory and children that go with them.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that takes a moment.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// The back end's program.
pub(crate) const PEER: &str = env!("CARGO_BIN_EXE_reeve-vhost-peer");
/// The check's program.
pub(crate) const CHECK: &str = env!("CARGO_BIN_EXE_reeve-vhost-check");

/// A directory that is removed when dropped.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("reeve-vhost-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A child that is killed when dropped, and by the kernel when this process dies.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end; the exit status, or `None` after a signal.
    pub(crate) fn end(&mut self) -> Option<i32> {
        until("the child's end", || self.0.try_wait().unwrap()).code()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.pid() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a command whose process dies with this one.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Tries until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, &mut look)
}

/// Tries until something is there, for as long as is said.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Starts a program that listens on a socket, and waits until it does.
pub(crate) fn listening(mut command: Command, socket: &Path) -> Running {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    until("a listener", || {
        let early = running.0.try_wait().unwrap();
        assert!(early.is_none(), "it ended before it listened: {early:?}");
        UnixStream::connect(socket).ok()
    });
    running
}

/// Sets how many file descriptors a process may have.
pub(crate) fn limit_fds(pid: u32, most: u64) {
    let mut prlimit = command("prlimit");
    prlimit.arg(format!("--nofile={most}:"));
    prlimit.arg(format!("--pid={pid}"));
    assert!(prlimit.status().unwrap().success());
}

/// Starts the back end's program.
pub(crate) fn peer(socket: &Path, arguments: &[&str]) -> Running {
    let mut command = command(PEER);
    command
        .arg("--socket")
        .arg(socket)
        .args(arguments)
        .stderr(Stdio::null());
    listening(command, socket)
}

/// Runs the check's program to its end.
pub(crate) fn check(socket: &Path, arguments: &[&str]) -> Output {
    let mut command = command(CHECK);
    command.arg("--socket").arg(socket).args(arguments);
    command.output().unwrap()
}

/// Returns what is in an output, as text.
pub(crate) fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

/// The requirement that a back end which does not keep it fails now and then, by the moment.
pub(crate) const NOW_AND_THEN: &str = "rings/stop-in-flight";

/// Returns the names of the requirements that failed, but the one that back ends of others fail now and then.
pub(crate) fn failed_each_time(output: &Output) -> Vec<String> {
    let mut failed = failed(output);
    failed.retain(|name| name != NOW_AND_THEN);
    failed
}

/// Returns the names of the requirements that failed.
pub(crate) fn failed(output: &Output) -> Vec<String> {
    let out = String::from_utf8_lossy(&output.stdout);
    let lines = out.lines().filter(|line| line.starts_with("not ok "));
    lines
        .filter_map(|line| line.split(' ').nth(3))
        .map(String::from)
        .collect()
}
