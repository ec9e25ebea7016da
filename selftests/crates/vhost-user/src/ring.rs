// SPDX-License-Identifier: GPL-2.0-or-later
//! A split virtqueue, from the device's side.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{fcntl_getfl, fcntl_setfl, OFlags};
use rustix::io::Errno;

use crate::broken::Broken;
use crate::error::{Error, Result};
use crate::memory::{load16, store16, Memory};
use crate::wire::{long, word};

/// The largest ring.
pub const MOST: u32 = 32768;

const DESC_NEXT: u16 = 1;
const DESC_WRITE: u16 = 2;
const DESC_INDIRECT: u16 = 4;
const AVAIL_NO_INTERRUPT: u16 = 1;

/// Where a ring lies, as SET_VRING_ADDR says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingAddress {
    /// Bit 0: writes of the used ring are marked.
    pub flags: u32,
    /// The descriptors, in the front end's addresses.
    pub desc: u64,
    /// The used ring, in the front end's addresses.
    pub used: u64,
    /// The available ring, in the front end's addresses.
    pub avail: u64,
    /// The guest-physical address of the used ring, for the log.
    pub log: u64,
}

impl RingAddress {
    /// Reads it from a payload, after the ring's index.
    pub fn read(body: &[u8]) -> Self {
        Self {
            flags: word(body, 4),
            desc: long(body, 8),
            used: long(body, 16),
            avail: long(body, 24),
            log: long(body, 32),
        }
    }

