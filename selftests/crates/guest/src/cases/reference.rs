// SPDX-License-Identifier: GPL-2.0-or-later

//! The same operations on C TTM and here, in one kernel: both have to do the same, but for what is
//! known to be wrong in TTM.
//!
//! A failure names its seed; `REEVE_SEED=N` (or several, with commas) does only those sequences,
//! `REEVE_STEPS=N` sets their length.

use std::collections::BTreeMap;
use std::env;
use std::io;

use nix::errno::Errno;

use reeve_uapi::sys::REEVE_BO_BACKED_UP;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoCall;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;

use crate::fail_nth::Faults;
use crate::lockstep::Lockstep;
use crate::random::Random;
use crate::reference;
use crate::reference::Op as There;
use crate::seen::PAGE;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Setup;
use crate::test::Stop;

cases!("reference", Setup { devices: 2 };
    a_backup_drifts_in_ttm,
    external_populates_swap_out_others_in_ttm,
    fini_in_every_state,
    limits_that_cannot_be_kept_empty_ttm,
    sequences_without_limits,
    sequences_near_the_limit,
    sequences_near_both_limits,
);

/// Objects at a time.
const MOST: usize = 10;

/// Steps of a sequence, unless `REEVE_STEPS` says otherwise.
const STEPS: u64 = 500;

/// What a step does; objects are numbers in the list.
#[derive(Debug)]
enum Step {
    Create(Create),
    Destroy(usize),
    Call(usize, BoCall, There),
    BackUp(usize, There),
    HalfWay {
        index: usize,
        every: u32,
        end: bool,
    },
    Write {
        index: usize,
        offset: usize,
        len: usize,
        seed: u64,
    },
    Read(usize),
    Shrink,
}

fn any_create(random: &mut Random) -> Create {
    let pages = match random.below(10) {
        0 => 500 + random.below(100),
        1..=3 => 16 + random.below(80),
        _ => 1 + random.below(8),
    };
    let unaligned = random.below(3) * random.below(PAGE);
    let size = (pages * PAGE).saturating_sub(unaligned.min(PAGE - 1));
    let mut create = Create::new(size).kind(*random.pick(&[
        BoType::Device,
        BoType::Device,
        BoType::Device,
        BoType::Kernel,
        BoType::Sg,
    ]));
    create.zero = create.kind == BoType::Device && random.below(2) == 0;
    create.mappable = create.kind == BoType::Sg && random.below(3) != 0;
    if create.kind != BoType::Sg {
        create.dma32 = random.below(4) == 0;
        create.device = create.dma32.into();
        create.extra_pages = (random.below(4) / 3 * random.below(20)) as u32;
    }
    if random.below(3) == 0 {
        create.caching = *random.pick(&Caching::ALL);
    }
    create.shmem = create.caching == Caching::Cached
        && create.kind != BoType::Sg
        && !create.dma32
        && random.below(4) == 0;
    // Only ours: what is mapped for a device must not be seen otherwise.
    create.dma_addresses = create.kind != BoType::Sg && random.below(4) == 0;
    create
}

fn any_step(random: &mut Random, lockstep: &Lockstep) -> Step {
    let count = lockstep.all.len();
    if count == 0 || count < MOST && random.below(8) == 0 {
        return Step::Create(any_create(random));
    }
    let index = random.below(count as u64) as usize;
    let size = lockstep.all[index].create.size;
    match random.below(100) {
        0..=6 => Step::Destroy(index),
        7..=20 => Step::Call(index, BoCall::Populate, There::Populate),
        21..=27 => Step::Call(index, BoCall::Unpopulate, There::Unpopulate),
        28..=33 => Step::Call(index, BoCall::Pin, There::Pin),
        34..=41 => Step::Call(index, BoCall::Unpin, There::Unpin),
        42..=49 => Step::Call(index, BoCall::Swapout, There::Swapout),
        50..=57 => Step::BackUp(index, There::Backup),
        58 => Step::BackUp(index, There::Writeback),
        59..=61 => Step::BackUp(index, There::Purge),
        62..=67 => Step::Call(index, BoCall::Restore, There::Restore),
        68..=70 => Step::HalfWay {
            index: largest(lockstep),
            every: 2 + random.below(12) as u32,
            end: random.below(3) == 0,
        },
        71..=83 => {
            let whole = random.below(2) == 0;
            let offset = if whole { 0 } else { random.below(size) };
            let left = size - offset;
            let len = if whole { left } else { 1 + random.below(left) };
            Step::Write {
                index,
                offset: offset as usize,
                len: len as usize,
                seed: random.next(),
            }
        }
        84..=93 => Step::Read(index),
        _ => Step::Shrink,
    }
}

