// SPDX-License-Identifier: GPL-2.0-or-later
//! Serves one client after the other on a socket.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::backend::Backend;
use crate::broken::Broken;
use crate::error::{Error, Result};
use crate::wire::{self, Message};

/// The longest path of a socket.
const PATH: usize = 107;
/// How often a ring without a kick is looked at.
const POLL: Duration = Duration::from_millis(1);
/// How long the listener waits when there are no file descriptors left.
const NO_FDS: Duration = Duration::from_millis(100);

/// Is told what happens, in the thread in which it happens.
pub trait Observer: Send {
    /// A client has come.
    fn connected(&mut self) {}
    /// A message has come and was not handled yet.
    fn before(&mut self, _backend: &mut Backend, _message: &Message) {}
    /// The message with this name was handled, and these replies are about to be sent.
    fn after(&mut self, _backend: &mut Backend, _name: &str, _replies: &[Message]) {}
    /// The client is gone, or was sent away because of an error.
    fn closed(&mut self, _error: Option<&Error>) {}
}

/// An observer that does nothing.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {}

/// Something that another thread wants to be done between two messages.
pub type Action = Box<dyn FnOnce(&mut Backend) + Send>;

/// How other threads reach a server.
#[derive(Debug)]
pub struct Control {
    /// Readable when the server is to end.
    pub stop: OwnedFd,
    /// Where to take actions from, and the fd that is readable when there are some.
    pub actions: Option<(std::sync::mpsc::Receiver<Action>, OwnedFd)>,
}

/// Returns what becomes readable with SIGTERM or SIGINT, which then end nothing by themselves.
///
/// To be called before there are other threads, which would still be ended.
pub fn terminated() -> anyhow::Result<OwnedFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().context("blocking SIGTERM")?;
    let fd = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).context("signalfd")?;
    fd.as_fd().try_clone_to_owned().context("signalfd")
}

/// A socket that is listened on; its file is removed when dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

enum Ready {
    Stop,
    Go,
}

