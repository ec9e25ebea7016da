// SPDX-License-Identifier: GPL-2.0-or-later

//! Writers in several processes while the log is got and cleared, pages leave and come back, and mappings
//! change: each page is reported at least once after its last write.
//!
//! The reader keeps a copy and brings up to date only what the log names, after it was cleared. A write
//! that the log misses is one that the copy misses at the end.
//!
//! `REEVE_CPUS=N` says how many processors there have to be.
//!
//! Each mode is tried with an object that the seed picks. A failure names its seed; `REEVE_SEED=N` does only
//! that one. `REEVE_STEPS=N` sets the writes of each writer, and tries each mode with every object.

use std::env;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::unistd::sysconf;
use nix::unistd::SysconfVar;

use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Protection;

use crate::process::Child;
use crate::random::Random;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;

use super::dirty_log::pages_of;
use super::dirty_log::Log;
use super::dirty_log::LEGACY;
use super::dirty_log::MANUAL;
use super::dirty_log::MODES;
use super::dirty_log::STEP;

cases!("dirty_log";
    writers_against_gets_and_clears,
    writers_against_swapouts,
    writers_against_changes_of_mappings,
    a_clear_between_bit_and_entry,
    logs_that_come_and_go,
);

/// Processes that write, each to words of its own in all pages.
pub(super) const WRITERS: u64 = 4;

/// What else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Nothing,
    /// Pages leave and come back.
    Moves,
    /// And mappings are forked, moved, protected, and made anew.
    Mappings,
}

fn seed() -> u64 {
    let given = env::var("REEVE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        now.as_nanos() as u64 % 1_000_000
    })
}

/// The number of steps that was asked for.
pub(super) fn steps() -> Option<u64> {
    env::var("REEVE_STEPS")
        .ok()
        .and_then(|text| text.parse().ok())
}

pub(super) fn creates() -> [Create; 4] {
    let small = Create::new(130 * PAGE);
    [
        small,
        small.shmem(),
        small.caching(Caching::WriteCombined),
        Create::new((2 * 512 + 3) * PAGE),
    ]
}

/// Writes to random pages, by a mapping that changes if `changes`.
pub(super) fn write(
    log: &Log,
    writer: u64,
    mut random: Random,
    count: u64,
    changes: bool,
) -> Outcome {
    let mut mapping = log.device.map(log.handle)?;
    for step in 1..=count {
        let page = random.below(log.pages) as usize;
        let at = page * STEP + writer as usize * 8;
        // Some only look, so that entries around are there.
        if random.below(4) == 0 {
            mapping.read(at, &mut [0; 8]);
        }
        mapping.write(at, &(writer << 48 | step).to_ne_bytes());
        if !changes || random.below(16) != 0 {
            continue;
        }
        let length = mapping.len();
        match random.below(4) {
            0 => {
                // A child writes by entries that were copied, to words of its own.
                let at = page * STEP + (WRITERS + writer) as usize * 8;
                let value = (writer << 32 | step).to_ne_bytes();
                Child::run(|_| {
                    mapping.write(at, &value);
                    Ok(())
                })?
                .join()?;
            }
            1 => mapping = mapping.moved()?,
            2 => {
                let pages = length / STEP;
                let first = random.below(pages as u64) as usize;
                let part = (1 + random.below((pages - first) as u64) as usize) * STEP;
                mapping.protect(first * STEP, part, Protection::Read)?;
                mapping.protect(first * STEP, part, Protection::ReadWrite)?;
            }
            _ => mapping = log.device.map(log.handle)?,
        }
    }
    Ok(())
}

/// Moves pages out of memory and back until it is killed.
pub(super) fn move_pages(log: &Log, mut random: Random) -> Outcome {
    loop {
        let (device, handle) = (&log.device, log.handle);
        let result = match random.below(4) {
            0 => device.swapout(handle),
            1 => device.backup(handle),
            2 => device.restore(handle),
            _ => device.populate(handle),
        };
        match result {
            Err(err) if errno(&err) != Errno::ENOMEM => return Err(err.into()),
            _ => {}
        }
    }
}

/// The words that writers and their children write, of one page.
pub(super) fn words_of(log: &Log, page: u64) -> [u8; 8 * 2 * WRITERS as usize] {
    let mut words = [0; 8 * 2 * WRITERS as usize];
    log.mapping.read(page as usize * STEP, &mut words);
    words
}

/// Gets, clears some or all of it, and copies what was cleared.
fn collect(log: &Log, random: &mut Random, copy: &mut [[u8; 64]], whole: bool) -> Outcome {
    let got = log.get()?;
    let mut named: Vec<u64> = Vec::new();
    if log.device.log_info(log.handle)?.mode == LEGACY {
        named.extend(pages_of(&got));
    }
    let words = got.len() as u64;
    let first = if whole { 0 } else { random.below(words) };
    let count = if whole {
        words
    } else {
        1 + random.below(words - first)
    };
    let pages = (count * 64).min(log.pages - first * 64);
    let mut mask = got[first as usize..(first + count) as usize].to_vec();
    if random.below(4) == 0 {
        // Also what has been set since.
        mask.fill(u64::MAX);
    }
    log.clear(first * 64, pages, &mask)?;
    named.extend(
        pages_of(&mask)
            .map(|bit| first * 64 + bit)
            .filter(|page| *page < log.pages),
    );
    for page in named {
        copy[page as usize] = words_of(log, page);
    }
    Ok(())
}

