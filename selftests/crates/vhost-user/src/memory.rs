// SPDX-License-Identifier: GPL-2.0-or-later
//! The guest's memory as the front end shares it: regions, translation, and writes that mark the dirty log.

use std::collections::BTreeSet;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use vm_memory::bytes::Bytes;
use vm_memory::volatile_memory::VolatileSlice;

use crate::broken::Broken;
use crate::error::{Error, Result};
use crate::log::{DirtyLog, LOG_PAGE};
use crate::map::Mapping;
use crate::wire::{long, longs};

/// The most regions that one table holds.
pub const TABLE_REGIONS: usize = 8;
/// The most regions that this back end maps when they come one by one.
pub const SLOTS: u64 = 64;

/// A region as the protocol describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionInfo {
    /// Its guest-physical address.
    pub guest: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its address in the front end, by which rings are given.
    pub user: u64,
    /// Where in the file it begins.
    pub offset: u64,
}

impl RegionInfo {
    /// The bytes that it takes in a message.
    pub const BYTES: usize = 32;

    /// Reads one from a payload.
    pub fn read(body: &[u8], at: usize) -> Self {
        Self {
            guest: long(body, at),
            size: long(body, at + 8),
            user: long(body, at + 16),
            offset: long(body, at + 24),
        }
    }

    /// Returns the bytes for a payload.
    pub fn bytes(&self) -> Vec<u8> {
        longs(&[self.guest, self.size, self.user, self.offset])
    }

    fn check(&self) -> Result<()> {
        let wraps = |start: u64| start.checked_add(self.size).is_none();
        if self.size == 0 || wraps(self.guest) || wraps(self.user) || wraps(self.offset) {
            return Err(Error::Memory(format!("a region cannot be {self:x?}")));
        }
        Ok(())
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: u64, b: u64| a < b + other.size && b < a + self.size;
        meet(self.guest, other.guest) || meet(self.user, other.user)
    }
}

#[derive(Debug)]
struct Region {
    info: RegionInfo,
    mapping: Mapping,
}

/// The guest's memory, with the log of what is written to it.
#[derive(Debug, Default)]
pub struct Memory {
    regions: Vec<Region>,
    log: Option<DirtyLog>,
    logging: bool,
    /// Pages that were written after LOG_ALL was acknowledged and before there was a log.
    early: BTreeSet<u64>,
    pub(crate) broken: Option<Broken>,
    /// How many regions there were when the log came; only a back end that is broken on purpose looks at it.
    logged_regions: usize,
}

impl Memory {
    /// Returns memory without regions, with a mistake or none.
    pub fn new(broken: Option<Broken>) -> Self {
        Self {
            broken,
            ..Self::default()
        }
    }

