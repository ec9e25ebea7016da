// SPDX-License-Identifier: GPL-2.0-or-later

//! A reevectl that runs beside this process, on an open file that it inherits.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::process;
use std::process::ChildStderr;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;

use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use reeve_uapi::Device;

use crate::test::Outcome;
use crate::test::Stop;

/// What a run of reevectl gave.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A reevectl that runs beside this process.
pub(crate) struct Beside {
    child: process::Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
    /// What it has said on its standard error.
    said: String,
}

impl Beside {
    /// Starts it on this open file.
    pub(crate) fn start(device: &Device, args: &str) -> Outcome<Self> {
        let fd = inherit(device)?;
        let mut child = Command::new("reevectl")
            .args(["--fd", &fd])
            .args(args.split_whitespace())
            .env_remove("REEVE_FD")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|err| Stop::skipped(format!("no reevectl here: {err}")))?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Stop::failed("no output"));
        };
        Ok(Self {
            child,
            out: BufReader::new(out),
            err: BufReader::new(err),
            said: String::new(),
        })
    }

    /// A receiver, once it listens.
    pub(crate) fn receiver(device: &Device, address: &str, args: &str) -> Outcome<Self> {
        let mut beside = Self::start(device, &format!("migrate receive {address} {args}"))?;
        let mut line = String::new();
        beside.out.read_line(&mut line)?;
        if !line.starts_with("listening on ") {
            let run = beside.end()?;
            return Err(Stop::failed(format!("{line}{}", run.err)));
        }
        Ok(beside)
    }

    /// Waits until it says a line with `text` in it on its standard error.
    pub(crate) fn says(&mut self, text: &str) -> Outcome {
        loop {
            let begin = self.said.len();
            if self.err.read_line(&mut self.said)? == 0 {
                return Err(Stop::failed(format!("no {text:?} in:\n{}", self.said)));
            }
            if self.said[begin..].contains(text) {
                return Ok(());
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill(Pid::from_raw(self.child.id() as i32), signal)?)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Outcome<Run> {
        let (mut out, mut err) = (String::new(), self.said);
        self.out.read_to_string(&mut out)?;
        self.err.read_to_string(&mut err)?;
        let code = self.child.wait()?.code();
        Ok(Run { code, out, err })
    }
}

/// Lets programs that are started from here have the open file. Returns its number.
pub(crate) fn inherit(device: &Device) -> Outcome<String> {
    fcntl(device.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(device.as_fd().as_raw_fd().to_string())
}

/// Undoes that.
pub(crate) fn keep(device: &Device) -> Outcome {
    fcntl(device.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}
