// SPDX-License-Identifier: GPL-2.0

//! The complete operations: find the thread's held locks, apply the rules, report what is wrong.
//!
//! Any context, any locks held, interrupts on or off, unless said otherwise.
#![deny(unsafe_code)]

use super::{
    classes::ContextReader,
    context::{
        self,
        Current,
        EnterError,
        Entered,
        Holder,
        Left, //
    },
    hierarchy::Hierarchy,
    record,
    records,
    report,
    rules::{
        conflict::Rules,
        flags::is_one_mode,
        held::{
            HeldLocks,
            LockUse, //
        },
        operation::Operation,
        violation::Violation, //
    },
    typed, //
};
use crate::abstractions::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// What every operation is told: on which hierarchy, by whom, from where.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// The hierarchy's address, as the caller gave it.
    pub(crate) hierarchy: usize,
    /// The context of the thread or interrupt that calls.
    pub(crate) current: Current,
    /// The call site.
    pub(crate) site: u32,
}

type Report<'a> = dyn FnMut(&HeldLocks, Violation) + 'a;

/// Runs `operation` on the caller's held locks; returns `without` if it has no context.
fn run(
    call: Call,
    doing: Operation,
    u: LockUse,
    without: bool,
    operation: impl FnOnce(&mut HeldLocks, &Rules<'_>, &mut Report<'_>) -> bool,
) -> bool {
    let Some((slot, _)) = Hierarchy::at(call.hierarchy).filter(|(slot, _)| slot.count() != 0)
    else {
        report::without_hierarchy(call.site, doing, Violation::InvalidHierarchy);
        return false;
    };
    slot.with_rules(|rules| {
        let mut report = |held: &HeldLocks, violation: Violation| {
            report::violation(slot, rules, doing, u, held, violation);
        };
        let result = call
            .current
            .with_known(true, |held| operation(held, rules, &mut report));
        result.unwrap_or_else(|| {
            if !without {
                report(&HeldLocks::new(), Violation::NoContext);
            }
            without
        })
    })
}

/// See `reeve_record_lock()`.
#[cold]
pub(crate) fn record_lock(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::Locking,
        u,
        false,
        |held, rules, mut report| {
            let taken = !held.is_disabled() && is_one_mode(u.flags);
            let previous = held.innermost(rules);
            let correct = held.record_lock(rules, u, &mut report);
            if let (true, Some((slot, _))) = (taken, Hierarchy::at(rules.token)) {
                slot.note_taken(rules, previous, u.order);
            }
            correct
        },
    )
}

/// See `reeve_record_unlock()`.
#[cold]
pub(crate) fn record_unlock(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::Unlocking,
        u,
        false,
        |held, rules, mut report| held.record_unlock(rules, u, &mut report),
    )
}

/// See `reeve_record_downgrade()`.
pub(crate) fn record_downgrade(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::Downgrading,
        u,
        false,
        |held, rules, mut report| held.record_downgrade(rules, u, &mut report),
    )
}

/// See `reeve_record_acquired()`.
pub(crate) fn record_acquired(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::Acquiring,
        u,
        false,
        |held, rules, mut report| held.record_acquired(rules, u, &mut report),
    )
}

/// Which epoch of tracking it is; odd while it is being switched.
pub(crate) fn epoch() -> u32 {
    context::current_epoch()
}

/// A context was to be saved or restored by a thread that has none: reported; always `false`.
#[cold]
pub(crate) fn no_context(site: u32, doing: Operation) -> bool {
    report::without_hierarchy(site, doing, Violation::NoContext);
    false
}

/// See `reeve_thread_has_context()`.
pub(crate) fn has_context(call: Call) -> bool {
    call.current.with_held(|_| ()).is_some()
}

/// See `reeve_check_locked()`.
#[cold]
pub(crate) fn check_locked(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::ExpectingLocked,
        u,
        false,
        |held, rules, mut report| held.check_locked(rules, u, &mut report),
    )
}

/// See `reeve_check_lockable_order()`.
pub(crate) fn check_lockable_order(call: Call, order: u32, flags: u32) -> bool {
    let u = no_lock(call, order);
    run(
        call,
        Operation::ExpectingLockable,
        u,
        true,
        |held, rules, mut report| held.check_lockable_order(rules, order, flags, &mut report),
    )
}

/// See `reeve_check_unlocked_order()`.
pub(crate) fn check_unlocked_order(call: Call, order: u32) -> bool {
    let u = no_lock(call, order);
    run(
        call,
        Operation::ExpectingUnlocked,
        u,
        true,
        |held, rules, mut report| held.check_unlocked_order(rules, order, &mut report),
    )
}

