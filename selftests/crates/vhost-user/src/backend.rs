// SPDX-License-Identifier: GPL-2.0-or-later
//! What a back end knows of its front end, and what each message does to it.
//!
//! One thread handles the messages and the rings of a connection. So nothing is in flight while a message is handled:
//! GET_VRING_BASE is replied to when all that was begun is done, and a replaced log or mapping has no user any more.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::fs::{fstat, FileType};
use vhost::vhost_user::message::FrontendReq;

use crate::broken::Broken;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::features::{self, Features};
use crate::log::DirtyLog;
use crate::memory::{Memory, RegionInfo, SLOTS, TABLE_REGIONS};
use crate::ring::{Ring, RingAddress, MOST};
use crate::wire::{long, longs, word, words, Message, NEED_REPLY, REPLY};

/// The bit of a ring's fd message that says there is no fd.
const NO_FD: u64 = 1 << 8;

/// Who sets the configuration space: the driver, or a migration.
const CONFIG_WRITABLE: u32 = 0;
const CONFIG_MIGRATION: u32 = 1;

/// How long after the reply [`Broken::FinishLate`] finishes what was in flight.
const LATE: Duration = Duration::from_millis(15);

/// A back end with one front end.
#[derive(Debug)]
pub struct Backend {
    device: Device,
    offer: Features,
    acked: Features,
    asked: bool,
    memory: Memory,
    rings: Vec<Ring>,
    broken: Option<Broken>,
    /// The ring that [`Broken::FinishLate`] has something left of.
    late: Option<usize>,
    leaked: Vec<OwnedFd>,
}

impl Backend {
    /// Returns a back end for a new connection.
    pub fn new(device: Device, offer: Features, broken: Option<Broken>) -> Self {
        let rings = device.rings(offer);
        Self {
            device,
            offer,
            acked: Features::default(),
            asked: false,
            memory: Memory::new(broken),
            rings: (0..rings).map(|_| Ring::default()).collect(),
            broken,
            late: None,
            leaked: Vec::new(),
        }
    }

    /// Begins afresh for the next connection; only the device's content stays.
    #[must_use]
    pub fn next_connection(mut self) -> Self {
        self.device.reset();
        let mut next = Self::new(self.device, self.offer, self.broken);
        if self.broken == Some(Broken::KeepMemory) {
            next.memory = self.memory;
        }
        next.leaked = self.leaked;
        next
    }

