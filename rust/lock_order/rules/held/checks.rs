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
    conflict::Rules,
    flags::{
        self,
        MODE_MASK,
        TRYLOCK, //
    },
    violation::Violation, //
};

impl HeldLocks {
    /// Correct when this instance is held in this mode (`ANY`: in either).
    pub fn check_locked(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        if self.is_disabled() {
            return true;
        }
        let fault = if !rules.has(u.order) {
            Violation::InvalidOrder
        } else if !flags::is_mode_or_any(u.flags) {
            Violation::InvalidFlags
        } else {
            match self.holds(rules, u.order, u.instance) {
                Known::Unknown => return true,
                Known::No(Some(i)) => Violation::WrongInstance(i as u8),
                Known::No(None) => Violation::NotHeld,
                Known::Yes(i) => match self.get(i) {
                    Some(held) if mode_bit(held.exclusive) & u.flags & MODE_MASK == 0 => {
                        Violation::WrongMode(i as u8)
                    }
                    _ => return true,
                },
            }
        };
        report(self, fault);
        false
    }

    /// Correct when a lock of this order could be taken now: no held order is equal or deeper, or
    /// it would be a trylock. For a nestable order an equal one is left to
    /// [`record_lock`](Self::record_lock), which knows the key.
    pub fn check_lockable_order(
        &mut self,
        rules: &Rules<'_>,
        order: u32,
        flags: u32,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        if self.is_disabled() {
            return true;
        }
        let fault = if !rules.has(order) {
            Violation::InvalidOrder
        } else if flags & !flags::ALL != 0 {
            Violation::InvalidFlags
        } else if flags & TRYLOCK != 0 {
            return true;
        } else {
            let from = order + u32::from(rules.is_nestable(order));
            match self.first(rules, |held| u32::from(held.order) >= from) {
                Some(i) => Violation::OrderHeld(i as u8),
                None => return true,
            }
        };
        report(self, fault);
        false
    }

    /// Correct when no lock of this order is held.
    pub fn check_unlocked_order(
        &mut self,
        rules: &Rules<'_>,
        order: u32,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        if self.is_disabled() {
            return true;
        }
        let fault = if !rules.has(order) {
            Violation::InvalidOrder
        } else {
            match self.first(rules, |held| u32::from(held.order) == order) {
                Some(i) => Violation::UnexpectedlyHeld(i as u8),
                None => return true,
            }
        };
        report(self, fault);
        false
    }

    /// Correct when no lock of this hierarchy is held.
    pub fn check_all_unlocked(
        &mut self,
        rules: &Rules<'_>,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        if self.is_disabled() {
            return true;
        }
        match self.first(rules, |_| true) {
            Some(i) => {
                report(self, Violation::StillHeld(i as u8));
                false
            }
            None => {
                self.becomes_sure(rules);
                true
            }
        }
    }

    /// The first entry of the hierarchy that `wanted` picks.
    fn first(&self, rules: &Rules<'_>, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
        self.indexed()
            .find(|(_, held)| held.hierarchy == rules.id && wanted(held))
            .map(|(i, _)| i)
    }

    /// The held lock that makes taking `u` a wrong order, if any.
    pub(super) fn equal_or_deeper(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        self.first(rules, |held| forbids_lock(rules, u, held))
    }

    /// The held lock that makes releasing `u` a release out of order, if any.
    pub(super) fn deeper(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        self.first(rules, |held| forbids_unlock(u, held))
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
        let Some(held) = self.get(index).filter(|held| held.hierarchy == rules.id) else {
            return false;
        };
        match violation {
            Violation::OrderHeld(_) => forbids_lock(rules, u, &held),
            Violation::DeeperHeld(_) => forbids_unlock(u, &held),
            Violation::UnexpectedlyHeld(_) => u32::from(held.order) == u.order,
            Violation::StillHeld(_) => true,
            _ => violation.conflict() == Some(index as u8),
        }
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

/// Whether `u` must not be waited for while `held` is; both are of one hierarchy.
///
/// For a nestable order, an equal one conflicts unless it is another lock, with a lower key.
fn forbids_lock(rules: &Rules<'_>, u: LockUse, held: &Entry) -> bool {
    let order = u32::from(held.order);
    let nests = || rules.is_nestable(u.order) && held.key < u.key && held.instance != u.instance;
    order > u.order || order == u.order && !nests()
}

/// Whether `u` is released out of order while `held` is. Locks of one order may be released in any.
fn forbids_unlock(u: LockUse, held: &Entry) -> bool {
    u32::from(held.order) > u.order
}

fn mode_bit(exclusive: bool) -> u32 {
    if exclusive {
        flags::EXCLUSIVE
    } else {
        flags::SHARED
    }
}
