// SPDX-License-Identifier: GPL-2.0-or-later
//! What no front end and no driver may do, one at a time and in random order: what the back end replies, what it says on
//! standard error, that it closes the connection or stops the ring, that every file descriptor is closed, that nothing
//! else has changed, and that the next client is served.
//!
//! `REEVE_SEED` repeats an order.

use std::fs;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{ensure, Context, Result};
use reeve_vhost_user::device::Device;
use reeve_vhost_user::features::{self, Feature};
use reeve_vhost_user::front::{
    memory_file, Area, Kind, Log, Session, MEMORY, MEMORY_NAME, RING, USER,
};
use reeve_vhost_user::local::event;
use reeve_vhost_user::memory::{RegionInfo, SLOTS};
use reeve_vhost_user::wire::{
    long, longs, readable, receive, send, send_bytes, words, Message, LIMIT, NEED_REPLY, REPLY,
    VERSION,
};
use rustix::fs::{Mode, OFlags};
use vhost::vhost_user::message::FrontendReq as R;

mod common;

use common::{command, until, Dir, Running, PEER};

/// What a session of these tests negotiates besides what all do.
const ALL: &[Feature] = &[
    features::LOG_SHMFD,
    features::CONFIGURE_MEM_SLOTS,
    features::RESET_DEVICE,
];

/// The sizes of a session's two regions, which touch: enough for its rings and buffers, and little to look at.
const FIRST: u64 = 0x9_0000;
const SECOND: u64 = 0x1_0000;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A file descriptor that goes with a message.
#[derive(Debug, Clone, Copy)]
enum Fd {
    Event,
    Memory(u64),
    ReadOnly,
    Socket,
    Pipe,
    Directory,
}

impl Fd {
    fn open(self) -> Result<OwnedFd> {
        let read = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(match self {
            Self::Event => event()?,
            Self::Memory(size) => memory_file(size)?,
            Self::ReadOnly => {
                use std::os::fd::AsRawFd;
                let file = memory_file(MEMORY)?;
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::open(path, read, Mode::empty())?
            }
            Self::Socket => UnixStream::pair()?.0.into(),
            Self::Pipe => rustix::pipe::pipe()?.0,
            Self::Directory => rustix::fs::open("/", read, Mode::empty())?,
        })
    }
}

/// What becomes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The connection is closed, without a reply.
    Closed,
    /// The request is replied to with a failure, and the connection is closed.
    Refused,
    /// The ring is stopped, its err fd signalled, and the connection goes on.
    Stopped,
}

/// Does what is wrong.
type Act = Box<dyn Fn(&mut Session) -> Result<()>>;

/// Something that is wrong.
struct Case {
    name: String,
    end: End,
    /// What the back end says of it.
    said: String,
    /// What is negotiated.
    features: &'static [Feature],
    /// Whether a ring is going before it; if not, there is only what was negotiated.
    going: bool,
    act: Act,
}

fn case(
    name: impl Into<String>,
    end: End,
    said: impl Into<String>,
    act: impl Fn(&mut Session) -> Result<()> + 'static,
) -> Case {
    Case {
        name: name.into(),
        end,
        said: said.into(),
        features: ALL,
        going: true,
        act: Box::new(act),
    }
}

/// Bytes as they are, and what follows them.
fn raw(name: &str, said: &str, bytes: Vec<u8>) -> Case {
    case(name, End::Closed, said, move |s| {
        Ok(send_bytes(s.front.socket(), &bytes, &[])?)
    })
}

/// A message that asks for an acknowledgement.
fn message(name: &str, said: impl Into<String>, code: R, body: Vec<u8>, fds: &[Fd]) -> Case {
    let fds = fds.to_vec();
    let name = format!("{code:?}: {name}");
    case(name, End::Refused, said, move |s| {
        let mut message = Message::request(code, body.clone());
        message.flags |= NEED_REPLY;
        message.fds = fds.iter().map(|fd| fd.open()).collect::<Result<_>>()?;
        Ok(send(s.front.socket(), &message)?)
    })
}

/// Something in a ring, which is kicked afterwards.
fn ring(name: &str, said: impl Into<String>, act: fn(&mut Session) -> Result<()>) -> Case {
    let name = format!("ring: {name}");
    case(name, End::Stopped, format!("ring: {}", said.into()), act)
}

const fn region(guest: u64, size: u64, offset: u64) -> RegionInfo {
    RegionInfo {
        guest,
        size,
        user: guest.wrapping_add(USER),
        offset,
    }
}

