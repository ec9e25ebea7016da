// SPDX-License-Identifier: GPL-2.0

//! The questions one can ask of held locks; none of them changes what is held.

use super::{
    held::{
        HeldLocks,
        LockUse, //
    },
    lock_flags::{
        self,
        MODE_MASK,
        TRYLOCK, //
    },
    rules::Rules,
    violation::Violation,
};

impl HeldLocks {
    /// Correct when this instance is held in this mode (`ANY`: in either).
    pub fn check_locked(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        self.catch_up();
        if self.is_disabled() {
            return true;
        }
        let fault = if !rules.has(u.order) {
            Violation::InvalidOrder
        } else if !lock_flags::is_mode_or_any(u.flags) {
            Violation::InvalidFlags
        } else {
            match self.find(rules, u.order, u.instance) {
                None if self.is_tolerant() => return true,
                None => Violation::NotHeld,
                Some(i) => match self.get(i) {
                    Some(held) if held.instance != u.instance => Violation::WrongInstance(i as u8),
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
    /// it would be a trylock. For an order nestable by key an equal one is left to
    /// [`record_lock`](Self::record_lock), which knows the key.
    pub fn check_lockable_order(
        &mut self,
        rules: &Rules<'_>,
        order: u32,
        flags: u32,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        self.catch_up();
        if self.is_disabled() {
            return true;
        }
        let fault = if !rules.has(order) {
            Violation::InvalidOrder
        } else if flags & !lock_flags::ALL != 0 {
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
        self.catch_up();
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
        self.catch_up();
        if self.is_disabled() {
            return true;
        }
        match self.first(rules, |_| true) {
            Some(i) => {
                report(self, Violation::StillHeld(i as u8));
                false
            }
            None => true,
        }
    }

    /// The first entry of the hierarchy that `wanted` picks.
    fn first(
        &self,
        rules: &Rules<'_>,
        wanted: impl Fn(&super::held::Entry) -> bool,
    ) -> Option<usize> {
        self.iter()
            .position(|held| held.hierarchy == rules.id && wanted(&held))
    }

    /// The held lock that makes taking `u` a wrong order, if any.
    ///
    /// For an order nestable by key, an equal order conflicts unless its address is lower.
    pub(super) fn equal_or_deeper(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        let nestable = rules.is_nestable(u.order);
        self.first(rules, |held| {
            let order = u32::from(held.order);
            order > u.order || order == u.order && !(nestable && held.instance < u.instance)
        })
    }

    /// The held lock that makes releasing `u` a release out of order, if any.
    pub(super) fn deeper(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        let nestable = rules.is_nestable(u.order);
        self.first(rules, |held| {
            let order = u32::from(held.order);
            order > u.order || order == u.order && nestable && held.instance > u.instance
        })
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
                && self
                    .first(rules, |held| held.order == rule.unless_held)
                    .is_some();
            (!excused).then_some(Violation::RuleBroken {
                rule: n as u8,
                held: held as u8,
            })
        })
    }
}

fn mode_bit(exclusive: bool) -> u32 {
    if exclusive {
        lock_flags::EXCLUSIVE
    } else {
        lock_flags::SHARED
    }
}
