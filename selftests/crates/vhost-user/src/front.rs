// SPDX-License-Identifier: GPL-2.0-or-later
//! A front end with a driver in it: memory of its own, rings, requests; every wait has a limit.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use rustix::fs::{ftruncate, memfd_create, MemfdFlags};
use rustix::io::Errno;
use vhost::vhost_user::message::FrontendReq;

use crate::error;
use crate::features::{self, Feature, Features};
use crate::local::event;
use crate::log::{DirtyLog, LOG_PAGE};
use crate::memory::{load16, store16, Memory, RegionInfo};
use crate::wire::{self, long, longs, word, words, Message, LIMIT, NEED_REPLY, REPLY};

/// How long it is watched that nothing happens.
pub const QUIET: Duration = Duration::from_millis(50);
/// The name of the memory files, by which they are found in a back end's /proc.
pub const MEMORY_NAME: &str = "reeve-vhost-check";
/// What a front end adds to guest-physical addresses.
pub const USER: u64 = 0x7f00_0000_0000;
/// The entries of a ring.
pub const RING: u16 = 16;
/// What buffers are filled with before the device writes to them.
pub const FILL: u8 = 0xa5;

/// Returns a file of memory.
pub fn memory_file(size: u64) -> Result<OwnedFd> {
    let fd = memfd_create(MEMORY_NAME, MemfdFlags::CLOEXEC).context("memfd_create")?;
    ftruncate(&fd, size).context("ftruncate")?;
    Ok(fd)
}

/// The back end has closed the connection where it owed a reply.
#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the back end has closed the connection")
    }
}

impl std::error::Error for HungUp {}

/// Tells whether it was the other side's hanging up that made something fail.
fn hung_up(error: &anyhow::Error) -> bool {
    let broken = |e: &error::Error| match e {
        error::Error::Os(_, e) => e.kind() == io::ErrorKind::BrokenPipe,
        _ => false,
    };
    error.is::<HungUp>() || error.downcast_ref().is_some_and(broken)
}

/// A connection.
#[derive(Debug)]
pub struct Front {
    socket: UnixStream,
    acks: bool,
}

impl Front {
    /// Connects to a back end, which may be one that is started anew for each client.
    pub fn connect(path: &Path) -> Result<Self> {
        let again = [Errno::CONNREFUSED, Errno::NOENT, Errno::AGAIN];
        let socket = Self::try_until(path, &again)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        Ok(Self {
            socket,
            acks: false,
        })
    }

    /// Connects, and asks for the features; comes again within the limit if it is hung up on before the reply.
    ///
    /// A back end that begins anew after each client hangs up on those that have come meanwhile.
    pub fn greeted(path: &Path) -> Result<(Self, u64)> {
        let end = Instant::now() + LIMIT;
        loop {
            let front = Self::connect(path)?;
            match front.get(FrontendReq::GET_FEATURES) {
                Err(error) if hung_up(&error) && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                reply => return Ok((front, reply?)),
            }
        }
    }

    /// Tells whether a process listens on a socket, be it one that accepts nothing; waits for one that is started anew.
    pub fn listens(path: &Path) -> bool {
        let again = [Errno::CONNREFUSED, Errno::NOENT];
        matches!(Self::try_until(path, &again), Ok(_) | Err(Errno::AGAIN))
    }

    /// Connects; tries again within the limit after these errors.
    fn try_until(path: &Path, again: &[Errno]) -> rustix::io::Result<UnixStream> {
        let end = Instant::now() + LIMIT;
        loop {
            match wire::connect_now(path) {
                Err(error) if again.contains(&error) && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                done => return done,
            }
        }
    }

    /// Returns the socket.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Says whether acknowledgements are asked for from now on.
    pub fn set_acks(&mut self, on: bool) {
        self.acks = on;
    }

    /// Receives a message within the limit.
    pub fn receive(&self) -> Result<Message> {
        ensure!(
            wire::readable(self.socket.as_fd(), LIMIT)?,
            "no reply within {} s",
            LIMIT.as_secs()
        );
        wire::receive(&self.socket)?.ok_or_else(|| HungUp.into())
    }

    /// Sends a request and returns its reply's payload.
    pub fn ask(&self, code: FrontendReq, body: Vec<u8>) -> Result<Vec<u8>> {
        self.ask_with(Message::request(code, body))
    }

