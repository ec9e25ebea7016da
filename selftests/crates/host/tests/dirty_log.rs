// SPDX-License-Identifier: GPL-2.0-or-later

//! The bits of a dirty log, its modes, and the ranges that can be cleared.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use proptest::prelude::*;
use reeve_host::bo::rules::dirty::*;

/// A number that can be changed by several.
struct Shared(AtomicU64);

impl Word for Shared {
    fn get(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        self.0.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }
}

impl Count for Shared {
    fn add(&self, pages: u64) {
        self.0.fetch_add(pages, SeqCst);
    }

    fn sub(&self, pages: u64) {
        assert!(self.0.fetch_sub(pages, SeqCst) >= pages, "fewer than none");
    }
}

type Log = Bits<Vec<Shared>, Shared>;

fn words(count: u64, set: bool) -> Vec<Shared> {
    let word = if set { u64::MAX } else { 0 };
    (0..count).map(|_| Shared(AtomicU64::new(word))).collect()
}

fn bits(pages: u64, set: bool) -> Log {
    let (bits, counts) = (words_for(pages), parts_for(pages));
    let none = Shared(AtomicU64::new(0));
    Bits::new(words(bits, set), words(counts, set), pages, set, none).unwrap()
}

/// How many bits are set, which is also what it adds to the sums.
fn dirty(bits: &Log) -> u64 {
    assert_eq!(bits.sums().get(), bits.dirty());
    bits.dirty()
}

/// Room for so many parts of a log.
fn room_for(parts: usize) -> Parts<Vec<u64>> {
    Parts::new(vec![7; parts], vec![7; parts * PER_PART])
}

/// The whole words of what was copied. What is not in it is clear.
fn whole(parts: &Parts<Vec<u64>>, pages: u64) -> Vec<u64> {
    let mut all = Vec::new();
    let mut last = None;
    for piece in parts.pieces(words_for(pages) as usize) {
        assert_eq!(
            (piece.first, piece.first_page()),
            (all.len(), all.len() as u64 * 64)
        );
        assert_ne!(piece.length, 0);
        match piece.words {
            Some(words) => all.extend_from_slice(words),
            None => all.resize(all.len() + piece.length, 0),
        }
        assert_eq!(all.len(), piece.first + piece.length);
        // As long as can be.
        assert_ne!(
            last.replace(piece.words.is_some()),
            Some(piece.words.is_some())
        );
    }
    assert_eq!(all.len() as u64, words_for(pages));
    all
}

fn get(bits: &Log, take: bool) -> Vec<u64> {
    let before = dirty(bits);
    let mut parts = room_for(bits.parts());
    assert_eq!(bits.get(take, &mut parts), Some(before));
    assert_eq!(dirty(bits), if take { 0 } else { before });
    whole(&parts, bits.pages())
}

fn copy(bits: &Log) -> Vec<u64> {
    get(bits, false)
}

fn pages_of(words: &[u64]) -> BTreeSet<u64> {
    let all = 0..words.len() as u64 * 64;
    all.filter(|page| words[*page as usize / 64] >> (page % 64) & 1 != 0)
        .collect()
}

#[test]
fn modes_are_their_bits() {
    for bits in 0..100 {
        let mode = Mode::of(bits);
        assert_eq!(mode.is_some(), matches!(bits, 0 | 1 | 3));
        assert_eq!(mode.map_or(bits, Mode::bits), bits);
    }
    assert_eq!(Mode::ALL.map(Mode::get_clears), [true, false, false]);
    assert_eq!(Mode::ALL.map(Mode::begins_set), [false, false, true]);
    let all = Mode::ALL.into_iter().fold(0, |all, mode| all | mode.bits());
    assert_eq!(all, Mode::SUPPORTED);
}

