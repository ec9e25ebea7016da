// SPDX-License-Identifier: GPL-2.0-or-later

//! Single rules of lock-order tracking, one test each.

mod lock_common;

use lock_common::{Thread, PLAIN, SANITY};
use reeve_host::lock_order::rules::held::surroundings::{
    ATOMIC, HARD_INTERRUPT, INTERRUPT, INTERRUPTS_OFF,
};
use reeve_host::lock_order::rules::{
    conflict::{order_bit, Attributes, Group, Rule, Rules, MAX_ORDERS},
    flags::*,
    held::{HeldLocks, LockUse, MAX_HELD, MAX_HELD_DEEP},
    sanity::{orders, Tracker},
    violation::Violation,
};

fn thread() -> Thread {
    Thread::new(PLAIN)
}

#[test]
fn all_orders_of_the_largest_hierarchy_can_be_held() {
    let mut t = thread();
    for order in 1..=MAX_ORDERS {
        assert!(t.record_lock(7, order, SHARED));
    }
    assert_eq!(t.held.len(), MAX_HELD);
    for order in (1..=MAX_ORDERS).rev() {
        assert!(t.record_unlock(7, order, SHARED));
    }
    assert!(t.held.is_empty() && t.reported.is_empty());
}

#[test]
fn what_there_is_no_room_for_is_reported_once_and_accuses_nothing() {
    let mut t = thread();
    for order in 1..=MAX_ORDERS {
        assert!(t.record_lock(0, order, SHARED));
    }
    let other = Rules {
        token: 0x400,
        nestable: order_bit(1),
        ..PLAIN
    };
    assert!(!t.lock_in(&other, 1, 1, EXCLUSIVE));
    assert_eq!(t.reported, [Violation::TooDeep]);
    assert!(t.lock_in(&other, 2, 1, EXCLUSIVE));
    assert_eq!(t.held.len(), MAX_HELD);
    t.rules = other;
    assert!(t.check_locked(1, 1, EXCLUSIVE) && t.check_locked(3, 1, EXCLUSIVE));
    assert!(t.unlock_in(&other, 2, 1, EXCLUSIVE));
    assert!(t.unlock_in(&other, 1, 1, EXCLUSIVE));
    assert_eq!(t.reported.len(), 1);
    // All of them are released: what is not recorded is not held.
    assert!(!t.unlock_in(&other, 1, 1, EXCLUSIVE));
    assert_eq!(t.reported[1..], [Violation::NotHeld]);
}

/// Room for as many locks as a thread may ask for.
fn deep_thread(rules: Rules<'static>) -> Thread {
    let mut t = Thread::new(rules);
    t.held.set_more(Box::leak(Box::default()));
    t
}

#[test]
fn a_thread_that_asked_for_room_holds_256_locks() {
    let mut t = deep_thread(Rules {
        nestable: u64::MAX,
        ..PLAIN
    });
    let rules = t.rules;
    // Of four orders, by address and by key.
    let locks: Vec<_> = (0..MAX_HELD_DEEP)
        .map(|n| (1000 - n, 1 + n as u32 / 64, n as u64))
        .collect();
    for &(instance, order, key) in &locks {
        assert!(t.lock_keyed_in(&rules, instance, order, EXCLUSIVE, key));
    }
    assert_eq!(t.held.len(), MAX_HELD_DEEP);
    assert!(!t.lock_in(&rules, 7, 9, EXCLUSIVE));
    assert!(t.lock_in(&rules, 8, 10, EXCLUSIVE));
    assert_eq!(t.reported, [Violation::TooDeep]);
    assert!(t.unlock_in(&rules, 8, 10, EXCLUSIVE));
    assert!(t.unlock_in(&rules, 7, 9, EXCLUSIVE));
    // What is put aside takes its room along.
    let mut aside = HeldLocks::new();
    t.held.save_into(&mut aside);
    assert!(t.held.is_empty() && t.held.room() == MAX_HELD);
    assert_eq!((aside.len(), aside.room()), (MAX_HELD_DEEP, MAX_HELD_DEEP));
    aside.save_into(&mut t.held);
    assert_eq!(t.held.room(), MAX_HELD_DEEP);
    for &(instance, order, _) in &locks {
        assert!(t.check_locked(instance, order, EXCLUSIVE));
        assert!(!t.check_locked(instance, order, SHARED));
    }
    t.reported.clear();
    let (first, last) = locks.split_at(100);
    for &(instance, order, _) in first {
        assert!(t.unlock_in(&rules, instance, order, EXCLUSIVE | OUT_OF_ORDER));
    }
    for &(instance, order, _) in last.iter().rev() {
        assert!(t.unlock_in(&rules, instance, order, EXCLUSIVE));
    }
    assert!(t.held.is_empty() && t.reported.is_empty());
    assert!(!t.unlock_in(&rules, 1, 1, EXCLUSIVE));
    assert_eq!(t.reported, [Violation::NotHeld]);
}

