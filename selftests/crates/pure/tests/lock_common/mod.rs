// SPDX-License-Identifier: GPL-2.0

//! Helpers of the lock-order tests.

use reeve_pure::{
    held::{HeldLocks, LockUse},
    lock_flags::{EXCLUSIVE, SHARED},
    rules::{Rule, Rules},
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
};

/// A thread's held locks and one hierarchy, with what was reported so far.
pub(crate) struct Thread {
    pub(crate) held: HeldLocks,
    pub(crate) rules: Rules<'static>,
    pub(crate) reported: Vec<Violation>,
    /// Use the fast paths first, as the kernel does.
    pub(crate) fast: bool,
}

impl Thread {
    pub(crate) fn new(rules: Rules<'static>) -> Self {
        Self {
            held: HeldLocks::new(),
            rules,
            reported: Vec::new(),
            fast: true,
        }
    }

    fn lock_use(instance: usize, order: u32, flags: u32) -> LockUse {
        LockUse {
            instance,
            order,
            flags,
            site: order,
        }
    }

    pub(crate) fn lock_in(
        &mut self,
        rules: &Rules<'_>,
        instance: usize,
        order: u32,
        flags: u32,
    ) -> bool {
        let u = Self::lock_use(instance, order, flags);
        let speaks_of = |rule: &Rule| u32::from(rule.order) == order;
        let plain = rules.has(order)
            && !rules.conflicts.iter().any(speaks_of)
            && (flags == EXCLUSIVE || flags == SHARED);
        if self.fast && plain && self.held.lock_fast(rules.token, u) {
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
        let u = Self::lock_use(instance, order, flags);
        if self.fast && self.held.unlock_fast(rules.token, u) {
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
            && reeve_pure::lock_flags::is_mode_or_any(flags)
            && self.held.check_locked_fast(self.rules.token, u)
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
        self.held.reset();
    }
}
