// SPDX-License-Identifier: GPL-2.0-or-later
//! What is wrong: messages, file descriptors, memory, logs and rings.

use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::Result;
use reeve_vhost_user::features::{self, Feature};
use reeve_vhost_user::front::{memory_file, Area, Kind, Session, MEMORY, RING, USER};
use reeve_vhost_user::local::event;
use reeve_vhost_user::memory::{RegionInfo, SLOTS};
use reeve_vhost_user::wire::{longs, send, send_bytes, words, Message, NEED_REPLY, REPLY, VERSION};
use rustix::fs::{Mode, OFlags};
use vhost::vhost_user::message::FrontendReq as R;

/// What a session of these tests negotiates besides what all do.
pub(crate) const ALL: &[Feature] = &[
    features::LOG_SHMFD,
    features::CONFIGURE_MEM_SLOTS,
    features::RESET_DEVICE,
];

/// The sizes of a session's two regions, which touch: enough for its rings and buffers, and little to look at.
pub(crate) const FIRST: u64 = 0x9_0000;
pub(crate) const SECOND: u64 = 0x1_0000;

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
pub(crate) enum End {
    /// The connection is closed, without a reply.
    Closed,
    /// The request is replied to with a failure, and the connection is closed.
    Refused,
    /// The ring is stopped, its err fd signalled, and the connection goes on.
    Stopped,
}

/// Does what is wrong.
pub(crate) type Act = Box<dyn Fn(&mut Session) -> Result<()>>;

/// Something that is wrong.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) end: End,
    /// What the back end says of it.
    pub(crate) said: String,
    /// What is negotiated.
    pub(crate) features: &'static [Feature],
    /// Whether a ring is going before it; if not, there is only what was negotiated.
    pub(crate) going: bool,
    pub(crate) act: Act,
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

/// Eight bytes of configuration space from `offset` on, all 0.
fn config(offset: u32, flags: u32) -> Vec<u8> {
    let mut body = words(&[offset, 8, flags]);
    body.extend([0; 8]);
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
        _ => (R::GET_CONFIG, config(0, 0), vec![]),
    });
    if kind == Kind::Blk {
        requests.push((R::SET_CONFIG, config(0, 1), vec![]));
    }
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
        let negotiated = [
            R::GET_QUEUE_NUM,
            R::GET_CONFIG,
            R::SET_CONFIG,
            R::REM_MEM_REG,
        ]
        .map(|r| r as u32);
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
    if kind == Kind::Net {
        let body = words(&[0, 0, 0]);
        cases.push(without(features::CONFIG, R::SET_CONFIG, body.clone(), &[]));
        cases.push(without(features::CONFIG, R::GET_CONFIG, body, &[]));
    } else {
        cases.push(without(features::MQ, R::GET_QUEUE_NUM, vec![], &[]));
    }
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
        let said = "GET_CONFIG's end cannot be 0x102";
        cases.push(value("beyond its end", said, R::GET_CONFIG, config(250, 0)));
        // A disk's size is at 0, and nothing can be written to.
        for (name, said, offset, flags) in [
            ("beyond its end", "end cannot be 0x102", 250, 1),
            ("read-only", "offset cannot be 0x0", 0, 0),
            ("another size", "offset cannot be 0x1", 0, 1),
            ("flags", "flags cannot be 0x2", 0, 2),
        ] {
            let said = format!("SET_CONFIG's {said}");
            let body = config(offset, flags);
            cases.push(value(name, &said, R::SET_CONFIG, body));
        }
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

/// All of them.
pub(crate) fn cases(kind: Kind) -> Vec<Case> {
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
