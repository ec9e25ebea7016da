// SPDX-License-Identifier: GPL-2.0-or-later

//! Helpers of the lock-order tests.

use reeve_host::lock_order::rules::{
    conflict::{not_barred, Attributes, Rules, MAX_ORDERS},
    flags::{is_one_mode, EXCLUSIVE, SHARED, TRYLOCK},
    held::{HeldLocks, LockUse},
    plain::{is_plain, is_usual, order_mark, pack_plain},
    sanity::{Tracker, ORDER_NAMES, RULES},
    violation::Violation,
};

/// The sanity suite's hierarchy, as id 1.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) const SANITY: Rules<'static> = Rules {
    id: 1,
    token: 0x100,
    count: ORDER_NAMES.len() as u32,
    nestable: 0,
    conflicts: &RULES,
    attributes: Attributes::NONE,
    barred_from: not_barred,
};

/// A thread's held locks and one hierarchy, with what was reported so far.
pub(crate) struct Thread {
    pub(crate) held: HeldLocks,
    pub(crate) rules: Rules<'static>,
    pub(crate) reported: Vec<Violation>,
    /// Use the fast paths first, as the kernel does.
    pub(crate) fast: bool,
    /// Locks of other hierarchies may forbid those of this.
    pub(crate) is_barred: bool,
    /// The epoch of tracking.
    pub(crate) epoch: u32,
}

impl Thread {
    pub(crate) fn new(rules: Rules<'static>) -> Self {
        Self {
            held: HeldLocks::new(),
            rules,
            reported: Vec::new(),
            fast: true,
            is_barred: false,
            epoch: 0,
        }
    }

    fn lock_use(instance: usize, order: u32, flags: u32) -> LockUse {
        LockUse::new(instance, order, flags, order)
    }

    pub(crate) fn lock_in(
        &mut self,
        rules: &Rules<'_>,
        instance: usize,
        order: u32,
        flags: u32,
    ) -> bool {
        let plain_after = |previous| {
            (1..=MAX_ORDERS)
                .filter(|&order| is_plain(rules, previous, order))
                .fold(0, |set, order| set | order_mark(order as u8))
        };
        let tries = flags & TRYLOCK != 0;
        let packed = pack_plain(order, flags & !TRYLOCK).filter(|_| self.fast);
        if let Some(packed) = packed.filter(|_| !(tries && self.held.is_ignorant())) {
            if self
                .held
                .lock_fast(rules.token, instance, packed, order, plain_after)
            {
                return true;
            }
        }
        self.lock_complete(rules, Self::lock_use(instance, order, flags))
    }

    #[allow(dead_code, reason = "not every test file uses it")]
    pub(crate) fn lock_keyed_in(
        &mut self,
        rules: &Rules<'_>,
        instance: usize,
        order: u32,
        flags: u32,
        key: u64,
    ) -> bool {
        let u = LockUse {
            key,
            ..Self::lock_use(instance, order, flags)
        };
        self.lock_complete(rules, u)
    }

    fn lock_complete(&mut self, rules: &Rules<'_>, u: LockUse) -> bool {
        let is_ruled = rules
            .conflicts
            .iter()
            .any(|rule| u32::from(rule.order) == u.order);
        let obeys = is_ruled.then_some(|held: u8, exclusive: bool| {
            let mode = if exclusive { EXCLUSIVE } else { SHARED };
            !rules.conflicts.iter().any(|rule| {
                u32::from(rule.order) == u.order
                    && rule.while_held == held
                    && u32::from(rule.mode) & mode != 0
            })
        });
        let usual_after = |previous| {
            (1..=MAX_ORDERS)
                .filter(|&order| is_usual(rules, previous, order))
                .fold(0, |set, order| set | order_mark(order as u8))
        };
        let is_barred = self.is_barred;
        if self.fast
            && u.order.wrapping_sub(1) < MAX_ORDERS
            && is_one_mode(u.flags)
            && u.key == u.instance as u64
            && self
                .held
                .lock_quick(self.epoch, (rules.id, rules.token), u, usual_after, || {
                    is_barred
                })
        {
            return true;
        }
        if self.fast
            && rules.has(u.order)
            && is_one_mode(u.flags)
            && self.held.lock_usual(
                self.epoch,
                (rules.id, rules.token),
                u,
                (rules.is_nestable(u.order), self.is_barred),
                |_| true,
                obeys,
            )
        {
            return true;
        }
        let reported = &mut self.reported;
        self.held
            .record_lock(rules, u, &mut |_, v| reported.push(v))
    }

    pub(crate) fn unlock_in(
        &mut self,
        rules: &Rules<'_>,
        instance: usize,
        order: u32,
        flags: u32,
    ) -> bool {
        let plain = pack_plain(order, flags).filter(|_| self.fast);
        if plain.is_some_and(|packed| self.held.unlock_fast(rules.token, instance, packed)) {
            return true;
        }
        let u = Self::lock_use(instance, order, flags);
        if self.fast && is_one_mode(flags) && self.held.unlock_usual(self.epoch, rules.id, u) {
            return true;
        }
        let reported = &mut self.reported;
        self.held
            .record_unlock(rules, u, &mut |_, v| reported.push(v))
    }
}

impl Tracker for Thread {
    fn record_lock(&mut self, instance: usize, order: u32, flags: u32) -> bool {
        let rules = self.rules;
        self.lock_in(&rules, instance, order, flags)
    }

    fn record_unlock(&mut self, instance: usize, order: u32, flags: u32) -> bool {
        let rules = self.rules;
        self.unlock_in(&rules, instance, order, flags)
    }

    fn record_downgrade(&mut self, instance: usize, order: u32) -> bool {
        let u = Self::lock_use(instance, order, 0);
        let reported = &mut self.reported;
        self.held
            .record_downgrade(&self.rules, u, &mut |_, v| reported.push(v))
    }

    fn check_locked(&mut self, instance: usize, order: u32, flags: u32) -> bool {
        let u = Self::lock_use(instance, order, flags);
        if self.fast
            && reeve_host::lock_order::rules::flags::is_mode_or_any(flags)
            && self
                .held
                .check_locked_fast(self.rules.token, instance, order, flags)
        {
            return true;
        }
        let reported = &mut self.reported;
        self.held
            .check_locked(&self.rules, u, &mut |_, v| reported.push(v))
    }

    fn check_lockable_order(&mut self, order: u32, flags: u32) -> bool {
        let reported = &mut self.reported;
        self.held
            .check_lockable_order(&self.rules, order, flags, &mut |_, v| reported.push(v))
    }

    fn check_unlocked_order(&mut self, order: u32) -> bool {
        let reported = &mut self.reported;
        self.held
            .check_unlocked_order(&self.rules, order, &mut |_, v| reported.push(v))
    }

    fn check_all_unlocked(&mut self) -> bool {
        let reported = &mut self.reported;
        self.held
            .check_all_unlocked(&self.rules, &mut |_, v| reported.push(v))
    }

    fn forget_all(&mut self) {
        // As a thread that ends, and another that begins with the same context.
        self.held.begin(self.epoch);
    }
}
