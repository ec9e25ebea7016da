// SPDX-License-Identifier: GPL-2.0-or-later
//! The end of `make test`: a table, the failures by name, files for other programs, and the last line.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::job_context::tail;
use super::record::{Outcome, Record, Tier};

/// How much of a reason is shown.
const REASON_LINES: usize = 20;

/// Passed, failed, skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Count {
    /// Of these records.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut count = Self::default();
        for record in records {
            match record.outcome {
                Outcome::Passed => count.passed += 1,
                Outcome::Failed(_) => count.failed += 1,
                Outcome::Skipped(_) => count.skipped += 1,
            }
        }
        count
    }

    /// Something passed and nothing failed.
    pub fn is_success(self) -> bool {
        self.passed > 0 && self.failed == 0
    }

    /// The last line of `make test`, exactly.
    pub fn last_line(self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

/// The text for people, the last line included. `again` are the boots that were repeated.
pub fn text(records: &[Record], took: Duration, again: &[String]) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for record in records {
        if let Outcome::Skipped(why) = &record.outcome {
            line(format!(
                "skipped: {}: {}: {why}",
                record.tier.name(),
                record.name
            ));
        }
    }
    for record in records {
        if let Outcome::Failed(why) = &record.outcome {
            line(format!("FAILED: {}: {}", record.tier.name(), record.name));
            for reason in tail(why, REASON_LINES).lines() {
                line(format!("        {reason}"));
            }
        }
    }
    line(String::new());
    line(format!(
        "{:<12}{:>8}{:>8}{:>9}",
        "tier", "passed", "failed", "skipped"
    ));
    for tier in Tier::ALL {
        let count = Count::of(records.iter().filter(|record| record.tier == tier));
        if count != Count::default() {
            line(format!(
                "{:<12}{:>8}{:>8}{:>9}",
                tier.name(),
                count.passed,
                count.failed,
                count.skipped
            ));
        }
    }
    line(format!(
        "in {} min {} s",
        took.as_secs() / 60,
        took.as_secs() % 60
    ));
    if !again.is_empty() {
        line(format!(
            "{} booted again, because the kernel failed before it ran anything of ours:",
            match again.len() {
                1 => "1 machine was".to_owned(),
                count => format!("{count} machines were"),
            }
        ));
        for why in again {
            line(format!("        {why}"));
        }
    }
    line(String::new());
    line(Count::of(records).last_line());
    text
}

/// Writes `results.json` and `junit.xml` into a directory.
pub fn write_files(dir: &Path, records: &[Record], took: Duration, again: &[String]) -> Result<()> {
    #[derive(Serialize)]
    struct Results<'a> {
        seconds: f64,
        #[serde(flatten)]
        count: Count,
        booted_again: &'a [String],
        tests: &'a [Record],
    }
    let results = Results {
        seconds: took.as_secs_f64(),
        count: Count::of(records),
        booted_again: again,
        tests: records,
    };
    let json = dir.join("results.json");
    fs::write(&json, serde_json::to_string_pretty(&results)? + "\n")
        .with_context(|| format!("writing {}", json.display()))?;
    let xml = dir.join("junit.xml");
    fs::write(&xml, junit(records, took)).with_context(|| format!("writing {}", xml.display()))
}

fn junit(records: &[Record], took: Duration) -> String {
    let all = Count::of(records);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let total = records.len();
    let seconds = took.as_secs_f64();
    // Writing to a String cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites tests=\"{total}\" failures=\"{}\" time=\"{seconds:.1}\">",
        all.failed
    );
    for tier in Tier::ALL {
        let of_tier = || records.iter().filter(move |record| record.tier == tier);
        let count = Count::of(of_tier());
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">",
            tier.name(),
            of_tier().count(),
            count.failed,
            count.skipped
        );
        for record in of_tier() {
            let name = escaped(&record.name);
            let inside = match &record.outcome {
                Outcome::Passed => String::new(),
                Outcome::Skipped(why) => format!("<skipped message=\"{}\"/>", escaped(why)),
                Outcome::Failed(why) => format!("<failure>{}</failure>", escaped(why)),
            };
            let _ = writeln!(
                xml,
                "    <testcase classname=\"{}\" name=\"{name}\">{inside}</testcase>",
                tier.name()
            );
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Escaped for XML, which cannot hold most control characters at all.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            control if control.is_control() => out.push('?'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        vec![
            Record::passed(Tier::Host, "a"),
            Record::failed(Tier::Kunit, "b", "x < y & \"z\"\u{1b}"),
            Record {
                tier: Tier::Kunit,
                name: "c".into(),
                outcome: Outcome::Skipped("no device".into()),
            },
        ]
    }

    #[test]
    fn the_last_line_is_exact() {
        let text = text(&records(), Duration::from_secs(61), &[]);
        assert!(!text.contains("booted again"), "{text}");
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
        assert!(text.contains("FAILED: kunit: b"));
        assert!(text.contains("skipped: kunit: c: no device"));
    }

    #[test]
    fn repeated_boots_are_counted() {
        let again = ["kunit: BUG: KASAN: x", "make-vm: BUG: y"].map(str::to_owned);
        let text = text(&records(), Duration::from_secs(61), &again);
        assert!(text.contains("2 machines were booted again"), "{text}");
        assert!(text.contains("        make-vm: BUG: y\n"), "{text}");
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
    }

    #[test]
    fn success_takes_a_passed_test() {
        assert!(!Count::of(&[]).is_success());
        assert!(!Count::of(&records()).is_success());
        assert!(Count::of(&records()[..1]).is_success());
    }

    #[test]
    fn xml_is_escaped() {
        let xml = junit(&records(), Duration::ZERO);
        assert!(xml.contains("x &lt; y &amp; &quot;z&quot;?"), "{xml}");
    }
}
