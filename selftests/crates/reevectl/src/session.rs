// SPDX-License-Identifier: GPL-2.0-or-later

//! The open file that commands work on.

use std::path::Path;

use reeve_uapi::sys::reeve_version;
use reeve_uapi::sys::REEVE_ABI_MAJOR;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::cli::Name;
use crate::cli::Target;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;

/// An open Reeve device, and the state of this run.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) device: Device,
    pub(crate) version: reeve_version,
    /// The file was inherited, so it stays open after this run.
    pub(crate) inherited: bool,
    /// Several commands share this run.
    pub(crate) in_batch: bool,
    /// The newest object of this run.
    pub(crate) last: Option<Handle>,
}

impl Session {
    /// Opens the node, or takes over descriptor `fd`, and checks that its ABI is known.
    pub(crate) fn open(path: &Path, fd: Option<i32>) -> Result<Self> {
        let device = match fd {
            Some(fd) => Device::inherited(fd).asked(Asked::Inherit(fd))?,
            None => Device::open(path).asked(Asked::Open(path.to_owned()))?,
        };
        let version = device.version().asked(Asked::Version)?;
        if version.abi_major != REEVE_ABI_MAJOR {
            return Err(Error::Check(format!(
                "the module speaks ABI {}, this reevectl speaks {REEVE_ABI_MAJOR}\n  \
                 Use the reevectl that was built with the module.",
                version.abi_major
            )));
        }
        Ok(Self {
            device,
            version,
            inherited: fd.is_some(),
            in_batch: false,
            last: None,
        })
    }

    /// Returns the handle that `target` names.
    pub(crate) fn handle(&self, target: Target) -> Result<Handle> {
        match target.name {
            Name::Handle(handle) => Ok(handle),
            Name::Last => self.last.ok_or_else(|| {
                Error::Usage(
                    "`last` is the newest object of a batch, and there is none yet".to_owned(),
                )
            }),
        }
    }
}
