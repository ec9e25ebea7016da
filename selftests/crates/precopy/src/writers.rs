// SPDX-License-Identifier: GPL-2.0-or-later

//! Those who write to the memory while it is moved.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use rustix::process::pidfd_open;
use rustix::process::pidfd_send_signal;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;

/// Those who write, as a whole.
pub trait Writers {
    /// Stops them. When it returns, none of them writes any more.
    fn stop(&mut self) -> io::Result<()>;

    /// Lets them run on.
    fn resume(&mut self) -> io::Result<()>;

    /// Lets them run for 100 - `percent` of the time only; 0 is full speed.
    fn slow(&mut self, percent: u8) -> io::Result<()>;

    /// Returns whether they are stopped by the logs, so that they run on when these are off.
    fn need_logs(&self) -> bool {
        false
    }
}

/// No writers that could be stopped: either there are none, or the comparison at the end will find them.
#[derive(Clone, Copy, Debug)]
pub struct NoWriters;

impl Writers for NoWriters {
    fn stop(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn slow(&mut self, _percent: u8) -> io::Result<()> {
        Ok(())
    }
}

impl Writers for Box<dyn Writers + '_> {
    fn stop(&mut self) -> io::Result<()> {
        (**self).stop()
    }

    fn resume(&mut self) -> io::Result<()> {
        (**self).resume()
    }

    fn slow(&mut self, percent: u8) -> io::Result<()> {
        (**self).slow(percent)
    }

    fn need_logs(&self) -> bool {
        (**self).need_logs()
    }
}

/// A way to stop processes and to let them run again.
pub trait Gate: Send + 'static {
    /// Stops them and waits until they are.
    fn close(&mut self) -> io::Result<()>;

    /// Lets them run.
    fn open(&mut self) -> io::Result<()>;
}

/// How long stopping may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks until `done` says yes. Fails with `TimedOut`.
fn wait_until(mut done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > PATIENCE {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the writers do not stop within 5 s",
            ));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Processes that are stopped by SIGSTOP and go on by SIGCONT. Those that they fork are not among them.
#[derive(Debug)]
pub struct Processes(Vec<(u32, OwnedFd)>);