#[test]
fn a_lock_of_another_hierarchy_that_comes_after_is_reported() {
    fn barred_from(taken: usize, held: usize) -> u8 {
        if (taken, held) == (0x300, 0x400) {
            2
        } else {
            0
        }
    }
    let this = Rules {
        is_barred: true,
        barred_from,
        ..PLAIN
    };
    let other = Rules {
        token: 0x400,
        is_barred: false,
        ..this
    };
    let mut t = Thread::new(this);
    assert!(t.lock_in(&other, 1, 1, EXCLUSIVE));
    assert!(t.lock_in(&this, 1, 5, EXCLUSIVE));
    assert!(t.lock_in(&other, 2, 2, SHARED) && t.unlock_in(&this, 1, 5, EXCLUSIVE));
    for order in [1, 2, 5] {
        assert!(!t.lock_in(&this, 1, order, EXCLUSIVE));
        assert_eq!(t.reported, [Violation::OtherHeld(1)]);
        assert!(t.unlock_in(&this, 1, order, EXCLUSIVE));
        assert!(t.lock_in(&this, 1, order, EXCLUSIVE | TRYLOCK));
        assert!(t.unlock_in(&this, 1, order, EXCLUSIVE));
        assert!(!t.check_lockable_order(order, 0) && t.check_lockable_order(order, TRYLOCK));
        let u = LockUse::new(1, order, 0, 0);
        let faults: Vec<_> = t.held.wait_faults(&this, u, 0).iter().collect();
        assert_eq!(faults, [Violation::OtherHeld(1)]);
        t.reported.clear();
    }
    assert!(t.unlock_in(&other, 2, 2, SHARED));
    assert!(t.lock_in(&this, 1, 1, EXCLUSIVE));
}

#[test]
fn orders_that_do_not_exist_are_refused_everywhere() {
    let mut t = Thread::new(SANITY);
    for order in [0, orders::COUNT + 1, MAX_ORDERS + 1, u32::MAX] {
        assert!(!t.record_lock(1, order, EXCLUSIVE));
        assert!(!t.record_unlock(1, order, EXCLUSIVE));
        assert!(!t.record_downgrade(1, order));
        assert!(!t.check_locked(1, order, ANY));
        assert!(!t.check_lockable_order(order, EXCLUSIVE));
        assert!(!t.check_unlocked_order(order));
    }
    assert!(t.reported.iter().all(|&v| v == Violation::InvalidOrder));
    assert_eq!(t.reported.len(), 4 * 6);
    assert!(t.held.is_empty());
}

#[test]
fn flags_without_one_mode_are_refused() {
    let mut t = thread();
    for flags in [0, ANY, TRYLOCK, 1 << 5 | EXCLUSIVE, u32::MAX] {
        assert!(!t.record_lock(1, 1, flags), "{flags:#x}");
        assert!(!t.record_unlock(1, 1, flags), "{flags:#x}");
    }
    assert!(t.reported.iter().all(|&v| v == Violation::InvalidFlags));
    assert!(t.held.is_empty());
    assert!(t.record_lock(1, 1, EXCLUSIVE));
    assert!(!t.check_locked(1, 1, 0));
    assert!(!t.check_locked(1, 1, 1 << 9 | EXCLUSIVE));
    assert!(!t.check_lockable_order(2, 1 << 9));
}

#[test]
fn a_null_instance_is_a_lock_like_any_other() {
    let mut t = thread();
    assert!(t.record_lock(0, 1, EXCLUSIVE));
    assert!(t.check_locked(0, 1, EXCLUSIVE));
    assert!(!t.check_locked(1, 1, EXCLUSIVE));
    assert!(t.record_unlock(0, 1, EXCLUSIVE));
}

/// The original left the exclusive mark behind after an unlock with the wrong instance.
#[test]
fn a_wrong_unlock_leaves_no_exclusive_mark_behind() {
    let mut t = thread();
    assert!(t.record_lock(1, 1, EXCLUSIVE));
    assert!(!t.record_unlock(2, 1, EXCLUSIVE));
    assert!(t.check_all_unlocked());
    assert!(t.record_lock(1, 1, SHARED));
    assert!(t.check_locked(1, 1, SHARED));
    assert!(!t.check_locked(1, 1, EXCLUSIVE));
    assert!(t.record_unlock(1, 1, SHARED));
}

#[test]
fn an_unlock_in_the_wrong_mode_frees_the_order_all_the_same() {
    let mut t = thread();
    assert!(t.record_lock(1, 1, SHARED));
    assert!(!t.record_unlock(1, 1, EXCLUSIVE));
    assert_eq!(t.reported, [Violation::WrongMode(0)]);
    assert!(t.check_unlocked_order(1));
}

#[test]
fn several_faults_of_one_unlock_are_all_reported() {
    let mut t = thread();
    assert!(t.record_lock(1, 1, SHARED));
    assert!(t.record_lock(2, 2, SHARED));
    assert!(!t.record_unlock(1, 1, EXCLUSIVE));
    assert_eq!(
        t.reported,
        [Violation::DeeperHeld(1), Violation::WrongMode(0)]
    );
}

#[test]
fn a_lock_out_of_order_counts_as_held_and_names_the_conflict() {
    let mut t = thread();
    assert!(t.record_lock(5, 5, EXCLUSIVE));
    assert!(!t.record_lock(2, 2, EXCLUSIVE));
    assert_eq!(t.reported, [Violation::OrderHeld(0)]);
    assert!(t.check_locked(2, 2, EXCLUSIVE));
    assert!(t.record_unlock(5, 5, EXCLUSIVE));
    assert!(t.record_unlock(2, 2, EXCLUSIVE));
    assert!(t.check_all_unlocked());
}

