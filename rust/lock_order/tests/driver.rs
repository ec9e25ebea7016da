// SPDX-License-Identifier: GPL-2.0

//! KUnit: what Rust drivers include, beside what the samples do with it.
#![deny(unsafe_code)]

use super::driver_api::{
    self as api,
    Hierarchy,
    EXCLUSIVE,
    SHARED, //
};
use crate::lock_order::hierarchy::total_violations;
use kernel::prelude::*;

#[kunit_tests(reeve_lock_order_driver)]
mod cases {
    use super::*;

    #[test]
    fn a_hierarchy_that_is_held_is_given_back_and_dropping_it_forgets() -> Result {
        let driver = Hierarchy::register(c"kunit_busy", &[c"a"])?;
        let lock = 0u8;
        let before = total_violations();
        api::with_context(|| {
            expect!(driver.record_lock(&lock, 1, EXCLUSIVE));
            let Err((error, driver)) = driver.unregister() else {
                return Err(EINVAL);
            };
            expect!(error == EBUSY && total_violations() == before + 1);
            expect!(driver.check_locked(&lock, 1, EXCLUSIVE));
            drop(driver);
            expect!(total_violations() == before + 2);
            // It is not held any more, so the leave has nothing to say.
            Ok(())
        })?;
        expect!(total_violations() == before + 2);
        let again = Hierarchy::register(c"kunit_busy", &[c"a"])?;
        again.unregister().map_err(|(error, _)| error)
    }

    #[test]
    fn who_has_to_enter_is_as_the_flags_say() -> Result {
        let lock = 0u8;
        let strict = Hierarchy::register_with(c"kunit_strict", &[c"a"], api::STRICT)?;
        expect!(!strict.record_lock(&lock, 1, EXCLUSIVE) && !api::has_context());
        let automatic = Hierarchy::register_with(c"kunit_automatic", &[c"a"], api::AUTOMATIC)?;
        expect!(automatic.record_lock(&lock, 1, EXCLUSIVE) && api::has_context());
        expect!(automatic.record_unlock(&lock, 1, EXCLUSIVE) && !api::has_context());
        let both = api::STRICT | api::AUTOMATIC;
        expect!(
            matches!(Hierarchy::register_with(c"kunit", &[c"a"], both), Err(error) if error == EINVAL)
        );
        Ok(())
    }

    #[test]
    fn kinds_of_locks_are_told_and_looked_at() -> Result {
        let orders = [
            c"ticket", c"object", c"other", c"spins", c"read", c"keyed", c"work",
        ];
        let h = Hierarchy::register(c"kunit_kinds", &orders)?;
        h.set_any_order(2, 1)?;
        h.set_any_order(3, 1)?;
        expect!(h.set_any_order(1, 2) == Err(EINVAL));
        h.set_attributes(4, api::SPINS)?;
        h.set_attributes(5, api::RECURSIVE)?;
        expect!(h.set_attributes(4, api::SLEEPS) == Err(EINVAL));
        h.set_nestable(6)?;
        h.add_rule(7, 6, EXCLUSIVE, 0)?;
        let (a, b, c) = (0u8, 0u8, 0u8);
        let before = total_violations();
        api::with_context(|| {
            let ticket = h.record_lock(&a, 1, EXCLUSIVE)
                && h.record_lock(&b, 3, EXCLUSIVE)
                && h.record_lock(&c, 2, EXCLUSIVE)
                && h.record_unlock(&b, 3, EXCLUSIVE)
                && h.record_unlock(&c, 2, EXCLUSIVE)
                && h.record_unlock(&a, 1, EXCLUSIVE);
            let recursive = h.record_lock(&a, 5, SHARED)
                && h.record_lock(&a, 5, SHARED)
                && h.record_unlock(&a, 5, SHARED)
                && h.record_unlock(&a, 5, SHARED);
            let keyed = h.record_lock_keyed(&b, 6, SHARED, 1)
                && h.record_lock_keyed(&a, 6, SHARED, 2)
                && h.record_wait(&c, 7)
                && h.record_unlock(&b, 6, SHARED)
                && h.record_unlock(&a, 6, SHARED);
            expect!(ticket && recursive && keyed && total_violations() == before);
            let spins = h.record_lock(&a, 4, EXCLUSIVE)
                && !h.record_wait(&c, 7)
                && h.record_unlock(&a, 4, EXCLUSIVE);
            let ruled = h.record_lock(&a, 6, EXCLUSIVE)
                && !h.record_wait(&c, 7)
                && h.record_unlock(&a, 6, EXCLUSIVE);
            expect!(spins && ruled && total_violations() == before + 2);
            Ok(())
        })
    }

    #[test]
    fn a_lock_is_handed_over_and_its_memory_not_freed_meanwhile() -> Result {
        let h = Hierarchy::register(c"kunit_handed", &[c"a"])?;
        let lock = 0u64;
        let before = total_violations();
        api::with_context(|| {
            expect!(h.record_lock(&lock, 1, SHARED) && h.record_handover(&lock, 1));
            expect!(h.check_all_unlocked() && !api::check_no_locks_freed(&lock));
            expect!(h.record_adopt(&lock, 1) && h.check_locked(&lock, 1, SHARED));
            expect!(h.record_unlock(&lock, 1, SHARED) && api::check_no_locks_freed(&lock));
            expect!(total_violations() == before + 1);
            Ok(())
        })
    }
}
