// SPDX-License-Identifier: GPL-2.0-or-later

//! The questions one can ask of held locks; none of them changes what is held.

#![deny(unsafe_code)]

use super::{
    Entry,
    HeldLocks,
    Known,
    LockUse, //
};
use crate::lock_order::rules::{
    conflict::{
        order_bit,
        Rules, //
    },
    flags::{
        self,
        MODE_MASK,
        TRYLOCK, //
    },
    violation::{
        Faults,
        Violation, //
    }, //
};

impl HeldLocks {
    /// What is wrong with expecting that this instance is held in this mode (`ANY`: in either).
    pub fn locked_faults(&self, rules: &Rules<'_>, u: LockUse) -> Faults {
        if self.is_disabled() {
            return Faults::none();
        }
        if !rules.has(u.order) {
            return Faults::one(Violation::InvalidOrder);
        }
        if !flags::is_mode_or_any(u.flags) {
            return Faults::one(Violation::InvalidFlags);
        }
        Faults::from(match self.holds(rules, u.order, u.instance) {
            Known::Unknown => None,
            Known::No(Some(i)) => Some(Violation::WrongInstance(i as u8)),
            Known::No(None) => Some(Violation::NotHeld),
            Known::Yes(i) => self
                .get(i)
                .filter(|held| mode_bit(held.exclusive) & u.flags & MODE_MASK == 0)
                .map(|_| Violation::WrongMode(i as u8)),
        })
    }

    /// What is wrong with expecting that a lock of this order could be taken now: a held order is equal
    /// or deeper, and it would be no trylock. For a nestable order an equal one is left to
    /// [`lock_faults`](Self::lock_faults), which knows the key.
    pub fn lockable_faults(&self, rules: &Rules<'_>, order: u32, flags: u32) -> Faults {
        if self.is_disabled() {
            return Faults::none();
        }
        if !rules.has(order) {
            return Faults::one(Violation::InvalidOrder);
        }
        if flags & !flags::ALL != 0 {
            return Faults::one(Violation::InvalidFlags);
        }
        if flags & TRYLOCK != 0 {
            return Faults::none();
        }
        let from = order + u32::from(rules.is_nestable(order));
        let held = self.first(rules, |held| {
            u32::from(held.order) >= from && !self.is_excused(rules, order, held.order)
        });
        let mut faults = Faults::from(held.map(|i| Violation::OrderHeld(i as u8)));
        if let Some(i) = self.other_held(rules) {
            faults.add(Violation::OtherHeld(i as u8));
        }
        faults
    }

    /// The held lock of another hierarchy that forbids taking any of this, if there is one.
    pub(super) fn other_held(&self, rules: &Rules<'_>) -> Option<usize> {
        self.indexed()
            .find(|(_, held)| Self::bars(rules, held))
            .map(|(i, _)| i)
    }

    fn bars(rules: &Rules<'_>, held: &Entry) -> bool {
        let from = (rules.barred_from)(rules.token, held.hierarchy);
        held.hierarchy != rules.token && from != 0 && held.order >= from
    }

    /// What is wrong with expecting that no lock of this order is held.
    pub fn unlocked_faults(&self, rules: &Rules<'_>, order: u32) -> Faults {
        if self.is_disabled() {
            return Faults::none();
        }
        if !rules.has(order) {
            return Faults::one(Violation::InvalidOrder);
        }
        let held = self.first(rules, |held| u32::from(held.order) == order);
        Faults::from(held.map(|i| Violation::UnexpectedlyHeld(i as u8)))
    }

    /// What is wrong with expecting that no lock of this hierarchy is held. If nothing is,
    /// [`becomes_sure`](Self::becomes_sure) is to follow.
    pub fn all_unlocked_faults(&self, rules: &Rules<'_>) -> Faults {
        if self.is_disabled() {
            return Faults::none();
        }
        let held = self.first(rules, |_| true);
        Faults::from(held.map(|i| Violation::StillHeld(i as u8)))
    }

    /// None of this hierarchy is held: what is not recorded is not held, from now on.
    pub fn becomes_sure(&mut self, rules: &Rules<'_>) {
        if !self.is_disabled() && (self.is_unsure || self.lost != 0) {
            self.is_sure_of_one = true;
            self.sure_of = rules.token;
        }
    }

    /// The first entry of the hierarchy that `wanted` picks.
    pub(super) fn first(
        &self,
        rules: &Rules<'_>,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Option<usize> {
        self.indexed()
            .find(|(_, held)| held.hierarchy == rules.token && wanted(held))
            .map(|(i, _)| i)
    }

