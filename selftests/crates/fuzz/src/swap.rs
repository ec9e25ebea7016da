// SPDX-License-Identifier: GPL-2.0-or-later

//! A disk to swap to.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};

/// A disk to swap to, until it is dropped.
pub(crate) struct Swap(PathBuf);

impl Swap {
    pub(crate) fn on(disk: &Path) -> Result<Self> {
        run("mkswap", disk)?;
        run("swapon", disk)?;
        Ok(Self(disk.to_owned()))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if let Err(err) = run("swapoff", &self.0) {
            println!("# {err:#}");
        }
    }
}

fn run(program: &str, disk: &Path) -> Result<()> {
    let mut command = Command::new(program);
    let status = command.arg(disk).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("running {program}"))?;
    ensure!(status.success(), "{program} {}: {status}", disk.display());
    Ok(())
}