    /// Sends any message and returns its reply's payload.
    pub fn ask_with(&self, message: Message) -> Result<Vec<u8>> {
        let name = message.name();
        wire::send(&self.socket, &message)?;
        let reply = self.receive().with_context(|| format!("after {name}"))?;
        ensure!(
            reply.code == message.code,
            "{name} was replied to with {}",
            reply.name()
        );
        ensure!(
            reply.flags & REPLY != 0,
            "the reply to {name} lacks the reply bit"
        );
        Ok(reply.body)
    }

    /// Returns the 64 bits that a request is replied to with.
    pub fn get(&self, code: FrontendReq) -> Result<u64> {
        let body = self.ask(code, Vec::new())?;
        ensure!(
            body.len() == 8,
            "{code:?} is replied to with {} bytes, not 8",
            body.len()
        );
        Ok(long(&body, 0))
    }

    /// Sends a request that has no reply of its own; has it acknowledged where that was negotiated.
    pub fn set(&self, code: FrontendReq, body: Vec<u8>, fds: Vec<OwnedFd>) -> Result<()> {
        let mut message = Message::request(code, body);
        message.fds = fds;
        if !self.acks {
            return Ok(wire::send(&self.socket, &message)?);
        }
        message.flags |= NEED_REPLY;
        let body = self.ask_with(message)?;
        ensure!(long(&body, 0) == 0, "{code:?} is refused");
        Ok(())
    }

    /// Waits until everything sent was handled.
    pub fn sync(&self) -> Result<()> {
        self.get(FrontendReq::GET_FEATURES).map(drop)
    }

    /// Tells whether the back end closes the connection within a time; what it says before is thrown away.
    pub fn closes(&self, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if !wire::readable(self.socket.as_fd(), left)? {
                return Ok(false);
            }
            match wire::receive(&self.socket) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(true),
            }
        }
    }
}

/// A region of the driver's memory: where, how large, from where in its file.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    /// The guest-physical address.
    pub guest: u64,
    /// The size.
    pub size: u64,
    /// The offset in the file.
    pub offset: u64,
}

impl Area {
    /// Returns an area that begins at its file's start.
    pub const fn new(guest: u64, size: u64) -> Self {
        Self {
            guest,
            size,
            offset: 0,
        }
    }

    /// Returns what a message says of it.
    pub const fn info(self) -> RegionInfo {
        RegionInfo {
            guest: self.guest,
            size: self.size,
            user: self.guest + USER,
            offset: self.offset,
        }
    }
}

/// A part of a request: address, size, whether the device writes it.
pub type Part = (u64, u32, bool);

/// What the driver does with a ring of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Reads sectors.
    Blk,
    /// Sends frames.
    Net,
    /// Asks for the file system's greeting.
    Fs,
    /// Asks for random bytes.
    Rng,
}

impl Kind {
    /// Returns the ring that the requests go to.
    pub const fn ring(self) -> usize {
        match self {
            Self::Blk | Self::Rng => 0,
            Self::Net | Self::Fs => 1,
        }
    }

    /// Tells whether its device writes into buffers.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Net)
    }
}

/// Where the rings of a session lie, each in 64 KiB of its own.
const RINGS_AT: u64 = 0x1_0000;
const AVAIL: u64 = 0x1000;
const USED: u64 = 0x2000;
/// Where the buffers lie unless a check moves them.
const BUFFERS_AT: u64 = 0x8_0000;
/// The size of the default memory.
pub const MEMORY: u64 = 0x10_0000;

/// A driver at work.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub front: Front,
    /// What the back end offers.
    pub offer: Features,
    /// What was acknowledged.
    pub acked: Features,
    /// The driver's memory.
    pub memory: Memory,
    /// Where requests put their buffers: three pages.
    pub buffers: u64,
    /// Whether writes of the used ring are to be marked.
    pub log_used: bool,
    /// What is added to the used ring's address for the log.
    pub log_shift: u64,
    /// Whether SET_LOG_BASE says NEED_REPLY, which it need not, and QEMU's does not: it has a reply of its own.
    pub log_needs_reply: bool,
    kind: Kind,
    files: Vec<(RegionInfo, OwnedFd)>,
    kick: OwnedFd,
    call: OwnedFd,
    err: OwnedFd,
    avail: u16,
}

