// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl stat` and `reevectl version`.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Deref;

use serde::Serialize;
use serde::Serializer;
use serde_json::Value;

use reeve_uapi::knobs;
use reeve_uapi::statistics::Unit;
use reeve_uapi::statistics::STATISTICS;
use reeve_uapi::sys::reeve_stats;
use reeve_uapi::sys::reeve_version;
use reeve_uapi::sys::REEVE_FEATURE_BACKUP;
use reeve_uapi::sys::REEVE_FEATURE_DIRTY_LOG;
use reeve_uapi::sys::REEVE_FEATURE_DMA_ADDRESSES;
use reeve_uapi::sys::REEVE_FEATURE_FILE_LIMIT;
use reeve_uapi::sys::REEVE_FEATURE_LOCK_ORDER;
use reeve_uapi::sys::REEVE_FEATURE_LOCK_SANITY;
use reeve_uapi::sys::REEVE_FEATURE_LOG_FENCE;
use reeve_uapi::sys::REEVE_FEATURE_MMAP;
use reeve_uapi::sys::REEVE_FEATURE_PAGE_ACCOUNTING;
use reeve_uapi::sys::REEVE_FEATURE_PAGE_POOL;
use reeve_uapi::sys::REEVE_FEATURE_SHMEM;

use crate::cli::JsonArgs;
use crate::cli::StatArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::latency;
use crate::latency::LatencyJson;
use crate::prometheus;
use crate::session::Session;
use crate::size;

/// The module's statistics; in JSON a map of those in [`STATISTICS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats(pub(crate) reeve_stats);

impl Deref for Stats {
    type Target = reeve_stats;

    fn deref(&self) -> &reeve_stats {
        &self.0
    }
}

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(
            STATISTICS
                .iter()
                .map(|row| (row.name, (row.value)(&self.0))),
        )
    }
}

#[derive(Debug, Serialize)]
struct StatJson {
    stats: Stats,
    /// The file `accounting`; null when debugfs cannot be read.
    accounting: Option<BTreeMap<String, Value>>,
    /// The file `latency`; null when debugfs cannot be read.
    latency: Option<Vec<LatencyJson>>,
}

/// Shows the counters of the ioctl, then what only debugfs knows.
pub(crate) fn stat(session: &Session, args: &StatArgs, out: &mut dyn Write) -> Result<()> {
    let stats = Stats(session.device.stats().asked(Asked::Stats)?);
    let accounting = knobs::accounting().asked(Asked::Debugfs(knobs::debugfs_path("accounting")));
    let latency = latency::read();
    if args.json {
        let accounting = accounting.ok().map(|pairs| {
            let pairs = pairs.into_iter();
            pairs.map(|(name, text)| (name, value(text))).collect()
        });
        let latency = latency.ok();
        let facts = StatJson {
            stats,
            accounting,
            latency: latency.map(|all| all.iter().map(LatencyJson::from).collect()),
        };
        return print_json(&facts, out);
    }
    if args.prometheus {
        let facts = prometheus::Facts {
            version: &session.version,
            stats: &stats,
            accounting: accounting.as_deref().ok(),
            latency: latency.as_deref().ok(),
        };
        return Ok(prometheus::print(&facts, out)?);
    }
    out.write_all(table(&stats, session.version.page_size).as_bytes())?;
    match accounting {
        Ok(pairs) => {
            let known = |name: &str| STATISTICS.iter().any(|row| row.name == name);
            for (name, value) in pairs.iter().filter(|(name, _)| !known(name)) {
                writeln!(out, "{name:<24}{value:>14}")?;
            }
            writeln!(out)?;
            match latency {
                Ok(histograms) => latency::table(&histograms).print("", out)?,
                Err(err) => writeln!(out, "note: {err}")?,
            }
        }
        // The counters above are complete without it.
        Err(err) => writeln!(out, "note: {err}")?,
    }
    Ok(())
}

/// Returns a line for each statistic.
fn table(stats: &Stats, page_size: u32) -> String {
    let mut text = String::new();
    for row in STATISTICS {
        let value = (row.value)(&stats.0);
        text += &format!("{:<24}{value:>14}", row.name);
        if row.unit == Unit::Pages && value != 0 {
            let bytes = value.saturating_mul(u64::from(page_size));
            text += &format!("  {}", size::human(bytes));
        }
        text.push('\n');
    }
    text
}

/// Numbers as numbers, the rest as text.
fn value(text: String) -> Value {
    text.parse::<u64>()
        .map_or_else(|_| Value::from(text), Value::from)
}

#[derive(Debug, Serialize)]
struct VersionJson<'a> {
    release: &'a str,
    abi_major: u32,
    abi_minor: u32,
    features: Vec<&'static str>,
    page_size: u32,
    devices: u32,
}