fn largest(lockstep: &Lockstep) -> usize {
    let sizes = lockstep.all.iter().map(|pair| pair.create.size);
    let largest = sizes.enumerate().max_by_key(|(_, size)| *size);
    largest.map_or(0, |(index, _)| index)
}

impl Step {
    /// The word for what it does.
    fn name(&self) -> &'static str {
        match self {
            Self::Create(_) | Self::Destroy(_) => "create and destroy",
            Self::Call(_, call, _) => call.name(),
            Self::BackUp(_, There::Purge) => "purge",
            Self::BackUp(..) => "backup",
            Self::HalfWay { .. } => "half a backup",
            Self::Write { .. } => "write",
            Self::Read(_) => "read",
            Self::Shrink => "shrink",
        }
    }
}

/// What has to have moved pages in a case, lest its sequences only look at empty objects.
const MOVES: [&str; 8] = [
    "populate",
    "unpopulate",
    "swapout",
    "restore",
    "purge",
    "backup",
    "half a backup",
    "shrink",
];

/// Does the step on both. What only one of them has rules for, or does wrong, is sorted out here.
fn take(lockstep: &mut Lockstep, step: &Step) -> Outcome<u64> {
    let info = |lockstep: &Lockstep, index: usize| lockstep.reeve.info(lockstep.all[index].handle);
    match *step {
        Step::Create(create) => lockstep.create(create).map(|()| 0),
        Step::Destroy(index) => lockstep.destroy(index).map(|()| 0),
        Step::Shrink => lockstep.shrink(),
        // TTM drops the pages of pinned objects and counts pins of what has none.
        Step::Call(index, BoCall::Unpopulate, _) if info(lockstep, index)?.pin_count > 0 => {
            lockstep.reeve_refuses(index, BoCall::Unpopulate, Errno::EBUSY)
        }
        Step::Call(index, BoCall::Pin, _) if !info(lockstep, index)?.is(REEVE_BO_POPULATED) => {
            lockstep.reeve_refuses(index, BoCall::Pin, Errno::EINVAL)
        }
        Step::Call(index, BoCall::Unpin, _) if info(lockstep, index)?.pin_count == 0 => {
            lockstep.reeve_refuses(index, BoCall::Unpin, Errno::EINVAL)
        }
        // TTM leaves it to its callers.
        Step::Call(index, BoCall::Restore, _) if lockstep.all[index].is_elsewhere() => {
            lockstep.reeve_refuses(index, BoCall::Restore, Errno::EINVAL)
        }
        Step::Call(index, call, op) if !evicts_others_in_ttm(lockstep, index)? => {
            lockstep.both(index, call, op)
        }
        // TTM cannot purge a backup.
        Step::BackUp(index, There::Purge) if info(lockstep, index)?.is(REEVE_BO_BACKED_UP) => Ok(0),
        Step::BackUp(index, op) => lockstep.back_up(index, op),
        Step::HalfWay { index, every, end } if can_half_way(lockstep, index)? => {
            half_way(lockstep, index, every, end)
        }
        Step::Write {
            index,
            offset,
            len,
            seed,
        } if can_copy(lockstep, index)? => lockstep.write(index, offset, len, seed),
        Step::Read(index) if can_copy(lockstep, index)? => lockstep.read(index),
        Step::Call(..) | Step::HalfWay { .. } | Step::Write { .. } | Step::Read(_) => Ok(0),
    }
}

fn can_copy(lockstep: &Lockstep, index: usize) -> Outcome<bool> {
    Ok(!lockstep.all[index].is_elsewhere() && !evicts_others_in_ttm(lockstep, index)?)
}

fn can_half_way(lockstep: &Lockstep, index: usize) -> Outcome<bool> {
    let info = lockstep.reeve.info(lockstep.all[index].handle)?;
    Ok(can_copy(lockstep, index)? && info.pin_count == 0)
}

/// The cases `external_populates_swap_out_others_in_ttm` and `limits_that_cannot_be_kept_empty_ttm` show it.
fn evicts_others_in_ttm(lockstep: &Lockstep, index: usize) -> Outcome<bool> {
    match lockstep.all[index].create.kind {
        BoType::Sg => lockstep.is_over(),
        _ => lockstep.evicts_others(index),
    }
}

