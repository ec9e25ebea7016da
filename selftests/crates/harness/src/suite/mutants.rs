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
        Job::new("mutant dirty log", Tier::MakeTargets, NEEDS, |ctx| {
            Boot::mistakes(DIRTY_LOG_SCRIPT).records(ctx, Tier::MakeTargets, "")
        }),
        mutant("mutant content", "wrong content turns the run red", |ctx| {
            let boot = Boot::content("base").mistaken("content");
            some_case_failed(&boot.records(ctx, Tier::Selftests, "")?)
        })
        // The same build of the module, so that one compiles it.
        .after(&["mutant dirty log"]),
        mutant(
            "mutant stress",
            "a minute of stress turns a build red that swaps in wrong content",
            |ctx| {
                let boot = Boot::stress_only("base").mistaken("content");
                stress_found_content(&boot.records(ctx, Tier::Selftests, "")?)
            },
        )
        .after(&["mutant dirty log"]),
        Job::new(
            "mutant huge entries",
            Tier::MakeTargets,
            &["kernel debug", "guest programs"],
            |ctx| {
                let boot = Boot::huge_entries("debug").mistaken("log_huge");
                let records = boot.records(ctx, Tier::Selftests, "");
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
                let outcome = Boot::once("base").mistaken("splat").run(ctx)?;
                match &outcome.end {
                    End::Reason(reason) if reason.starts_with("kernel splat: ") => Ok(()),
                    end => bail!("the build with a deliberate WARN ended with: vm: exit {end}"),
                }
            },
        )
        .after(&["mutant dirty log"]),
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
        )
        .after(&["mutant huge entries"]),
    ]
}

/// Has the module make one mistake after the other in the dirty log. Each must be noticed by the case that is for it,
/// which passes without it; and not by one that has nothing to do with it.
const DIRTY_LOG_SCRIPT: &str = include_str!("../guest/dirty_log_mistakes.sh");

/// The build takes two locks in the wrong order at load; the right one never ran but for priming.
fn lockdep_is_primed(ctx: &JobContext) -> Result<()> {
    let outcome = Boot::once("debug").mistaken("lockdep").run(ctx)?;
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