impl Session {
    /// Connects and negotiates: version 1, acknowledgements, and `more` of what is offered.
    pub fn new(path: &Path, kind: Kind, more: &[Feature]) -> Result<Self> {
        let (mut front, virtio) = Front::greeted(path)?;
        let mut offer = Features {
            virtio,
            protocol: 0,
        };
        front.set(FrontendReq::SET_OWNER, Vec::new(), Vec::new())?;
        let mut want = Features::of(more);
        for feature in [
            features::VERSION_1,
            features::PROTOCOL_FEATURES,
            features::REPLY_ACK,
            features::CONFIG,
            features::MQ,
        ] {
            want = want.with(feature);
        }
        if offer.has(features::PROTOCOL_FEATURES) {
            offer.protocol = front.get(FrontendReq::GET_PROTOCOL_FEATURES)?;
        }
        let acked = Features {
            virtio: offer.virtio & want.virtio,
            protocol: offer.protocol & want.protocol,
        };
        if acked.protocol != 0 {
            let body = longs(&[acked.protocol]);
            front.set(FrontendReq::SET_PROTOCOL_FEATURES, body, Vec::new())?;
        }
        front.set_acks(acked.has(features::REPLY_ACK));
        front.set(
            FrontendReq::SET_FEATURES,
            longs(&[acked.virtio]),
            Vec::new(),
        )?;
        Ok(Self {
            front,
            offer,
            acked,
            memory: Memory::default(),
            buffers: BUFFERS_AT,
            log_used: false,
            log_shift: 0,
            log_needs_reply: false,
            kind,
            files: Vec::new(),
            kick: event()?,
            call: event()?,
            err: event()?,
            avail: 0,
        })
    }

    /// Makes the areas and keeps them to itself.
    pub fn make(&mut self, areas: &[Area]) -> Result<()> {
        for area in areas {
            let file = memory_file(area.offset + area.size)?;
            self.memory.add(area.info(), &file)?;
            self.files.push((area.info(), file));
        }
        Ok(())
    }

    /// Takes an area of a file that is there already, at the area's offset in it.
    pub fn adopt(&mut self, area: Area, file: OwnedFd) -> Result<()> {
        self.memory.add(area.info(), &file)?;
        self.files.push((area.info(), file));
        Ok(())
    }

    /// Tells the back end of all areas in one message.
    pub fn table(&self) -> Result<()> {
        let mut body = words(&[self.files.len() as u32, 0]);
        let mut fds = Vec::new();
        for (info, file) in &self.files {
            body.extend_from_slice(&info.bytes());
            fds.push(file.try_clone()?);
        }
        self.front.set(FrontendReq::SET_MEM_TABLE, body, fds)?;
        self.front.sync()
    }

    /// Makes areas, in one table.
    pub fn areas(&mut self, areas: &[Area]) -> Result<()> {
        self.make(areas)?;
        self.table()
    }

    /// Tells the back end of the area with this number.
    pub fn add(&self, number: usize) -> Result<()> {
        let (info, file) = &self.files[number];
        let mut body = longs(&[0]);
        body.extend_from_slice(&info.bytes());
        let fds = vec![file.try_clone()?];
        self.front.set(FrontendReq::ADD_MEM_REG, body, fds)?;
        self.front.sync()
    }

    /// Takes the area with this number away from the back end.
    pub fn remove(&self, number: usize) -> Result<()> {
        let mut body = longs(&[0]);
        body.extend_from_slice(&self.files[number].0.bytes());
        self.front.set(FrontendReq::REM_MEM_REG, body, Vec::new())?;
        self.front.sync()
    }

    fn at(ring: usize) -> u64 {
        RINGS_AT * (ring as u64 + 1)
    }

    /// Returns the guest-physical address of the used ring that requests go to.
    pub fn used_at(&self) -> u64 {
        Self::at(self.kind.ring()) + USED
    }

    /// Returns the guest-physical address of a descriptor.
    pub fn desc_at(&self, index: u16) -> u64 {
        Self::at(self.kind.ring()) + 16 * u64::from(index)
    }

