// SPDX-License-Identifier: GPL-2.0-or-later

//! The ways to end, and what the messages say.

use std::io;
use std::time::Duration;

use super::model::*;
use super::pair::*;
use super::whole::attempt;
use super::whole::attempt_with;
use super::whole::check_moved;
use super::whole::check_undone;
use super::Mistake;
use crate::AtLimit;
use crate::Kind;
use crate::Limits;
use crate::LogMode;
use crate::Options;
use crate::Progress;
use crate::Request;
use crate::Stage;
use crate::Watch;

/// More is written than can be sent.
const FAST: Load = Load {
    often: 255,
    pages: 40,
    purges: 0,
};

fn world(load: Load) -> Shared {
    let world = World::new(3, &[1000, 130], LogMode::InitiallySet, load);
    for region in &mut world.borrow_mut().regions {
        region.content = true;
        region.discarded.fill(false);
    }
    world
}

/// An attempt that has to fail in this way, leave nothing, say this, and succeed the second time.
#[track_caller]
fn fails(world: &Shared, options: &Options, user: User, kind: Kind, text: &str) {
    let first = attempt(world, options, user);
    assert_eq!(check_undone(world, &first), Ok(()), "{text}");
    let failed = first.sent.unwrap_err();
    assert_eq!(
        (failed.failure.kind(), failed.to_string().as_str()),
        (kind, text)
    );
    let options = Options {
        at_limit: AtLimit::Force,
        ..options.clone()
    };
    world.borrow_mut().discards = 0;
    let second = attempt(world, &options, User::CONTENT);
    assert!(second.sent.is_ok() && second.received.is_ok(), "{text}");
    assert_eq!(world.borrow().difference(), None);
}

fn forced() -> Options {
    Options {
        limit: Some(Duration::from_millis(800)),
        at_limit: AtLimit::Force,
        downtime: Duration::from_millis(1),
        ..Options::default()
    }
}

#[test]
fn failures_say_side_round_and_cause() {
    for (call, after, kind, text) in [
        (
            Call::Start,
            1,
            Kind::Local,
            "source, setup: could not switch on the log of object 11: Start fails",
        ),
        (
            Call::Create,
            1,
            Kind::Refused,
            "receiver, setup: refused: could not make a copy of object 11: Create fails",
        ),
        (
            Call::Read,
            1,
            Kind::Local,
            "source, round 1: could not read object 11: Read fails",
        ),
        (
            Call::Clear,
            1,
            Kind::Local,
            "source, round 1: could not clear the log of object 11: Clear fails",
        ),
        (
            Call::Write,
            2,
            Kind::Refused,
            "receiver, round 1: refused: could not write object 10: Write fails",
        ),
        (
            Call::Get,
            0,
            Kind::Local,
            "source, round 1: could not get the log of object 10: Get fails",
        ),
        (
            Call::Send,
            0,
            Kind::Lost,
            "connection, setup: the other side is gone",
        ),
        (
            Call::Send,
            5,
            Kind::Lost,
            "connection, round 1: the other side is gone",
        ),
        (
            Call::Answer,
            4,
            Kind::Lost,
            "connection, round 1: the other side is silent",
        ),
        (
            Call::Keep,
            0,
            Kind::Refused,
            "receiver, hand-over: refused: could not keep the objects: Keep fails",
        ),
    ] {
        let world = world(Load::NONE);
        world.borrow_mut().fail = Some((call, after));
        fails(&world, &forced(), User::CONTENT, kind, text);
    }
}

#[test]
fn cancel_in_the_first_and_in_the_last_round() {
    let user = |after| User {
        after,
        wants: Request::Cancel,
    };
    fails(
        &world(FAST),
        &forced(),
        user(2),
        Kind::Cancelled,
        "source, round 1: cancelled",
    );
    // Counts the requests up to the last round, then cancels in it.
    let last = (0..2000).find_map(|after| {
        let world = world(FAST);
        let failed = attempt(&world, &forced(), user(after)).sent.err()?;
        matches!(failed.failure.stage, Stage::LastRound(_)).then_some(after)
    });
    let world = world(FAST);
    let first = attempt(&world, &forced(), user(last.unwrap()));
    assert_eq!(check_undone(&world, &first), Ok(()));
    let failed = first.sent.unwrap_err();
    assert_eq!(failed.failure.kind(), Kind::Cancelled);
    assert!(
        failed.to_string().ends_with(", the last: cancelled"),
        "{failed}"
    );
}

