// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl stat --prometheus`: the statistics in the text format that Prometheus scrapes.
//!
//! Names are stable. The textfile collector of the node exporter serves what is written to a file.

use std::io;
use std::io::Write;

use reeve_uapi::statistics::Unit;
use reeve_uapi::statistics::STATISTICS;
use reeve_uapi::sys::reeve_version;

use crate::latency::Histogram;
use crate::stat::Stats;

/// Statistics that count events but have no rate in `top`.
const EVENTS: [&str; 4] = [
    "lock_violations",
    "faults",
    "huge_faults",
    "file_overcommits",
];

/// Everything that is known.
pub(crate) struct Facts<'a> {
    pub(crate) version: &'a reeve_version,
    pub(crate) stats: &'a Stats,
    /// The file `accounting`; none when debugfs cannot be read.
    pub(crate) accounting: Option<&'a [(String, String)]>,
    /// The file `latency`; likewise.
    pub(crate) latency: Option<&'a [Histogram]>,
}

/// Writes all metrics.
pub(crate) fn print(facts: &Facts<'_>, out: &mut dyn Write) -> io::Result<()> {
    let version = facts.version;
    head("reeve_info", "gauge", "The module that is loaded.", out)?;
    let (release, abi) = (
        version.release_text(),
        (version.abi_major, version.abi_minor),
    );
    writeln!(
        out,
        "reeve_info{{release=\"{release}\",abi=\"{}.{}\"}} 1",
        abi.0, abi.1
    )?;
    head("reeve_page_size_bytes", "gauge", "Bytes of a page.", out)?;
    writeln!(out, "reeve_page_size_bytes {}", version.page_size)?;
    for row in STATISTICS {
        let value = (row.value)(&facts.stats.0);
        let help = match row.unit {
            Unit::Pages => "Pages; the field of struct reeve_stats.",
            Unit::Count => "A number; the field of struct reeve_stats.",
        };
        if row.rate.is_some() || EVENTS.contains(&row.name) {
            let name = format!("reeve_{}_total", row.name);
            head(&name, "counter", help, out)?;
            writeln!(out, "{name} {value}")?;
        } else {
            let name = format!("reeve_{}", row.name);
            head(&name, "gauge", help, out)?;
            writeln!(out, "{name} {value}")?;
        }
    }
    let known = |name: &str| STATISTICS.iter().any(|row| row.name == name);
    for (name, value) in facts.accounting.unwrap_or_default() {
        match (name.as_str(), value.parse::<u64>()) {
            ("self_check", _) => {
                let value = u8::from(value == "ok");
                let name = "reeve_self_check_ok";
                head(name, "gauge", "1: the counters add up.", out)?;
                writeln!(out, "{name} {value}")?;
            }
            (name, Ok(value)) if !known(name) => {
                let name = format!("reeve_{name}");
                head(
                    &name,
                    "untyped",
                    "A line of the debugfs file accounting.",
                    out,
                )?;
                writeln!(out, "{name} {value}")?;
            }
            _ => {}
        }
    }
    histograms(facts.latency.unwrap_or_default(), out)
}

fn head(name: &str, kind: &str, help: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Writes the times of operations: cumulated counts. The module keeps no sums, so there is no `_sum`.
fn histograms(all: &[Histogram], out: &mut dyn Write) -> io::Result<()> {
    let name = "reeve_operation_duration_seconds";
    if all.is_empty() {
        return Ok(());
    }
    head(name, "histogram", "How long operations took.", out)?;
    for histogram in all {
        let operation = &histogram.operation;
        let mut count = 0u64;
        for bucket in &histogram.buckets {
            count = count.saturating_add(bucket.count);
            // The last bucket has no end, and is what all of them are.
            if let Some(until) = bucket.until_us {
                let until = until as f64 / 1e6;
                writeln!(
                    out,
                    "{name}_bucket{{operation=\"{operation}\",le=\"{until}\"}} {count}"
                )?;
            }
        }
        writeln!(
            out,
            "{name}_bucket{{operation=\"{operation}\",le=\"+Inf\"}} {count}"
        )?;
        writeln!(out, "{name}_count{{operation=\"{operation}\"}} {count}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::parse;
    use crate::latency::tests::SAMPLE;
    use reeve_uapi::sys::reeve_stats;
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    fn text() -> String {
        let stats = Stats(reeve_stats {
            pages_allocated: 7,
            populates: 3,
            lock_violations: 2,
            ..reeve_stats::default()
        });
        let accounting = [
            ("pages_allocated", "7"),
            ("external_pages", "5"),
            ("self_check", "ok"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let latency = parse(SAMPLE).unwrap();
        let version = reeve_version {
            page_size: 4096,
            ..reeve_version::default()
        };
        let facts = Facts {
            version: &version,
            stats: &stats,
            accounting: Some(&accounting),
            latency: Some(&latency),
        };
        let mut out = Vec::new();
        print(&facts, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_those_of_the_module() {
        let text = text();
        for line in [
            "reeve_info{release=\"\",abi=\"0.0\"} 1",
            "reeve_pages_allocated 7",
            "reeve_populates_total 3",
            "reeve_lock_violations_total 2",
            "reeve_external_pages 5",
            "reeve_self_check_ok 1",
            "# TYPE reeve_pages_limit gauge",
            "# TYPE reeve_swapouts_total counter",
        ] {
            assert_eq!(
                text.lines().filter(|found| *found == line).count(),
                1,
                "{line}: {text}"
            );
        }
    }

    /// What a scraper demands: every sample has its type before it, once, and buckets never fall.
    #[test]
    fn the_format_is_the_scrapers() {
        let text = text();
        let mut types = BTreeMap::new();
        let mut samples = BTreeSet::new();
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(
                    types.insert(name.to_owned(), kind.to_owned()).is_none(),
                    "{line}"
                );
            } else if !line.starts_with("# HELP ") {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert!(samples.insert(sample.to_owned()), "{line}");
                let value: u64 = value.parse().unwrap();
                let name = sample.split('{').next().unwrap();
                let base = name.trim_end_matches("_bucket").trim_end_matches("_count");
                assert!(
                    types.contains_key(name)
                        || types.get(base).is_some_and(|kind| kind == "histogram"),
                    "{line}"
                );
                if name.ends_with("_bucket") {
                    let operation = sample.split(',').next().unwrap().to_owned();
                    assert!(
                        value >= last.insert(operation, value).unwrap_or(0),
                        "{line}"
                    );
                }
            }
        }
        assert!(samples.len() > STATISTICS.len());
    }

    /// The board in `selftests/tools` shows metrics that there are.
    #[test]
    fn the_board_uses_names_that_are_printed() {
        let board = include_str!("../../../tools/grafana.json");
        let json: serde_json::Value = serde_json::from_str(board).unwrap();
        let printed = text();
        let names: BTreeSet<&str> = printed
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let mut shown = 0;
        for panel in json["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap();
                let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                for name in words.filter(|word| word.starts_with("reeve_")) {
                    assert!(names.contains(name), "{name} in {expression}");
                    shown += 1;
                }
            }
        }
        assert!(shown > 15, "{shown}");
    }
}
