// SPDX-License-Identifier: GPL-2.0-or-later

//! Whatever the writers do and whatever fails: the copy is the source at every hand-over.

use std::time::Duration;

use proptest::prelude::*;

use super::model::*;
use super::pair::*;
use super::Mistake;
use crate::AtLimit;
use crate::Failed;
use crate::FirstSync;
use crate::Kind;
use crate::Limits;
use crate::LogMode;
use crate::Options;
use crate::Received;
use crate::Statistics;

/// How an attempt went, on both sides.
pub(super) struct Attempt {
    pub(super) sent: Result<Statistics, Failed>,
    pub(super) received: Result<Received, crate::Failure>,
}

/// Moves the world's regions.
pub(super) fn attempt(world: &Shared, options: &Options, user: User) -> Attempt {
    attempt_with(world, options, user, &Limits::default())
}

pub(super) fn attempt_with(
    world: &Shared,
    options: &Options,
    mut user: User,
    limits: &Limits,
) -> Attempt {
    let mut sink = ModelSink(world.clone());
    let mut pair = Pair::new(world, &mut sink, limits);
    let sent = crate::send(
        &mut ModelSource::new(world),
        &mut ModelWriters(world.clone()),
        &mut pair,
        &ModelClock(world.clone()),
        options,
        &mut user,
    );
    Attempt {
        sent,
        received: pair.close(),
    }
}

/// Checks a migration that has to have succeeded.
pub(super) fn check_moved(world: &Shared, attempt: &Attempt) -> Result<(), String> {
    if let Err(failed) = &attempt.sent {
        return Err(format!("sender: {failed}"));
    }
    if let Err(failure) = &attempt.received {
        return Err(format!("receiver: {failure}"));
    }
    let world = world.borrow();
    match world.difference() {
        Some(page) => Err(format!("region and page {page:?} differ")),
        None if !world.unsynced.is_empty() => Err(format!("unsynced: {:?}", world.unsynced)),
        None if world.early => Err("the source was freed too early".to_owned()),
        None if world.twice => Err("both sides had it".to_owned()),
        None if !(world.released && world.kept && !world.may_write()) => {
            Err("not handed over".to_owned())
        }
        None => Ok(()),
    }
}

/// Checks that a migration which failed has left nothing behind.
pub(super) fn check_undone(world: &Shared, attempt: &Attempt) -> Result<(), String> {
    let Err(failed) = &attempt.sent else {
        return Err("it succeeded".to_owned());
    };
    let world = world.borrow();
    // Those that hold writers back stay until it is known who has the regions.
    let held = world.fences && failed.failure.kind() == Kind::AcknowledgementLost;
    if !held && world.regions.iter().any(|region| region.log.is_some()) {
        return Err("a log is on".to_owned());
    }
    if world.twice {
        return Err("both sides had it".to_owned());
    }
    if world.released || !world.unsynced.is_empty() {
        return Err(format!("released, or unsynced: {:?}", world.unsynced));
    }
    if failed.failure.kind() == Kind::AcknowledgementLost {
        // Never two that run, never none that is whole.
        return match (world.may_write(), world.kept) {
            (false, true) => Ok(()),
            other => Err(format!("writing, kept: {other:?}")),
        };
    }
    if world.regions.iter().any(|region| region.fenced) {
        return Err("a fence is left".to_owned());
    }
    if !world.running || world.slowed != 0 || world.kept || !world.copies.is_empty() {
        return Err("not as before".to_owned());
    }
    match &attempt.received {
        Err(_) if world.discards == 1 => Ok(()),
        other => Err(format!("receiver: {other:?}, {}", world.discards)),
    }
}

pub(super) fn modes() -> impl Strategy<Value = LogMode> {
    prop_oneof![
        Just(LogMode::Legacy),
        Just(LogMode::Manual),
        Just(LogMode::InitiallySet)
    ]
}

fn syncs() -> impl Strategy<Value = FirstSync> {
    prop_oneof![
        Just(FirstSync::Auto),
        Just(FirstSync::Never),
        Just(FirstSync::Always)
    ]
}

pub(super) fn sizes() -> impl Strategy<Value = Vec<u64>> {
    let size = prop_oneof![8 => 1..500_u64, 1 => Just(64), 1 => 1000..10_000_u64];
    prop::collection::vec(size, 1..4)
}

pub(super) fn loads() -> impl Strategy<Value = Load> {
    (0..=255_u8, 1..8_u8, 0..4_u8).prop_map(|(often, pages, purges)| Load {
        often,
        pages,
        purges,
    })
}

/// Options with which every migration comes to an end.
pub(super) fn options() -> impl Strategy<Value = Options> {
    (syncs(), 0..12_u32, any::<bool>(), 0..2000_u64).prop_map(|(first_sync, shift, slow, limit)| {
        Options {
            first_sync,
            clear_shift: shift,
            downtime: Duration::from_millis(1),
            limit: Some(Duration::from_millis(limit)),
            at_limit: AtLimit::Force,
            bandwidth: slow.then_some(100_000),
            ..Options::default()
        }
    })
}