    /// Returns the guest-physical address of the available ring.
    pub fn avail_at(&self) -> u64 {
        Self::at(self.kind.ring()) + AVAIL
    }

    /// Returns the ring that requests go to.
    pub fn ring(&self) -> usize {
        self.kind.ring()
    }

    /// Returns where the ring that requests go to lies, in the front end's addresses: descriptors, used ring, available
    /// ring.
    pub fn addresses(&self) -> [u64; 3] {
        [self.desc_at(0), self.used_at(), self.avail_at()].map(|at| at + USER)
    }

    /// Sends SET_VRING_ADDR of a ring.
    pub fn address(&self, ring: usize) -> Result<()> {
        let at = Self::at(ring);
        let mut body = words(&[ring as u32, u32::from(self.log_used)]);
        let used = at + USED;
        let log = used + self.log_shift;
        body.extend(longs(&[at + USER, used + USER, at + AVAIL + USER, log]));
        self.front
            .set(FrontendReq::SET_VRING_ADDR, body, Vec::new())
    }

    /// Sets a ring up, all but its kick.
    pub fn set_up(&mut self, ring: usize, base: u16) -> Result<()> {
        let index = ring as u32;
        let state = |value: u32| words(&[index, value]);
        if ring == self.kind.ring() {
            self.avail = base;
            store16(&self.memory, self.avail_at() + 2, base)?;
            store16(&self.memory, self.used_at() + 2, base)?;
        }
        let set = |code, body| self.front.set(code, body, Vec::new());
        set(FrontendReq::SET_VRING_NUM, state(RING.into()))?;
        set(FrontendReq::SET_VRING_BASE, state(base.into()))?;
        self.address(ring)?;
        let event = |code, fd: &OwnedFd| {
            let fds = vec![fd.try_clone()?];
            self.front.set(code, longs(&[index.into()]), fds)
        };
        event(FrontendReq::SET_VRING_CALL, &self.call)?;
        self.set_err(ring)
    }

    /// Sends SET_VRING_ERR of a ring, with an fd that was not signalled yet.
    pub fn set_err(&self, ring: usize) -> Result<()> {
        let _ = rustix::io::read(&self.err, &mut [0; 8]);
        let fds = vec![self.err.try_clone()?];
        let body = longs(&[ring as u64]);
        self.front.set(FrontendReq::SET_VRING_ERR, body, fds)
    }

    /// Sends SET_VRING_KICK of a ring.
    pub fn start_ring(&self, ring: usize) -> Result<()> {
        let kick = match ring == self.kind.ring() {
            true => self.kick.try_clone()?,
            false => event()?,
        };
        self.front.set(
            FrontendReq::SET_VRING_KICK,
            longs(&[ring as u64]),
            vec![kick],
        )
    }

    /// Enables or disables a ring, where there is something to enable.
    pub fn enable(&self, ring: usize, on: bool) -> Result<()> {
        if !self.acked.has(features::PROTOCOL_FEATURES) {
            return Ok(());
        }
        let body = words(&[ring as u32, on.into()]);
        self.front
            .set(FrontendReq::SET_VRING_ENABLE, body, Vec::new())
    }

    /// Enables all rings that the device needs.
    pub fn enable_all(&self) -> Result<()> {
        (0..=self.kind.ring()).try_for_each(|ring| self.enable(ring, true))?;
        self.front.sync()
    }

    /// Starts all rings that the device needs, at an index.
    pub fn start(&mut self, base: u16) -> Result<()> {
        for ring in 0..=self.kind.ring() {
            let base = if ring == self.kind.ring() { base } else { 0 };
            self.set_up(ring, base)?;
            self.start_ring(ring)?;
            self.enable(ring, true)?;
        }
        self.front.sync()
    }

    /// Makes the default memory and starts.
    pub fn go(&mut self) -> Result<()> {
        self.areas(&[Area::new(0, MEMORY)])?;
        self.start(0)
    }

    /// Stops the ring and returns its index.
    pub fn stop(&self) -> Result<u16> {
        let ring = self.kind.ring() as u32;
        let body = self
            .front
            .ask(FrontendReq::GET_VRING_BASE, words(&[ring, 0]))?;
        ensure!(
            body.len() == 8 && word(&body, 0) == ring,
            "GET_VRING_BASE of ring {ring} is replied to with {body:02x?}"
        );
        u16::try_from(word(&body, 4)).context("an index of more than 16 bits")
    }

