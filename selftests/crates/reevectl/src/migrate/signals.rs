// SPDX-License-Identifier: GPL-2.0-or-later

//! Ctrl-C and SIGTERM as requests to cancel, which leave both sides as they were.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;

use reeve_precopy::Address;
use reeve_precopy::Channel;
use reeve_precopy::Listener;
use reeve_precopy::Socket;

use crate::error::Error;
use crate::error::Result;

/// The signals that end a migration, blocked and kept until they are asked for.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks them in this thread, and in those that it makes.
    pub(crate) fn block() -> Result<Self> {
        let refused = |errno| Error::Check(format!("could not wait for signals: {errno}"));
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        signals.thread_block().map_err(refused)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&signals, flags)
            .map(Self)
            .map_err(refused)
    }

    /// Returns whether one came. It stays so.
    pub(super) fn came(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0)
    }

    /// Waits for `limit`, or until one comes. Returns whether one did.
    pub(super) fn come_within(&self, limit: Duration) -> io::Result<bool> {
        match self.wait_for(&self.0, Some(limit)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            other => other.map(|()| true),
        }
    }

    /// Takes no note of those that came.
    pub(super) fn forget(&self) -> io::Result<()> {
        while self.0.read_signal()?.is_some() {}
        Ok(())
    }

    /// Waits until one comes.
    pub(crate) fn wait(&self) -> io::Result<()> {
        match self.wait_for(&self.0, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    /// Waits until `file` can be read. Fails with `Interrupted` if a signal comes first, with `TimedOut` after `limit`.
    pub(super) fn wait_for(&self, file: &impl AsFd, limit: Option<Duration>) -> io::Result<()> {
        let timeout = limit.map_or(PollTimeout::NONE, |limit| {
            PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
        });
        loop {
            let mut fds = [
                PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
                PollFd::new(file.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, timeout) {
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) if fds[0].any() == Some(true) => {
                    return Err(io::ErrorKind::Interrupted.into())
                }
                Ok(_) => return Ok(()),
            }
        }
    }
}

/// A connection on which waiting ends when a signal comes.
#[derive(Debug)]
pub(super) struct Connection<'s> {
    socket: Socket,
    silence: Duration,
    signals: &'s Signals,
    again: Again,
}

/// Where another connection comes from when this one is lost.
#[derive(Debug)]
pub(super) enum Again {
    /// There is none.
    Never,
    /// It is made to there.
    To(Address),
    /// It comes from there.
    From(Listener),
}

impl<'s> Connection<'s> {
    pub(super) fn new(
        socket: Socket,
        silence: Duration,
        signals: &'s Signals,
        again: Again,
    ) -> Self {
        Self {
            socket,
            silence,
            signals,
            again,
        }
    }
}

impl Channel for Connection<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write(bytes)
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<()> {
        // A frame may have no payload, and then nothing follows that could be waited for.
        if !to.is_empty() {
            self.signals.wait_for(&self.socket, Some(self.silence))?;
        }
        self.socket.read(to)
    }

    fn is_waiting(&mut self) -> io::Result<bool> {
        self.socket.is_waiting()
    }

    fn reconnect(&mut self, limit: Duration) -> io::Result<()> {
        self.socket.close();
        self.socket = match &self.again {
            Again::Never => return Err(io::ErrorKind::Unsupported.into()),
            Again::To(address) => address.connect(self.silence.min(limit))?,
            Again::From(listener) => {
                self.signals.wait_for(listener, Some(limit))?;
                listener.accept(self.silence)?
            }
        };
        Ok(())
    }

    fn drain(&mut self) {
        self.socket.drain();
    }
}
