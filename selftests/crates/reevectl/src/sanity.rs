// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl lock-sanity`.

use std::io;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use reeve_uapi::sys::reeve_lock_sanity;
use reeve_uapi::sys::REEVE_CASE_FAILED;
use reeve_uapi::sys::REEVE_CASE_PASSED;
use reeve_uapi::sys::REEVE_LOCK_SANITY_CASES;

use crate::cli::JsonArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::session::Session;
use crate::style::Style;

/// The outcome of one run of the suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Suite {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) duration_ns: u64,
    pub(crate) cases: Vec<Case>,
}

/// The outcome of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) status: Status,
    /// Line of the first failed check in the suite's source, or 0.
    pub(crate) line: u32,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Passed,
    Failed,
    NotRun,
}

impl Suite {
    /// Reads the module's result.
    pub(crate) fn new(raw: &reeve_lock_sanity) -> Self {
        let cases: Vec<Case> = raw
            .results()
            .iter()
            .map(|case| Case {
                name: case.name_text().to_owned(),
                status: match case.status {
                    REEVE_CASE_PASSED => Status::Passed,
                    REEVE_CASE_FAILED => Status::Failed,
                    _ => Status::NotRun,
                },
                line: case.line,
            })
            .collect();
        let count = |status| cases.iter().filter(|case| case.status == status).count();
        Self {
            passed: count(Status::Passed),
            failed: count(Status::Failed),
            duration_ns: raw.duration_ns,
            cases,
        }
    }

    /// Returns whether all cases ran and passed.
    pub(crate) fn good(&self) -> bool {
        self.passed == REEVE_LOCK_SANITY_CASES as usize && self.passed == self.cases.len()
    }

    /// Returns one line with the outcome.
    pub(crate) fn summary(&self) -> String {
        let took = Duration::from_nanos(self.duration_ns).as_secs_f64() * 1e3;
        let all = REEVE_LOCK_SANITY_CASES;
        format!("{} of {all} cases passed, in {took:.2} ms", self.passed)
    }

    /// The cases as a table, then the summary.
    pub(crate) fn print(&self, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        for (number, case) in self.cases.iter().enumerate() {
            let name = &case.name;
            let number = number + 1;
            match case.status {
                Status::Passed => writeln!(
                    out,
                    "{indent}{}  {number:>2}  {name}",
                    Style::Good.paint("PASS")
                )?,
                Status::Failed => {
                    writeln!(
                        out,
                        "{indent}{}  {number:>2}  {name}  (line {})",
                        Style::Bad.paint("FAIL"),
                        case.line
                    )?;
                }
                Status::NotRun => writeln!(out, "{indent}-     {number:>2}  {name}  (not run)")?,
            }
        }
        writeln!(out, "{indent}{}", self.summary())
    }
}

/// Runs the suite and shows it.
pub(crate) fn run(session: &Session, args: &JsonArgs, out: &mut dyn Write) -> Result<()> {
    let raw = session.device.lock_sanity().asked(Asked::LockSanity)?;
    let suite = Suite::new(&raw);
    if args.json {
        crate::stat::print_json(&suite, out)?;
    } else {
        suite.print("", out)?;
    }
    if suite.good() {
        return Ok(());
    }
    Err(Error::Check(
        "the lock sanity suite did not pass; the kernel log (dmesg) has the failed checks"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeve_uapi::LOCK_SANITY_NAMES;

    fn result(failed: &[usize]) -> reeve_lock_sanity {
        let mut raw = reeve_lock_sanity {
            count: 20,
            failed: failed.len() as u32,
            duration_ns: 1_500_000,
            ..Default::default()
        };
        for (index, case) in raw.cases.iter_mut().enumerate() {
            let name = LOCK_SANITY_NAMES[index].as_bytes();
            case.name[..name.len()].copy_from_slice(name);
            (case.status, case.line) = if failed.contains(&index) {
                (REEVE_CASE_FAILED, 100 + index as u32)
            } else {
                (REEVE_CASE_PASSED, 0)
            };
        }
        raw
    }

    fn shown(suite: &Suite) -> String {
        let mut out = Vec::new();
        suite.print("  ", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_good_run() {
        let suite = Suite::new(&result(&[]));
        assert!(suite.good());
        let text = shown(&suite);
        assert!(
            text.ends_with("  20 of 20 cases passed, in 1.50 ms\n"),
            "{text}"
        );
        assert_eq!(text.matches("PASS").count(), 20);
        assert!(text.lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn a_failed_case_shows_its_line() {
        let suite = Suite::new(&result(&[2]));
        assert!(!suite.good());
        assert_eq!((suite.passed, suite.failed), (19, 1));
        assert!(shown(&suite).contains("(line 102)"));
    }

    #[test]
    fn fewer_cases_than_there_are_is_not_good() {
        let mut raw = result(&[]);
        raw.count = 19;
        assert!(!Suite::new(&raw).good());
        raw.count = 0;
        assert!(!Suite::new(&raw).good());
    }

    #[test]
    fn json_keys() {
        let json = serde_json::to_value(Suite::new(&result(&[0]))).unwrap();
        assert_eq!(json["cases"][0]["status"], "failed");
        assert_eq!(json["cases"][0]["line"], 100);
        assert_eq!(json["cases"][1]["name"], LOCK_SANITY_NAMES[1]);
        assert_eq!(json["passed"], 19);
    }
}