#[test]
fn both_locks_of_an_order_that_is_taken_twice_are_kept() {
    let mut t = thread();
    assert!(t.record_lock(1, 4, SHARED));
    assert!(!t.record_lock(2, 4, EXCLUSIVE));
    assert!(t.check_locked(1, 4, SHARED) && t.check_locked(2, 4, EXCLUSIVE));
    assert!(t.record_unlock(2, 4, EXCLUSIVE));
    t.reported.clear();
    assert!(!t.record_lock(3, 3, SHARED), "the first is still held");
    assert_eq!(t.reported, [Violation::OrderHeld(0)]);
    assert!(t.record_unlock(3, 3, SHARED | OUT_OF_ORDER));
    assert!(t.record_unlock(1, 4, SHARED));
    assert!(t.check_all_unlocked());
}

#[test]
fn both_trylocks_of_an_order_are_kept() {
    for second in [2, 1] {
        let mut t = thread();
        assert!(t.record_lock(1, 4, SHARED | TRYLOCK));
        assert!(t.record_lock(second, 4, SHARED | TRYLOCK));
        assert!(t.record_unlock(1, 4, SHARED));
        assert!(t.check_locked(second, 4, SHARED));
        assert!(!t.record_lock(3, 3, SHARED));
        assert!(t.record_unlock(3, 3, SHARED | OUT_OF_ORDER));
        assert!(t.record_unlock(second, 4, SHARED));
        assert!(t.check_all_unlocked());
    }
}

#[test]
fn the_same_lock_with_another_key_is_a_deadlock() {
    let mut t = Thread::new(NESTABLE);
    assert!(t.lock_keyed_in(&NESTABLE, 1, 3, EXCLUSIVE, 1));
    assert!(!t.lock_keyed_in(&NESTABLE, 1, 3, EXCLUSIVE, 2));
    assert_eq!(t.reported, [Violation::OrderHeld(0)]);
}

#[test]
fn locks_of_one_order_are_released_in_any_order() {
    let mut t = Thread::new(NESTABLE);
    for instance in [1, 2, 3] {
        assert!(t.record_lock(instance, 3, EXCLUSIVE));
    }
    for instance in [1, 3, 2] {
        assert!(t.record_unlock(instance, 3, EXCLUSIVE));
    }
    assert!(t.reported.is_empty() && t.held.is_empty());
}

#[test]
fn an_exception_of_a_rule_that_may_be_held_excuses() {
    let rule = Rule {
        order: 6,
        while_held: 4,
        mode: ANY as u8,
        unless_held: 2,
    };
    let conflicts = [rule];
    let rules = Rules {
        conflicts: &conflicts,
        ..PLAIN
    };
    let mut t = thread();
    assert!(t.lock_in(&rules, 2, 2, EXCLUSIVE));
    t.epoch = 2;
    assert!(t.held.catch_up(2));
    assert!(t.lock_in(&rules, 4, 4, EXCLUSIVE));
    assert!(t.lock_in(&rules, 6, 6, EXCLUSIVE), "2 may be held");
    assert!(t.unlock_in(&rules, 6, 6, EXCLUSIVE));
    assert!(t.unlock_in(&rules, 4, 4, EXCLUSIVE));
    assert!(t.check_all_unlocked());
    assert!(t.lock_in(&rules, 4, 4, EXCLUSIVE));
    assert!(!t.lock_in(&rules, 6, 6, EXCLUSIVE), "2 is not held");
}

#[test]
fn locks_of_a_hierarchy_that_is_gone_are_forgotten() {
    let other = Rules {
        token: 0x301,
        ..PLAIN
    };
    let mut t = thread();
    assert!(t.record_lock(5, 5, EXCLUSIVE));
    assert!(t.lock_in(&other, 6, 6, EXCLUSIVE));
    t.held.drop_gone(|token| token == other.token);
    assert_eq!(
        t.held.iter().map(|held| held.instance).collect::<Vec<_>>(),
        [6]
    );
    t.held.drop_gone(|_| false);
    assert!(t.held.is_empty());
}

#[test]
fn a_trylock_out_of_order_may_be_released_in_any_order() {
    let mut t = thread();
    assert!(t.record_lock(2, 2, EXCLUSIVE));
    assert!(t.record_lock(1, 1, EXCLUSIVE | TRYLOCK));
    assert!(t.record_lock(3, 3, EXCLUSIVE));
    assert!(t.record_unlock(1, 1, EXCLUSIVE));
    assert!(t.record_unlock(3, 3, EXCLUSIVE));
    assert!(t.record_unlock(2, 2, EXCLUSIVE));
    assert!(t.reported.is_empty());
}

#[test]
fn a_wrong_order_is_one_fault_not_a_second_one_when_it_is_released() {
    let mut t = thread();
    assert!(t.record_lock(5, 5, EXCLUSIVE));
    assert!(!t.record_lock(2, 2, EXCLUSIVE));
    assert!(t.record_unlock(2, 2, EXCLUSIVE));
    assert!(t.record_unlock(5, 5, EXCLUSIVE));
    assert_eq!(t.reported, [Violation::OrderHeld(0)]);
    // The next one in order is released in order.
    assert!(t.record_lock(2, 2, EXCLUSIVE));
    assert!(t.record_lock(5, 5, EXCLUSIVE));
    assert!(!t.record_unlock(2, 2, EXCLUSIVE));
    assert_eq!(t.reported[1..], [Violation::DeeperHeld(1)]);
}

