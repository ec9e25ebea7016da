// SPDX-License-Identifier: GPL-2.0-or-later

//! Streams that are cut, changed or made up: the receiver says no and keeps nothing.

use proptest::prelude::*;
use reeve_uapi::pattern::Pattern;

use super::model::*;
use super::pair::*;
use crate::receive;
use crate::send;
use crate::wire::Frame;
use crate::wire::Hello;
use crate::Channel;
use crate::Limits;
use crate::LogMode;
use crate::Options;
use crate::Region;

/// A connection that only records what is sent, after the other side's first bytes and answers.
struct Recorder<'a>(Pair<'a>, Vec<u8>);

impl Channel for Recorder<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.1.extend_from_slice(bytes);
        self.0.write(bytes)
    }

    fn read(&mut self, to: &mut [u8]) -> std::io::Result<()> {
        self.0.read(to)
    }

    fn is_waiting(&mut self) -> std::io::Result<bool> {
        self.0.is_waiting()
    }
}

/// A whole stream of a migration.
pub(super) fn stream(seed: u64) -> Vec<u8> {
    let load = Load {
        often: 100,
        pages: 2,
        purges: 1,
    };
    let world = World::new(seed, &[100, 3], LogMode::InitiallySet, load);
    let limits = Limits::default();
    let mut sink = ModelSink(world.clone());
    let mut recorder = Recorder(Pair::new(&world, &mut sink, &limits), Vec::new());
    send(
        &mut ModelSource::new(&world),
        &mut ModelWriters(world.clone()),
        &mut recorder,
        &ModelClock(world.clone()),
        &Options::default(),
        &mut User::CONTENT.clone(),
    )
    .unwrap();
    recorder.1
}

/// Receives these bytes. Returns whether they were a migration, after checking that else nothing is left.
pub(super) fn take(bytes: &[u8]) -> bool {
    let world = World::new(0, &[], LogMode::Manual, Load::NONE);
    let mut tape = Tape::default();
    tape.input.extend(bytes);
    let limits = Limits {
        regions: 4,
        bytes: 1 << 16,
        ..Limits::default()
    };
    let result = receive(&mut ModelSink(world.clone()), &mut tape, &limits);
    let world = world.borrow();
    let made: usize = world.copies.iter().map(|copy| copy.pages.len()).sum();
    assert!(made * PAGE <= 1 << 16);
    match &result {
        Ok(_) => assert!(world.kept && world.discards == 0),
        Err(failure) => {
            assert!(!world.kept && world.discards == 1 && world.copies.is_empty());
            assert!(!failure.to_string().is_empty());
        }
    }
    result.is_ok()
}

#[test]
fn a_whole_stream_is_taken_and_a_cut_one_is_not() {
    for seed in 0..3 {
        let bytes = stream(seed);
        assert!(take(&bytes));
        for end in 0..bytes.len() {
            assert!(!take(&bytes[..end]), "cut at {end} of {}", bytes.len());
        }
    }
}

proptest! {
    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(!take(&bytes));
    }

    #[test]
    fn changed_streams_end_somehow(seed in 0..8_u64, changes in prop::collection::vec((any::<u64>(), any::<u8>()), 1..6)) {
        let mut bytes = stream(seed);
        for (place, value) in changes {
            let place = (place % bytes.len() as u64) as usize;
            bytes[place] = value;
        }
        take(&bytes);
    }

    #[test]
    fn frames_that_were_made_up_end_somehow(seed: u64, frames in prop::collection::vec((0..23_u32, 0..64_usize), 0..60)) {
        let mut bytes = Hello { regions: 2, ..Hello::new(PAGE as u32) }.encode().to_vec();
        for (index, (code, length)) in frames.into_iter().enumerate() {
            let mut payload = Pattern::new(seed + index as u64).bytes(length);
            // Small numbers get further.
            payload.iter_mut().for_each(|byte| *byte &= 3);
            bytes.extend_from_slice(&code.to_le_bytes());
            bytes.extend_from_slice(&(length as u32).to_le_bytes());
            bytes.extend_from_slice(&payload);
        }
        take(&bytes);
    }
}

/// Bytes of these frames after the first ones.
fn frames(regions: u32, frames: &[Frame<'_>]) -> Vec<u8> {
    let hello = Hello {
        regions,
        ..Hello::new(PAGE as u32)
    };
    let mut bytes = hello.encode().to_vec();
    let mut one = Vec::new();
    for frame in frames {
        frame.encode(&mut one);
        bytes.extend_from_slice(&one);
    }
    bytes
}

#[test]
fn nothing_is_handed_over_uncompared() {
    let region = |size| {
        Frame::Region(Region {
            id: 1,
            size,
            kind: 0,
            caching: 0,
            flags: 0,
            device: 0,
            extra_pages: 0,
        })
    };
    let empty = Frame::Empty { region: 0 };
    let still = Frame::StillEmpty { region: 0 };
    let whole = [
        region(64),
        empty.clone(),
        Frame::Round(1),
        still.clone(),
        Frame::Compare,
        Frame::HandOver,
    ];
    assert!(take(&frames(1, &whole)));
    // Without any one of them, or twice the same.
    for left_out in 0..whole.len() {
        let mut less = whole.to_vec();
        less.remove(left_out);
        assert_eq!(take(&frames(1, &less)), left_out == 1, "without {left_out}");
        let mut more = whole.to_vec();
        more.insert(left_out, whole[left_out].clone());
        let harmless = left_out == 1 || left_out == 5;
        assert_eq!(take(&frames(1, &more)), harmless, "twice {left_out}");
    }
    for (size, first, count) in [
        (64, 1, 1),
        (64, 0, 2),
        (128, u64::MAX, 2),
        (128, 1, u64::MAX),
    ] {
        let wrong = [
            region(size),
            Frame::Zeros {
                region: 0,
                first,
                count,
            },
        ];
        assert!(!take(&frames(1, &wrong)));
    }
    for size in [0, u64::MAX, 1 << 17] {
        assert!(!take(&frames(1, &[region(size)])));
    }
}
