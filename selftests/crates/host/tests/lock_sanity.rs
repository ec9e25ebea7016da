// SPDX-License-Identifier: GPL-2.0-or-later

//! The sanity suite on bare held locks, and proof that it can fail.

mod lock_common;

use lock_common::{Thread, SANITY};
use reeve_host::lock_order::rules::{
    flags::{EXCLUSIVE, MODE_MASK, OUT_OF_ORDER, SHARED, TRYLOCK},
    sanity::{cases::CASES, run_all, Tracker},
};

fn failed_cases(tracker: &mut dyn Tracker) -> Vec<&'static str> {
    let mut failed = Vec::new();
    let count = run_all(&CASES, tracker, |case, result| {
        if result.is_err() {
            failed.push(case.name);
        }
    });
    assert_eq!(count as usize, failed.len());
    failed
}

#[test]
fn every_case_passes_on_both_paths() {
    for fast in [true, false] {
        let mut thread = Thread::new(SANITY);
        thread.fast = fast;
        assert_eq!(failed_cases(&mut thread), [""; 0], "fast paths: {fast}");
        assert!(thread.held.is_empty());
    }
}

#[test]
fn the_cases_are_the_originals_in_its_order() {
    let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(
        names,
        [
            "all_locks",
            "locking_first_as_shared_then_test_higher_order_locks",
            "locking_second_as_exclusive_then_test_higher_order_locks",
            "unlocking_without_locking",
            "unlocking_different_lock_order_than_locked",
            "unlocking_different_lock_instance_than_locked",
            "unlocking_with_different_mode_than_locked",
            "unlocking_in_different_order_than_locked",
            "locking_out_of_order",
            "locking_same_order_twice",
            "checking_locked_when_no_locks_held",
            "checking_exclusive_when_locked_as_shared",
            "checking_shared_when_locked_as_exclusive",
            "checking_locked_when_different_instance_held",
            "checking_all_unlocked_when_lock_held",
            "downgrading",
            "downgrading_without_locking",
            "downgrading_when_different_instance_held",
            "downgrading_when_locked_as_shared",
            "try_locking_out_of_order",
        ]
    );
    assert!(names.iter().all(|name| name.len() < 64), "the ABI's field");
}

/// A tracker with one fault put in.
struct Faulty<F: FnMut(&mut Thread, Op) -> Option<bool>> {
    thread: Thread,
    fault: F,
}

#[derive(Clone, Copy, PartialEq)]
enum Op {
    Lock(usize, u32, u32),
    Unlock(usize, u32, u32),
    Downgrade(u32),
    CheckLocked(usize, u32, u32),
    CheckLockable(u32),
    CheckUnlocked,
    CheckAllUnlocked,
}

impl<F: FnMut(&mut Thread, Op) -> Option<bool>> Tracker for Faulty<F> {
    fn record_lock(&mut self, i: usize, o: u32, f: u32) -> bool {
        (self.fault)(&mut self.thread, Op::Lock(i, o, f))
            .unwrap_or_else(|| self.thread.record_lock(i, o, f))
    }
    fn record_unlock(&mut self, i: usize, o: u32, f: u32) -> bool {
        (self.fault)(&mut self.thread, Op::Unlock(i, o, f))
            .unwrap_or_else(|| self.thread.record_unlock(i, o, f))
    }
    fn record_downgrade(&mut self, i: usize, o: u32) -> bool {
        (self.fault)(&mut self.thread, Op::Downgrade(o))
            .unwrap_or_else(|| self.thread.record_downgrade(i, o))
    }
    fn check_locked(&mut self, i: usize, o: u32, f: u32) -> bool {
        (self.fault)(&mut self.thread, Op::CheckLocked(i, o, f))
            .unwrap_or_else(|| self.thread.check_locked(i, o, f))
    }
    fn check_lockable_order(&mut self, o: u32, f: u32) -> bool {
        (self.fault)(&mut self.thread, Op::CheckLockable(o))
            .unwrap_or_else(|| self.thread.check_lockable_order(o, f))
    }
    fn check_unlocked_order(&mut self, o: u32) -> bool {
        (self.fault)(&mut self.thread, Op::CheckUnlocked)
            .unwrap_or_else(|| self.thread.check_unlocked_order(o))
    }
    fn check_all_unlocked(&mut self) -> bool {
        (self.fault)(&mut self.thread, Op::CheckAllUnlocked)
            .unwrap_or_else(|| self.thread.check_all_unlocked())
    }
    fn forget_all(&mut self) {
        self.thread.forget_all();
    }
}

