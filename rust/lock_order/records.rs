// SPDX-License-Identifier: GPL-2.0

//! The last report of every pair of orders, and how often there was one: what debugfs shows.
//!
//! Violations are found in any context, also in an NMI that interrupts the storing of another one,
//! so nothing there waits for long: who finds a place busy leaves the report there to the other, and
//! the counters have it all the same.
#![deny(unsafe_code)]

use super::{
    print,
    rules::{
        pairs::{
            admit,
            search,
            Search, //
        },
        violation::record::{
            Record,
            WORDS, //
        }, //
    }, //
};
use kernel::{
    processor::cpu_relax,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        barrier, //
    }, //
};

/// How many pairs have room; violations of further ones are only counted.
const PAIRS: usize = 128;

/// How often a reader looks at a record that is just being written, and a writer at a table that is
/// just being changed.
const ATTEMPTS: u32 = 1000;

/// The word of a packed record that names its pair.
const PAIR_WORD: usize = 7;

/// What one line of the table is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    /// Id of the hierarchy; `None`: none is involved, or none that is registered.
    pub(super) hierarchy: Option<u8>,
    /// The order the operation was about; 0: none.
    pub(super) order: u8,
    /// The order of the first held lock that conflicts; 0: none does.
    pub(super) against: u8,
    /// The slot of that lock's hierarchy, plus 1, if it is another one; else 0.
    pub(super) other: u8,
    /// What is wrong.
    pub(super) kind: u8,
}

impl Pair {
    /// Never 0.
    fn pack(self) -> u64 {
        let hierarchy = self.hierarchy.map_or(0, |id| u16::from(id) + 1);
        let [low, high] = hierarchy.to_le_bytes();
        u64::from_le_bytes([
            1,
            low,
            high,
            self.order,
            self.against,
            self.kind,
            self.other,
            0,
        ])
    }

    fn unpack(word: u64) -> Self {
        let [_, low, high, order, against, kind, other, _] = word.to_le_bytes();
        let hierarchy = u16::from_le_bytes([low, high]);
        Self {
            hierarchy: hierarchy.checked_sub(1).map(|id| id as u8),
            order,
            against,
            kind,
            other,
        }
    }

    /// Whether the hierarchy in this slot has to do with it.
    fn is_of(self, slot: u8) -> bool {
        self.hierarchy == Some(slot) || self.other == slot + 1
    }
}

/// One pair.
///
/// # Invariants
///
/// `sequence` is odd while the words are written, which only the thread that made it odd does.
struct Place {
    /// A packed [`Pair`]; 0: free.
    pair: Atomic<u64>,
    count: Atomic<u64>,
    /// When it was logged, see [`admit`].
    logged: Atomic<u64>,
    sequence: Atomic<u32>,
    words: [Atomic<u64>; WORDS],
}

impl Place {
    const fn new() -> Self {
        Self {
            pair: Atomic::new(0),
            count: Atomic::new(0),
            logged: Atomic::new(0),
            sequence: Atomic::new(0),
            words: [const { Atomic::new(0) }; WORDS],
        }
    }

