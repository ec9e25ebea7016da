// SPDX-License-Identifier: GPL-2.0-or-later

//! Connections that are lost anywhere, again and again, and taken up: the copy is the source at every hand-over, and both
//! sides are never in use at once, nor is none of them whole.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::model::*;
use super::pair::*;
use super::whole::attempt_with;
use super::whole::check_moved;
use super::whole::check_undone;
use super::whole::loads;
use super::whole::modes;
use super::whole::options;
use super::whole::sizes;
use super::whole::Attempt;
use super::whole::CALLS;
use super::Mistake;
use crate::receive;
use crate::wire::Frame;
use crate::wire::Hello;
use crate::wire::HEADER;
use crate::wire::HELLO;
use crate::Address;
use crate::AtLimit;
use crate::Cause;
use crate::Channel;
use crate::Failure;
use crate::Kind;
use crate::Limits;
use crate::Listener;
use crate::LogMode;
use crate::Options;
use crate::Received;
use crate::Request;
use crate::Resume;
use crate::Socket;

const ID: u128 = 0xfeed_beef;

/// How long both sides wait. The model's time passes at once.
const WINDOW: Duration = Duration::from_secs(600);

fn limits() -> Limits {
    Limits {
        resume: Some(WINDOW),
        ..Limits::default()
    }
}

fn resuming(options: &Options) -> Options {
    Options {
        resume: Some(Resume {
            window: WINDOW,
            id: ID,
        }),
        ..options.clone()
    }
}

/// An attempt whose connection can be taken up.
fn attempt(world: &Shared, options: &Options, user: User) -> Attempt {
    attempt_with(world, &resuming(options), user, &limits())
}

/// Whether the acknowledgement got lost for good, after which there is nothing to go on with.
fn is_lost_at_the_end(attempt: &Attempt) -> bool {
    matches!(&attempt.sent, Err(failed) if failed.failure.kind() == Kind::AcknowledgementLost)
}

proptest! {
    #[test]
    fn a_lost_connection_is_taken_up_and_the_copy_is_the_source(
        seed: u64, mode in modes(), sizes in sizes(), load in loads(), options in options(),
        lag in 0..20_usize, cuts in 1..12_u32, often_cut in prop_oneof![Just(4_u8), Just(30), Just(120)],
        fences: bool,
    ) {
        let world = World::new(seed, &sizes, mode, load);
        {
            let mut world = world.borrow_mut();
            (world.lag, world.cuts, world.often_cut) = (lag, cuts, often_cut);
            world.fences = fences;
        }
        let attempt = attempt(&world, &options, User::CONTENT);
        if matches!(&attempt.sent, Err(failed) if failed.failure.to_string().contains(", setup: ")) {
            // There was nothing yet that could have been taken up.
            prop_assert_eq!(check_undone(&world, &attempt), Ok(()));
        } else if is_lost_at_the_end(&attempt) {
            prop_assert_eq!(check_undone(&world, &attempt), Ok(()));
            prop_assert_eq!(world.borrow().difference(), None);
        } else {
            prop_assert_eq!(check_moved(&world, &attempt), Ok(()));
        }
    }

    #[test]
    fn what_fails_between_lost_connections_leaves_nothing(
        seed: u64, mode in modes(), sizes in sizes(), load in loads(), options in options(),
        lag in 0..20_usize, cuts in 1..40_u32, often_cut in prop_oneof![Just(10_u8), Just(60)],
        call in 0..CALLS.len(), after in prop_oneof![0..8_u64, 0..200_u64],
        cancelled in prop_oneof![Just(u64::MAX), 0..100_u64], fences: bool,
    ) {
        let world = World::new(seed, &sizes, mode, load);
        {
            let mut world = world.borrow_mut();
            (world.lag, world.cuts, world.often_cut) = (lag, cuts, often_cut);
            world.fences = fences;
            world.fail = Some((CALLS[call], after));
        }
        let user = User { after: cancelled, wants: Request::Cancel };
        let first = attempt(&world, &options, user);
        if first.sent.is_ok() {
            prop_assert_eq!(check_moved(&world, &first), Ok(()));
            return Ok(());
        }
        prop_assert_eq!(check_unmoved(&world, &first), Ok(()));
        if !is_lost_at_the_end(&first) {
            {
                let mut world = world.borrow_mut();
                (world.cuts, world.fail, world.discards) = (0, None, 0);
            }
            let again = attempt(&world, &options, User::CONTENT);
            prop_assert_eq!(check_moved(&world, &again), Ok(()));
        }
    }
}

