// SPDX-License-Identifier: GPL-2.0-or-later

//! Locks that come from another thread, and of which it is not known that they do.

mod lock_common;

use lock_common::{Thread, PLAIN};
use reeve_host::lock_order::rules::{flags::EXCLUSIVE, held::LockUse, violation::Violation};

/// A thread that has adopted a lock of which nothing is known.
fn adopted() -> Thread {
    let mut t = Thread::new(PLAIN);
    t.held.adopt_unknown();
    t
}

/// Whether an unlock of a lock that is recorded nowhere is correct; it was expected to be that or not.
fn releases(t: &mut Thread) -> bool {
    t.unlock_in(&PLAIN, 1, 1, EXCLUSIVE)
}

#[test]
fn what_is_adopted_unknown_is_released_or_handed_on_once() {
    let mut t = adopted();
    assert!(releases(&mut t) && !releases(&mut t));
    assert_eq!(t.reported, [Violation::NotHeld]);
    let mut t = adopted();
    let u = LockUse::new(1, 1, 0, 0);
    assert!(t.held.acquired_faults(&PLAIN, u).is_empty());
    assert_eq!(t.held.hand_over(&PLAIN, u), None);
    assert!(!releases(&mut t), "it is another thread's");
    assert_eq!(t.reported, [Violation::NotHeld]);
}

#[test]
fn what_is_adopted_while_tracking_is_disabled_is_not_noted() {
    let mut t = Thread::new(PLAIN);
    assert!(t.held.disable());
    t.held.adopt_unknown();
    assert!(t.held.enable());
    assert!(!releases(&mut t));
}
