// SPDX-License-Identifier: GPL-2.0-or-later

//! How logs begin and end, who shares them, and logs that are larger than a page of bits.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Barrier;
use std::thread;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys;
use reeve_uapi::Create;

use super::dirty_log::log_get;
use super::dirty_log::pages_of;
use super::dirty_log::set;
use super::dirty_log::Log;
use super::dirty_log::INITIALLY_SET;
use super::dirty_log::LEGACY;
use super::dirty_log::MANUAL;
use super::dirty_log::MODES;
use super::dirty_log::N;
use super::dirty_log::STEP;

use crate::memory;
use crate::memory::Region;
use crate::memory::Words;
use crate::memory::NOWHERE;
use crate::process::Child;
use crate::random::Random;
use crate::seen::open;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;

cases!("dirty_log";
    starts_in_any_state,
    ends_with_its_file,
    ends_with_its_object,
    one_for_all_who_have_the_file,
    one_of_several_starts,
    calls_while_logs_come_and_go,
    a_killed_get_takes_no_bits,
    large_logs,
    large_logs_that_a_get_clears,
);

/// A state of the content, and what brings it about.
type State = (&'static str, fn(&Log) -> Outcome);

/// Whatever state the content is in.
fn starts_in_any_state() -> Outcome {
    let create = Create::new(N * PAGE);
    let states: [State; 6] = [
        ("empty", |_| Ok(())),
        ("populated", |log| {
            log.device.populate(log.handle)?;
            Ok(())
        }),
        ("mapped", |log| {
            log.mapping.touch();
            Ok(())
        }),
        ("swapped out", |log| {
            log.mapping.touch();
            log.device.swapout(log.handle)?;
            Ok(())
        }),
        ("backed up", |log| {
            log.mapping.touch();
            log.device.backup(log.handle)?;
            Ok(())
        }),
        ("unpopulated", |log| {
            log.mapping.touch();
            log.device.unpopulate(log.handle)?;
            Ok(())
        }),
    ];
    for create in [create, create.shmem()] {
        for mode in MODES {
            for (name, state) in states {
                let log = Log::prepared(create)?;
                state(&log)?;
                log.start(mode)?;
                let fresh = if mode == INITIALLY_SET { N } else { 0 };
                check_eq!(log.info()?.dirty, fresh, "{name}, mode {mode}");
                log.clear_all()?;
                log.read(9);
                log.write(8);
                check_eq!(log.dirty()?, set([8]), "{name}, mode {mode}");
            }
        }
    }
    Ok(())
}

/// A process that is killed forgets to stop.
fn ends_with_its_file() -> Outcome {
    let before = knobs::debugfs("dirty_logs")?;
    let mut child = Child::run(|line| {
        let log = Log::new(MANUAL)?;
        let swapped = Log::new(LEGACY)?;
        log.write(3);
        swapped.write(4);
        swapped.device.swapout(swapped.handle)?;
        line.say(0)?;
        line.hear().map(drop)
    })?;
    child.line.hear()?;
    let during = knobs::debugfs("dirty_logs")?;
    check_eq!(during.lines().count(), before.lines().count() + 2);
    child.kill()?;
    check_eq!(knobs::debugfs("dirty_logs")?, before);
    Ok(())
}

fn ends_with_its_object() -> Outcome {
    let mut words = [0; 3];
    for mode in MODES {
        let log = Log::new(mode)?;
        let stays = log.device.create(Create::new(64 * PAGE))?;
        check_eq!(log.device.log_start(stays)?, 64);
        log.clear_all()?;
        log.write(1);
        check_eq!(log.shown("reeve-logging")?, Some("2".into()));
        log.device.destroy(log.handle)?;
        check_eq!(log.shown("reeve-logging")?, Some("1".into()));
        let left = log.device.log_info(stays)?.dirty * PAGE / 1024;
        check_eq!(
            log.shown("reeve-dirty-system")?,
            Some(format!("{left} KiB"))
        );
        check_eq!(log.shown("reeve-write-faults")?, Some("0".into()));
        refused(log.device.log_get(log.handle, N, &mut words), Errno::ENOENT)?;
        refused(log.device.log_stop(log.handle), Errno::ENOENT)?;
        // One that takes its place has none.
        let next = log.device.create(Create::new(N * PAGE))?;
        check!(!log.device.info(next)?.is(sys::REEVE_BO_LOGGING));
        refused(log.device.log_info(next), Errno::ENOENT)?;
    }
    Ok(())
}

/// Handles and the mode are those of the open file, whichever process uses it; another has its own.
fn one_for_all_who_have_the_file() -> Outcome {
    let log = Log::new(MANUAL)?;
    log.write(4);
    let child = Child::run(|_| {
        check_eq!(log.device.log_mode()?, (MANUAL, 3));
        // The log stays, and its bits.
        check_eq!(log.device.log_start(log.handle)?, N);
        check_eq!(log.dirty()?, set([4]));
        log.write(5);
        check_eq!(log.clear(0, 64, &[1 << 4])?, 1);
        check_eq!(log.device.set_log_mode(INITIALLY_SET)?, (INITIALLY_SET, 3));
        Ok(())
    })?;
    child.join()?;
    check_eq!(log.dirty()?, set([5]));
    check_eq!(log.device.log_mode()?, (INITIALLY_SET, 3));
    check_eq!(log.info()?.mode, MANUAL);
    let other = open()?;
    check_eq!(other.log_mode()?, (LEGACY, 3));
    let mut words = [7; 3];
    refused(other.log_start(log.handle), Errno::ENOENT)?;
    refused(other.log_get(log.handle, N, &mut words), Errno::ENOENT)?;
    refused(other.log_clear(log.handle, 0, N, &words), Errno::ENOENT)?;
    refused(other.log_stop(log.handle), Errno::ENOENT)?;
    check_eq!(words, [7; 3]);
    check_eq!(log.dirty()?, set([5]));
    Ok(())
}

/// Of several starts at once one makes the log, and of several stops one ends it.
fn one_of_several_starts() -> Outcome {
    const THREADS: usize = 4;
    let log = Log::new(MANUAL)?;
    log.device.log_stop(log.handle)?;
    let at_once = |call: &(dyn Fn() -> std::io::Result<u64> + Sync)| {
        let barrier = Barrier::new(THREADS);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        call()
                    })
                })
                .collect();
            let ends = threads.into_iter().map(|thread| thread.join());
            ends.map(|end| end.unwrap_or_else(|_| Err(std::io::Error::other("it panicked"))))
                .collect::<Vec<_>>()
        })
    };
    for round in 0..12 {
        let mode = MODES[round % MODES.len()];
        log.device.set_log_mode(mode)?;
        for start in at_once(&|| log.device.log_start(log.handle)) {
            check_eq!(start?, N);
        }
        let fresh = if mode == INITIALLY_SET { N } else { 0 };
        check_eq!((log.info()?.mode, log.info()?.dirty), (mode, fresh));
        let shown = format!("{} KiB", fresh * PAGE / 1024);
        check_eq!(log.shown("reeve-dirty-system")?, Some(shown));
        check_eq!(log.shown("reeve-logging")?, Some("1".into()));
        log.clear_all()?;
        log.write(77);
        check_eq!(log.dirty()?, set([77]));
        let mut stopped = 0;
        for stop in at_once(&|| log.device.log_stop(log.handle)) {
            match stop {
                Ok(pages) => {
                    check_eq!(pages, N);
                    stopped += 1;
                }
                Err(err) => check_eq!(errno(&err), Errno::ENOENT),
            }
        }
        check_eq!(stopped, 1);
        check_eq!(log.shown("reeve-logging")?, None);
    }
    Ok(())
}

