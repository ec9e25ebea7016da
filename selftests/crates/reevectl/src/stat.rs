// SPDX-License-Identifier: GPL-2.0

//! `reevectl stat` and `reevectl version`.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use reeve_uapi::knobs;
use reeve_uapi::sys::reeve_stats;
use reeve_uapi::sys::reeve_version;
use reeve_uapi::sys::REEVE_FEATURE_BACKUP;
use reeve_uapi::sys::REEVE_FEATURE_DMA_ADDRESSES;
use reeve_uapi::sys::REEVE_FEATURE_FILE_LIMIT;
use reeve_uapi::sys::REEVE_FEATURE_LOCK_ORDER;
use reeve_uapi::sys::REEVE_FEATURE_LOCK_SANITY;
use reeve_uapi::sys::REEVE_FEATURE_MMAP;
use reeve_uapi::sys::REEVE_FEATURE_PAGE_ACCOUNTING;
use reeve_uapi::sys::REEVE_FEATURE_PAGE_POOL;
use reeve_uapi::sys::REEVE_FEATURE_SHMEM;

use crate::cli::JsonArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::latency;
use crate::latency::LatencyJson;
use crate::session::Session;
use crate::size;

/// The module's counters, as they appear in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Stats {
    pub(crate) pages_allocated: u64,
    pub(crate) dma32_pages_allocated: u64,
    pub(crate) pages_limit: u64,
    pub(crate) dma32_pages_limit: u64,
    pub(crate) buffer_objects: u64,
    pub(crate) populates: u64,
    pub(crate) unpopulates: u64,
    pub(crate) swapouts: u64,
    pub(crate) swapins: u64,
    pub(crate) swapped_pages: u64,
    pub(crate) overcommits: u64,
    pub(crate) lock_violations: u64,
    pub(crate) pool_pages: u64,
    pub(crate) page_pool_size: u64,
    pub(crate) backups: u64,
    pub(crate) restores: u64,
    pub(crate) backed_up_pages: u64,
    pub(crate) file_overcommits: u64,
}

impl From<reeve_stats> for Stats {
    fn from(raw: reeve_stats) -> Self {
        Self {
            pages_allocated: raw.pages_allocated,
            dma32_pages_allocated: raw.dma32_pages_allocated,
            pages_limit: raw.pages_limit,
            dma32_pages_limit: raw.dma32_pages_limit,
            buffer_objects: raw.buffer_objects,
            populates: raw.populates,
            unpopulates: raw.unpopulates,
            swapouts: raw.swapouts,
            swapins: raw.swapins,
            swapped_pages: raw.swapped_pages,
            overcommits: raw.overcommits,
            lock_violations: raw.lock_violations,
            pool_pages: raw.pool_pages,
            page_pool_size: raw.page_pool_size,
            backups: raw.backups,
            restores: raw.restores,
            backed_up_pages: raw.backed_up_pages,
            file_overcommits: raw.file_overcommits,
        }
    }
}

impl Stats {
    /// Name, value, and whether the value counts pages.
    fn lines(&self) -> [(&'static str, u64, bool); 18] {
        [
            ("pages_allocated", self.pages_allocated, true),
            ("dma32_pages_allocated", self.dma32_pages_allocated, true),
            ("pages_limit", self.pages_limit, true),
            ("dma32_pages_limit", self.dma32_pages_limit, true),
            ("buffer_objects", self.buffer_objects, false),
            ("populates", self.populates, false),
            ("unpopulates", self.unpopulates, false),
            ("swapouts", self.swapouts, false),
            ("swapins", self.swapins, false),
            ("swapped_pages", self.swapped_pages, true),
            ("overcommits", self.overcommits, false),
            ("lock_violations", self.lock_violations, false),
            ("pool_pages", self.pool_pages, true),
            ("page_pool_size", self.page_pool_size, true),
            ("backups", self.backups, false),
            ("restores", self.restores, false),
            ("backed_up_pages", self.backed_up_pages, true),
            ("file_overcommits", self.file_overcommits, false),
        ]
    }
}

#[derive(Debug, Serialize)]
struct StatJson {
    stats: Stats,
    /// What debugfs says; null when it cannot be read.
    accounting: Option<BTreeMap<String, Value>>,
    /// How long operations took; null when debugfs cannot be read.
    latency: Option<Vec<LatencyJson>>,
}

/// Shows the counters of the ioctl, then what only debugfs knows.
pub(crate) fn stat(session: &Session, args: &JsonArgs, out: &mut dyn Write) -> Result<()> {
    let stats = Stats::from(session.device.stats().asked(Asked::Stats)?);
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
    let lines = stats.lines();
    for (name, value, is_pages) in lines {
        write!(out, "{name:<24}{value:>14}")?;
        if is_pages && value != 0 {
            let bytes = value.saturating_mul(u64::from(session.version.page_size));
            write!(out, "  {}", size::human(bytes))?;
        }
        writeln!(out)?;
    }
    match accounting {
        Ok(pairs) => {
            let known = |name: &str| lines.iter().any(|(known, ..)| *known == name);
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

/// Shows what the module is and can do.
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

/// The features by name.
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
    ]
    .into_iter()
    .filter(|(bit, _)| version.features & u64::from(*bit) != 0)
    .map(|(_, name)| name)
    .collect()
}

/// Prints a value as JSON that people can read too.
pub(crate) fn print_json<T: Serialize>(value: &T, out: &mut dyn Write) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|err| Error::Output(err.into()))?;
    writeln!(out, "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_shown() {
        let stats = Stats::default();
        let json = serde_json::to_value(stats).unwrap();
        let shown: Vec<&str> = stats.lines().iter().map(|(name, ..)| *name).collect();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), shown.len());
        for key in keys {
            assert!(shown.contains(&key.as_str()), "{key}");
        }
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