#[test]
fn a_thread_that_has_disabled_tracking_is_not_done() {
    let mut held = HeldLocks::new();
    assert!(held.is_clean());
    assert!(held.disable());
    assert!(held.is_empty() && !held.is_clean());
    assert!(held.enable() && held.is_clean());
}

#[test]
fn the_mark_of_a_trylock_does_not_outlive_it() {
    let mut t = thread();
    assert!(t.record_lock(2, 2, EXCLUSIVE));
    assert!(t.record_lock(1, 1, EXCLUSIVE | TRYLOCK));
    assert!(t.record_unlock(1, 1, EXCLUSIVE));
    assert!(t.record_unlock(2, 2, EXCLUSIVE));
    assert!(t.record_lock(1, 1, EXCLUSIVE));
    assert!(t.record_lock(2, 2, EXCLUSIVE));
    assert!(!t.record_unlock(1, 1, EXCLUSIVE), "in order from here on");
}

#[test]
fn hierarchies_do_not_see_each_other() {
    let a = Rules {
        token: 0x100,
        ..PLAIN
    };
    let b = Rules {
        token: 0x200,
        ..PLAIN
    };
    let mut t = thread();
    assert!(t.lock_in(&a, 1, 9, EXCLUSIVE));
    assert!(t.lock_in(&b, 1, 2, EXCLUSIVE));
    assert!(t.lock_in(&a, 1, 10, EXCLUSIVE));
    assert!(t.lock_in(&b, 1, 3, EXCLUSIVE));
    t.rules = b;
    assert!(t.check_unlocked_order(9));
    assert!(!t.check_unlocked_order(2));
    assert!(t.unlock_in(&a, 1, 10, EXCLUSIVE));
    assert!(t.unlock_in(&b, 1, 3, EXCLUSIVE));
    assert!(t.unlock_in(&b, 1, 2, EXCLUSIVE));
    assert!(t.check_all_unlocked());
    t.rules = a;
    assert!(!t.check_all_unlocked());
    assert!(t.unlock_in(&a, 1, 9, EXCLUSIVE));
}

#[test]
fn while_disabled_everything_is_correct_and_nothing_changes() {
    let mut t = thread();
    assert!(t.record_lock(5, 5, EXCLUSIVE));
    assert!(t.held.disable() && t.held.disable());
    assert!(t.record_lock(1, 1, EXCLUSIVE));
    assert!(t.record_unlock(5, 5, SHARED));
    assert!(t.record_downgrade(5, 5));
    assert!(t.check_locked(8, 8, ANY));
    assert!(t.check_unlocked_order(5));
    assert!(t.check_lockable_order(1, 0));
    assert!(t.check_all_unlocked());
    assert!(t.held.enable());
    assert!(t.check_all_unlocked(), "nested: still disabled");
    assert!(t.held.enable());
    assert!(!t.held.enable(), "once too often");
    assert!(t.check_locked(5, 5, EXCLUSIVE));
    assert_eq!(t.held.len(), 1);
    assert!(t.reported.is_empty());
}

#[test]
fn saving_leaves_nothing_held_and_restoring_brings_it_back() {
    let mut t = thread();
    assert!(t.record_lock(2, 2, SHARED));
    assert!(t.record_lock(1, 1, EXCLUSIVE | TRYLOCK));
    assert!(t.held.disable());
    let before: Vec<_> = t.held.iter().collect();

    let mut saved = HeldLocks::new();
    t.held.save_into(&mut saved);
    assert!(t.held.is_empty() && !t.held.is_disabled());
    assert!(t.record_lock(9, 9, EXCLUSIVE));
    assert!(t.record_unlock(9, 9, EXCLUSIVE));

    saved.save_into(&mut t.held);
    assert!(t.held.is_disabled());
    assert!(t.held.enable());
    assert_eq!(t.held.iter().collect::<Vec<_>>(), before);
    assert!(t.record_unlock(1, 1, EXCLUSIVE));
    assert!(t.record_unlock(2, 2, SHARED));
    assert!(t.reported.is_empty());
}

#[test]
fn the_suites_conflict_rules_hold() {
    use orders::{MMAP_LOCK, RM_GPUS, VA_SPACE, VA_SPACE_SERIALIZE_WRITERS};
    // held before, with modes -> whether RM_GPUS may be taken
    let cases: [(&[(u32, u32)], bool); 8] = [
        (&[], true),
        (&[(MMAP_LOCK, SHARED)], false),
        (&[(MMAP_LOCK, EXCLUSIVE)], false),
        (&[(VA_SPACE, EXCLUSIVE)], false),
        (&[(VA_SPACE, SHARED)], false),
        (
            &[(VA_SPACE_SERIALIZE_WRITERS, EXCLUSIVE), (VA_SPACE, SHARED)],
            true,
        ),
        (
            &[
                (VA_SPACE_SERIALIZE_WRITERS, EXCLUSIVE),
                (VA_SPACE, EXCLUSIVE),
            ],
            false,
        ),
        (&[(VA_SPACE_SERIALIZE_WRITERS, EXCLUSIVE)], true),
    ];
    for trylock in [0, TRYLOCK] {
        for (held, allowed) in cases {
            let mut t = Thread::new(SANITY);
            for &(order, flags) in held {
                assert!(t.record_lock(1, order, flags));
            }
            let got = t.record_lock(1, RM_GPUS, EXCLUSIVE | trylock);
            assert_eq!(got, allowed, "{held:?}");
            assert!(t.check_locked(1, RM_GPUS, EXCLUSIVE), "held all the same");
            assert!(
                t.check_lockable_order(RM_GPUS + 1, 0),
                "rules are not order"
            );
        }
    }
}

