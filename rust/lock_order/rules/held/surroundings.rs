// SPDX-License-Identifier: GPL-2.0-or-later

//! Faults of what is about to be waited for, and of locks whose order says more than its place: where
//! they may be taken.

#![deny(unsafe_code)]

use super::{
    HeldLocks,
    LockUse, //
};
use crate::lock_order::rules::{
    conflict::{
        order_bit,
        Rules, //
    },
    flags::{
        TRYLOCK,
        WAITING, //
    },
    violation::{
        Faults,
        Violation, //
    }, //
};

/// An interrupt runs, of whichever level.
pub const INTERRUPT: u32 = 1 << 0;
/// A hard interrupt runs, or an NMI.
pub const HARD_INTERRUPT: u32 = 1 << 1;
/// Nothing may sleep.
pub const ATOMIC: u32 = 1 << 2;
/// Interrupts are off.
pub const INTERRUPTS_OFF: u32 = 1 << 3;

impl HeldLocks {
    /// What the attributes of its order have against taking a lock in these surroundings.
    ///
    /// A trylock does not sleep. Of one that is waited for still, interrupts may be on: that is asked
    /// again once it was acquired.
    pub fn surroundings_fault(
        &self,
        rules: &Rules<'_>,
        u: LockUse,
        surroundings: u32,
    ) -> Option<Violation> {
        if self.is_disabled() || !rules.attributes.speaks_of(u.order) {
            return None;
        }
        let (bit, attributes) = (order_bit(u.order), &rules.attributes);
        let tries = u.flags & TRYLOCK != 0;
        if attributes.sleeps & bit != 0 && !tries {
            return self.sleep_fault(rules, surroundings);
        }
        if attributes.irq_safe & bit != 0 {
            let may_be_interrupted = surroundings & (HARD_INTERRUPT | INTERRUPTS_OFF) == 0;
            let is_on = may_be_interrupted && u.flags & WAITING == 0;
            return is_on.then_some(Violation::InterruptsOn);
        }
        let spins = attributes.spins & bit != 0;
        let is_in_handler = spins && !tries && surroundings & HARD_INTERRUPT != 0;
        is_in_handler.then_some(Violation::InHandler)
    }

    /// What is wrong with sleeping.
    fn sleep_fault(&self, rules: &Rules<'_>, surroundings: u32) -> Option<Violation> {
        let spins = rules.attributes.spins;
        let held = self.first(rules, |held| spins & order_bit(held.order.into()) != 0);
        let is_atomic = surroundings & (INTERRUPT | ATOMIC) != 0;
        match held {
            Some(i) => Some(Violation::SleepsUnder(i as u8)),
            None => is_atomic.then_some(Violation::SleepsInAtomic),
        }
    }

    /// What is wrong with waiting now for something of this order that is no lock: as with a lock, and
    /// that it sleeps.
    pub fn wait_faults(&self, rules: &Rules<'_>, u: LockUse, surroundings: u32) -> Faults {
        let mut faults = Faults::none();
        if self.is_disabled() {
            return faults;
        }
        if !rules.has(u.order) {
            return Faults::one(Violation::InvalidOrder);
        }
        if let Some(broken) = self.broken_rule(rules, u.order) {
            faults.add(broken);
        }
        if let Some(i) = self.equal_or_deeper(rules, u) {
            faults.add(Violation::OrderHeld(i as u8));
        }
        if let Some(i) = self.other_held(rules) {
            faults.add(Violation::OtherHeld(i as u8));
        }
        if let Some(fault) = self.sleep_fault(rules, surroundings) {
            faults.add(fault);
        }
        faults
    }
}