    /// Returns the guest's memory.
    pub fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Returns the rings.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Returns the acknowledged features.
    pub fn acked(&self) -> Features {
        self.acked
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the mistake that is made on purpose.
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Tells whether rings are enabled before SET_VRING_ENABLE comes.
    fn enabled_by_default(&self) -> bool {
        !self.acked.has(features::PROTOCOL_FEATURES) || self.broken == Some(Broken::IgnoreEnable)
    }

    /// Tells whether a ring is served.
    pub fn is_running(&self, ring: usize) -> bool {
        let ring = &self.rings[ring];
        let default = self.enabled_by_default();
        if self.broken == Some(Broken::IgnoreEnable) {
            return ring.is_started() && !ring.has_failed();
        }
        ring.is_running(default)
    }

    /// Handles a message and returns what is sent back.
    ///
    /// After an error the connection has to be closed; the replies are to be sent before that.
    pub fn handle(&mut self, mut message: Message) -> (Vec<Message>, Result<()>) {
        let wants_ack = message.flags & NEED_REPLY != 0;
        let fds = std::mem::take(&mut message.fds);
        let result = self.dispatch(&message, fds);
        let acks = self.acked.has(features::REPLY_ACK)
            && (self.asked || self.broken != Some(Broken::ReplyAckAfterGet));
        match result {
            Ok(Some(body)) => {
                let mut replies = vec![message.reply(body)];
                let is_log = message.code == FrontendReq::SET_LOG_BASE as u32;
                if self.broken == Some(Broken::LogReplyTwice) && is_log && wants_ack {
                    replies.push(message.reply(longs(&[0])));
                }
                (replies, Ok(()))
            }
            Ok(None) if wants_ack && acks => (vec![message.reply(longs(&[0]))], Ok(())),
            Ok(None) => (Vec::new(), Ok(())),
            Err(error) if wants_ack && acks => (vec![message.reply(longs(&[1]))], Err(error)),
            Err(error) => (Vec::new(), Err(error)),
        }
    }

    /// Does what a message says; returns the reply that the request has by itself.
    fn dispatch(&mut self, message: &Message, mut fds: Vec<OwnedFd>) -> Result<Option<Vec<u8>>> {
        if message.flags & REPLY != 0 {
            return Err(Error::ReplyBit);
        }
        let request = FrontendReq::try_from(message.code);
        let request = request.map_err(|_| Error::Unknown(message.code))?;
        if let Err(error) = self.check(request, message, fds.len()) {
            if self.broken == Some(Broken::LeakFds) {
                self.leaked.append(&mut fds);
            }
            return Err(error);
        }
        let body = message.body.as_slice();
        match request {
            FrontendReq::GET_FEATURES => return Ok(Some(longs(&[self.offer.virtio]))),
            FrontendReq::SET_FEATURES => self.set_features(long(body, 0))?,
            FrontendReq::GET_PROTOCOL_FEATURES => {
                self.asked = true;
                return Ok(Some(longs(&[self.offer.protocol])));
            }
            FrontendReq::SET_PROTOCOL_FEATURES => {
                self.acked.protocol = self
                    .known(Features {
                        virtio: 0,
                        protocol: long(body, 0),
                    })?
                    .protocol
            }
            FrontendReq::SET_OWNER => {}
            FrontendReq::RESET_OWNER => self.rings.iter_mut().for_each(|r| r.enable(false)),
            FrontendReq::RESET_DEVICE => self.reset(),
            FrontendReq::SET_MEM_TABLE => self.set_table(body, fds)?,
            FrontendReq::GET_MAX_MEM_SLOTS => return Ok(Some(longs(&[SLOTS]))),
            FrontendReq::ADD_MEM_REG => self.add_region(RegionInfo::read(body, 8), fds)?,
            FrontendReq::REM_MEM_REG => {
                self.memory.remove(RegionInfo::read(body, 8))?;
                self.forget_addresses();
            }
            FrontendReq::SET_LOG_BASE => {
                self.set_log(body, fds)?;
                return Ok(Some(longs(&[0])));
            }
            FrontendReq::SET_VRING_NUM => {
                let size = word(body, 4);
                if size == 0 || size > MOST || !size.is_power_of_two() {
                    return Err(Error::Value("a ring's size", size.into()));
                }
                let ring = self.ring(body)?;
                ring.size = size as u16;
                ring.forget_addresses();
            }
            FrontendReq::SET_VRING_ADDR => {
                let address = RingAddress::read(body);
                self.ring(body)?.set_address(address)?;
            }
            FrontendReq::SET_VRING_BASE => {
                let base = word(body, 4);
                let base = u16::try_from(base);
                let base =
                    base.map_err(|_| Error::Value("a ring's index", word(body, 4).into()))?;
                let zero = self.broken == Some(Broken::StartZero);
                self.ring(body)?.next = if zero { 0 } else { base };
            }
            FrontendReq::GET_VRING_BASE => return self.get_base(body).map(Some),
            FrontendReq::SET_VRING_ENABLE => {
                let on = word(body, 4);
                if on > 1 {
                    return Err(Error::Value("SET_VRING_ENABLE's state", on.into()));
                }
                self.ring(body)?.enable(on == 1);
                self.run(word(body, 0) as usize, Cause::Enabled);
            }
            FrontendReq::SET_VRING_KICK => {
                let kick = one_event(fds)?;
                self.ring_of_fd(body)?.start(kick)?;
                self.run((long(body, 0) & !NO_FD) as usize, Cause::Started);
            }
            FrontendReq::SET_VRING_CALL => self.ring_of_fd(body)?.call = one_event(fds)?,
            FrontendReq::SET_VRING_ERR => self.ring_of_fd(body)?.err = one_event(fds)?,
            FrontendReq::GET_QUEUE_NUM => {
                return Ok(Some(longs(&[self.device.queues(self.offer)])))
            }
            FrontendReq::GET_CONFIG => return self.get_config(body).map(Some),
            FrontendReq::SET_CONFIG => self.set_config(body)?,
            _ => return Err(Error::Unknown(message.code)),
        }
        Ok(None)
    }

    /// Checks what every request has: its feature, the size of its payload, the number of its file descriptors.
    fn check(&self, request: FrontendReq, message: &Message, fds: usize) -> Result<()> {
        use FrontendReq as R;
        let body = message.body.as_slice();
        let needs = match request {
            R::GET_QUEUE_NUM => Some(features::MQ),
            R::GET_CONFIG | R::SET_CONFIG => Some(features::CONFIG),
            R::RESET_DEVICE => Some(features::RESET_DEVICE),
            R::SET_LOG_BASE => Some(features::LOG_SHMFD),
            R::GET_MAX_MEM_SLOTS | R::ADD_MEM_REG | R::REM_MEM_REG => {
                Some(features::CONFIGURE_MEM_SLOTS)
            }
            _ => None,
        };
        if let Some(feature) = needs.filter(|feature| !self.acked.has(*feature)) {
            return Err(Error::NotNegotiated(feature.name));
        }
        let count = word(body, 0) as usize;
        let want = match request {
            R::SET_FEATURES | R::SET_PROTOCOL_FEATURES => 8,
            R::SET_VRING_KICK | R::SET_VRING_CALL | R::SET_VRING_ERR => 8,
            R::SET_VRING_NUM | R::SET_VRING_BASE | R::GET_VRING_BASE | R::SET_VRING_ENABLE => 8,
            R::SET_VRING_ADDR | R::ADD_MEM_REG | R::REM_MEM_REG => 40,
            R::SET_LOG_BASE => 16,
            R::SET_MEM_TABLE if count <= TABLE_REGIONS => 8 + count * RegionInfo::BYTES,
            R::SET_MEM_TABLE => return Err(Error::Memory(format!("{count} regions"))),
            R::GET_CONFIG | R::SET_CONFIG => (word(body, 4) as usize).saturating_add(12),
            R::GET_FEATURES | R::GET_PROTOCOL_FEATURES | R::GET_QUEUE_NUM => 0,
            R::SET_OWNER | R::RESET_OWNER | R::RESET_DEVICE | R::GET_MAX_MEM_SLOTS => 0,
            // What is not served has no payload that would be right.
            _ => return Err(Error::Unknown(message.code)),
        };
        if body.len() != want {
            return Err(Error::Size {
                code: message.code,
                got: body.len(),
            });
        }
        let want = match request {
            R::SET_VRING_KICK | R::SET_VRING_CALL | R::SET_VRING_ERR => {
                usize::from(long(body, 0) & NO_FD == 0)
            }
            R::SET_LOG_BASE | R::ADD_MEM_REG => 1,
            // Old front ends send one along.
            R::REM_MEM_REG => fds.min(1),
            R::SET_MEM_TABLE => count,
            _ => 0,
        };
        if fds != want {
            return Err(Error::Fds { got: fds, want });
        }
        Ok(())
    }

    /// Returns the ring that a message about its state names.
    fn ring(&mut self, body: &[u8]) -> Result<&mut Ring> {
        self.ring_at(word(body, 0).into())
    }

    /// Returns the ring that a message about one of its file descriptors names, which says also whether there is one.
    fn ring_of_fd(&mut self, body: &[u8]) -> Result<&mut Ring> {
        self.ring_at(long(body, 0) & !NO_FD)
    }

    fn ring_at(&mut self, index: u64) -> Result<&mut Ring> {
        let at = usize::try_from(index).ok();
        let ring = at.and_then(|at| self.rings.get_mut(at));
        ring.ok_or(Error::RingIndex(index))
    }

    /// Returns the features if all of them were offered.
    fn known(&self, features: Features) -> Result<Features> {
        if features.virtio & !self.offer.virtio != 0 {
            return Err(Error::Value("SET_FEATURES", features.virtio));
        }
        if features.protocol & !self.offer.protocol != 0 {
            return Err(Error::Value("SET_PROTOCOL_FEATURES", features.protocol));
        }
        Ok(features)
    }

    fn set_features(&mut self, virtio: u64) -> Result<()> {
        let features = self.known(Features {
            virtio,
            protocol: 0,
        })?;
        self.memory.set_logging(features.has(features::LOG_ALL))?;
        self.acked.virtio = virtio;
        if self.broken == Some(Broken::FeaturesDisable) {
            self.rings.iter_mut().for_each(|ring| ring.enable(false));
        }
        (0..self.rings.len()).for_each(|ring| self.run(ring, Cause::Enabled));
        Ok(())
    }

    fn reset(&mut self) {
        if self.broken == Some(Broken::IgnoreReset) {
            return;
        }
        self.rings.iter_mut().for_each(Ring::reset);
        self.device.reset();
    }

    fn forget_addresses(&mut self) {
        self.rings.iter_mut().for_each(Ring::forget_addresses);
    }

    fn set_table(&mut self, body: &[u8], fds: Vec<OwnedFd>) -> Result<()> {
        let at = |i| RegionInfo::read(body, 8 + i * RegionInfo::BYTES);
        let infos: Vec<RegionInfo> = (0..fds.len()).map(at).collect();
        if infos.is_empty() {
            return Err(Error::Memory("no regions".into()));
        }
        self.memory.set(&infos, fds)?;
        self.forget_addresses();
        Ok(())
    }

    fn add_region(&mut self, info: RegionInfo, fds: Vec<OwnedFd>) -> Result<()> {
        if self.memory.regions().count() as u64 >= SLOTS {
            return Err(Error::Memory(format!("more than {SLOTS} regions")));
        }
        for fd in &fds {
            self.memory.add(info, fd)?;
        }
        self.forget_addresses();
        Ok(())
    }

    fn set_log(&mut self, body: &[u8], fds: Vec<OwnedFd>) -> Result<()> {
        let (size, mut offset) = (long(body, 0), long(body, 8));
        if self.broken == Some(Broken::LogOffset) {
            offset = 0;
        }
        for fd in fds {
            self.memory.set_log(DirtyLog::new(fd, size, offset)?)?;
        }
        Ok(())
    }

    fn get_base(&mut self, body: &[u8]) -> Result<Vec<u8>> {
        let zero = self.broken == Some(Broken::BaseZero);
        let base = match self.broken {
            Some(Broken::WriteAfterStop) => self.ring(body)?.next,
            Some(Broken::FinishLate) => {
                let index = word(body, 0) as usize;
                let running = self.ring(body)?.is_started();
                let ring = &mut self.rings[index];
                let late = match running {
                    true => ring.available(&self.memory).unwrap_or(0),
                    false => 0,
                };
                self.late = (late > 0).then_some(index);
                ring.stop().wrapping_add(late)
            }
            _ => self.ring(body)?.stop(),
        };
        let base = if zero { 0 } else { base };
        Ok(words(&[word(body, 0), base.into()]))
    }

    fn get_config(&self, body: &[u8]) -> Result<Vec<u8>> {
        let (offset, size) = (word(body, 0) as usize, word(body, 4) as usize);
        let config = self.device.config();
        let part = config.get(offset..offset.saturating_add(size));
        let part = part.ok_or(Error::Value("GET_CONFIG's end", (offset + size) as u64))?;
        let mut reply = body[..12].to_vec();
        reply.extend_from_slice(part);
        Ok(reply)
    }

    /// Refuses to change what a driver can only read; a migration may say what it is like already.
    fn set_config(&self, body: &[u8]) -> Result<()> {
        let (offset, size) = (word(body, 0) as usize, word(body, 4) as usize);
        let end = offset.saturating_add(size);
        let config = self.device.config();
        let part = config.get(offset..end);
        let part = part.ok_or(Error::Value("SET_CONFIG's end", end as u64))?;
        match word(body, 8) {
            CONFIG_WRITABLE if size == 0 => Ok(()),
            CONFIG_WRITABLE => Err(Error::Value("SET_CONFIG's offset", offset as u64)),
            CONFIG_MIGRATION => match part.iter().zip(&body[12..]).position(|(is, to)| is != to) {
                None => Ok(()),
                Some(at) => {
                    let at = (offset + at) as u64;
                    Err(Error::Value("SET_CONFIG's offset", at))
                }
            },
            flags => Err(Error::Value("SET_CONFIG's flags", flags.into())),
        }
    }

    /// Serves a ring, no longer than one round of it; returns whether there may be more.
    ///
    /// An error stops the ring and is returned; the connection goes on.
    fn serve(&mut self, index: usize) -> Result<bool> {
        let mut served = 0;
        let size = self.rings[index].size;
        let mut most = size;
        if self.broken == Some(Broken::FinishLate) && self.rings[index].is_started() {
            // One alone is not late, so that a driver that waits for it goes on.
            most = self.rings[index].available(&self.memory)?.max(2) - 1;
        }
        while served < most && self.device.wants(index) {
            let ring = &mut self.rings[index];
            let Some(chain) = ring.pop(&self.memory)? else {
                break;
            };
            let written = self.device.serve(index, &chain, &mut self.memory)?;
            self.rings[index].push(&mut self.memory, chain.head, written)?;
            served += 1;
        }
        if served > 0 {
            self.rings[index].notify(&self.memory)?;
        }
        Ok(served > 0 && served == size)
    }

    /// Serves a ring if it is running, and says on standard error what stopped it.
    pub(crate) fn run(&mut self, index: usize, cause: Cause) {
        if self.skips(cause) || index >= self.rings.len() || !self.is_running(index) {
            return;
        }
        loop {
            match self.serve(index) {
                Ok(false) => break,
                // What a driver adds all the time is served in turn with the messages.
                Ok(true) if cause == Cause::Kicked => {
                    if let Some(kick) = &self.rings[index].kick {
                        let _ = rustix::io::write(kick, &1_u64.to_ne_bytes());
                    }
                    break;
                }
                Ok(true) => {}
                Err(error) => {
                    eprintln!("reeve-vhost-peer: ring {index} is stopped: {error}");
                    self.rings[index].fail();
                    break;
                }
            }
        }
        // What was sent may be waiting to be received.
        if index % 2 == 1 && self.device.wants(index - 1) {
            self.run(index - 1, cause);
        }
    }

    fn skips(&self, cause: Cause) -> bool {
        match self.broken {
            Some(Broken::NeedKick) => cause != Cause::Kicked,
            Some(Broken::LoseEarlyKick) => cause == Cause::Enabled,
            _ => false,
        }
    }

    /// Finishes what was in flight when a ring was stopped; after the reply that said so.
    pub(crate) fn finish_late(&mut self) {
        if let Some(index) = self.late.take() {
            thread::sleep(LATE);
            if let Err(error) = self.serve(index) {
                eprintln!("reeve-vhost-peer: ring {index} is stopped: {error}");
            }
        }
    }

    /// Takes a kick, and serves the ring.
    pub fn kicked(&mut self, index: usize) {
        if let Err(error) = self.rings[index].take_kick() {
            eprintln!("reeve-vhost-peer: ring {index} is stopped: {error}");
            self.rings[index].fail();
        }
        self.run(index, Cause::Kicked);
    }

    /// Serves every ring that is running; the end of a pass of the loop.
    pub(crate) fn run_polled(&mut self) {
        for index in 0..self.rings.len() {
            if self.rings[index].kick.is_none() {
                self.run(index, Cause::Kicked);
            }
        }
    }
}

/// Why a ring is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// SET_VRING_KICK.
    Started,
    /// SET_VRING_ENABLE, or features that enable it.
    Enabled,
    /// The driver, or a ring without a kick.
    Kicked,
}

/// Returns the one eventfd of a message, or `None` where it has none.
fn one_event(mut fds: Vec<OwnedFd>) -> Result<Option<OwnedFd>> {
    let Some(fd) = fds.pop() else {
        return Ok(None);
    };
    let stat = fstat(&fd).map_err(Error::os("fstat"))?;
    match FileType::from_raw_mode(stat.st_mode) {
        // Anonymous files, such as eventfds, have no type.
        FileType::Unknown | FileType::Fifo => {}
        _ => return Err(Error::FdKind("an eventfd")),
    }
    crate::ring::nonblocking(&fd)?;
    Ok(Some(fd))
}
