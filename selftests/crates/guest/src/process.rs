// SPDX-License-Identifier: GPL-2.0-or-later

//! Child processes that run a closure, can be talked to, and end when they are dropped.
//!
//! All `unsafe` around processes is here.

use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sched::sched_getaffinity;
use nix::sched::sched_getcpu;
use nix::sched::sched_setaffinity;
use nix::sched::CpuSet;
use nix::sys::resource::getrusage;
use nix::sys::resource::UsageWho;
use nix::sys::signal::kill;
use nix::sys::signal::sigaction;
use nix::sys::signal::SaFlags;
use nix::sys::signal::SigAction;
use nix::sys::signal::SigHandler;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::sys::wait::WaitStatus;
use nix::unistd::fork;
use nix::unistd::getpid;
use nix::unistd::setpgid;
use nix::unistd::ForkResult;
use nix::unistd::Pid;

use crate::runner::scale;
use crate::test::Outcome;
use crate::test::Stop;

/// How long a talk with a child may take before something is wrong.
fn patience() -> Duration {
    Duration::from_secs(60).mul_f64(scale())
}

/// Returns the processor's time that this process has spent in the kernel.
pub(crate) fn time_in_kernel() -> Outcome<Duration> {
    let time = getrusage(UsageWho::RUSAGE_SELF)?.system_time();
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Ok(Duration::from_micros(micros as u64))
}

/// Measures until that takes less than `limit`, three times at most, and returns the least: a machine with other work to
/// do lets time pass that nothing here has used.
pub(crate) fn least_until(
    limit: Duration,
    measure: impl Fn() -> Outcome<Duration>,
) -> Outcome<Duration> {
    let mut least = measure()?;
    for _ in 1..3 {
        if least < limit {
            break;
        }
        least = least.min(measure()?);
    }
    Ok(least)
}

/// The end of a talk between a process and the one that made it.
pub(crate) struct Line(UnixStream);

impl Line {
    /// Says one byte.
    pub(crate) fn say(&mut self, byte: u8) -> Outcome {
        Ok(self.0.write_all(&[byte])?)
    }

    /// Hears one byte; fails when the other end is gone or silent.
    pub(crate) fn hear(&mut self) -> Outcome<u8> {
        let mut byte = [0];
        match self.0.read_exact(&mut byte) {
            Ok(()) => Ok(byte[0]),
            Err(err) => Err(Stop::failed(format!(
                "the other process says nothing: {err}"
            ))),
        }
    }

    /// True when the other end has said something; does not wait for it.
    pub(crate) fn heard(&mut self) -> Outcome<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
    }

    /// The socket itself, for passing files.
    pub(crate) fn socket(&self) -> &UnixStream {
        &self.0
    }
}

/// A child process. Dropping it kills it.
pub(crate) struct Child {
    pid: Pid,
    exit: OwnedFd,
    result: UnixStream,
    pub(crate) line: Line,
    reaped: bool,
}

impl Child {
    /// Runs `f` in a new process, which ends with it. The result is fetched by [`Child::join`].
    pub(crate) fn run(f: impl FnOnce(&mut Line) -> Outcome) -> Outcome<Self> {
        Self::start(f, false)
    }

    /// The same as the leader of a process group of its own, for [`Child::kill_group`].
    pub(crate) fn run_in_group(f: impl FnOnce(&mut Line) -> Outcome) -> Outcome<Self> {
        Self::start(f, true)
    }

    fn start(f: impl FnOnce(&mut Line) -> Outcome, group: bool) -> Outcome<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let (result, write_result) = UnixStream::pair()?;
        for socket in [&ours, &theirs] {
            socket.set_read_timeout(Some(patience()))?;
        }
        result.set_nonblocking(true)?;

