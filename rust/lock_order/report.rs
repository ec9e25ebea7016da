// SPDX-License-Identifier: GPL-2.0

//! Reports: every violation is counted, and logged as long as the log is not flooded.
//!
//! Any context, any locks held: nothing here allocates, sleeps or takes a tracked lock.

use super::track::{
    Call,
    Doing, //
};
use crate::{
    ffi::{
        hierarchy::{
            self,
            Hierarchy,
            Names, //
        },
        report as log, //
    },
    pure::{
        held::{
            HeldLocks,
            LockUse, //
        },
        violation::Violation, //
    }, //
};

impl Doing {
    fn text(self) -> &'static str {
        match self {
            Self::Locking => "taking",
            Self::Unlocking => "releasing",
            Self::Downgrading => "downgrading",
            Self::ExpectingLocked => "expecting to hold",
            Self::ExpectingLockable => "expecting to be able to take",
            Self::ExpectingUnlocked => "expecting not to hold",
            Self::ExpectingNothingHeld => "expecting to hold nothing of",
            Self::Entering => "entering a context",
            Self::Leaving => "leaving a context",
            Self::Saving => "saving a context",
            Self::Restoring => "restoring a context",
            Self::Disabling => "disabling tracking",
            Self::Enabling => "enabling tracking",
            Self::Unregistering => "unregistering",
        }
    }
}

/// Reports `violation`, found in a use `u` of a lock of `slot` while the caller held `held`.
#[cold]
pub(super) fn violation(
    slot: &Hierarchy,
    call: Call,
    doing: Doing,
    u: LockUse,
    held: &HeldLocks,
    violation: Violation,
) {
    if !slot.count_violation(violation.kind()) || !log::is_allowed() {
        return;
    }
    let (doing, fault) = (doing.text().as_bytes(), violation.text().as_bytes());
    slot.with_names(|names| {
        let hierarchy = names.map_or(&b"?"[..], Names::name);
        match names.filter(|_| u.order != 0) {
            Some(names) => log::head(&log::Head {
                hierarchy,
                doing,
                order_name: names.order(u.order),
                order: u.order,
                lock: u.instance,
                fault,
                site: call.site,
            }),
            None => log::plain(hierarchy, doing, fault, call.site),
        }
        let id = slot.id();
        for (index, entry) in held.iter().enumerate() {
            if entry.hierarchy == id {
                let order_name = names.map_or(&b"?"[..], |names| names.order(entry.order.into()));
                let conflicts = violation.conflict() == Some(index as u8);
                log::held(order_name, &entry, conflicts);
            }
        }
    });
}

/// Reports a violation that no hierarchy is involved in, or none that is registered.
#[cold]
pub(super) fn without_hierarchy(site: u32, doing: Doing, violation: Violation) {
    hierarchy::count_violation(violation.kind());
    if log::is_allowed() {
        let (doing, fault) = (doing.text().as_bytes(), violation.text().as_bytes());
        log::plain(b"", doing, fault, site);
    }
}

/// Reports that a hierarchy is to be unregistered while some thread holds a lock of it.
#[cold]
pub(super) fn unregistered_while_held(slot: &Hierarchy, site: u32) {
    let violation = Violation::StillHeld(0);
    if slot.count_violation(violation.kind()) && log::is_allowed() {
        let (doing, fault) = (Doing::Unregistering.text(), violation.text());
        slot.with_names(|names| {
            let hierarchy = names.map_or(&b"?"[..], Names::name);
            log::plain(hierarchy, doing.as_bytes(), fault.as_bytes(), site);
        });
    }
}
