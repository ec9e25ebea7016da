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
        held::LockUse,
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

/// Reports `violation` of a use of a lock of `slot`, as `record` says, which is asked only if the report
/// is to be kept. Nothing that prints it runs before `record` has returned.
#[cold]
pub(super) fn of(slot: &Hierarchy, violation: Violation, record: impl FnOnce() -> Option<Record>) {
    if !slot.count_violation(violation.kind()) {
        return;
    }
    if let Some(record) = record() {
        slot.with_names(|names| tell(Some(slot.id()), names, &record));
    }
    log::panic_if_asked();
}

/// Reports a violation in a use `u` of a lock of `slot` that no held lock has to do with.
#[cold]
pub(super) fn bare_of(slot: &Hierarchy, doing: Operation, u: LockUse, violation: Violation) {
    let record = || Some(Record::bare(log::who(), doing as u8, violation, u));
    of(slot, violation, record);
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
    log::panic_if_asked();
}

/// Who is running now.
pub(super) fn caller() -> Who {
    log::who()
}

/// The task at this address, which is valid, as the one who did it now.
pub(super) fn task(address: usize) -> Who {
    let now = log::who();
    log::task(address).map_or(now, |task| Who {
        time: now.time,
        cpu: now.cpu,
        ..task
    })
}

/// Reports that a hierarchy is to be unregistered while some thread holds a lock of it.
#[cold]
pub(super) fn unregistered_while_held(slot: &Hierarchy, site: u32) {
    let nothing = LockUse::new(0, 0, 0, site);
    bare_of(
        slot,
        Operation::Unregistering,
        nothing,
        Violation::StillHeld(0),
    );
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
        other: record.against_other(),
        kind: record.kind,
    };
    let logged = records::note(pair, record);
    log::violation(names, record, logged);
}