        // SAFETY: the child goes on with a copy of this thread only. Processes that fork here have
        // no other threads, so no lock of the allocator or of std is held by one that is not there.
        let pid = match unsafe { fork() }? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop((ours, result));
                child_main(f, theirs, write_result, group)
            }
        };
        if group {
            // Both sides do it, so that it is done whichever runs first; the child may have exec'ed.
            let _ = setpgid(pid, pid);
        }
        Ok(Self {
            pid,
            exit: pidfd_open(pid)?,
            result,
            line: Line(ours),
            reaped: false,
        })
    }

    /// Waits for the end and returns what the closure returned.
    pub(crate) fn join(mut self) -> Outcome {
        self.join_within(patience())
    }

    /// The same with a time limit of its own.
    pub(crate) fn join_within(&mut self, limit: Duration) -> Outcome {
        if !self.wait(limit)? {
            return Err(Stop::failed(format!(
                "still running after {} s",
                limit.as_secs()
            )));
        }
        let status = waitpid(self.pid, None)?;
        self.reaped = true;
        match status {
            WaitStatus::Exited(_, 0) => decode(&mut self.result),
            WaitStatus::Exited(_, code) => Err(Stop::failed(format!("exit code {code}"))),
            WaitStatus::Signaled(_, signal, _) => Err(Stop::failed(format!("killed by {signal}"))),
            other => Err(Stop::failed(format!("ended oddly: {other:?}"))),
        }
    }

    /// Waits for the end, which has to be by this signal.
    pub(crate) fn join_killed_by(mut self, expected: Signal) -> Outcome {
        if !self.wait(patience())? {
            return Err(Stop::failed("it goes on"));
        }
        let status = waitpid(self.pid, None)?;
        self.reaped = true;
        match status {
            WaitStatus::Signaled(_, signal, _) if signal == expected => Ok(()),
            WaitStatus::Exited(..) => decode(&mut self.result)
                .and_then(|()| Err(Stop::failed("it ended as if nothing had happened"))),
            other => Err(Stop::failed(format!("ended oddly: {other:?}"))),
        }
    }

    /// True while the process has not ended.
    pub(crate) fn is_running(&self) -> Outcome<bool> {
        Ok(!self.wait(Duration::ZERO)?)
    }

    /// True while it runs and is not stopped by a signal.
    pub(crate) fn is_going(&self) -> Outcome<bool> {
        Ok(self.is_running()? && !self.is_stopped()?)
    }

    /// True while it is stopped by a signal.
    pub(crate) fn is_stopped(&self) -> Outcome<bool> {
        self.is_in_state('T')
    }

    /// True while it waits for something that no signal but SIGKILL ends.
    pub(crate) fn is_deaf(&self) -> Outcome<bool> {
        self.is_in_state('D')
    }

    fn is_in_state(&self, expected: char) -> Outcome<bool> {
        Ok(state(self.pid)? == Some(expected))
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends SIGKILL and waits until the process is gone, its files closed. It must not have ended
    /// before.
    pub(crate) fn kill(mut self) -> Outcome {
        kill(self.pid, Signal::SIGKILL)?;
        if !self.wait(patience())? {
            return Err(Stop::failed("SIGKILL does not end it"));
        }
        let status = waitpid(self.pid, None)?;
        self.reaped = true;
        match status {
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => Ok(()),
            _ => decode(&mut self.result)
                .and_then(|()| Err(Stop::failed("it had ended before it was killed"))),
        }
    }

    /// Ends everything in the child's process group.
    pub(crate) fn kill_group(&self) {
        let group = Pid::from_raw(-self.pid.as_raw());
        // ESRCH: all are gone already.
        let _ = kill(group, Signal::SIGKILL);
    }

    /// True when the process has ended within `limit`.
    fn wait(&self, limit: Duration) -> Outcome<bool> {
        let mut fds = [PollFd::new(self.exit.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        loop {
            match poll(&mut fds, timeout) {
                Ok(ended) => return Ok(ended > 0),
                Err(Errno::EINTR) => {}
                Err(err) => return Err(err.into()),
            }
        }
    }
}

/// Returns the letter of the process's state; `T` while it is stopped by a signal.
pub(crate) fn state(pid: Pid) -> Outcome<Option<char>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The state follows the name, which is in parentheses and may have anything in it.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    Ok(state.and_then(|state| state.chars().next()))
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// The child's life: runs `f`, sends the outcome and exits, without ever returning.
fn child_main(
    f: impl FnOnce(&mut Line) -> Outcome,
    line: UnixStream,
    mut result: UnixStream,
    group: bool,
) -> ! {
    if group {
        let me = getpid();
        let _ = setpgid(me, me);
    }
    panic::set_hook(Box::new(|_| {}));
    let run = panic::AssertUnwindSafe(|| f(&mut Line(line)));
    let outcome = panic::catch_unwind(run)
        .unwrap_or_else(|payload| Err(Stop::Failed(format!("panicked: {}", said(&*payload)))));
    let sent = result.write_all(encode(&outcome).as_bytes()).is_ok();
    drop(result);
    // SAFETY: no requirements; unlike `exit`, it leaves what the parent registered alone.
    unsafe { libc::_exit(if sent { 0 } else { 99 }) }
}

/// What a panic said.
fn said(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("?")
}

fn encode(outcome: &Outcome) -> String {
    match outcome {
        Ok(()) => "ok".to_owned(),
        Err(Stop::Failed(text)) => format!("failed {text}"),
        Err(Stop::Skipped(text)) => format!("skipped {text}"),
    }
}

fn decode(from: &mut dyn Read) -> Outcome {
    // Nonblocking: a grandchild may hold the other end open, but all there is has been written.
    let mut text = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match from.read(&mut buf) {
            Ok(0) => break,
            Ok(len) => text.extend_from_slice(&buf[..len]),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
            Err(err) => return Err(err.into()),
        }
    }
    let text = String::from_utf8_lossy(&text);
    match text.split_once(' ') {
        None if text == "ok" => Ok(()),
        Some(("failed", text)) => Err(Stop::Failed(text.to_owned())),
        Some(("skipped", text)) => Err(Stop::Skipped(text.to_owned())),
        _ => Err(Stop::failed("ended without a result")),
    }
}

/// Keeps this thread, and children that are made meanwhile, on the CPU it runs on.
pub(crate) struct OneCpu(CpuSet);

impl OneCpu {
    pub(crate) fn stay() -> Outcome<Self> {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this)?;
        let mut one = CpuSet::new();
        one.set(sched_getcpu()?)?;
        sched_setaffinity(this, &one)?;
        Ok(Self(before))
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// Waits, as after `vfork()`, for a child that does nothing: until this process is killed, no signal ends or stops it.
pub(crate) fn be_deaf() -> Outcome {
    let flags = i64::from(libc::CLONE_VFORK | libc::SIGCHLD);
    // SAFETY: without CLONE_VM this is `fork()`, whose child goes on with a copy of this thread; it only waits, and ends
    // with this process.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(Errno::last().into()),
        0 => {
            // SAFETY: a number is set.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            loop {
                nix::unistd::pause();
            }
        }
        _ => Err(Stop::failed("its child ended")),
    }
}

