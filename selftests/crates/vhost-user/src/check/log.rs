// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether what is written is marked, all of it and when it should be.

use std::time::Instant;

use anyhow::{ensure, Result};

use super::Level::{Information, Must, Should};
use super::{lacks, writes_nothing, Outcome, Requirement, Target};
use crate::features::{Feature, CONFIGURE_MEM_SLOTS, LOG_ALL, LOG_SHMFD};
use crate::front::{Area, Kind, Log, Part, Session, FILL, MEMORY};
use crate::log::LOG_PAGE;
use crate::wire::LIMIT;

const NEEDS: &[Feature] = &[LOG_ALL, LOG_SHMFD];
/// The bytes of a log that is large enough for every check but those of its size.
const LOG: u64 = 4096;

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        name: "log/complete",
        level: Must,
        sentence: "With LOG_ALL, every page of a buffer that the back end writes is marked.",
        run: complete,
    },
    Requirement {
        name: "log/after-data",
        level: Must,
        sentence:
            "The log is written after the data, so that a mark that is taken away comes back.",
        run: after_data,
    },
    Requirement {
        name: "log/used-ring",
        level: Must,
        sentence: "With VHOST_VRING_F_LOG, writes of the used ring are marked.",
        run: used_ring,
    },
    Requirement {
        name: "log/used-address",
        level: Must,
        sentence: "Writes of the used ring are marked at the log address of SET_VRING_ADDR.",
        run: used_address,
    },
    Requirement {
        name: "log/both-ends",
        level: Must,
        sentence: "A range that begins or ends inside a page marks the page, at both ends.",
        run: both_ends,
    },
    Requirement {
        name: "log/last-part-page",
        level: Should,
        sentence: "The last page of a region is marked also if the region ends inside it.",
        run: last_part_page,
    },
    Requirement {
        name: "log/region-after-log-base",
        level: Must,
        sentence: "Memory that comes after SET_LOG_BASE is logged too.",
        run: region_after,
    },
    Requirement {
        name: "log/replaced",
        level: Must,
        sentence: "After SET_LOG_BASE marks go to the new log, and none to the old one.",
        run: replaced,
    },
    Requirement {
        name: "log/off",
        level: Must,
        sentence: "Without LOG_ALL nothing is marked.",
        run: off,
    },
    Requirement {
        name: "log/offset",
        level: Must,
        sentence: "The log begins at its mmap offset in the file.",
        run: offset,
    },
    Requirement {
        name: "log/just-large-enough",
        level: Must,
        sentence: "A log that reaches to the last byte of memory is large enough.",
        run: just_large_enough,
    },
    Requirement {
        name: "log/larger",
        level: Must,
        sentence: "A log may be larger than it has to be.",
        run: larger,
    },
    Requirement {
        name: "log/without-flag",
        level: Information,
        sentence: "Without VHOST_VRING_F_LOG the used ring need not be marked.",
        run: without_flag,
    },
    Requirement {
        name: "log/over-marking",
        level: Information,
        sentence: "Pages that are marked and did not change cost time in a migration, no more.",
        run: over_marking,
    },
];

/// Has a ring going with a log that is on.
fn logging(target: &Target) -> Result<std::result::Result<(Session, Log), Outcome>> {
    logging_to(target, LOG, 0)
}

/// The same with a log of this size at this offset.
fn logging_to(
    target: &Target,
    size: u64,
    offset: u64,
) -> Result<std::result::Result<(Session, Log), Outcome>> {
    let mut session = target.session(&[LOG_SHMFD])?;
    if let Some(skip) = lacks(session.offer, NEEDS) {
        return Ok(Err(skip));
    }
    session.go()?;
    let log = session.log(size, offset)?;
    switch(&session, true)?;
    session.log_rings(true)?;
    Ok(Ok((session, log)))
}

/// Switches LOG_ALL. That the rings stay as they are then is a requirement of its own, so they are enabled again.
fn switch(session: &Session, on: bool) -> Result<()> {
    session.log_all(on)?;
    session.enable_all()
}

macro_rules! or_skip {
    ($e:expr) => {
        match $e? {
            Ok(value) => value,
            Err(skip) => return Ok(skip),
        }
    };
}

