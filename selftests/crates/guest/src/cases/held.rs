// SPDX-License-Identifier: GPL-2.0-or-later

//! What the documentation shows of locks of another module, `selftests/modules/held`, whose file is in the working
//! directory.

use std::path::Path;

use super::transcripts::typed;
use super::transcripts::NEEDS_MODULE;
use super::transcripts::REEVECTL;
use crate::module;
use crate::test::cases;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;
use crate::transcript;

cases!("held";
    reevectl_page_about_locks,
);

const FILE: &str = "reeve_held.ko";

/// A module in which nothing has happened yet, also for the cases that follow: the transcript has a wrong order in it.
fn fresh() -> Outcome {
    module::remove()?;
    Ok(module::insert("enable_builtin_tests=1")??)
}

fn reevectl_page_about_locks() -> Outcome {
    let file = Path::new(FILE)
        .canonicalize()
        .map_err(|err| Stop::skipped(format!("{FILE}: {err}")))?;
    module::need_file()?;
    fresh()?;
    transcript::run(&format!("insmod {}", file.display()))?;
    let blocks = typed(REEVECTL, Some(NEEDS_MODULE));
    check_eq!(blocks.len(), 1);
    let outcome = blocks.into_iter().try_for_each(transcript::check);
    transcript::run("echo 0 >/sys/module/reeve_held/parameters/hold; rmmod reeve_held")?;
    fresh()?;
    outcome
}
