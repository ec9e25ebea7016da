// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads what `cargo test` prints, and does not believe it blindly: the sums must agree with the lines.

use super::record::{Outcome, Record, Tier};

/// The records of a whole `cargo test` run, its standard output and errors in one text.
pub fn records(text: &str, success: bool) -> Vec<Record> {
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line);
    }
    reader.finish(text, success)
}

#[derive(Default)]
struct Reader {
    program: String,
    records: Vec<Record>,
    /// Lines seen since the last sum: passed, failed, ignored.
    counted: [usize; 3],
    running: bool,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let text = line.trim_start();
        if let Some(rest) = text.strip_prefix("Running ") {
            self.begin(program_of(rest));
        } else if let Some(name) = text.strip_prefix("Doc-tests ") {
            self.begin(format!("{name} (doc)"));
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            self.sum(rest);
        } else if let Some(rest) = line.strip_prefix("test ") {
            self.case(rest);
        }
    }

    fn begin(&mut self, program: String) {
        self.close();
        self.program = program;
        self.running = true;
    }

    fn case(&mut self, rest: &str) {
        let Some((name, verdict)) = rest.rsplit_once(" ... ") else {
            return;
        };
        let (index, outcome) = match verdict.split(',').next().unwrap_or_default().trim() {
            "ok" => (0, Outcome::Passed),
            "FAILED" => (1, Outcome::Failed(String::new())),
            "ignored" => (2, Outcome::Skipped("ignored".to_owned())),
            _ => return,
        };
        self.counted[index] += 1;
        let name = format!("{}: {name}", self.program);
        self.records.push(Record {
            tier: Tier::Host,
            name,
            outcome,
        });
    }

    /// `ok. 3 passed; 0 failed; 1 ignored; ...`
    fn sum(&mut self, rest: &str) {
        let said = ["passed", "failed", "ignored"].map(|word| number_before(rest, word));
        let counted = self.counted.map(Some);
        if said != counted {
            self.fail(format!(
                "its sum says {said:?}, the lines above it {counted:?}"
            ));
        }
        self.counted = [0; 3];
        self.running = false;
    }

    /// A program that never said its sum has crashed.
    fn close(&mut self) {
        if self.running {
            self.running = false;
            self.counted = [0; 3];
            self.fail("it stopped before its end".to_owned());
        }
    }

    fn fail(&mut self, why: String) {
        let name = format!("{}: the run", self.program);
        self.records.push(Record::failed(Tier::Host, name, why));
    }

    fn finish(mut self, text: &str, success: bool) -> Vec<Record> {
        self.close();
        for record in &mut self.records {
            if let Outcome::Failed(why) = &mut record.outcome {
                if why.is_empty() {
                    let name = record.name.split_once(": ").map_or("", |(_, name)| name);
                    *why = said_by(text, name);
                }
            }
        }
        if !success && !self.records.iter().any(Record::is_failure) {
            let why = super::job_context::tail(text, 30);
            self.records
                .push(Record::failed(Tier::Host, "cargo test", why));
        }
        if success && self.records.is_empty() {
            self.records.push(Record::failed(
                Tier::Host,
                "cargo test",
                "it ran no test at all",
            ));
        }
        self.records
    }
}

/// `unittests src/lib.rs (target/debug/deps/reeve_host-0123abcd)` -> `reeve_host`.
fn program_of(rest: &str) -> String {
    let file = rest.rsplit(['/', '(']).next().unwrap_or(rest);
    let file = file.trim_end_matches(')');
    file.rsplit_once('-')
        .map_or(file, |(name, _)| name)
        .to_owned()
}

fn number_before(text: &str, word: &str) -> Option<usize> {
    let at = text.find(word)?;
    text[..at].split_whitespace().last()?.parse().ok()
}

/// What a failed test printed: the section that cargo shows for it.
fn said_by(text: &str, name: &str) -> String {
    let begin = format!("---- {name} stdout ----");
    let lines = text.lines().skip_while(|line| **line != begin).skip(1);
    let section: Vec<&str> = lines
        .take_while(|line| !line.starts_with("---- ") && *line != "failures:")
        .take(20)
        .collect();
    section.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
   Compiling reeve-host v0.1.0
     Running unittests src/lib.rs (/x/deps/reeve_host-0123abcd)

running 3 tests
test held::records ... ok
test held::slow ... ignored, takes long
test held::panics - should panic ... ok

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests reeve_host

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    const BAD: &str = "\
     Running tests/model.rs (/x/deps/model-0123abcd)

running 2 tests
test agrees ... FAILED
test holds ... ok

failures:

---- agrees stdout ----
thread 'agrees' panicked at tests/model.rs:3:1:
left is not right

failures:
    agrees

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn failures(records: &[Record]) -> Vec<&Record> {
        records
            .iter()
            .filter(|record| record.is_failure())
            .collect()
    }

    #[test]
    fn passed_and_ignored_tests() {
        let records = records(GOOD, true);
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].name, "reeve_host: held::records");
        assert!(matches!(records[1].outcome, Outcome::Skipped(_)));
        assert!(failures(&records).is_empty());
    }

    #[test]
    fn a_failed_test_brings_its_words() {
        let records = records(BAD, false);
        let failures = failures(&records);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].name, "model: agrees");
        let Outcome::Failed(why) = &failures[0].outcome else {
            unreachable!();
        };
        assert!(why.contains("left is not right"), "{why}");
    }

    #[test]
    fn a_crashed_program_is_a_failure() {
        let cut = GOOD.lines().take(5).collect::<Vec<_>>().join("\n");
        assert_eq!(failures(&records(&cut, false)).len(), 1);
    }

    #[test]
    fn sums_that_disagree_are_a_failure() {
        let lying = GOOD.replace("ok. 2 passed", "ok. 3 passed");
        assert_eq!(failures(&records(&lying, true)).len(), 1);
    }

    #[test]
    fn a_build_that_fails_is_a_failure() {
        let records = records("error: could not compile", false);
        assert_eq!(records.len(), 1);
        assert!(records[0].is_failure());
    }

    #[test]
    fn no_tests_at_all_is_a_failure() {
        assert!(records("", true)[0].is_failure());
    }
}