/// A backup while every so many allocations fail: it ends half-way, for each at a page of its own;
/// then a restore or the end. TTM can't go on with such a backup, so they differ for no longer.
fn half_way(lockstep: &mut Lockstep, index: usize, every: u32, end: bool) -> Outcome<u64> {
    let (handle, id) = (lockstep.all[index].handle, lockstep.all[index].id);
    lockstep.both(index, BoCall::Populate, There::Populate)?;
    let before = lockstep.reeve.info(handle)?;
    let mut faults = Faults::new()?;
    let no_memory = |result: io::Result<u64>| match result {
        Err(err) if [Errno::ENOMEM, Errno::EBUSY].contains(&errno(&err)) => Ok(0),
        other => other,
    };
    let here = no_memory(faults.every(every, || lockstep.reeve.backup(handle))?)?;
    let there = no_memory(faults.every(every, || lockstep.reference.simply(There::Backup, id))?)?;
    if there > 0 {
        lockstep.drifted(index)?;
    }
    let held = lockstep.reeve.info(handle)?.pages_resident;
    check_eq!(held, before.num_pages - here, "(ours)");
    let held = lockstep.reference.look(id)?.pages_held;
    check_eq!(held, before.num_pages - there, "(TTM's)");
    lockstep.compare_but(Some(index))?;
    let half = |moved: u64| u64::from(moved > 0 && moved < before.num_pages);
    let partial = half(here) + half(there);
    // Where only one of the two has something to bring back, only that one makes room for it.
    let only_one = lockstep.is_limited() && (here > 0) != (there > 0);
    if end || only_one || lockstep.evicts_others(index)? {
        lockstep.destroy(index)?;
        return Ok(partial);
    }
    // The one that moved nothing has nothing to restore: how many pages come back differs.
    check_eq!(lockstep.reeve.restore(handle)?, here);
    check_eq!(lockstep.reference.simply(There::Restore, id)?, there);
    lockstep.reeve.populate(handle)?;
    lockstep.reference.simply(There::Populate, id)?;
    lockstep.compare()?;
    lockstep.read(index)?;
    Ok(partial)
}

