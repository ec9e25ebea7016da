// SPDX-License-Identifier: GPL-2.0

//! One look at the module, and what happened between two.

use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use crate::error::Ask;
use crate::error::Asked;
use crate::error::Result;
use crate::latency;
use crate::latency::Histogram;
use crate::latency::LatencyJson;
use crate::latency::Summary;
use crate::session::Session;
use crate::stat::Stats;

/// Grows when a key changes its meaning.
const SCHEMA: u32 = 1;

/// What the module says at one moment.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) stats: Stats,
    /// The histograms, or why they cannot be read.
    pub(super) latency: Result<Vec<Histogram>>,
}

impl Look {
    pub(super) fn new(session: &Session) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            stats: Stats::from(session.device.stats().asked(Asked::Stats)?),
            latency: latency::read(),
        })
    }

    /// The histogram of an operation.
    fn histogram(&self, operation: &str) -> Option<&Histogram> {
        let mut all = self.latency.as_deref().unwrap_or_default().iter();
        all.find(|histogram| histogram.operation == operation)
    }
}

/// A look, and the one before.
pub(super) struct Pair<'a> {
    pub(super) now: &'a Look,
    pub(super) last: Option<&'a Look>,
}

/// What is counted, so that it has a rate.
#[derive(Clone, Copy)]
pub(super) struct Counter {
    pub(super) name: &'static str,
    value: fn(&Look) -> Option<u64>,
}

/// Every counter with a rate.
pub(super) const COUNTERS: [Counter; 11] = [
    Counter::new("populates", |look| Some(look.stats.populates)),
    Counter::new("unpopulates", |look| Some(look.stats.unpopulates)),
    Counter::new("swapouts", |look| Some(look.stats.swapouts)),
    Counter::new("swapins", |look| Some(look.stats.swapins)),
    Counter::new("swapped_pages", |look| Some(look.stats.swapped_pages)),
    Counter::new("backups", |look| Some(look.stats.backups)),
    Counter::new("restores", |look| Some(look.stats.restores)),
    Counter::new("backed_up_pages", |look| Some(look.stats.backed_up_pages)),
    Counter::new("overcommits", |look| Some(look.stats.overcommits)),
    Counter::new("bo_shrinks", |look| {
        look.histogram("bo_shrink").map(Histogram::count)
    }),
    Counter::new("pool_shrinks", |look| {
        look.histogram("pool_shrink").map(Histogram::count)
    }),
];

impl Counter {
    const fn new(name: &'static str, value: fn(&Look) -> Option<u64>) -> Self {
        Self { name, value }
    }

    /// Its value now.
    pub(super) fn value(&self, pair: &Pair<'_>) -> Option<u64> {
        (self.value)(pair.now)
    }

    /// How much it grew in a second.
    pub(super) fn rate(&self, pair: &Pair<'_>) -> Option<f64> {
        let last = (self.value)(pair.last?)?;
        pair.per_second(self.value(pair)?.saturating_sub(last))
    }
}

impl Pair<'_> {
    /// The time between the two.
    pub(super) fn interval(&self) -> Option<Duration> {
        Some(self.now.at.saturating_duration_since(self.last?.at))
    }

    /// What a number in that time is in a second.
    fn per_second(&self, number: u64) -> Option<f64> {
        let seconds = self.interval()?.as_secs_f64();
        (seconds > 0.0).then(|| number as f64 / seconds)
    }

    /// What a histogram gained since the last look.
    pub(super) fn recent(&self, histogram: &Histogram) -> Option<Summary> {
        let last = self.last?.histogram(&histogram.operation)?;
        Some(histogram.since(last).summary())
    }

    /// Everything, for programs.
    pub(super) fn json(&self) -> TopJson {
        let rates = COUNTERS.into_iter().map(|counter| {
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
        }
    }
}

/// A look as it appears in JSON.
#[derive(Serialize)]
pub(super) struct TopJson {
    schema: u32,
    /// Seconds since the last look; null for the first.
    interval: Option<f64>,
    stats: Stats,
    /// Null for the first look.
    per_second: serde_json::Map<String, serde_json::Value>,
    /// Null when debugfs cannot be read.
    latency: Option<Vec<Row>>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    total: LatencyJson,
    /// Since the last look; null for the first.
    recent: Option<Summary>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::Error;
    use crate::latency::parse;
    use crate::latency::tests::SAMPLE;

    /// Two looks, two seconds apart.
    pub(in super::super) fn looks() -> [Look; 2] {
        let at = Instant::now();
        let stats = Stats {
            pages_allocated: 1024,
            pages_limit: 2048,
            dma32_pages_limit: 4096,
            page_pool_size: 100,
            pool_pages: 10,
            buffer_objects: 8,
            populates: 99,
            ..Stats::default()
        };
        let later = Stats {
            pages_allocated: 2304,
            populates: 100,
            swapouts: 3,
            ..stats
        };
        let text = SAMPLE.replace("populate 2 4 39", "populate 2 4 40");
        [
            Look {
                at,
                stats,
                latency: parse(SAMPLE).map_err(|_| Error::Check(String::new())),
            },
            Look {
                at: at + Duration::from_secs(2),
                stats: later,
                latency: parse(&text).map_err(|_| Error::Check(String::new())),
            },
        ]
    }

    fn json(now: &Look, last: Option<&Look>) -> serde_json::Value {
        serde_json::to_value(Pair { now, last }.json()).unwrap()
    }

    #[test]
    fn the_first_look_has_no_rates() {
        let [first, _] = looks();
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
        let [first, second] = looks();
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
        let [mut first, second] = looks();
        first.at = second.at;
        assert!(json(&second, Some(&first))["per_second"]["populates"].is_null());
    }

    #[test]
    fn without_debugfs_the_counters_are_left() {
        let [mut first, mut second] = looks();
        for look in [&mut first, &mut second] {
            look.latency = Err(Error::Check("no".to_owned()));
        }
        let json = json(&second, Some(&first));
        assert!(json["latency"].is_null());
        assert_eq!(json["per_second"]["populates"], 0.5);
    }
}
