// SPDX-License-Identifier: GPL-2.0-or-later

//! Buckets of a histogram of durations: powers of two of microseconds.
#![deny(unsafe_code)]

/// How many buckets there are.
///
/// The first is for less than a microsecond, the last for everything from 2^24 microseconds (17
/// seconds) on.
pub const BUCKETS: usize = 26;

/// The bucket of a duration.
#[inline]
pub const fn bucket_of(nanoseconds: u64) -> usize {
    let microseconds = nanoseconds / 1000;
    // Bucket i > 0 is for the numbers of i binary digits.
    let digits = (u64::BITS - microseconds.leading_zeros()) as usize;
    if digits < BUCKETS {
        digits
    } else {
        BUCKETS - 1
    }
}

/// The microseconds from which on a duration is in a bucket, and those from which on it is in the
/// next one; the last has no end.
pub const fn bounds(bucket: usize) -> (u64, Option<u64>) {
    let bucket = if bucket < BUCKETS {
        bucket
    } else {
        BUCKETS - 1
    };
    let from = (1 << bucket) >> 1;
    let until = if bucket + 1 < BUCKETS {
        Some(1 << bucket)
    } else {
        None
    };
    (from, until)
}
