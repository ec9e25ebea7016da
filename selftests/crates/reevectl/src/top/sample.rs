// SPDX-License-Identifier: GPL-2.0-or-later

//! One sample of the module's statistics, and the rates between two.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use reeve_uapi::statistics::STATISTICS;
use reeve_uapi::sys::reeve_stats;

use crate::error::Ask;
use crate::error::Asked;
use crate::error::Result;
use crate::latency;
use crate::latency::Histogram;
use crate::latency::LatencyJson;
use crate::latency::Summary;
use crate::ps;
use crate::session::Session;
use crate::stat::Stats;
use crate::stat::SCHEMA;

/// The module's statistics at one moment.
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) stats: Stats,
    /// The histograms, or why they cannot be read.
    pub(super) latency: Result<Vec<Histogram>>,
    /// The open files that hold memory.
    pub(super) clients: Vec<ps::Client>,
}

impl Sample {
    pub(super) fn new(session: &Session) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            stats: Stats(session.device.stats().asked(Asked::Stats)?),
            latency: latency::read(),
            clients: clients(),
        })
    }

    /// Returns the histogram of an operation.
    fn histogram(&self, operation: &str) -> Option<&Histogram> {
        let mut all = self.latency.as_deref().unwrap_or_default().iter();
        all.find(|histogram| histogram.operation == operation)
    }
}

/// Returns the clients that hold something; this program is one that does not. Without `/proc` the rest is worth showing.
fn clients() -> Vec<ps::Client> {
    let mut found = ps::scan(Path::new("/proc")).unwrap_or_default();
    found.clients.retain(|client| client.total_bytes > 0);
    found.clients
}

/// A sample, and the one before.
pub(super) struct Pair<'a> {
    pub(super) now: &'a Sample,
    pub(super) last: Option<&'a Sample>,
}

/// A counter that is shown with its rate.
#[derive(Clone, Copy)]
pub(super) struct Counter {
    pub(super) name: &'static str,
    source: Source,
}

/// Where the value of a counter comes from.
#[derive(Clone, Copy)]
enum Source {
    /// A statistic.
    Statistic(fn(&reeve_stats) -> u64),
    /// The number of times an operation was measured.
    Operation(&'static str),
}

/// Returns every counter with a rate, in the order shown: statistics, then operations.
pub(super) fn counters() -> Vec<Counter> {
    let mut rows: Vec<_> = STATISTICS.iter().filter(|row| row.rate.is_some()).collect();
    rows.sort_by_key(|row| row.rate);
    let statistics = rows.into_iter().map(|row| Counter {
        name: row.name,
        source: Source::Statistic(row.value),
    });
    let operations = [("bo_shrinks", "bo_shrink"), ("pool_shrinks", "pool_shrink")];
    let operations = operations.map(|(name, operation)| Counter {
        name,
        source: Source::Operation(operation),
    });
    statistics.chain(operations).collect()
}

impl Counter {
    fn read(&self, sample: &Sample) -> Option<u64> {
        match self.source {
            Source::Statistic(value) => Some(value(&sample.stats.0)),
            Source::Operation(name) => sample.histogram(name).map(Histogram::count),
        }
    }

    /// Returns its value in the newest sample.
    pub(super) fn value(&self, pair: &Pair<'_>) -> Option<u64> {
        self.read(pair.now)
    }

    /// Returns how much it grew in a second.
    pub(super) fn rate(&self, pair: &Pair<'_>) -> Option<f64> {
        let last = self.read(pair.last?)?;
        pair.per_second(self.value(pair)?.saturating_sub(last))
    }
}

impl Pair<'_> {
    /// Returns the time between the two.
    pub(super) fn interval(&self) -> Option<Duration> {
        Some(self.now.at.saturating_duration_since(self.last?.at))
    }

    /// Returns the rate per second of a number of events in that time.
    fn per_second(&self, number: u64) -> Option<f64> {
        let seconds = self.interval()?.as_secs_f64();
        (seconds > 0.0).then(|| number as f64 / seconds)
    }

    /// Returns what was added to a histogram since the last sample.
    pub(super) fn recent(&self, histogram: &Histogram) -> Option<Summary> {
        let last = self.last?.histogram(&histogram.operation)?;
        Some(histogram.since(last).summary())
    }

