// SPDX-License-Identifier: GPL-2.0-or-later

//! The running kernel as the subject of a report.

use nix::sys::utsname;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoCall;
use reeve_uapi::Create;
use reeve_uapi::Handle;

use crate::error::Ask;
use crate::error::Asked;
use crate::error::Result;
use crate::sanity::Suite;
use crate::session::Session;
use crate::stat;
use crate::stat::Stats;

use super::facts::Kernel;
use super::facts::Module;
use super::keeper::Keeper;
use super::keeper::LIMIT;
use super::subject::Subject;

/// The running kernel.
pub(super) struct Live<'a> {
    session: &'a Session,
    keeper: Keeper,
}

impl<'a> Live<'a> {
    /// From now on a signal that ends the program puts `pages_limit` back.
    pub(super) fn new(session: &'a Session) -> Result<Self> {
        let keeper = Keeper::start()?;
        Ok(Self { session, keeper })
    }
}

impl Subject for Live<'_> {
    fn kernel(&self) -> Kernel {
        let text = |field: &std::ffi::OsStr| field.to_string_lossy().into_owned();
        match utsname::uname() {
            Ok(uname) => Kernel {
                release: text(uname.release()),
                machine: text(uname.machine()),
            },
            Err(_) => Kernel {
                release: "unknown".to_owned(),
                machine: std::env::consts::ARCH.to_owned(),
            },
        }
    }

    fn module(&self) -> Module {
        let version = &self.session.version;
        Module {
            release: version.release_text().to_owned(),
            abi: format!("{}.{}", version.abi_major, version.abi_minor),
            features: stat::features(version),
            page_size: version.page_size,
            devices: version.devices,
        }
    }

    fn lock_sanity(&self) -> Result<Suite> {
        let raw = self.session.device.lock_sanity().asked(Asked::LockSanity)?;
        Ok(Suite::new(&raw))
    }

    fn stats(&self) -> Result<Stats> {
        Ok(Stats(self.session.device.stats().asked(Asked::Stats)?))
    }

    fn self_check(&self) -> Option<String> {
        let pairs = knobs::accounting().ok()?;
        let found = pairs.into_iter().find(|(name, _)| name == "self_check");
        found.map(|(_, value)| value)
    }

    fn pages_limit(&self) -> Result<String> {
        knobs::parameter(LIMIT).asked(Asked::Parameter(knobs::parameter_path(LIMIT)))
    }

    fn set_pages_limit(&self, text: &str) -> Result<()> {
        self.keeper
            .set(text)
            .asked(Asked::Parameter(knobs::parameter_path(LIMIT)))
    }

    fn tt_shrink(&self) -> Result<i64> {
        knobs::tt_shrink().asked(Asked::Debugfs(knobs::debugfs_path("tt_shrink")))
    }

    fn create(&self, size: u64) -> Result<Handle> {
        self.session
            .device
            .create(Create::new(size))
            .asked(Asked::Create)
    }

    fn destroy(&self, handle: Handle) -> Result<()> {
        let asked = Asked::Bo(BoCall::Destroy, handle);
        self.session.device.destroy(handle).asked(asked)
    }

    fn write(&self, handle: Handle, offset: u64, from: &[u8]) -> Result<()> {
        self.session
            .device
            .write(handle, offset, from)
            .asked(Asked::Write(handle))
    }

    fn read(&self, handle: Handle, offset: u64, to: &mut [u8]) -> Result<()> {
        self.session
            .device
            .read(handle, offset, to)
            .asked(Asked::Read(handle))
    }

    fn is_swapped(&self, handle: Handle) -> Result<bool> {
        let info = self
            .session
            .device
            .info(handle)
            .asked(Asked::Info(handle))?;
        Ok(info.is(REEVE_BO_SWAPPED))
    }

    fn num_pages(&self, handle: Handle) -> Result<u64> {
        let info = self
            .session
            .device
            .info(handle)
            .asked(Asked::Info(handle))?;
        Ok(info.num_pages)
    }
}
