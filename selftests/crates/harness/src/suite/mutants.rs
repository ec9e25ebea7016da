// SPDX-License-Identifier: GPL-2.0-or-later
//! Does the test run notice a mistake? Builds of the module with a deliberate one have to turn it red.

use anyhow::{bail, Result};

use super::guest::Boot;
use super::job_context::JobContext;
use super::jobs::Job;
use super::record::{Outcome, Record, Tier};
use crate::vm::End;

const NEEDS: &[&str] = &["kernel base", "guest programs"];

pub(super) fn jobs() -> Vec<Job> {
    vec![
        mutant(
            "mutant kunit",
            "a failing KUnit case turns the run red",
            |ctx| {
                let records = Boot::kunit("base", "break-kunit").records(ctx, Tier::Kunit, "")?;
                some_case_failed(&records)
            },
        ),
        mutant(
            "mutant selftest",
            "a failing selftest turns the run red",
            |ctx| {
                let records =
                    Boot::content("base", "break-selftest").records(ctx, Tier::Selftests, "")?;
                some_case_failed(&records)
            },
        ),
        mutant(
            "mutant stress",
            "a minute of stress turns a build red that swaps in wrong content",
            |ctx| {
                let boot = Boot::stress_only("base", "break-selftest");
                stress_found_content(&boot.records(ctx, Tier::Selftests, "")?)
            },
        )
        // The same build of the module, so that one compiles it.
        .after(&["mutant selftest"]),
        Job::new("mutant dirty log", Tier::MakeTargets, NEEDS, |ctx| {
            let all = DIRTY_LOGS.iter();
            let records = all.map(|(variant, script, test)| {
                let boot = Boot::dirty_log(variant, script);
                let result = boot
                    .records(ctx, Tier::Selftests, "")
                    .and_then(|records| some_case_failed(&records));
                Record::from_result(Tier::MakeTargets, *test, result)
            });
            Ok(records.collect())
        }),
        Job::new(
            "mutant huge entries",
            Tier::MakeTargets,
            &["kernel debug", "guest programs"],
            |ctx| {
                let records =
                    Boot::huge_entries("debug", "break-log_huge").records(ctx, Tier::Selftests, "");
                Ok(vec![Record::from_result(
                    Tier::MakeTargets,
                    "a dirty log is noticed whose huge entries are writable after a clear",
                    records.and_then(|records| some_case_failed(&records)),
                )])
            },
        ),
        mutant(
            "mutant splat",
            "a splat of the module turns the run red",
            |ctx| {
                let outcome = Boot::once("base", "break-splat").run(ctx)?;
                match &outcome.end {
                    End::Reason(reason) if reason.starts_with("kernel splat: ") => Ok(()),
                    end => bail!("the build with a deliberate WARN ended with: vm: exit {end}"),
                }
            },
        ),
        Job::new(
            "mutant lockdep",
            Tier::MakeTargets,
            &["kernel debug", "guest programs"],
            |ctx| {
                Ok(vec![Record::from_result(
                    Tier::MakeTargets,
                    "lockdep, primed with the declared order, finds the first inversion",
                    lockdep_is_primed(ctx),
                )])
            },
        ),
    ]
}

/// The case that notices a mistake in the dirty log, and one that does not. (Others notice it, too, but a fence that does
/// not hold is noticed when time is over, by each of twenty cases.)
macro_rules! script {
    ($case:literal) => {
        concat!(
            "#!/bin/sh\nexec reeve-guest-tests dirty_log.fresh dirty_log.",
            $case,
            "\n"
        )
    };
}

/// Builds with one mistake each in the dirty log, what to run, and what is wrong with them.
const DIRTY_LOGS: &[(&str, &str, &str)] = &[
    (
        "break-log_window",
        script!("a_clear_between_bit_and_entry"),
        "a dirty log is noticed whose entries become writable after their bits",
    ),
    (
        "break-log_around",
        script!("reads_make_nothing_writable"),
        "a dirty log is noticed that makes the neighbours of a fault writable",
    ),
    (
        "break-log_unprotected",
        script!("clear_is_exact"),
        "a dirty log is noticed that protects nothing after a clear",
    ),
    (
        "break-log_dirty",
        script!("mprotect_makes_nothing_writable"),
        "a dirty log is noticed that protects entries and leaves them dirty",
    ),
    (
        "break-log_swapout",
        script!("outlives_pages_and_mappings"),
        "a dirty log is noticed that a swapout empties",
    ),
    (
        "break-log_write",
        script!("kinds_of_writes"),
        "a dirty log is noticed that misses BO_WRITE",
    ),
    (
        "break-log_fence",
        script!("a_store_waits_for_a_fence"),
        "a fence is noticed that leaves writable entries as they are",
    ),
];

/// The build takes two locks in the wrong order at load; the right one never ran but for priming.
fn lockdep_is_primed(ctx: &JobContext) -> Result<()> {
    let outcome = Boot::once("debug", "break-lockdep").run(ctx)?;
    match &outcome.end {
        End::Reason(reason) if reason.contains("circular locking") => Ok(()),
        end => bail!("the build with a deliberate inversion ended with: vm: exit {end}"),
    }
}

fn mutant(job: &'static str, test: &'static str, run: fn(&JobContext) -> Result<()>) -> Job {
    Job::new(job, Tier::MakeTargets, NEEDS, move |ctx| {
        Ok(vec![Record::from_result(Tier::MakeTargets, test, run(ctx))])
    })
}

/// The stress itself must have failed, and for what was read.
fn stress_found_content(records: &[Record]) -> Result<()> {
    let stress = records
        .iter()
        .find(|record| record.name.contains("everything_at_once"));
    match stress.map(|record| &record.outcome) {
        Some(Outcome::Failed(why)) if why.contains("bytes") => Ok(()),
        Some(outcome) => bail!("the build with a deliberate mistake ended with {outcome:?}"),
        None => bail!("the stress did not run: {records:?}"),
    }
}

/// A case of its own must have failed: a run that broke down altogether proves nothing about the cases.
fn some_case_failed(records: &[Record]) -> Result<()> {
    let own =
        |record: &&Record| !record.name.ends_with("plan") && !record.name.ends_with("clean end");
    let count = |wanted: fn(&Outcome) -> bool| {
        let hits = records
            .iter()
            .filter(own)
            .filter(|record| wanted(&record.outcome));
        hits.count()
    };
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed));
    if failed == 0 {
        bail!("the build with a deliberate mistake passed all its {passed} cases");
    }
    if passed == 0 {
        bail!("not one case passed: more than the deliberate mistake is broken");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(name: &str) -> Record {
        Record::failed(Tier::Kunit, name, "x")
    }

    #[test]
    fn only_a_failing_case_among_good_ones_proves_it() {
        let good = Record::passed(Tier::Kunit, "a");
        assert!(some_case_failed(&[good.clone(), failed("b")]).is_ok());
        assert!(some_case_failed(std::slice::from_ref(&good)).is_err());
        assert!(some_case_failed(&[failed("b")]).is_err());
        assert!(some_case_failed(&[good.clone(), failed("plan")]).is_err());
        assert!(some_case_failed(&[good, failed("no splat, no leak, clean end")]).is_err());
    }
}