    fn store(&self, pair: u64, record: &Record) {
        let sequence = self.sequence.load(Relaxed);
        if sequence & 1 != 0
            || self
                .sequence
                .cmpxchg(sequence, sequence.wrapping_add(1), Full)
                .is_err()
        {
            return;
        }
        let mut words = record.pack();
        words[PAIR_WORD] = pair;
        for (place, word) in self.words.iter().zip(words) {
            place.store(word, Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(2), Release);
    }

    /// Whether a report of it that was found at `now`, in nanoseconds, is to be logged: the first
    /// always, of repeats only as many as of all pairs together are allowed.
    fn admits(&self, now: u64) -> bool {
        let mut remembered = self.logged.load(Relaxed);
        while let Some(new) = admit(remembered, now) {
            match self.logged.cmpxchg(remembered, new, Relaxed) {
                Ok(_) => return remembered == 0 || print::report_allowed(true),
                Err(other) => remembered = other,
            }
        }
        false
    }

    /// The record, if it is one of this pair: the place may just have got another one.
    fn load(&self, pair: u64) -> Option<Record> {
        let mut words = [0; WORDS];
        for _ in 0..ATTEMPTS {
            let sequence = self.sequence.load(Acquire);
            for (word, place) in words.iter_mut().zip(&self.words) {
                *word = place.load(Relaxed);
            }
            barrier::smp_mb(barrier::Read);
            if sequence & 1 == 0 && self.sequence.load(Relaxed) == sequence {
                return (words[PAIR_WORD] == pair).then(|| Record::unpack(&words));
            }
        }
        None
    }
}

static PLACES: [Place; PAIRS] = [const { Place::new() }; PAIRS];

/// Violations of pairs that had no room.
static WITHOUT_ROOM: Atomic<u64> = Atomic::new(0);

/// Not 0 while a pair gets a place, or loses it. Interrupts are off meanwhile.
static CHANGING: Atomic<u32> = Atomic::new(0);

/// Counts a violation and keeps its record as the pair's last one. Returns whether it is to be logged:
/// the first of a pair always is. Any context.
pub(super) fn note(pair: Pair, record: &Record) -> bool {
    let pair = pair.pack();
    match place_of(pair) {
        Some(place) => {
            place.count.fetch_add(1, Relaxed);
            place.store(pair, record);
            place.admits(record.who.time)
        }
        None => {
            WITHOUT_ROOM.fetch_add(1, Relaxed);
            print::report_allowed(false)
        }
    }
}

fn keys() -> impl Iterator<Item = u64> {
    PLACES.iter().map(|place| place.pair.load(Acquire))
}

/// The pair's place. `None`: there is no room, or an NMI found the table being changed.
fn place_of(pair: u64) -> Option<&'static Place> {
    if let Search::Found(index) = search(keys(), pair) {
        return PLACES.get(index);
    }
    let insert = || match search(keys(), pair) {
        Search::Found(index) => PLACES.get(index),
        Search::Free(index) => {
            let place = PLACES.get(index)?;
            place.count.store(0, Relaxed);
            place.logged.store(0, Relaxed);
            place.pair.store(pair, Release);
            Some(place)
        }
        Search::Full => None,
    };
    changing(ATTEMPTS, insert).flatten()
}

/// Runs `f` while nothing else changes which pair has which place; `None`: something else did for too
/// long, which only an NMI sees.
fn changing<R>(attempts: u32, f: impl FnOnce() -> R) -> Option<R> {
    print::without_interrupts(|| {
        let mut attempts = attempts;
        while CHANGING.cmpxchg(0, 1, Full).is_err() {
            attempts = attempts.checked_sub(1)?;
            cpu_relax();
        }
        let result = f();
        CHANGING.store(0, Release);
        Some(result)
    })
}

/// Forgets what is known of the hierarchy with this id, which is not used any more. Not in an NMI.
pub(super) fn forget(hierarchy: u8) {
    changing(u32::MAX, || {
        for place in &PLACES {
            let pair = place.pair.load(Relaxed);
            if pair != 0 && Pair::unpack(pair).is_of(hierarchy) {
                place.pair.store(0, Release);
            }
        }
    });
}

/// Each pair that was seen, how often, and the last record (`None`: just being replaced).
pub(super) fn all() -> impl Iterator<Item = (Pair, u64, Option<Record>)> {
    PLACES.iter().filter_map(|place| {
        let pair = place.pair.load(Acquire);
        let count = place.count.load(Relaxed);
        (pair != 0 && count != 0).then(|| (Pair::unpack(pair), count, place.load(pair)))
    })
}

/// How many violations were of pairs that had no room.
pub(super) fn without_room() -> u64 {
    WITHOUT_ROOM.load(Relaxed)
}