fn table(regions: &[RegionInfo]) -> Vec<u8> {
    let mut body = words(&[regions.len() as u32, 0]);
    regions.iter().for_each(|r| body.extend(r.bytes()));
    body
}

fn slot(region: RegionInfo) -> Vec<u8> {
    let mut body = longs(&[0]);
    body.extend(region.bytes());
    body
}

fn address(ring: u32, parts: [u64; 3]) -> Vec<u8> {
    let mut body = words(&[ring, 0]);
    body.extend(longs(&parts));
    body.extend(longs(&[0]));
    body
}

/// Every request that this device serves: a payload that would be right, and its file descriptors.
fn requests(kind: Kind) -> Vec<(R, Vec<u8>, Vec<Fd>)> {
    let zero = || longs(&[0]);
    let event = || vec![Fd::Event];
    let more = region(16 * MEMORY, MEMORY, 0);
    let mut requests = vec![
        (R::GET_FEATURES, vec![], vec![]),
        (R::SET_FEATURES, zero(), vec![]),
        (R::GET_PROTOCOL_FEATURES, vec![], vec![]),
        (R::SET_PROTOCOL_FEATURES, zero(), vec![]),
        (R::SET_OWNER, vec![], vec![]),
        (R::RESET_OWNER, vec![], vec![]),
        (R::RESET_DEVICE, vec![], vec![]),
        (R::GET_MAX_MEM_SLOTS, vec![], vec![]),
        (R::SET_MEM_TABLE, table(&[more]), vec![Fd::Memory(MEMORY)]),
        (R::ADD_MEM_REG, slot(more), vec![Fd::Memory(MEMORY)]),
        (R::SET_LOG_BASE, longs(&[4096, 0]), vec![Fd::Memory(4096)]),
        (R::SET_VRING_NUM, words(&[0, 16]), vec![]),
        (R::SET_VRING_ADDR, address(0, [0; 3]), vec![]),
        (R::SET_VRING_BASE, words(&[0, 0]), vec![]),
        (R::GET_VRING_BASE, words(&[0, 0]), vec![]),
        (R::SET_VRING_ENABLE, words(&[0, 0]), vec![]),
        (R::SET_VRING_KICK, zero(), event()),
        (R::SET_VRING_CALL, zero(), event()),
        (R::SET_VRING_ERR, zero(), event()),
    ];
    requests.push(match kind {
        Kind::Net => (R::GET_QUEUE_NUM, vec![], vec![]),
        _ => {
            let mut body = words(&[0, 8, 0]);
            body.extend([0; 8]);
            (R::GET_CONFIG, body, vec![])
        }
    });
    requests
}

/// Headers, and what breaks off.
fn headers() -> Vec<Case> {
    let mut cases: Vec<Case> = [0, 2, 3]
        .map(|version| {
            let said = format!("the header's version is {version}, not 1");
            raw(
                &format!("version {version}"),
                &said,
                words(&[1, version, 0]),
            )
        })
        .into();
    cases.push(raw(
        "the reply bit",
        "the header's reply bit is wrong",
        words(&[1, VERSION | REPLY, 0]),
    ));
    for size in [4097, u32::MAX] {
        let said = format!("request 1 with a payload of {size} bytes");
        cases.push(raw(
            &format!("{size} bytes announced"),
            &said,
            words(&[1, VERSION, size]),
        ));
    }
    for (name, bytes) in [
        ("broken off in the header", vec![1, 0, 0]),
        ("broken off after the header", words(&[2, VERSION, 8])),
        ("broken off in the payload", words(&[2, VERSION, 8, 0])),
    ] {
        // The file descriptors that came with the first byte are closed, too.
        cases.push(case(name, End::Closed, "a message broke off", move |s| {
            let fds = [event()?, memory_file(MEMORY)?];
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            send_bytes(s.front.socket(), &bytes, &fds)?;
            Ok(s.front.socket().shutdown(Shutdown::Write)?)
        }));
    }
    cases
}

