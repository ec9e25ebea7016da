// SPDX-License-Identifier: GPL-2.0

//! KUnit: lock-order tracking of real threads, through the module's own API.
//!
//! The rules themselves are tested on the host; here it is contexts, registration, reports and
//! typed locks. Tests provoke violations on quiet hierarchies, or count the difference.

mod driver;
mod raw_rwsem;
mod rwsem;
mod typed;

use self::{
    rwsem::RwSemaphore,
    typed::SpinLockIrq, //
};
use super::{
    classes::{
        self,
        DeviceList,
        DeviceLru,
        FileHandles, //
    },
    hierarchy::{
        self,
        total_violations,
        Hierarchy,
        AUTOMATIC,
        MAX_HIERARCHIES,
        QUIET,
        STRICT, //
    },
    record::{
        self,
        SavedContext, //
    },
    rules::{
        conflict::Rule,
        flags::{
            ANY,
            EXCLUSIVE,
            SHARED,
            TRYLOCK, //
        },
        order::Order, //
    },
    sanity,
    track,
    typed::{
        Mutex,
        SpinLock, //
    },
    with_context,
    Registered, //
};
use core::ptr::null;
use kernel::prelude::*;

fn three_orders() -> Result<Registered> {
    Registered::new("kunit", &["outer", "middle", "inner"], true)
}

/// Registers hierarchies, one after the other, until one has this slot: they are used in turn.
fn again_in(slot: u8, orders: &[&str]) -> Result<Registered> {
    for _ in 0..2 * MAX_HIERARCHIES {
        let registered = Registered::new("kunit", orders, true)?;
        if registered.hierarchy().id() == slot {
            return Ok(registered);
        }
    }
    Err(ENOENT)
}

/// What Rust drivers include has to agree with the C header.
#[allow(dead_code, reason = "only compared")]
mod driver_api {
    include!("../include/reeve/lock_order.rs");

    use crate::abstractions::bindings;

    const _: () = {
        assert!(EXCLUSIVE == bindings::REEVE_LOCK_EXCLUSIVE);
        assert!(SHARED == bindings::REEVE_LOCK_SHARED);
        assert!(ANY == bindings::REEVE_LOCK_ANY);
        assert!(TRYLOCK == bindings::REEVE_LOCK_TRYLOCK);
        assert!(OUT_OF_ORDER == bindings::REEVE_LOCK_OUT_OF_ORDER);
        assert!(WAITING == bindings::REEVE_LOCK_WAITING);
        assert!(AUTOMATIC == bindings::REEVE_HIERARCHY_AUTOMATIC);
        assert!(STRICT == bindings::REEVE_HIERARCHY_STRICT);
        assert!(SLEEPS == bindings::REEVE_ORDER_SLEEPS);
        assert!(SPINS == bindings::REEVE_ORDER_SPINS);
        assert!(IRQ_SAFE == bindings::REEVE_ORDER_IRQ_SAFE);
        assert!(RECURSIVE == bindings::REEVE_ORDER_RECURSIVE);
        assert!(
            core::mem::size_of::<sys::ThreadContext>()
                == core::mem::size_of::<bindings::reeve_thread_context>()
        );
    };
}

#[kunit_tests(reeve_lock_order)]
mod cases {
    use super::*;

    #[test]
    fn the_sanity_suite_passes() -> Result {
        let registered = sanity::register()?;
        let result = sanity::run(registered.hierarchy())?;
        expect!(result.failed == 0 && result.count == 20);
        expect!(result
            .cases
            .iter()
            .all(|case| case.status == 1 && case.line == 0));
        Ok(())
    }

    #[test]
    fn this_build_is_not_broken_on_purpose() -> Result {
        expect!(!cfg!(reeve_break_kunit));
        Ok(())
    }