fn race(create: Create, mode: u32, others: Others, seed: u64, count: u64) -> Outcome {
    let log = Log::of(create, mode)?;
    let mut random = Random::new(seed);
    let mut copy = vec![[0; 64]; log.pages as usize];
    let changes = others == Others::Mappings;
    let writers = (0..WRITERS)
        .map(|writer| {
            let random = Random::new(random.next());
            Child::run(|_| write(&log, writer, random, count, changes))
        })
        .collect::<Outcome<Vec<_>>>()?;
    let mover = match others {
        Others::Nothing => None,
        _ => {
            let random = Random::new(random.next());
            Some(Child::run(|_| move_pages(&log, random))?)
        }
    };
    let mut running = true;
    while running {
        running = false;
        for writer in &writers {
            running |= writer.is_running()?;
        }
        collect(&log, &mut random, &mut copy, false)?;
    }
    for writer in writers {
        writer.join()?;
    }
    collect(&log, &mut random, &mut copy, true)?;
    if let Some(mover) = mover {
        mover.kill()?;
    }
    check_eq!(missed(&log, &copy), Vec::<u64>::new());
    Ok(())
}

/// The pages whose copy is not up to date.
fn missed(log: &Log, copy: &[[u8; 64]]) -> Vec<u64> {
    (0..log.pages)
        .filter(|page| copy[*page as usize] != words_of(log, *page))
        .collect()
}

/// Says what is needed to see a failure again. Fails if there are other processors than were asked for.
pub(super) fn begin() -> Outcome<u64> {
    let seed = seed();
    let cpus = sysconf(SysconfVar::_NPROCESSORS_ONLN)?.unwrap_or_default();
    println!("# seed {seed}, {cpus} processors");
    if let Ok(wanted) = env::var("REEVE_CPUS") {
        check_eq!(cpus.to_string(), wanted, "processors");
    }
    Ok(seed)
}

fn races(others: Others, usual: u64) -> Outcome {
    let seed = begin()?;
    let given = steps();
    for (number, create) in creates().into_iter().enumerate() {
        for mode in MODES {
            if given.is_none() && (seed + u64::from(mode)) % 4 != number as u64 {
                continue;
            }
            race(create, mode, others, seed, given.unwrap_or(usual)).map_err(|stop| {
                stop.during(format!(
                    "REEVE_SEED={seed}, mode {mode}, {create:?}, {others:?}"
                ))
            })?;
        }
    }
    Ok(())
}

fn writers_against_gets_and_clears() -> Outcome {
    races(Others::Nothing, 500)
}

fn writers_against_swapouts() -> Outcome {
    races(Others::Moves, 80)
}

fn writers_against_changes_of_mappings() -> Outcome {
    races(Others::Mappings, 24)
}

/// A writer takes faults of read-only entries all the time, while clears come as close together as they
/// can.
fn a_clear_between_bit_and_entry() -> Outcome {
    let log = Log::of(Create::new(PAGE), MANUAL)?;
    let count = steps().unwrap_or(400);
    let writer = Child::run(|_| {
        for step in 1..=count {
            log.mapping.write(0, &step.to_ne_bytes());
        }
        Ok(())
    })?;
    let mut copy = [0; 8];
    while writer.is_running()? {
        if log.clear(0, 1, &[1])? != 0 {
            log.mapping.read(0, &mut copy);
        }
    }
    writer.join()?;
    if log.clear(0, 1, &[1])? != 0 {
        log.mapping.read(0, &mut copy);
    }
    check_eq!(u64::from_ne_bytes(copy), count);
    check_eq!(log.device.log_stop(log.handle)?, 1);
    Ok(())
}

/// Logs begin and end while writers are in the middle of faults. Each reports what is written after it began, and all that
/// the last one counted is gone with it.
fn logs_that_come_and_go() -> Outcome {
    let seed = begin()?;
    let mut random = Random::new(seed);
    let log = Log::prepared(Create::new(130 * PAGE))?;
    for round in 0..steps().unwrap_or(12) {
        let mode = MODES[round as usize % MODES.len()];
        let writers = (0..2)
            .map(|writer| {
                let random = Random::new(random.next());
                Child::run(|_| write(&log, writer, random, u64::MAX, false))
            })
            .collect::<Outcome<Vec<_>>>()?;
        for _ in 0..random.below(8) {
            log.start(mode)?;
            log.device.log_stop(log.handle)?;
        }
        log.start(mode)?;
        let mut copy: Vec<_> = (0..log.pages).map(|page| words_of(&log, page)).collect();
        for _ in 0..random.below(4) {
            collect(&log, &mut random, &mut copy, false)?;
        }
        for writer in writers {
            writer.kill()?;
        }
        let info = log.info()?;
        let ones: u32 = log.get()?.iter().map(|word| word.count_ones()).sum();
        check_eq!(info.dirty, u64::from(ones), "REEVE_SEED={seed}");
        if mode != LEGACY {
            let shown = format!("{} KiB", info.dirty * PAGE / 1024);
            check_eq!(log.shown("reeve-dirty-system")?, Some(shown));
            let shown = info.write_faults.to_string();
            check_eq!(log.shown("reeve-write-faults")?, Some(shown));
            collect(&log, &mut random, &mut copy, true)?;
            check_eq!(missed(&log, &copy), Vec::<u64>::new(), "REEVE_SEED={seed}");
        }
        log.device.log_stop(log.handle)?;
        check_eq!(log.shown("reeve-logging")?, None);
    }
    log.start(MANUAL)?;
    check_eq!(log.shown("reeve-dirty-system")?, Some("0 KiB".into()));
    check_eq!(log.shown("reeve-write-faults")?, Some("0".into()));
    Ok(())
}