    /// Replaces all regions; on an error the old ones stay.
    pub fn set(&mut self, infos: &[RegionInfo], fds: Vec<OwnedFd>) -> Result<()> {
        let old = mem::take(&mut self.regions);
        for (info, fd) in infos.iter().zip(fds) {
            if let Err(error) = self.add(*info, &fd) {
                self.regions = old;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Adds a region.
    pub fn add(&mut self, mut info: RegionInfo, fd: &OwnedFd) -> Result<()> {
        info.check()?;
        let accepts_overlap = self.broken == Some(Broken::Overlap);
        let clash = self.regions.iter().find(|r| r.info.overlaps(&info));
        if let Some(other) = clash.filter(|_| !accepts_overlap) {
            let other = &other.info;
            return Err(Error::Memory(format!("{info:x?} overlaps {other:x?}")));
        }
        if self.broken == Some(Broken::MmapOffset) {
            info.offset = 0;
        }
        // One that goes on with an old log does not see that it is too short, either.
        let checks = self.logging && self.broken != Some(Broken::OldLog);
        if let (Some(log), true) = (&self.log, checks) {
            log.check(log_bytes(info))?;
        }
        let mapping = Mapping::new(fd, info.offset, info.size)?;
        self.regions.push(Region { info, mapping });
        Ok(())
    }

    /// Removes the region with these addresses and this size.
    pub fn remove(&mut self, info: RegionInfo) -> Result<()> {
        let same = |r: &Region| {
            (r.info.guest, r.info.size, r.info.user) == (info.guest, info.size, info.user)
        };
        let at = self.regions.iter().position(same);
        let at = at.ok_or_else(|| Error::Memory(format!("there is no region {info:x?}")))?;
        self.regions.remove(at);
        Ok(())
    }

    /// Returns the regions.
    pub fn regions(&self) -> impl Iterator<Item = &RegionInfo> {
        self.regions.iter().map(|region| &region.info)
    }

    /// Returns the bytes at a guest-physical address, if they lie in one region.
    pub fn at(&self, guest: u64, size: u64) -> Option<VolatileSlice<'_>> {
        let region = self.regions.iter().find(|r| {
            let start = r.info.guest;
            guest >= start
                && guest
                    .checked_add(size)
                    .is_some_and(|end| end <= start + r.info.size)
        })?;
        let offset = (guest - region.info.guest) as usize;
        region.mapping.slice().subslice(offset, size as usize).ok()
    }

    /// Translates an address of the front end, if `size` bytes from there lie in one region.
    pub fn guest_address(&self, user: u64, size: u64) -> Option<u64> {
        let region = self.regions.iter().find(|r| {
            let start = r.info.user;
            user >= start
                && user
                    .checked_add(size)
                    .is_some_and(|end| end <= start + r.info.size)
        })?;
        Some(user - region.info.user + region.info.guest)
    }

    fn need(&self, guest: u64, size: usize) -> Result<VolatileSlice<'_>> {
        let slice = self.at(guest, size as u64);
        slice.ok_or_else(|| Error::Memory(format!("{size} bytes at {guest:#x} are in no region")))
    }

    /// Reads from the guest's memory.
    pub fn read(&self, guest: u64, buffer: &mut [u8]) -> Result<()> {
        let slice = self.need(guest, buffer.len())?;
        slice.copy_to(buffer);
        Ok(())
    }

    /// Writes to the guest's memory without a mark in the log, which only a test does.
    pub fn write_unmarked(&self, guest: u64, data: &[u8]) -> Result<()> {
        self.need(guest, data.len())?.copy_from(data);
        Ok(())
    }

    /// Writes to the guest's memory, then marks the pages.
    pub fn write(&mut self, guest: u64, data: &[u8]) -> Result<()> {
        if self.broken == Some(Broken::MarkFirst) {
            self.mark(guest, data.len() as u64)?;
            thread::sleep(Duration::from_millis(20));
            return self.write_unmarked(guest, data);
        }
        self.write_unmarked(guest, data)?;
        if self.broken == Some(Broken::MarkNothing) {
            return Ok(());
        }
        self.mark(guest, data.len() as u64)
    }

    /// Marks pages as written, where marking is on; after the data, always.
    #[inline]
    pub fn mark(&mut self, guest: u64, size: u64) -> Result<()> {
        match &self.log {
            Some(log) if self.broken.is_none() && self.logging => log.mark(guest, size),
            _ => self.mark_specially(guest, size),
        }
    }

    /// Marks what is marked without a log so far, or by a back end that is broken on purpose.
    fn mark_specially(&mut self, guest: u64, size: u64) -> Result<()> {
        if !self.logging && self.broken != Some(Broken::MarkAlways) {
            return Ok(());
        }
        if self.broken == Some(Broken::LateRegion) {
            let late = self.regions.iter().skip(self.logged_regions);
            if late
                .into_iter()
                .any(|r| guest.wrapping_sub(r.info.guest) < r.info.size)
            {
                return Ok(());
            }
        }
        if self.broken == Some(Broken::PartPage) && size % LOG_PAGE != 0 && size > LOG_PAGE {
            return self.mark(guest, size - size % LOG_PAGE);
        }
        if let Some(log) = &self.log {
            return log.mark(guest, size);
        }
        let pages = guest / LOG_PAGE..=guest.saturating_add(size.max(1) - 1) / LOG_PAGE;
        self.early.extend(pages);
        Ok(())
    }

    /// Returns the bytes that a log of all regions has to have.
    pub fn log_bytes(&self) -> u64 {
        self.regions()
            .map(|info| log_bytes(*info))
            .max()
            .unwrap_or(0)
    }

    /// Replaces the log. What was written since LOG_ALL and before there was one goes into it.
    pub fn set_log(&mut self, log: DirtyLog) -> Result<()> {
        log.check(self.log_bytes())?;
        for page in mem::take(&mut self.early) {
            log.mark(page * LOG_PAGE, 1)?;
        }
        self.logged_regions = self.regions.len();
        if self.broken == Some(Broken::OldLog) && self.log.is_some() {
            return Ok(());
        }
        self.log = Some(log);
        Ok(())
    }

    /// Switches marking on or off.
    pub fn set_logging(&mut self, on: bool) -> Result<()> {
        if let (Some(log), true) = (&self.log, on) {
            log.check(self.log_bytes())?;
        }
        if !on {
            self.early.clear();
        }
        self.logging = on;
        Ok(())
    }

    /// Tells whether writes are marked.
    pub fn is_logging(&self) -> bool {
        self.logging
    }

    /// Returns the log, if there is one.
    pub fn log(&self) -> Option<&DirtyLog> {
        self.log.as_ref()
    }
}

/// Returns the bytes of a log that reaches to the end of a region.
fn log_bytes(info: RegionInfo) -> u64 {
    (info.guest + info.size - 1) / (8 * LOG_PAGE) + 1
}

/// Reads a little-endian 16-bit field of the guest's memory, atomically.
pub(crate) fn load16(memory: &Memory, guest: u64) -> Result<u16> {
    let slice = memory.need(guest, 2)?;
    let value = slice.load::<u16>(0, Ordering::Acquire);
    let value = value.map_err(|e| Error::Memory(e.to_string()))?;
    Ok(u16::from_le(value))
}

/// Writes a little-endian 16-bit field of the guest's memory, atomically; the caller marks it.
pub(crate) fn store16(memory: &Memory, guest: u64, value: u16) -> Result<()> {
    let slice = memory.need(guest, 2)?;
    let order = Ordering::Release;
    let stored = slice.store(value.to_le(), 0, order);
    stored.map_err(|e| Error::Memory(e.to_string()))
}
