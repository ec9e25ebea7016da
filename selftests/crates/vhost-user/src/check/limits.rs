// SPDX-License-Identifier: GPL-2.0-or-later
//! Many clients, and silent ones.

use std::os::fd::AsFd;

use anyhow::{ensure, Context, Result};
use vhost::vhost_user::message::FrontendReq;

use super::Level::{Information, Must};
use super::{Holdings, Outcome, Requirement, Target};

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        name: "limits/reconnects",
        level: Must,
        sentence: "After many clients a back end has what it had after ten.",
        run: reconnects,
    },
    Requirement {
        name: "limits/silent-client",
        level: Information,
        sentence: "A client that says nothing need not keep others away.",
        run: silent_client,
    },
];

/// How many KiB more may be resident after many clients: less than a kilobyte for each of a thousand.
const GROWTH: u64 = 1000;

/// Returns the KiB of a process that are resident.
fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    size.with_context(|| format!("the status of process {pid} has no VmRSS"))
}

fn reconnects(target: &Target) -> Result<Outcome> {
    let clients =
        |count| -> Result<()> { (0..count).try_for_each(|_| target.going()?.io().map(drop)) };
    clients(10)?;
    let before = target.pid.map(Holdings::of).transpose()?;
    let resident = target.pid.map(resident).transpose()?;
    clients(target.reconnects)?;
    let mut seen = format!("{} clients", target.reconnects);
    if let (Some(pid), Some(before), Some(old)) = (target.pid, before, resident) {
        before.back_to(pid)?;
        let grown = self::resident(pid)?.saturating_sub(old);
        ensure!(grown < GROWTH, "{grown} KiB more are resident after {seen}");
        seen += &format!(", {grown} KiB more resident");
    }
    Ok(Outcome::Seen(seen))
}

fn silent_client(target: &Target) -> Result<Outcome> {
    // After a client that was served, so that the silent one is accepted.
    drop(target.greeted()?);
    let silent = target.connect()?;
    let Ok(others) = target.connect() else {
        let seen = "it does: it cannot be connected to while it has a client";
        return Ok(Outcome::Seen(seen.into()));
    };
    let request = crate::wire::Message::request(FrontendReq::GET_FEATURES, Vec::new());
    crate::wire::send(others.socket(), &request)?;
    // To be hung up on is no reply.
    let served = crate::wire::readable(others.socket().as_fd(), crate::front::QUIET)?
        && others.receive().is_ok();
    drop(silent);
    let seen = if served {
        "it does not"
    } else {
        "it does: one client after the other"
    };
    Ok(Outcome::Seen(seen.into()))
}
