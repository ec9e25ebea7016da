// SPDX-License-Identifier: GPL-2.0-or-later

//! Latencies of operations: the module's file `latency`.

use serde::Serialize;

use reeve_uapi::knobs;

use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::line::Line;
use crate::line::Malformed;
use crate::table::Align;
use crate::table::Table;

/// Stands for a value that is not known.
pub(crate) const NONE: &str = "-";

/// Operations that took at least `from_us` and less than `until_us` microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Bucket {
    pub(crate) from_us: u64,
    /// Null: any time.
    pub(crate) until_us: Option<u64>,
    pub(crate) count: u64,
}

/// The histogram of an operation's durations; its buckets, the shortest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram {
    pub(crate) operation: String,
    pub(crate) buckets: Vec<Bucket>,
}

/// The summary of a histogram: all but the count are upper bounds of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    #[serde(flatten)]
    pub(crate) times: Option<Times>,
}

/// Where half, 99 of 100 and all of the operations were done. Null: in the last bucket, which has
/// no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Times {
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) max_us: Option<u64>,
}

impl Histogram {
    /// All operations.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(|bucket| bucket.count);
        counts.fold(0, u64::saturating_add)
    }

    /// Returns what was added to it since an earlier sample.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().map(|bucket| {
            let same = |other: &&Bucket| other.from_us == bucket.from_us;
            let before = earlier.buckets.iter().find(same);
            Bucket {
                count: bucket
                    .count
                    .saturating_sub(before.map_or(0, |before| before.count)),
                ..*bucket
            }
        });
        Self {
            operation: self.operation.clone(),
            buckets: buckets.collect(),
        }
    }

    /// Returns its summary.
    pub(crate) fn summary(&self) -> Summary {
        let count = self.count();
        let reached = |percent: u128| {
            // The operations that have to be done by then, rounded up.
            let needed = (u128::from(count) * percent).div_ceil(100);
            let mut done = 0;
            let bucket = self.buckets.iter().find(|bucket| {
                done += u128::from(bucket.count);
                done >= needed
            });
            bucket.and_then(|bucket| bucket.until_us)
        };
        Summary {
            count,
            times: (count > 0).then(|| Times {
                p50_us: reached(50),
                p99_us: reached(99),
                max_us: reached(100),
            }),
        }
    }
}

impl Summary {
    /// Returns p50, p99 and the maximum as text.
    pub(crate) fn cells(&self) -> [String; 3] {
        match self.times {
            Some(times) => [times.p50_us, times.p99_us, times.max_us]
                .map(|end| end.map_or_else(|| "more".to_owned(), human)),
            None => [NONE; 3].map(str::to_owned),
        }
    }
}