    /// Stops the rings that requests do not go to.
    pub fn stop_others(&self) -> Result<()> {
        for ring in 0..self.kind.ring() {
            let body = words(&[ring as u32, 0]);
            self.front.ask(FrontendReq::GET_VRING_BASE, body)?;
        }
        Ok(())
    }

    /// Returns the parts of a request, with what the device reads in place and what it writes filled.
    pub fn request(&self) -> Result<Vec<Part>> {
        let at = self.buffers;
        let data = at + LOG_PAGE;
        let (input, parts) = match self.kind {
            Kind::Blk => {
                let status = at + 2 * LOG_PAGE;
                let parts = vec![(at, 16, false), (data, 512, true), (status, 1, true)];
                (vec![0; 16], parts)
            }
            Kind::Net => (vec![0; 72], vec![(at, 72, false)]),
            Kind::Rng => (Vec::new(), vec![(data, 64, true)]),
            Kind::Fs => {
                // FUSE_INIT of version 7.31: size, opcode, unique, node, user, group, process; major, minor.
                let mut input = words(&[56, 26]);
                input.extend(longs(&[1, 0]));
                input.extend(words(&[0, 0, 0, 0, 7, 31, 4096, 0]));
                (input, vec![(at, 56, false), (data, 80, true)])
            }
        };
        self.memory.write_unmarked(at, &input)?;
        self.fill(&parts)?;
        Ok(parts)
    }

    /// Fills what the device writes.
    pub fn fill(&self, parts: &[Part]) -> Result<()> {
        for (at, size, _) in parts.iter().filter(|part| part.2) {
            self.memory
                .write_unmarked(*at, &vec![FILL; *size as usize])?;
        }
        Ok(())
    }

    /// Writes a descriptor.
    pub fn descriptor(&self, index: u16, at: u64, size: u32, flags: u16, next: u16) -> Result<()> {
        let mut desc = longs(&[at]);
        desc.extend(words(&[size, u32::from(flags) | u32::from(next) << 16]));
        Ok(self.memory.write_unmarked(self.desc_at(index), &desc)?)
    }

    /// Makes the chain that begins at a descriptor available.
    pub fn available(&mut self, head: u16) -> Result<()> {
        let slot = self.avail_at() + 4 + 2 * u64::from(self.avail % RING);
        store16(&self.memory, slot, head)?;
        self.avail = self.avail.wrapping_add(1);
        Ok(store16(&self.memory, self.avail_at() + 2, self.avail)?)
    }

    /// Says that so many more chains are available than are.
    pub fn ahead(&mut self, count: u16) -> Result<()> {
        let index = self.avail.wrapping_add(count);
        Ok(store16(&self.memory, self.avail_at() + 2, index)?)
    }

