// SPDX-License-Identifier: GPL-2.0-or-later
//! What starts and stops a ring, and what it does meanwhile.

use anyhow::{ensure, Result};
use vhost::vhost_user::message::FrontendReq;

use super::Level::{Must, Should};
use super::{lacks, Outcome, Requirement, Target};
use crate::features;
use crate::front::{Area, MEMORY, QUIET};

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        name: "rings/served",
        level: Must,
        sentence: "A ring that is started and enabled is served, and the call is signalled.",
        run: served,
    },
    Requirement {
        name: "rings/base-kept",
        level: Must,
        sentence: "GET_VRING_BASE is replied to with the index of the next available descriptor.",
        run: base_kept,
    },
    Requirement {
        name: "rings/base-twice",
        level: Should,
        sentence: "A ring that is stopped keeps its index, and may be asked for it again.",
        run: base_twice,
    },
    Requirement {
        name: "rings/stop-no-writes",
        level: Must,
        sentence: "After its reply to GET_VRING_BASE a back end does not touch the ring or its buffers.",
        run: stop_no_writes,
    },
    Requirement {
        name: "rings/stop-in-flight",
        level: Must,
        sentence: "With its rings stopped a device does not write to guest memory: what is in flight is done before the reply.",
        run: stop_in_flight,
    },
    Requirement {
        name: "rings/stop-and-start",
        level: Must,
        sentence: "A ring that was stopped is started again by a kick.",
        run: stop_and_start,
    },
    Requirement {
        name: "rings/start-index",
        level: Must,
        sentence: "SET_VRING_BASE sets the next index to use; it wraps at 65536.",
        run: start_index,
    },
    Requirement {
        name: "rings/used-index",
        level: Must,
        sentence: "The used index is what stands in the used ring when it starts.",
        run: used_index,
    },
    Requirement {
        name: "rings/kick-before-enable",
        level: Must,
        sentence: "A kick that comes before the ring is enabled counts when it is.",
        run: kick_before_enable,
    },
    Requirement {
        name: "rings/available-at-start",
        level: Should,
        sentence: "What is available when a ring starts is served without a kick, for after a migration there is no kick.",
        run: available_at_start,
    },
    Requirement {
        name: "rings/disabled",
        level: Must,
        sentence: "A ring that is disabled is processed without side effects: no buffer is written.",
        run: disabled,
    },
    Requirement {
        name: "rings/log-all-leaves-rings",
        level: Must,
        sentence: "SET_FEATURES that only changes LOG_ALL leaves the rings as they are.",
        run: log_all_leaves_rings,
    },
    Requirement {
        name: "rings/reset-device",
        level: Must,
        sentence: "RESET_DEVICE disables all rings and sets the device to its first state.",
        run: reset_device,
    },
];

fn served(target: &Target) -> Result<Outcome> {
    let mut session = target.going()?;
    for _ in 0..40 {
        session.io()?;
    }
    Ok(Outcome::Pass)
}

fn base_kept(target: &Target) -> Result<Outcome> {
    let mut session = target.going()?;
    for _ in 0..3 {
        session.io()?;
    }
    let base = session.stop()?;
    ensure!(base == 3, "after 3 requests the index is {base}");
    Ok(Outcome::Pass)
}

fn base_twice(target: &Target) -> Result<Outcome> {
    let mut session = target.going()?;
    session.io()?;
    let (first, second) = (session.stop()?, session.stop()?);
    ensure!(first == second, "first {first}, then {second}");
    Ok(Outcome::Pass)
}

fn stop_no_writes(target: &Target) -> Result<Outcome> {
    let mut session = target.going()?;
    session.io()?;
    session.stop()?;
    let used = session.used()?;
    let parts = session.request()?;
    session.submit(&parts)?;
    session.kick()?;
    session.stays(&parts, used)?;
    Ok(Outcome::Pass)
}

/// How many requests are in flight when a ring is stopped, again and again: what is late depends on the moment.
const IN_FLIGHT: &[u32] = &[3, 1, 12, 3, 1, 12, 3, 3];

fn stop_in_flight(target: &Target) -> Result<Outcome> {
    for count in IN_FLIGHT {
        // That a ring goes on after a stop is another requirement's matter.
        let mut session = target.going()?;
        for _ in 0..*count {
            let parts = session.request()?;
            session.submit(&parts)?;
        }
        session.kick()?;
        session.stop()?;
        let stopped = session.snapshot()?;
        std::thread::sleep(QUIET);
        let late = session.snapshot()? != stopped;
        ensure!(!late, "memory is written after the reply");
    }
    Ok(Outcome::Pass)
}

