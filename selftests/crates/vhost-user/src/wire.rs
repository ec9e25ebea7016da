// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages on the socket, for both sides: framing, file descriptors, fields.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    connect, recvmsg, sendmsg, socket_with, AddressFamily, RecvAncillaryBuffer,
    RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use vhost::vhost_user::message::{FrontendReq, MAX_MSG_SIZE};

use crate::error::{Error, Result};

/// How long anything that the other side has begun may take.
pub const LIMIT: Duration = Duration::from_secs(5);

/// The bytes of a header: request, flags, size of the payload.
pub const HEADER: usize = 12;
/// The version, in a header's flags.
pub const VERSION: u32 = 1;
/// The bits of the version, in a header's flags.
pub const VERSION_MASK: u32 = 3;
/// The message is a reply.
pub const REPLY: u32 = 1 << 2;
/// The sender wants to hear how it went.
pub const NEED_REPLY: u32 = 1 << 3;

/// The most file descriptors that the kernel passes with one message.
const MOST_FDS: usize = 253;

/// A message, with its file descriptors, which are closed with it.
#[derive(Debug)]
pub struct Message {
    /// The request.
    pub code: u32,
    /// Version, reply bit, need-reply bit.
    pub flags: u32,
    /// The payload.
    pub body: Vec<u8>,
    /// What came with it.
    pub fds: Vec<OwnedFd>,
}

impl Message {
    /// Returns a request without file descriptors.
    pub fn request(code: FrontendReq, body: Vec<u8>) -> Self {
        Self {
            code: code as u32,
            flags: VERSION,
            body,
            fds: Vec::new(),
        }
    }

    /// Returns the reply to this request that has this payload.
    pub fn reply(&self, body: Vec<u8>) -> Self {
        Self {
            code: self.code,
            flags: VERSION | REPLY,
            body,
            fds: Vec::new(),
        }
    }

    /// Returns the name of the request.
    pub fn name(&self) -> String {
        match FrontendReq::try_from(self.code) {
            Ok(request) => format!("{request:?}"),
            Err(_) => format!("request {}", self.code),
        }
    }

    /// Returns the bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let size = self.body.len() as u32;
        let mut bytes = words(&[self.code, self.flags, size]);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Returns these 32-bit fields as a payload.
pub fn words(fields: &[u32]) -> Vec<u8> {
    fields.iter().flat_map(|f| f.to_le_bytes()).collect()
}

/// Returns these 64-bit fields as a payload.
pub fn longs(fields: &[u64]) -> Vec<u8> {
    fields.iter().flat_map(|f| f.to_le_bytes()).collect()
}

/// Returns the 32-bit field at `at`, 0 where the payload ends before it.
pub fn word(body: &[u8], at: usize) -> u32 {
    let field = body.get(at..at + 4).and_then(|b| b.try_into().ok());
    u32::from_le_bytes(field.unwrap_or_default())
}

/// Returns the 64-bit field at `at`, 0 where the payload ends before it.
pub fn long(body: &[u8], at: usize) -> u64 {
    let field = body.get(at..at + 8).and_then(|b| b.try_into().ok());
    u64::from_le_bytes(field.unwrap_or_default())
}

/// Waits until one of `fds` is ready, an error or a hang-up included; returns whether one is.
pub fn wait(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> Result<bool> {
    let end = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match poll(fds, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::os("poll")(error)),
        }
    }
}

/// Waits until `fd` can be read, no longer than `limit`; returns whether it can.
pub fn readable(fd: BorrowedFd<'_>, limit: Duration) -> Result<bool> {
    wait(
        &mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)],
        Some(limit),
    )
}

/// Connects without waiting: `EAGAIN` where so many clients wait to be accepted that there is no place for another.
pub fn connect_now(path: &Path) -> rustix::io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

/// Sends a message with copies of its file descriptors.
pub fn send(socket: impl AsFd, message: &Message) -> Result<()> {
    let fds: Vec<BorrowedFd<'_>> = message.fds.iter().map(AsFd::as_fd).collect();
    send_bytes(socket, &message.bytes(), &fds)
}

/// Sends bytes, whatever they mean; the file descriptors go with the first of them.
pub fn send_bytes(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let (mut sent, end) = (0, Instant::now() + LIMIT);
    while sent < bytes.len() {
        let mut control = SendAncillaryBuffer::new(&mut space);
        if sent == 0 && !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Error::Fds {
                got: fds.len(),
                want: MOST_FDS,
            });
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(
            &socket,
            &[IoSlice::new(&bytes[sent..])],
            &mut control,
            flags,
        ) {
            Ok(n) => sent += n,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = end.saturating_duration_since(Instant::now());
                let ready = PollFd::new(&socket, PollFlags::OUT);
                if !wait(&mut [ready], Some(left))? {
                    return Err(Error::Short);
                }
            }
            Err(error) => return Err(Error::os("sendmsg")(error)),
        }
    }
    Ok(())
}

/// Receives a message that has begun to come, or `None` where the connection ends between messages.
///
/// What was received of a message that is wrong is closed before this returns.
pub fn receive(socket: impl AsFd) -> Result<Option<Message>> {
    let end = Instant::now() + LIMIT;
    let mut fds = Vec::new();
    let mut header = [0; HEADER];
    match fill(socket.as_fd(), &mut header, &mut fds, end)? {
        HEADER => {}
        0 => return Ok(None),
        _ => return Err(Error::Short),
    }
    let (code, flags, size) = (word(&header, 0), word(&header, 4), word(&header, 8));
    if flags & VERSION_MASK != VERSION {
        return Err(Error::Version(flags & VERSION_MASK));
    }
    let size = size as usize;
    if size > MAX_MSG_SIZE {
        return Err(Error::Size { code, got: size });
    }
    let mut body = vec![0; size];
    if fill(socket.as_fd(), &mut body, &mut fds, end)? != size {
        return Err(Error::Short);
    }
    Ok(Some(Message {
        code,
        flags,
        body,
        fds,
    }))
}

/// Fills `buffer` from the socket; returns how much of it before the connection ended.
fn fill(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    end: Instant,
) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut got = 0;
    while got < buffer.len() {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let reply = recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut buffer[got..])],
            &mut control,
            flags,
        );
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        match reply {
            Ok(reply) if reply.flags.contains(ReturnFlags::CTRUNC) => return Err(Error::FdsLost),
            Ok(reply) if reply.bytes == 0 => break,
            Ok(reply) => got += reply.bytes,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if !readable(socket, end.saturating_duration_since(Instant::now()))? {
                    return Err(Error::Short);
                }
            }
            Err(Errno::CONNRESET) => break,
            Err(error) => return Err(Error::os("recvmsg")(error)),
        }
    }
    Ok(got)
}
