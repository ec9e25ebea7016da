// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl batch`: several commands on one open file.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;

use clap::Parser;

use crate::cli::BatchArgs;
use crate::cli::Line;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::session::Session;

/// Runs the commands of a file, line by line.
pub(crate) fn run(session: &mut Session, args: &BatchArgs, out: &mut dyn Write) -> Result<()> {
    session.in_batch = true;
    let name = args.file.as_path();
    let input: Box<dyn BufRead> = if name == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(
            File::open(name).asked(Asked::File(name.to_owned()))?,
        ))
    };

    let mut first = None;
    for (index, line) in input.lines().enumerate() {
        let line = line.asked(Asked::File(name.to_owned()))?;
        let Some(words) = words(&line) else { continue };
        let Err(err) = one(session, &words, out) else {
            continue;
        };
        if err.is_closed_pipe() {
            return Err(err);
        }
        let err = at_line(err, index + 1);
        if !args.keep_going {
            return Err(err);
        }
        eprintln!("reevectl: {err}");
        first.get_or_insert(err);
    }
    match first {
        None => Ok(()),
        Some(Error::Usage(_)) => Err(Error::Usage("some lines of the batch failed".to_owned())),
        Some(_) => Err(Error::Check("some lines of the batch failed".to_owned())),
    }
}

/// The words of a line, or nothing when it is empty or a comment.
fn words(line: &str) -> Option<Vec<&str>> {
    let code = line.split('#').next().unwrap_or("");
    let words: Vec<&str> = code.split_whitespace().collect();
    (!words.is_empty()).then_some(words)
}

fn one(session: &mut Session, words: &[&str], out: &mut dyn Write) -> Result<()> {
    match Line::try_parse_from(words) {
        Ok(line) => crate::act(session, &line.action, out),
        Err(err) if !err.use_stderr() => Ok(write!(out, "{err}")?),
        Err(err) => Err(Error::Usage(err.to_string().trim_end().to_owned())),
    }
}

/// The same error with the line that it belongs to.
fn at_line(err: Error, line: usize) -> Error {
    let text = format!("line {line}: {err}");
    match err {
        Error::Usage(_) => Error::Usage(text),
        _ => Error::Check(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words_and_comments() {
        assert_eq!(words("bo list"), Some(vec!["bo", "list"]));
        assert_eq!(words("  stat   # counters"), Some(vec!["stat"]));
        assert_eq!(words("# nothing"), None);
        assert_eq!(words("   "), None);
    }

    #[test]
    fn lines_know_actions_only() {
        assert!(Line::try_parse_from(["bo", "info", "last"]).is_ok());
        assert!(Line::try_parse_from(["report"]).is_err());
        assert!(Line::try_parse_from(["batch"]).is_err());
    }

    #[test]
    fn the_line_is_named_and_the_exit_code_kept() {
        let err = at_line(Error::Usage("what?".to_owned()), 3);
        assert_eq!(
            (err.to_string().as_str(), err.exit_code()),
            ("line 3: what?", 2)
        );
        let err = at_line(Error::Check("no".to_owned()), 4);
        assert_eq!(
            (err.to_string().as_str(), err.exit_code()),
            ("line 4: no", 1)
        );
    }
}