/// Payloads and file descriptors that are too few or too many, for every request.
fn sizes(kind: Kind) -> Vec<Case> {
    let mut cases = Vec::new();
    for (code, body, fds) in requests(kind) {
        let mut sizes = vec![body.len() + 1, 4096];
        if !body.is_empty() {
            sizes.extend([0, body.len() - 1]);
        }
        for size in sizes {
            let mut other = body.clone();
            other.resize(size, 0);
            // What counts the regions or the bytes is gone with the payload.
            let said = format!("request {} with a payload of {size} bytes", code as u32);
            cases.push(message(&format!("{size} bytes"), said, code, other, &fds));
        }
        let mut more = fds.clone();
        more.push(Fd::Memory(MEMORY));
        let said = format!("{} file descriptors where {} belong", more.len(), fds.len());
        cases.push(message("a surplus fd", said, code, body.clone(), &more));
        if !fds.is_empty() {
            let said = format!("0 file descriptors where {} belong", fds.len());
            cases.push(message("a missing fd", said, code, body, &[]));
        }
    }
    let gone = slot(region(0, MEMORY, 0));
    let two = [Fd::Memory(MEMORY), Fd::Event];
    let said = "2 file descriptors where 1 belong";
    cases.push(message("two fds", said, R::REM_MEM_REG, gone.clone(), &two));
    let said = "request 38 with a payload of 39 bytes";
    cases.push(message(
        "39 bytes",
        said,
        R::REM_MEM_REG,
        gone[..39].to_vec(),
        &[],
    ));
    for code in [R::SET_VRING_KICK, R::SET_VRING_CALL, R::SET_VRING_ERR] {
        let said = "1 file descriptors where 0 belong";
        cases.push(message(
            "none, and one",
            said,
            code,
            longs(&[1 << 8]),
            &[Fd::Event],
        ));
    }
    cases
}

/// Requests that are not served, and those whose feature was not negotiated.
fn unknown(kind: Kind) -> Vec<Case> {
    let mut cases = Vec::new();
    let served: Vec<u32> = requests(kind).iter().map(|r| r.0 as u32).collect();
    for code in (0..50).chain([9999, u32::MAX]) {
        let negotiated = [R::GET_QUEUE_NUM, R::GET_CONFIG, R::REM_MEM_REG].map(|r| r as u32);
        if served.contains(&code) || negotiated.contains(&code) {
            continue;
        }
        for body in [vec![], longs(&[0])] {
            let name = format!("request {code}, {} bytes", body.len());
            let said = format!("request {code} is not known");
            cases.push(case(name, End::Refused, said, move |s| {
                let flags = VERSION | NEED_REPLY;
                let mut bytes = words(&[code, flags, body.len() as u32]);
                bytes.extend(&body);
                let file = memory_file(MEMORY)?;
                Ok(send_bytes(s.front.socket(), &bytes, &[file.as_fd()])?)
            }));
        }
    }
    let without = |feature: Feature, code, body, fds: &[Fd]| Case {
        features: &[],
        ..message(
            "not negotiated",
            format!("{} was not negotiated", feature.name),
            code,
            body,
            fds,
        )
    };
    let file = [Fd::Memory(MEMORY)];
    cases.extend([
        without(
            features::LOG_SHMFD,
            R::SET_LOG_BASE,
            longs(&[4096, 0]),
            &file,
        ),
        without(features::RESET_DEVICE, R::RESET_DEVICE, vec![], &[]),
    ]);
    let slots = features::CONFIGURE_MEM_SLOTS;
    cases.push(without(slots, R::GET_MAX_MEM_SLOTS, vec![], &[]));
    for code in [R::ADD_MEM_REG, R::REM_MEM_REG] {
        cases.push(without(slots, code, slot(region(0, MEMORY, 0)), &file));
    }
    cases.push(match kind {
        Kind::Net => without(features::CONFIG, R::GET_CONFIG, words(&[0, 0, 0]), &[]),
        _ => without(features::MQ, R::GET_QUEUE_NUM, vec![], &[]),
    });
    cases
}

