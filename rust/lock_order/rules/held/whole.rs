// SPDX-License-Identifier: GPL-2.0-or-later

//! The complete operations in one step each, for where `report` may be told while the locks are looked
//! at: on the host. In the kernel a report may come back to the same held locks, so it is made from a
//! copy, between the two halves of the operation.
//!
//! Each returns whether the use was correct.

#![deny(unsafe_code)]

use super::{
    HeldLocks,
    LockUse, //
};
use crate::lock_order::rules::{
    conflict::Rules,
    violation::{
        Faults,
        Violation, //
    }, //
};

impl HeldLocks {
    fn told(&self, faults: Faults, report: &mut impl FnMut(&Self, Violation)) -> bool {
        faults.iter().for_each(|fault| report(self, fault));
        faults.is_empty()
    }

    /// [`lock_faults`](Self::lock_faults), then [`lock`](Self::lock).
    pub fn record_lock(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        let correct = self.told(self.lock_faults(rules, u), report);
        self.lock(rules, u);
        correct
    }

    /// [`unlock_faults`](Self::unlock_faults), then [`unlock`](Self::unlock).
    pub fn record_unlock(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        let correct = self.told(self.unlock_faults(rules, u), report);
        self.unlock(rules, u);
        correct
    }

    /// [`downgrade_faults`](Self::downgrade_faults), then [`downgrade`](Self::downgrade).
    pub fn record_downgrade(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        let correct = self.told(self.downgrade_faults(rules, u), report);
        if correct {
            self.downgrade(rules, u);
        }
        correct
    }

    /// [`acquired_faults`](Self::acquired_faults), then [`acquired`](Self::acquired).
    pub fn record_acquired(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        let correct = self.told(self.acquired_faults(rules, u), report);
        self.acquired(rules, u);
        correct
    }

    /// [`locked_faults`](Self::locked_faults).
    pub fn check_locked(
        &mut self,
        rules: &Rules<'_>,
        u: LockUse,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        self.told(self.locked_faults(rules, u), report)
    }

    /// [`lockable_faults`](Self::lockable_faults).
    pub fn check_lockable_order(
        &mut self,
        rules: &Rules<'_>,
        order: u32,
        flags: u32,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        self.told(self.lockable_faults(rules, order, flags), report)
    }

    /// [`unlocked_faults`](Self::unlocked_faults).
    pub fn check_unlocked_order(
        &mut self,
        rules: &Rules<'_>,
        order: u32,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        self.told(self.unlocked_faults(rules, order), report)
    }

    /// [`all_unlocked_faults`](Self::all_unlocked_faults), then
    /// [`becomes_sure`](Self::becomes_sure).
    pub fn check_all_unlocked(
        &mut self,
        rules: &Rules<'_>,
        report: &mut impl FnMut(&Self, Violation),
    ) -> bool {
        let correct = self.told(self.all_unlocked_faults(rules), report);
        if correct {
            self.becomes_sure(rules);
        }
        correct
    }
}