/// Shows the module's version, ABI and features.
pub(crate) fn version(session: &Session, args: &JsonArgs, out: &mut dyn Write) -> Result<()> {
    let version = &session.version;
    let facts = VersionJson {
        release: version.release_text(),
        abi_major: version.abi_major,
        abi_minor: version.abi_minor,
        features: features(version),
        page_size: version.page_size,
        devices: version.devices,
    };
    if args.json {
        return print_json(&facts, out);
    }
    writeln!(out, "module     reeve {}", facts.release)?;
    writeln!(out, "abi        {}.{}", facts.abi_major, facts.abi_minor)?;
    writeln!(out, "features   {}", facts.features.join(", "))?;
    writeln!(out, "page size  {}", facts.page_size)?;
    writeln!(out, "devices    {}", facts.devices)?;
    Ok(())
}

/// Returns the names of the features.
pub(crate) fn features(version: &reeve_version) -> Vec<&'static str> {
    [
        (REEVE_FEATURE_LOCK_ORDER, "lock_order"),
        (REEVE_FEATURE_PAGE_ACCOUNTING, "page_accounting"),
        (REEVE_FEATURE_LOCK_SANITY, "lock_sanity"),
        (REEVE_FEATURE_PAGE_POOL, "page_pool"),
        (REEVE_FEATURE_BACKUP, "backup"),
        (REEVE_FEATURE_SHMEM, "shmem"),
        (REEVE_FEATURE_DMA_ADDRESSES, "dma_addresses"),
        (REEVE_FEATURE_MMAP, "mmap"),
        (REEVE_FEATURE_FILE_LIMIT, "file_limit"),
        (REEVE_FEATURE_DIRTY_LOG, "dirty_log"),
        (REEVE_FEATURE_LOG_FENCE, "log_fence"),
    ]
    .into_iter()
    .filter(|(bit, _)| version.features & u64::from(*bit) != 0)
    .map(|(_, name)| name)
    .collect()
}

/// Version of all JSON; grows when a key changes its meaning.
pub(crate) const SCHEMA: u32 = 1;

/// JSON with the version of its keys.
#[derive(Serialize)]
struct Document<'a, T> {
    schema: u32,
    #[serde(flatten)]
    value: &'a T,
}

/// Prints a struct as JSON that people can read too, behind the key `schema`.
pub(crate) fn print_json<T: Serialize>(value: &T, out: &mut dyn Write) -> Result<()> {
    let schema = SCHEMA;
    print_json_as_it_is(&Document { schema, value }, out)
}

/// The same for a value that has the key.
pub(crate) fn print_json_as_it_is<T: Serialize>(value: &T, out: &mut dyn Write) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|err| Error::Output(err.into()))?;
    writeln!(out, "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The names of the fields of `struct reeve_stats` but `reserved`, from the header.
    fn fields() -> Vec<&'static str> {
        let header = include_str!("../../../../rust/uapi/reeve.h");
        let (_, rest) = header.split_once("struct reeve_stats {\n").unwrap();
        let (body, _) = rest.split_once("};").unwrap();
        let names = body.lines().filter_map(|line| {
            let (_, name) = line.trim().trim_end_matches(';').split_once(' ')?;
            (!name.starts_with("reserved")).then_some(name)
        });
        names.collect()
    }

    #[test]
    fn every_statistic_of_the_abi_is_shown() {
        let fields = fields();
        assert!(fields.contains(&"huge_faults") && fields.len() >= 20);

        let table = table(&Stats::default(), 4096);
        let shown = table.lines().map(|line| line.split_whitespace().next());
        assert!(shown.eq(fields.iter().copied().map(Some)), "{table}");

        let json = serde_json::to_value(Stats::default()).unwrap();
        let keys: BTreeSet<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, fields.into_iter().collect());
    }

    #[test]
    fn pages_are_shown_in_bytes_too() {
        let stats = Stats(reeve_stats {
            swapped_pages: 2,
            huge_faults: 2,
            ..reeve_stats::default()
        });
        let table = table(&stats, 4096);
        let line = |name| table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("swapped_pages").ends_with(" 2  8.0 KiB"), "{table}");
        assert!(line("huge_faults").ends_with(" 2"), "{table}");
    }

    #[test]
    fn numbers_stay_numbers_in_json() {
        assert_eq!(value("17".to_owned()), Value::from(17));
        assert_eq!(value("ok".to_owned()), Value::from("ok"));
    }

    #[test]
    fn features_have_names() {
        let mut version = reeve_version::default();
        assert!(features(&version).is_empty());
        version.features = 5;
        assert_eq!(features(&version), ["lock_order", "lock_sanity"]);
    }
}