#[test]
fn what_can_wait_for_a_fence_waits() {
    // Whether it may be retried, without releasing the lock, and given up for any signal.
    for (retry, nowait, interruptible, expected) in [
        (true, false, true, Hold::Interruptible),
        (true, false, false, Hold::Killable),
        (true, true, false, Hold::Later),
        (true, true, true, Hold::Later),
        (false, false, false, Hold::Refuse),
        (false, false, true, Hold::Refuse),
        (false, true, false, Hold::Refuse),
        (false, true, true, Hold::Refuse),
    ] {
        let found = hold(retry, nowait, interruptible);
        assert_eq!(found, expected, "{retry} {nowait} {interruptible}");
    }
}

#[test]
fn the_first_fence_holds_and_the_last_lets_go() {
    let (one, first) = Fences::NONE.put();
    assert!(first);
    let (two, first) = one.put();
    assert!(!first && two.count() == 2);
    let (left, last) = two.lifted();
    assert!(!last && left == one);
    let (left, last) = left.lifted();
    assert!(last && left == Fences::NONE);
    // There is none that could be lifted: nothing begins or ends by that.
    assert_eq!(left.lifted(), (Fences::NONE, false));
    assert_eq!(Fences::of(u64::MAX).put(), (Fences::of(u64::MAX), false));
    assert!(Fences::NONE.put().1);
}

#[test]
fn fresh_logs_end_at_their_last_page() {
    assert_eq!(copy(&bits(130, true)), [u64::MAX, u64::MAX, 3]);
    assert_eq!(copy(&bits(130, false)), [0; 3]);
    assert_eq!(copy(&bits(128, true)), [u64::MAX; 2]);
    assert_eq!(copy(&bits(1, true)), [1]);
    let none = || Shared(AtomicU64::new(0));
    assert!(Bits::new(words(2, true), words(1, true), 129, true, none()).is_none());
    assert!(Bits::new(words(3, true), words(0, true), 129, true, none()).is_none());
    // More words than are needed are empty.
    let log = Bits::new(words(4, true), words(3, true), 64, true, none()).unwrap();
    assert_eq!((dirty(&log), log.parts()), (64, 1));
    assert_eq!(copy(&log), [u64::MAX]);
}

#[test]
fn a_get_copies_the_parts_that_have_bits() {
    const PART: u64 = PER_PART as u64 * 64;
    let pages = 4 * PART + 65;
    let log = bits(pages, false);
    assert_eq!((parts_for(pages), log.parts()), (5, 0));
    assert_eq!(log.get(true, &mut room_for(0)), Some(0));
    for page in [PART, 2 * PART - 1, 2 * PART + 9, 4 * PART + 64] {
        log.set(page);
    }
    assert_eq!(log.parts(), 3);
    // Too little room changes nothing.
    let short_of_words = Parts::new(vec![7; 3], vec![7; 2 * PER_PART + 1]);
    for (mut parts, take) in [
        (room_for(0), true),
        (room_for(2), true),
        (short_of_words, false),
    ] {
        assert_eq!(log.get(take, &mut parts), None);
        assert!(parts.pieces(9).all(|piece| piece.words.is_none()));
        assert_eq!(dirty(&log), 4);
    }
    let mut parts = Parts::new(vec![7; 3], vec![7; 2 * PER_PART + 2]);
    assert_eq!(log.get(true, &mut parts), Some(4));
    let pieces = parts.pieces(4 * PER_PART + 2);
    let pieces: Vec<_> = pieces
        .map(|piece| (piece.first / PER_PART, piece.length, piece.words.is_some()))
        .collect();
    let expected = [
        (0, PER_PART, false),
        (1, 2 * PER_PART, true),
        (3, PER_PART, false),
        (4, 2, true),
    ];
    assert_eq!(pieces, expected);
    assert_eq!((dirty(&log), log.parts()), (0, 0));
    for piece in parts
        .pieces(usize::MAX)
        .filter(|piece| piece.words.is_some())
    {
        log.put_back(piece.first_page(), piece.words.unwrap());
    }
    assert_eq!((dirty(&log), log.parts()), (4, 3));
    assert!(log.is_set(4 * PART + 64) && log.is_set(2 * PART + 9));
    // A clear over the ends of parts.
    let mut mask = vec![u64::MAX; 2 * PER_PART];
    assert_eq!(log.clear(PART + PART / 2, 2 * PART, &mut mask), 2);
    assert_eq!(
        pages_of(&mask),
        BTreeSet::from([PART / 2 - 1, PART / 2 + 9])
    );
    assert_eq!((dirty(&log), log.parts()), (2, 2));
}

