// SPDX-License-Identifier: GPL-2.0-or-later

//! The complete operations on held locks: of each, what is wrong with it, which changes nothing and is
//! asked first, and its effect, which it has also when it was incorrect.

#![deny(unsafe_code)]

use super::{
    pack,
    room::Stored,
    Entry,
    HeldLocks,
    Known,
    LockUse,
    TAKEN_OUT_OF_ORDER, //
};
use crate::lock_order::rules::{
    conflict::Rules,
    flags::{
        self,
        EXCLUSIVE,
        SHARED,
        TRYLOCK,
        WAITING, //
    },
    violation::{
        Faults,
        Violation, //
    }, //
};

impl HeldLocks {
    /// What is wrong with taking a lock: the order does not exist, a held order of the hierarchy is equal
    /// or deeper (a trylock is exempt; a nestable order may repeat with ascending keys), or a conflict
    /// rule forbids it. Where there is no room for it, that is a fault once.
    pub fn lock_faults(&self, rules: &Rules<'_>, u: LockUse) -> Faults {
        let mut faults = Faults::none();
        if self.is_disabled() {
            return faults;
        }
        if !rules.has(u.order) {
            return Faults::one(Violation::InvalidOrder);
        }
        if !flags::is_one_mode(u.flags) {
            return Faults::one(Violation::InvalidFlags);
        }
        if let Some(broken) = self.broken_rule(rules, u.order) {
            faults.add(broken);
        }
        if u.flags & TRYLOCK == 0 {
            if let Some(i) = self.equal_or_deeper(rules, u) {
                faults.add(Violation::OrderHeld(i as u8));
            }
            if let Some(i) = self.other_held(rules) {
                faults.add(Violation::OtherHeld(i as u8));
            }
        }
        let is_first = !self.is_unsure && self.lost == 0;
        if is_first && self.len() == self.room() && self.find_replaced(rules, u).is_none() {
            faults.add(Violation::TooDeep);
        }
        faults
    }

    /// Records a lock that was just taken.
    ///
    /// It is held afterwards beside what was held before; only the very same lock is not held twice,
    /// unless it is shared both times. It is remembered if it was out of order, by a trylock or
    /// reported: then it may be released in any order. Where there is no room for it, no verdict is
    /// given that depends on it until as many locks were released that are not recorded.
    pub fn lock(&mut self, rules: &Rules<'_>, u: LockUse) {
        if self.is_disabled() || !rules.has(u.order) || !flags::is_one_mode(u.flags) {
            return;
        }
        // A trylock may have been out of order where that is not known.
        let out_of_order = self.out_of_order(rules, u).is_some()
            || u.flags & TRYLOCK != 0 && self.is_tolerant(rules);
        let extra = if out_of_order { TAKEN_OUT_OF_ORDER } else { 0 };
        let key = if rules.is_nestable(u.order) {
            u.key
        } else {
            u.instance as u64
        };
        if let Some(i) = self.find_replaced(rules, u) {
            self.remove(i);
        }
        self.settle(rules);
        if self.push(rules.token, LockUse { key, ..u }, extra) {
            self.note_regularity();
        } else {
            self.lose();
        }
    }

    /// What is wrong with releasing a lock: the order is not held by this instance in this mode, or a
    /// deeper order is held and neither `OUT_OF_ORDER` is passed nor was it taken out of order.
    pub fn unlock_faults(&self, rules: &Rules<'_>, u: LockUse) -> Faults {
        let mut faults = Faults::none();
        if self.is_disabled() {
            return faults;
        }
        if !rules.has(u.order) {
            return Faults::one(Violation::InvalidOrder);
        }
        if !flags::is_one_mode(u.flags) {
            return Faults::one(Violation::InvalidFlags);
        }
        let found = match self.holds(rules, u.order, u.instance) {
            Known::Yes(i) => Some(i),
            Known::No(other) => other,
            Known::Unknown => return faults,
        };
        let exempt = u.flags & flags::OUT_OF_ORDER != 0
            || found
                .and_then(|i| self.get(i))
                .is_some_and(|held| held.out_of_order);
        if !exempt {
            if let Some(i) = self.deeper(rules, u) {
                faults.add(Violation::DeeperHeld(i as u8));
            }
        }
        match found.and_then(|i| Some((i, self.get(i)?))) {
            None => faults.add(Violation::NotHeld),
            Some((i, held)) if held.instance != u.instance => {
                faults.add(Violation::WrongInstance(i as u8));
            }
            Some((i, held)) if held.exclusive != (u.flags & EXCLUSIVE != 0) => {
                faults.add(Violation::WrongMode(i as u8));
            }
            Some(_) => (),
        }
        faults
    }

