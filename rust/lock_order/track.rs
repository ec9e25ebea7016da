// SPDX-License-Identifier: GPL-2.0

//! The complete operations: find the thread's held locks, apply the rules, report what is wrong.
//!
//! Any context, any locks held, interrupts on or off, unless said otherwise.
#![deny(unsafe_code)]

use super::{
    across::{
        self,
        Edge, //
    },
    classes::ContextReader,
    context::{
        self,
        Current,
        Entered,
        Holder,
        Left,
        Restored, //
    },
    hierarchy::Hierarchy,
    print,
    record,
    records,
    report,
    rules::{
        conflict::Rules,
        flags::{
            is_one_mode,
            EXCLUSIVE,
            SHARED,
            TRYLOCK, //
        },
        held::{
            Entry,
            HeldLocks,
            LockUse,
            Origin, //
        },
        operation::Operation,
        violation::{
            record::{
                Record,
                Who, //
            },
            Faults,
            Violation, //
        }, //
    },
    typed, //
};
use core::cell::Cell;
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

/// Runs an operation on the caller's held locks: `find` what is wrong, report that, and `apply` its
/// effect, which is told whether it was correct. Returns that, or `without` if there is no context.
///
/// No reference to the held locks is alive while a report is made: what prints it may record locks of
/// its own.
fn run(
    call: Call,
    doing: Operation,
    u: LockUse,
    without: bool,
    find: impl FnOnce(&HeldLocks, &Rules<'_>) -> Faults,
    apply: impl FnOnce(&mut HeldLocks, &Rules<'_>, bool),
) -> bool {
    let Some(slot) = Hierarchy::live(call.hierarchy) else {
        report::without_hierarchy(call.site, doing, Violation::InvalidHierarchy);
        return false;
    };
    slot.with_rules(|rules| {
        let mut current = call.current;
        let mut is_kept = current.keep();
        if !without && current.is_absent() && slot.gives_contexts(context::is_kernel_thread) {
            match context::give() {
                Some(given) => {
                    current = given;
                    is_kept = given.keep();
                }
                // Nothing is known of a thread for which there is no memory.
                None => return true,
            }
        }
        match current.with_known(Faults::none(), |held| find(held, rules)) {
            Some(faults) => {
                if !faults.is_empty() {
                    report_faults(slot, rules, doing, u, current, &faults);
                }
                current.with_known((), |held| apply(held, rules, faults.is_empty()));
                if is_kept {
                    current.finished();
                }
                faults.is_empty()
            }
            // Which threads were refused is not known, and they are to be left in peace.
            None if without || context::are_some_refused() => true,
            None => {
                report::bare_of(slot, doing, u, Violation::NoContext);
                false
            }
        }
    })
}

/// Reports what was found in a use `u`, each fault from a copy of what is held.
#[cold]
#[inline(never)]
fn report_faults(
    slot: &Hierarchy,
    rules: &Rules<'_>,
    doing: Operation,
    u: LockUse,
    current: Current,
    faults: &Faults,
) {
    let who = report::caller();
    for fault in faults.iter() {
        report::of(slot, fault, || {
            current.with_held(|held| Record::new(who, doing as u8, fault, u, rules, held))
        });
    }
}

/// See `reeve_record_lock()`.
#[cold]
pub(crate) fn record_lock(call: Call, u: LockUse) -> bool {
    let mut seen = None;
    let correct = run(
        call,
        Operation::Locking,
        u,
        false,
        |held, rules| {
            let mut faults = held.lock_faults(rules, u);
            if is_one_mode(u.flags) {
                if let Some(fault) = surroundings_fault(held, rules, u) {
                    faults.add(fault);
                }
            }
            faults
        },
        |held, rules, _| {
            seen = is_one_mode(u.flags)
                .then(|| what_is_held(held, rules))
                .flatten();
            held.lock(rules, u);
        },
    );
    note_taken(call, seen, u.order);
    correct
}

/// What the attributes of the order have against taking it here.
fn surroundings_fault(held: &HeldLocks, rules: &Rules<'_>, u: LockUse) -> Option<Violation> {
    // Most orders have none, and need no look around.
    if !rules.attributes.speaks_of(u.order) {
        return None;
    }
    held.surroundings_fault(rules, u, print::surroundings())
}

/// The order taken last and the set of all, for the graph; `None`: tracking is disabled.
fn what_is_held(held: &HeldLocks, rules: &Rules<'_>) -> Option<(u8, u64)> {
    (!held.is_disabled()).then(|| (held.innermost(rules), held.orders(rules)))
}

fn note_taken(call: Call, seen: Option<(u8, u64)>, order: u32) {
    if let (Some((previous, held)), Some(slot)) = (seen, Hierarchy::at(call.hierarchy)) {
        slot.with_rules(|rules| {
            slot.note_edges(rules, held, order);
            slot.note_taken(rules, previous, order);
        });
    }
}

/// See `reeve_record_wait()`.
pub(crate) fn record_wait(call: Call, u: LockUse) -> bool {
    let mut seen = None;
    let correct = run(
        call,
        Operation::Waiting,
        u,
        false,
        |held, rules| held.wait_faults(rules, u, print::surroundings()),
        |held, rules, _| seen = what_is_held(held, rules),
    );
    note_taken(call, seen, u.order);
    correct
}

/// See `reeve_record_handover()`.
pub(crate) fn record_handover(call: Call, u: LockUse) -> bool {
    let mut handed = None;
    let correct = run(
        call,
        Operation::HandingOver,
        u,
        false,
        |held, rules| held.acquired_faults(rules, u),
        |held, rules, _| handed = held.hand_over(rules, u),
    );
    match handed {
        Some(entry) => context::hand_over(&report::caller(), &entry),
        // It may be one that is not recorded.
        None if correct => context::forget_handed(),
        None => (),
    }
    correct
}

/// See `reeve_record_adopt()`.
pub(crate) fn record_adopt(call: Call, u: LockUse) -> bool {
    let adopted = Cell::new(None);
    run(
        call,
        Operation::Adopting,
        u,
        false,
        |held, rules| {
            adopted.set(context::adopt(rules.token, u.order, u.instance));
            if held.is_disabled() {
                return Faults::none();
            }
            let is_known = adopted.get().is_some() || context::may_be_handed();
            let fault = if !rules.has(u.order) {
                Some(Violation::InvalidOrder)
            } else {
                (!is_known).then_some(Violation::NotHandedOver)
            };
            Faults::from(fault)
        },
        |held, rules, correct| match adopted.get() {
            Some(entry) => held.adopt(rules, &entry),
            None if correct => held.adopt_unknown(),
            None => (),
        },
    )
}

/// See `reeve_check_no_locks_freed()`.
pub(crate) fn check_no_locks_freed(start: usize, len: usize, site: u32) -> bool {
    let lies_within = |entry: &Entry| entry.instance.wrapping_sub(start) < len;
    let Some(entry) = context::find_held(lies_within) else {
        return true;
    };
    let mode = if entry.exclusive { EXCLUSIVE } else { SHARED };
    let u = LockUse::new(entry.instance, entry.order.into(), mode, site);
    if let Some(slot) = Hierarchy::live(entry.hierarchy) {
        let (who, doing) = (report::caller(), Operation::Freeing as u8);
        report::of(slot, Violation::FreedHeld, || {
            Some(Record::of_held(who, doing, Violation::FreedHeld, u, &entry))
        });
    }
    false
}

/// See `reeve_record_unlock()`.
#[cold]
pub(crate) fn record_unlock(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::Unlocking,
        u,
        false,
        |held, rules| held.unlock_faults(rules, u),
        |held, rules, _| held.unlock(rules, u),
    )
}

/// See `reeve_record_downgrade()`.
pub(crate) fn record_downgrade(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::Downgrading,
        u,
        false,
        |held, rules| held.downgrade_faults(rules, u),
        |held, rules, correct| {
            if correct {
                held.downgrade(rules, u);
            }
        },
    )
}