/// Looks whether all that a request writes is marked.
fn marked(log: &Log, parts: &[Part]) -> Result<()> {
    for (at, size, _) in parts.iter().filter(|part| part.2) {
        let last = at + u64::from(*size) - 1;
        for page in at / LOG_PAGE..=last / LOG_PAGE {
            let at = page * LOG_PAGE;
            ensure!(
                log.is_marked(at),
                "the page at {at:#x} is written and not marked"
            );
        }
    }
    Ok(())
}

fn complete(target: &Target) -> Result<Outcome> {
    let (mut session, log) = or_skip!(logging(target));
    let used = session.used_at() / LOG_PAGE;
    let parts = session.request()?;
    let filled = session.snapshot()?;
    session.submit(&parts)?;
    session.kick()?;
    session.served()?;
    let mut changed = 0;
    for ((at, old), (_, new)) in filled.iter().zip(session.snapshot()?) {
        // The driver's own pages of the ring change too; the used ring has a requirement of its own.
        let ring = (session.desc_at(0)..session.used_at()).contains(at);
        if *old != new && !ring && at / LOG_PAGE != used {
            changed += 1;
            ensure!(
                log.is_marked(*at),
                "the page at {at:#x} changed and is not marked"
            );
        }
    }
    Ok(Outcome::Seen(format!(
        "{changed} pages changed besides the ring's"
    )))
}

fn after_data(target: &Target) -> Result<Outcome> {
    if let Some(skip) = writes_nothing(target.kind) {
        return Ok(skip);
    }
    let (mut session, log) = or_skip!(logging(target));
    let parts = session.request()?;
    session.submit(&parts)?;
    session.kick()?;
    let Some((at, size, _)) = parts.iter().find(|part| part.2) else {
        return Ok(Outcome::Skip("the request writes nothing".into()));
    };
    let end = Instant::now() + LIMIT;
    while !log.is_marked(*at) {
        ensure!(Instant::now() < end, "the page at {at:#x} is not marked");
    }
    let mut data = vec![0; *size as usize];
    session.memory.read(*at, &mut data)?;
    let old = data.iter().all(|byte| *byte == FILL);
    ensure!(!old, "the page at {at:#x} is marked before it is written");
    session.served()?;
    Ok(Outcome::Pass)
}

fn used_ring(target: &Target) -> Result<Outcome> {
    let (mut session, log) = or_skip!(logging(target));
    session.io()?;
    ensure!(
        log.is_marked(session.used_at()),
        "the used ring is not marked"
    );
    Ok(Outcome::Pass)
}

fn used_address(target: &Target) -> Result<Outcome> {
    let (mut session, log) = or_skip!(logging(target));
    session.log_shift = 8 * LOG_PAGE;
    session.log_rings(true)?;
    session.io()?;
    let at = session.used_at() + session.log_shift;
    ensure!(
        log.is_marked(at),
        "the page at the log address {at:#x} is not marked"
    );
    Ok(Outcome::Pass)
}

/// Does a request whose data lie somewhere else, and returns what it writes.
fn data_at(session: &mut Session, at: u64, size: u32) -> Result<Vec<Part>> {
    let mut parts = session.request()?;
    if let Some(part) = parts.iter_mut().find(|part| part.2) {
        (part.0, part.1) = (at, size);
    }
    session.fill(&parts)?;
    session.submit(&parts)?;
    session.kick()?;
    session.served()?;
    session.came(&parts)?;
    Ok(parts)
}

fn both_ends(target: &Target) -> Result<Outcome> {
    if target.kind != Kind::Blk {
        return Ok(Outcome::Skip(
            "only a disk writes as much as is asked for".into(),
        ));
    }
    let (mut session, log) = or_skip!(logging(target));
    let at = session.buffers + 8 * LOG_PAGE + 7 * 512;
    let parts = data_at(&mut session, at, 4096 + 1024)?;
    marked(&log, &parts)?;
    Ok(Outcome::Pass)
}

fn last_part_page(target: &Target) -> Result<Outcome> {
    if let Some(skip) = writes_nothing(target.kind) {
        return Ok(skip);
    }
    let mut session = target.session(&[LOG_SHMFD])?;
    if let Some(skip) = lacks(session.offer, NEEDS) {
        return Ok(skip);
    }
    let second = Area::new(2 * MEMORY, 2 * LOG_PAGE + 512);
    session.areas(&[Area::new(0, MEMORY), second])?;
    session.start(0)?;
    let log = session.log(LOG, 0)?;
    switch(&session, true)?;
    let size = if target.kind == Kind::Blk { 512 } else { 80 };
    let parts = data_at(&mut session, second.guest + 2 * LOG_PAGE, size)?;
    marked(&log, &parts)?;
    Ok(Outcome::Pass)
}

