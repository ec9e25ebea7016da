// SPDX-License-Identifier: GPL-2.0-or-later

//! What README.md and Documentation/ show of a session is what the commands print.

use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;
use crate::tracing;
use crate::transcript;

cases!("transcripts";
    reevectl_page,
    watching_page,
    trace_of_events,
    readme_report,
    readme_script,
    readme_session,
);

const README: &str = include_str!("../../../../../README.md");
pub(super) const REEVECTL: &str = include_str!("../../../../../Documentation/reevectl.md");
const WATCHING: &str = include_str!("../../../../../Documentation/watching.md");

/// What needs the module `selftests/modules/held`; see [`super::held`].
pub(super) const NEEDS_MODULE: &str = "reeve_held";

/// What needs trace events, which not every kernel has.
const NEEDS_TRACING: &str = "/sys/kernel/tracing";

/// Returns the blocks of a page that a guest with nothing but the module can run, or those that need `other`.
pub(super) fn typed(page: &'static str, other: Option<&str>) -> Vec<&'static str> {
    let blocks = transcript::blocks(page).into_iter();
    let typed = blocks.filter(|block| transcript::is_typed(block));
    let needs = |block: &str| {
        [NEEDS_MODULE, NEEDS_TRACING]
            .into_iter()
            .find(|need| block.contains(need))
    };
    typed.filter(|block| needs(block) == other).collect()
}

fn reevectl_page() -> Outcome {
    let blocks = typed(REEVECTL, None);
    check_eq!(blocks.len(), 8);
    blocks.into_iter().try_for_each(transcript::check)
}

fn watching_page() -> Outcome {
    let blocks = typed(WATCHING, None);
    check!(!blocks.is_empty());
    blocks.into_iter().try_for_each(transcript::check)
}

fn trace_of_events() -> Outcome {
    tracing::need()?;
    let blocks = typed(WATCHING, Some(NEEDS_TRACING));
    check_eq!(blocks.len(), 2);
    let outcome = blocks.into_iter().try_for_each(transcript::check);
    transcript::run(
        "echo 0 >/sys/kernel/tracing/events/reeve/enable; echo >/sys/kernel/tracing/trace",
    )?;
    outcome
}

/// `make run` shows the report; what follows the verdict is about the boot.
fn readme_report() -> Outcome {
    let mut blocks = transcript::blocks(README).into_iter();
    let block = blocks.find(|block| block.starts_with("Reeve "));
    let block = block.ok_or_else(|| Stop::failed("README.md shows no report"))?;
    let mut ended = false;
    let report = block
        .lines()
        .take_while(|line| !std::mem::replace(&mut ended, line.starts_with("verdict: ")));
    let report: Vec<&str> = report.collect();
    let printed = transcript::run("reevectl report")?;
    transcript::compare("reevectl report", report.into_iter(), &printed)
}

/// The script that README.md shows, and what `make vm` prints of it before the machine is switched off.
fn readme_script() -> Outcome {
    let mut blocks = transcript::blocks(README).into_iter();
    let block = blocks.find_map(|block| block.strip_prefix("$ cat hello.sh\n"));
    let block = block.ok_or_else(|| Stop::failed("README.md shows no script"))?;
    let (script, rest) = block
        .split_once("$ make vm ")
        .ok_or_else(|| Stop::failed("README.md does not run its script"))?;
    let printed = transcript::run(script)?;
    let shown = rest
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    transcript::compare(script, shown, &printed)
}

fn readme_session() -> Outcome {
    let blocks = typed(README, None);
    check_eq!(blocks.len(), 1);
    blocks.into_iter().try_for_each(transcript::check)
}
