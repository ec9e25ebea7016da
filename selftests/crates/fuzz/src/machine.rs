// SPDX-License-Identifier: GPL-2.0-or-later

//! What the guest has to be like.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};

const DEBUG: &str = "/sys/kernel/debug";

/// Lets allocations fail that the kernel spares otherwise, and silently, where it can make any fail.
pub(crate) fn prepare() {
    for (file, value) in [
        ("failslab/ignore-gfp-wait", "N"),
        ("failslab/cache-filter", "N"),
        ("failslab/verbose", "0"),
        ("fail_page_alloc/ignore-gfp-wait", "N"),
        ("fail_page_alloc/ignore-gfp-highmem", "N"),
        ("fail_page_alloc/min-order", "0"),
        ("fail_page_alloc/verbose", "0"),
        ("fail_usercopy/verbose", "0"),
    ] {
        let path = Path::new(DEBUG).join(file);
        if path.exists() {
            let _ = fs::write(path, value);
        }
    }
}

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
