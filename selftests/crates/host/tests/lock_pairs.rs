// SPDX-License-Identifier: GPL-2.0-or-later

//! The table of pairs that violations were of: a pair has one place, whatever was forgotten before, and
//! its first report is logged.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reeve_host::lock_order::rules::pairs::{admit, search, Search, BURST, WINDOW};

const PLACES: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    /// A violation of this pair.
    Note(u64),
    /// All pairs of this hierarchy are forgotten.
    Forget(u64),
}

/// Pairs of three hierarchies: which one, and which of its four.
fn pair(hierarchy: u64, n: u64) -> u64 {
    1 + hierarchy * 4 + n
}

fn hierarchy(pair: u64) -> u64 {
    (pair - 1) / 4
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..3, 0u64..4).prop_map(|(h, n)| Step::Note(pair(h, n))),
        1 => (0u64..3).prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn every_pair_has_one_place_with_all_its_reports(steps in steps()) {
        let mut places = [(0u64, 0u32); PLACES];
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Note(pair) => match search(places.iter().map(|place| place.0), pair) {
                    Search::Found(index) => {
                        places[index].1 += 1;
                        *model.get_mut(&pair).unwrap() += 1;
                    }
                    Search::Free(index) => {
                        prop_assert_eq!(places[index].0, 0);
                        places[index] = (pair, 1);
                        prop_assert!(model.insert(pair, 1).is_none(), "a second place");
                    }
                    Search::Full => {
                        prop_assert_eq!(model.len(), PLACES);
                        prop_assert!(!model.contains_key(&pair));
                    }
                },
                Step::Forget(h) => {
                    for place in &mut places {
                        if place.0 != 0 && hierarchy(place.0) == h {
                            place.0 = 0;
                        }
                    }
                    model.retain(|pair, _| hierarchy(*pair) != h);
                }
            }
            let mut shown: Vec<_> = places.iter().copied().filter(|place| place.0 != 0).collect();
            shown.sort();
            prop_assert_eq!(shown, model.clone().into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_report_is_logged_whenever_it_comes(now: u64) {
        prop_assert!(admit(0, now).is_some_and(|remembered| remembered != 0));
    }
}

#[test]
fn a_free_place_before_the_pair_is_not_taken() {
    let pair = 7;
    assert_eq!(search([0, 7, 0].into_iter(), pair), Search::Found(1));
    assert_eq!(search([3, 0, 0].into_iter(), pair), Search::Free(1));
    assert_eq!(search([3, 4].into_iter(), pair), Search::Full);
}

#[test]
fn repeats_are_limited_until_the_window_ends() {
    let begin = 1_000_000_000;
    let (mut remembered, mut logged) = (0, 0);
    for n in 0..1000 {
        if let Some(new) = admit(remembered, begin + n * WINDOW / 1001) {
            remembered = new;
            logged += 1;
        }
    }
    assert_eq!(logged, BURST);
    assert!(admit(remembered, begin + WINDOW).is_some(), "a new window");
}