proptest! {
    #[test]
    fn the_copy_is_the_source_at_every_hand_over(
        seed: u64, mode in modes(), sizes in sizes(), load in loads(), options in options(), fences: bool,
    ) {
        let world = World::new(seed, &sizes, mode, load);
        world.borrow_mut().fences = fences;
        let attempt = attempt(&world, &options, User::CONTENT);
        prop_assert_eq!(check_moved(&world, &attempt), Ok(()));
    }

    #[test]
    fn what_failed_can_be_started_again_and_is_then_whole(
        seed: u64, mode in modes(), sizes in sizes(), load in loads(), options in options(),
        call in 0..CALLS.len(), after in prop_oneof![0..8_u64, 0..200_u64], fences: bool,
    ) {
        let world = World::new(seed, &sizes, mode, load);
        world.borrow_mut().fences = fences;
        world.borrow_mut().fail = Some((CALLS[call], after));
        let first = attempt(&world, &options, User::CONTENT);
        if world.borrow().fail.is_some() {
            // It never came to that.
            prop_assert_eq!(check_moved(&world, &first), Ok(()));
            return Ok(());
        }
        prop_assert_eq!(check_undone(&world, &first), Ok(()));
        let lost = matches!(&first.sent, Err(failed) if failed.failure.kind() == Kind::AcknowledgementLost);
        if !lost {
            let again = attempt(&world, &options, User::CONTENT);
            prop_assert_eq!(check_moved(&world, &again), Ok(()));
        }
    }
}

pub(super) const CALLS: [Call; 11] = [
    Call::Start,
    Call::Get,
    Call::Clear,
    Call::Read,
    Call::Look,
    Call::Send,
    Call::Answer,
    Call::Create,
    Call::Write,
    Call::Keep,
    Call::Stop,
];

/// Every mode with every kind of first sync.
fn ways() -> impl Iterator<Item = (LogMode, FirstSync)> {
    let modes = [LogMode::Legacy, LogMode::Manual, LogMode::InitiallySet];
    let syncs = [FirstSync::Auto, FirstSync::Never, FirstSync::Always];
    modes
        .into_iter()
        .flat_map(move |mode| syncs.map(|sync| (mode, sync)))
}

/// Moves without any writes, and checks what that takes.
fn idle(sizes: &[u64], mistake: Option<Mistake>) -> Result<(), String> {
    for (mode, first_sync) in ways() {
        let world = World::new(sizes[0], sizes, mode, Load::NONE);
        let options = Options {
            first_sync,
            clear_shift: 9,
            mistake,
            ..Options::default()
        };
        let attempt = attempt(&world, &options, User::CONTENT);
        check_moved(&world, &attempt).map_err(|err| format!("{mode:?} {first_sync:?}: {err}"))?;
        let statistics = attempt.sent.map_err(|failed| failed.to_string())?;
        let skipped = match first_sync {
            FirstSync::Auto => mode == LogMode::InitiallySet,
            FirstSync::Never => true,
            FirstSync::Always => false,
        };
        let found = (
            statistics.first_sync_skipped,
            statistics.syncs,
            statistics.rounds.len(),
            statistics.rounds[1].pages,
            statistics.rounds[0].left,
        );
        if found != (skipped, if skipped { 2 } else { 3 }, 2, 0, 0) {
            return Err(format!("{mode:?} {first_sync:?}: {found:?}"));
        }
    }
    Ok(())
}

#[test]
fn without_writes_round_2_is_empty() {
    for sizes in [
        &[1][..],
        &[63, 64, 65],
        &[130, 1000, 1],
        &[513, 512, 511],
        &[100_000],
    ] {
        assert_eq!(idle(sizes, None), Ok(()), "{sizes:?}");
    }
}

#[test]
fn large_regions_are_whole() {
    let load = Load {
        often: 200,
        pages: 20,
        purges: 0,
    };
    for (mode, first_sync) in ways() {
        let world = World::new(1, &[100_000, 99_999], mode, load);
        let options = Options {
            first_sync,
            limit: Some(Duration::from_secs(30)),
            at_limit: AtLimit::Force,
            ..Options::default()
        };
        let attempt = attempt(&world, &options, User::CONTENT);
        assert_eq!(check_moved(&world, &attempt), Ok(()), "{mode:?}");
    }
}

/// Runs a mistake on many worlds. Returns in how many it was found.
fn found(mistake: Option<Mistake>) -> usize {
    let load = Load {
        often: 120,
        pages: 4,
        purges: 1,
    };
    let worlds = (0..40_u64).flat_map(|seed| ways().map(move |way| (seed, way)));
    let red = worlds.filter(|(seed, (mode, first_sync))| {
        let world = World::new(*seed, &[300, 70], *mode, load);
        world.borrow_mut().zeros_ignored = mistake == Some(Mistake::ZerosIgnored);
        world.borrow_mut().fences = seed % 2 == 0;
        let options = Options {
            first_sync: *first_sync,
            clear_shift: 7,
            downtime: Duration::from_micros(100),
            limit: Some(Duration::from_millis(200)),
            at_limit: AtLimit::Force,
            mistake,
            ..Options::default()
        };
        let attempt = attempt(&world, &options, User::CONTENT);
        check_moved(&world, &attempt).is_err()
    });
    red.count()
}

#[test]
fn deliberate_mistakes_are_found() {
    assert_eq!(found(None), 0);
    assert_eq!(idle(&[130, 70], None), Ok(()));
    for mistake in [
        Mistake::ReadBeforeClear,
        Mistake::DroppedBits,
        Mistake::FullMask,
        Mistake::ZerosIgnored,
        Mistake::LogsOffFirst,
    ] {
        assert!(found(Some(mistake)) > 0, "{mistake:?}");
    }
    // This one loses nothing; it sends everything twice.
    assert!(idle(&[130, 70], Some(Mistake::EmptyFirstMask)).is_err());
}