/// What a call said that needs a log. `None`: there was none.
fn if_it_logs<T>(result: std::io::Result<T>) -> Outcome<Option<T>> {
    match result {
        Ok(said) => Ok(Some(said)),
        Err(err) if errno(&err) == Errno::ENOENT => Ok(None),
        Err(err) => Err(err.into()),
    }
}

/// Gets, clears and looks at a log that starts, stops and moves meanwhile: each is about one log or none.
fn calls_while_logs_come_and_go() -> Outcome {
    let log = Log::new(MANUAL)?;
    let ends = AtomicBool::new(false);
    thread::scope(|scope| -> Outcome {
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let (log, ends) = (&log, &ends);
                scope.spawn(move || -> Outcome {
                    while !ends.load(Relaxed) {
                        let mut words = [0; 3];
                        let got = log.device.log_get(log.handle, N, &mut words);
                        if let Some(dirty) = if_it_logs(got)? {
                            check_eq!(dirty, pages_of(&words).count() as u64);
                        }
                        let mask = [u64::MAX << (8 * caller); 3];
                        if_it_logs(log.device.log_clear(log.handle, 0, N, &mask))?;
                        if let Some(info) = if_it_logs(log.device.log_info(log.handle))? {
                            check!(info.pages == N && info.dirty <= N, "{info:?}");
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let result = (0..40).try_for_each(|round: u64| {
            log.start(MODES[round as usize % MODES.len()])?;
            log.write(round);
            if round % 4 == 0 {
                log.device.swapout(log.handle)?;
            }
            log.write(round + 64);
            log.device.log_stop(log.handle)?;
            Ok(())
        });
        ends.store(true, Relaxed);
        for caller in callers {
            match caller.join() {
                Ok(said) => said?,
                Err(_) => check!(false, "a caller panicked"),
            }
        }
        result
    })?;
    log.start(MANUAL)?;
    log.write(99);
    check_eq!(log.dirty()?, set([99]));
    Ok(())
}

/// A task that dies in a get that clears has its bits in the bitmap, or they are in the log.
fn a_killed_get_takes_no_bits() -> Outcome {
    let mut random = Random::new(41);
    let log = Log::new(LEGACY)?;
    let bitmap = Log::prepared(Create::new(2 * PAGE))?;
    // Over the end of a page: half of it may be written.
    let at = STEP - 8;
    let all: BTreeSet<u64> = (0..N).collect();
    for _ in 0..30 {
        bitmap.device.unpopulate(bitmap.handle)?;
        (0..N).for_each(|page| log.write(page));
        let child = Child::run(|_| {
            let mut get = log_get(log.handle, N);
            memory::log_get(&log.device, &mut get, Words::Mapped(&bitmap.mapping, at))?;
            Ok(())
        })?;
        for _ in 0..random.below(6) {
            thread::yield_now();
        }
        // It kills, and waits for the end.
        drop(child);
        let mut bytes = [0; 24];
        bitmap.mapping.read(at, &mut bytes);
        let handed_out: Vec<u64> = bytes
            .chunks(8)
            .map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap_or_default()))
            .collect();
        let mut found = log.dirty()?;
        found.extend(pages_of(&handed_out));
        check!(found == all, "{} pages", found.len());
    }
    Ok(())
}

/// Pages whose bits are a page.
const PART: u64 = 8 * PAGE;

/// Most of a bitmap is zeros that are nowhere in the log.
fn large_logs() -> Outcome {
    let pages = 3 * PART + 65;
    let count = pages.div_ceil(64) as usize;
    let device = open()?;
    // Nothing of it is ever in memory.
    let handle = device.create(Create::new(pages * PAGE))?;
    device.set_log_mode(INITIALLY_SET)?;
    check_eq!(device.log_start(handle)?, pages);
    let mut words = vec![7; count];
    check_eq!(device.log_get(handle, pages, &mut words)?, pages);
    check!(words[..count - 1].iter().all(|word| *word == u64::MAX) && words[count - 1] == 1);
    let bytes = device.log_info(handle)?.bytes;
    let most = 8 * (count as u64 + 4) + 200;
    check!(bytes <= most, "{bytes} bytes, not {most}");

    let mut region = Region::new(count * 8 / STEP + 2)?;
    let mut left = pages;
    for (round, keep) in [
        set([3, PART - 1, PART, 2 * PART + 64, 3 * PART + 64]),
        set([PART, 2 * PART + 64, 3 * PART + 64]),
        set([2 * PART + 64]),
        set([]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut mask = vec![u64::MAX; count];
        for page in &keep {
            mask[*page as usize / 64] &= !(1 << (page % 64));
        }
        let cleared = device.log_clear(handle, 0, pages, &mask)?;
        check_eq!(cleared, left - keep.len() as u64);
        left = keep.len() as u64;
        words.fill(u64::MAX);
        check_eq!(device.log_get(handle, pages, &mut words)?, left);
        check!(pages_of(&words).eq(keep.iter().copied()), "round {round}");
        // Not at a word, and not a byte before or behind it.
        region.bytes().fill(0x5a);
        let mut get = log_get(handle, pages);
        let place = Words::BeforeHole(&mut region, count * 8 + 3);
        memory::log_get(&device, &mut get, place)?;
        check_eq!(get.dirty, left);
        let bytes = region.bytes();
        let (before, rest) = bytes.split_at(bytes.len() - count * 8 - 3);
        let (found, behind) = rest.split_at(count * 8);
        check!(before.iter().chain(behind).all(|byte| *byte == 0x5a));
        let found = found.chunks(8);
        let found: Vec<u64> = found
            .map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap_or_default()))
            .collect();
        check!(found == words, "round {round}");
        // Memory that ends too early, or that there is none of.
        for there in [STEP - 9, STEP / 2 + 3, STEP / 2, 9, 8, 1].map(|less| count * 8 - less) {
            let mut get = log_get(handle, pages);
            let place = Words::BeforeHole(&mut region, there);
            refused(memory::log_get(&device, &mut get, place), Errno::EFAULT)?;
            check_eq!(device.log_info(handle)?.dirty, left);
        }
        for nowhere in NOWHERE {
            let mut get = log_get(handle, pages);
            let result = memory::log_get(&device, &mut get, Words::Nowhere(nowhere));
            refused(result, Errno::EFAULT)?;
            check_eq!(device.log_info(handle)?.dirty, left);
        }
    }
    Ok(())
}

fn large_logs_that_a_get_clears() -> Outcome {
    let log = Log::prepared(Create::new((PART + 130) * PAGE))?;
    log.start(LEGACY)?;
    let dirty = set([5, PART - 1, PART, PART + 129]);
    let write_all = || dirty.iter().for_each(|page| log.write(*page));
    let count = log.pages.div_ceil(64) as usize;
    let mut region = Region::new(count * 8 / STEP + 2)?;
    for _ in 0..2 {
        write_all();
        for there in [32, STEP, STEP + 17, count * 8 - 1] {
            let mut get = log_get(log.handle, log.pages);
            let place = Words::BeforeHole(&mut region, there);
            refused(memory::log_get(&log.device, &mut get, place), Errno::EFAULT)?;
            check_eq!(log.info()?.dirty, 4);
        }
        let before = log.info()?.write_faults;
        check_eq!(log.dirty()?, dirty);
        check_eq!(log.dirty()?, set([]));
        // They were protected.
        write_all();
        check_eq!(log.info()?.write_faults, before + 4);
        check_eq!(log.dirty()?, dirty);
    }
    Ok(())
}
