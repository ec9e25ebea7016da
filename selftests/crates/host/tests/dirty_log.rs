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

fn words(pages: u64, set: bool) -> Vec<Shared> {
    let word = if set { u64::MAX } else { 0 };
    let words = (0..words_for(pages)).map(|_| Shared(AtomicU64::new(word)));
    words.collect()
}

fn bits(pages: u64, set: bool) -> Log {
    Bits::new(words(pages, set), pages, set, Shared(AtomicU64::new(0))).unwrap()
}

fn dirty(bits: &Log) -> u64 {
    bits.dirty().get()
}

fn copy(bits: &Log) -> Vec<u64> {
    let mut words = vec![7; words_for(bits.pages()) as usize];
    assert_eq!(bits.copy(&mut words), dirty(bits));
    words
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
fn fresh_logs_end_at_their_last_page() {
    assert_eq!(copy(&bits(130, true)), [u64::MAX, u64::MAX, 3]);
    assert_eq!(copy(&bits(130, false)), [0; 3]);
    assert_eq!(copy(&bits(128, true)), [u64::MAX; 2]);
    assert_eq!(copy(&bits(1, true)), [1]);
    let none = Shared(AtomicU64::new(0));
    assert!(Bits::new(words(128, true), 129, true, none).is_none());
    // More words than are needed are empty.
    let log = Bits::new(words(200, true), 64, true, Shared(AtomicU64::new(0))).unwrap();
    let mut to = [7; 4];
    assert_eq!(log.copy(&mut to), 64);
    assert_eq!((to, dirty(&log)), ([u64::MAX, 0, 0, 0], 64));
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
                    let mut words = [u64::MAX; 3];
                    let mut taken = 0;
                    for _ in 0..ROUNDS {
                        taken += match which {
                            0 => log.take(&mut words),
                            _ => log.clear(64, 66, &mut words[1..]),
                        };
                        words = [u64::MAX; 3];
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
                    let mut words = vec![9; words_for(pages) as usize];
                    prop_assert_eq!(log.take(&mut words), model.len() as u64);
                    prop_assert_eq!(pages_of(&words), std::mem::take(&mut model));
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
