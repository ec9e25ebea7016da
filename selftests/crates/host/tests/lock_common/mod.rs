// SPDX-License-Identifier: GPL-2.0-or-later

//! Helpers of the lock-order tests.

use reeve_host::lock_order::rules::{
    conflict::{first_slot, not_barred, Attributes, Rules, MAX_ORDERS},
    flags::{is_one_mode, EXCLUSIVE, OUT_OF_ORDER, SHARED, TRYLOCK, WAITING},
    held::{fast::Plain, HeldLocks, LockUse},
    plain::{is_plain, nests_plainly, order_mark, pack_plain},
    sanity::{Tracker, ORDER_NAMES, RULES},
    violation::Violation,
};

/// The sanity suite's hierarchy.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) const SANITY: Rules<'static> = Rules {
    token: 0x100,
    count: ORDER_NAMES.len() as u32,
    nestable: 0,
    conflicts: &RULES,
    attributes: Attributes::NONE,
    is_barred: false,
    barred_from: not_barred,
    slot_of: first_slot,
};

/// A hierarchy that has orders and nothing else.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) const PLAIN: Rules<'static> = Rules {
    token: 0x300,
    count: MAX_ORDERS,
    nestable: 0,
    conflicts: &[],
    attributes: Attributes::NONE,
    is_barred: false,
    barred_from: not_barred,
    slot_of: first_slot,
};

fn set_of(is_in: impl Fn(u32) -> bool) -> u64 {
    let orders = (1..=MAX_ORDERS).filter(|&order| is_in(order));
    orders.fold(0, |set, order| set | order_mark(order as u8))
}

/// What the fast paths know of a hierarchy with these rules, at the most.
struct Of<'a>(&'a Rules<'a>);

impl Plain for Of<'_> {
    fn after(&self, previous: u8) -> u64 {
        set_of(|order| is_plain(self.0, previous, order))
    }

    fn nests(&self) -> u64 {
        set_of(|order| nests_plainly(self.0, order))
    }
}

/// Such knowledge, of what may come after which; nothing nests.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) struct After<F>(pub(crate) F);

impl<F: Fn(u8) -> u64> Plain for After<F> {
    fn after(&self, previous: u8) -> u64 {
        self.0(previous)
    }

    fn nests(&self) -> u64 {
        0
    }
}

/// A thread's held locks and one hierarchy, with what was reported so far.
pub(crate) struct Thread {
    pub(crate) held: HeldLocks,
    pub(crate) rules: Rules<'static>,
    pub(crate) reported: Vec<Violation>,
    /// Use the fast paths first, as the kernel does.
    pub(crate) fast: bool,
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
        let tries = flags & TRYLOCK != 0;
        let packed = pack_plain(order, flags & !TRYLOCK).filter(|_| self.fast);
        if let Some(packed) = packed.filter(|_| !(tries && self.held.is_ignorant())) {
            let (held, plain) = (&mut self.held, &Of(rules));
            if held.lock_fast(rules.token, instance, packed, order, plain) {
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
        let tries = u.flags & TRYLOCK != 0 && self.held.is_ignorant();
        let mode = u.flags & !(TRYLOCK | WAITING | OUT_OF_ORDER);
        let packed = pack_plain(u.order, mode).filter(|_| self.fast && !rules.is_barred && !tries);
        if let Some(packed) = packed.filter(|_| u.key == u.instance as u64) {
            let packed = packed | (u.flags & WAITING) << 8;
            let (token, epoch, plain) = (rules.token, self.epoch, &Of(rules));
            let held = &mut self.held;
            if held.lock_quick(epoch, token, u.instance, packed, u.site, plain) {
                return true;
            }
        }
        if self.fast
            && rules.has(u.order)
            && is_one_mode(u.flags)
            && self.held.lock_usual(
                self.epoch,
                rules.token,
                u,
                (rules.is_nestable(u.order), rules.is_barred),
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
        let (held, token) = (&mut self.held, rules.token);
        if self.fast && flags & OUT_OF_ORDER != 0 {
            if held.unlock_quick(token, instance, order, flags) {
                return true;
            }
        } else if self.fast && held.unlock_fast(token, instance, (order, flags)) {
            return true;
        }
        let u = Self::lock_use(instance, order, flags);
        if self.fast && is_one_mode(flags) && self.held.unlock_usual(self.epoch, rules.token, u) {
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