/// Of a part whose bits come and go all the time, a writer's own is in each get after it.
#[test]
fn who_has_written_finds_the_bit() {
    let log = bits(PER_PART as u64 * 64 * 2, false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let log = &log;
            scope.spawn(move || {
                let mut parts = room_for(2);
                for round in 0..3000 {
                    let page = writer + 64 * (round % 3) + PER_PART as u64 * 64 * (round % 2);
                    assert!(log.set(page));
                    log.get(false, &mut parts).unwrap();
                    let word = whole(&parts, log.pages())[page as usize / 64];
                    assert_ne!(word >> (page % 64) & 1, 0);
                    let mut mask = [1 << (page % 64)];
                    assert_eq!(log.clear(page / 64 * 64, 64, &mut mask), 1);
                }
            });
        }
    });
    assert_eq!((dirty(&log), log.parts()), (0, 0));
}

#[test]
fn ranges_are_whole_words_or_end_with_the_log() {
    for (first, pages) in [
        (0, 64),
        (0, 128),
        (0, 130),
        (64, 64),
        (128, 2),
        (0, 0),
        (128, 0),
        (130, 0),
    ] {
        assert!(is_range(130, first, pages), "{first}, {pages}");
    }
    for (first, pages) in [
        (128, 1),
        (128, 3),
        (128, 64),
        (0, 63),
        (0, 131),
        (192, 0),
        (1 << 40, 64),
        (0, u64::MAX - 63),
        (64, u64::MAX - 63),
        (u64::MAX - 63, 64),
    ] {
        assert!(!is_range(130, first, pages), "{first}, {pages}");
    }
    assert!(begins_at_a_word(0) && begins_at_a_word(128) && !begins_at_a_word(129));
}

#[test]
fn nothing_is_behind_the_end() {
    let log = bits(130, false);
    assert!(!log.set(130) && !log.set(u64::MAX));
    log.set_range(129, u64::MAX);
    log.put_back(128, &[u64::MAX, u64::MAX]);
    log.put_back(192, &[1]);
    assert_eq!(pages_of(&copy(&log)), BTreeSet::from([128, 129]));
    assert_eq!(dirty(&log), 2);
    let mut mask = [u64::MAX];
    assert_eq!(log.clear(128, 2, &mut mask), 2);
    assert_eq!((mask, dirty(&log)), ([3], 0));
}

/// Each bit that is set is handed out by one of those who take, or still there; and the count is that of the bits.
#[test]
fn what_several_set_and_take_at_once_adds_up() {
    const ROUNDS: u64 = 2000;
    let log = bits(130, false);
    let (set, taken) = thread::scope(|scope| {
        let setters: Vec<_> = (0..2_u64)
            .map(|first| {
                let log = &log;
                scope.spawn(move || {
                    let pages = (0..ROUNDS).map(|round| (round * 7 + first) % 130);
                    pages.filter(|page| log.set(*page)).count() as u64
                })
            })
            .collect();
        let takers: Vec<_> = (0..2)
            .map(|which| {
                let log = &log;
                scope.spawn(move || {
                    let mut taken = 0;
                    for _ in 0..ROUNDS {
                        taken += match which {
                            0 => log.get(true, &mut room_for(1)).unwrap(),
                            _ => log.clear(64, 66, &mut [u64::MAX; 2]),
                        };
                    }
                    taken
                })
            })
            .collect();
        let sum = |threads: Vec<thread::ScopedJoinHandle<'_, u64>>| -> u64 {
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        };
        (sum(setters), sum(takers))
    });
    let left = pages_of(&copy(&log)).len() as u64;
    assert_eq!((set, dirty(&log)), (taken + left, left));
}