#[test]
fn rules_about_orders_that_do_not_exist_are_invalid() {
    let good = Rule {
        order: 3,
        while_held: 2,
        mode: EXCLUSIVE as u8,
        unless_held: 0,
    };
    assert!(good.is_valid(3));
    assert!(!good.is_valid(2));
    for bad in [
        Rule { order: 0, ..good },
        Rule {
            while_held: 0,
            ..good
        },
        Rule {
            while_held: 3,
            ..good
        },
        Rule { mode: 0, ..good },
        Rule {
            mode: TRYLOCK as u8 | 1,
            ..good
        },
        Rule {
            unless_held: 4,
            ..good
        },
    ] {
        assert!(!bad.is_valid(3), "{bad:?}");
    }
    assert_eq!(Rule::unpack(good.pack()), good);
    assert_ne!(good.pack(), 0, "0 marks the end of the list");
}

#[test]
fn nestable_orders_nest_by_ascending_address_only() {
    let rules = Rules {
        nestable: order_bit(4),
        ..PLAIN
    };
    let mut t = Thread::new(rules);
    assert!(t.record_lock(10, 4, EXCLUSIVE));
    assert!(t.record_lock(20, 4, EXCLUSIVE));
    assert!(!t.record_lock(15, 4, EXCLUSIVE), "descending");
    assert!(!t.record_lock(20, 4, EXCLUSIVE), "recursive");
    assert!(t.record_lock(5, 4, EXCLUSIVE | TRYLOCK), "cannot deadlock");
    assert!(t.check_locked(10, 4, EXCLUSIVE) && t.check_locked(5, 4, EXCLUSIVE));
    assert!(!t.check_locked(11, 4, EXCLUSIVE));
    assert!(
        !t.record_unlock(11, 4, EXCLUSIVE),
        "no such instance, others stay"
    );
    assert_eq!(t.held.len(), 4);
    assert!(t.record_unlock(5, 4, EXCLUSIVE));
    assert!(t.record_unlock(10, 4, EXCLUSIVE));
    assert!(
        t.record_unlock(20, 4, EXCLUSIVE),
        "nothing can hold it twice"
    );
    assert!(t.record_unlock(15, 4, EXCLUSIVE));
    assert!(t.check_all_unlocked());
}

/// Tracking was switched off and on: what was recorded before may be out of date.
#[test]
fn in_a_new_epoch_a_context_forgets_and_tolerates_unlocks_of_what_it_does_not_know() {
    let mut t = thread();
    assert!(t.record_lock(5, 5, EXCLUSIVE));
    assert!(t.held.catch_up(0), "the epoch it is of");
    assert_eq!(t.held.len(), 1);
    assert!(!t.held.catch_up(1), "just being switched");
    assert_eq!(t.held.len(), 1);
    assert!(t.held.catch_up(2));
    t.epoch = 2;
    // 5 was released and 9 taken without a record.
    assert!(t.record_lock(2, 2, EXCLUSIVE));
    assert!(t.check_locked(9, 9, SHARED), "cannot know");
    assert!(t.record_unlock(9, 9, SHARED | OUT_OF_ORDER));
    assert!(t.record_unlock(2, 2, EXCLUSIVE));
    assert!(t.check_all_unlocked());
    // What is recorded from now on is judged as ever.
    assert!(t.record_lock(3, 3, EXCLUSIVE));
    assert!(!t.record_lock(3, 3, EXCLUSIVE));
    assert!(!t.record_lock(1, 1, EXCLUSIVE));
}

const NESTABLE: Rules<'static> = Rules {
    nestable: order_bit(3),
    ..PLAIN
};

#[test]
fn a_key_of_the_callers_takes_the_place_of_the_address() {
    let mut t = Thread::new(NESTABLE);
    assert!(t.lock_keyed_in(&NESTABLE, 90, 3, EXCLUSIVE, 1));
    assert!(t.lock_keyed_in(&NESTABLE, 50, 3, EXCLUSIVE, u64::MAX));
    assert!(
        !t.lock_keyed_in(&NESTABLE, 99, 3, EXCLUSIVE, 7),
        "below a held key"
    );
    assert_eq!(t.reported, [Violation::OrderHeld(1)]);
    assert!(t.check_locked(90, 3, EXCLUSIVE) && t.check_locked(50, 3, EXCLUSIVE));
    assert!(t.unlock_in(&NESTABLE, 99, 3, EXCLUSIVE | OUT_OF_ORDER));
    assert!(t.record_unlock(90, 3, EXCLUSIVE));
    assert!(t.record_unlock(50, 3, EXCLUSIVE));
    assert!(t.check_all_unlocked() && t.held.is_empty());
}

