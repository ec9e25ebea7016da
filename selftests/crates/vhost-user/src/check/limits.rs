// SPDX-License-Identifier: GPL-2.0-or-later
//! Many clients, and silent ones.

use std::os::fd::AsFd;

use anyhow::Result;
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

fn reconnects(target: &Target) -> Result<Outcome> {
    let clients =
        |count| -> Result<()> { (0..count).try_for_each(|_| target.going()?.io().map(drop)) };
    clients(10)?;
    let before = target.pid.map(Holdings::of).transpose()?;
    clients(target.reconnects)?;
    if let (Some(pid), Some(before)) = (target.pid, before) {
        before.back_to(pid)?;
    }
    Ok(Outcome::Seen(format!("{} clients", target.reconnects)))
}

fn silent_client(target: &Target) -> Result<Outcome> {
    let silent = target.connect()?;
    let others = target.connect()?;
    let request = crate::wire::Message::request(FrontendReq::GET_FEATURES, Vec::new());
    crate::wire::send(others.socket(), &request)?;
    let served = crate::wire::readable(others.socket().as_fd(), crate::front::QUIET)?;
    drop(silent);
    let seen = if served {
        "it does not"
    } else {
        "it does: one client after the other"
    };
    Ok(Outcome::Seen(seen.into()))
}