/// See `reeve_record_acquired()`.
pub(crate) fn record_acquired(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::Acquiring,
        u,
        false,
        |held, rules| {
            let mut faults = held.acquired_faults(rules, u);
            if faults.is_empty() {
                // Only interrupts may have been on still when it was waited for.
                let taken = LockUse {
                    flags: TRYLOCK,
                    ..u
                };
                if let Some(fault) = surroundings_fault(held, rules, taken) {
                    faults.add(fault);
                }
            }
            faults
        },
        |held, rules, _| held.acquired(rules, u),
    )
}

/// Which epoch of tracking it is; odd while it is being switched.
pub(crate) fn epoch() -> u32 {
    context::current_epoch()
}

/// A context was to be saved or restored by a thread that has none. `false`, and reported, unless that is
/// because it holds nothing.
#[cold]
pub(crate) fn no_context(site: u32, doing: Operation) -> bool {
    if may_be_given() {
        return true;
    }
    report::without_hierarchy(site, doing, Violation::NoContext);
    false
}

/// Whether a record may give the caller a context when it has none.
fn may_be_given() -> bool {
    Hierarchy::some_give_contexts(context::is_kernel_thread())
}

/// See `reeve_thread_has_context()`.
pub(crate) fn has_context(call: Call) -> bool {
    call.current.with_held(|_| ()).is_some()
}

