// SPDX-License-Identifier: GPL-2.0-or-later

//! What one open file's objects hold, and the limit on the pages that they may have charged.
#![deny(unsafe_code)]

/// Returns the limit in force: the lower one of the file's own and the module's, where 0 is none;
/// `None`: there is none.
pub const fn in_force(own: u64, module: u64) -> Option<u64> {
    match (own, module) {
        (0, 0) => None,
        (0, limit) | (limit, 0) => Some(limit),
        (own, module) => Some(if own < module { own } else { module }),
    }
}

/// What an open file's objects hold; all but `objects` and `logging` in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// How many there are.
    pub objects: u64,
    /// Pages they have when populated.
    pub total: u64,
    /// Pages they hold in memory.
    pub resident: u64,
    /// Pages they have added to the counters.
    pub charged: u64,
    /// Pages in memory of those that are pinned.
    pub pinned: u64,
    /// Pages whose content is in swap storage.
    pub swapped: u64,
    /// Pages whose content is in a backup.
    pub backed_up: u64,
    /// How many of the objects log writes.
    pub logging: u64,
}

impl Holdings {
    /// Returns the number of pages whose content is in storage of either kind.
    pub const fn stored(&self) -> u64 {
        self.swapped + self.backed_up
    }

    /// Returns the number of pages charged that are pinned, for what one object holds.
    pub const fn pinned_charged(&self) -> u64 {
        if self.pinned == 0 {
            0
        } else {
            self.charged
        }
    }

    /// Replaces what one object adds to the sums: `before` by `after`.
    pub fn replace(&mut self, before: &Self, after: &Self) {
        let change =
            |sum: u64, before: u64, after: u64| sum.wrapping_sub(before).wrapping_add(after);
        *self = Self {
            objects: change(self.objects, before.objects, after.objects),
            total: change(self.total, before.total, after.total),
            resident: change(self.resident, before.resident, after.resident),
            charged: change(self.charged, before.charged, after.charged),
            pinned: change(self.pinned, before.pinned, after.pinned),
            swapped: change(self.swapped, before.swapped, after.swapped),
            backed_up: change(self.backed_up, before.backed_up, after.backed_up),
            logging: change(self.logging, before.logging, after.logging),
        };
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

/// Returns whether an object of `wanted` pages in all would fit if everything was evicted that is not
/// among the `pinned` pages.
pub const fn eviction_helps(pinned: u64, wanted: u64, limit: Option<u64>) -> bool {
    match limit {
        None => true,
        Some(limit) => match pinned.checked_add(wanted) {
            Some(sum) => sum <= limit,
            None => false,
        },
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