#[test]
fn limits_cancel_or_force() {
    let cancel = Options {
        at_limit: AtLimit::Cancel,
        ..forced()
    };
    let world1 = world(FAST);
    let failed = attempt(&world1, &cancel, User::CONTENT).sent.unwrap_err();
    assert_eq!(failed.failure.kind(), Kind::Cancelled);
    assert!(
        failed.to_string().ends_with("the time limit was reached"),
        "{failed}"
    );
    let world2 = world(FAST);
    let statistics = attempt(&world2, &forced(), User::CONTENT).sent.unwrap();
    assert!(statistics.forced && statistics.moved);
    assert!(statistics.seconds >= 0.8, "{statistics:?}");
    let force = User {
        after: 1,
        wants: Request::Force,
    };
    let world3 = world(FAST);
    let statistics = attempt(&world3, &Options::default(), force).sent.unwrap();
    assert!(statistics.forced);
    assert_eq!(world3.borrow().difference(), None);
}

#[test]
fn a_lost_acknowledgement_leaves_the_source_stopped_and_whole() {
    // The last answer of all, whichever number it has.
    let answers = (0..100).find_map(|after| {
        let world = world(Load::NONE);
        world.borrow_mut().fail = Some((Call::Answer, after));
        let first = attempt(&world, &forced(), User::CONTENT);
        let failed = first.sent.as_ref().err()?;
        (failed.failure.kind() == Kind::AcknowledgementLost).then(|| {
            assert_eq!(check_undone(&world, &first), Ok(()));
            assert_eq!(world.borrow().difference(), None);
            assert!(first.received.is_ok());
            assert_eq!(
                failed.to_string(),
                "connection, hand-over: no acknowledgement came: the other side is silent"
            );
        })
    });
    assert!(answers.is_some());
}

#[test]
fn receivers_have_limits() {
    for (limits, text) in [
        (
            Limits {
                regions: 1,
                ..Limits::default()
            },
            "at most 1 objects are taken, not 2",
        ),
        (
            Limits {
                bytes: 1000 * 64,
                ..Limits::default()
            },
            "at most 64000 bytes are taken",
        ),
    ] {
        let world = world(Load::NONE);
        let first = attempt_with(&world, &forced(), User::CONTENT, &limits);
        assert_eq!(check_undone(&world, &first), Ok(()), "{text}");
        let failed = first.sent.unwrap_err();
        assert_eq!(failed.failure.kind(), Kind::Refused);
        assert!(failed.to_string().ends_with(text), "{failed}");
    }
}

#[test]
fn writers_that_are_too_fast_are_slowed_until_it_converges() {
    let world = World::new(
        3,
        &[20_000],
        LogMode::InitiallySet,
        Load {
            often: 255,
            pages: 4,
            purges: 0,
        },
    );
    world.borrow_mut().rate = 40_000;
    let options = Options {
        downtime: Duration::from_millis(500),
        ..Options::default()
    };
    let statistics = attempt(&world, &options, User::CONTENT).sent.unwrap();
    assert!(statistics.slowed >= 20, "{statistics:?}");
    assert!(!statistics.forced);
    assert_eq!(world.borrow().difference(), None);
}

/// A user who looks at how far it is.
#[derive(Default)]
struct Looking(Vec<Progress>);

impl Watch for Looking {
    fn request(&mut self) -> Request {
        Request::Continue
    }

    fn progress(&mut self, progress: &Progress) {
        self.0.push(*progress);
    }
}

/// A user who notes when the progress was told.
struct Timed(Shared, Vec<Duration>);

impl Watch for Timed {
    fn request(&mut self) -> Request {
        Request::Continue
    }

    fn progress(&mut self, _progress: &Progress) {
        self.1.push(self.0.borrow().now);
    }
}

#[test]
fn progress_is_told_five_times_a_second_at_most() {
    // Frames that take much less than that, about as much, and more. A frame has up to 64 KiB.
    for rate in [4 << 20, 400_000, 40_000] {
        let world = World::new(3, &[40_000], LogMode::InitiallySet, FAST);
        world.borrow_mut().regions[0].content = true;
        world.borrow_mut().rate = rate;
        let mut sink = ModelSink(world.clone());
        let limits = Limits::default();
        let mut user = Timed(world.clone(), Vec::new());
        let options = Options {
            limit: Some(Duration::from_secs(70)),
            at_limit: AtLimit::Force,
            ..Options::default()
        };
        crate::send(
            &mut ModelSource::new(&world),
            &mut ModelWriters(world.clone()),
            &mut Pair::new(&world, &mut sink, &limits),
            &ModelClock(world.clone()),
            &options,
            &mut user,
        )
        .unwrap();
        let gaps: Vec<Duration> = user.1.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*least >= Duration::from_millis(200), "{rate}: {least:?}");
        // It is not told less often either than frames and rounds end.
        let frame = Duration::from_secs_f64(2.0 * 65_536.0 / rate as f64);
        assert!(
            *most <= Duration::from_millis(250) + frame,
            "{rate}: {most:?}"
        );
        assert!(gaps.len() >= 4, "{rate}: {gaps:?}");
    }
}

