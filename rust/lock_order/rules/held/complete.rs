// SPDX-License-Identifier: GPL-2.0-or-later

//! The complete operations on held locks: each finds every fault, then takes effect.

#![deny(unsafe_code)]

use super::{
    pack,
    HeldLocks,
    Known,
    LockUse,
    MASK,
    TAKEN_OUT_OF_ORDER, //
};
use crate::lock_order::rules::{
    conflict::Rules,
    flags::{
        self,
        EXCLUSIVE,
        MODE_MASK,
        SHARED,
        TRYLOCK,
        WAITING, //
    },
    violation::Violation, //
};

impl HeldLocks {
    /// Records a lock that was just taken.
    ///
    /// Correct when the order exists, no held order of the hierarchy is equal or deeper (a trylock
    /// is exempt and remembers that it was out of order; a nestable order may repeat with ascending
    /// keys) and no conflict rule forbids it. It is held afterwards in any case, beside what was
    /// held before; only the very same lock is not held twice, unless it is shared both times. Where there is no room for it, that is reported once, and no verdict is given
    /// that depends on it until as many locks were released that are not recorded.
    pub fn record_lock(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        if self.is_disabled() {
            return true;
        }
        if !rules.has(u.order) {
            report(self, Violation::InvalidOrder);
            return false;
        }
        if !flags::is_one_mode(u.flags) {
            report(self, Violation::InvalidFlags);
            return false;
        }

        let mut correct = true;
        if let Some(broken) = self.broken_rule(rules, u.order) {
            report(self, broken);
            correct = false;
        }

        let mut extra = 0;
        if u.flags & TRYLOCK != 0 && self.is_tolerant(rules) {
            // It may have been: then it may be released in any order.
            extra = TAKEN_OUT_OF_ORDER;
        }
        if let Some(i) = self.equal_or_deeper(rules, u) {
            if u.flags & TRYLOCK != 0 {
                extra = TAKEN_OUT_OF_ORDER;
            } else {
                report(self, Violation::OrderHeld(i as u8));
                correct = false;
            }
        }

        let key = if rules.is_nestable(u.order) {
            u.key
        } else {
            u.instance as u64
        };
        if let Some(i) = self.find_replaced(rules, u) {
            self.remove(i);
        }
        self.settle(rules);
        if !self.push(rules.id, LockUse { key, ..u }, extra) {
            if !self.lose() {
                return correct;
            }
            report(self, Violation::TooDeep);
            return false;
        }
        self.note_regularity();
        correct
    }

    /// Records that a lock is about to be, or was, released.
    ///
    /// Correct when the order is held by this instance in this mode, and no deeper order is held
    /// unless `OUT_OF_ORDER` is passed or a trylock took it out of order. The order is not held
    /// afterwards in any case; for a nestable order only the instance named is forgotten.
    pub fn record_unlock(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        if self.is_disabled() {
            return true;
        }
        if !rules.has(u.order) {
            report(self, Violation::InvalidOrder);
            return false;
        }
        if !flags::is_one_mode(u.flags) {
            report(self, Violation::InvalidFlags);
            return false;
        }

        let found = match self.holds(rules, u.order, u.instance) {
            Known::Yes(i) => Some(i),
            Known::No(other) => other,
            Known::Unknown => {
                self.find_lost();
                return true;
            }
        };
        let mut correct = true;

        let exempt = u.flags & flags::OUT_OF_ORDER != 0
            || found.is_some_and(|i| self.how(i) & TAKEN_OUT_OF_ORDER != 0);
        if !exempt {
            if let Some(i) = self.deeper(rules, u) {
                report(self, Violation::DeeperHeld(i as u8));
                correct = false;
            }
        }

        let Some(i) = found else {
            report(self, Violation::NotHeld);
            return false;
        };
        if self.instance[i & MASK] != u.instance {
            report(self, Violation::WrongInstance(i as u8));
            correct = false;
        } else if (self.how(i) ^ u.flags as u8) & MODE_MASK as u8 != 0 {
            report(self, Violation::WrongMode(i as u8));
            correct = false;
        }
        // An instance of a nestable order that is not held leaves the others alone.
        if !rules.is_nestable(u.order) || self.instance[i & MASK] == u.instance {
            self.remove(i);
        }
        correct
    }

    /// Records that an exclusively held lock became a shared one.
    ///
    /// Correct when this instance is held exclusively; otherwise nothing changes.
    pub fn record_downgrade(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        let share = |how| how & !(EXCLUSIVE as u8) | SHARED as u8;
        self.change(rules, u, EXCLUSIVE, report, share)
    }

    /// Records that the wait for a lock, recorded as [`WAITING`], ended well: it is held now.
    ///
    /// Correct when this instance is held, waited for or not.
    pub fn record_acquired(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        self.change(rules, u, flags::ANY, report, |how| how & !(WAITING as u8))
    }

    /// Changes how a lock is held that is held in one of these modes; otherwise reports that, and
    /// nothing changes.
    fn change(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        modes: u32,
        report: &mut impl FnMut(&Self, Violation),
        change: impl FnOnce(u8) -> u8,
    ) -> bool {
        if self.is_disabled() {
            return true;
        }
        let wanted = LockUse { flags: modes, ..u };
        if !self.check_locked(rules, wanted, report) {
            return false;
        }
        if let Known::Yes(i) = self.holds(rules, u.order, u.instance) {
            self.lock[(i & MASK) + 1] = pack(self.order(i), change(self.how(i)));
        }
        true
    }
}
