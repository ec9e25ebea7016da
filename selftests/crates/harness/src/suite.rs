// SPDX-License-Identifier: GPL-2.0-or-later
//! `make test` and `make lint`: what is run, in which order, and the sum of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

mod flows;
mod guest;
pub mod job_context;
pub mod jobs;
pub mod libtest;
mod lint;
mod make_targets;
mod mutants;
pub mod record;
pub mod summary;
mod two_guests;

use crate::paths::near;
use job_context::JobContext;
use jobs::Job;
use record::Tier;

/// Where to work.
#[derive(Debug, Args)]
pub struct Options {
    /// The checkout.
    #[arg(long)]
    root: PathBuf,
    /// Where everything made goes.
    #[arg(long)]
    build: PathBuf,
    /// How many processors to use.
    #[arg(long)]
    jobs: usize,
}

/// The order in which `make test` starts what can start: first what others need, then what takes longest, so that
/// the short ones fill the end.
const ORDER: &[&str] = &[
    "kernel base",
    "guest programs",
    "kernel debug",
    "stress",
    "selftests 1",
    "selftests 2",
    "make ext",
    "host tests",
    "vhost-user",
    "vhost-user flows",
    "kunit",
    "make ext debug",
    "make ext drivers",
    "mutant dirty log",
    "mutant huge entries",
    "lint",
    "lint programs",
    "make vm",
    "make install",
    "two guests",
    "cycles debug",
    "fuzz",
    "mutant lockdep",
    "mutant content",
    "mutant stress",
    "mutant kunit",
    "mutant splat",
    "cycles base",
    "vhost-user base",
    "make run",
    "lint planted",
];

/// Everything. True if something passed and nothing failed.
pub fn test(options: &Options) -> Result<bool> {
    run(options, "test", test_jobs())
}

fn test_jobs() -> Vec<Job> {
    let mut jobs = vec![
        build_kernel("kernel base", "base"),
        guest_programs(),
        host_tests(),
        vhost_user(),
        vhost_flows(),
        // One kernel at a time: each build keeps every processor busy by itself.
        build_kernel("kernel debug", "debug").after(&["kernel base"]),
    ];
    jobs.extend(guest::jobs());
    jobs.push(two_guests::job());
    jobs.extend(make_targets::jobs());
    jobs.extend(mutants::jobs());
    jobs.extend(lint::jobs());
    jobs.sort_by_key(|job| ORDER.iter().position(|name| *name == job.name));
    jobs
}

/// The checks that boot nothing. True if there are no complaints.
pub fn lint(options: &Options) -> Result<bool> {
    let mut jobs = vec![build_kernel("kernel base", "base")];
    jobs.extend(lint::jobs());
    run(options, "lint", jobs)
}

fn run(options: &Options, name: &str, jobs: Vec<Job>) -> Result<bool> {
    let dir = options.build.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let ctx = JobContext {
        root: options.root.clone(),
        build: options.build.clone(),
        dir: dir.clone(),
        jobs: options.jobs,
        again: Arc::default(),
    };
    println!("logs of every step: {}", near(&dir).display());
    let begin = Instant::now();
    let slots = options.jobs.clamp(2, 4);
    let mut records = jobs::run_all(&ctx, jobs, slots)?;
    let took = begin.elapsed();
    records.sort_by(|a, b| (a.tier, &a.name).cmp(&(b.tier, &b.name)));
    let again = ctx.all_booted_again();
    summary::write_files(&dir, &records, took, &again)?;
    print!("\n{}", summary::text(&records, took, &again));
    Ok(summary::Count::of(&records).is_success())
}

fn build_kernel(job: &'static str, kernel: &'static str) -> Job {
    Job::new(job, Tier::MakeTargets, &[], move |ctx| {
        ctx.setup(&["kernel", kernel])?;
        Ok(Vec::new())
    })
}

fn guest_programs() -> Job {
    Job::new("guest programs", Tier::Selftests, &[], |ctx| {
        ctx.setup(&["userland"])?;
        Ok(Vec::new())
    })
}

/// `cargo test`, and the tests of the setup scripts.
fn host_tests() -> Job {
    Job::new("host tests", Tier::Host, &[], |ctx| {
        let mut cargo = ctx.command("selftests/setup/make.sh");
        let done = ctx.run_merged(cargo.arg("cargo_test"), "log")?;
        let mut records = libtest::records(&done.stdout, done.success);
        let mut shell = ctx.command("selftests/setup/selftest.sh");
        let done = ctx.run_merged(&mut shell, "setup.log")?;
        let cases = guest::records_of(Tier::Host, "setup: ", &done.stdout);
        records.extend(cases);
        Ok(records)
    })
    .after(&["guest programs"])
}

/// The vhost-user peer and the command that checks back ends; nothing is booted.
fn vhost_user() -> Job {
    Job::new("vhost-user", Tier::Host, &[], |ctx| {
        let mut cargo = ctx.command("selftests/setup/make.sh");
        let done = ctx.run_merged(cargo.arg("vhost_test"), "log")?;
        Ok(libtest::records(&done.stdout, done.success))
    })
    // Both compile in the same workspace.
    .after(&["host tests"])
}

/// The same with QEMU as the front end, and with our kernel as the guest of some.
fn vhost_flows() -> Job {
    let needs = ["kernel base", "guest programs"];
    Job::new("vhost-user flows", Tier::Selftests, &needs, |ctx| {
        let mut cargo = ctx.command("selftests/setup/make.sh");
        let done = ctx.run_merged(cargo.arg("vhost_flows"), "log")?;
        let why = ctx.tail(&ctx.dir.join("log"), 30);
        // They have the names of QEMU's own tests, which people look for.
        for line in flows::lines(&done.stdout) {
            println!("               {line}");
        }
        Ok(flows::records(&done.stdout, done.success, &why))
    })
    // Both compile the same tests.
    .after(&["vhost-user"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_has_every_job_once() {
        let names: Vec<&str> = test_jobs().iter().map(|job| job.name).collect();
        assert_eq!(names, ORDER);
    }
}