#[test]
fn keys_and_addresses_of_one_order_compare() {
    let mut t = Thread::new(NESTABLE);
    assert!(t.record_lock(10, 3, SHARED));
    assert!(t.lock_keyed_in(&NESTABLE, 5, 3, SHARED, 11));
    assert!(!t.record_lock(11, 3, SHARED));
    assert!(t.record_lock(12, 4, SHARED), "deeper orders go on");
}

#[test]
fn a_key_means_nothing_to_an_order_that_is_not_nestable() {
    let mut t = thread();
    assert!(t.lock_keyed_in(&PLAIN, 1, 3, SHARED, 5));
    assert!(!t.lock_keyed_in(&PLAIN, 2, 3, SHARED, 9));
    assert!(t.held.iter().all(|held| held.key == held.instance as u64));
}

#[test]
fn a_lock_with_a_key_takes_one_place() {
    let mut t = Thread::new(NESTABLE);
    for key in 0..MAX_HELD {
        assert!(t.lock_keyed_in(&NESTABLE, 1000 - key, 3, SHARED, key as u64));
    }
    assert!(!t.lock_keyed_in(&NESTABLE, 2000, 3, SHARED, 100));
    assert_eq!(t.reported, [Violation::TooDeep]);
    for key in (0..MAX_HELD).rev() {
        assert!(t.record_unlock(1000 - key, 3, SHARED));
    }
    assert!(t.held.is_empty());
}

#[test]
fn the_same_lock_once_more_is_found_below_others_whatever_its_key() {
    for keys in [(0, 1, 3), (0, 1, 2), (3, 4, 5)] {
        let mut t = Thread::new(NESTABLE);
        let rules = t.rules;
        let order = (1..=rules.count).find(|&order| rules.is_nestable(order));
        let order = order.expect("one is nestable");
        assert!(t.lock_keyed_in(&rules, 3, order, EXCLUSIVE, keys.0));
        assert!(t.lock_keyed_in(&rules, 1, order, EXCLUSIVE, keys.1));
        assert!(!t.lock_keyed_in(&rules, 3, order, EXCLUSIVE, keys.2));
        assert!(matches!(t.reported[..], [Violation::OrderHeld(_)]));
    }
}

/// 1 is a ticket under which 2 and 3 are a group; 4 spins, 5 sleeps, 6 is irq-safe, 7 is recursive.
const KINDS_OF_LOCKS: Rules<'static> = Rules {
    attributes: Attributes {
        sleeps: order_bit(5),
        spins: order_bit(4) | order_bit(6),
        irq_safe: order_bit(6),
        recursive: order_bit(7),
        groups: [
            Group {
                orders: order_bit(2) | order_bit(3),
                under: 1,
            },
            Group {
                orders: 0,
                under: 0,
            },
            Group {
                orders: 0,
                under: 0,
            },
            Group {
                orders: 0,
                under: 0,
            },
        ],
    },
    ..PLAIN
};

#[test]
fn a_group_has_no_order_while_what_it_is_under_is_held_exclusively() {
    let mut t = Thread::new(KINDS_OF_LOCKS);
    for ticket in [None, Some(SHARED), Some(EXCLUSIVE)] {
        let free = ticket == Some(EXCLUSIVE);
        if let Some(mode) = ticket {
            assert!(t.record_lock(1, 1, mode));
        }
        assert!(t.record_lock(30, 3, EXCLUSIVE));
        assert_eq!(t.check_lockable_order(2, 0), free);
        assert_eq!(t.record_lock(21, 2, EXCLUSIVE), free);
        assert_eq!(t.record_lock(20, 2, EXCLUSIVE), free);
        assert_eq!(t.record_lock(31, 3, EXCLUSIVE), free);
        assert!(!t.record_lock(20, 2, EXCLUSIVE), "the same lock");
        for (instance, order) in [(30, 3), (20, 2), (31, 3), (21, 2)] {
            assert!(t.record_unlock(instance, order, EXCLUSIVE));
        }
        if let Some(mode) = ticket {
            assert!(t.record_unlock(1, 1, mode));
        }
        assert!(t.check_all_unlocked());
    }
    // Others have their place.
    assert!(t.record_lock(1, 1, EXCLUSIVE));
    assert!(t.record_lock(8, 8, EXCLUSIVE));
    assert!(!t.record_lock(20, 2, EXCLUSIVE));
    // What it is under is released last.
    assert!(t.record_unlock(8, 8, EXCLUSIVE));
    assert!(!t.record_unlock(1, 1, EXCLUSIVE));
}

#[test]
fn a_recursive_reader_may_read_again_whatever_it_holds() {
    let mut t = Thread::new(KINDS_OF_LOCKS);
    assert!(t.record_lock(70, 7, SHARED));
    assert!(t.record_lock(80, 8, EXCLUSIVE));
    assert!(t.record_lock(70, 7, SHARED));
    assert!(!t.record_lock(71, 7, SHARED), "another lock");
    assert!(t.record_unlock(71, 7, SHARED));
    assert!(t.record_unlock(70, 7, SHARED));
    assert!(t.record_unlock(80, 8, EXCLUSIVE));
    assert!(t.check_locked(70, 7, SHARED), "it was read twice");
    assert!(t.record_unlock(70, 7, SHARED));
    assert!(t.check_all_unlocked());
    assert!(t.record_lock(70, 7, SHARED));
    assert!(
        !t.record_lock(70, 7, EXCLUSIVE),
        "a writer waits for its own reader"
    );
}