    /// The held lock that makes taking `u` a wrong order, if any.
    pub(super) fn equal_or_deeper(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        self.out_of_order(rules, u)
            .filter(|_| !self.is_recursive(rules, u))
    }

    /// The held lock that `u` comes after out of order, also where that is no fault.
    pub(super) fn out_of_order(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        self.first(rules, |held| self.forbids_lock(rules, u, held))
    }

    /// The held lock that makes releasing `u` a release out of order, if any.
    pub(super) fn deeper(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        self.first(rules, |held| self.forbids_unlock(rules, u, held))
    }

    /// Whether the held lock at `index` is one of those that `violation`, found in the use `u`, is
    /// about. (The violation names the first.)
    pub fn is_conflict(
        &self,
        rules: &Rules<'_>,
        u: LockUse,
        violation: Violation,
        index: usize,
    ) -> bool {
        let Some(held) = self.get(index) else {
            return false;
        };
        if matches!(violation, Violation::OtherHeld(_)) {
            return Self::bars(rules, &held);
        }
        if held.hierarchy != rules.token {
            return false;
        }
        match violation {
            Violation::OrderHeld(_) => self.forbids_lock(rules, u, &held),
            Violation::DeeperHeld(_) => self.forbids_unlock(rules, u, &held),
            Violation::UnexpectedlyHeld(_) => u32::from(held.order) == u.order,
            Violation::StillHeld(_) => true,
            _ => violation.conflict() == Some(index as u8),
        }
    }

    /// Whether `u` must not be waited for while `held` is; both are of one hierarchy.
    ///
    /// For a nestable order, an equal one conflicts unless it is another lock, with a lower key.
    fn forbids_lock(&self, rules: &Rules<'_>, u: LockUse, held: &Entry) -> bool {
        let order = u32::from(held.order);
        let is_other = held.instance != u.instance || order != u.order;
        let nests = rules.is_nestable(u.order) && held.key < u.key && is_other;
        let comes_before = order < u.order || order == u.order && nests;
        !(comes_before || is_other && self.is_excused(rules, u.order, held.order))
    }

    /// Whether `u` is released out of order while `held` is. Locks of one order may be released in any.
    fn forbids_unlock(&self, rules: &Rules<'_>, u: LockUse, held: &Entry) -> bool {
        u32::from(held.order) > u.order && !self.is_excused(rules, u.order, held.order)
    }

    /// Whether locks of these two orders need no sequence now: a group has both, and what it is under is
    /// held exclusively, or may be.
    fn is_excused(&self, rules: &Rules<'_>, order: u32, other: u8) -> bool {
        let both = order_bit(order) | order_bit(other.into());
        rules.attributes.groups.iter().any(|group| {
            let is_under = |held: &Entry| held.order == group.under && held.exclusive;
            group.under != 0
                && group.orders & both == both
                && (self.first(rules, is_under).is_some() || self.is_tolerant(rules))
        })
    }

    /// Whether `u` is one more read of a lock that is read already, of an order that allows that: it
    /// waits for nothing.
    fn is_recursive(&self, rules: &Rules<'_>, u: LockUse) -> bool {
        let is_read = |held: &Entry| {
            u32::from(held.order) == u.order && held.instance == u.instance && !held.exclusive
        };
        rules.attributes.recursive & order_bit(u.order) != 0
            && u.flags & flags::EXCLUSIVE == 0
            && self.first(rules, is_read).is_some()
    }

    /// The first conflict rule that forbids taking `order` now.
    pub(super) fn broken_rule(&self, rules: &Rules<'_>, order: u32) -> Option<Violation> {
        rules.conflicts.iter().enumerate().find_map(|(n, rule)| {
            if u32::from(rule.order) != order {
                return None;
            }
            let held = self.first(rules, |held| {
                held.order == rule.while_held
                    && mode_bit(held.exclusive) & u32::from(rule.mode) != 0
            })?;
            let excused = rule.unless_held != 0
                && !matches!(
                    self.holds_order(rules, rule.unless_held.into()),
                    Known::No(_)
                );
            (!excused).then_some(Violation::RuleBroken {
                rule: n as u8,
                held: held as u8,
            })
        })
    }
}

fn mode_bit(exclusive: bool) -> u32 {
    if exclusive {
        flags::EXCLUSIVE
    } else {
        flags::SHARED
    }
}