/// Values that a field cannot have.
fn values(kind: Kind) -> Vec<Case> {
    let mut cases = Vec::new();
    let value = |name, said: &str, code, body| message(name, said, code, body, &[]);
    let bit = 1_u64 << 63;
    let (set, protocol) = (R::SET_FEATURES, R::SET_PROTOCOL_FEATURES);
    let said = "SET_FEATURES cannot be 0x8000000000000000";
    cases.push(value("not offered", said, set, longs(&[bit])));
    let said = "SET_PROTOCOL_FEATURES cannot be 0x8000000000000000";
    cases.push(value("not offered", said, protocol, longs(&[bit])));
    for size in [0, 3, 65_536, u32::MAX] {
        let said = format!("a ring's size cannot be {size:#x}");
        cases.push(value("size", &said, R::SET_VRING_NUM, words(&[0, size])));
    }
    let said = "a ring's index cannot be 0x10000";
    cases.push(value(
        "index",
        said,
        R::SET_VRING_BASE,
        words(&[0, 0x1_0000]),
    ));
    let said = "SET_VRING_ENABLE's state cannot be 0x2";
    cases.push(value("state", said, R::SET_VRING_ENABLE, words(&[0, 2])));
    for (name, at, parts) in [
        ("a descriptor table's address", 8, [8, 0, 0]),
        ("a used ring's address", 2, [0, 2, 0]),
        ("an available ring's address", 1, [0, 0, 1]),
    ] {
        let said = format!("{name} cannot be {at:#x}");
        cases.push(value(name, &said, R::SET_VRING_ADDR, address(0, parts)));
    }
    if kind == Kind::Blk {
        let mut body = words(&[250, 8, 0]);
        body.extend([0; 8]);
        let said = "GET_CONFIG's end cannot be 0x102";
        cases.push(value("beyond its end", said, R::GET_CONFIG, body));
    }
    let rings = if kind == Kind::Net { 4 } else { 1 };
    for index in [rings, 255, 256, 1 << 31] {
        let said = format!("there is no ring {index}");
        for code in [R::SET_VRING_NUM, R::SET_VRING_BASE, R::GET_VRING_BASE] {
            cases.push(value("no such ring", &said, code, words(&[index, 16])));
        }
        let enable = words(&[index, 1]);
        cases.push(value("no such ring", &said, R::SET_VRING_ENABLE, enable));
        let body = address(index, [0; 3]);
        cases.push(value("no such ring", &said, R::SET_VRING_ADDR, body));
    }
    for index in [rings.into(), 255, 512, 1 << 32, 1 << 63] {
        let said = format!("there is no ring {index}");
        for code in [R::SET_VRING_KICK, R::SET_VRING_CALL, R::SET_VRING_ERR] {
            let body = longs(&[index]);
            cases.push(message("no such ring", &said, code, body, &[Fd::Event]));
        }
    }
    cases
}

/// File descriptors of the wrong kind.
fn kinds() -> Vec<Case> {
    let mut cases = Vec::new();
    let body = table(&[region(0, MEMORY, 0)]);
    for fd in [Fd::Event, Fd::Socket, Fd::Pipe, Fd::Directory] {
        let name = format!("{fd:?}");
        let said = "a file descriptor that is not a file that can be mapped";
        cases.push(message(&name, said, R::SET_MEM_TABLE, body.clone(), &[fd]));
        let more = slot(region(16 * MEMORY, MEMORY, 0));
        cases.push(message(&name, said, R::ADD_MEM_REG, more, &[fd]));
        let said = "a file descriptor that is not a file, as a log is";
        cases.push(message(
            &name,
            said,
            R::SET_LOG_BASE,
            longs(&[4096, 0]),
            &[fd],
        ));
    }
    let denied = "mmap: Permission denied (os error 13)";
    cases.push(message(
        "read-only",
        denied,
        R::SET_MEM_TABLE,
        body,
        &[Fd::ReadOnly],
    ));
    let log = longs(&[4096, 0]);
    cases.push(message(
        "read-only",
        denied,
        R::SET_LOG_BASE,
        log,
        &[Fd::ReadOnly],
    ));
    for code in [R::SET_VRING_KICK, R::SET_VRING_CALL, R::SET_VRING_ERR] {
        for fd in [Fd::Memory(4096), Fd::Socket, Fd::Directory] {
            let said = "a file descriptor that is not an eventfd";
            cases.push(message(&format!("{fd:?}"), said, code, longs(&[0]), &[fd]));
        }
    }
    cases
}