#[test]
fn surroundings_decide_for_orders_with_attributes_alone() {
    let held = HeldLocks::new();
    let at = |order, flags, surroundings| {
        let u = LockUse::new(1, order, flags | EXCLUSIVE, 0);
        held.surroundings_fault(&KINDS_OF_LOCKS, u, surroundings)
    };
    let anywhere = INTERRUPT | HARD_INTERRUPT | ATOMIC | INTERRUPTS_OFF;
    assert_eq!(at(8, 0, anywhere), None);
    for surroundings in [INTERRUPT, ATOMIC, anywhere] {
        assert_eq!(at(5, 0, surroundings), Some(Violation::SleepsInAtomic));
        assert_eq!(
            at(5, WAITING, surroundings),
            Some(Violation::SleepsInAtomic)
        );
        assert_eq!(at(5, TRYLOCK, surroundings), None);
    }
    assert_eq!(at(5, 0, 0), None);
    assert_eq!(at(4, 0, INTERRUPT), None);
    assert_eq!(at(4, 0, HARD_INTERRUPT), Some(Violation::InHandler));
    assert_eq!(at(4, TRYLOCK, HARD_INTERRUPT), None);
    for surroundings in [0, INTERRUPT, ATOMIC] {
        assert_eq!(at(6, 0, surroundings), Some(Violation::InterruptsOn));
        assert_eq!(at(6, TRYLOCK, surroundings), Some(Violation::InterruptsOn));
        assert_eq!(at(6, WAITING, surroundings), None);
    }
    assert_eq!(at(6, 0, INTERRUPTS_OFF), None);
    assert_eq!(at(6, 0, HARD_INTERRUPT), None);
}

#[test]
fn what_waits_holds_nothing_that_is_taken_there_and_does_not_spin() {
    let mut t = Thread::new(KINDS_OF_LOCKS);
    let wait = |t: &Thread, order, surroundings| {
        let u = LockUse::new(9, order, 0, 0);
        let faults = t.held.wait_faults(&t.rules, u, surroundings);
        faults.iter().collect::<Vec<_>>()
    };
    assert_eq!(wait(&t, 8, 0), []);
    assert_eq!(wait(&t, 0, 0), [Violation::InvalidOrder]);
    assert_eq!(wait(&t, 8, ATOMIC), [Violation::SleepsInAtomic]);
    assert!(t.record_lock(50, 5, EXCLUSIVE));
    assert_eq!(wait(&t, 8, 0), []);
    assert_eq!(wait(&t, 5, 0), [Violation::OrderHeld(0)]);
    assert_eq!(wait(&t, 2, 0), [Violation::OrderHeld(0)]);
    assert!(t.record_unlock(50, 5, EXCLUSIVE));
    assert!(t.record_lock(40, 4, EXCLUSIVE));
    assert_eq!(wait(&t, 8, 0), [Violation::SleepsUnder(0)]);
    let u = LockUse::new(50, 5, EXCLUSIVE, 0);
    let fault = t.held.surroundings_fault(&t.rules, u, 0);
    assert_eq!(fault, Some(Violation::SleepsUnder(0)));
    assert!(t.held.disable());
    assert_eq!(wait(&t, 8, 0), []);
}

/// Runs `f` with the fast paths and without them.
fn both_ways(rules: Rules<'static>, f: impl Fn(&mut Thread)) {
    for fast in [true, false] {
        let mut t = Thread::new(rules);
        t.fast = fast;
        f(&mut t);
    }
}

const OTHER: Rules<'static> = Rules {
    token: 0x400,
    ..PLAIN
};

#[test]
fn locks_of_another_hierarchy_in_between_hide_no_wrong_order() {
    both_ways(PLAIN, |t| {
        assert!(t.record_lock(1, 5, EXCLUSIVE));
        assert!(t.lock_in(&OTHER, 1, 1, EXCLUSIVE));
        for (order, instance) in [(3, 2), (5, 2), (5, 1)] {
            assert!(!t.record_lock(instance, order, EXCLUSIVE), "{order}");
            assert_eq!(t.reported.last(), Some(&Violation::OrderHeld(0)));
            assert!(t.record_unlock(instance, order, EXCLUSIVE | OUT_OF_ORDER));
            if (order, instance) == (5, 1) {
                // The second record stood for the first as well.
                return;
            }
        }
    });
    both_ways(PLAIN, |t| {
        assert!(t.record_lock(1, 5, EXCLUSIVE));
        assert!(t.lock_in(&OTHER, 1, 1, EXCLUSIVE));
        assert!(t.record_lock(2, 6, EXCLUSIVE));
        assert!(!t.lock_in(&OTHER, 2, 1, EXCLUSIVE), "an equal one is held");
        assert_eq!(t.reported, [Violation::OrderHeld(1)]);
    });
}

