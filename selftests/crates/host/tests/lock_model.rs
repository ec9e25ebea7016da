// SPDX-License-Identifier: GPL-2.0

//! Random sequences of operations against a simple model of held locks.
//!
//! The model is written from the rules, per hierarchy and order, without arrays, fast paths or
//! bookkeeping about regularity. Answers, held locks and (for the order rule) what is reported must
//! agree after every step, with the fast paths and without them.

mod lock_common;

use lock_common::Thread;
use proptest::prelude::*;
use reeve_host::lock_order::rules::{
    conflict::{order_bit, Rule, Rules},
    flags::*,
    held::{HeldLocks, MAX_HELD},
    plain::{order_mark, pack_plain},
    sanity::Tracker,
};
use std::collections::BTreeMap;

const ORDERS: u32 = 7;

const CONFLICTS: [Rule; 2] = [
    Rule {
        order: 6,
        while_held: 2,
        mode: ANY as u8,
        unless_held: 0,
    },
    Rule {
        order: 5,
        while_held: 4,
        mode: SHARED as u8,
        unless_held: 1,
    },
];

const HIERARCHIES: [Rules<'static>; 3] = [
    Rules {
        id: 0,
        token: 0x100,
        count: ORDERS,
        nestable: 0,
        conflicts: &[],
    },
    Rules {
        id: 1,
        token: 0x200,
        count: ORDERS,
        nestable: 0,
        conflicts: &CONFLICTS,
    },
    Rules {
        id: 9,
        token: 0xa00,
        count: ORDERS,
        nestable: order_bit(3) | order_bit(5),
        conflicts: &[],
    },
];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Lock {
    exclusive: bool,
    out_of_order: bool,
    key: u64,
}

/// Hierarchy, order, instance, exclusive, out of order, key.
type Held = (u8, u8, usize, bool, bool, u64);

/// (hierarchy, order) -> instance -> how it is held.
#[derive(Clone, Default, Debug, PartialEq)]
struct Model {
    held: BTreeMap<(usize, u32), BTreeMap<usize, Lock>>,
    disabled: u32,
}

impl Model {
    fn nestable(h: usize, order: u32) -> bool {
        HIERARCHIES[h].nestable & order_bit(order) != 0
    }

    fn is_held(&self, h: usize, order: u32) -> bool {
        self.held.get(&(h, order)).is_some_and(|i| !i.is_empty())
    }

    fn deeper_held(&self, h: usize, order: u32) -> bool {
        (order + 1..=ORDERS).any(|deeper| self.is_held(h, deeper))
    }

    fn instances(&self, h: usize, order: u32) -> BTreeMap<usize, Lock> {
        self.held.get(&(h, order)).cloned().unwrap_or_default()
    }

    fn lock(&mut self, h: usize, instance: usize, order: u32, flags: u32, key: u64) -> bool {
        if self.disabled > 0 {
            return true;
        }
        if order == 0 || order > ORDERS {
            return false;
        }
        let nestable = Self::nestable(h, order);
        let in_order = !self.deeper_held(h, order)
            && self
                .instances(h, order)
                .values()
                .all(|other| nestable && other.key < key);
        let obeys_rules = HIERARCHIES[h].conflicts.iter().all(|rule| {
            u32::from(rule.order) != order
                || !self
                    .instances(h, rule.while_held.into())
                    .values()
                    .any(|lock| {
                        u32::from(rule.mode) & if lock.exclusive { EXCLUSIVE } else { SHARED } != 0
                    })
                || self.is_held(h, rule.unless_held.into())
        });
        let trylock = flags & TRYLOCK != 0;
        let instances = self.held.entry((h, order)).or_default();
        if !nestable {
            instances.clear();
        }
        instances.insert(
            instance,
            Lock {
                exclusive: flags & EXCLUSIVE != 0,
                out_of_order: trylock && !in_order,
                key: if nestable { key } else { instance as u64 },
            },
        );
        (in_order || trylock) && obeys_rules
    }

    fn unlock(&mut self, h: usize, instance: usize, order: u32, flags: u32) -> bool {
        if self.disabled > 0 {
            return true;
        }
        if order == 0 || order > ORDERS {
            return false;
        }
        let nestable = Self::nestable(h, order);
        let instances = self.instances(h, order);
        let named = instances.get(&instance).copied();
        // What a wrong instance stands for is the order's only, or last taken, lock; whether that
        // one was out of order only matters for an unlock that is incorrect anyway.
        let exempt = flags & OUT_OF_ORDER != 0 || named.is_some_and(|lock| lock.out_of_order);
        let deeper = self.deeper_held(h, order);
        let right = named.is_some_and(|lock| lock.exclusive == (flags & EXCLUSIVE != 0));
        let held = self.held.entry((h, order)).or_default();
        if nestable {
            held.remove(&instance);
        } else {
            held.clear();
        }
        right && (exempt || !deeper)
    }

