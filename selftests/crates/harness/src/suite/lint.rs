// SPDX-License-Identifier: GPL-2.0
//! Runs the checks of `selftests/setup/lint.sh` one by one, each a counted test.

use anyhow::Result;

use super::job_context::{tail, JobContext};
use super::jobs::Job;
use super::record::{Record, Tier};

/// Other jobs that cargo would make wait for each other.
const CARGO: &[&str] = &["guest programs", "host tests"];

pub(super) fn jobs() -> Vec<Job> {
    vec![Job::new("lint", Tier::Lint, &["kernel base"], checks).after(CARGO)]
}

fn checks(ctx: &JobContext) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for name in ctx.setup(&["checks"])? {
        ctx.note(&name);
        let mut command = ctx.command("selftests/setup/make.sh");
        let done = ctx.run_merged(command.args(["check", &name]), &format!("{name}.log"))?;
        records.push(match done.success {
            true => Record::passed(Tier::Lint, name),
            false => Record::failed(Tier::Lint, name, tail(&done.stdout, 40)),
        });
    }
    Ok(records)
}
