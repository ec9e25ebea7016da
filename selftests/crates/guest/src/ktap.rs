// SPDX-License-Identifier: GPL-2.0-or-later

//! Says how cases went, in KTAP version 1.

use std::io;
use std::io::Write;
use std::process::ExitCode;

use crate::test::Outcome;
use crate::test::Stop;
use crate::test::Test;

/// Runs the cases one after the other and prints each as it ends.
pub(crate) fn run(tests: &[&Test], run: impl Fn(&Test) -> Outcome) -> ExitCode {
    let mut out = io::stdout();
    match report(tests, run, &mut out) {
        Ok(code) => ExitCode::from(code),
        // The reader is gone.
        Err(_) => ExitCode::FAILURE,
    }
}

fn report(tests: &[&Test], run: impl Fn(&Test) -> Outcome, out: &mut dyn Write) -> io::Result<u8> {
    writeln!(out, "KTAP version 1")?;
    writeln!(out, "1..{}", tests.len())?;
    let (mut failed, mut skipped) = (0, 0);
    for (index, test) in tests.iter().enumerate() {
        let outcome = run(test);
        let (number, name) = (index + 1, test.name);
        match outcome {
            Ok(()) => writeln!(out, "ok {number} {name}")?,
            Err(Stop::Skipped(why)) => {
                skipped += 1;
                writeln!(out, "ok {number} {name} # SKIP {}", one_line(&why))?;
            }
            Err(Stop::Failed(why)) => {
                failed += 1;
                for line in why.lines() {
                    writeln!(out, "# {line}")?;
                }
                writeln!(out, "not ok {number} {name}")?;
            }
        }
        out.flush()?;
    }
    let passed = tests.len() - failed - skipped;
    writeln!(out, "# Totals: pass:{passed} fail:{failed} skip:{skipped}")?;
    Ok(match (failed, passed) {
        (0, 0) => 4,
        (0, _) => 0,
        _ => 1,
    })
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '#'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::Setup;

    const fn test(name: &'static str) -> Test {
        Test {
            name,
            run: || Ok(()),
            setup: Setup::STANDARD,
        }
    }

    fn said(names: &[&'static str]) -> (String, u8) {
        let tests: Vec<Test> = names.iter().map(|name| test(name)).collect();
        let tests: Vec<&Test> = tests.iter().collect();
        let mut out = Vec::new();
        let code = report(
            &tests,
            |test| match test.name {
                "good" => Ok(()),
                "bad" => Err(Stop::Failed("first\nsecond".to_owned())),
                _ => Err(Stop::Skipped("no #1 here".to_owned())),
            },
            &mut out,
        );
        (String::from_utf8(out).unwrap(), code.unwrap())
    }

    #[test]
    fn lines_are_ktap() {
        let (text, code) = said(&["good", "bad", "odd"]);
        assert_eq!(
            text,
            "KTAP version 1\n1..3\nok 1 good\n# first\n# second\nnot ok 2 bad\n\
             ok 3 odd # SKIP no  1 here\n# Totals: pass:1 fail:1 skip:1\n"
        );
        assert_eq!(code, 1);
    }

    #[test]
    fn exit_codes_are_kselftests() {
        assert_eq!(said(&["good"]).1, 0);
        assert_eq!(said(&["good", "odd"]).1, 0);
        assert_eq!(said(&["odd"]).1, 4);
        assert_eq!(said(&["odd", "bad"]).1, 1);
    }
}
