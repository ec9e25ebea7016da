// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs the checks of `selftests/setup/lint.sh` one by one, each a counted test.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};

use super::job_context::{tail, JobContext};
use super::jobs::Job;
use super::record::{Record, Tier};

/// Other jobs that cargo would make wait for each other.
const CARGO: &[&str] = &["guest programs", "host tests"];

pub(super) fn jobs() -> Vec<Job> {
    vec![
        Job::new("lint", Tier::Lint, &["kernel base"], |ctx| {
            checks(ctx, |name| !WITH_CARGO.contains(&name))
        }),
        Job::new("lint programs", Tier::Lint, &["kernel base"], |ctx| {
            checks(ctx, |name| WITH_CARGO.contains(&name))
        })
        .after(CARGO),
        Job::new(
            "lint planted",
            Tier::Lint,
            &["kernel base", "guest programs"],
            planted,
        ),
    ]
}

/// The checks that run cargo.
const WITH_CARGO: &[&str] = &["clippy", "programs_doc"];

/// Runs those of the checks whose name is wanted.
fn checks(ctx: &JobContext, wanted: fn(&str) -> bool) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for name in ctx.setup(&["checks"])? {
        if !wanted(&name) {
            continue;
        }
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

/// A line that a check has to find.
struct Plant {
    test: &'static str,
    check: &'static str,
    file: &'static str,
    line: &'static str,
    /// What the complaint says.
    words: &'static str,
}

const PLANTS: &[Plant] = &[
    Plant {
        test: "check layout finds an import of a higher room",
        check: "layout",
        file: "rust/bo/lru.rs",
        line: "use crate::chardev::OpenFile;",
        words: "chardev is above bo",
    },
    Plant {
        test: "check layout finds a circle of files",
        check: "layout",
        file: "rust/abstractions/list.rs",
        line: "use super::planted::Planted;",
        words: "import each other in a circle",
    },
    Plant {
        test: "check unsafe_files finds a line of unsafe",
        check: "unsafe_files",
        file: "rust/bo/lru.rs",
        line: "unsafe fn planted() {}",
        words: "`unsafe` in a file that may not have it",
    },
    Plant {
        test: "check unsafe_files finds the kernel's crate below rules/",
        check: "unsafe_files",
        file: "rust/bo/rules/state.rs",
        line: "use kernel::prelude::*;",
        words: "not to be known below rules/",
    },
];

/// Plants lines in a copy of the checkout, one at a time, and sees the check of it fail for that reason.
fn planted(ctx: &JobContext) -> Result<Vec<Record>> {
    let tree = ctx.dir.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("removing {}", tree.display()))?;
    }
    for file in ctx.files(|path| path.starts_with("rust/") || path.starts_with("selftests/"))? {
        let copy = tree.join(&file);
        if let Some(directory) = copy.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::copy(ctx.root.join(&file), &copy).with_context(|| format!("copying {file}"))?;
    }
    // Imports what one of the plants is put into, and so makes a circle of it.
    fs::write(
        tree.join("rust/abstractions/planted.rs"),
        "// SPDX-License-Identifier: GPL-2.0\nuse super::list::List;\n",
    )?;
    let records = PLANTS.iter().map(|plant| {
        ctx.note(plant.test);
        Record::from_result(Tier::Lint, plant.test, check_plant(ctx, &tree, plant))
    });
    Ok(records.collect())
}

fn check_plant(ctx: &JobContext, tree: &Path, plant: &Plant) -> Result<()> {
    let path = tree.join(plant.file);
    let good = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    fs::write(&path, format!("{good}{}\n", plant.line))?;
    let script = tree.join("selftests/setup/make.sh");
    let mut command = ctx.command(&script.to_string_lossy());
    command.env(
        "HARNESS",
        env::current_exe().context("finding the harness")?,
    );
    let done = ctx.run_merged(command.args(["check", plant.check]), "planted.log");
    fs::write(&path, good)?;
    let done = done?;
    let complaint = |line: &str| line.contains(plant.words);
    if done.success || !done.stdout.lines().any(complaint) {
        bail!(
            "'{}' in {} should have been complained about with '{}':\n{}",
            plant.line,
            plant.file,
            plant.words,
            tail(&done.stdout, 20)
        );
    }
    Ok(())
}
