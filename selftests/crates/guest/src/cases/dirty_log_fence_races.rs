// SPDX-License-Identifier: GPL-2.0-or-later

//! Fences that come and go before several writers. `REEVE_SEED` and `REEVE_STEPS` are as for the races of the log.

use std::thread;

use reeve_uapi::Create;

use crate::process::Child;
use crate::random::Random;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::Outcome;

use super::dirty_log::Log;
use super::dirty_log::MANUAL;
use super::dirty_log::MODES;
use super::dirty_log::N;
use super::dirty_log::STEP;
use super::dirty_log_fence::fence;
use super::dirty_log_fence::PATIENCE;
use super::dirty_log_races::begin;
use super::dirty_log_races::creates;
use super::dirty_log_races::move_pages;
use super::dirty_log_races::steps;
use super::dirty_log_races::words_of;
use super::dirty_log_races::write;
use super::dirty_log_races::WRITERS;

cases!("dirty_log";
    fences_in_quick_succession,
    writers_against_fences,
    writers_against_fences_and_swapouts,
    writers_against_fences_and_changes_of_mappings,
);

/// Fences come and go before writers that do all that writers do. Between two looks behind a fence nothing changes, and
/// without one the writers get on.
fn against(moves: bool, changes: bool, usual: u64) -> Outcome {
    let seed = begin()?;
    let given = steps();
    for (number, create) in creates().into_iter().enumerate() {
        for mode in MODES {
            if given.is_none() && (seed + u64::from(mode)) % 4 != number as u64 {
                continue;
            }
            hold(create, mode, (moves, changes), seed, given.unwrap_or(usual)).map_err(|stop| {
                stop.during(format!("REEVE_SEED={seed}, mode {mode}, {create:?}"))
            })?;
        }
    }
    Ok(())
}

fn hold(
    create: Create,
    mode: u32,
    (moves, changes): (bool, bool),
    seed: u64,
    rounds: u64,
) -> Outcome {
    let log = Log::of(create, mode)?;
    let mut random = Random::new(seed);
    let writers = (0..WRITERS)
        .map(|writer| {
            let random = Random::new(random.next());
            Child::run_in_group(|_| write(&log, writer, random, u64::MAX, changes))
        })
        .collect::<Outcome<Vec<_>>>()?;
    let mover = match moves {
        false => None,
        true => {
            let random = Random::new(random.next());
            Some(Child::run(|_| move_pages(&log, random))?)
        }
    };
    let look = || -> Vec<[u8; 64]> { (0..log.pages).map(|page| words_of(&log, page)).collect() };
    let mut last = look();
    for round in 0..rounds {
        let gets_on = || Ok(look() != last);
        check!(
            until(PATIENCE, gets_on)?,
            "no writer gets on, round {round}"
        );
        let fences = fence(&log)?;
        let first = look();
        if random.below(2) == 0 {
            log.clear(0, 64, &[random.next()])?;
        }
        for _ in 0..2 {
            last = look();
            check!(first == last, "it changed behind a fence, round {round}");
        }
        drop(fences);
        for writer in &writers {
            check!(writer.is_running()?, "a writer ended");
        }
    }
    for writer in &writers {
        writer.kill_group();
    }
    if let Some(mover) = mover {
        mover.kill()?;
    }
    Ok(())
}

/// A store that has waited meets the next fence when it is tried again, and that is no error.
fn fences_in_quick_succession() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let writers = (0..WRITERS)
        .map(|writer| {
            Child::run(|_| {
                for count in 1_u64.. {
                    log.mapping
                        .write(writer as usize * STEP, &count.to_ne_bytes());
                }
                Ok(())
            })
        })
        .collect::<Outcome<Vec<_>>>()?;
    let look = || -> Vec<[u8; 64]> { (0..WRITERS).map(|page| words_of(&log, page)).collect() };
    for round in 0..steps().unwrap_or(300) {
        let fences = fence(&log)?;
        let before = look();
        thread::yield_now();
        check!(look() == before, "round {round}");
        drop(fences);
    }
    let before = look();
    let gets_on = || {
        Ok(look()
            .iter()
            .zip(&before)
            .all(|(now, before)| now != before))
    };
    check!(until(PATIENCE, gets_on)?, "a writer does not get on");
    writers.into_iter().try_for_each(Child::kill)
}

fn writers_against_fences() -> Outcome {
    against(false, false, 40)
}

fn writers_against_fences_and_swapouts() -> Outcome {
    against(true, false, 12)
}

fn writers_against_fences_and_changes_of_mappings() -> Outcome {
    against(true, true, 8)
}