/// Memory that cannot be.
fn memory() -> Vec<Case> {
    let mut cases = Vec::new();
    let files = |count| vec![Fd::Memory(MEMORY); count];
    let mut tables = |name, said: String, regions: &[RegionInfo], fds: &[Fd]| {
        cases.push(message(name, said, R::SET_MEM_TABLE, table(regions), fds));
    };
    let first = region(0, MEMORY, 0);
    tables("no regions", "memory table: no regions".into(), &[], &[]);
    let nine: Vec<RegionInfo> = (0..9).map(|n| region(n * MEMORY, MEMORY, 0)).collect();
    tables("nine", "memory table: 9 regions".into(), &nine, &files(9));
    let said = "1 file descriptors where 2 belong";
    tables("fewer fds", said.into(), &nine[..2], &files(1));
    let over = region(MEMORY - 4096, MEMORY, 0);
    let said = format!("memory table: {over:x?} overlaps {first:x?}");
    tables("overlap", said, &[first, over], &files(2));
    let user = RegionInfo {
        user: first.user,
        ..nine[2]
    };
    let said = format!("memory table: {user:x?} overlaps {first:x?}");
    tables("overlap in the front end", said, &[first, user], &files(2));
    for (name, bad) in [
        ("size 0", region(0, 0, 0)),
        ("wraps", region(u64::MAX - 4095, MEMORY, 0)),
        ("offset wraps", region(0, MEMORY, u64::MAX - 4095)),
    ] {
        let said = format!("memory table: a region cannot be {bad:x?}");
        tables(name, said, &[nine[3], bad], &files(2));
    }
    let half = [Fd::Memory(MEMORY), Fd::Memory(MEMORY / 2)];
    let said = "mapping: a file of 524288 bytes, of which those up to 1048576 are asked for";
    tables("small file", said.into(), &nine[..2], &half);
    let late = [region(0, MEMORY, 4096)];
    let said = "mapping: a file of 1048576 bytes, of which those up to 1052672 are asked for";
    tables("small file for its offset", said.into(), &late, &files(1));
    let far = [region(1 << 40, MEMORY, 0)];
    let said = "dirty log: 4096 bytes where the memory takes 33554464";
    tables("beyond the log", said.into(), &far, &files(1));

    let (add, remove) = (R::ADD_MEM_REG, R::REM_MEM_REG);
    let first = region(0, FIRST, 0);
    let over = region(FIRST - 4096, 4096, 0);
    let said = format!("memory table: {over:x?} overlaps {first:x?}");
    cases.push(message("overlap", said, add, slot(over), &files(1)));
    for bad in [nine[5], region(0, MEMORY / 2, 0), region(4096, MEMORY, 0)] {
        let said = format!("memory table: there is no region {bad:x?}");
        cases.push(message("not there", said, remove, slot(bad), &files(1)));
    }
    let said = format!("memory table: more than {SLOTS} regions");
    cases.push(case("ADD_MEM_REG: too many", End::Refused, said, |s| {
        // With a log that reaches that far; two regions are there.
        s.log(1 << 20, 0)?;
        let more = |n: u64| Area::new((2 * n + 2) * MEMORY, 4096);
        s.make(&(0..SLOTS - 2).map(more).collect::<Vec<_>>())?;
        (2..SLOTS as usize).try_for_each(|number| s.add(number))?;
        let mut message = Message::request(R::ADD_MEM_REG, slot(more(SLOTS).info()));
        message.flags |= NEED_REPLY;
        message.fds.push(memory_file(4096)?);
        Ok(send(s.front.socket(), &message)?)
    }));
    cases
}

/// Logs that cannot be.
fn logs() -> Vec<Case> {
    let mut cases = Vec::new();
    // The session's regions have 160 pages, with a bit each.
    let small = "dirty log: 19 bytes where the memory takes 20";
    let wraps = "offset plus size cannot be 0xffffffffffffff9b";
    let file = "mapping: a file of 4096 bytes, of which those up to 4097 are asked for";
    let offset = "mapping: a file of 4096 bytes, of which those up to 8192 are asked for";
    for (name, said, size, at) in [
        ("too small", small, 19, 0),
        ("no byte", "mapping: a size of 0", 0, 0),
        ("wraps", wraps, 4096, u64::MAX - 100),
        ("beyond its file", file, 4097, 0),
        ("beyond its file by its offset", offset, 4096, 4096),
    ] {
        let body = longs(&[size, at]);
        cases.push(message(
            name,
            said,
            R::SET_LOG_BASE,
            body,
            &[Fd::Memory(4096)],
        ));
    }
    cases
}

