// SPDX-License-Identifier: GPL-2.0-or-later

//! The table of pairs that violations were of: where a pair goes, and when it is logged.

#![deny(unsafe_code)]

/// What a search for a pair came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// It is at this place.
    Found(usize),
    /// It is nowhere; this place is free.
    Free(usize),
    /// It is nowhere, and all places are taken.
    Full,
}

/// Looks for `pair`, which is not 0, among the places' keys; 0: free.
///
/// Places become free in the middle, when a hierarchy is unregistered, so a free one does not end the
/// search: a pair behind it would get a second place.
pub fn search(keys: impl Iterator<Item = u64>, pair: u64) -> Search {
    let mut free = Search::Full;
    for (index, key) in keys.enumerate() {
        if key == pair {
            return Search::Found(index);
        }
        if key == 0 && free == Search::Full {
            free = Search::Free(index);
        }
    }
    free
}

/// How many reports of one pair are logged in each [`WINDOW`]; the first always is.
pub const BURST: u64 = 5;

/// Nanoseconds.
pub const WINDOW: u64 = 5_000_000_000;

/// Returns what to remember when a report of a pair is logged at `now`, in nanoseconds, given what was
/// remembered of it; 0: nothing. `None`: it is not logged.
pub fn admit(remembered: u64, now: u64) -> Option<u64> {
    let (start, logged) = (remembered >> 8, remembered & 0xff);
    let now = now / 1_000_000;
    if remembered == 0 || now.wrapping_sub(start) >= WINDOW / 1_000_000 {
        Some(now << 8 | 1)
    } else if logged < BURST {
        Some(remembered + 1)
    } else {
        None
    }
}
