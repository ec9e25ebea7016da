// SPDX-License-Identifier: GPL-2.0-or-later
//! Tables, slots, offsets.

use anyhow::{ensure, Result};
use vhost::vhost_user::message::FrontendReq;

use super::Level::{Must, Should};
use super::{lacks, Outcome, Requirement, Target};
use crate::features;
use crate::front::{memory_file, Area, MEMORY, USER};
use crate::memory::RegionInfo;
use crate::wire::{longs, words};

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        name: "memory/one-region",
        level: Must,
        sentence: "SET_MEM_TABLE sets the memory map regions, each with a file descriptor: one.",
        run: |target| spread(target, 1),
    },
    Requirement {
        name: "memory/two-regions",
        level: Must,
        sentence: "SET_MEM_TABLE sets the memory map regions, each with a file descriptor: two.",
        run: |target| spread(target, 2),
    },
    Requirement {
        name: "memory/eight-regions",
        level: Must,
        sentence: "SET_MEM_TABLE sets the memory map regions, each with a file descriptor: eight.",
        run: |target| spread(target, 8),
    },
    Requirement {
        name: "memory/mmap-offset",
        level: Must,
        sentence: "The mmap offset is where the region is located in the mapped memory.",
        run: mmap_offset,
    },
    Requirement {
        name: "memory/second-table",
        level: Must,
        sentence: "A table replaces the one before it.",
        run: second_table,
    },
    Requirement {
        name: "memory/change-while-running",
        level: Must,
        sentence: "A table may be replaced while rings run; they go on in the new one.",
        run: change_while_running,
    },
    Requirement {
        name: "memory/slots",
        level: Must,
        sentence: "With CONFIGURE_MEM_SLOTS, regions come by ADD_MEM_REG and go by REM_MEM_REG, in any order.",
        run: slots,
    },
    Requirement {
        name: "memory/max-slots",
        level: Must,
        sentence: "With CONFIGURE_MEM_SLOTS, as many regions as GET_MAX_MEM_SLOTS says can be added.",
        run: max_slots,
    },
    Requirement {
        name: "memory/overlap",
        level: Should,
        sentence: "Regions that overlap are refused.",
        run: |target| refused(target, &[(Area::new(0, 0x2000), 0x2000), (Area::new(0x1000, 0x2000), 0x2000)]),
    },
    Requirement {
        name: "memory/size-zero",
        level: Should,
        sentence: "A region without a byte is refused.",
        run: |target| refused(target, &[(Area::new(0, 0), 0x1000)]),
    },
    Requirement {
        name: "memory/file-too-small",
        level: Should,
        sentence: "A region that its file does not hold is refused.",
        run: |target| refused(target, &[(Area::new(0, 0x2000), 0x1000)]),
    },
];

/// Has buffers in the last of several regions with gaps.
fn spread(target: &Target, count: u64) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    let area = |number| Area::new(number * 2 * MEMORY, MEMORY);
    session.areas(&(0..count).map(area).collect::<Vec<_>>())?;
    session.start(0)?;
    session.buffers += (count - 1) * 2 * MEMORY;
    session.io()?;
    Ok(Outcome::Pass)
}

fn mmap_offset(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    let offset = 0x20_0000;
    session.areas(&[Area {
        offset,
        ..Area::new(0, MEMORY)
    }])?;
    session.start(0)?;
    session.io()?;
    Ok(Outcome::Pass)
}

fn second_table(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[])?;
    session.areas(&[Area::new(0, MEMORY)])?;
    session.areas(&[Area::new(2 * MEMORY, MEMORY)])?;
    session.start(0)?;
    session.io()?;
    session.buffers += 2 * MEMORY;
    session.io()?;
    Ok(Outcome::Pass)
}

fn change_while_running(target: &Target) -> Result<Outcome> {
    let mut session = target.going()?;
    session.io()?;
    session.areas(&[Area::new(2 * MEMORY, MEMORY)])?;
    session.io()?;
    session.buffers += 2 * MEMORY;
    session.io()?;
    Ok(Outcome::Pass)
}

fn slots(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[features::CONFIGURE_MEM_SLOTS])?;
    if let Some(skip) = lacks(session.offer, &[features::CONFIGURE_MEM_SLOTS]) {
        return Ok(skip);
    }
    session.make(&[0, 1, 2].map(|number| Area::new(number * 2 * MEMORY, MEMORY)))?;
    for number in [1, 0, 2] {
        session.add(number)?;
    }
    session.remove(1)?;
    session.start(0)?;
    session.io()?;
    session.buffers += 4 * MEMORY;
    session.io()?;
    session.add(1)?;
    session.remove(2)?;
    session.buffers -= 2 * MEMORY;
    session.io()?;
    Ok(Outcome::Pass)
}

fn max_slots(target: &Target) -> Result<Outcome> {
    let mut session = target.session(&[features::CONFIGURE_MEM_SLOTS])?;
    if let Some(skip) = lacks(session.offer, &[features::CONFIGURE_MEM_SLOTS]) {
        return Ok(skip);
    }
    let most = session.front.get(FrontendReq::GET_MAX_MEM_SLOTS)?;
    ensure!(most > 0, "there are 0 slots");
    // A back end that has more than front ends ever use is not asked to show them all.
    let count = most.min(64);
    session.make(
        &(0..count)
            .map(|n| Area::new(n * 2 * MEMORY, MEMORY))
            .collect::<Vec<_>>(),
    )?;
    for number in 0..count as usize {
        session.add(number)?;
    }
    session.start(0)?;
    session.buffers += (count - 1) * 2 * MEMORY;
    session.io()?;
    Ok(Outcome::Seen(format!("{most} slots")))
}

/// Sends a table that cannot be: areas with the sizes of their files.
fn refused(target: &Target, areas: &[(Area, u64)]) -> Result<Outcome> {
    let session = target.session(&[])?;
    if let Some(skip) = lacks(session.offer, &[features::REPLY_ACK]) {
        return Ok(skip);
    }
    let mut body = words(&[areas.len() as u32, 0]);
    let mut fds = Vec::new();
    for (area, size) in areas {
        let info = RegionInfo {
            user: area.guest + USER,
            ..area.info()
        };
        body.extend(longs(&[info.guest, info.size, info.user, info.offset]));
        fds.push(memory_file(*size)?);
    }
    let reply = session.front.set(FrontendReq::SET_MEM_TABLE, body, fds);
    ensure!(reply.is_err(), "the table is accepted");
    drop(session);
    target.next_client()?;
    Ok(Outcome::Pass)
}