    #[test]
    fn without_a_context_records_are_incorrect_and_order_checks_are_not() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        expect!(!record::record_lock(h, null(), 1, EXCLUSIVE));
        expect!(!record::record_unlock(h, null(), 1, EXCLUSIVE));
        expect!(!record::record_downgrade(h, null(), 1));
        expect!(!record::check_locked(h, null(), 1, ANY));
        expect!(record::check_lockable_order(h, 1, 0));
        expect!(record::check_unlocked_order(h, 1));
        expect!(record::check_all_unlocked(h));
        expect!(h.violations() == 4);
        Ok(())
    }

    #[test]
    fn contexts_nest_and_only_the_outer_one_ends() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        with_context(|| {
            expect!(record::record_lock(h, null(), 1, SHARED));
            with_context(|| {
                expect!(record::check_locked(h, null(), 1, SHARED));
                expect!(record::record_lock(h, null(), 2, SHARED));
                Ok(())
            })?;
            expect!(record::record_unlock(h, null(), 2, SHARED));
            expect!(record::record_unlock(h, null(), 1, SHARED));
            Ok(())
        })?;
        expect!(!record::check_locked(h, null(), 1, ANY));
        expect!(h.violations() == 1);
        Ok(())
    }

    #[test]
    fn leaving_with_locks_held_is_a_violation_and_frees_the_context() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        with_context(|| record::record_lock(h, null(), 2, EXCLUSIVE));
        expect!(h.violations() == 1);
        with_context(|| {
            expect!(record::check_all_unlocked(h));
            expect!(record::record_lock(h, null(), 1, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 1, EXCLUSIVE));
            Ok(())
        })
    }

    #[test]
    fn a_saved_context_comes_back() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        with_context(|| {
            expect!(record::record_lock(h, null(), 3, EXCLUSIVE));
            let saved = SavedContext::save()?;
            let inside = record::check_all_unlocked(h)
                && record::record_lock(h, null(), 1, EXCLUSIVE)
                && record::record_unlock(h, null(), 1, EXCLUSIVE);
            drop(saved);
            let after = record::check_locked(h, null(), 3, EXCLUSIVE);
            expect!(record::record_unlock(h, null(), 3, EXCLUSIVE));
            expect!(inside && after);
            Ok(())
        })
    }

    #[test]
    fn violations_are_counted_and_tracking_goes_on() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        let elsewhere = total_violations();
        with_context(|| {
            expect!(record::record_lock(h, null(), 2, EXCLUSIVE));
            expect!(!record::record_lock(h, null(), 1, EXCLUSIVE));
            expect!(record::check_locked(h, null(), 1, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 2, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 1, EXCLUSIVE));
            expect!(record::record_lock(h, null(), 1, EXCLUSIVE));
            expect!(record::record_lock(h, null(), 2, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 2, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 1, EXCLUSIVE));
            Ok(())
        })?;
        expect!(h.violations() == 1);
        expect!(total_violations() == elsewhere);
        Ok(())
    }

    #[test]
    fn rules_can_be_added_until_there_is_no_room() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        let rule = Rule {
            order: 3,
            while_held: 1,
            mode: EXCLUSIVE as u8,
            unless_held: 2,
        };
        for _ in 0..32 {
            h.add_rule(rule)?;
        }
        expect!(h.add_rule(rule) == Err(ENOSPC));
        let unknown = Rule { order: 4, ..rule };
        expect!(h.add_rule(unknown) == Err(EINVAL));
        with_context(|| {
            expect!(record::record_lock(h, null(), 1, EXCLUSIVE));
            expect!(!record::record_lock(h, null(), 3, EXCLUSIVE | TRYLOCK));
            expect!(record::record_unlock(h, null(), 3, EXCLUSIVE));
            expect!(record::record_lock(h, null(), 2, EXCLUSIVE));
            expect!(record::record_lock(h, null(), 3, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 3, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 2, EXCLUSIVE));
            expect!(record::record_unlock(h, null(), 1, EXCLUSIVE));
            Ok(())
        })
    }

    #[test]
    fn hierarchies_are_independent_and_reusable() -> Result {
        let first = three_orders()?;
        let second = three_orders()?;
        let (a, b) = (first.hierarchy(), second.hierarchy());
        expect!(a.id() != b.id());
        with_context(|| {
            expect!(record::record_lock(a, null(), 3, EXCLUSIVE));
            expect!(record::record_lock(b, null(), 1, EXCLUSIVE));
            expect!(record::check_unlocked_order(b, 3));
            expect!(record::record_unlock(a, null(), 3, EXCLUSIVE));
            expect!(record::record_unlock(b, null(), 1, EXCLUSIVE));
            Ok(())
        })?;
        let id = a.id();
        drop(first);
        again_in(id, &["outer", "middle", "inner"]).map(drop)
    }

    #[test]
    fn an_unregistered_hierarchy_knows_no_orders() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        drop(registered);
        with_context(|| {
            expect!(!record::record_lock(h, null(), 1, EXCLUSIVE));
            expect!(!record::check_locked(h, null(), 1, EXCLUSIVE));
            expect!(h.add_rule(Rule::default()) == Err(EINVAL));
            Ok(())
        })
    }

    #[test]
    fn registration_fails_when_the_table_is_full_and_works_again_later() -> Result {
        let mut all = KVec::new();
        let full = loop {
            match three_orders() {
                Ok(registered) => all.push(registered, GFP_KERNEL)?,
                Err(error) => break error,
            }
        };
        expect!(full == ENOSPC);
        expect!(Hierarchy::all().count() == MAX_HIERARCHIES);
        drop(all);
        three_orders().map(drop)
    }

    #[test]
    fn a_hierarchy_needs_orders_and_not_too_many() -> Result {
        expect!(matches!(Registered::new("kunit", &[], true), Err(error) if error == EINVAL));
        expect!(
            matches!(Registered::new("kunit", &["x"; 65], true), Err(error) if error == EINVAL)
        );
        Registered::new("kunit", &["x"; 64], true).map(drop)
    }

    #[test]
    fn a_held_hierarchy_is_not_unregistered() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        with_context(|| {
            expect!(record::record_lock(h, null(), 1, EXCLUSIVE));
            let refused = track::unregister(h.handle(), 0, false);
            expect!(record::record_unlock(h, null(), 1, EXCLUSIVE));
            expect!(refused == Err(EBUSY));
            Ok(())
        })
    }

    #[test]
    fn what_is_held_of_a_forgotten_hierarchy_is_forgotten() -> Result {
        let names = hierarchy::Names::new(b"kunit", ["outer"].map(str::as_bytes).into_iter())?;
        let h = Hierarchy::register(KBox::new(names, GFP_KERNEL)?, QUIET | STRICT, |_| false)?;
        let other = three_orders()?;
        with_context(|| {
            let stale = h.handle();
            expect!(record::record_lock(h, null(), 1, EXCLUSIVE));
            track::unregister(stale, 0, true)?;
            expect!(Hierarchy::at(stale).is_none());
            expect!(h.handle() != stale);
            expect!(track::unregister(stale, 0, true) == Err(EINVAL));
            // Nothing is left that another hierarchy, or the leave, would see.
            expect!(record::check_all_unlocked(other.hierarchy()));
            expect!(record::record_lock(other.hierarchy(), null(), 2, EXCLUSIVE));
            expect!(record::record_unlock(
                other.hierarchy(),
                null(),
                2,
                EXCLUSIVE
            ));
            Ok(())
        })
    }

    #[test]
    fn a_thread_is_given_a_context_where_that_is_asked_for() -> Result {
        let names = hierarchy::Names::new(b"kunit", ["outer"].map(str::as_bytes).into_iter())?;
        let options = QUIET | AUTOMATIC;
        let h = Hierarchy::register(KBox::new(names, GFP_KERNEL)?, options, |_| false)?;
        let correct = record::record_lock(h, null(), 1, EXCLUSIVE)
            && !record::record_lock(h, null(), 1, EXCLUSIVE)
            && record::check_locked(h, null(), 1, EXCLUSIVE)
            && record::record_unlock(h, null(), 1, EXCLUSIVE)
            && !record::record_unlock(h, null(), 1, EXCLUSIVE);
        // It goes with the context that is entered next.
        with_context(|| ());
        track::unregister(h.handle(), 0, true)?;
        expect!(correct);
        Ok(())
    }

    #[test]
    fn a_rule_also_counts_for_a_pair_that_was_taken_before() -> Result {
        let registered = three_orders()?;
        let h = registered.hierarchy();
        let both = || {
            let outer = record::record_lock(h, null(), 1, EXCLUSIVE);
            let inner = record::record_lock(h, null(), 2, EXCLUSIVE);
            let inner_ends = record::record_unlock(h, null(), 2, EXCLUSIVE);
            let outer_ends = record::record_unlock(h, null(), 1, EXCLUSIVE);
            outer && outer_ends && inner_ends && inner
        };
        with_context(|| {
            expect!(both() && both());
            expect!(h.taken_after(1).eq([2]) && h.taken_after(0).eq([1]));
            h.add_rule(Rule {
                order: 2,
                while_held: 1,
                mode: EXCLUSIVE as u8,
                unless_held: 0,
            })?;
            expect!(!both() && !both());
            expect!(h.violations() == 2);
            Ok(())
        })
    }

    #[test]
    fn a_slot_that_is_used_again_knows_nothing_of_before() -> Result {
        let (slot, orders) = {
            let registered = three_orders()?;
            let h = registered.hierarchy();
            with_context(|| {
                expect!(record::record_lock(h, null(), 1, EXCLUSIVE));
                expect!(record::record_lock(h, null(), 3, EXCLUSIVE));
                expect!(record::record_unlock(h, null(), 3, EXCLUSIVE));
                expect!(record::record_unlock(h, null(), 1, EXCLUSIVE));
                Ok(())
            })?;
            (h.id(), h.count())
        };
        let again = again_in(slot, &["only"])?;
        expect!(orders == 3);
        expect!((0..=orders).all(|order| again.hierarchy().taken_after(order).next().is_none()));
        with_context(|| {
            expect!(record::record_lock(again.hierarchy(), null(), 1, EXCLUSIVE));
            expect!(!record::record_lock(
                again.hierarchy(),
                null(),
                3,
                EXCLUSIVE
            ));
            expect!(record::record_unlock(
                again.hierarchy(),
                null(),
                1,
                EXCLUSIVE
            ));
            Ok(())
        })
    }

    /// Through what Rust drivers include, as the next one.
    #[test]
    fn a_driver_makes_room_for_many_locks() -> Result {
        let driver = driver_api::Hierarchy::register(c"kunit_driver", &[c"object"])?;
        driver.set_nestable(1)?;
        let objects = [0u8; 256];
        let before = total_violations();
        let done = driver_api::with_deep_context(|| {
            let all = objects.iter();
            let taken = all.clone().filter(|o| driver.record_lock(*o, 1, EXCLUSIVE));
            let taken = taken.count();
            let held = all
                .clone()
                .filter(|o| driver.check_locked(*o, 1, EXCLUSIVE));
            let held = held.count();
            let released = all.rev().filter(|o| driver.record_unlock(*o, 1, EXCLUSIVE));
            (taken, held, released.count())
        });
        expect!(done == (256, 256, 256));
        expect!(total_violations() == before);
        Ok(())
    }

    #[test]
    fn a_driver_orders_its_locks_and_those_of_another() -> Result {
        let outer = driver_api::Hierarchy::register(c"kunit_outer", &[c"a", c"b"])?;
        let inner = driver_api::Hierarchy::register(c"kunit_inner", &[c"c", c"d"])?;
        expect!(outer.set_before(c"kunit_none", 1) == Err(ENOENT));
        outer.set_before(c"kunit_inner", 2)?;
        expect!(inner.set_before(c"kunit_outer", 1) == Err(ELOOP));
        // The same once more, said of the inner one.
        inner.set_after(2, c"kunit_outer")?;
        let (x, y) = (0u8, 0u8);
        let before = total_violations();
        driver_api::with_context(|| {
            let right = outer.record_lock(&x, 1, EXCLUSIVE)
                && inner.record_lock(&y, 2, EXCLUSIVE)
                && inner.record_unlock(&y, 2, EXCLUSIVE)
                && outer.record_unlock(&x, 1, EXCLUSIVE);
            expect!(right && total_violations() == before);
            let inner_first = inner.record_lock(&y, 2, EXCLUSIVE);
            let then_outer = outer.record_lock(&x, 1, EXCLUSIVE);
            let released =
                outer.record_unlock(&x, 1, EXCLUSIVE) && inner.record_unlock(&y, 2, EXCLUSIVE);
            expect!(inner_first && !then_outer && released);
            expect!(total_violations() == before + 1);
            Ok(())
        })
    }

    #[test]
    fn an_order_is_declared_while_a_driver_holds_locks_of_both() -> Result {
        let outer = driver_api::Hierarchy::register(c"kunit_outer", &[c"a", c"b"])?;
        let inner = driver_api::Hierarchy::register(c"kunit_inner", &[c"c"])?;
        let (x, y, z) = (0u8, 0u8, 0u8);
        let before = total_violations();
        let take_two = || outer.record_lock(&x, 1, EXCLUSIVE) && outer.record_lock(&z, 2, SHARED);
        let release_two =
            || outer.record_unlock(&z, 2, SHARED) && outer.record_unlock(&x, 1, EXCLUSIVE);
        driver_api::with_context(|| {
            // The uses are known when it is declared.
            let known = take_two() && release_two();
            let held = inner.record_lock(&y, 1, EXCLUSIVE) && outer.record_lock(&x, 1, EXCLUSIVE);
            let declared = outer.set_before(c"kunit_inner", 1);
            let next = outer.record_lock(&z, 2, SHARED);
            let released = release_two() && inner.record_unlock(&y, 1, EXCLUSIVE);
            expect!(known && held && declared.is_ok());
            expect!(!next && released && total_violations() == before + 1);
            // Nor do they become known to those who hold none of the other one.
            let right = take_two() && release_two();
            let again = inner.record_lock(&y, 1, EXCLUSIVE) && !take_two();
            let released = outer.record_unlock(&x, 1, EXCLUSIVE);
            let released = inner.record_unlock(&y, 1, EXCLUSIVE) && released;
            expect!(right && again && released && total_violations() == before + 2);
            Ok(())
        })?;
        // And it is over with the other one.
        drop(inner);
        driver_api::with_context(|| {
            let right = take_two() && release_two();
            expect!(right && total_violations() == before + 2);
            Ok(())
        })
    }

    #[test]
    fn typed_locks_record_themselves() -> Result {
        let mutex: Pin<KBox<Mutex<u32, DeviceList>>> = KBox::pin_init(Mutex::new(1), GFP_KERNEL)?;
        let spin: Pin<KBox<SpinLock<u32, DeviceLru>>> =
            KBox::pin_init(SpinLock::new(2), GFP_KERNEL)?;
        let before = total_violations();
        with_context(|| {
            let h = classes::hierarchy();
            let mut outer = mutex.lock();
            *outer += 1;
            let inner = spin.lock();
            let sum = *outer + *inner;
            let held = !record::check_unlocked_order(h, DeviceList::ORDER)
                && !record::check_unlocked_order(h, DeviceLru::ORDER);
            drop(inner);
            drop(outer);
            expect!(sum == 4 && held);
            expect!(record::check_all_unlocked(h));
            Ok(())
        })?;
        expect!(total_violations() == before + 2);
        Ok(())
    }

    #[test]
    fn a_trylock_of_a_held_lock_fails_and_records_nothing() -> Result {
        let mutex: Pin<KBox<Mutex<u32, DeviceList>>> = KBox::pin_init(Mutex::new(1), GFP_KERNEL)?;
        let before = total_violations();
        with_context(|| {
            let guard = mutex.lock();
            let second = mutex.try_lock().is_some();
            drop(guard);
            let third = mutex.try_lock().is_some();
            expect!(!second && third);
            Ok(())
        })?;
        expect!(total_violations() == before);
        Ok(())
    }

    #[test]
    fn a_lock_that_is_forgotten_outlasts_its_context_and_ends_without_one() -> Result {
        let mutex: Pin<KBox<Mutex<u32, DeviceList>>> = KBox::pin_init(Mutex::new(1), GFP_KERNEL)?;
        let h = classes::hierarchy();
        let before = total_violations();
        let mut guard = with_context(|| {
            let mut guard = mutex.lock();
            guard.forget();
            guard
        });
        let held = with_context(|| {
            guard.remember();
            let held = record::check_locked(h, mutex.address(), DeviceList::ORDER, EXCLUSIVE);
            guard.forget();
            held && record::check_all_unlocked(h)
        });
        // What is in no record is not taken out of one.
        drop(guard);
        let free = with_context(|| mutex.try_lock().is_some());
        expect!(held && free);
        expect!(total_violations() == before);
        Ok(())
    }

    #[test]
    fn locks_of_two_kinds_say_whether_they_are_held() -> Result {
        let outer: Pin<KBox<Mutex<u32, FileHandles>>> = KBox::pin_init(Mutex::new(1), GFP_KERNEL)?;
        let inner: Pin<KBox<SpinLockIrq<u32, DeviceLru>>> =
            KBox::pin_init(SpinLockIrq::new(2), GFP_KERNEL)?;
        let before = total_violations();
        with_context(|| {
            let outer_guard = outer.lock();
            let inner_guard = inner.lock();
            let sum = *outer_guard + *inner_guard;
            let held = outer.assert_held() && inner.assert_held();
            drop(inner_guard);
            drop(outer_guard);
            expect!(sum == 3 && held);
            expect!(total_violations() == before);
            expect!(!outer.assert_held());
            Ok(())
        })
    }

    #[test]
    fn a_semaphore_is_shared_exclusive_and_downgraded() -> Result {
        let sem: Pin<KBox<RwSemaphore<u32, DeviceList>>> =
            KBox::pin_init(RwSemaphore::new(5), GFP_KERNEL)?;
        let before = total_violations();
        with_context(|| {
            let reader = sem.read();
            let value = *reader;
            let while_read = (sem.try_write().is_some(), sem.assert_held_in(SHARED));
            drop(reader);
            let mut writer = sem.write();
            *writer += value;
            let while_written = (sem.try_read().is_some(), sem.assert_held_in(EXCLUSIVE));
            let reader = writer.downgrade();
            let downgraded = (*reader, sem.assert_held_in(SHARED));
            drop(reader);
            let could_write = sem.try_write().is_some();
            let could_read = sem.try_read().is_some();
            expect!(while_read == (false, true) && while_written == (false, true));
            expect!(downgraded == (10, true) && could_write && could_read);
            expect!(record::check_all_unlocked(classes::hierarchy()));
            Ok(())
        })?;
        expect!(total_violations() == before);
        Ok(())
    }
}