impl Server {
    /// Listens on a path. A socket there that no process listens on any more is replaced.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        anyhow::ensure!(
            path.as_os_str().len() <= PATH,
            "the path {shown} is longer than the {PATH} bytes of a socket's; choose a shorter one"
        );
        if let Ok(meta) = fs::symlink_metadata(path) {
            anyhow::ensure!(
                meta.file_type().is_socket(),
                "{shown} exists and is no socket; remove it or choose another path"
            );
            anyhow::ensure!(
                !matches!(wire::connect_now(path), Ok(_) | Err(Errno::AGAIN)),
                "a process listens on {shown} already; end that or choose another path"
            );
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)
            .map_err(|e| anyhow::anyhow!("cannot listen on {shown} ({e}); choose another path"))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.into(),
        })
    }

    /// Waits for a client; `None` when it is time to stop.
    pub fn client_or_stop(&self, control: &Control) -> Result<Option<UnixStream>> {
        accept(self.listener.as_fd(), control, None)
    }

    /// Serves until it is told to stop.
    pub fn run(
        &self,
        mut backend: Backend,
        control: &Control,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        loop {
            let listener = self.listener.as_fd();
            let Some(client) = accept(listener, control, Some(&mut backend))? else {
                return Ok(());
            };
            observer.connected();
            let ended = self.client(&client, &mut backend, control, observer);
            let (stop, error) = match ended {
                Ok(Ready::Stop) => (true, None),
                Ok(Ready::Go) => (false, None),
                Err(error) => {
                    eprintln!("reeve-vhost-peer: the client is sent away: {error}");
                    (false, Some(error))
                }
            };
            // Closes and unmaps before the observer hears of it.
            backend = backend.next_connection();
            drop(client);
            observer.closed(error.as_ref());
            if error.is_some() && backend.broken() == Some(Broken::Die) {
                return Err(Error::Short);
            }
            if stop {
                return Ok(());
            }
        }
    }

    /// Serves one client to its end.
    fn client(
        &self,
        client: &UnixStream,
        backend: &mut Backend,
        control: &Control,
        observer: &mut dyn Observer,
    ) -> Result<Ready> {
        loop {
            let turn = wait(client, backend, control)?;
            if turn.stop {
                return Ok(Ready::Stop);
            }
            if turn.actions {
                act(control, backend);
            }
            for ring in turn.kicked {
                backend.kicked(ring);
            }
            backend.run_polled();
            if !turn.message {
                continue;
            }
            let Some(message) = wire::receive(client)? else {
                return Ok(Ready::Go);
            };
            observer.before(backend, &message);
            let name = message.name();
            let (replies, result) = backend.handle(message);
            observer.after(backend, &name, &replies);
            for reply in &replies {
                wire::send(client, reply)?;
            }
            backend.finish_late();
            result?;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

struct Turn {
    stop: bool,
    actions: bool,
    message: bool,
    kicked: Vec<usize>,
}

/// Waits for the next thing to do.
fn wait(client: &UnixStream, backend: &Backend, control: &Control) -> Result<Turn> {
    let running = |index: &usize| {
        let lost = backend.broken() == Some(Broken::LoseEarlyKick);
        backend.is_running(*index) || (lost && backend.rings()[*index].is_started())
    };
    let rings: Vec<usize> = (0..backend.rings().len()).filter(running).collect();
    let mut fds = vec![
        PollFd::new(&control.stop, PollFlags::IN),
        PollFd::new(client, PollFlags::IN),
    ];
    let wake = control.actions.as_ref().map(|(_, wake)| wake);
    fds.extend(wake.map(|wake| PollFd::new(wake, PollFlags::IN)));
    let first = fds.len();
    let kick = |ring: &usize| backend.rings()[*ring].kick.as_ref();
    let with_kick: Vec<usize> = rings
        .iter()
        .copied()
        .filter(|r| kick(r).is_some())
        .collect();
    let kicks = with_kick.iter().filter_map(kick);
    fds.extend(kicks.map(|kick| PollFd::new(kick, PollFlags::IN)));
    let limit = (with_kick.len() < rings.len()).then_some(POLL);
    wire::wait(&mut fds, limit)?;
    let ready = |at: usize| !fds[at].revents().is_empty();
    Ok(Turn {
        stop: ready(0),
        message: ready(1),
        actions: first > 2 && ready(2),
        kicked: with_kick
            .iter()
            .enumerate()
            .filter(|(at, _)| ready(first + at))
            .map(|(_, ring)| *ring)
            .collect(),
    })
}

/// Does what other threads want to be done.
fn act(control: &Control, backend: &mut Backend) {
    if let Some((actions, wake)) = &control.actions {
        let _ = rustix::io::read(wake, &mut [0; 8]);
        actions.try_iter().for_each(|action| action(backend));
    }
}

/// Waits for a client; `None` when it is time to stop.
fn accept(
    listener: BorrowedFd<'_>,
    control: &Control,
    mut backend: Option<&mut Backend>,
) -> Result<Option<UnixStream>> {
    loop {
        let stop = PollFd::new(&control.stop, PollFlags::IN);
        let mut fds = vec![stop, PollFd::from_borrowed_fd(listener, PollFlags::IN)];
        let wake = control.actions.as_ref().map(|(_, wake)| wake);
        fds.extend(wake.map(|wake| PollFd::new(wake, PollFlags::IN)));
        wire::wait(&mut fds, None)?;
        if !fds[0].revents().is_empty() {
            return Ok(None);
        }
        let acts = fds.get(2).is_some_and(|fd| !fd.revents().is_empty());
        if let (Some(backend), true) = (backend.as_deref_mut(), acts) {
            act(control, backend);
        }
        match rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC) {
            Ok(client) => return Ok(Some(client.into())),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                if wire::readable(control.stop.as_fd(), NO_FDS)? {
                    return Ok(None);
                }
            }
            Err(error) => return Err(Error::os("accept")(error)),
        }
    }
}