fn region_after(target: &Target) -> Result<Outcome> {
    if let Some(skip) = writes_nothing(target.kind) {
        return Ok(skip);
    }
    let mut session = target.session(&[LOG_SHMFD, CONFIGURE_MEM_SLOTS])?;
    if let Some(skip) = lacks(session.offer, NEEDS) {
        return Ok(skip);
    }
    let slots = session.acked.has(CONFIGURE_MEM_SLOTS);
    session.make(&[Area::new(0, MEMORY)])?;
    if slots {
        session.add(0)?
    } else {
        session.table()?
    }
    session.start(0)?;
    let log = session.log(LOG, 0)?;
    switch(&session, true)?;
    session.make(&[Area::new(2 * MEMORY, MEMORY)])?;
    if slots {
        session.add(1)?
    } else {
        session.table()?
    }
    session.buffers += 2 * MEMORY;
    let parts = session.io()?;
    marked(&log, &parts)?;
    Ok(Outcome::Pass)
}

fn replaced(target: &Target) -> Result<Outcome> {
    let (mut session, old) = or_skip!(logging(target));
    let new = session.log(LOG, 0)?;
    let before = old.count();
    session.buffers += 8 * LOG_PAGE;
    let parts = session.io()?;
    let late = old.count() - before;
    ensure!(late == 0, "{late} marks went to the old log");
    marked(&new, &parts)?;
    ensure!(new.count() > 0, "nothing is marked in the new log");
    Ok(Outcome::Pass)
}

fn off(target: &Target) -> Result<Outcome> {
    let (mut session, _) = or_skip!(logging(target));
    session.log_rings(false)?;
    switch(&session, false)?;
    let log = session.log(LOG, 0)?;
    session.io()?;
    let count = log.count();
    ensure!(count == 0, "{count} pages are marked");
    Ok(Outcome::Pass)
}

fn offset(target: &Target) -> Result<Outcome> {
    let (mut session, log) = or_skip!(logging_to(target, LOG, LOG));
    let parts = session.io()?;
    let before = log.before();
    ensure!(before == 0, "{before} marks are before the log's offset");
    // A device that writes into no buffer writes the used ring.
    let written = parts.iter().find(|part| part.2);
    let at = written.map_or(session.used_at(), |part| part.0);
    ensure!(log.is_marked(at), "nothing is marked at the log's offset");
    Ok(Outcome::Pass)
}

fn just_large_enough(target: &Target) -> Result<Outcome> {
    let (mut session, log) = or_skip!(logging_to(target, MEMORY / LOG_PAGE / 8, 0));
    session.buffers = MEMORY - 3 * LOG_PAGE;
    let parts = session.io()?;
    marked(&log, &parts)?;
    Ok(Outcome::Pass)
}

fn larger(target: &Target) -> Result<Outcome> {
    let (mut session, log) = or_skip!(logging_to(target, 256 * LOG, 0));
    let parts = session.io()?;
    marked(&log, &parts)?;
    Ok(Outcome::Pass)
}

fn without_flag(target: &Target) -> Result<Outcome> {
    let (mut session, _) = or_skip!(logging(target));
    session.log_rings(false)?;
    let log = session.log(LOG, 0)?;
    session.io()?;
    let marked = log.is_marked(session.used_at());
    Ok(Outcome::Seen(
        if marked {
            "it is marked"
        } else {
            "it is not marked"
        }
        .into(),
    ))
}

fn over_marking(target: &Target) -> Result<Outcome> {
    let (mut session, log) = or_skip!(logging(target));
    let before = session.snapshot()?;
    session.io()?;
    let mut idle = 0;
    for ((at, old), (_, new)) in before.iter().zip(session.snapshot()?) {
        idle += usize::from(*old == new && log.is_marked(*at));
    }
    Ok(Outcome::Seen(format!(
        "{idle} of {} marked pages did not change",
        log.count()
    )))
}
