// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl report`: checks that the loaded module works on the running kernel.
//!
//! Runs the lock sanity suite, then fills buffer objects beyond a small limit, shrinks them through
//! debugfs until nothing is left in memory, reads them back and compares, and destroys them.
//! Everything seen goes into [`Facts`]; the verdict is computed from the facts alone.

mod demo;
mod facts;
#[cfg(test)]
mod fake;
mod keeper;
mod live;
mod subject;
mod text;
mod verdict;

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;

use crate::cli::ReportArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::session::Session;
use crate::stat::Stats;

use demo::Plan;
use facts::Facts;
use live::Live;

/// Makes the report and shows it with its verdict.
pub(crate) fn run(session: &Session, args: &ReportArgs, out: &mut dyn Write) -> Result<()> {
    let stats = Stats(session.device.stats().asked(Asked::Stats)?);
    refuse_if_used(&stats, args.force)?;
    let live = Live::new(session)?;
    let plan = Plan::new(args, session.version.page_size);
    let facts = if args.json {
        let facts = demo::run(&live, &plan, &mut text::Text::new(&mut io::sink()))?;
        crate::stat::print_json_as_it_is(&facts, out)?;
        facts
    } else {
        demo::run(&live, &plan, &mut text::Text::new(out))?
    };
    if let Some(path) = args.output.as_deref() {
        save(&facts, path)?;
    }
    if facts.passed {
        return Ok(());
    }
    Err(Error::Check("the report's verdict is FAIL".to_owned()))
}

/// Objects of others would be swapped out by the small limit, and then by `tt_shrink`.
fn refuse_if_used(stats: &Stats, force: bool) -> Result<()> {
    match stats.buffer_objects {
        0 => Ok(()),
        _ if force => Ok(()),
        used => Err(Error::Check(format!(
            "the module is in use: there are buffer objects ({used}), which a report would swap out\n  \
             `reevectl ps` shows whose they are; with --force it is made all the same."
        ))),
    }
}

fn save(facts: &Facts, path: &Path) -> Result<()> {
    let asked = || Asked::File(path.to_owned());
    let mut file = BufWriter::new(File::create(path).asked(asked())?);
    crate::stat::print_json_as_it_is(facts, &mut file)?;
    file.flush().asked(asked())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeve_uapi::sys::reeve_stats;

    #[test]
    fn objects_of_others_are_left_alone() {
        let stats = |buffer_objects| {
            Stats(reeve_stats {
                buffer_objects,
                ..reeve_stats::default()
            })
        };
        assert!(refuse_if_used(&stats(0), false).is_ok());
        assert!(refuse_if_used(&stats(3), true).is_ok());
        let refused = refuse_if_used(&stats(3), false).unwrap_err();
        assert_eq!(refused.exit_code(), 1);
        assert!(refused.to_string().contains("--force"), "{refused}");
    }
}