/// What a migration that failed has left, also where the receiver never had the last frame.
fn check_unmoved(world: &Shared, attempt: &Attempt) -> Result<(), String> {
    if is_lost_at_the_end(attempt) && attempt.received.is_err() {
        let world = world.borrow();
        let found = (world.may_write(), world.kept, world.released, world.twice);
        return match found {
            (false, false, false, false) => Ok(()),
            other => Err(format!("writing, kept, released, twice: {other:?}")),
        };
    }
    check_undone(world, attempt)
}

/// A world in which a frame has a page, and each cut loses some frames.
fn world(seed: u64, load: Load, cuts: u32) -> Shared {
    let world = World::new(seed, &[1000, 130], LogMode::InitiallySet, load);
    {
        let mut world = world.borrow_mut();
        for region in &mut world.regions {
            region.content = true;
            region.discarded.fill(false);
        }
        (world.lag, world.cuts, world.often_cut) = (6, cuts, 20);
    }
    world
}

#[test]
fn not_everything_is_sent_again() {
    for seed in 0..20 {
        let world = world(seed, Load::NONE, 5);
        let attempt = attempt(&world, &Options::default(), User::CONTENT);
        let statistics = match attempt.sent {
            Ok(ref statistics) => statistics.clone(),
            // In the setup, or at the very end.
            Err(_) => continue,
        };
        assert_eq!(check_moved(&world, &attempt), Ok(()), "{seed}");
        let received = attempt.received.unwrap();
        assert!(statistics.resumed > 0, "{statistics:?}");
        // It may hear of more of them than it could answer.
        assert!(u64::from(received.resumed) >= statistics.resumed);
        // What is under way when a connection is lost is at most the lag and the frame itself, of 16 pages at most; a
        // round that was lost at its end has sent all, so the rest is what was sent once.
        let pages: u64 = statistics.rounds.iter().map(|round| round.pages).sum();
        let most = 7 * 1024 * statistics.resumed;
        assert!(statistics.resent <= most, "{statistics:?}");
        assert_eq!(pages, 1130 + statistics.resent, "{statistics:?}");
        let lost = statistics.rounds.iter().filter(|round| round.lost).count();
        assert!(lost as u64 <= statistics.resumed, "{statistics:?}");
    }
}

/// Runs a mistake on many worlds. Returns in how many it was found.
fn found(mistake: Option<Mistake>) -> usize {
    let load = Load {
        often: 60,
        pages: 3,
        purges: 1,
    };
    let red = (0..300_u64).filter(|seed| {
        let world = world(*seed, load, 4);
        world.borrow_mut().often_cut = 40;
        let options = Options {
            downtime: Duration::from_micros(100),
            limit: Some(Duration::from_millis(400)),
            at_limit: AtLimit::Force,
            mistake,
            ..Options::default()
        };
        let limits = Limits {
            mistake,
            ..limits()
        };
        let attempt = attempt_with(&world, &resuming(&options), User::CONTENT, &limits);
        let setup =
            matches!(&attempt.sent, Err(failed) if failed.to_string().contains(", setup: "));
        if setup || is_lost_at_the_end(&attempt) {
            return check_unmoved(&world, &attempt).is_err();
        }
        check_moved(&world, &attempt).is_err()
    });
    red.count()
}

#[test]
fn deliberate_mistakes_are_found() {
    assert_eq!(found(None), 0);
    for mistake in [
        Mistake::NotSentAgain,
        Mistake::DoneTooEarly,
        Mistake::CountsTooMany,
    ] {
        assert!(found(Some(mistake)) > 0, "{mistake:?}");
    }
}

/// Loses the connection when the last answer is read, whichever number it has: the receiver has the objects, or the frame
/// that gives them was lost, too.
fn lost_at_the_end(seed: u64, mistake: Option<Mistake>) -> (Shared, Attempt) {
    let options = Options {
        mistake,
        ..Options::default()
    };
    let fails_after = |reads: u64| {
        let world = world(seed, Load::NONE, 0);
        world.borrow_mut().fail = Some((Call::Answer, reads));
        let attempt = attempt(&world, &options, User::CONTENT);
        (world, attempt)
    };
    // As many as a migration has, of which the last two are those of the acknowledgement.
    let (all, _) = fails_after(u64::MAX);
    let left = all.borrow().fail.map_or(0, |(_, left)| left);
    fails_after(u64::MAX - left - 2)
}