/// See `reeve_check_all_unlocked()`.
pub(crate) fn check_all_unlocked(call: Call) -> bool {
    let u = no_lock(call, 0);
    run(
        call,
        Operation::ExpectingNothingHeld,
        u,
        true,
        |held, rules, mut report| held.check_all_unlocked(rules, &mut report),
    )
}

fn no_lock(call: Call, order: u32) -> LockUse {
    LockUse::new(0, order, 0, call.site)
}

/// See `reeve_thread_context_enter()`: reports what the enter came to.
pub(crate) fn entered(site: u32, result: Result<Entered, EnterError>) -> bool {
    let violation = match result {
        Ok(Entered::Outer | Entered::Inner) => return true,
        Err(EnterError::InUse) => Violation::BadContext,
        Err(EnterError::TableFull) => Violation::TableFull,
    };
    report::without_hierarchy(site, Operation::Entering, violation);
    false
}

/// See `reeve_thread_context_leave()`.
pub(crate) fn leave(
    site: u32,
    task: usize,
    memory: NonNull<bindings::reeve_thread_context>,
) -> bool {
    let mut clean = true;
    let left = context::leave(task, memory, |current| {
        clean = report_held(site, current, Operation::Leaving);
    });
    match left {
        Left::Outer | Left::Inner => clean,
        Left::NotEntered => bad_context(site, Operation::Leaving),
    }
}

/// Whether the caller holds nothing; otherwise reports every hierarchy of which it holds a lock.
#[inline]
pub(crate) fn nothing_held(site: u32, current: Current, doing: Operation) -> bool {
    let empty = current.with_known(true, |held| held.is_empty());
    empty.unwrap_or(true) || report_held(site, current, doing)
}

#[cold]
fn report_held(site: u32, current: Current, doing: Operation) -> bool {
    let call = Call {
        hierarchy: 0,
        current,
        site,
    };
    current.with_known((), |held| {
        for (index, entry) in held.indexed() {
            let mut before = held.indexed().take_while(|&(earlier, _)| earlier < index);
            let is_first = before.all(|(_, earlier)| earlier.hierarchy != entry.hierarchy);
            if let (true, Some(slot)) = (is_first, Hierarchy::by_id(entry.hierarchy)) {
                let (u, fault) = (no_lock(call, 0), Violation::StillHeld(index as u8));
                slot.with_rules(|rules| report::violation(slot, rules, doing, u, held, fault));
            }
        }
    });
    false
}

/// A null context was passed, or one that is not the thread's: reported; always `false`.
pub(crate) fn bad_context(site: u32, doing: Operation) -> bool {
    report::without_hierarchy(site, doing, Violation::BadContext);
    false
}

/// Runs `f`, which takes the turn to look at other threads' contexts.
fn reading<R>(f: impl FnOnce() -> R) -> R {
    record::with_context(|| typed::recorded::<ContextReader, _>(f))
}

/// See `reeve_tracking_disable()`.
pub(crate) fn disable(call: Call) -> bool {
    let result = call.current.with_held(HeldLocks::disable);
    nesting_changed(call, Operation::Disabling, result)
}

/// See `reeve_tracking_enable()`.
pub(crate) fn enable(call: Call) -> bool {
    let result = call.current.with_held(HeldLocks::enable);
    nesting_changed(call, Operation::Enabling, result)
}

fn nesting_changed(call: Call, doing: Operation, result: Option<bool>) -> bool {
    let violation = match result {
        Some(true) => return true,
        Some(false) => Violation::NotDisabled,
        None => Violation::NoContext,
    };
    report::without_hierarchy(call.site, doing, violation);
    false
}

/// See `reeve_hierarchy_unregister()`. Process context, may sleep.
pub(crate) fn unregister(address: usize, site: u32) -> Result {
    let (slot, _) = Hierarchy::at(address).ok_or(EINVAL)?;
    slot.unregister(|id| {
        let held = reading(|| context::any_held(|entry| entry.hierarchy == id));
        if held {
            report::unregistered_while_held(slot, site);
        } else {
            records::forget(id);
        }
        held
    })
}

/// Lets `f` look at what each task and each interrupt but the caller holds now, one at a time. May
/// sleep in between; `f` must not.
pub(super) fn for_each_holder(mut f: impl FnMut(Holder, &HeldLocks)) {
    for place in 0..context::places() {
        if context::is_occupied(place) {
            reading(|| context::look_at(place, &mut f));
        }
    }
}
