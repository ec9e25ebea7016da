// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl locks`: declared hierarchies, held locks and violations of the lock-order tracker.
//!
//! Reads only the module's files in debugfs. Each has a parser of its own; [`facts`] joins what they say, and
//! [`tables`] prints it.

#[cfg(test)]
mod damage;
mod facts;
mod graph;
mod held;
mod hierarchies;
mod record;
#[cfg(test)]
mod samples;
mod svg;
mod tables;
mod violations;

use std::io::Write;

use crate::cli::LocksArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::watch;

use facts::Facts;
use facts::Source;

/// The part to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// Hierarchies, held locks and violations, in brief.
    All,
    Hierarchies,
    Held,
    Violations,
    Graph,
}

impl View {
    fn new(args: &LocksArgs) -> Self {
        match args {
            _ if args.hierarchies => Self::Hierarchies,
            _ if args.held => Self::Held,
            _ if args.violations => Self::Violations,
            _ if args.graph => Self::Graph,
            _ => Self::All,
        }
    }
}

/// Shows the chosen part once, or repeatedly.
pub(crate) fn run(args: &LocksArgs, out: &mut dyn Write) -> Result<()> {
    let source = Source::debugfs();
    if args.dot {
        out.write_all(source.graph()?.as_bytes())?;
        return Ok(());
    }
    if let Some(path) = &args.svg {
        let picture = svg::draw(&source.graph()?)?;
        if path.as_os_str() == "-" {
            out.write_all(&picture)?;
        } else {
            std::fs::write(path, picture).asked(Asked::File(path.clone()))?;
        }
        return Ok(());
    }
    if args.exit_code {
        let facts = Facts::read(&source, View::new(args))?;
        out.write_all(text(&facts, args)?.as_bytes())?;
        return match facts.violations.map_or(0, |violations| violations.total) {
            0 => Ok(()),
            1 => Err(Error::Check("there was 1 violation".to_owned())),
            total => Err(Error::Check(format!("there were {total} violations"))),
        };
    }
    let draw = || text(&Facts::read(&source, View::new(args))?, args);
    match args.watch {
        Some(pause) => watch::run(pause, args.count, out, draw),
        None => Ok(out.write_all(draw()?.as_bytes())?),
    }
}

fn text(facts: &Facts, args: &LocksArgs) -> Result<String> {
    let mut text = Vec::new();
    if args.json {
        crate::stat::print_json_as_it_is(facts, &mut text)?;
    } else {
        tables::print(facts, View::new(args), &mut text)?;
    }
    String::from_utf8(text).map_err(|err| Error::Output(std::io::Error::other(err)))
}