impl Processes {
    /// Takes the processes of these numbers. Fails with ESRCH if one is not there.
    pub fn new(pids: &[u32]) -> io::Result<Self> {
        let open = |pid: &u32| {
            let number = i32::try_from(*pid).ok().and_then(Pid::from_raw);
            let number = number.ok_or(rustix::io::Errno::SRCH)?;
            Ok((*pid, pidfd_open(number, PidfdFlags::empty())?))
        };
        pids.iter().map(open).collect::<io::Result<_>>().map(Self)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        for (_, fd) in &self.0 {
            match pidfd_send_signal(fd, signal) {
                // It has ended, so it writes no more.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Returns whether every thread of the process is stopped, or has ended.
fn is_stopped(pid: u32) -> io::Result<bool> {
    let threads = match fs::read_dir(format!("/proc/{pid}/task")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        threads => threads?,
    };
    for thread in threads {
        // One that ends meanwhile cannot be read any more.
        let Ok(stat) = thread.and_then(|thread| fs::read_to_string(thread.path().join("stat")))
        else {
            continue;
        };
        // The state follows the name, which is in parentheses and may have anything in it.
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        if !matches!(state, Some('T' | 't' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Gate for Processes {
    fn close(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        for (pid, fd) in &self.0 {
            wait_until(|| {
                // The number of one that has ended, and was waited for, may be another's by now.
                let again = pidfd_send_signal(fd, Signal::STOP);
                Ok(again == Err(rustix::io::Errno::SRCH) || is_stopped(*pid)?)
            })?;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }
}

/// A cgroup that is frozen, with all processes in it and below it.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Takes the cgroup of this directory. Fails if it cannot be frozen.
    pub fn new(path: &Path) -> io::Result<Self> {
        fs::metadata(path.join("cgroup.freeze"))?;
        Ok(Self(path.to_owned()))
    }
}

impl Gate for Cgroup {
    fn close(&mut self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.freeze"), "1")?;
        let events = self.0.join("cgroup.events");
        wait_until(|| {
            let text = fs::read_to_string(&events)?;
            Ok(text.lines().any(|line| line == "frozen 1"))
        })
    }

    fn open(&mut self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.freeze"), "0")
    }
}

/// Writers behind a gate, which a thread opens and closes to slow them.
///
/// Dropping it lets them run, unless they were stopped.
#[derive(Debug)]
pub struct Duty<G: Gate> {
    shared: Arc<Shared<G>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<G> {
    state: Mutex<State<G>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<G> {
    gate: G,
    percent: u8,
    stopped: bool,
    ending: bool,
    error: Option<io::Error>,
}

/// Once in this time slowed writers stop and run.
const CYCLE: Duration = Duration::from_millis(100);

impl<G: Gate> Duty<G> {
    /// Takes the writers behind this gate, which is open.
    pub fn new(gate: G) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                gate,
                percent: 0,
                stopped: false,
                ending: false,
                error: None,
            }),
            changed: Condvar::new(),
        });
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("duty cycle".to_owned())
            .spawn(move || theirs.cycle())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Changes what the writers may do, and tells the thread.
    fn change<T>(&self, change: impl FnOnce(&mut State<G>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.shared.lock();
        let earlier = state.error.take();
        let result = change(&mut state);
        self.shared.changed.notify_all();
        earlier.map_or(result, Err)
    }
}

impl<G: Gate> Shared<G> {
    fn lock(&self) -> MutexGuard<'_, State<G>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cycle(&self) {
        let mut state = self.lock();
        while !state.ending {
            if state.stopped || state.percent == 0 {
                state = self.wait(state, None);
                continue;
            }
            let stop = CYCLE * u32::from(state.percent) / 100;
            for (close, time) in [(true, stop), (false, CYCLE - stop)] {
                if state.stopped || state.ending || state.percent == 0 {
                    break;
                }
                let gate = &mut state.gate;
                let done = if close { gate.close() } else { gate.open() };
                if let Err(error) = done {
                    state.error = Some(error);
                    state.percent = 0;
                }
                state = self.wait(state, Some(time));
            }
            if !state.stopped {
                let opened = state.gate.open();
                state.error = state.error.take().or(opened.err());
            }
        }
    }

    fn wait<'s>(
        &'s self,
        state: MutexGuard<'s, State<G>>,
        time: Option<Duration>,
    ) -> MutexGuard<'s, State<G>> {
        match time {
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                let waited = self.changed.wait_timeout(state, time);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl<G: Gate> Writers for Duty<G> {
    fn stop(&mut self) -> io::Result<()> {
        self.change(|state| {
            state.stopped = true;
            state.gate.close()
        })
    }

    fn resume(&mut self) -> io::Result<()> {
        self.change(|state| {
            state.stopped = false;
            state.gate.open()
        })
    }

    fn slow(&mut self, percent: u8) -> io::Result<()> {
        self.change(|state| {
            state.percent = percent.min(99);
            if percent == 0 && !state.stopped {
                state.gate.open()?;
            }
            Ok(())
        })
    }
}

impl<G: Gate> Drop for Duty<G> {
    fn drop(&mut self) {
        let _ = self.change(|state| {
            state.ending = true;
            if !state.stopped {
                state.gate.open()?;
            }
            Ok(())
        });
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::mpsc;

    /// A gate that tells of each change.
    struct Told(mpsc::Sender<bool>);

    impl Gate for Told {
        fn close(&mut self) -> io::Result<()> {
            self.0.send(true).map_err(io::Error::other)
        }

        fn open(&mut self) -> io::Result<()> {
            self.0.send(false).map_err(io::Error::other)
        }
    }

    #[test]
    fn slowed_writers_stop_and_run_in_turn() {
        let (told, heard) = mpsc::channel();
        let mut duty = Duty::new(Told(told)).unwrap();
        duty.slow(50).unwrap();
        let seen: Vec<bool> = heard.iter().take(6).collect();
        assert_eq!(seen.iter().filter(|closed| **closed).count(), 2, "{seen:?}");
        duty.stop().unwrap();
        // What it was told last is that they are stopped, and that stays so after its end.
        drop(duty);
        assert_eq!(heard.iter().last(), Some(true));
        let (told, heard) = mpsc::channel();
        let mut duty = Duty::new(Told(told)).unwrap();
        duty.stop().unwrap();
        duty.resume().unwrap();
        duty.slow(99).unwrap();
        drop(duty);
        assert_eq!(heard.iter().last(), Some(false));
    }

    #[test]
    fn processes_are_stopped_when_it_returns() {
        let mut child = Command::new("yes")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut gate = Processes::new(&[child.id()]).unwrap();
        for _ in 0..20 {
            gate.close().unwrap();
            assert!(is_stopped(child.id()).unwrap());
            gate.open().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        gate.close().unwrap();
        gate.open().unwrap();
        assert!(Processes::new(&[0]).is_err());
        assert!(Processes::new(&[u32::MAX]).is_err());
        assert!(Cgroup::new(Path::new("/nonexistent")).is_err());
    }
}
