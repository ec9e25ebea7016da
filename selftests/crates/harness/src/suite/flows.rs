// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads what the vhost-user flows print: a line for each test, and their sum, which must agree with the lines.

use super::record::{Outcome, Record, Tier};

/// The records of a run. `why` is what a failed one shows.
pub(super) fn records(text: &str, success: bool, why: &str) -> Vec<Record> {
    let mut records: Vec<Record> = text.lines().filter_map(|line| record(line, why)).collect();
    let failed = records.iter().filter(|record| record.is_failure()).count();
    let passed = records.len() - failed;
    let sum = format!("flows: {passed} passed, {failed} failed");
    let complete = text.lines().any(|line| line == sum);
    // A run without QEMU has no lines.
    if passed == 0 || !complete || success == (failed > 0) {
        let why = format!("no line '{sum}' after them, or another exit status:\n{why}");
        records.push(Record::failed(Tier::Selftests, "vhost.flows: the run", why));
    }
    records
}

/// The lines of a run that are shown: those of tests, and of what was skipped.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| record(line, "").is_some())
}

/// `ok NAME SECONDS`, `FAILED NAME SECONDS` or `skip NAME: REASON`.
fn record(line: &str, why: &str) -> Option<Record> {
    let (verdict, rest) = line.split_once(' ')?;
    let timed = || {
        let (name, seconds) = rest.split_once(' ')?;
        seconds.parse::<f64>().ok().map(|_| name)
    };
    let (name, outcome) = match verdict {
        "ok" => (timed()?, Outcome::Passed),
        "FAILED" => (timed()?, Outcome::Failed(why.to_owned())),
        "skip" => {
            let (name, reason) = rest.split_once(": ")?;
            (name, Outcome::Skipped(reason.to_owned()))
        }
        _ => return None,
    };
    Some(Record {
        tier: Tier::Selftests,
        name: format!("vhost.{name}"),
        outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "noise\nok reconnect 3.1\n# dirty-sync-count 4\nskip read-guest-mem/hugetlb: 0 huge pages\n\
                        flows: 2 passed, 0 failed\n";

    #[test]
    fn each_line_is_a_record() {
        let records = records(GOOD, true, "");
        let names: Vec<&str> = records.iter().map(|record| &*record.name).collect();
        assert_eq!(names, ["vhost.reconnect", "vhost.read-guest-mem/hugetlb"]);
        assert!(!records.iter().any(Record::is_failure));
    }

    #[test]
    fn each_line_of_a_test_is_shown() {
        let shown: Vec<&str> = lines(GOOD).collect();
        let skip = "skip read-guest-mem/hugetlb: 0 huge pages";
        assert_eq!(shown, ["ok reconnect 3.1", skip]);
    }

    #[test]
    fn a_failure_shows_why() {
        let text = "FAILED migrate 9.0\nok boot 1.0\nflows: 1 passed, 1 failed\n";
        let records = records(text, false, "panicked");
        assert_eq!(records[0].outcome, Outcome::Failed("panicked".to_owned()));
        assert_eq!(records.iter().filter(|r| r.is_failure()).count(), 1);
    }

    #[test]
    fn what_is_not_whole_is_a_failure() {
        for (text, success) in [
            ("", true),
            ("skip flows: there is no qemu-system-x86_64\n", true),
            ("ok boot 1.0\n", true),
            ("ok boot 1.0\nflows: 2 passed, 0 failed\n", true),
            (GOOD, false),
            (
                "FAILED boot 1.0\nok reboot 1.0\nflows: 1 passed, 1 failed\n",
                true,
            ),
        ] {
            let failed = records(text, success, "").iter().any(Record::is_failure);
            assert!(failed, "{text:?}");
        }
    }
}
