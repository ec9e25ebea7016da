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

use demo::Plan;
use facts::Facts;
use live::Live;

/// Makes the report and shows it with its verdict.
pub(crate) fn run(session: &Session, args: &ReportArgs, out: &mut dyn Write) -> Result<()> {
    let live = Live::new(session);
    let plan = Plan::new(args, session.version.page_size);
    let facts = match args.json.as_deref() {
        Some(path) if path == Path::new("-") => {
            let facts = demo::run(&live, &plan, &mut text::Text::new(&mut io::sink()))?;
            crate::stat::print_json(&facts, out)?;
            facts
        }
        path => {
            let facts = demo::run(&live, &plan, &mut text::Text::new(out))?;
            if let Some(path) = path {
                save(&facts, path)?;
            }
            facts
        }
    };
    if facts.passed {
        return Ok(());
    }
    Err(Error::Check("the report's verdict is FAIL".to_owned()))
}

fn save(facts: &Facts, path: &Path) -> Result<()> {
    let asked = || Asked::File(path.to_owned());
    let mut file = BufWriter::new(File::create(path).asked(asked())?);
    crate::stat::print_json(facts, &mut file)?;
    file.flush().asked(asked())
}
