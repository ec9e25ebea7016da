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
        let done = match words(&line) {
            Ok(words) if words.is_empty() => continue,
            Ok(words) => one(session, &words, out),
            Err(unended) => Err(Error::Usage(unended.to_owned())),
        };
        let Err(err) = done else {
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

/// Returns the words of a line; none when it is empty or a comment.
///
/// As in a shell: blanks separate words but in '...' and "..."; a backslash takes the next character as it is, inside
/// of "..." only before one of `"\`; `#` at the beginning of a word starts a comment. Nothing is expanded.
fn words(line: &str) -> std::result::Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    // None: between two words.
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (Some('"'), '\\') if matches!(rest.peek(), Some('"' | '\\')) => {
                word.get_or_insert_default().extend(rest.next());
            }
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => match rest.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("nothing follows the backslash"),
            },
            (None, '#') if word.is_none() => break,
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark has no other one");
    }
    words.extend(word);
    Ok(words)
}

fn one(session: &mut Session, words: &[String], out: &mut dyn Write) -> Result<()> {
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
        for (line, expected) in [
            ("bo list", &["bo", "list"][..]),
            ("  stat\t # counters", &["stat"]),
            ("# nothing", &[]),
            ("   ", &[]),
            ("a#b #c", &["a#b"]),
            ("--output '/tmp/a b'", &["--output", "/tmp/a b"]),
            (r#"x"y z"w '' """#, &["xy zw", "", ""]),
            (r#"a\ b \# "\"\\\n" '\'"#, &["a b", "#", r#""\\n"#, "\\"]),
            ("'#' \"it's\"", &["#", "it's"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(words(line), Ok(expected), "{line}");
        }
        for line in ["bo 'list", "\"", "a\\", r#""\""#] {
            assert!(words(line).is_err(), "{line}");
        }
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