    /// Returns everything as JSON.
    pub(super) fn json(&self) -> TopJson {
        let rates = counters().into_iter().map(|counter| {
            let rate = counter
                .rate(self)
                .map_or(serde_json::Value::Null, From::from);
            (counter.name.to_owned(), rate)
        });
        let latency = self.now.latency.as_deref().ok().map(|histograms| {
            let rows = histograms.iter().map(|histogram| Row {
                total: LatencyJson::from(histogram),
                recent: self.recent(histogram),
            });
            rows.collect()
        });
        TopJson {
            schema: SCHEMA,
            interval: self.interval().map(|interval| interval.as_secs_f64()),
            stats: self.now.stats,
            per_second: rates.collect(),
            latency,
            clients: self.now.clients.clone(),
        }
    }
}

/// A sample as it appears in JSON.
#[derive(Serialize)]
pub(super) struct TopJson {
    schema: u32,
    /// Seconds since the last sample; null for the first.
    interval: Option<f64>,
    stats: Stats,
    /// Null for the first sample.
    per_second: serde_json::Map<String, serde_json::Value>,
    /// Null when debugfs cannot be read.
    latency: Option<Vec<Row>>,
    clients: Vec<ps::Client>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    total: LatencyJson,
    /// Since the last sample; null for the first.
    recent: Option<Summary>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::Error;
    use crate::latency::parse;
    use crate::latency::tests::SAMPLE;

    /// Two samples, two seconds apart.
    pub(in super::super) fn samples() -> [Sample; 2] {
        let at = Instant::now();
        let stats = reeve_stats {
            pages_allocated: 1024,
            pages_limit: 2048,
            dma32_pages_limit: 4096,
            page_pool_size: 100,
            pool_pages: 10,
            buffer_objects: 8,
            populates: 99,
            ..reeve_stats::default()
        };
        let later = reeve_stats {
            pages_allocated: 2304,
            populates: 100,
            swapouts: 3,
            ..stats
        };
        let text = SAMPLE.replace("populate 2 4 39", "populate 2 4 40");
        [
            Sample {
                at,
                stats: Stats(stats),
                latency: parse(SAMPLE).map_err(|_| Error::Check(String::new())),
                clients: Vec::new(),
            },
            Sample {
                at: at + Duration::from_secs(2),
                stats: Stats(later),
                latency: parse(&text).map_err(|_| Error::Check(String::new())),
                clients: Vec::new(),
            },
        ]
    }

    fn json(now: &Sample, last: Option<&Sample>) -> serde_json::Value {
        serde_json::to_value(Pair { now, last }.json()).unwrap()
    }

    #[test]
    fn the_first_look_has_no_rates() {
        let [first, _] = samples();
        let json = json(&first, None);
        assert_eq!(json["schema"], 1);
        assert!(json["interval"].is_null());
        assert!(json["per_second"]["populates"].is_null());
        assert_eq!(json["stats"]["populates"], 99);
        assert_eq!(json["latency"][0]["count"], 100);
        assert!(json["latency"][0]["recent"].is_null());
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let [first, second] = samples();
        let json = json(&second, Some(&first));
        assert_eq!(json["interval"], 2.0);
        assert_eq!(json["per_second"]["populates"], 0.5);
        assert_eq!(json["per_second"]["swapouts"], 1.5);
        assert_eq!(json["per_second"]["swapins"], 0.0);
        // The sample has no such operation.
        assert!(json["per_second"]["pool_shrinks"].is_null());
        assert_eq!(
            json["latency"][0]["recent"],
            serde_json::json!({ "count": 1, "p50_us": 4, "p99_us": 4, "max_us": 4 })
        );
        assert_eq!(
            json["latency"][1]["recent"],
            serde_json::json!({ "count": 0 })
        );
    }

    #[test]
    fn two_looks_at_once_have_no_rates() {
        let [mut first, second] = samples();
        first.at = second.at;
        assert!(json(&second, Some(&first))["per_second"]["populates"].is_null());
    }

    #[test]
    fn without_debugfs_the_counters_are_left() {
        let [mut first, mut second] = samples();
        for sample in [&mut first, &mut second] {
            sample.latency = Err(Error::Check("no".to_owned()));
        }
        let json = json(&second, Some(&first));
        assert!(json["latency"].is_null());
        assert_eq!(json["per_second"]["populates"], 0.5);
    }
}