/// What a driver may not do.
fn rings(kind: Kind) -> Vec<Case> {
    let wanted = |address: u64, size: u32| {
        format!("a buffer of {size} bytes at {address:#x} is in no region")
    };
    let mut cases = vec![
        ring(
            "head beyond its size",
            "descriptor 116 in a ring of 16",
            |s| s.available(RING + 100),
        ),
        ring(
            "next beyond its size",
            "descriptor 16 in a ring of 16",
            |s| {
                s.descriptor(0, s.buffers, 16, NEXT, RING)?;
                s.available(0)
            },
        ),
        ring("a loop of one", "the chain from 3 loops", |s| {
            s.descriptor(3, s.buffers, 16, NEXT, 3)?;
            s.available(3)
        }),
        ring(
            "a chain longer than the ring",
            "the chain from 0 loops",
            |s| {
                for index in 0..RING {
                    s.descriptor(index, s.buffers, 16, NEXT, (index + 1) % RING)?;
                }
                s.available(0)
            },
        ),
        ring("outside", wanted(64 * MEMORY, 4096), |s| {
            s.descriptor(0, 64 * MEMORY, 4096, WRITE, 0)?;
            s.available(0)
        }),
        ring("outside in its last part", wanted(64 * MEMORY, 1), |s| {
            let parts = s.request()?;
            s.submit(&parts)?;
            let last = parts.len() as u16;
            s.descriptor(last - 1, s.buffers, 16, NEXT | WRITE, last)?;
            s.descriptor(last, 64 * MEMORY, 1, WRITE, 0)
        }),
        ring("across two regions", wanted(FIRST - 256, 4096), |s| {
            s.descriptor(0, FIRST - 256, 4096, 0, 0)?;
            s.available(0)
        }),
        ring("wraps", wanted(u64::MAX - 10, 4096), |s| {
            s.descriptor(0, u64::MAX - 10, 4096, WRITE, 0)?;
            s.available(0)
        }),
        ring("indirect", "an indirect descriptor, not negotiated", |s| {
            s.descriptor(0, s.buffers, 16, INDIRECT, 0)?;
            s.available(0)
        }),
        ring(
            "to read after to write",
            "a part to read after one to write",
            |s| {
                s.descriptor(0, s.buffers, 16, NEXT | WRITE, 1)?;
                s.descriptor(1, s.buffers, 16, 0, 0)?;
                s.available(0)
            },
        ),
        ring("the kick ends", "the kick has come to its end", |s| {
            let body = longs(&[s.ring() as u64]);
            s.front.set(R::SET_VRING_KICK, body, vec![Fd::Pipe.open()?])
        }),
    ];
    let ahead = |index: u16| format!("available index {index} after 1 in a ring of 16");
    cases.push(ring("too far ahead", ahead(18), |s| s.ahead(17)));
    cases.push(ring("behind", ahead(0), |s| s.ahead(u16::MAX)));
    for (name, shift) in [
        ("descriptor table", 0),
        ("used ring", 1),
        ("available ring", 2),
    ] {
        let said = format!("ring: its {name} at 0x6f0000000000 is in no region");
        let nowhere = move |s: &mut Session| {
            let mut parts = s.addresses();
            parts[shift] = 0x6f00_0000_0000;
            let body = address(s.ring() as u32, parts);
            s.front.set(R::SET_VRING_ADDR, body, vec![])
        };
        cases.push(case(
            format!("ring: no {name}"),
            End::Stopped,
            said,
            nowhere,
        ));
    }
    let said = "ring: it has no size or no address yet";
    let mut early = case("ring: no address yet", End::Stopped, said, |s| {
        let ring = s.ring();
        let size = words(&[ring as u32, RING.into()]);
        s.front.set(R::SET_VRING_NUM, size, vec![])?;
        s.set_err(ring)?;
        s.start_ring(ring)?;
        s.enable(ring, true)
    });
    early.going = false;
    cases.push(early);
    if kind == Kind::Blk {
        let said = "a disk's request without a byte for its status";
        cases.push(ring("no status", said, |s| {
            s.descriptor(0, s.buffers, 16, 0, 0)?;
            s.available(0)
        }));
    }
    cases
}

fn cases(kind: Kind) -> Vec<Case> {
    let groups = [
        headers(),
        sizes(kind),
        unknown(kind),
        values(kind),
        kinds(),
        memory(),
        logs(),
        rings(kind),
    ];
    groups.into_iter().flatten().collect()
}

/// A client that has done nothing wrong yet.
struct Client {
    session: Session,
    log: Option<Log>,
}

impl Client {
    /// Returns the content of its memory, and how many pages are marked.
    fn memory(&self) -> Result<(Pages, usize)> {
        let marks = self.log.as_ref().map_or(0, Log::count);
        Ok((self.session.snapshot()?, marks))
    }
}

type Pages = Vec<(u64, Vec<u8>)>;

/// The back end's program, and what it has said.
struct Back {
    running: Running,
    socket: PathBuf,
    log: PathBuf,
    kind: Kind,
    seen: usize,
    idle: (usize, usize),
    _dir: Dir,
}

