// SPDX-License-Identifier: GPL-2.0-or-later

//! The buckets of durations.

use proptest::prelude::*;
use reeve_host::bo::rules::histogram::*;

#[test]
fn buckets_are_powers_of_two_of_microseconds() {
    for (nanoseconds, bucket) in [
        (0, 0),
        (999, 0),
        (1_000, 1),
        (1_999, 1),
        (2_000, 2),
        (3_999, 2),
        (4_000, 3),
        (1_023_999, 10),
        (1_024_000, 11),
        ((1 << 24) * 1000 - 1, 24),
        ((1 << 24) * 1000, 25),
        (u64::MAX, 25),
    ] {
        assert_eq!(bucket_of(nanoseconds), bucket, "{nanoseconds}");
    }
}

#[test]
fn bounds_join() {
    let mut expected = 0;
    for bucket in 0..BUCKETS - 1 {
        let (from, until) = bounds(bucket);
        assert_eq!(from, expected);
        expected = until.unwrap();
        assert!(from < expected);
    }
    assert_eq!(bounds(BUCKETS - 1), (expected, None));
    assert_eq!(bounds(BUCKETS), bounds(BUCKETS - 1));
    assert_eq!(bounds(usize::MAX), bounds(BUCKETS - 1));
}

/// Durations of all magnitudes.
fn durations() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(bits, shift)| bits >> shift)
}

proptest! {
    #[test]
    fn a_duration_is_within_its_bucket(nanoseconds in durations()) {
        let bucket = bucket_of(nanoseconds);
        prop_assert!(bucket < BUCKETS);
        let (from, until) = bounds(bucket);
        prop_assert!(from * 1000 <= nanoseconds);
        prop_assert!(until.is_none_or(|until| nanoseconds < until * 1000));
    }

    #[test]
    fn longer_is_no_earlier_bucket(one in durations(), other in durations()) {
        let (short, long) = (one.min(other), one.max(other));
        prop_assert!(bucket_of(short) <= bucket_of(long));
    }
}