    /// Records that a lock is about to be, or was, released.
    ///
    /// The order is not held afterwards in any case; of a nestable order only the instance named is
    /// forgotten.
    pub fn unlock(&mut self, rules: &Rules<'_>, u: LockUse) {
        if self.is_disabled() || !rules.has(u.order) || !flags::is_one_mode(u.flags) {
            return;
        }
        match self.holds(rules, u.order, u.instance) {
            Known::Yes(i) => self.remove(i),
            // An instance of a nestable order that is not held leaves the others alone.
            Known::No(Some(i)) if !rules.is_nestable(u.order) => self.remove(i),
            Known::No(_) => (),
            Known::Unknown => self.find_lost(),
        }
    }

    /// Takes out a lock, in whichever mode, that another thread is to release. Only if it is held.
    pub fn hand_over(&mut self, rules: &Rules<'_>, u: LockUse) -> Option<Entry> {
        if self.is_disabled() {
            return None;
        }
        match self.holds(rules, u.order, u.instance) {
            Known::Yes(i) => {
                let entry = self.get(i);
                self.remove(i);
                entry
            }
            Known::No(_) => None,
            Known::Unknown => {
                self.find_lost();
                None
            }
        }
    }

    /// Records a lock that another thread took. It may be released in any order, for it was not waited
    /// for.
    pub fn adopt(&mut self, rules: &Rules<'_>, entry: &Entry) {
        let mode = if entry.exclusive { EXCLUSIVE } else { SHARED };
        let u = LockUse {
            key: entry.key,
            ..LockUse::new(entry.instance, entry.order.into(), mode, entry.site)
        };
        if self.is_disabled() {
            return;
        }
        self.settle(rules);
        if self.push(rules.token, u, TAKEN_OUT_OF_ORDER) {
            self.note_regularity();
        } else {
            self.lose();
        }
    }

    /// Notes that another thread's lock is held that is not known: its release is no fault.
    pub fn adopt_unknown(&mut self) {
        if !self.is_disabled() {
            self.lose();
        }
    }

    /// What is wrong with making a lock a shared one: this instance is not held exclusively.
    pub fn downgrade_faults(&self, rules: &Rules<'_>, u: LockUse) -> Faults {
        let wanted = LockUse {
            flags: EXCLUSIVE,
            ..u
        };
        self.locked_faults(rules, wanted)
    }

    /// Records that an exclusively held lock became a shared one. Only if that is correct.
    pub fn downgrade(&mut self, rules: &Rules<'_>, u: LockUse) {
        self.change(rules, u, |how| how & !(EXCLUSIVE as u8) | SHARED as u8);
    }

    /// What is wrong with having waited for a lock: this instance is not held, waited for or not.
    pub fn acquired_faults(&self, rules: &Rules<'_>, u: LockUse) -> Faults {
        let wanted = LockUse {
            flags: flags::ANY,
            ..u
        };
        self.locked_faults(rules, wanted)
    }

    /// Records that the wait for a lock, recorded as [`WAITING`], ended well: it is held now, if
    /// it was recorded.
    pub fn acquired(&mut self, rules: &Rules<'_>, u: LockUse) {
        self.change(rules, u, |how| how & !(WAITING as u8));
    }

    /// Changes how a lock is held, if it is.
    fn change(&mut self, rules: &Rules<'_>, u: LockUse, change: impl FnOnce(u8) -> u8) {
        if self.is_disabled() {
            return;
        }
        if let Known::Yes(i) = self.holds(rules, u.order, u.instance) {
            let stored = self.stored(i);
            let [order, how] = stored.lock.to_le_bytes();
            let lock = pack(order, change(how));
            self.store(i, Stored { lock, ..stored });
        }
    }
}
