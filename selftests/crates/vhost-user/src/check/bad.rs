// SPDX-License-Identifier: GPL-2.0-or-later
//! What no front end should send. The back end may reply or hang up; the next client is served, and nothing is kept.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{ensure, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use vhost::vhost_user::message::FrontendReq;

use super::Level::{Information, Must, Should};
use super::{Holdings, Outcome, Requirement, Target};
use crate::features::LOG_SHMFD;
use crate::front::{memory_file, Area, Session, MEMORY, QUIET, RING};
use crate::local::event;
use crate::memory::store16;
use crate::wire::{longs, send_bytes, words, REPLY, VERSION};

/// How many looks, 10 ms apart, find a process at rest that keeps memory.
const STILL: u32 = 30;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

macro_rules! bad {
    ($($name:literal, $level:ident, $sentence:literal, $run:expr;)*) => {
        pub(super) const ALL: &[Requirement] = &[
            Requirement {
                name: "bad/split",
                level: Information,
                sentence: "A message may come in pieces, for a stream has no borders.",
                run: split,
            },
            $(Requirement {
            name: concat!("bad/", $name),
            level: $level,
            sentence: $sentence,
            run: |target| survives(target, $run),
        }),*];
    };
}

bad! {
    "version", Must, "A message of another version is no reason to end.",
        |s| raw(s, FrontendReq::GET_FEATURES as u32, 2, &[], 0);
    "reply-bit", Must, "A request that says it is a reply is no reason to end.",
        |s| raw(s, FrontendReq::GET_FEATURES as u32, VERSION | REPLY, &[], 0);
    "short", Must, "A payload that is shorter than its request's is no reason to end.",
        |s| raw(s, FrontendReq::SET_VRING_NUM as u32, VERSION, &[0; 4], 0);
    "oversized", Must, "A payload that is longer than its request's is no reason to end.",
        |s| raw(s, FrontendReq::SET_VRING_NUM as u32, VERSION, &[0; 64], 0);
    "huge", Must, "A header that announces 4 GiB is no reason to end.",
        |s| Ok(send_bytes(s.front.socket(), &words(&[1, VERSION, u32::MAX]), &[])?);
    "broken-off", Must, "A message that breaks off is no reason to end.",
        |s| Ok(send_bytes(s.front.socket(), &[1, 0, 0, 0, 1], &[])?);
    "unknown", Must, "A request that is not known is no reason to end.",
        |s| raw(s, 9999, VERSION, &[], 0);
    "index", Must, "A ring that is not there is no reason to end.",
        |s| raw(s, FrontendReq::SET_VRING_NUM as u32, VERSION, &words(&[250, 16]), 0);
    "ring-size-zero", Must, "A ring of size 0 is no reason to end.",
        |s| raw(s, FrontendReq::SET_VRING_NUM as u32, VERSION, &words(&[0, 0]), 0);
    "missing-fd", Must, "A message without the file descriptor that it needs is no reason to end.",
        |s| raw(s, FrontendReq::SET_VRING_KICK as u32, VERSION, &longs(&[0]), 0);
    "surplus-fds", Should, "File descriptors that do not belong to a message are closed.",
        |s| raw(s, FrontendReq::SET_VRING_NUM as u32, VERSION, &words(&[0, 16]), 8);
    "too-many-regions", Must, "A table of nine regions is no reason to end.",
        |s| raw(s, FrontendReq::SET_MEM_TABLE as u32, VERSION, &words(&[9, 0]), 1);
    "regions-without-fds", Must, "A table with fewer file descriptors than regions is no reason to end.",
        |s| {
            let mut body = words(&[2, 0]);
            for at in [0, 2 * MEMORY] {
                body.extend(Area::new(at, MEMORY).info().bytes());
            }
            raw(s, FrontendReq::SET_MEM_TABLE as u32, VERSION, &body, 1)
        };
    "wrong-fd", Must, "A file descriptor of the wrong kind is no reason to end.",
        |s| {
            let (one, _other) = rustix::net::socketpair(
                AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            let mut body = words(&[1, 0]);
            body.extend(Area::new(0, MEMORY).info().bytes());
            raw_fds(s, FrontendReq::SET_MEM_TABLE as u32, VERSION, &body, &[one.as_fd()])
        };
    "ring-index", Must, "A descriptor beyond the ring is no reason to end.",
        |s| ring(s, |s| s.available(RING + 100));
    "ring-loop", Must, "A chain that loops is no reason to end or to hang.",
        |s| ring(s, |s| {
            s.descriptor(0, s.buffers, 16, NEXT, 1)?;
            s.descriptor(1, s.buffers, 16, NEXT, 0)?;
            s.available(0)
        });
    "ring-jump", Must, "An available index that is further than the ring is long is no reason to end.",
        |s| ring(s, |s| Ok(store16(&s.memory, s.avail_at() + 2, 1000)?));
    "ring-outside", Must, "A buffer outside all regions is no reason to end.",
        |s| ring(s, |s| {
            s.descriptor(0, 64 * MEMORY, 4096, WRITE, 0)?;
            s.available(0)
        });
    "ring-across", Must, "A buffer that ends outside its region is no reason to end.",
        |s| ring(s, |s| {
            s.descriptor(0, MEMORY - 256, 4096, WRITE, 0)?;
            s.available(0)
        });
    "ring-wraps", Must, "A buffer that ends before it begins is no reason to end.",
        |s| ring(s, |s| {
            s.descriptor(0, u64::MAX - 10, 4096, WRITE, 0)?;
            s.available(0)
        });
    "ring-indirect", Must, "An indirect descriptor that was not negotiated is no reason to end.",
        |s| ring(s, |s| {
            s.descriptor(0, s.buffers, 16, INDIRECT, 0)?;
            s.available(0)
        });
    "ring-nowhere", Must, "A ring whose addresses are in no region is no reason to end.",
        |s| {
            s.make(&[Area::new(0, MEMORY)])?;
            s.set_up(0, 0)?;
            s.start_ring(0)?;
            s.enable(0, true)?;
            s.kick()
        };
    "log-too-small", Must, "A log that is smaller than the memory takes is no reason to end.",
        |s| {
            s.areas(&[Area::new(0, MEMORY)])?;
            s.log(1, 0).map(drop)
        };
    "log-wraps", Must, "A log whose offset and size wrap is no reason to end.",
        |s| {
            let file = memory_file(4096)?;
            let body = longs(&[4096, u64::MAX - 100]);
            raw_fds(s, FrontendReq::SET_LOG_BASE as u32, VERSION, &body, &[file.as_fd()])
        };
}

/// Sends a message as it is, with so many file descriptors.
fn raw(session: &mut Session, code: u32, flags: u32, body: &[u8], fds: usize) -> Result<()> {
    let event = event()?;
    let fds: Vec<BorrowedFd<'_>> = (0..fds).map(|_| event.as_fd()).collect();
    raw_fds(session, code, flags, body, &fds)
}

fn raw_fds(
    session: &mut Session,
    code: u32,
    flags: u32,
    body: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<()> {
    let mut bytes = words(&[code, flags, body.len() as u32]);
    bytes.extend_from_slice(body);
    Ok(send_bytes(session.front.socket(), &bytes, fds)?)
}

/// Puts something wrong into a ring that works.
fn ring(session: &mut Session, wrong: impl FnOnce(&mut Session) -> Result<()>) -> Result<()> {
    session.go()?;
    session.io()?;
    wrong(session)?;
    session.kick()
}

/// Does something that is wrong, and looks at what is there afterwards.
fn survives(target: &Target, wrong: impl FnOnce(&mut Session) -> Result<()>) -> Result<Outcome> {
    // What a back end opens with its first client and keeps is not what was leaked here.
    target.next_client()?;
    drop(target.session(&[LOG_SHMFD])?);
    let before = target.pid.map(settled).transpose()?;
    let mut session = target.session(&[LOG_SHMFD])?;
    let refused = wrong(&mut session);
    let hung_up = session.front.closes(QUIET)?;
    let signalled = session.failed(std::time::Duration::ZERO)?;
    drop(session);
    target.next_client()?;
    if let (Some(pid), Some(before)) = (target.pid, before) {
        before.back_to(pid)?;
    }
    Ok(Outcome::Seen(match (hung_up, signalled, refused) {
        (true, _, _) => "the connection is closed".into(),
        (_, true, _) => "the err fd is signalled".into(),
        (_, _, Err(error)) => format!("{error:#}"),
        _ => "no reply".into(),
    }))
}

/// Counts what a process has when it has no client.
///
/// One that keeps memory of a client is another requirement's matter; what counts here is that it does not grow.
fn settled(pid: u32) -> Result<Holdings> {
    let mut last = Holdings::of(pid)?;
    let end = std::time::Instant::now() + crate::wire::LIMIT;
    let mut same = 0;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let now = Holdings::of(pid)?;
        same = if now == last { same + 1 } else { 0 };
        if same > 0 && now.memory == 0 || same >= STILL {
            return Ok(now);
        }
        let late = std::time::Instant::now() > end;
        ensure!(!late, "process {pid} does not come to rest: {now:?}");
        last = now;
    }
}

fn split(target: &Target) -> Result<Outcome> {
    let session = target.session(&[])?;
    let bytes = words(&[FrontendReq::GET_FEATURES as u32, VERSION, 0]);
    send_bytes(session.front.socket(), &bytes[..5], &[])?;
    std::thread::yield_now();
    let rest = send_bytes(session.front.socket(), &bytes[5..], &[]);
    let replied = rest.is_ok() && session.front.receive().is_ok();
    drop(session);
    target.next_client()?;
    let seen = if replied {
        "it is replied to"
    } else {
        "the connection is closed"
    };
    Ok(Outcome::Seen(seen.into()))
}
