// SPDX-License-Identifier: GPL-2.0-or-later
//! Two guests side by side, each with a module of its own, and a network that only they have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use anyhow::{anyhow, Context, Result};

use super::guest::{kernel_verdict, Boot};
use super::job_context::JobContext;
use super::jobs::Job;
use super::record::{Record, Tier};

/// What the one that sends runs: the cases.
const HERE: &str = "#!/bin/sh\n\
    ip link set lo up && ip addr add 10.9.0.1/24 dev eth0 && ip link set eth0 up || exit 1\n\
    export REEVE_HERE=10.9.0.1 REEVE_OTHER=10.9.0.2:7000 REEVE_TIME_SCALE=3 REEVE_TIMES=1\n\
    exec reeve-guest-tests --suite=two-guests\n";
/// What the other one runs: what these ask it for.
const THERE: &str = "#!/bin/sh\n\
    ip link set lo up && ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up || exit 1\n\
    exec reeve-guest-tests --other 10.9.0.2:7000\n";

/// A directory with the two ends of a cable. A socket's path may not be long, nor have blanks.
struct Cable(PathBuf);

impl Cable {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("reeve-cable-{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    /// QEMU's arguments for one end. Frames go from one socket to the other, whichever QEMU was started first or again.
    fn end(&self, number: usize) -> String {
        let path = |number: usize| self.0.join(number.to_string());
        let text = |path: &Path| path.display().to_string();
        format!(
            "-netdev dgram,id=net0,local.type=unix,local.path={},remote.type=unix,remote.path={} \
             -device virtio-net-pci,netdev=net0,mac=52:54:00:09:00:0{number},romfile=",
            text(&path(number)),
            text(&path(3 - number)),
        )
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // What is left there is sockets that no program has any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One of the two, on the base kernel.
fn guest(cable: &Cable, number: usize, script: &'static str) -> Boot {
    Boot {
        mem: 512,
        qemu_args: cable.end(number),
        ..Boot::usual("base", "normal", true, script)
    }
}

fn place(ctx: &JobContext, name: &str) -> Result<JobContext> {
    let dir = ctx.dir.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(JobContext { dir, ..ctx.clone() })
}

/// The cases, and how each of the machines ended.
fn records(ctx: &JobContext) -> Result<Vec<Record>> {
    let cable = Cable::new()?;
    let (here, there) = (place(ctx, "here")?, place(ctx, "there")?);
    let other = guest(&cable, 2, THERE);
    let beside = there.clone();
    let beside = thread::spawn(move || other.run(&beside));
    let mut records = guest(&cable, 1, HERE).named_records(
        &here,
        Tier::Selftests,
        "",
        "two guests, the sender: ",
    )?;
    let outcome = beside
        .join()
        .map_err(|_| anyhow!("the other guest's thread failed"))??;
    let name = "two guests, the receiver: ";
    records.push(kernel_verdict(
        &there,
        Tier::Selftests,
        name,
        &outcome,
        false,
    ));
    Ok(records)
}

pub(super) fn job() -> Job {
    let needs = ["kernel base", "guest programs"];
    Job::new("two guests", Tier::Selftests, &needs, records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cable_has_two_ends() {
        let cable = Cable(PathBuf::from("/nonexistent"));
        let (one, two) = (cable.end(1), cable.end(2));
        assert!(
            one.contains("local.path=/nonexistent/1,remote.type=unix,remote.path=/nonexistent/2")
        );
        assert!(
            two.contains("local.path=/nonexistent/2,remote.type=unix,remote.path=/nonexistent/1")
        );
        assert_ne!(one, two);
    }
}