#[test]
fn the_next_nested_lock_must_have_the_higher_key_whatever_is_in_between() {
    const NESTS: Rules<'static> = Rules {
        nestable: order_bit(3),
        ..PLAIN
    };
    both_ways(NESTS, |t| {
        assert!(t.record_lock(10, 3, EXCLUSIVE) && t.record_lock(20, 3, EXCLUSIVE));
        assert!(!t.record_lock(20, 3, EXCLUSIVE), "the same once more");
        assert!(!t.record_lock(15, 3, EXCLUSIVE));
        assert_eq!(t.reported.len(), 2);
    });
    both_ways(NESTS, |t| {
        assert!(t.record_lock(20, 3, EXCLUSIVE));
        assert!(t.lock_in(&OTHER, 99, 1, EXCLUSIVE));
        assert!(!t.record_lock(10, 3, EXCLUSIVE));
        assert_eq!(t.reported, [Violation::OrderHeld(0)]);
    });
    both_ways(NESTS, |t| {
        let rules = t.rules;
        assert!(t.lock_keyed_in(&rules, 50, 3, EXCLUSIVE, 5));
        assert!(t.record_lock(10, 3, EXCLUSIVE));
        assert!(
            !t.record_lock(50, 3, EXCLUSIVE),
            "held below, by another key"
        );
        assert_eq!(t.reported.len(), 1);
    });
    both_ways(NESTS, |t| {
        // An order that is not nestable.
        assert!(t.record_lock(10, 4, EXCLUSIVE));
        assert!(!t.record_lock(20, 4, EXCLUSIVE));
    });
}

#[test]
fn what_is_forbidden_by_another_hierarchy_stays_so_above_a_trylock() {
    fn barred_from(taken: usize, held: usize) -> u8 {
        u8::from((taken, held) == (0x300, 0x400)) * 2
    }
    let this = Rules {
        is_barred: true,
        barred_from,
        ..PLAIN
    };
    both_ways(this, |t| {
        assert!(t.lock_in(&OTHER, 1, 2, EXCLUSIVE));
        assert!(t.record_lock(1, 1, EXCLUSIVE | TRYLOCK));
        assert!(!t.record_lock(2, 5, EXCLUSIVE));
        assert_eq!(t.reported, [Violation::OtherHeld(0)]);
        assert!(t.record_unlock(2, 5, EXCLUSIVE));
        assert!(t.record_unlock(1, 1, EXCLUSIVE));
        assert!(t.unlock_in(&OTHER, 1, 2, EXCLUSIVE));
        assert!(t.record_lock(1, 1, EXCLUSIVE) && t.record_lock(2, 5, EXCLUSIVE));
        assert_eq!(t.reported.len(), 1);
    });
}

#[test]
fn a_rule_holds_whatever_is_in_between_and_when_nothing_was_held_before() {
    const RULED: Rules<'static> = Rules {
        conflicts: &[Rule {
            order: 6,
            while_held: 2,
            mode: ANY as u8,
            unless_held: 0,
        }],
        ..PLAIN
    };
    both_ways(RULED, |t| {
        assert!(t.record_lock(6, 6, EXCLUSIVE) && t.record_unlock(6, 6, EXCLUSIVE));
        assert!(t.record_lock(2, 2, SHARED));
        assert!(!t.record_lock(6, 6, EXCLUSIVE));
        assert!(t.record_unlock(6, 6, EXCLUSIVE));
        assert!(t.lock_in(&OTHER, 1, 1, EXCLUSIVE));
        assert!(!t.record_lock(6, 6, EXCLUSIVE | TRYLOCK));
        let broken = Violation::RuleBroken { rule: 0, held: 0 };
        assert_eq!(t.reported, [broken; 2]);
    });
}

#[test]
fn a_release_out_of_order_is_of_just_that_lock() {
    both_ways(PLAIN, |t| {
        assert!(t.record_lock(1, 1, EXCLUSIVE) && t.record_lock(2, 2, EXCLUSIVE));
        assert!(t.lock_in(&OTHER, 3, 1, SHARED));
        let free = OUT_OF_ORDER;
        // Not allowed; another mode; flags and orders that are not there; another hierarchy's; another one.
        assert!(!t.record_unlock(1, 1, EXCLUSIVE) && t.record_lock(1, 1, EXCLUSIVE | TRYLOCK));
        for (instance, order, flags) in [
            (1, 1, EXCLUSIVE | free | 1 << 7),
            (1, 1, EXCLUSIVE | free | 1 << 24),
            (1, 0x101, free),
            (1, 0x101, EXCLUSIVE | free),
            (1, 1, free),
            (1, 1, ANY | free),
            (1, 3, EXCLUSIVE | free),
        ] {
            let held: Vec<_> = t.held.iter().collect();
            assert!(
                !t.record_unlock(instance, order, flags),
                "{order} {flags:#x}"
            );
            assert_eq!(t.held.iter().collect::<Vec<_>>(), held);
        }
        let reported = t.reported.len();
        assert!(!t.unlock_in(&OTHER, 1, 2, EXCLUSIVE | free));
        assert!(!t.record_unlock(3, 3, SHARED | free));
        assert!(!t.record_unlock(9, 2, EXCLUSIVE | free));
        assert!(!t.record_unlock(1, 1, SHARED | free));
        assert!(t.unlock_in(&OTHER, 3, 1, SHARED | free));
        assert!(t.held.is_empty());
        assert_eq!(t.reported.len(), reported + 4);
    });
}
