// SPDX-License-Identifier: GPL-2.0-or-later
//! Versions, features, replies.

use std::os::fd::AsFd;

use anyhow::{ensure, Context, Result};
use vhost::vhost_user::message::FrontendReq;

use super::Level::{Must, Should};
use super::{lacks, Outcome, Requirement, Target};
use crate::features;
use crate::front::{Area, Front, MEMORY, QUIET};
use crate::wire::{long, longs, word, words, Message, REPLY, VERSION, VERSION_MASK};

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        name: "handshake/features-before-owner",
        level: Must,
        sentence: "GET_FEATURES is replied to before SET_OWNER.",
        run: features_before_owner,
    },
    Requirement {
        name: "handshake/version",
        level: Must,
        sentence: "A reply has version 1 and the reply bit, and the request's number.",
        run: version,
    },
    Requirement {
        name: "handshake/protocol-features-before-set-features",
        level: Must,
        sentence: "Back ends that report PROTOCOL_FEATURES support GET_PROTOCOL_FEATURES even before SET_FEATURES.",
        run: protocol_features,
    },
    Requirement {
        name: "handshake/reply-ack",
        level: Must,
        sentence: "With REPLY_ACK, a request with need_reply and no reply of its own is replied to with 0 for success.",
        run: reply_ack,
    },
    Requirement {
        name: "handshake/reply-ack-without-get",
        level: Must,
        sentence: "REPLY_ACK counts from SET_PROTOCOL_FEATURES on, also if GET_PROTOCOL_FEATURES was never asked.",
        run: reply_ack_without_get,
    },
    Requirement {
        name: "handshake/one-reply-each",
        level: Must,
        sentence: "A request with a reply is replied to once, and one without is not, unless REPLY_ACK asks for it.",
        run: one_reply_each,
    },
    Requirement {
        name: "handshake/log-replied-once",
        level: Must,
        sentence: "SET_LOG_BASE is replied to once, whatever need_reply says.",
        run: log_answered_once,
    },
    Requirement {
        name: "handshake/unknown-features",
        level: Must,
        sentence: "Feature bits that were not offered are refused or ignored.",
        run: unknown_features,
    },
    Requirement {
        name: "handshake/reconnect-afresh",
        level: Must,
        sentence: "Nothing of a connection is left in the next one: the same regions can be added again.",
        run: reconnect_afresh,
    },
    Requirement {
        name: "handshake/enable-before-features",
        level: Should,
        sentence: "SET_VRING_ENABLE is accepted before SET_FEATURES, as QEMU's network front end sends it.",
        run: enable_before_features,
    },
    Requirement {
        name: "handshake/queue-num",
        level: Must,
        sentence: "With MQ, GET_QUEUE_NUM is replied to with the number of queues, which is not 0.",
        run: queue_num,
    },
    Requirement {
        name: "handshake/config",
        level: Must,
        sentence: "With CONFIG, GET_CONFIG is replied to with a payload of the same size.",
        run: config,
    },
];

/// Waits a while for replies without a request.
fn quiet(front: &Front) -> Result<()> {
    let more = crate::wire::readable(front.socket().as_fd(), QUIET)?;
    ensure!(!more, "there is something more on the socket");
    Ok(())
}

fn features_before_owner(target: &Target) -> Result<Outcome> {
    let (_, features) = target.greeted()?;
    Ok(Outcome::Seen(format!("features {features:#x}")))
}

fn version(target: &Target) -> Result<Outcome> {
    let (front, _) = target.greeted()?;
    crate::wire::send(
        front.socket(),
        &Message::request(FrontendReq::GET_FEATURES, Vec::new()),
    )?;
    let reply = front.receive()?;
    let flags = reply.flags;
    ensure!(flags & VERSION_MASK == VERSION, "the flags are {flags:#x}");
    ensure!(flags & REPLY != 0, "the reply bit is not set");
    ensure!(
        reply.code == FrontendReq::GET_FEATURES as u32,
        "it is {}",
        reply.name()
    );
    Ok(Outcome::Pass)
}

fn protocol_features(target: &Target) -> Result<Outcome> {
    let (front, features) = target.greeted()?;
    if features & features::PROTOCOL_FEATURES.mask() == 0 {
        return Ok(Outcome::Skip("PROTOCOL_FEATURES is not offered".into()));
    }
    let protocol = front.get(FrontendReq::GET_PROTOCOL_FEATURES)?;
    Ok(Outcome::Seen(format!("protocol features {protocol:#x}")))
}

fn reply_ack(target: &Target) -> Result<Outcome> {
    let session = target.session(&[])?;
    if let Some(skip) = lacks(session.offer, &[features::REPLY_ACK]) {
        return Ok(skip);
    }
    session
        .front
        .set(FrontendReq::SET_VRING_NUM, words(&[0, 16]), Vec::new())?;
    quiet(&session.front)?;
    Ok(Outcome::Pass)
}