/// Whether the caller is inside of a context that it entered, or is an interrupt: one that binds may have
/// taken locks without a record before another's record gave it a context.
pub(crate) fn has_entered(call: Call) -> bool {
    has_context(call) && matches!(call.current.origin(), Origin::Entered | Origin::Within)
}

/// See `reeve_check_locked()`.
#[cold]
pub(crate) fn check_locked(call: Call, u: LockUse) -> bool {
    run(
        call,
        Operation::ExpectingLocked,
        u,
        false,
        |held, rules| held.locked_faults(rules, u),
        |_, _, _| (),
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
        |held, rules| held.lockable_faults(rules, order, flags),
        |_, _, _| (),
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
        |held, rules| held.unlocked_faults(rules, order),
        |_, _, _| (),
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
        |held, rules| held.all_unlocked_faults(rules),
        |held, rules, correct| {
            if correct {
                held.becomes_sure(rules);
            }
        },
    )
}

fn no_lock(call: Call, order: u32) -> LockUse {
    LockUse::new(0, order, 0, call.site)
}

/// See `reeve_thread_context_enter()`: reports what the enter came to.
pub(crate) fn entered(site: u32, result: Entered) -> bool {
    let violation = match result {
        Entered::Outer | Entered::Inner => return true,
        Entered::InUse => Violation::BadContext,
        Entered::Refused => Violation::TableFull,
    };
    report::without_hierarchy(site, Operation::Entering, violation);
    false
}

/// Reports that the context that was entered at `site` was not left, and what is held in it.
#[cold]
pub(crate) fn forgotten(current: Current, site: u32) {
    report::without_hierarchy(site, Operation::Leaving, Violation::LeaveForgotten);
    if current.origin() != Origin::Within {
        nothing_held(site, current, Operation::Leaving);
    }
}

/// Reports that the task at this address ended in the context that was entered at `site`; 0: it was
/// given one by a record, which is worth no word if it holds nothing.
#[cold]
fn ended(current: Current, task: usize, site: u32) {
    let who = report::task(task);
    if site != 0 {
        report::without_hierarchy_by(who, site, Operation::Leaving, Violation::EndedInside);
    }
    report_held(who, site, current, Operation::Leaving);
}

/// Reports tasks that ended inside of a context, and frees it. A task, may not be atomic.
pub(crate) fn sweep() {
    context::sweep(ended);
}

/// See [`sweep`]: the current task is about to end.
pub(crate) fn task_ends(task: usize) {
    context::task_ends(task, ended);
}

/// See `reeve_thread_context_leave()`.
pub(crate) fn left(site: u32, result: Left, clean: bool) -> bool {
    match result {
        Left::Outer | Left::Inner => clean,
        Left::NotEntered => bad_context(site, Operation::Leaving),
    }
}

/// See `reeve_thread_context_restore()`.
pub(crate) fn restored(site: u32, result: Restored, clean: bool) -> bool {
    match result {
        Restored::Done => clean,
        Restored::NoContext => no_context(site, Operation::Restoring),
        Restored::NotSaved => bad_context(site, Operation::Restoring),
    }
}

/// Whether the caller holds nothing; otherwise reports every hierarchy of which it holds a lock.
#[inline]
pub(crate) fn nothing_held(site: u32, current: Current, doing: Operation) -> bool {
    let empty = current.with_known(true, |held| held.is_empty());
    empty.unwrap_or(true) || report_held(report::caller(), site, current, doing)
}

/// Whether the caller leaves nothing behind that it holds or has disabled; otherwise that is reported.
#[cold]
pub(crate) fn nothing_left(site: u32, current: Current) -> bool {
    let disabled = current.with_held(|held| held.is_disabled()) == Some(true);
    if disabled {
        report::without_hierarchy(site, Operation::Leaving, Violation::StillDisabled);
    }
    // Within what it was given it may hold what it held before.
    let is_clear =
        current.origin() == Origin::Within || nothing_held(site, current, Operation::Leaving);
    is_clear && !disabled
}

