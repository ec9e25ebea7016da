// SPDX-License-Identifier: GPL-2.0-or-later

//! The limit of one open file.

use proptest::prelude::*;
use reeve_host::bo::rules::client_limit::*;

#[test]
fn the_rule_is_what_the_table_says() {
    for (charged, wanted, limit, hard, verdict) in CASES {
        assert_eq!(
            judge(charged, wanted, limit, hard),
            verdict,
            "{charged} {wanted} {limit:?} {hard}"
        );
    }
}

#[test]
fn the_lower_limit_holds() {
    for (own, module, expected) in [
        (0, 0, None),
        (0, 7, Some(7)),
        (3, 0, Some(3)),
        (3, 7, Some(3)),
        (9, 7, Some(7)),
        (u64::MAX, 1, Some(1)),
    ] {
        assert_eq!(in_force(own, module), expected);
    }
}

#[test]
fn what_is_being_populated_is_not_over_the_limit_yet() {
    for (charged, in_flight, limit, over) in [
        (10, 0, None, false),
        (10, 0, Some(10), false),
        (11, 0, Some(10), true),
        (15, 5, Some(10), false),
        (16, 5, Some(10), true),
        // Seen at different moments.
        (3, 5, Some(0), false),
    ] {
        assert_eq!(Use { charged, in_flight }.is_over(limit), over);
    }
}

#[test]
fn sums_are_those_of_the_objects() {
    let of = |n: u64| Holdings {
        objects: 1,
        total: n,
        resident: n / 2,
        charged: n / 3,
        pinned: n / 4,
        swapped: n / 5,
        backed_up: n / 6,
        logging: 1,
    };
    let none = Holdings::default();
    let mut sums = none;
    sums.replace(&none, &of(60));
    sums.replace(&none, &of(120));
    assert_eq!((sums.objects, sums.total, sums.stored()), (2, 180, 36 + 30));
    sums.replace(&of(120), &of(240));
    sums.replace(&of(60), &none);
    assert_eq!(sums, of(240));
    sums.replace(&of(240), &none);
    assert_eq!(sums, none);
}

#[test]
fn eviction_helps_if_what_is_pinned_leaves_room() {
    for (pinned, wanted, limit, helps) in [
        (0, 10, None, true),
        (u64::MAX, u64::MAX, None, true),
        (0, 10, Some(10), true),
        (0, 11, Some(10), false),
        (5, 5, Some(10), true),
        (5, 6, Some(10), false),
        (u64::MAX, 1, Some(u64::MAX), false),
    ] {
        assert_eq!(eviction_helps(pinned, wanted, limit), helps);
    }
}

proptest! {
    /// A populate is let go on only within the limit, and refused only if it can never be.
    #[test]
    fn verdicts_mean_what_they_say(
        charged: u64,
        wanted: u64,
        limit in proptest::option::of(any::<u64>()),
        hard: bool,
    ) {
        let within = limit.is_none_or(|limit| charged <= limit);
        match judge(charged, wanted, limit, hard) {
            Verdict::Fits => prop_assert!(within),
            Verdict::MakeRoom => prop_assert!(!within && (!hard || Some(wanted) <= limit)),
            Verdict::Refuse => prop_assert!(!within && hard && Some(wanted) > limit),
        }
    }
}