/// What a test does to a log.
#[derive(Clone, Debug)]
enum Step {
    Set(u64),
    SetRange(u64, u64),
    SetAll,
    Take,
    PutBack(u64, Vec<u64>),
    Clear(u64, Vec<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let words = || prop::collection::vec(any::<u64>(), 0..5);
    prop_oneof![
        (0..300u64).prop_map(Step::Set),
        (0..300u64, 0..300u64).prop_map(|(first, pages)| Step::SetRange(first, pages)),
        Just(Step::SetAll),
        Just(Step::Take),
        (0..5u64, words()).prop_map(|(word, words)| Step::PutBack(word * 64, words)),
        (0..5u64, words()).prop_map(|(word, mask)| Step::Clear(word * 64, mask)),
    ]
}

proptest! {
    #[test]
    fn bits_are_a_set_of_pages(pages in 1..260u64, set: bool, steps in prop::collection::vec(step(), 0..60)) {
        let log = bits(pages, set);
        let mut model: BTreeSet<u64> = if set { (0..pages).collect() } else { BTreeSet::new() };
        for step in steps {
            match step {
                Step::Set(page) => {
                    let new = page < pages && model.insert(page);
                    prop_assert_eq!(log.set(page), new);
                }
                Step::SetRange(first, count) => {
                    log.set_range(first, count);
                    model.extend((first..first + count).filter(|page| *page < pages));
                }
                Step::SetAll => {
                    log.set_all();
                    model = (0..pages).collect();
                }
                Step::Take => {
                    prop_assert_eq!(pages_of(&get(&log, true)), std::mem::take(&mut model));
                }
                Step::PutBack(first, words) => {
                    log.put_back(first, &words);
                    model.extend(pages_of(&words).into_iter().map(|bit| first + bit).filter(|page| *page < pages));
                }
                Step::Clear(first, mut mask) => {
                    let count = (mask.len() as u64 * 64).min(pages.saturating_sub(first));
                    let asked: BTreeSet<u64> = pages_of(&mask)
                        .into_iter()
                        .filter(|bit| *bit < count)
                        .map(|bit| first + bit)
                        .collect();
                    let both: BTreeSet<u64> = model.intersection(&asked).copied().collect();
                    if count == 0 {
                        mask.clear();
                    }
                    prop_assert_eq!(log.clear(first, count, &mut mask), both.len() as u64);
                    let cleared = pages_of(&mask).into_iter().filter(|bit| *bit < count);
                    prop_assert_eq!(cleared.map(|bit| first + bit).collect::<BTreeSet<_>>(), both.clone());
                    model.retain(|page| !both.contains(page));
                }
            }
            prop_assert_eq!(pages_of(&copy(&log)), model.clone());
            prop_assert_eq!(dirty(&log), model.len() as u64);
        }
        for first in 0..pages.min(70) {
            for count in [0, 1, 63, 64, 65, 130] {
                let all = (first..first + count).all(|page| model.contains(&page));
                prop_assert_eq!(log.are_set(first, count), all);
            }
            prop_assert_eq!(log.is_set(first), model.contains(&first));
        }
    }

    #[test]
    fn runs_are_the_set_bits(words in prop::collection::vec(prop_oneof![
        Just(0), Just(u64::MAX), any::<u64>(), (0..64u32).prop_map(|shift| u64::MAX << shift),
    ], 0..6)) {
        let found: Vec<(u64, u64)> = runs(&words).collect();
        let pages: BTreeSet<u64> = found
            .iter()
            .flat_map(|(first, count)| *first..first + count)
            .collect();
        prop_assert_eq!(pages, pages_of(&words));
        // As long as can be.
        for pair in found.windows(2) {
            prop_assert!(pair[0].0 + pair[0].1 < pair[1].0);
        }
        prop_assert!(found.iter().all(|run| run.1 != 0));
    }
}
