// SPDX-License-Identifier: GPL-2.0-or-later

//! Reeve's side of the comparison with C TTM: by `/dev/reeve`, or, if `REEVE_THROUGH` is set, by its API for drivers.

use std::env;
use std::io;

use nix::errno::Errno;

use reeve_uapi::sys;
use reeve_uapi::sys::reeve_bo_info;
use reeve_uapi::sys::reeve_stats;
use reeve_uapi::BoCall;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::reference::Op;
use crate::reference::Reference;
use crate::seen::open;
use crate::test::Outcome;

/// Whether it is by the API for drivers.
pub(crate) fn by_drivers() -> bool {
    env::var_os("REEVE_THROUGH").is_some()
}

/// Reeve, however it is called.
pub(crate) struct Ours {
    /// For the objects, if it is by the API for drivers.
    driver: Option<Reference>,
    /// For the objects otherwise, and for the counters.
    device: Device,
}

impl Ours {
    /// Opens it, without objects.
    pub(crate) fn new() -> Outcome<Self> {
        let driver = match by_drivers() {
            true => Some(Reference::through()?),
            false => None,
        };
        Ok(Self {
            driver,
            device: open()?,
        })
    }

    /// Makes an object; `id` is that of C TTM's.
    pub(crate) fn create(&self, id: u32, create: Create) -> io::Result<Handle> {
        match &self.driver {
            Some(driver) => driver.create(id, &create).map(|()| Handle::new(id + 1)),
            None => self.device.create(create),
        }
    }

    /// Ends an object.
    pub(crate) fn destroy(&self, handle: Handle) -> io::Result<()> {
        match &self.driver {
            Some(driver) => driver.simply(Op::Destroy, id(handle)).map(drop),
            None => self.device.destroy(handle),
        }
    }

    /// One of the calls that take nothing but an object.
    pub(crate) fn bo(&self, call: BoCall, handle: Handle) -> io::Result<u64> {
        let Some(driver) = &self.driver else {
            return self.device.bo(call, handle);
        };
        let op = match call {
            BoCall::Populate => Op::Populate,
            BoCall::Unpopulate => Op::Unpopulate,
            BoCall::Pin => Op::Pin,
            BoCall::Unpin => Op::Unpin,
            BoCall::Swapout => Op::Swapout,
            BoCall::Backup => Op::Backup,
            BoCall::Restore => Op::Restore,
            _ => return Err(Errno::ENOTTY.into()),
        };
        driver.simply(op, id(handle))
    }

    /// A backup.
    pub(crate) fn backup(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Backup, handle)
    }

    /// A backup with `REEVE_BO_BACKUP_*`.
    pub(crate) fn backup_with(&self, handle: Handle, flags: u32) -> io::Result<u64> {
        let Some(driver) = &self.driver else {
            return self.device.backup_with(handle, flags);
        };
        let op = match flags {
            sys::REEVE_BO_BACKUP_PURGE => Op::Purge,
            sys::REEVE_BO_BACKUP_WRITEBACK => Op::Writeback,
            _ => Op::Backup,
        };
        driver.simply(op, id(handle))
    }

    /// A restore.
    pub(crate) fn restore(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Restore, handle)
    }

    /// A populate.
    pub(crate) fn populate(&self, handle: Handle) -> io::Result<u64> {
        self.bo(BoCall::Populate, handle)
    }

    /// What an object is like; by the API for drivers, what that knows.
    pub(crate) fn info(&self, handle: Handle) -> io::Result<reeve_bo_info> {
        let Some(driver) = &self.driver else {
            return self.device.info(handle);
        };
        let look = driver.look(id(handle))?;
        Ok(reeve_bo_info {
            handle: handle.get(),
            num_pages: look.num_pages,
            pages_resident: look.pages_held,
            flags: look.page_flags,
            pin_count: u32::try_from(look.pins).unwrap_or(u32::MAX),
            ..Default::default()
        })
    }

    /// The counters.
    pub(crate) fn stats(&self) -> io::Result<reeve_stats> {
        self.device.stats()
    }

    /// Fills `to` with the object's bytes from `offset` on.
    pub(crate) fn read(&self, handle: Handle, offset: u64, to: &mut [u8]) -> io::Result<()> {
        match &self.driver {
            Some(driver) => driver.read(id(handle), offset, to),
            None => self.device.read(handle, offset, to),
        }
    }

    /// Puts `from` into the object at `offset`.
    pub(crate) fn write(&self, handle: Handle, offset: u64, from: &[u8]) -> io::Result<()> {
        match &self.driver {
            Some(driver) => driver.write(id(handle), offset, from),
            None => self.device.write(handle, offset, from),
        }
    }
}

/// The number of an object of the driver.
fn id(handle: Handle) -> u32 {
    handle.get().wrapping_sub(1)
}