/// From now on SIGUSR1 ends a system call that it interrupts, and does nothing else.
pub(crate) fn be_interrupted() -> Outcome {
    extern "C" fn nothing(_signal: libc::c_int) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, which it may do at any time.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    Ok(())
}

/// From now on this thread only runs while its CPU has nothing else to do.
pub(crate) fn run_when_idle() -> Outcome {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: it reads the structure, which is a local variable, and changes this thread only.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &priority) })?;
    Ok(())
}

/// A descriptor that becomes readable when the process ends.
fn pidfd_open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: takes two numbers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor and no other owner knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test harness has threads; these children only use what fork allows in that case (the
    // allocator of glibc is usable after fork).

    #[test]
    fn outcomes_come_back() {
        for outcome in [
            Ok(()),
            Err(Stop::Failed("because 1 is not 2".to_owned())),
            Err(Stop::Skipped("not here".to_owned())),
        ] {
            let expected = outcome.clone();
            let child = Child::run(move |_| outcome).unwrap();
            assert_eq!(child.join(), expected);
        }
    }

    #[test]
    fn deaths_are_failures() {
        let child = Child::run(|_| {
            kill(getpid(), Signal::SIGTERM)?;
            Ok(())
        });
        let outcome = child.unwrap().join();
        assert!(matches!(outcome, Err(Stop::Failed(text)) if text.contains("SIGTERM")));
        let child = Child::run(|_| panic!("at {}", 5)).unwrap();
        assert_eq!(child.join(), Err(Stop::Failed("panicked: at 5".to_owned())));
    }

    #[test]
    fn time_limits_hold() {
        let mut child = Child::run(|line| line.hear().map(drop)).unwrap();
        let outcome = child.join_within(Duration::from_millis(10));
        assert!(matches!(outcome, Err(Stop::Failed(text)) if text.contains("still running")));
        child.kill().unwrap();
    }

    #[test]
    fn both_can_talk() {
        let mut child = Child::run(|line| {
            let number = line.hear()?;
            line.say(number + 1)?;
            line.hear().map(drop)
        })
        .unwrap();
        assert!(!child.line.heard().unwrap());
        child.line.say(40).unwrap();
        assert_eq!(child.line.hear().unwrap(), 41);
        child.line.say(0).unwrap();
        child.join().unwrap();
    }
}
