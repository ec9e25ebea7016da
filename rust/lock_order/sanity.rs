// SPDX-License-Identifier: GPL-2.0

//! The lock sanity suite, run in the calling thread through the real API.
//!
//! Any number of threads may run it at once: each has its own context, and the hierarchy's
//! registration does not change. After `uvm_test_lock_sanity()`.
#![deny(unsafe_code)]

use super::{
    hierarchy::{
        Hierarchy,
        Registered, //
    },
    record::{
        self,
        with_context,
        SavedContext, //
    },
    rules::sanity::{
        self,
        cases::CASES,
        Case,
        Failure,
        Tracker, //
    },
    track, //
};
use crate::abstractions::bindings;
use kernel::{
    ffi::c_void,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

const _: () = assert!(CASES.len() == bindings::REEVE_LOCK_SANITY_CASES as usize);

/// Registers the suite's hierarchy: quiet, because the suite provokes violations on purpose.
pub(super) fn register() -> Result<Registered> {
    let registered = Registered::new("sanity", &sanity::ORDER_NAMES, true)?;
    for rule in sanity::RULES {
        registered.hierarchy().add_rule(rule)?;
    }
    Ok(registered)
}

/// Runs the suite. Returns what `REEVE_IOC_LOCK_SANITY` gives to user space.
///
/// What the thread holds is put aside meanwhile. A run during which tracking was switched says nothing,
/// and is repeated. Process context, may sleep. EOPNOTSUPP: tracking is switched off. EAGAIN: it is
/// switched all the time. ENOMEM.
pub(crate) fn run(hierarchy: &'static Hierarchy) -> Result<KBox<bindings::reeve_lock_sanity>> {
    with_context(|| {
        let mut result = KBox::new(bindings::reeve_lock_sanity::default(), GFP_KERNEL)?;
        let mut failures = KVec::with_capacity(CASES.len(), GFP_KERNEL)?;
        for _ in 0..RUNS {
            let epoch = track::epoch();
            if !record::is_tracking() {
                return Err(EOPNOTSUPP);
            }
            failures.clear();
            run_once(hierarchy, &mut result, &mut failures)?;
            if epoch & 1 == 0 && epoch == track::epoch() {
                failures.iter().for_each(log);
                return Ok(result);
            }
        }
        Err(EAGAIN)
    })
}

/// How often the suite is run when tracking is switched meanwhile.
const RUNS: u32 = 1000;

type Failures = KVec<(&'static str, Failure)>;

fn run_once(
    hierarchy: &'static Hierarchy,
    result: &mut bindings::reeve_lock_sanity,
    failures: &mut Failures,
) -> Result {
    *result = bindings::reeve_lock_sanity::default();
    let saved = SavedContext::save()?;
    let start = Instant::<Monotonic>::now();
    let mut slots = result.cases.iter_mut();
    let failed = sanity::run_all(&CASES, &mut Real(hierarchy), |case, outcome| {
        if let Some(slot) = slots.next() {
            fill(slot, case, &outcome);
        }
        if let Err(failure) = outcome {
            // There is room for one of each case.
            let _ = failures.push_within_capacity((case.name, failure));
        }
    });
    let duration = start.elapsed();
    drop(saved);
    result.failed = failed;
    result.count = CASES.len() as u32;
    result.duration_ns = duration.as_nanos().unsigned_abs();
    Ok(())
}

fn log((name, failure): &(&'static str, Failure)) {
    pr_err!(
        "lock sanity: {name} failed at {}:{}: {}\n",
        failure.file,
        failure.line,
        failure.expectation
    );
}

fn fill(slot: &mut bindings::reeve_lock_sanity_case, case: &Case, outcome: &Result<(), Failure>) {
    // The field's last byte stays 0.
    let room = slot.name.len() - 1;
    for (to, from) in slot.name.iter_mut().take(room).zip(case.name.bytes()) {
        *to = from;
    }
    match outcome {
        Ok(()) => slot.status = bindings::REEVE_CASE_PASSED,
        Err(failure) => {
            slot.status = bindings::REEVE_CASE_FAILED;
            slot.line = failure.line;
        }
    }
}

/// The calling thread's real context, seen through one hierarchy.
struct Real(&'static Hierarchy);

fn lock(instance: usize) -> *const c_void {
    core::ptr::without_provenance(instance)
}

impl Tracker for Real {
    fn record_lock(&mut self, instance: usize, order: u32, flags: u32) -> bool {
        record::record_lock(self.0, lock(instance), order, flags)
    }

    fn record_unlock(&mut self, instance: usize, order: u32, flags: u32) -> bool {
        record::record_unlock(self.0, lock(instance), order, flags)
    }

    fn record_downgrade(&mut self, instance: usize, order: u32) -> bool {
        record::record_downgrade(self.0, lock(instance), order)
    }

    fn check_locked(&mut self, instance: usize, order: u32, flags: u32) -> bool {
        record::check_locked(self.0, lock(instance), order, flags)
    }

    fn check_lockable_order(&mut self, order: u32, flags: u32) -> bool {
        record::check_lockable_order(self.0, order, flags)
    }

    fn check_unlocked_order(&mut self, order: u32) -> bool {
        record::check_unlocked_order(self.0, order)
    }

    fn check_all_unlocked(&mut self) -> bool {
        record::check_all_unlocked(self.0)
    }

    fn forget_all(&mut self) {
        record::forget_all();
    }
}