#[cold]
fn report_held(who: Who, site: u32, current: Current, doing: Operation) -> bool {
    let mut from = 0;
    while let Some((index, slot)) = left_of_next(current, from) {
        from = index + 1;
        let (u, fault) = (
            LockUse::new(0, 0, 0, site),
            Violation::StillHeld(index as u8),
        );
        slot.with_rules(|rules| {
            report::of(slot, fault, || {
                current.with_held(|held| Record::new(who, doing as u8, fault, u, rules, held))
            });
        });
    }
    false
}

/// Of what is held, the first lock from `from` on that is the first of its hierarchy.
fn left_of_next(current: Current, from: usize) -> Option<(usize, &'static Hierarchy)> {
    let found = current.with_known(None, |held| {
        held.indexed().skip(from).find_map(|(index, entry)| {
            let mut before = held.indexed().take_while(|&(earlier, _)| earlier < index);
            let is_first = before.all(|(_, earlier)| earlier.hierarchy != entry.hierarchy);
            let slot = Hierarchy::live(entry.hierarchy).filter(|_| is_first)?;
            Some((index, slot))
        })
    });
    found.flatten()
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

/// Whether the last lock of a thread or an interrupt was of a hierarchy in this slot. May sleep.
pub(crate) fn is_home(slot: &Hierarchy) -> bool {
    reading(|| context::is_home(slot))
}

/// See `reeve_tracking_disable()`.
pub(crate) fn disable(call: Call) -> bool {
    let mut current = call.current;
    if current.is_absent() && may_be_given() {
        match context::give() {
            Some(given) => current = given,
            None => return true,
        }
    }
    let result = current.with_held(HeldLocks::disable);
    nesting_changed(call, Operation::Disabling, result)
}

/// See `reeve_tracking_enable()`.
pub(crate) fn enable(call: Call) -> bool {
    let is_kept = call.current.keep();
    let result = call.current.with_held(HeldLocks::enable);
    let correct = nesting_changed(call, Operation::Enabling, result);
    if is_kept {
        call.current.finished();
    }
    correct
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

/// An interrupt handler, run before the one that runs now, left what is held in `current`.
#[cold]
pub(crate) fn left_by_handler(current: Current) {
    report_held(report::caller(), 0, current, Operation::Leaving);
}

/// See `reeve_hierarchy_unregister()`; `forget`: and `reeve_hierarchy_forget()`. Process context, may
/// sleep.
pub(crate) fn unregister(address: usize, site: u32, forget: bool) -> Result {
    let slot = Hierarchy::at(address).ok_or(EINVAL)?;
    sweep();
    slot.unregister(|handle| {
        let held = reading(|| context::any_held(|entry| entry.hierarchy == handle));
        if held {
            report::unregistered_while_held(slot, site);
        }
        if !held || forget {
            reading(|| {
                context::exclusively(|| {
                    across::forget(slot.id());
                    Hierarchy::note_barred();
                });
            });
            records::forget(slot.id());
            context::forget_handed_of(handle);
        }
        held && !forget
    })
}

/// See `reeve_hierarchy_set_before()`; both are handles. Process context, may sleep.
pub(crate) fn set_across(outer: usize, inner: usize, order: u32) -> Result {
    let declare = || {
        // What goes away is marked so before it forgets, in the same turn, what was declared.
        let outer = Hierarchy::live_with(outer, 1).ok_or(EINVAL)?;
        let inner = Hierarchy::live_with(inner, order).ok_or(EINVAL)?;
        across::declare(Edge {
            outer: outer.id(),
            inner: inner.id(),
            order: order as u8,
        })?;
        Hierarchy::note_barred();
        Ok(())
    };
    reading(|| context::exclusively(declare))
}

/// A module goes, whose code lies from `start` to `end`: notes what is held that was taken there.
/// Process context.
pub(crate) fn module_goes(start: usize, end: usize) {
    reading(|| {
        context::any_held(|entry| {
            if (entry.site.wrapping_sub(start as u32) as usize) < end - start {
                print::left_behind(entry.instance, entry.site);
            }
            false
        })
    });
}

/// Lets `f` look at what each task and each interrupt but the caller holds now, one at a time. May
/// sleep in between; `f` must not.
pub(super) fn for_each_holder(mut f: impl FnMut(Holder, &HeldLocks)) {
    sweep();
    for place in context::holders() {
        reading(|| context::look_at(place, &mut f));
    }
    for (who, entry) in context::all_handed() {
        reading(|| context::look_at_handed(who, &entry, &mut f));
    }
}