fn failed_with(fault: impl FnMut(&mut Thread, Op) -> Option<bool>) -> Vec<&'static str> {
    failed_cases(&mut Faulty {
        thread: Thread::new(SANITY),
        fault,
    })
}

#[test]
fn a_tracker_that_finds_everything_correct_fails_every_case_of_misuse() {
    let failed = failed_with(|thread, op| {
        match op {
            Op::Lock(i, o, f) => thread.record_lock(i, o, f),
            Op::Unlock(i, o, f) => thread.record_unlock(i, o, f),
            Op::CheckUnlocked | Op::CheckLockable(_) | Op::CheckAllUnlocked => return None,
            Op::Downgrade(o) => thread.record_downgrade(o as usize, o),
            Op::CheckLocked(i, o, f) => thread.check_locked(i, o, f),
        };
        Some(true)
    });
    // The walks contain no misuse; of `checking_all_unlocked...` the check itself is the point.
    let passed: Vec<_> = CASES
        .iter()
        .map(|case| case.name)
        .filter(|name| !failed.contains(name))
        .collect();
    assert_eq!(
        passed,
        [
            "all_locks",
            "locking_first_as_shared_then_test_higher_order_locks",
            "locking_second_as_exclusive_then_test_higher_order_locks",
            "checking_all_unlocked_when_lock_held",
        ]
    );
}

#[test]
fn each_single_fault_is_found_by_the_case_for_it() {
    let ignoring_instance = failed_with(|thread, op| match op {
        Op::CheckLocked(_, o, f) => {
            let held = thread.held.iter().find(|e| u32::from(e.order) == o);
            held.map(|e| e.instance)
                .map(|i| thread.check_locked(i, o, f))
        }
        _ => None,
    });
    assert_eq!(
        ignoring_instance,
        ["checking_locked_when_different_instance_held"]
    );

    let trylock_not_exempt = failed_with(|thread, op| match op {
        Op::Lock(i, o, f) => Some(thread.record_lock(i, o, f & !TRYLOCK)),
        _ => None,
    });
    assert_eq!(trylock_not_exempt, ["try_locking_out_of_order"]);

    let order_of_release_ignored = failed_with(|thread, op| match op {
        Op::Unlock(i, o, f) => Some(thread.record_unlock(i, o, f | OUT_OF_ORDER)),
        _ => None,
    });
    assert_eq!(
        order_of_release_ignored,
        [
            "unlocking_in_different_order_than_locked",
            "try_locking_out_of_order"
        ]
    );

    let everything_exclusive = failed_with(|thread, op| {
        let exclusive = |f: u32| f & !MODE_MASK | EXCLUSIVE;
        match op {
            Op::Lock(i, o, f) if f & SHARED != 0 => Some(thread.record_lock(i, o, exclusive(f))),
            _ => None,
        }
    });
    assert!(everything_exclusive.contains(&"checking_exclusive_when_locked_as_shared"));
    assert!(everything_exclusive.contains(&"downgrading_when_locked_as_shared"));
}

#[test]
fn a_failed_case_leaves_nothing_behind_for_the_next() {
    // Unlocks of the first order are lost: that case fails, later ones start clean.
    let mut lost = 0;
    let failed = failed_with(|_, op| match op {
        Op::Unlock(_, 1, _) if lost == 0 => {
            lost += 1;
            Some(true)
        }
        _ => None,
    });
    assert_eq!(failed, ["all_locks"]);
}
