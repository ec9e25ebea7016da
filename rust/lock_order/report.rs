// SPDX-License-Identifier: GPL-2.0

//! Reports: every violation is counted and becomes a record, which is kept for debugfs, traced, and
//! logged: the first of its pair of orders always, later ones as long as they do not flood the log.
//!
//! Any context, any locks held: nothing here allocates, sleeps or takes a tracked lock.
#![deny(unsafe_code)]

use super::{
    hierarchy::{
        self,
        Hierarchy,
        Names, //
    },
    print as log,
    records::{
        self,
        Pair, //
    },
    rules::{
        conflict::Rules,
        held::{
            HeldLocks,
            LockUse, //
        },
        operation::Operation,
        violation::{
            record::{
                Record,
                Who, //
            },
            Violation, //
        }, //
    }, //
};

/// Reports `violation`, found in a use `u` of a lock of `slot` while the caller held `held`.
#[cold]
pub(super) fn violation(
    slot: &Hierarchy,
    rules: &Rules<'_>,
    doing: Operation,
    u: LockUse,
    held: &HeldLocks,
    violation: Violation,
) {
    violation_by(log::who(), slot, rules, doing, u, held, violation);
}

/// See [`violation`]: it was `who` who did it.
#[cold]
pub(super) fn violation_by(
    who: Who,
    slot: &Hierarchy,
    rules: &Rules<'_>,
    doing: Operation,
    u: LockUse,
    held: &HeldLocks,
    violation: Violation,
) {
    if slot.count_violation(violation.kind()) {
        let record = Record::new(who, doing as u8, violation, u, rules, held);
        slot.with_names(|names| tell(Some(slot.id()), names, &record));
    }
}

/// Reports a violation that no hierarchy is involved in, or none that is registered.
#[cold]
pub(super) fn without_hierarchy(site: u32, doing: Operation, violation: Violation) {
    without_hierarchy_by(log::who(), site, doing, violation);
}

/// See [`without_hierarchy`]: it was `who` who did it.
#[cold]
pub(super) fn without_hierarchy_by(who: Who, site: u32, doing: Operation, violation: Violation) {
    hierarchy::count_violation(violation.kind());
    tell(None, None, &bare(who, site, doing, violation));
}

/// Who is running now.
pub(super) fn caller() -> Who {
    log::who()
}

/// The task at this address, which is valid, as the one who did it now.
pub(super) fn task(address: usize) -> Who {
    let now = log::who();
    log::task(address).map_or(now, |task| Who {
        pid: task.pid,
        comm: task.comm,
        ..now
    })
}

/// Reports that a hierarchy is to be unregistered while some thread holds a lock of it.
#[cold]
pub(super) fn unregistered_while_held(slot: &Hierarchy, site: u32) {
    let violation = Violation::StillHeld(0);
    if slot.count_violation(violation.kind()) {
        let record = bare(log::who(), site, Operation::Unregistering, violation);
        slot.with_names(|names| tell(Some(slot.id()), names, &record));
    }
}

fn bare(who: Who, site: u32, doing: Operation, violation: Violation) -> Record {
    let nothing = LockUse::new(0, 0, 0, site);
    Record::bare(who, doing as u8, violation, nothing)
}

fn tell(hierarchy: Option<u8>, names: Option<&Names>, record: &Record) {
    let pair = Pair {
        hierarchy,
        order: record.order,
        against: record.against(),
        kind: record.kind,
    };
    let logged = records::note(pair, record);
    log::violation(names, record, logged);
}