#[test]
fn a_lost_hand_over_is_made_good_and_a_lost_acknowledgement_is_not() {
    let (mut moved, mut unknown) = (0, 0);
    for seed in 0..30 {
        let (world, attempt) = lost_at_the_end(seed, None);
        if is_lost_at_the_end(&attempt) {
            // The receiver has them, and is gone, so that it cannot say so.
            assert_eq!(check_undone(&world, &attempt), Ok(()), "{seed}");
            assert_eq!(world.borrow().difference(), None);
            let text = attempt.sent.unwrap_err().to_string();
            let end =
                "no acknowledgement came: the other side is silent; not taken up within 600 s";
            assert!(text.ends_with(end), "{text}");
            unknown += 1;
        } else {
            assert_eq!(check_moved(&world, &attempt), Ok(()), "{seed}");
            assert_eq!(attempt.sent.unwrap().resumed, 1);
            moved += 1;
        }
    }
    assert!(moved > 0 && unknown > 0, "{moved} {unknown}");
    let twice = (0..30).any(|seed| {
        let (world, _) = lost_at_the_end(seed, Some(Mistake::RunsTooEarly));
        let twice = world.borrow().twice;
        twice
    });
    assert!(twice, "{:?}", Mistake::RunsTooEarly);
}

#[test]
fn both_sides_have_to_want_it() {
    // Without it a lost connection is the end, as ever.
    for (sender, receiver) in [(false, false), (false, true), (true, false)] {
        let world = world(1, Load::NONE, 0);
        world.borrow_mut().fail = Some((Call::Send, 12));
        let options = match sender {
            true => resuming(&Options::default()),
            false => Options::default(),
        };
        let limits = match receiver {
            true => limits(),
            false => Limits::default(),
        };
        let first = attempt_with(&world, &options, User::CONTENT, &limits);
        assert_eq!(check_undone(&world, &first), Ok(()));
        let failed = first.sent.unwrap_err();
        assert_eq!(
            failed.to_string(),
            "connection, round 1: the other side is gone"
        );
        let warned = failed.statistics.warnings.len();
        assert_eq!(warned, usize::from(sender && !receiver));
        assert_eq!(failed.statistics.resumed, 0);
    }
}

#[test]
fn a_connection_that_stays_lost_ends_it() {
    let world1 = world(1, Load::NONE, 0);
    world1.borrow_mut().fail = Some((Call::Send, 12));
    // From then on nothing gets through.
    let options = resuming(&Options::default());
    let mut sink = ModelSink(world1.clone());
    let limits = limits();
    let mut pair = Away(Pair::new(&world1, &mut sink, &limits));
    let sent = crate::send(
        &mut ModelSource::new(&world1),
        &mut ModelWriters(world1.clone()),
        &mut pair,
        &ModelClock(world1.clone()),
        &options,
        &mut User::CONTENT.clone(),
    );
    let attempt = Attempt {
        sent,
        received: pair.0.close(),
    };
    assert_eq!(check_undone(&world1, &attempt), Ok(()));
    let failed = attempt.sent.unwrap_err();
    assert_eq!(failed.failure.kind(), Kind::Lost);
    assert_eq!(
        failed.to_string(),
        "connection, round 1: the other side is gone; not taken up within 600 s"
    );
    assert!(world1.borrow().now >= WINDOW);
}

/// A connection of which there is only one.
struct Away<'a>(Pair<'a>);

impl Channel for Away<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes)
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<()> {
        self.0.read(to)
    }

    fn is_waiting(&mut self) -> io::Result<bool> {
        self.0.is_waiting()
    }

    fn reconnect(&mut self, _limit: Duration) -> io::Result<()> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// A receiver's real connection, and where the next one comes in.
struct Answered {
    listener: Listener,
    socket: Socket,
}

/// How long the other side may be silent in these tests.
const SILENCE: Duration = Duration::from_secs(20);

impl Channel for Answered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write(bytes)
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<()> {
        self.socket.read(to)
    }

    fn is_waiting(&mut self) -> io::Result<bool> {
        self.socket.is_waiting()
    }

    fn reconnect(&mut self, limit: Duration) -> io::Result<()> {
        self.socket.close();
        self.socket = self.listener.accept_within(limit, SILENCE)?;
        Ok(())
    }

    fn drain(&mut self) {
        self.socket.drain();
    }
}

static PLACES: AtomicU64 = AtomicU64::new(0);