/// A time in the unit that keeps it readable.
fn human(microseconds: u64) -> String {
    let (value, unit) = match microseconds {
        0..1_000 => return format!("{microseconds} us"),
        1_000..1_000_000 => (microseconds as f64 / 1e3, "ms"),
        _ => (microseconds as f64 / 1e6, "s"),
    };
    let digits = match value {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// Reads the file.
pub(crate) fn read() -> Result<Vec<Histogram>> {
    let path = knobs::debugfs_path("latency");
    let text = knobs::debugfs("latency").asked(Asked::Debugfs(path.clone()))?;
    parse(&text).map_err(|fault| Error::Malformed { path, fault })
}

/// The histograms of its text, in its order.
pub(crate) fn parse(text: &str) -> std::result::Result<Vec<Histogram>, Malformed> {
    let mut histograms: Vec<Histogram> = Vec::new();
    for line in Line::all(text) {
        let mut line = line.like("OPERATION FROM UNTIL COUNT");
        let operation = line.word()?;
        if operation.is_empty() {
            return Err(line.malformed());
        }
        let from_us = line.number()?;
        let until_us = if line.accept(NONE) {
            None
        } else {
            Some(line.number()?)
        };
        let bucket = Bucket {
            from_us,
            until_us,
            count: line.number()?,
        };
        line.end()?;
        match histograms.last_mut() {
            Some(last) if last.operation == operation => {
                // In order, and without a gap.
                let end = last.buckets.last().and_then(|bucket| bucket.until_us);
                if end != Some(from_us) {
                    return Err(line.malformed());
                }
                last.buckets.push(bucket);
            }
            _ => histograms.push(Histogram {
                operation: operation.to_owned(),
                buckets: vec![bucket],
            }),
        }
        if until_us.is_some_and(|until| until <= from_us) {
            return Err(line.malformed());
        }
    }
    Ok(histograms)
}

/// A histogram as it appears in JSON; buckets that nothing fell into are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LatencyJson {
    operation: String,
    #[serde(flatten)]
    summary: Summary,
    buckets: Vec<Bucket>,
}

impl From<&Histogram> for LatencyJson {
    fn from(histogram: &Histogram) -> Self {
        let buckets = histogram.buckets.iter().copied();
        Self {
            operation: histogram.operation.clone(),
            summary: histogram.summary(),
            buckets: buckets.filter(|bucket| bucket.count > 0).collect(),
        }
    }
}

/// A row for each operation.
pub(crate) fn table(histograms: &[Histogram]) -> Table {
    let mut table = Table::new(&[
        ("operation", Align::Left),
        ("count", Align::Right),
        ("p50 <", Align::Right),
        ("p99 <", Align::Right),
        ("max <", Align::Right),
    ]);
    for histogram in histograms {
        let summary = histogram.summary();
        let head = [histogram.operation.clone(), summary.count.to_string()];
        table.row(head.into_iter().chain(summary.cells()));
    }
    table
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the module writes, with fewer buckets.
    pub(crate) const SAMPLE: &str = "\
populate 0 1 0
populate 1 2 60
populate 2 4 39
populate 4 8 0
populate 8 - 1
swapout 0 1 0
swapout 1 2 0
swapout 2 4 0
swapout 4 8 2
swapout 8 - 0
swapin 0 1 0
swapin 1 2 0
swapin 2 4 0
swapin 4 8 0
swapin 8 - 0
";

    #[test]
    fn samples_are_read() {
        let found = parse(SAMPLE).unwrap();
        let names: Vec<_> = found.iter().map(|h| h.operation.as_str()).collect();
        assert_eq!(names, ["populate", "swapout", "swapin"]);
        assert_eq!(found[0].buckets.len(), 5);
        assert_eq!(
            found[0].buckets[4],
            Bucket {
                from_us: 8,
                until_us: None,
                count: 1
            }
        );
        assert_eq!(found[0].count(), 100);
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, line) in [
            ("\n", 1),
            ("populate\n", 1),
            ("populate 0 1\n", 1),
            ("populate 0 1 2 3\n", 1),
            ("populate 0 1 -\n", 1),
            ("populate - 1 0\n", 1),
            ("populate 1 1 0\n", 1),
            ("populate 0 1 0\npopulate 2 4 0\n", 2),
            ("populate 0 - 0\npopulate 1 2 0\n", 2),
            ("populate 0 1 0\nswapout 0 1 99999999999999999999\n", 2),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
    }

    #[test]
    fn percentiles_are_ends_of_buckets() {
        let found = parse(SAMPLE).unwrap();
        let times = |index: usize| found[index].summary().times;
        assert_eq!(
            times(0),
            Some(Times {
                p50_us: Some(2),
                p99_us: Some(4),
                max_us: None
            })
        );
        assert_eq!(
            times(1),
            Some(Times {
                p50_us: Some(8),
                p99_us: Some(8),
                max_us: Some(8)
            })
        );
        assert_eq!(times(2), None);
        assert_eq!(found[0].summary().cells(), ["2 us", "4 us", "more"]);
        assert_eq!(found[2].summary().cells(), ["-", "-", "-"]);
    }

    #[test]
    fn counts_may_be_as_large_as_they_get() {
        let text = format!("x 0 1 {max}\nx 1 2 {max}\n", max = u64::MAX);
        let found = parse(&text).unwrap();
        assert_eq!(found[0].count(), u64::MAX);
        assert!(found[0].summary().times.is_some());
    }

    #[test]
    fn only_what_is_new() {
        let earlier = parse(SAMPLE).unwrap();
        let later = parse(&SAMPLE.replace("populate 2 4 39", "populate 2 4 41")).unwrap();
        let new = later[0].since(&earlier[0]);
        assert_eq!(new.count(), 2);
        assert_eq!(new.summary().times.unwrap().p50_us, Some(4));
        assert_eq!(earlier[0].since(&later[0]).count(), 0);
    }

    #[test]
    fn json_leaves_out_empty_buckets() {
        let found = parse(SAMPLE).unwrap();
        let json = serde_json::to_value(LatencyJson::from(&found[1])).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "operation": "swapout", "count": 2, "p50_us": 8, "p99_us": 8, "max_us": 8,
                "buckets": [{ "from_us": 4, "until_us": 8, "count": 2 }]
            })
        );
        let json = serde_json::to_value(LatencyJson::from(&found[2])).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "operation": "swapin", "count": 0, "buckets": [] })
        );
    }

    #[test]
    fn times_are_readable() {
        for (microseconds, text) in [
            (1, "1 us"),
            (512, "512 us"),
            (1024, "1.02 ms"),
            (16384, "16.4 ms"),
            (131_072, "131 ms"),
            (1 << 20, "1.05 s"),
            (1 << 24, "16.8 s"),
        ] {
            assert_eq!(human(microseconds), text);
        }
    }
}
