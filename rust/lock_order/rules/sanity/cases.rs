// SPDX-License-Identifier: GPL-2.0-or-later

//! The twenty cases of the lock sanity suite.
//!
//! Each proves that correct use is accepted and that one kind of misuse is found. A lock's order
//! serves as its address.

#![deny(unsafe_code)]

use super::{
    orders,
    Case,
    Failure,
    Tracker, //
};
use crate::lock_order::rules::flags::{
    ANY,
    EXCLUSIVE,
    MODE_MASK,
    OUT_OF_ORDER,
    SHARED,
    TRYLOCK, //
};

const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// The address of a lock that is none of the suite's others.
const OTHER_INSTANCE: usize = 0;

/// Returns from the case at the first expectation that does not hold.
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err(Failure {
                file: file!(),
                line: line!(),
                expectation: stringify!($condition),
            });
        }
    };
}

/// The table's entry for a case function of the same name.
macro_rules! case {
    ($name:ident) => {
        Case {
            name: stringify!($name),
            run: $name,
        }
    };
}

type Outcome = Result<(), Failure>;

fn lock(t: &mut dyn Tracker, order: u32, flags: u32) -> bool {
    t.record_lock(order as usize, order, flags)
}

fn unlock(t: &mut dyn Tracker, order: u32, flags: u32) -> bool {
    t.record_unlock(order as usize, order, flags)
}

fn downgrade(t: &mut dyn Tracker, order: u32) -> bool {
    t.record_downgrade(order as usize, order)
}

fn is_locked(t: &mut dyn Tracker, order: u32, flags: u32) -> bool {
    t.check_locked(order as usize, order, flags)
}

/// Whether the walk leaves this order out: the conflict rules would forbid it.
fn is_skipped(order: u32, flags: u32) -> bool {
    match order {
        orders::RM_GPUS => flags & MODE_MASK == EXCLUSIVE,
        orders::MMAP_LOCK => true,
        _ => false,
    }
}

/// The orders from `from` on that the walk takes, outermost first.
fn walk(from: u32, flags: u32) -> impl DoubleEndedIterator<Item = u32> {
    (from..=orders::COUNT).filter(move |&order| !is_skipped(order, flags))
}

/// Takes and releases every order from `from` on, in both modes, releasing in and out of order.
fn all_locks_from(t: &mut dyn Tracker, from: u32) -> Outcome {
    for release in [0, OUT_OF_ORDER] {
        for mode in [SHARED, EXCLUSIVE] {
            all_locks_from_as(t, from, mode | release)?;
        }
    }
    Ok(())
}

fn all_locks_from_as(t: &mut dyn Tracker, from: u32, flags: u32) -> Outcome {
    for order in from..=orders::COUNT {
        check!(t.check_unlocked_order(order));
        check!(t.check_lockable_order(order, flags));
    }
    for order in walk(from, flags) {
        check!(lock(t, order, flags));
    }
    if !is_skipped(from, flags) {
        check!(!t.check_unlocked_order(from));
        check!(!t.check_lockable_order(from, flags));
    }
    for order in walk(from, flags) {
        check!(is_locked(t, order, flags));
    }
    for order in walk(from, flags) {
        check!(is_locked(t, order, ANY));
    }
    if flags & OUT_OF_ORDER == 0 {
        for order in walk(from, flags).rev() {
            check!(unlock(t, order, flags));
        }
    } else {
        for order in walk(from, flags) {
            check!(unlock(t, order, flags));
        }
    }
    for order in walk(from, flags) {
        check!(t.check_unlocked_order(order));
        check!(t.check_lockable_order(order, flags));
    }
    Ok(())
}

/// The suite, in the order it runs.
pub const CASES: [Case; 20] = [
    case!(all_locks),
    case!(locking_first_as_shared_then_test_higher_order_locks),
    case!(locking_second_as_exclusive_then_test_higher_order_locks),
    case!(unlocking_without_locking),
    case!(unlocking_different_lock_order_than_locked),
    case!(unlocking_different_lock_instance_than_locked),
    case!(unlocking_with_different_mode_than_locked),
    case!(unlocking_in_different_order_than_locked),
    case!(locking_out_of_order),
    case!(locking_same_order_twice),
    case!(checking_locked_when_no_locks_held),
    case!(checking_exclusive_when_locked_as_shared),
    case!(checking_shared_when_locked_as_exclusive),
    case!(checking_locked_when_different_instance_held),
    case!(checking_all_unlocked_when_lock_held),
    case!(downgrading),
    case!(downgrading_without_locking),
    case!(downgrading_when_different_instance_held),
    case!(downgrading_when_locked_as_shared),
    case!(try_locking_out_of_order),
];

/// Every order can be taken, checked and released.
fn all_locks(t: &mut dyn Tracker) -> Outcome {
    all_locks_from(t, FIRST)?;
    check!(t.check_all_unlocked());
    Ok(())
}

/// Every deeper order works below a shared lock.
fn locking_first_as_shared_then_test_higher_order_locks(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, FIRST, SHARED));
    all_locks_from(t, FIRST + 1)?;
    check!(unlock(t, FIRST, SHARED));
    check!(t.check_all_unlocked());
    Ok(())
}