impl Back {
    fn start(kind: Kind) -> Self {
        let dir = Dir::new();
        let (socket, log) = (dir.join("s"), dir.join("log"));
        let mut program = command(PEER);
        let device = if kind == Kind::Net { "net" } else { "blk" };
        program.args(["--device", device, "--socket"]).arg(&socket);
        program.stderr(fs::File::create(&log).unwrap());
        let child = program.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let running = Running(child.unwrap());
        until("a listener", || UnixStream::connect(&socket).ok());
        let mut back = Self {
            running,
            socket,
            log,
            kind,
            seen: 0,
            idle: (0, 0),
            _dir: dir,
        };
        // What it opens with its first client and keeps is no leak.
        drop(back.client(ALL, true).unwrap());
        back.idle = until("the client's end", || {
            Some(back.has()).filter(|has| has.1 == 0)
        });
        back
    }

    /// Returns how many file descriptors it has, and how many of our files it has mapped.
    fn has(&self) -> (usize, usize) {
        let proc = PathBuf::from(format!("/proc/{}", self.running.pid()));
        let maps = fs::read_to_string(proc.join("maps")).unwrap();
        let fds = fs::read_dir(proc.join("fd")).unwrap().count();
        (fds, maps.matches(MEMORY_NAME).count())
    }

    /// Returns the lines that it has said since this was asked before.
    fn said(&mut self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let lines: Vec<String> = log.lines().skip(self.seen).map(String::from).collect();
        self.seen += lines.len();
        lines
    }

    /// Connects with two regions that touch, and has a ring and a log going.
    fn client(&self, features: &[Feature], going: bool) -> Result<Client> {
        let mut session = Session::new(&self.socket, self.kind, features)?;
        session.areas(&[Area::new(0, FIRST), Area::new(FIRST, SECOND)])?;
        let mut log = None;
        if going {
            session.start(0)?;
            if features.contains(&features::LOG_SHMFD) {
                log = Some(session.log(4096, 0)?);
                session.log_all(true)?;
                session.log_rings(true)?;
            }
            session.io()?;
        }
        Ok(Client { session, log })
    }

    /// Does what is wrong and looks at everything; returns the client if it goes on.
    fn survives(&mut self, case: &Case, client: Option<Client>) -> Result<Option<Client>> {
        let usual = case.features == ALL && case.going;
        let mut client = match client.filter(|_| usual) {
            Some(client) => client,
            None => {
                let left = || Some(()).filter(|()| self.has() == self.idle);
                let what = format!("before {}: what it has without a client", case.name);
                until(&what, left);
                self.client(case.features, case.going)?
            }
        };
        let had = self.has();
        let before = client.memory()?;
        (case.act)(&mut client.session)?;
        let client = match case.end {
            End::Stopped => {
                // The driver itself has written to the ring.
                let before = client.memory()?;
                let session = &client.session;
                session.kick()?;
                ensure!(session.failed(LIMIT)?, "the err fd is not signalled");
                session.kick()?;
                session.front.sync().context("the connection")?;
                ensure!(client.memory()? == before, "memory or log has changed");
                let has = self.has();
                ensure!(has == had || !case.going, "it had {had:?} and has {has:?}");
                Some(client)
            }
            End::Closed | End::Refused => {
                let replies = replies(&client.session)?;
                let failure = |r: &Message| r.flags & REPLY != 0 && long(&r.body, 0) != 0;
                let count = usize::from(case.end == End::Refused);
                let good = replies.len() == count && replies.iter().all(failure);
                ensure!(good, "replies: {replies:?}");
                let (pages, marks) = client.memory()?;
                // A case may have added some memory.
                let same = pages.starts_with(&before.0) && marks == before.1;
                ensure!(same, "memory or log has changed");
                let has = self.has();
                ensure!(has == self.idle, "it had {:?} and has {has:?}", self.idle);
                None
            }
        };
        let what = match case.end {
            End::Stopped => format!("ring {} is stopped", self.kind.ring()),
            _ => "the client is sent away".into(),
        };
        let line = format!("reeve-vhost-peer: {what}: {}", case.said);
        let said = self.said();
        ensure!(said == [line.as_str()], "it says {said:?} and not {line:?}");
        Ok(client.filter(|_| usual))
    }

    /// Starts the ring again after an error in it, from the first index on.
    fn goes_on(&self, session: &mut Session) -> Result<()> {
        session.stop()?;
        session.stop_others()?;
        ensure!(session.failed(Duration::ZERO)?, "the err fd is signalled");
        session.start(0)?;
        session.io()?;
        ensure!(!session.failed(Duration::ZERO)?, "the ring works again");
        Ok(())
    }