fn reply_ack_without_get(target: &Target) -> Result<Outcome> {
    let offer = target.session(&[])?.offer;
    if let Some(skip) = lacks(offer, &[features::REPLY_ACK]) {
        return Ok(skip);
    }
    let (mut front, _) = target.greeted()?;
    front.set(FrontendReq::SET_OWNER, Vec::new(), Vec::new())?;
    let body = longs(&[features::REPLY_ACK.mask()]);
    front.set(FrontendReq::SET_PROTOCOL_FEATURES, body, Vec::new())?;
    let bits = features::PROTOCOL_FEATURES.mask() | features::VERSION_1.mask();
    let body = longs(&[bits & offer.virtio]);
    front.set_acks(true);
    front.set(FrontendReq::SET_FEATURES, body, Vec::new())?;
    Ok(Outcome::Pass)
}

fn one_reply_each(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    session.front.set_acks(false);
    session
        .front
        .set(FrontendReq::SET_VRING_NUM, words(&[0, 16]), Vec::new())?;
    session.front.get(FrontendReq::GET_FEATURES)?;
    if session.offer.has(features::PROTOCOL_FEATURES) {
        session.front.get(FrontendReq::GET_PROTOCOL_FEATURES)?;
    }
    quiet(&session.front)?;
    Ok(Outcome::Pass)
}

fn log_answered_once(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[features::LOG_SHMFD])?;
    if let Some(skip) = lacks(session.offer, &[features::LOG_ALL, features::LOG_SHMFD]) {
        return Ok(skip);
    }
    session.areas(&[Area::new(0, MEMORY)])?;
    for needs_reply in [false, true] {
        session.log_needs_reply = needs_reply;
        session.log(4096, 0)?;
        quiet(&session.front)?;
    }
    Ok(Outcome::Pass)
}

fn unknown_features(target: &Target) -> Result<Outcome> {
    let session = target.session(&[])?;
    let unknown = !session.offer.virtio & 1 << 63;
    let body = longs(&[session.acked.virtio | unknown]);
    let refused = session
        .front
        .set(FrontendReq::SET_FEATURES, body, Vec::new());
    drop(session);
    target.next_client()?;
    let seen = if refused.is_err() {
        "refused"
    } else {
        "ignored"
    };
    Ok(Outcome::Seen(seen.into()))
}

fn reconnect_afresh(target: &Target) -> Result<Outcome> {
    let client = || {
        let mut session = target.session(&[features::CONFIGURE_MEM_SLOTS])?;
        session.make(&[Area::new(0, MEMORY)])?;
        if session.acked.has(features::CONFIGURE_MEM_SLOTS) {
            session.add(0)?;
        } else {
            session.table()?;
        }
        session.start(0)?;
        session.io()
    };
    client()?;
    client().context("the second client")?;
    Ok(Outcome::Pass)
}

fn enable_before_features(target: &Target) -> Result<Outcome> {
    let offer = target.session(&[])?.offer;
    if let Some(skip) = lacks(offer, &[features::PROTOCOL_FEATURES]) {
        return Ok(skip);
    }
    let (front, _) = target.greeted()?;
    let protocol = offer.protocol & features::REPLY_ACK.mask();
    front.set(
        FrontendReq::SET_PROTOCOL_FEATURES,
        longs(&[protocol]),
        Vec::new(),
    )?;
    front.set(FrontendReq::SET_OWNER, Vec::new(), Vec::new())?;
    front.set(FrontendReq::SET_VRING_ENABLE, words(&[0, 1]), Vec::new())?;
    front.sync()?;
    Ok(Outcome::Pass)
}

fn queue_num(target: &Target) -> Result<Outcome> {
    let session = target.session(&[])?;
    if let Some(skip) = lacks(session.offer, &[features::MQ]) {
        return Ok(skip);
    }
    let queues = session.front.get(FrontendReq::GET_QUEUE_NUM)?;
    ensure!(queues > 0, "there are 0 queues");
    Ok(Outcome::Seen(format!("{queues} queues")))
}

fn config(target: &Target) -> Result<Outcome> {
    let session = target.session(&[])?;
    if let Some(skip) = lacks(session.offer, &[features::CONFIG]) {
        return Ok(skip);
    }
    let mut body = words(&[0, 8, 0]);
    body.extend([0; 8]);
    let reply = session.front.ask(FrontendReq::GET_CONFIG, body)?;
    ensure!(reply.len() == 20, "{} bytes instead of 20", reply.len());
    ensure!(
        word(&reply, 0) == 0 && word(&reply, 4) == 8,
        "another part: {reply:02x?}"
    );
    Ok(Outcome::Seen(format!(
        "begins with {:#x}",
        long(&reply, 12)
    )))
}