fn stop_and_start(target: &Target) -> Result<Outcome> {
    let mut session = target.going()?;
    session.io()?;
    let base = session.stop()?;
    session.stop_others()?;
    session.start(base)?;
    session.io()?;
    let base = session.stop()?;
    ensure!(base == 2, "after 2 requests the index is {base}");
    // A request that is served twice comes after the answer to the second, so it is looked for while the ring is quiet.
    let used = session.used()?;
    ensure!(used == 2, "after 2 requests the used index is {used}");
    Ok(Outcome::Pass)
}

fn start_index(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    session.areas(&[Area::new(0, MEMORY)])?;
    session.start(0xfffe)?;
    for _ in 0..4 {
        session.io()?;
    }
    let base = session.stop()?;
    ensure!(base == 2, "4 requests after 0xfffe the index is {base:#x}");
    Ok(Outcome::Pass)
}

fn used_index(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    session.areas(&[Area::new(0, MEMORY)])?;
    session.start(7)?;
    let parts = session.request()?;
    session.submit(&parts)?;
    session.kick()?;
    session.served()?;
    let used = session.used()?;
    ensure!(used == 8, "after 7 and a request it is {used}");
    Ok(Outcome::Pass)
}

fn kick_before_enable(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    if let Some(skip) = lacks(session.offer, &[features::PROTOCOL_FEATURES]) {
        return Ok(skip);
    }
    session.areas(&[Area::new(0, MEMORY)])?;
    let ring = target.kind.ring();
    for other in 0..ring {
        session.set_up(other, 0)?;
        session.start_ring(other)?;
        session.enable(other, true)?;
    }
    session.set_up(ring, 0)?;
    session.start_ring(ring)?;
    let parts = session.request()?;
    session.submit(&parts)?;
    session.kick()?;
    // What a back end does with a kick while the ring is disabled has had its time.
    session.front.sync()?;
    let _ = session.stays(&parts, 0);
    session.enable(ring, true)?;
    session.served()?;
    Ok(Outcome::Pass)
}

fn available_at_start(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    session.areas(&[Area::new(0, MEMORY)])?;
    let ring = target.kind.ring();
    for number in 0..=ring {
        session.set_up(number, 0)?;
        session.enable(number, true)?;
    }
    let parts = session.request()?;
    session.submit(&parts)?;
    for number in 0..=ring {
        session.start_ring(number)?;
    }
    session.served()?;
    session.came(&parts)?;
    Ok(Outcome::Pass)
}

fn disabled(target: &Target) -> Result<Outcome> {
    let mut session = target.going()?;
    if let Some(skip) = lacks(session.offer, &[features::PROTOCOL_FEATURES]) {
        return Ok(skip);
    }
    if !target.kind.writes() {
        return Ok(Outcome::Skip(
            "a network card may take and discard what is sent".into(),
        ));
    }
    session.io()?;
    session.enable(target.kind.ring(), false)?;
    session.front.sync()?;
    let used = session.used()?;
    let parts = session.request()?;
    session.submit(&parts)?;
    session.kick()?;
    session.stays(&parts, used)?;
    Ok(Outcome::Pass)
}

fn log_all_leaves_rings(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[features::LOG_SHMFD])?;
    if let Some(skip) = lacks(session.offer, &[features::LOG_ALL, features::LOG_SHMFD]) {
        return Ok(skip);
    }
    session.go()?;
    session.log(4096, 0)?;
    for on in [true, false, true] {
        session.log_all(on)?;
        session.io()?;
    }
    Ok(Outcome::Pass)
}

fn reset_device(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[features::RESET_DEVICE])?;
    if let Some(skip) = lacks(session.offer, &[features::RESET_DEVICE]) {
        return Ok(skip);
    }
    session.go()?;
    session.io()?;
    session
        .front
        .set(FrontendReq::RESET_DEVICE, Vec::new(), Vec::new())?;
    session.front.sync()?;
    let used = session.used()?;
    let parts = session.request()?;
    session.submit(&parts)?;
    session.kick()?;
    session.stays(&parts, used)?;
    session.start(0)?;
    session.io()?;
    Ok(Outcome::Pass)
}