    fn is_logged(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// A part of a buffer: guest-physical address and size.
pub type Piece = (u64, u32);

/// A chain of descriptors.
#[derive(Debug, Default)]
pub struct Chain {
    /// Its first descriptor.
    pub head: u16,
    /// What the device reads.
    pub readable: Vec<Piece>,
    /// What the device writes.
    pub writable: Vec<Piece>,
}

/// The guest-physical addresses of a ring's parts.
#[derive(Debug, Clone, Copy)]
struct Parts {
    desc: u64,
    avail: u64,
    used: u64,
}

/// A ring, in any state.
///
/// It is *started* from SET_VRING_KICK to GET_VRING_BASE, *enabled* as SET_VRING_ENABLE says, and *failed* after an
/// error in it until it is started again.
#[derive(Debug, Default)]
pub struct Ring {
    pub(crate) size: u16,
    address: Option<RingAddress>,
    parts: Option<Parts>,
    pub(crate) kick: Option<OwnedFd>,
    pub(crate) call: Option<OwnedFd>,
    pub(crate) err: Option<OwnedFd>,
    pub(crate) next: u16,
    used: Option<u16>,
    started: bool,
    enabled: Option<bool>,
    failed: bool,
}

impl Ring {
    /// Tells whether the ring was started and not stopped since.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Returns how many entries it has, 0 before SET_VRING_NUM.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Returns where it lies, once SET_VRING_ADDR has come.
    pub fn address(&self) -> Option<RingAddress> {
        self.address
    }

    /// Tells whether an error in the ring has stopped it.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Tells whether it is served; `default` is what counts where SET_VRING_ENABLE never came.
    pub fn is_running(&self, default: bool) -> bool {
        self.started && !self.failed && self.enabled.unwrap_or(default)
    }

    /// Tells whether it is enabled.
    pub fn is_enabled(&self, default: bool) -> bool {
        self.enabled.unwrap_or(default)
    }

    /// Enables or disables it.
    pub fn enable(&mut self, on: bool) {
        self.enabled = Some(on);
    }

    /// Sets where it lies.
    pub fn set_address(&mut self, address: RingAddress) -> Result<()> {
        for (field, value, align) in [
            ("a descriptor table's address", address.desc, 16),
            ("an available ring's address", address.avail, 2),
            ("a used ring's address", address.used, 4),
        ] {
            if value % align != 0 {
                return Err(Error::Value(field, value));
            }
        }
        self.address = Some(address);
        self.parts = None;
        Ok(())
    }

    /// Forgets what was translated: the memory table is another one.
    pub fn forget_addresses(&mut self) {
        self.parts = None;
    }

    /// Starts it; `None` is a ring that is to be polled.
    pub fn start(&mut self, kick: Option<OwnedFd>) -> Result<()> {
        if let Some(kick) = &kick {
            nonblocking(kick)?;
        }
        self.kick = kick;
        self.started = true;
        self.failed = false;
        self.used = None;
        self.parts = None;
        Ok(())
    }

    /// Stops it and returns the index of the next available entry.
    pub fn stop(&mut self) -> u16 {
        self.started = false;
        self.failed = false;
        self.kick = None;
        self.next
    }

    /// Stops and disables it, and begins afresh.
    pub fn reset(&mut self) {
        self.stop();
        self.enabled = Some(false);
        self.next = 0;
    }

    /// Takes what the kick's counter says away.
    pub fn take_kick(&self) -> Result<()> {
        let Some(kick) = &self.kick else {
            return Ok(());
        };
        match rustix::io::read(kick, &mut [0; 8]) {
            Ok(0) => Err(Error::Ring("the kick has come to its end".into())),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(Error::os("reading a kick")(error)),
        }
    }

    /// Stops it because of an error in it, and tells the front end.
    pub fn fail(&mut self) {
        self.failed = true;
        if let Some(err) = &self.err {
            signal(err);
        }
    }

    fn parts(&mut self, memory: &Memory) -> Result<Parts> {
        if let Some(parts) = self.parts {
            return Ok(parts);
        }
        let nowhere = || Error::Ring("it has no size or no address yet".into());
        let address = self.address.filter(|_| self.size > 0).ok_or_else(nowhere)?;
        let size = u64::from(self.size);
        let translate = |what, user, bytes| {
            let outside = || Error::Ring(format!("its {what} at {user:#x} is in no region"));
            memory.guest_address(user, bytes).ok_or_else(outside)
        };
        let parts = Parts {
            desc: translate("descriptor table", address.desc, 16 * size)?,
            avail: translate("available ring", address.avail, 4 + 2 * size)?,
            used: translate("used ring", address.used, 4 + 8 * size)?,
        };
        if self.used.is_none() {
            let used = load16(memory, parts.used + 2)?;
            let zero = memory.broken == Some(Broken::UsedZero);
            self.used = Some(if zero { 0 } else { used });
        }
        self.parts = Some(parts);
        Ok(parts)
    }

    /// Returns how many chains are available.
    pub fn available(&mut self, memory: &Memory) -> Result<u16> {
        let parts = self.parts(memory)?;
        let index = load16(memory, parts.avail + 2)?;
        let (next, size) = (self.next, self.size);
        let count = index.wrapping_sub(next);
        if count > size {
            return Err(Error::Ring(format!(
                "available index {index} after {next} in a ring of {size}"
            )));
        }
        Ok(count)
    }

    /// Takes the next available chain, checked from end to end.
    pub fn pop(&mut self, memory: &Memory) -> Result<Option<Chain>> {
        if self.available(memory)? == 0 {
            return Ok(None);
        }
        let parts = self.parts(memory)?;
        let slot = u64::from(self.next % self.size);
        let head = load16(memory, parts.avail + 4 + 2 * slot)?;
        let chain = self.chain(memory, parts, head)?;
        self.next = self.next.wrapping_add(1);
        Ok(Some(chain))
    }

    fn chain(&self, memory: &Memory, parts: Parts, head: u16) -> Result<Chain> {
        let mut chain = Chain {
            head,
            ..Chain::default()
        };
        let mut index = head;
        for _ in 0..self.size {
            if index >= self.size {
                let size = self.size;
                return Err(Error::Ring(format!(
                    "descriptor {index} in a ring of {size}"
                )));
            }
            let mut desc = [0; 16];
            memory.read(parts.desc + 16 * u64::from(index), &mut desc)?;
            let (address, size) = (long(&desc, 0), word(&desc, 8));
            let flags = word(&desc, 12) as u16;
            if flags & DESC_INDIRECT != 0 {
                return Err(Error::Ring("an indirect descriptor, not negotiated".into()));
            }
            if size > 0 && memory.at(address, size.into()).is_none() {
                return Err(Error::Ring(format!(
                    "a buffer of {size} bytes at {address:#x} is in no region"
                )));
            }
            if flags & DESC_WRITE != 0 {
                chain.writable.push((address, size));
            } else if chain.writable.is_empty() {
                chain.readable.push((address, size));
            } else {
                return Err(Error::Ring("a part to read after one to write".into()));
            }
            if flags & DESC_NEXT == 0 {
                return Ok(chain);
            }
            index = (word(&desc, 12) >> 16) as u16;
        }
        Err(Error::Ring(format!("the chain from {head} loops")))
    }

    /// Gives a chain back, of which `written` bytes were written.
    pub fn push(&mut self, memory: &mut Memory, head: u16, written: u32) -> Result<()> {
        let parts = self.parts(memory)?;
        let used = self.used.unwrap_or(0);
        let at = 4 + 8 * u64::from(used % self.size);
        let mut entry = u32::from(head).to_le_bytes().to_vec();
        entry.extend_from_slice(&written.to_le_bytes());
        memory.write_unmarked(parts.used + at, &entry)?;
        self.mark_used(memory, parts, at, 8)?;
        let next = used.wrapping_add(1);
        store16(memory, parts.used + 2, next)?;
        self.mark_used(memory, parts, 2, 2)?;
        self.used = Some(next);
        Ok(())
    }

    fn mark_used(&self, memory: &mut Memory, parts: Parts, offset: u64, size: u64) -> Result<()> {
        let Some(address) = self.address.filter(RingAddress::is_logged) else {
            return Ok(());
        };
        match memory.broken {
            Some(Broken::ForgetUsed | Broken::MarkNothing) => Ok(()),
            Some(Broken::UsedAddress) => memory.mark(parts.used + offset, size),
            _ => memory.mark(address.log.wrapping_add(offset), size),
        }
    }

    /// Tells the driver about used chains, unless it does not want to hear.
    pub fn notify(&mut self, memory: &Memory) -> Result<()> {
        let parts = self.parts(memory)?;
        if load16(memory, parts.avail)? & AVAIL_NO_INTERRUPT == 0 {
            if let Some(call) = &self.call {
                signal(call);
            }
        }
        Ok(())
    }
}

/// Adds one to an eventfd. One that is full is signalled already.
fn signal(fd: impl AsFd) {
    let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
}

/// Makes sure that neither a read nor a write waits.
pub(crate) fn nonblocking(fd: impl AsFd) -> Result<()> {
    let flags = fcntl_getfl(&fd).map_err(Error::os("F_GETFL"))?;
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK).map_err(Error::os("F_SETFL"))
}
