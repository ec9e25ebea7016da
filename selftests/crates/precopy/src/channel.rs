// SPDX-License-Identifier: GPL-2.0-or-later

//! The connection.

use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use std::time::Instant;

use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use rustix::net::sockopt::set_tcp_user_timeout;

/// How long the other side may be silent before it counts as dead.
pub const SILENCE: Duration = Duration::from_secs(8);

/// A connection that carries bytes both ways.
pub trait Channel {
    /// Sends all of these bytes. After an error the other side cannot have got them all.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Fills `to`. Fails with `UnexpectedEof` at the end, with `WouldBlock` or `TimedOut` if the other side is silent.
    fn read(&mut self, to: &mut [u8]) -> io::Result<()>;

    /// Returns whether a read would not wait: there are bytes, or the end.
    fn is_waiting(&mut self) -> io::Result<bool>;

    /// Closes this connection, which is lost, and waits up to `limit` for another one to take its place. Fails with
    /// `TimedOut` if none came, with `Unsupported` if there is no way to one.
    fn reconnect(&mut self, limit: Duration) -> io::Result<()> {
        let _ = limit;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads and drops what the other side still sends, up to its end, so that what was said last reaches it.
    fn drain(&mut self) {}
}

/// Where a receiver listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket of this path.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl FromStr for Address {
    type Err = String;

    /// Takes `unix:PATH`, `tcp:PORT`, which is on the loopback address, or `tcp:IP:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str = "an address is unix:PATH, tcp:PORT or tcp:IP:PORT";
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", place)) => {
                if let Ok(port) = place.parse() {
                    return Ok(Self::Tcp((Ipv4Addr::LOCALHOST, port).into()));
                }
                place.parse().map(Self::Tcp).map_err(|_| FORMS.to_owned())
            }
            _ => Err(FORMS.to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl Address {
    /// Connects to a receiver that listens there. An answer has to come within `silence`, now and later.
    pub fn connect(&self, silence: Duration) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => Socket::unix(UnixStream::connect(path)?, silence),
            Self::Tcp(address) => {
                Socket::tcp(TcpStream::connect_timeout(address, silence)?, silence)
            }
        }
    }

    /// Listens there. A path must not exist yet.
    pub fn listen(&self) -> io::Result<Listener> {
        Ok(match self {
            Self::Unix(path) => Listener::Unix(UnixListener::bind(path)?, path.clone()),
            Self::Tcp(address) => Listener::Tcp(TcpListener::bind(address)?),
        })
    }
}

/// A receiver's end before a sender has come. Dropping it removes the path of a Unix socket.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket.
    Unix(UnixListener, PathBuf),
    /// A TCP socket.
    Tcp(TcpListener),
}

impl Listener {
    /// Waits for a sender.
    pub fn accept(&self, silence: Duration) -> io::Result<Socket> {
        match self {
            Self::Unix(listener, _) => Socket::unix(listener.accept()?.0, silence),
            Self::Tcp(listener) => Socket::tcp(listener.accept()?.0, silence),
        }
    }

    /// Waits for a sender up to `limit`. Fails with `TimedOut` after that.
    pub fn accept_within(&self, limit: Duration, silence: Duration) -> io::Result<Socket> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout)? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => self.accept(silence),
        }
    }

    /// Returns where it listens: a port that was 0 is the one that was chosen.
    pub fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Unix(_, path) => Address::Unix(path.clone()),
            Self::Tcp(listener) => Address::Tcp(listener.local_addr()?),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// A Unix socket.
    Unix(UnixStream),
    /// A TCP socket.
    Tcp(TcpStream),
}

/// What a refused sender may still have under way, and for how long.
const DRAIN: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

impl Socket {
    /// Takes a connected Unix socket.
    pub fn unix(stream: UnixStream, silence: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        Ok(Self::Unix(stream))
    }

    /// Takes a connected TCP socket.
    pub fn tcp(stream: TcpStream, silence: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        stream.set_nodelay(true)?;
        // What is not acknowledged by the other machine for so long breaks the connection, also while few bytes are
        // sent, which no buffer's end would tell.
        let limit = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
        set_tcp_user_timeout(&stream, limit)?;
        Ok(Self::Tcp(stream))
    }

    /// Ends the connection in both directions. What was sent before still arrives.
    pub fn close(&self) {
        // It fails for one that has ended already.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl Channel for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.read_exact(to),
            Self::Tcp(stream) => stream.read_exact(to),
        }
    }

    fn is_waiting(&mut self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
    }

    fn drain(&mut self) {
        let mut bytes = [0; 4096];
        let mut left = DRAIN;
        let begin = Instant::now();
        while left > 0 && begin.elapsed() < DRAIN_TIME {
            let result = match self {
                Self::Unix(stream) => stream.read(&mut bytes),
                Self::Tcp(stream) => stream.read(&mut bytes),
            };
            match result {
                Ok(count) if count > 0 => left = left.saturating_sub(count),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_on_loopback_unless_told_otherwise() {
        let tcp = |text: &str| match text.parse() {
            Ok(Address::Tcp(address)) => address.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(tcp("tcp:7000"), "127.0.0.1:7000");
        assert_eq!(tcp("tcp:0.0.0.0:7000"), "0.0.0.0:7000");
        assert_eq!(tcp("tcp:[::1]:7000"), "[::1]:7000");
        let unix: Address = "unix:/a:b".parse().unwrap();
        assert_eq!(unix, Address::Unix("/a:b".into()));
        assert_eq!(unix.to_string(), "unix:/a:b");
        for wrong in [
            "",
            "unix:",
            "tcp:",
            "tcp:70000",
            "tcp:host:1",
            "udp:1",
            "/a",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn silence_and_ends_are_noticed() {
        let silence = Duration::from_millis(20);
        let listener = "tcp:0".parse::<Address>().unwrap().listen().unwrap();
        let mut near = listener.address().unwrap().connect(silence).unwrap();
        let mut far = listener.accept(silence).unwrap();
        assert!(!near.is_waiting().unwrap());
        let silent = |error: io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            )
        };
        assert!(silent(near.read(&mut [0]).unwrap_err()));
        // The other side reads nothing: the buffers fill up, and then it is silence again.
        let bytes = vec![0; 1 << 20];
        let error = (0..1000).find_map(|_| near.write(&bytes).err()).unwrap();
        assert!(silent(error));
        far.write(b"x").unwrap();
        drop(far);
        let (mut unix, gone) = UnixStream::pair()
            .map(|(a, b)| (Socket::unix(a, silence).unwrap(), b))
            .unwrap();
        drop(gone);
        assert!(unix.is_waiting().unwrap());
        let error = unix.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