    /// Makes a request available without a kick.
    pub fn submit(&mut self, parts: &[Part]) -> Result<()> {
        for (index, (at, size, writes)) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            let flags = u16::from(!last) | u16::from(*writes) << 1;
            let next = if last { 0 } else { index as u16 + 1 };
            self.descriptor(index as u16, *at, *size, flags, next)?;
        }
        self.available(0)
    }

    /// Kicks the ring.
    pub fn kick(&self) -> Result<()> {
        rustix::io::write(&self.kick, &1_u64.to_ne_bytes()).context("kick")?;
        Ok(())
    }

    /// Returns the used index.
    pub fn used(&self) -> Result<u16> {
        Ok(load16(&self.memory, self.used_at() + 2)?)
    }

    /// Waits until everything that was made available is used, as the call tells it.
    pub fn served(&self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        loop {
            let _ = rustix::io::read(&self.call, &mut [0; 8]);
            let used = self.used()?;
            if used == self.avail {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if !wire::readable(self.call.as_fd(), left)? {
                let avail = self.avail;
                bail!(
                    "the used index is {used} and not {avail} after {} s",
                    LIMIT.as_secs()
                );
            }
        }
    }

    /// Tells whether the ring's err fd was signalled within a time.
    pub fn failed(&self, limit: Duration) -> Result<bool> {
        Ok(wire::readable(self.err.as_fd(), limit)?)
    }

    /// Does one request from end to end, and looks at what came.
    pub fn io(&mut self) -> Result<Vec<Part>> {
        let parts = self.request()?;
        self.submit(&parts)?;
        self.kick()?;
        self.served()?;
        self.came(&parts)?;
        Ok(parts)
    }

    /// Looks whether the device has written what it should.
    pub fn came(&self, parts: &[Part]) -> Result<()> {
        for (at, size, _) in parts.iter().filter(|part| part.2) {
            let mut data = vec![0; *size as usize];
            self.memory.read(*at, &mut data)?;
            let same = data.iter().all(|byte| *byte == FILL);
            ensure!(!same, "nothing was written to the buffer at {at:#x}");
        }
        Ok(())
    }

    /// Watches for a while that a request is not served and that its buffers stay.
    pub fn stays(&self, parts: &[Part], used: u16) -> Result<()> {
        let end = Instant::now() + QUIET;
        while Instant::now() < end {
            ensure!(self.used()? == used, "the ring is served");
            for (at, size, _) in parts.iter().filter(|part| part.2) {
                let mut data = vec![0; *size as usize];
                self.memory.read(*at, &mut data)?;
                ensure!(
                    data.iter().all(|b| *b == FILL),
                    "memory at {at:#x} is written"
                );
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Returns the content of all memory, by page.
    pub fn snapshot(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut pages = Vec::new();
        for info in self.memory.regions() {
            let mut at = info.guest;
            while at < info.guest + info.size {
                let size = LOG_PAGE.min(info.guest + info.size - at);
                let mut page = vec![0; size as usize];
                self.memory.read(at, &mut page)?;
                pages.push((at, page));
                at += size;
            }
        }
        Ok(pages)
    }

    /// Sends SET_FEATURES with or without LOG_ALL.
    pub fn log_all(&self, on: bool) -> Result<()> {
        let mut features = self.acked.virtio;
        if on {
            features |= features::LOG_ALL.mask();
        }
        let body = longs(&[features]);
        self.front
            .set(FrontendReq::SET_FEATURES, body, Vec::new())?;
        self.front.sync()
    }

    /// Gives the back end a log; returns the driver's view of it.
    pub fn log(&self, size: u64, offset: u64) -> Result<Log> {
        let file = memory_file(size + offset)?;
        let all = DirtyLog::new(&file, size + offset, 0)?;
        let log = DirtyLog::new(&file, size, offset)?;
        let mut message = Message::request(FrontendReq::SET_LOG_BASE, longs(&[size, offset]));
        message.fds.push(file);
        if self.log_needs_reply && self.acked.has(features::REPLY_ACK) {
            message.flags |= NEED_REPLY;
        }
        // Back ends reply with nothing, with a number, or with the request; the protocol does not say what it means.
        let body = self.front.ask_with(message)?;
        ensure!(
            [0, 8, 16].contains(&body.len()),
            "SET_LOG_BASE is replied to with {} bytes",
            body.len()
        );
        Ok(Log {
            log,
            all,
            offset,
            size,
        })
    }

    /// Tells the rings whether the used ring is marked, as a migration's begin does.
    pub fn log_rings(&mut self, on: bool) -> Result<()> {
        self.log_used = on;
        for ring in 0..=self.kind.ring() {
            self.address(ring)?;
        }
        self.front.sync()
    }
}

/// A log that a back end has, from the front end's side.
#[derive(Debug)]
pub struct Log {
    log: DirtyLog,
    all: DirtyLog,
    offset: u64,
    size: u64,
}

impl Log {
    /// Tells whether the page of an address is marked.
    pub fn is_marked(&self, guest: u64) -> bool {
        self.log.is_marked(guest)
    }

    /// Returns how many bits are set in the log.
    pub fn count(&self) -> usize {
        let pages = 0..self.size * 8;
        pages
            .filter(|page| self.log.is_marked(page * LOG_PAGE))
            .count()
    }

    /// Returns how many bits are set before the log, in the same file.
    pub fn before(&self) -> usize {
        let pages = 0..self.offset * 8;
        pages
            .filter(|page| self.all.is_marked(page * LOG_PAGE))
            .count()
    }
}
