// SPDX-License-Identifier: GPL-2.0

//! The complete operations: find the thread's held locks, apply the rules, report what is wrong.
//!
//! Any context, any locks held, interrupts on or off, unless said otherwise.

use super::{
    declared::ContextReader,
    report,
    typed, //
};
use crate::{
    ffi::{
        bindings,
        context::{
            self,
            Current,
            EnterError,
            Entered,
            Left, //
        },
        hierarchy::Hierarchy,
        record, //
    },
    pure::{
        held::{
            HeldLocks,
            LockUse, //
        },
        rules::Rules,
        violation::Violation, //
    }, //
};
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

/// What a report says the thread was doing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// record_lock
    Locking,
    /// record_unlock
    Unlocking,
    /// record_downgrade
    Downgrading,
    /// check_locked
    ExpectingLocked,
    /// check_lockable_order
    ExpectingLockable,
    /// check_unlocked_order
    ExpectingUnlocked,
    /// check_all_unlocked
    ExpectingNothingHeld,
    /// thread_context_enter
    Entering,
    /// thread_context_leave
    Leaving,
    /// thread_context_save
    Saving,
    /// thread_context_restore
    Restoring,
    /// tracking_disable
    Disabling,
    /// tracking_enable
    Enabling,
    /// hierarchy_unregister
    Unregistering,
}

type Report<'a> = dyn FnMut(&HeldLocks, Violation) + 'a;

/// Runs `operation` on the caller's held locks; `without` is the answer if it has no context.
fn run(
    call: Call,
    doing: Doing,
    u: LockUse,
    without: bool,
    operation: impl FnOnce(&mut HeldLocks, &Rules<'_>, &mut Report<'_>) -> bool,
) -> bool {
    let Some((slot, _)) = Hierarchy::at(call.hierarchy).filter(|(slot, _)| slot.count() != 0)
    else {
        report::without_hierarchy(call.site, doing, Violation::InvalidHierarchy);
        return false;
    };
    let mut report = |held: &HeldLocks, violation: Violation| {
        report::violation(slot, call, doing, u, held, violation);
    };
    let answer = call
        .current
        .with_held(|held| slot.with_rules(|rules| operation(held, rules, &mut report)));
    match answer {
        Some(answer) => answer,
        None => {
            if !without {
                report::violation(
                    slot,
                    call,
                    doing,
                    u,
                    &HeldLocks::new(),
                    Violation::NoContext,
                );
            }
            without
        }
    }
}

/// See `reeve_record_lock()`.
#[cold]
pub(crate) fn record_lock(call: Call, u: LockUse) -> bool {
    run(call, Doing::Locking, u, false, |held, rules, mut report| {
        held.record_lock(rules, u, &mut report)
    })
}

/// See `reeve_record_unlock()`.
#[cold]
pub(crate) fn record_unlock(call: Call, u: LockUse) -> bool {
    run(
        call,
        Doing::Unlocking,
        u,
        false,
        |held, rules, mut report| held.record_unlock(rules, u, &mut report),
    )
}

/// See `reeve_record_downgrade()`.
pub(crate) fn record_downgrade(call: Call, u: LockUse) -> bool {
    run(
        call,
        Doing::Downgrading,
        u,
        false,
        |held, rules, mut report| held.record_downgrade(rules, u, &mut report),
    )
}

/// See `reeve_check_locked()`.
#[cold]
pub(crate) fn check_locked(call: Call, u: LockUse) -> bool {
    run(
        call,
        Doing::ExpectingLocked,
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
        Doing::ExpectingLockable,
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
        Doing::ExpectingUnlocked,
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
        Doing::ExpectingNothingHeld,
        u,
        true,
        |held, rules, mut report| held.check_all_unlocked(rules, &mut report),
    )
}

fn no_lock(call: Call, order: u32) -> LockUse {
    LockUse {
        instance: 0,
        order,
        flags: 0,
        site: call.site,
    }
}

/// See `reeve_thread_context_enter()`: reports what the enter came to.
#[inline]
pub(crate) fn entered(site: u32, result: Result<Entered, EnterError>) -> bool {
    let violation = match result {
        Ok(Entered::Outer | Entered::Inner) => return true,
        Err(EnterError::InUse) => Violation::BadContext,
        Err(EnterError::TableFull) => Violation::TableFull,
    };
    report::without_hierarchy(site, Doing::Entering, violation);
    false
}

/// See `reeve_thread_context_leave()`.
#[inline]
pub(crate) fn leave(site: u32, task: usize, memory: *const bindings::reeve_thread_context) -> bool {
    let mut clean = true;
    let left = context::leave(task, memory, |current| {
        clean = nothing_held(site, current, Doing::Leaving);
    });
    match left {
        Left::Outer | Left::Inner => clean,
        Left::NotEntered => {
            report::without_hierarchy(site, Doing::Leaving, Violation::BadContext);
            false
        }
    }
}

/// Whether the caller holds nothing; otherwise reports every hierarchy of which it holds a lock.
#[inline]
pub(crate) fn nothing_held(site: u32, current: Current, doing: Doing) -> bool {
    let empty = current.with_held(|held| {
        held.catch_up();
        held.is_empty()
    });
    empty.unwrap_or(true) || report_held(site, current, doing)
}

#[cold]
fn report_held(site: u32, current: Current, doing: Doing) -> bool {
    let call = Call {
        hierarchy: 0,
        current,
        site,
    };
    current.with_held(|held| {
        for (index, entry) in held.iter().enumerate() {
            let first = held
                .iter()
                .position(|earlier| earlier.hierarchy == entry.hierarchy);
            if let (true, Some(slot)) = (first == Some(index), Hierarchy::by_id(entry.hierarchy)) {
                let still_held = Violation::StillHeld(index as u8);
                report::violation(slot, call, doing, no_lock(call, 0), held, still_held);
            }
        }
    });
    false
}

/// A null context was passed: reported; always `false`.
pub(crate) fn null_context(site: u32, doing: Doing) -> bool {
    report::without_hierarchy(site, doing, Violation::BadContext);
    false
}

/// Tracking is being switched on or off. Process context.
pub(crate) fn switched() {
    reading(context::mark_all_stale);
}

/// Runs `f`, which takes the turn to look at other threads' contexts.
fn reading<R>(f: impl FnOnce() -> R) -> R {
    record::with_context(|| typed::recorded::<ContextReader, _>(f))
}

/// See `reeve_tracking_disable()`.
pub(crate) fn disable(call: Call) -> bool {
    let result = call.current.with_held(HeldLocks::disable);
    nesting_changed(call, Doing::Disabling, result)
}

/// See `reeve_tracking_enable()`.
pub(crate) fn enable(call: Call) -> bool {
    let result = call.current.with_held(HeldLocks::enable);
    nesting_changed(call, Doing::Enabling, result)
}

fn nesting_changed(call: Call, doing: Doing, result: Option<bool>) -> bool {
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
        }
        held
    })
}