/// A receiver with a window in a thread of its own, and where it listens.
fn receiver(window: Duration) -> (Address, thread::JoinHandle<Result<Received, Failure>>) {
    let number = PLACES.fetch_add(1, Ordering::Relaxed);
    let name = format!("reeve-resume-{}-{number}", std::process::id());
    let address = Address::Unix(std::env::temp_dir().join(name));
    let listener = address.listen().unwrap();
    let thread = thread::spawn(move || {
        let world = World::new(0, &[], LogMode::Manual, Load::NONE);
        let limits = Limits {
            resume: Some(window),
            ..Limits::default()
        };
        let socket = listener.accept_within(SILENCE, SILENCE).unwrap();
        let mut channel = Answered { listener, socket };
        let result = receive(&mut ModelSink(world.clone()), &mut channel, &limits);
        let discards = world.borrow().discards;
        assert_eq!(discards, u32::from(result.is_err()));
        result
    });
    (address, thread)
}

/// What this test's sender says first.
fn hello(again: bool, id: u128) -> Hello {
    Hello {
        regions: u32::from(!again),
        resume: 600,
        again,
        id,
        ..Hello::new(PAGE as u32)
    }
}

/// A sender's connection whose first words were exchanged.
fn greeted(address: &Address, hello: &Hello) -> Socket {
    let mut socket = address.connect(SILENCE).unwrap();
    socket.write(&hello.encode()).unwrap();
    socket.read(&mut [0; HELLO]).unwrap();
    socket
}

fn say(socket: &mut Socket, frames: &[Frame<'_>]) {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
        socket.write(&bytes).unwrap();
    }
}

/// Reads a frame that has to be this one.
#[track_caller]
fn hear(socket: &mut Socket, expected: &Frame<'_>) {
    let mut buffer = Vec::new();
    let frame = Frame::receive(socket, &mut buffer).unwrap().unwrap();
    assert_eq!(frame, *expected);
}

/// A migration of one region of two pages, of which one has come.
fn begun(address: &Address) -> Socket {
    let mut socket = greeted(address, &hello(false, ID));
    let region = crate::Region {
        id: 1,
        size: 2 * PAGE as u64,
        kind: 0,
        caching: 0,
        flags: 0,
        device: 0,
        extra_pages: 0,
    };
    say(&mut socket, &[Frame::Region(region)]);
    hear(&mut socket, &Frame::Ready);
    let page = Frame::Zeros {
        region: 0,
        first: 0,
        count: 1,
    };
    say(&mut socket, &[page, Frame::Mark]);
    hear(&mut socket, &Frame::Marked);
    socket
}

#[test]
fn a_receiver_waits_for_its_own_sender_only() {
    let (address, thread) = receiver(Duration::from_secs(300));
    drop(begun(&address));
    for (hello, text) in [
        (
            hello(false, ID),
            "a migration whose connection was lost is to be taken up here, no other one",
        ),
        (
            hello(true, ID + 1),
            "another migration is to be taken up here",
        ),
    ] {
        let mut other = greeted(&address, &hello);
        hear(&mut other, &Frame::Refuse(text));
    }
    // Others that are gone again, say nothing of use, or have another version.
    drop(address.connect(SILENCE).unwrap());
    address.connect(SILENCE).unwrap().write(&[1; 100]).unwrap();
    // An attempt that is lost, too, before it has said anything.
    drop(greeted(&address, &hello(true, ID)));
    let mut socket = greeted(&address, &hello(true, ID));
    say(&mut socket, &[Frame::Resume(2)]);
    hear(&mut socket, &Frame::Resumed(1));
    // Lost again, with a frame under way that is not whole.
    let mut frame = Vec::new();
    let page = Frame::Pages {
        region: 0,
        first: 1,
        bytes: &[7; PAGE],
    };
    page.encode(&mut frame);
    socket.write(&frame[..frame.len() - 1]).unwrap();
    drop(socket);
    let mut socket = greeted(&address, &hello(true, ID));
    say(&mut socket, &[Frame::Resume(3)]);
    hear(&mut socket, &Frame::Resumed(1));
    say(&mut socket, &[page, Frame::Round(3)]);
    hear(&mut socket, &Frame::Reached(3));
    let sums = [crate::wire::sum(&[0; PAGE]), crate::wire::sum(&[7; PAGE])].concat();
    let compared = Frame::Sums {
        region: 0,
        first: 0,
        sums: &sums,
    };
    say(&mut socket, &[compared.clone(), Frame::Compare]);
    hear(&mut socket, &Frame::Equal);
    // And once more: what was compared has to be compared again.
    drop(socket);
    let mut socket = greeted(&address, &hello(true, ID));
    say(&mut socket, &[Frame::Resume(4)]);
    hear(&mut socket, &Frame::Resumed(2));
    say(&mut socket, &[Frame::Round(4)]);
    hear(&mut socket, &Frame::Reached(4));
    say(&mut socket, &[compared, Frame::Compare]);
    hear(&mut socket, &Frame::Equal);
    say(&mut socket, &[Frame::HandOver]);
    hear(&mut socket, &Frame::Acknowledge);
    let received = thread.join().unwrap().unwrap();
    assert_eq!(
        (received.resumed, received.rounds, received.acknowledged),
        (3, 4, true)
    );
}