/// Moves a region whose pages take long to read. Returns the longest that one side heard nothing of the other.
fn silence(slow: [Duration; 2], mistake: Option<Mistake>) -> Duration {
    let world = World::new(3, &[90_000], LogMode::InitiallySet, Load::NONE);
    world.borrow_mut().regions[0].content = true;
    world.borrow_mut().slow = slow;
    // Three frames of checksums.
    world.borrow_mut().room = Some(150_000);
    let options = Options {
        mistake,
        ..Options::default()
    };
    let limits = Limits {
        mistake,
        ..Limits::default()
    };
    let attempt = attempt_with(&world, &options, User::CONTENT, &limits);
    assert_eq!(check_moved(&world, &attempt), Ok(()));
    let silence = world.borrow().silence;
    silence
}

#[test]
fn a_side_that_reads_slowly_is_heard_all_the_same() {
    // 1024 pages at the sender, one at the receiver.
    let sender = [Duration::from_secs(3), Duration::ZERO];
    let receiver = [Duration::ZERO, Duration::from_millis(3)];
    let both = [Duration::from_secs(3), Duration::from_millis(3)];
    for slow in [[Duration::ZERO; 2], sender, receiver, both] {
        let longest = silence(slow, None);
        assert!(longest < Duration::from_secs(5), "{slow:?}: {longest:?}");
    }
    for (slow, mistake) in [
        (sender, Mistake::SilentSender),
        (receiver, Mistake::SilentReceiver),
        (receiver, Mistake::TooFarAhead),
    ] {
        let longest = silence(slow, Some(mistake));
        assert!(longest > crate::SILENCE, "{mistake:?}: {longest:?}");
    }
}

#[test]
fn progress_says_whether_it_will_end() {
    for (load, ends) in [(FAST, false), (Load::NONE, true)] {
        let world = world(load);
        // So slow that there are reports.
        world.borrow_mut().rate = 40_000;
        let mut sink = ModelSink(world.clone());
        let limits = Limits::default();
        let mut pair = Pair::new(&world, &mut sink, &limits);
        let mut user = Looking::default();
        let options = Options {
            limit: Some(Duration::from_secs(12)),
            ..forced()
        };
        crate::send(
            &mut ModelSource::new(&world),
            &mut ModelWriters(world.clone()),
            &mut pair,
            &ModelClock(world.clone()),
            &options,
            &mut user,
        )
        .unwrap();
        let said = |what: Option<bool>| user.0.iter().any(|now| now.converges == what);
        // Before a round was measured it is not known.
        assert_eq!(user.0[0].converges, None);
        assert_eq!((said(Some(false)), said(None)), (!ends, true), "{load:?}");
        for (now, next) in user.0.iter().zip(&user.0[1..]) {
            assert!(now.bytes <= next.bytes && now.round <= next.round);
        }
        assert!(user.0[0].left <= 1130 && user.0[0].round == 1);
    }
}

#[test]
fn discarded_pages_are_not_sent() {
    let world = world(Load::NONE);
    for page in 0..1000 {
        world.borrow_mut().regions[0].discarded[page] = page % 3 == 0;
    }
    let statistics = attempt(&world, &Options::default(), User::CONTENT)
        .sent
        .unwrap();
    assert_eq!(statistics.rounds[0].pages, 1130 - 334);
    assert_eq!(world.borrow().difference(), None);
}

#[test]
fn the_bandwidth_limit_holds() {
    let world = world(Load::NONE);
    let options = Options {
        bandwidth: Some(20_000),
        ..Options::default()
    };
    let statistics = attempt(&world, &options, User::CONTENT).sent.unwrap();
    let round = &statistics.rounds[0];
    assert!(round.bytes as f64 / round.seconds <= 21_000.0, "{round:?}");
    assert!(round.bytes as f64 / round.seconds >= 15_000.0, "{round:?}");
}

#[test]
fn odd_shifts_are_clamped_with_a_warning() {
    let world = world(Load::NONE);
    let options = Options {
        clear_shift: 1,
        ..Options::default()
    };
    let statistics = attempt(&world, &options, User::CONTENT).sent.unwrap();
    assert_eq!(
        statistics.warnings,
        ["chunks of 2^1 pages cannot be; 2^6 is used"]
    );
    assert_eq!(
        statistics.clears,
        1000_u64.div_ceil(64) + 130_u64.div_ceil(64)
    );
    assert!(serde_json::to_string(&statistics)
        .unwrap()
        .contains("\"first_sync_skipped\":true"));
}

#[test]
fn broken_connections_have_words() {
    use crate::Cause;
    let text = |kind: io::ErrorKind| Cause::Lost(kind.into()).to_string();
    assert_eq!(text(io::ErrorKind::TimedOut), "the other side is silent");
    assert_eq!(text(io::ErrorKind::WouldBlock), "the other side is silent");
    assert_eq!(
        text(io::ErrorKind::ConnectionReset),
        "the other side is gone"
    );
}