    fn downgrade(&mut self, h: usize, instance: usize, order: u32) -> bool {
        if self.disabled > 0 {
            return true;
        }
        match self
            .held
            .get_mut(&(h, order))
            .and_then(|i| i.get_mut(&instance))
        {
            Some(lock) if lock.exclusive => {
                lock.exclusive = false;
                true
            }
            _ => false,
        }
    }

    fn check_locked(&self, h: usize, instance: usize, order: u32, flags: u32) -> bool {
        self.disabled > 0
            || self
                .instances(h, order)
                .get(&instance)
                .is_some_and(|lock| flags & if lock.exclusive { EXCLUSIVE } else { SHARED } != 0)
    }

    fn lockable(&self, h: usize, order: u32, flags: u32) -> bool {
        self.disabled > 0
            || (1..=ORDERS).contains(&order)
                && (flags & TRYLOCK != 0
                    || !self.deeper_held(h, order)
                        && (Self::nestable(h, order) || !self.is_held(h, order)))
    }

    fn unlocked(&self, h: usize, order: u32) -> bool {
        self.disabled > 0 || (1..=ORDERS).contains(&order) && !self.is_held(h, order)
    }

    fn all_unlocked(&self, h: usize) -> bool {
        self.disabled > 0 || (1..=ORDERS).all(|order| !self.is_held(h, order))
    }

    fn snapshot(&self) -> Vec<Held> {
        let mut all: Vec<_> = self
            .held
            .iter()
            .flat_map(|(&(h, order), instances)| {
                instances.iter().map(move |(&instance, lock)| {
                    (
                        HIERARCHIES[h].id,
                        order as u8,
                        instance,
                        lock.exclusive,
                        lock.out_of_order,
                        lock.key,
                    )
                })
            })
            .collect();
        all.sort_unstable();
        all
    }