    /// Looks whether the next client is served, with the device as it was.
    fn next_client(&self) -> Result<()> {
        let mut session = self.client(ALL, true)?.session;
        let parts = session.io()?;
        if self.kind == Kind::Blk {
            let mut sector = [0; 512];
            session.memory.read(parts[1].0, &mut sector)?;
            ensure!(
                sector[..] == Device::pattern(1)[..512],
                "the disk has changed"
            );
        }
        Ok(())
    }
}

/// Receives until the connection is closed.
fn replies(session: &Session) -> Result<Vec<Message>> {
    let (mut replies, end) = (Vec::new(), Instant::now() + LIMIT);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let socket = session.front.socket();
        ensure!(readable(socket.as_fd(), left)?, "the connection is open");
        match receive(socket)? {
            Some(message) => replies.push(message),
            None => return Ok(replies),
        }
    }
}

fn one_at_a_time(kind: Kind) {
    let mut back = Back::start(kind);
    let mut wrong = Vec::new();
    let cases = cases(kind);
    for case in &cases {
        let survived = back.survives(case, None).and_then(|client| {
            // A ring that was stopped works when it is started again.
            client.map_or(Ok(()), |mut client| back.goes_on(&mut client.session))
        });
        let result = survived.and_then(|()| back.next_client());
        if let Err(error) = result {
            wrong.push(format!("{}: {error:#}", case.name));
            back.said();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} cases", cases.len());
}

#[test]
fn a_disk_refuses_each_bad_input_and_nothing_else_changes() {
    one_at_a_time(Kind::Blk);
}

#[test]
fn a_network_card_refuses_each_bad_input_and_nothing_else_changes() {
    one_at_a_time(Kind::Net);
}

/// Returns the next of a row of numbers that looks random.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31) as usize
}

/// The seed that the environment or the clock says.
fn seed() -> u64 {
    let given = std::env::var("REEVE_SEED").ok();
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let clock = clock.map_or(1, |now| now.as_nanos() as u64);
    given.and_then(|seed| seed.parse().ok()).unwrap_or(clock)
}

/// The same one after the other, without a client that does everything right in between: a ring that was stopped is
/// started again on the same connection, and what comes next comes there.
#[test]
fn all_bad_input_in_random_order_leaves_nothing() {
    let seed = seed();
    println!("REEVE_SEED={seed}");
    for kind in [Kind::Blk, Kind::Net] {
        let mut back = Back::start(kind);
        let mut state = seed;
        let mut cases = cases(kind);
        for at in (1..cases.len()).rev() {
            cases.swap(at, random(&mut state) % (at + 1));
        }
        let mut client = None;
        for case in &cases {
            let next = back.survives(case, client.take()).and_then(|client| {
                let Some(mut client) = client else {
                    return Ok(None);
                };
                back.goes_on(&mut client.session)?;
                Ok(Some(client))
            });
            client = next.unwrap_or_else(|e| panic!("REEVE_SEED={seed}: {}: {e:#}", case.name));
        }
        drop(client);
        back.next_client().unwrap();
        until("what it had before", || {
            (back.has() == back.idle).then_some(())
        });
    }
}

/// A message may come in pieces, for a stream has no borders; one whose rest does not come within five seconds is not
/// waited for.
#[test]
fn a_split_message_is_served_and_half_of_one_costs_five_seconds() {
    let mut back = Back::start(Kind::Blk);
    let session = back.client(ALL, true).unwrap().session;
    let bytes = words(&[R::SET_VRING_NUM as u32, VERSION | NEED_REPLY, 8, 0, 16]);
    for byte in &bytes {
        send_bytes(session.front.socket(), &[*byte], &[]).unwrap();
    }
    assert_eq!(session.front.receive().unwrap().body, longs(&[0]));
    let file = memory_file(MEMORY).unwrap();
    let start = Instant::now();
    send_bytes(session.front.socket(), &bytes[..13], &[file.as_fd()]).unwrap();
    assert!(session.front.closes(2 * LIMIT).unwrap());
    let waited = start.elapsed();
    assert!(waited >= LIMIT && waited < 2 * LIMIT, "{waited:?}");
    assert_eq!(back.has(), back.idle);
    let line = "reeve-vhost-peer: the client is sent away: a message broke off";
    assert_eq!(back.said(), [line]);
    back.next_client().unwrap();
}
