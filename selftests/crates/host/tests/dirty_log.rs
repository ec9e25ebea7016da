// SPDX-License-Identifier: GPL-2.0-or-later

//! The bits of a dirty log, its modes, and the ranges that can be cleared.

use std::collections::BTreeSet;

use proptest::prelude::*;
use reeve_host::bo::rules::dirty::*;

fn bits(pages: u64, set: bool) -> Bits<Vec<u64>> {
    let words = vec![0xdead_beef; words_for(pages) as usize];
    Bits::new(words, pages, set).unwrap()
}

fn copy(bits: &Bits<Vec<u64>>) -> Vec<u64> {
    let mut words = vec![7; words_for(bits.pages()) as usize];
    assert_eq!(bits.copy(&mut words), bits.dirty());
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
    assert!(Bits::new(vec![0; 2], 129, true).is_none());
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
    let mut log = bits(130, false);
    assert!(!log.set(130) && !log.set(u64::MAX));
    log.set_range(129, u64::MAX);
    log.put_back(128, &[u64::MAX, u64::MAX]);
    log.put_back(192, &[1]);
    assert_eq!(pages_of(&copy(&log)), BTreeSet::from([128, 129]));
    assert_eq!(log.dirty(), 2);
    let mut mask = [u64::MAX];
    assert_eq!(log.clear(128, 2, &mut mask), 2);
    assert_eq!((mask, log.dirty()), ([3], 0));
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
        let mut log = bits(pages, set);
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
            prop_assert_eq!(log.dirty(), model.len() as u64);
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