/// A sequence of steps, everything compared after each, then everything read and ended. `moves`
/// counts the steps that moved pages.
fn sequence(
    seed: u64,
    limits: [Option<i64>; 2],
    moves: &mut BTreeMap<&'static str, u64>,
) -> Outcome {
    let steps = number("REEVE_STEPS").unwrap_or(STEPS);
    let mut random = Random::new(seed);
    let mut lockstep = Lockstep::new(limits)?;
    for count in 0..steps {
        let step = any_step(&mut random, &lockstep);
        let during = |stop: Stop| {
            stop.during(format!(
                "step {count} is {step:?}; again with REEVE_SEED={seed}"
            ))
        };
        let pages = take(&mut lockstep, &step).map_err(during)?;
        lockstep.compare().map_err(during)?;
        *moves.entry(step.name()).or_default() += u64::from(pages > 0);
    }
    let during = |stop: Stop| stop.during(format!("at the end of REEVE_SEED={seed}"));
    for index in 0..lockstep.all.len() {
        take(&mut lockstep, &Step::Read(index)).map_err(during)?;
        lockstep.compare().map_err(during)?;
    }
    while !lockstep.all.is_empty() {
        lockstep.destroy(0)?;
        lockstep.compare().map_err(during)?;
    }
    check_eq!(lockstep.reeve.stats()?.pages_allocated, 0);
    println!(
        "# seed {seed}: {steps} steps; {} pages too many in TTM",
        lockstep.drift[0]
    );
    Ok(())
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn sequences(seeds: &[u64], limits: [Option<i64>; 2]) -> Outcome {
    // TTM backs up nothing without.
    let _swap = Swap::on()?;
    let asked = env::var("REEVE_SEED").unwrap_or_default();
    let asked: Vec<u64> = asked
        .split(',')
        .filter_map(|seed| seed.parse().ok())
        .collect();
    let mut moves = BTreeMap::new();
    for seed in if asked.is_empty() { seeds } else { &asked } {
        sequence(*seed, limits, &mut moves)?;
    }
    println!("# steps that moved pages: {moves:?}");
    if asked.is_empty() {
        for name in MOVES {
            let count = moves.get(name).copied().unwrap_or(0);
            check!(count > 0, "never: {name}");
        }
    }
    Ok(())
}

fn sequences_without_limits() -> Outcome {
    sequences(&[1, 2, 3], [None, None])
}

fn sequences_near_the_limit() -> Outcome {
    sequences(&[4, 5, 6], [Some(300), None])
}

fn sequences_near_both_limits() -> Outcome {
    sequences(&[7, 8, 9], [Some(400), Some(40)])
}

/// Populate 512, back up, end: TTM still has 512.
fn a_backup_drifts_in_ttm() -> Outcome {
    let _swap = Swap::on()?;
    let mut lockstep = Lockstep::new([None, None])?;
    let before = lockstep.reference.look(0)?.pages_allocated;
    lockstep.create(Create::new(512 * PAGE))?;
    check_eq!(lockstep.both(0, BoCall::Populate, There::Populate)?, 512);
    check_eq!(lockstep.back_up(0, There::Backup)?, 512);
    lockstep.destroy(0)?;
    check_eq!(lockstep.reference.look(0)?.pages_allocated, before + 512);
    check_eq!(lockstep.reeve.stats()?.pages_allocated, 0);
    lockstep.compare()
}

/// Pages that don't count make TTM look at its limits all the same.
fn external_populates_swap_out_others_in_ttm() -> Outcome {
    let mut lockstep = Lockstep::new([Some(10), None])?;
    lockstep.create(Create::new(20 * PAGE))?;
    lockstep.create(Create::new(PAGE).kind(BoType::Sg).mappable())?;
    lockstep.both(0, BoCall::Populate, There::Populate)?;
    lockstep.compare()?;
    lockstep.both(1, BoCall::Populate, There::Populate)?;
    let ours = lockstep.reeve.info(lockstep.all[0].handle)?;
    check!(ours.is(REEVE_BO_POPULATED));
    let theirs = lockstep.reference.look(lockstep.all[0].id)?;
    check!(theirs.page_flags & reference::SWAPPED != 0);
    Ok(())
}

/// Here nothing goes for a limit that can't be kept.
fn limits_that_cannot_be_kept_empty_ttm() -> Outcome {
    let populate =
        |lockstep: &mut Lockstep, index| lockstep.both(index, BoCall::Populate, There::Populate);
    let swapped = |lockstep: &Lockstep, index: usize| {
        let pair = &lockstep.all[index];
        let here = lockstep.reeve.info(pair.handle)?.is(REEVE_BO_SWAPPED);
        let there = lockstep.reference.look(pair.id)?.page_flags & reference::SWAPPED != 0;
        Ok::<_, Stop>((here, there))
    };
    let _swap = Swap::on()?;
    let mut lockstep = Lockstep::new([Some(10), None])?;
    lockstep.create(Create::new(5 * PAGE))?;
    lockstep.create(Create::new(20 * PAGE))?;
    check_eq!(populate(&mut lockstep, 0)?, 5);
    check!(lockstep.evicts_others(1)?);
    check_eq!(populate(&mut lockstep, 1)?, 20);
    check_eq!(swapped(&lockstep, 0)?, (false, true));
    Ok(())
}

/// However an object got where it is, nothing of it stays.
fn fini_in_every_state() -> Outcome {
    let _swap = Swap::on()?;
    let populate = (BoCall::Populate, There::Populate);
    let ways: [&[(BoCall, There)]; 9] = [
        &[],
        &[populate],
        &[populate, (BoCall::Pin, There::Pin)],
        &[populate, (BoCall::Unpopulate, There::Unpopulate)],
        &[populate, (BoCall::Swapout, There::Swapout)],
        &[populate, (BoCall::Swapout, There::Swapout), populate],
        &[populate, (BoCall::Backup, There::Backup)],
        &[populate, (BoCall::Backup, There::Backup), populate],
        &[populate, (BoCall::Backup, There::Purge)],
    ];
    let plain = Create::new(70 * PAGE);
    let mut lockstep = Lockstep::new([None, None])?;
    for create in [
        plain,
        plain.zeroed().extra(3),
        plain.shmem(),
        plain.caching(Caching::WriteCombined),
        plain.dma32().on(1),
        plain.kind(BoType::Kernel),
        plain.kind(BoType::Sg),
        plain.kind(BoType::Sg).mappable(),
    ] {
        for way in ways {
            lockstep.create(create)?;
            let during = |stop: Stop| stop.during(format!("{create:?}: {way:?}"));
            for (call, op) in way {
                let done = match op {
                    There::Backup | There::Purge => lockstep.back_up(0, *op),
                    _ => lockstep.both(0, *call, *op),
                };
                done.map_err(during)?;
                lockstep.compare().map_err(during)?;
            }
            lockstep.destroy(0)?;
            lockstep.compare().map_err(during)?;
        }
    }
    check_eq!(lockstep.reeve.stats()?.pages_allocated, 0);
    Ok(())
}