    fn len(&self) -> usize {
        self.held.values().map(BTreeMap::len).sum()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Lock(usize, usize, u32, u32),
    LockKeyed(usize, usize, u32, u32, u64),
    Unlock(usize, usize, u32, u32),
    /// Unlock the lock taken last, as code mostly does.
    UnlockLast,
    Downgrade(usize, usize, u32),
    CheckLocked(usize, usize, u32, u32),
    Lockable(usize, u32, u32),
    Unlocked(usize, u32),
    AllUnlocked(usize),
    Disable,
    Enable,
    SaveAndRestore,
}

fn step() -> impl Strategy<Value = Step> {
    let h = 0..HIERARCHIES.len();
    let instance = 0usize..4;
    let order = prop_oneof![20 => 1..=ORDERS, 1 => Just(0u32), 1 => Just(ORDERS + 1)];
    let mode = prop_oneof![Just(EXCLUSIVE), Just(SHARED)];
    let lock_flags = (
        mode.clone(),
        prop_oneof![4 => Just(0), 1 => Just(TRYLOCK), 1 => Just(OUT_OF_ORDER)],
    )
        .prop_map(|(mode, extra)| mode | extra);
    let check_mode = prop_oneof![Just(EXCLUSIVE), Just(SHARED), Just(ANY)];
    prop_oneof![
        12 => (h.clone(), instance.clone(), order.clone(), lock_flags.clone())
            .prop_map(|(h, i, o, f)| Step::Lock(h, i, o, f)),
        6 => (h.clone(), instance.clone(), order.clone(), lock_flags.clone(), 0u64..6)
            .prop_map(|(h, i, o, f, k)| Step::LockKeyed(h, i, o, f, k)),
        5 => (h.clone(), instance.clone(), order.clone(), lock_flags.clone())
            .prop_map(|(h, i, o, f)| Step::Unlock(h, i, o, f)),
        7 => Just(Step::UnlockLast),
        2 => (h.clone(), instance.clone(), order.clone())
            .prop_map(|(h, i, o)| Step::Downgrade(h, i, o)),
        4 => (h.clone(), instance, order.clone(), check_mode)
            .prop_map(|(h, i, o, f)| Step::CheckLocked(h, i, o, f)),
        3 => (h.clone(), order.clone(), lock_flags).prop_map(|(h, o, f)| Step::Lockable(h, o, f)),
        2 => (h.clone(), order).prop_map(|(h, o)| Step::Unlocked(h, o)),
        1 => h.prop_map(Step::AllUnlocked),
        1 => Just(Step::Disable),
        2 => Just(Step::Enable),
        1 => Just(Step::SaveAndRestore),
    ]
}

/// Applies `step` to both; answers what each said.
fn apply(step: Step, t: &mut Thread, m: &mut Model) -> (bool, bool) {
    match step {
        Step::Lock(h, i, o, f) => (
            t.lock_in(&HIERARCHIES[h], i, o, f),
            m.lock(h, i, o, f, i as u64),
        ),
        Step::LockKeyed(h, i, o, f, k) => (
            t.lock_keyed_in(&HIERARCHIES[h], i, o, f, k),
            m.lock(h, i, o, f, k),
        ),
        Step::Unlock(h, i, o, f) => (t.unlock_in(&HIERARCHIES[h], i, o, f), m.unlock(h, i, o, f)),
        Step::UnlockLast => {
            let Some(last) = t.held.get(t.held.len().wrapping_sub(1)) else {
                return (true, true);
            };
            let h = HIERARCHIES
                .iter()
                .position(|r| r.id == last.hierarchy)
                .expect("one of ours");
            let mode = if last.exclusive { EXCLUSIVE } else { SHARED };
            apply(
                Step::Unlock(h, last.instance, last.order.into(), mode),
                t,
                m,
            )
        }
        Step::Downgrade(h, i, o) => {
            t.rules = HIERARCHIES[h];
            (t.record_downgrade(i, o), m.downgrade(h, i, o))
        }
        Step::CheckLocked(h, i, o, f) => {
            t.rules = HIERARCHIES[h];
            (t.check_locked(i, o, f), m.check_locked(h, i, o, f))
        }
        Step::Lockable(h, o, f) => {
            t.rules = HIERARCHIES[h];
            (t.check_lockable_order(o, f), m.lockable(h, o, f))
        }
        Step::Unlocked(h, o) => {
            t.rules = HIERARCHIES[h];
            (t.check_unlocked_order(o), m.unlocked(h, o))
        }
        Step::AllUnlocked(h) => {
            t.rules = HIERARCHIES[h];
            (t.check_all_unlocked(), m.all_unlocked(h))
        }
        Step::Disable => {
            m.disabled += 1;
            (t.held.disable(), true)
        }
        Step::Enable => {
            let was = m.disabled > 0;
            m.disabled = m.disabled.saturating_sub(1);
            (t.held.enable(), was)
        }
        Step::SaveAndRestore => {
            let mut saved = HeldLocks::new();
            t.held.save_into(&mut saved);
            let emptied = t.held.is_empty() && !t.held.is_disabled();
            saved.save_into(&mut t.held);
            (emptied, true)
        }
    }
}

fn snapshot(held: &HeldLocks) -> Vec<Held> {
    let mut all: Vec<_> = held
        .iter()
        .map(|e| {
            (
                e.hierarchy,
                e.order,
                e.instance,
                e.exclusive,
                e.out_of_order,
                e.key,
            )
        })
        .collect();
    all.sort_unstable();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_and_the_held_locks_agree_with_the_model(
        steps in prop::collection::vec(step(), 1..120),
        fast: bool,
    ) {
        let mut thread = Thread::new(HIERARCHIES[0]);
        thread.fast = fast;
        let mut model = Model::default();
        for (n, &step) in steps.iter().enumerate() {
            let reported = thread.reported.len();
            let (got, expected) = apply(step, &mut thread, &mut model);
            prop_assert_eq!(got, expected, "step {}: {:?}", n, step);
            prop_assert!(model.len() <= MAX_HELD);
            prop_assert_eq!(snapshot(&thread.held), model.snapshot(), "step {}: {:?}", n, step);
            // Exactly the incorrect uses of locks are reported (enable has no report of its own).
            if !matches!(step, Step::Enable) {
                prop_assert_eq!(thread.reported.len() == reported, got, "step {}: {:?}", n, step);
            }
        }
    }

    #[test]
    fn a_declined_fast_path_changes_nothing(
        steps in prop::collection::vec(step(), 0..60),
        order in 1..=ORDERS,
        instance in 0usize..4,
        exclusive: bool,
    ) {
        let mut thread = Thread::new(HIERARCHIES[0]);
        let mut model = Model::default();
        for step in steps {
            apply(step, &mut thread, &mut model);
        }
        let flags = if exclusive { EXCLUSIVE } else { SHARED };
        let packed = pack_plain(order, flags).expect("an order and a mode");
        let before: Vec<_> = thread.held.iter().collect();
        if !thread.held.unlock_fast(0x100, instance, packed) {
            prop_assert_eq!(thread.held.iter().collect::<Vec<_>>(), before.clone());
            let plain_after = |previous| order_mark(order as u8) * u64::from(u32::from(previous) < order);
            if !thread.held.lock_fast(0x100, instance, packed, 0, plain_after) {
                prop_assert_eq!(thread.held.iter().collect::<Vec<_>>(), before);
            }
        }
    }
}