#[test]
fn a_receiver_does_not_wait_for_ever() {
    let (address, thread) = receiver(Duration::from_millis(300));
    drop(begun(&address));
    let failure = thread.join().unwrap().unwrap_err();
    assert_eq!(failure.kind(), Kind::Lost);
    assert_eq!(
        failure.to_string(),
        "connection, round 1: the other side is gone; not taken up within 0.3 s"
    );
    assert!(address.connect(SILENCE).is_err(), "it listens");
}

#[test]
fn what_goes_on_wrongly_is_refused() {
    // A round that has been.
    let (address, thread) = receiver(Duration::from_secs(300));
    let mut socket = begun(&address);
    say(&mut socket, &[Frame::Round(1)]);
    hear(&mut socket, &Frame::Reached(1));
    drop(socket);
    let mut socket = greeted(&address, &hello(true, ID));
    say(&mut socket, &[Frame::Resume(1)]);
    let text = "protocol: a frame of type 20 does not belong here";
    hear(&mut socket, &Frame::Refuse(text));
    drop(socket);
    let failure = thread.join().unwrap().unwrap_err();
    assert!(matches!(failure.cause, Cause::Protocol(_)), "{failure}");
    // A receiver that knows nothing, because it was started anew.
    let (address, thread) = receiver(Duration::from_secs(300));
    let mut socket = greeted(&address, &hello(true, ID));
    let text = "there is no migration here that could be taken up";
    hear(&mut socket, &Frame::Refuse(text));
    drop(socket);
    let failure = thread.join().unwrap().unwrap_err();
    assert_eq!(failure.to_string(), format!("receiver, setup: {text}"));
    // Without a lost connection there is nothing to take up.
    let (address, thread) = receiver(Duration::from_secs(300));
    let mut socket = begun(&address);
    say(&mut socket, &[Frame::Resume(2)]);
    let text = "protocol: a frame of type 20 does not belong here";
    hear(&mut socket, &Frame::Refuse(text));
    drop(socket);
    assert!(thread.join().unwrap().is_err());
    // A receiver that counts what never was.
    for taken in [u64::MAX, 1000] {
        let world = world(1, Load::NONE, 0);
        let sent = crate::send(
            &mut ModelSource::new(&world),
            &mut ModelWriters(world.clone()),
            &mut Liar::new(taken),
            &ModelClock(world.clone()),
            &resuming(&Options::default()),
            &mut User::CONTENT.clone(),
        );
        let failed = sent.unwrap_err();
        assert_eq!(failed.failure.kind(), Kind::Refused);
        let text = format!("protocol: {taken} frames of ");
        assert!(failed.to_string().contains(&text), "{failed}");
        assert!(world.borrow().running);
    }
}

/// A receiver that takes everything, is lost once, and then says that so many frames have come.
struct Liar {
    answers: Vec<u8>,
    taken: u64,
    frames: u64,
    again: bool,
}

impl Liar {
    fn new(taken: u64) -> Self {
        Self {
            answers: Vec::new(),
            taken,
            frames: 0,
            again: false,
        }
    }

    fn answer(&mut self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.answers.extend(bytes);
    }
}

impl Channel for Liar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let code = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        if bytes.len() == HELLO && bytes[..8] == crate::wire::MAGIC {
            let hello = Hello {
                resume: 1,
                ..Hello::new(PAGE as u32)
            };
            self.answers.extend(hello.encode());
            return Ok(());
        }
        self.frames += 1;
        assert!(bytes.len() >= HEADER);
        match code {
            // Both regions were told of.
            1 if self.frames == 2 => self.answer(&Frame::Ready),
            18 => self.answer(&Frame::Marked),
            20 => self.answer(&Frame::Resumed(self.taken)),
            _ if self.frames == 9 && !self.again => return Err(io::ErrorKind::BrokenPipe.into()),
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<()> {
        if self.answers.len() < to.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rest = self.answers.split_off(to.len());
        to.copy_from_slice(&self.answers);
        self.answers = rest;
        Ok(())
    }

    fn is_waiting(&mut self) -> io::Result<bool> {
        Ok(self.frames > 2 && !self.answers.is_empty())
    }

    fn reconnect(&mut self, _limit: Duration) -> io::Result<()> {
        self.again = true;
        self.answers.clear();
        Ok(())
    }
}
