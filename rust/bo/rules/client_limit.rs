// SPDX-License-Identifier: GPL-2.0

//! The limit on the pages that one open file's objects may have charged.
#![deny(unsafe_code)]

/// Returns the limit in force: the file's own or, where that is 0, the module's; `None`: there is none.
pub const fn in_force(own: u64, module: u64) -> Option<u64> {
    match (own, module) {
        (0, 0) => None,
        (0, limit) | (limit, _) => Some(limit),
    }
}

/// The pages of an open file, as far as its limit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Pages charged, with those that are being populated.
    pub charged: u64,
    /// Of these, those that are being populated.
    pub in_flight: u64,
}

impl Use {
    /// Returns whether it is over the limit without what is being populated: those populates make
    /// room themselves.
    pub const fn is_over(self, limit: Option<u64>) -> bool {
        match limit {
            None => false,
            Some(limit) => self.charged.saturating_sub(self.in_flight) > limit,
        }
    }
}

/// What a populate that has charged its pages has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Fits,
    /// Evict another object of the file, and look again.
    MakeRoom,
    /// Fail: not even an empty file would have room.
    Refuse,
}

/// Judges a populate of an object of `wanted` pages in all, when `charged` pages are charged.
pub const fn judge(charged: u64, wanted: u64, limit: Option<u64>, hard: bool) -> Verdict {
    match limit {
        Some(limit) if charged > limit => {
            if hard && wanted > limit {
                Verdict::Refuse
            } else {
                Verdict::MakeRoom
            }
        }
        _ => Verdict::Fits,
    }
}

/// Cases of [`judge`] that the host tests and the module's own tests share: charged, wanted, limit,
/// hard, and the verdict.
pub const CASES: [(u64, u64, Option<u64>, bool, Verdict); 10] = [
    (0, 0, None, true, Verdict::Fits),
    (u64::MAX, u64::MAX, None, true, Verdict::Fits),
    (10, 10, Some(10), true, Verdict::Fits),
    (11, 1, Some(10), true, Verdict::MakeRoom),
    (11, 1, Some(10), false, Verdict::MakeRoom),
    (11, 10, Some(10), true, Verdict::MakeRoom),
    (11, 11, Some(10), true, Verdict::Refuse),
    (11, 11, Some(10), false, Verdict::MakeRoom),
    (5, 20, Some(10), true, Verdict::Fits),
    (u64::MAX, u64::MAX, Some(u64::MAX), true, Verdict::Fits),
];
