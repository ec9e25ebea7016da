// SPDX-License-Identifier: GPL-2.0-or-later

//! Where objects are in an open file, and how many pages a fault maps.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reeve_host::bo::rules::mappings::*;
use reeve_host::bo::rules::page_runs::MAX_ORDER;

const LARGE: u64 = 1 << MAX_ORDER;

/// An open file: what was given out, by its end.
#[derive(Default)]
struct File {
    offsets: Offsets,
    taken: BTreeMap<u64, u64>,
}

impl File {
    fn give(&mut self, pages: u64) -> Option<u64> {
        let taken = &self.taken;
        let first = self.offsets.give(pages, |page| {
            let (&end, &first) = taken.range(page + 1..).next()?;
            Some((first, end))
        })?;
        self.taken.insert(first + pages, first);
        Some(first)
    }

    fn take_back(&mut self, first: u64, pages: u64) {
        assert_eq!(self.taken.remove(&(first + pages)), Some(first));
    }
}

#[test]
fn ranges_follow_each_other() {
    let mut file = File::default();
    assert_eq!(file.give(1), Some(FIRST));
    assert_eq!(file.give(5), Some(FIRST + 1));
    assert_eq!(file.give(LARGE - 1), Some(FIRST + 6));
    let large = file.give(LARGE).unwrap();
    assert_eq!(large % LARGE, 0);
    assert_eq!(file.give(1), Some(large + LARGE));
}

#[test]
fn what_is_free_again_waits_its_turn() {
    let mut file = File::default();
    let first = file.give(10).unwrap();
    file.take_back(first, 10);
    assert_ne!(file.give(10), Some(first));
    // Only when the end was reached.
    let rest = END - FIRST - 3 * LARGE;
    let large = file.give(rest).unwrap();
    assert_eq!(large, FIRST + LARGE);
    assert_eq!(file.give(2 * LARGE), Some(END - 2 * LARGE));
    assert_eq!(file.give(LARGE), None);
    assert_eq!(file.give(10), Some(first));
}

#[test]
fn the_end_is_the_end() {
    assert_eq!(File::default().give(END - FIRST), Some(FIRST));
    assert_eq!(File::default().give(END - FIRST + 1), None);
    assert_eq!(File::default().give(u64::MAX), None);
    let mut file = File::default();
    file.give(END - FIRST).unwrap();
    assert_eq!(file.give(1), None);
    file.take_back(FIRST, END - FIRST);
    assert_eq!(file.give(1), Some(FIRST));
}

#[test]
fn gaps_are_found_after_the_end() {
    let mut file = File::default();
    let third = (END - FIRST) / 3;
    let all = [(); 3].map(|()| file.give(third).unwrap());
    file.take_back(all[1], third);
    let found = file.give(third).unwrap();
    assert_eq!(found, all[1]);
    assert_eq!(file.give(third), None);
    file.take_back(all[0], third);
    assert_eq!(file.give(third), Some(all[0]));
}

proptest! {
    #[test]
    fn ranges_never_overlap(steps in prop::collection::vec((0..6u32, 1..3000u64, any::<prop::sample::Index>()), 1..200)) {
        let mut file = File::default();
        let mut live: Vec<(u64, u64)> = Vec::new();
        for (kind, pages, which) in steps {
            if kind == 0 && !live.is_empty() {
                let (first, pages) = live.swap_remove(which.index(live.len()));
                file.take_back(first, pages);
                continue;
            }
            // Some are so large that the end is reached.
            let pages = if kind == 1 { pages << 20 } else { pages };
            let Some(first) = file.give(pages) else {
                prop_assert!(pages > 1 << 20);
                continue;
            };
            prop_assert!(first >= FIRST && first + pages <= END);
            prop_assert!(pages < LARGE || first % LARGE == 0);
            prop_assert!(live.iter().all(|&(other, n)| first + pages <= other || other + n <= first));
            live.push((first, pages));
        }
    }

    #[test]
    fn around_is_around(first in 0..10_000u64, length in 1..2_000u64, at in any::<prop::sample::Index>()) {
        let end = first + length;
        let index = first + at.index(length as usize) as u64;
        let (low, high) = around(index, first, end);
        prop_assert!(first <= low && low <= index && index < high && high <= end);
        prop_assert!(high - low <= AROUND);
        // Every page of it would map the same.
        prop_assert!((low..high).all(|page| around(page, first, end) == (low, high)));
    }
}