/// Every deeper order works below an exclusive lock.
fn locking_second_as_exclusive_then_test_higher_order_locks(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, SECOND, EXCLUSIVE));
    all_locks_from(t, SECOND + 1)?;
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A release needs a lock.
fn unlocking_without_locking(t: &mut dyn Tracker) -> Outcome {
    check!(!unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A release names the order held.
fn unlocking_different_lock_order_than_locked(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, FIRST, EXCLUSIVE));
    check!(!unlock(t, SECOND, EXCLUSIVE));
    check!(!t.check_all_unlocked());
    check!(unlock(t, FIRST, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A release names the instance held; the order is free afterwards all the same.
fn unlocking_different_lock_instance_than_locked(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, FIRST, EXCLUSIVE));
    check!(!t.record_unlock(OTHER_INSTANCE, FIRST, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A release names the mode held.
fn unlocking_with_different_mode_than_locked(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, FIRST, EXCLUSIVE));
    check!(!unlock(t, FIRST, SHARED));
    check!(lock(t, FIRST, SHARED));
    check!(!unlock(t, FIRST, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A release out of order has to say so.
fn unlocking_in_different_order_than_locked(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, FIRST, EXCLUSIVE));
    check!(lock(t, SECOND, EXCLUSIVE));
    check!(unlock(t, FIRST, EXCLUSIVE | OUT_OF_ORDER));
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());

    check!(lock(t, FIRST, EXCLUSIVE));
    check!(lock(t, SECOND, EXCLUSIVE));
    check!(!unlock(t, FIRST, EXCLUSIVE));
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// An outer order cannot follow an inner one.
fn locking_out_of_order(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, SECOND, EXCLUSIVE));
    check!(!lock(t, FIRST, EXCLUSIVE));
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(unlock(t, FIRST, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// An order that is not nestable can be held once.
fn locking_same_order_twice(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, SECOND, EXCLUSIVE));
    check!(!lock(t, SECOND, EXCLUSIVE));
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(!unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// Nothing is held at the start.
fn checking_locked_when_no_locks_held(t: &mut dyn Tracker) -> Outcome {
    check!(!is_locked(t, SECOND, SHARED));
    check!(!is_locked(t, SECOND, EXCLUSIVE));
    check!(!is_locked(t, SECOND, ANY));
    check!(t.check_all_unlocked());
    Ok(())
}

/// Shared is not exclusive.
fn checking_exclusive_when_locked_as_shared(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, SECOND, SHARED));
    check!(!is_locked(t, SECOND, EXCLUSIVE));
    check!(unlock(t, SECOND, SHARED));
    check!(t.check_all_unlocked());
    Ok(())
}

/// Exclusive is not shared.
fn checking_shared_when_locked_as_exclusive(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, SECOND, EXCLUSIVE));
    check!(!is_locked(t, SECOND, SHARED));
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A check names the instance held.
fn checking_locked_when_different_instance_held(t: &mut dyn Tracker) -> Outcome {
    check!(t.record_lock(OTHER_INSTANCE, FIRST, EXCLUSIVE));
    check!(!is_locked(t, FIRST, EXCLUSIVE));
    check!(t.record_unlock(OTHER_INSTANCE, FIRST, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A held lock is noticed.
fn checking_all_unlocked_when_lock_held(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, SECOND, SHARED));
    check!(!t.check_all_unlocked());
    check!(unlock(t, SECOND, SHARED));
    check!(t.check_all_unlocked());
    Ok(())
}

/// An exclusive lock can become a shared one, once.
fn downgrading(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, FIRST, EXCLUSIVE));
    check!(is_locked(t, FIRST, EXCLUSIVE));
    check!(is_locked(t, FIRST, ANY));
    check!(downgrade(t, FIRST));
    check!(is_locked(t, FIRST, SHARED));
    check!(is_locked(t, FIRST, ANY));
    check!(!downgrade(t, FIRST));
    check!(is_locked(t, FIRST, ANY));
    check!(unlock(t, FIRST, SHARED));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A downgrade needs a lock.
fn downgrading_without_locking(t: &mut dyn Tracker) -> Outcome {
    check!(!downgrade(t, FIRST));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A downgrade names the instance held.
fn downgrading_when_different_instance_held(t: &mut dyn Tracker) -> Outcome {
    check!(t.record_lock(OTHER_INSTANCE, FIRST, EXCLUSIVE));
    check!(!downgrade(t, FIRST));
    check!(t.record_unlock(OTHER_INSTANCE, FIRST, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A shared lock cannot be downgraded.
fn downgrading_when_locked_as_shared(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, FIRST, SHARED));
    check!(!downgrade(t, FIRST));
    check!(unlock(t, FIRST, SHARED));
    check!(t.check_all_unlocked());
    Ok(())
}

/// A trylock may be out of order, and its release too; a trylock in order has to be released in order.
fn try_locking_out_of_order(t: &mut dyn Tracker) -> Outcome {
    check!(lock(t, SECOND, EXCLUSIVE));
    check!(lock(t, FIRST, EXCLUSIVE | TRYLOCK));
    check!(unlock(t, FIRST, EXCLUSIVE));
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());

    check!(lock(t, FIRST, EXCLUSIVE | TRYLOCK));
    check!(lock(t, SECOND, EXCLUSIVE));
    check!(!unlock(t, FIRST, EXCLUSIVE));
    check!(unlock(t, SECOND, EXCLUSIVE));
    check!(t.check_all_unlocked());
    Ok(())
}
