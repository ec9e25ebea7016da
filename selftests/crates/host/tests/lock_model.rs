// SPDX-License-Identifier: GPL-2.0-or-later

//! Random sequences of operations against a simple model of held locks.
//!
//! The model is written from the rules, per hierarchy and order, without arrays, fast paths or
//! bookkeeping about regularity. Results, held locks and (for the order rule) what is reported must
//! agree after every step, with the fast paths and without them.

mod lock_common;

use lock_common::{After, Thread};
use proptest::prelude::*;
use reeve_host::lock_order::rules::{
    conflict::{first_slot, not_barred, order_bit, Attributes, Rule, Rules},
    flags::*,
    held::{HeldLocks, Origin, MAX_HELD},
    plain::{order_mark, pack_plain},
    sanity::Tracker,
    violation::Violation,
};

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

/// The token of the hierarchy of locks that are not in the model.
const FILLING: usize = 0x7700;

/// From this order on the last hierarchy comes after the first one.
const BARRED_FROM: u32 = 4;

fn barred_by_last(taken: usize, held: usize) -> u8 {
    if (taken, held) == (0x100, 0xa00) {
        BARRED_FROM as u8
    } else {
        0
    }
}

const HIERARCHIES: [Rules<'static>; 3] = [
    Rules {
        token: 0x100,
        count: ORDERS,
        nestable: 0,
        conflicts: &[],
        attributes: Attributes::NONE,
        is_barred: true,
        barred_from: barred_by_last,
        slot_of: first_slot,
    },
    Rules {
        token: 0x200,
        count: ORDERS,
        nestable: 0,
        conflicts: &CONFLICTS,
        attributes: Attributes::NONE,
        is_barred: false,
        barred_from: not_barred,
        slot_of: first_slot,
    },
    Rules {
        token: 0xa00,
        count: ORDERS,
        nestable: order_bit(3) | order_bit(5),
        conflicts: &[],
        attributes: Attributes::NONE,
        is_barred: false,
        barred_from: not_barred,
        slot_of: first_slot,
    },
];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Lock {
    exclusive: bool,
    out_of_order: bool,
    key: u64,
}

/// Hierarchy, order, instance, exclusive, out of order, key.
type Held = (usize, u8, usize, bool, bool, u64);

/// Hierarchy, order and instance of each lock, in the order of taking, and how it is held.
#[derive(Clone, Default, Debug, PartialEq)]
struct Model {
    held: Vec<((usize, u32, usize), Lock)>,
    disabled: u32,
}

impl Model {
    fn nestable(h: usize, order: u32) -> bool {
        HIERARCHIES[h].nestable & order_bit(order) != 0
    }

