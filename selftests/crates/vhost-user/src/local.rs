// SPDX-License-Identifier: GPL-2.0-or-later
//! A back end in a thread of this process, for tests that look into it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use rustix::event::{eventfd, EventfdFlags};

use crate::backend::Backend;
use crate::server::{Action, Control, Observer, Server};
use crate::wire::LIMIT;

/// A back end that runs until it is dropped.
#[derive(Debug)]
pub struct Local {
    path: PathBuf,
    stop: OwnedFd,
    wake: OwnedFd,
    actions: Sender<Action>,
    thread: Option<JoinHandle<crate::error::Result<()>>>,
}

/// Returns an eventfd.
pub fn event() -> anyhow::Result<OwnedFd> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    eventfd(0, flags).context("eventfd")
}

impl Local {
    /// Starts a back end on a socket.
    pub fn start(
        path: &Path,
        backend: Backend,
        mut observer: Box<dyn Observer>,
    ) -> anyhow::Result<Self> {
        let server = Server::new(path)?;
        let (stop, wake) = (event()?, event()?);
        let (actions, received) = mpsc::channel();
        let control = Control {
            stop: stop.try_clone()?,
            actions: Some((received, wake.try_clone()?)),
        };
        let thread = thread::spawn(move || server.run(backend, &control, observer.as_mut()));
        Ok(Self {
            path: path.into(),
            stop,
            wake,
            actions,
            thread: Some(thread),
        })
    }

    /// Returns the socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does something between two messages and returns what came of it.
    pub fn with<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Backend) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let (reply, replied) = mpsc::channel();
        let action: Action = Box::new(move |backend| {
            // Who asked may have given up.
            let _ = reply.send(action(backend));
        });
        self.actions
            .send(action)
            .ok()
            .context("the back end has ended")?;
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes())?;
        replied
            .recv_timeout(LIMIT)
            .context("the back end does not reply")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed.
            let _ = thread.join();
        }
    }
}