    fn of(&self, h: usize, order: u32) -> impl DoubleEndedIterator<Item = (usize, Lock)> + '_ {
        let of = move |&&((in_h, of_order, _), _): &&((usize, u32, usize), Lock)| {
            (in_h, of_order) == (h, order)
        };
        self.held
            .iter()
            .filter(of)
            .map(|&((_, _, instance), lock)| (instance, lock))
    }

    fn is_held(&self, h: usize, order: u32) -> bool {
        self.of(h, order).next().is_some()
    }

    fn deeper_held(&self, h: usize, order: u32) -> bool {
        (order + 1..=ORDERS).any(|deeper| self.is_held(h, deeper))
    }

    /// Whether a lock of another hierarchy is held that comes after those of this.
    fn is_barred(&self, h: usize) -> bool {
        h == 0 && (BARRED_FROM..=ORDERS).any(|order| self.is_held(2, order))
    }

    /// The last record of this lock.
    fn find(&mut self, h: usize, order: u32, instance: usize) -> Option<&mut Lock> {
        let is_it = |held: &&mut ((usize, u32, usize), Lock)| held.0 == (h, order, instance);
        self.held
            .iter_mut()
            .rev()
            .find(is_it)
            .map(|held| &mut held.1)
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
                .of(h, order)
                .all(|(other, lock)| nestable && other != instance && lock.key < key);
        let mode_of = |lock: Lock| if lock.exclusive { EXCLUSIVE } else { SHARED };
        let obeys_rules = HIERARCHIES[h].conflicts.iter().all(|rule| {
            u32::from(rule.order) != order
                || !self
                    .of(h, rule.while_held.into())
                    .any(|(_, lock)| u32::from(rule.mode) & mode_of(lock) != 0)
                || self.is_held(h, rule.unless_held.into())
        });
        let trylock = flags & TRYLOCK != 0;
        let is_barred = self.is_barred(h);
        let lock = Lock {
            exclusive: flags & EXCLUSIVE != 0,
            out_of_order: !in_order,
            key: if nestable { key } else { instance as u64 },
        };
        // Only a shared lock can be held twice.
        let replaced = self.held.iter().position(|&(which, held)| {
            which == (h, order, instance) && (held.exclusive || lock.exclusive)
        });
        if let Some(n) = replaced {
            self.held.remove(n);
        }
        self.held.push(((h, order, instance), lock));
        (in_order && !is_barred || trylock) && obeys_rules
    }

    fn unlock(&mut self, h: usize, instance: usize, order: u32, flags: u32) -> bool {
        if self.disabled > 0 {
            return true;
        }
        if order == 0 || order > ORDERS {
            return false;
        }
        let deeper = self.deeper_held(h, order);
        let named = self.find(h, order, instance).copied();
        // A wrong instance stands for the order's last one, unless several may be held.
        let at = match named {
            Some(_) => Some(instance),
            None if Self::nestable(h, order) => None,
            None => self.of(h, order).next_back().map(|(last, _)| last),
        };
        if let Some(at) = at {
            let is_it = |held: &((usize, u32, usize), Lock)| held.0 == (h, order, at);
            let n = self.held.iter().rposition(is_it).expect("it is held");
            self.held.remove(n);
        }
        // Whether a wrong one was out of order only matters for an unlock that is incorrect anyway.
        let exempt = flags & OUT_OF_ORDER != 0 || named.is_some_and(|lock| lock.out_of_order);
        let right = named.is_some_and(|lock| lock.exclusive == (flags & EXCLUSIVE != 0));
        right && (exempt || !deeper)
    }

    fn downgrade(&mut self, h: usize, instance: usize, order: u32) -> bool {
        if self.disabled > 0 {
            return true;
        }
        match self.find(h, order, instance) {
            Some(lock) if lock.exclusive => {
                lock.exclusive = false;
                true
            }
            _ => false,
        }
    }

    fn check_locked(&mut self, h: usize, instance: usize, order: u32, flags: u32) -> bool {
        self.disabled > 0
            || self
                .find(h, order, instance)
                .is_some_and(|lock| flags & if lock.exclusive { EXCLUSIVE } else { SHARED } != 0)
    }

    fn lockable(&self, h: usize, order: u32, flags: u32) -> bool {
        self.disabled > 0
            || (1..=ORDERS).contains(&order)
                && (flags & TRYLOCK != 0
                    || !self.is_barred(h)
                        && !self.deeper_held(h, order)
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
            .map(|&((h, order, instance), lock)| {
                (
                    HIERARCHIES[h].token,
                    order as u8,
                    instance,
                    lock.exclusive,
                    lock.out_of_order,
                    lock.key,
                )
            })
            .collect();
        all.sort_unstable();
        all
    }

    fn len(&self) -> usize {
        self.held.len()
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

/// Applies `step` to both; returns what each said.
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
            let last = t.held.get(t.held.len().wrapping_sub(1));
            let Some(last) = last.filter(|last| last.hierarchy != FILLING) else {
                return (true, true);
            };
            let h = HIERARCHIES
                .iter()
                .position(|r| r.token == last.hierarchy)
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
        .filter(|e| e.hierarchy != FILLING)
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

/// The first lock of a context takes the fast path if the last one of its former owner was of the same hierarchy; not of
/// another, nor in a context that began while tracking was off, which knows nothing of what is held.
#[test]
fn the_first_lock_of_a_context_is_fast_while_tracking_is_on() {
    let packed = pack_plain(3, EXCLUSIVE).unwrap();
    let token = HIERARCHIES[0].token;
    let fast =
        |held: &mut HeldLocks, token| held.lock_fast(token, 1, packed, 0, &After(|_| u64::MAX));
    let mut thread = Thread::new(HIERARCHIES[0]);
    assert!(!fast(&mut thread.held, token), "it has had no lock");
    assert!(thread.lock_in(&HIERARCHIES[0], 1, 3, EXCLUSIVE));
    thread.held.begin(2);
    assert!(thread.held.is_empty());
    assert!(!fast(&mut thread.held, HIERARCHIES[1].token));
    assert!(fast(&mut thread.held, token));
    let tokens: Vec<usize> = thread.held.iter().map(|entry| entry.hierarchy).collect();
    assert_eq!(tokens, [HIERARCHIES[0].token]);
    for epoch in [3, 4] {
        thread.held.begin(epoch);
        assert!(!fast(&mut thread.held, token), "epoch {epoch}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_result_and_the_held_locks_agree_with_the_model(
        steps in prop::collection::vec(step(), 1..120),
        fast: bool,
        given: bool,
        // So many of a further hierarchy, with room for more.
        deep in prop_oneof![Just(None), (50usize..80).prop_map(Some)],
    ) {
        let mut thread = Thread::new(HIERARCHIES[0]);
        thread.fast = fast;
        if given {
            thread.held.set_origin(Origin::Given);
        }
        if let Some(n) = deep {
            thread.held.set_more(Box::leak(Box::default()));
            fill(&mut thread, n);
        }
        let mut model = Model::default();
        for (n, &step) in steps.iter().enumerate() {
            // What there is no room for is a test of its own.
            if model.len() == MAX_HELD - 1 && matches!(step, Step::Lock(..) | Step::LockKeyed(..)) {
                continue;
            }
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
        given: bool,
    ) {
        let mut thread = Thread::new(HIERARCHIES[0]);
        let mut model = Model::default();
        if given {
            thread.held.set_origin(Origin::Given);
        }
        for step in steps {
            apply(step, &mut thread, &mut model);
        }
        let was_empty = thread.held.is_empty();
        let flags = if exclusive { EXCLUSIVE } else { SHARED };
        let packed = pack_plain(order, flags).expect("an order and a mode");
        let before: Vec<_> = thread.held.iter().collect();
        if !thread.held.unlock_fast(0x100, instance, packed) {
            prop_assert_eq!(thread.held.iter().collect::<Vec<_>>(), before.clone());
            let plain_after = |previous| order_mark(order as u8) * u64::from(u32::from(previous) < order);
            if !thread.held.lock_fast(0x100, instance, packed, 0, &After(plain_after)) {
                prop_assert_eq!(thread.held.iter().collect::<Vec<_>>(), before);
            }
        }
        // Where a context goes with its last lock, they leave the first and the last to others.
        prop_assert!(!given || thread.held.is_empty() == was_empty);
    }

    /// Tracking is switched, locks are lost or what is held is forgotten, at any point of what is
    /// correct: nothing of what follows is reported.
    #[test]
    fn a_correct_history_is_not_accused_wherever_it_is_cut(
        steps in prop::collection::vec(correct(), 1..80),
        cut in 0usize..80,
        how in 0u8..3,
        fast: bool,
    ) {
        let mut thread = Thread::new(HIERARCHIES[0]);
        thread.fast = fast;
        let mut model = Model::default();
        for (n, &step) in steps.iter().enumerate() {
            if n == cut {
                match how {
                    0 => {
                        thread.epoch += 2;
                        prop_assert!(thread.held.catch_up(thread.epoch));
                    }
                    1 => thread.held.forget(),
                    // What is taken now is refused, because there is no room.
                    _ => fill(&mut thread, MAX_HELD),
                }
            }
            if how == 2 && n >= cut && model.len() > 8 {
                break;
            }
            let Some(step) = make_correct(step, &model) else { continue };
            let reported = thread.reported.len();
            let (got, expected) = apply(step, &mut thread, &mut model);
            prop_assert!(expected, "the history is a correct one: {:?}", step);
            let new = &thread.reported[reported..];
            let is_first_refusal = new == [Violation::TooDeep];
            prop_assert!(new.is_empty() || is_first_refusal, "step {}: {:?}: {:?}", n, step, new);
            prop_assert!(got || is_first_refusal, "step {}: {:?}", n, step);
        }
    }

    /// One wrong order between two locks that are recorded after a cut is seen.
    #[test]
    fn a_fault_after_a_cut_is_seen(
        steps in prop::collection::vec(correct(), 0..40),
        switched: bool,
        (outer, inner) in (1..ORDERS).prop_flat_map(|outer| (Just(outer), outer + 1..=ORDERS)),
        fast: bool,
    ) {
        let mut thread = Thread::new(HIERARCHIES[0]);
        thread.fast = fast;
        let mut model = Model::default();
        for &step in &steps {
            if let Some(step) = make_correct(step, &model) {
                prop_assert!(model.len() < MAX_HELD);
                apply(step, &mut thread, &mut model);
            }
        }
        if switched {
            thread.epoch += 2;
            prop_assert!(thread.held.catch_up(thread.epoch));
        } else {
            thread.held.forget();
        }
        let h = &HIERARCHIES[0];
        prop_assert!(thread.lock_in(h, 77, inner, EXCLUSIVE));
        prop_assert!(!thread.lock_in(h, 78, outer, EXCLUSIVE));
        prop_assert!(matches!(thread.reported[..], [.., Violation::OrderHeld(_)]));
        // What was recorded since is known, also in what way it is held.
        prop_assert!(!thread.unlock_in(h, 77, inner, SHARED));
        prop_assert!(matches!(thread.reported[..], [.., Violation::WrongMode(_)]));
        // Ignorance ends where nothing is held.
        prop_assert!(thread.unlock_in(h, 78, outer, EXCLUSIVE));
        thread.rules = HIERARCHIES[0];
        prop_assert!(thread.check_all_unlocked());
        prop_assert!(!thread.check_locked(99, outer, ANY));
        prop_assert!(matches!(thread.reported[..], [.., Violation::NotHeld]));
    }
}

/// Locks of a hierarchy of its own until there are `count` in all.
fn fill(thread: &mut Thread, count: usize) {
    let other = Rules {
        token: FILLING,
        nestable: u64::MAX,
        ..HIERARCHIES[0]
    };
    for n in thread.held.len()..count {
        assert!(thread.lock_in(&other, 1 + n, 1, SHARED));
    }
}

/// Steps of which correct ones are made.
fn correct() -> impl Strategy<Value = Step> {
    let h = 0..HIERARCHIES.len();
    let mode = prop_oneof![Just(EXCLUSIVE), Just(SHARED)];
    let extra = prop_oneof![3 => Just(0), 1 => Just(TRYLOCK)];
    let flags = (mode, extra).prop_map(|(mode, extra)| mode | extra);
    prop_oneof![
        6 => (h.clone(), 0usize..4, 1..=ORDERS, flags).prop_map(|(h, i, o, f)| Step::Lock(h, i, o, f)),
        3 => Just(Step::UnlockLast),
        2 => (0usize..64).prop_map(|n| Step::Unlock(n, 0, 0, 0)),
        2 => (0usize..64, Just(0u32)).prop_map(|(n, _)| Step::Downgrade(n, 0, 0)),
        2 => (0usize..64, Just(0u32)).prop_map(|(n, _)| Step::CheckLocked(n, 0, 0, 0)),
    ]
}

/// What the release of a lock says: one that was taken out of order need not say more.
fn in_any_order(model: &Model, h: usize, order: u32, lock: Lock) -> u32 {
    if model.deeper_held(h, order) && !lock.out_of_order {
        OUT_OF_ORDER
    } else {
        0
    }
}

/// What a correct thread would do, which knows what it holds: the numbers of locks to unlock,
/// downgrade or check are places in what is held.
fn make_correct(step: Step, model: &Model) -> Option<Step> {
    let at = |n: usize| model.held.get(n % model.held.len().max(1)).copied();
    match step {
        Step::Lock(h, i, o, f) => {
            // A lock that is held cannot be taken once more, not even by a trylock.
            if model.of(h, o).any(|(held, _)| held == i) {
                return None;
            }
            let correct = model.clone().lock(h, i, o, f, i as u64);
            correct.then_some(step)
        }
        Step::Unlock(n, ..) => {
            let ((h, o, i), lock) = at(n)?;
            let mode = if lock.exclusive { EXCLUSIVE } else { SHARED };
            Some(Step::Unlock(
                h,
                i,
                o,
                mode | in_any_order(model, h, o, lock),
            ))
        }
        Step::UnlockLast => {
            let ((h, o, i), lock) = model.held.last().copied()?;
            let mode = if lock.exclusive { EXCLUSIVE } else { SHARED };
            // Deeper ones may have been taken before a trylock out of order.
            let flags = if model.deeper_held(h, o) {
                OUT_OF_ORDER
            } else {
                0
            };
            Some(Step::Unlock(h, i, o, mode | flags))
        }
        Step::Downgrade(n, ..) => {
            let ((h, o, i), lock) = at(n)?;
            lock.exclusive.then_some(Step::Downgrade(h, i, o))
        }
        Step::CheckLocked(n, ..) => {
            let ((h, o, i), lock) = at(n)?;
            let mode = if lock.exclusive { EXCLUSIVE } else { SHARED };
            Some(Step::CheckLocked(h, i, o, mode))
        }
        _ => None,
    }
}
