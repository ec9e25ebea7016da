// SPDX-License-Identifier: GPL-2.0-or-later

//! What can be seen from outside, and comparing it before and after.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use reeve_uapi::knobs;
use reeve_uapi::sys::reeve_bo_info;
use reeve_uapi::sys::reeve_stats;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::test::Outcome;
use crate::test::Stop;

pub(crate) const PAGE: u64 = 4096;

/// Opens the device.
pub(crate) fn open() -> Outcome<Device> {
    Ok(Device::open(reeve_uapi::DEFAULT_PATH)?)
}

/// A populated object of so many pages.
pub(crate) fn populated(device: &Device, pages: u64) -> Outcome<Handle> {
    let handle = device.create(Create::new(pages * PAGE))?;
    device.populate(handle)?;
    Ok(handle)
}

/// Counters, and every object of an open file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) stats: reeve_stats,
    pub(crate) objects: Vec<reeve_bo_info>,
}

impl Seen {
    /// Looks. What the pool keeps belongs to no object, and memory pressure may change it at any time.
    pub(crate) fn of(device: &Device) -> Outcome<Self> {
        Ok(Self {
            stats: reeve_stats {
                pool_pages: 0,
                ..device.stats()?
            },
            objects: device.list()?,
        })
    }

    /// Fails unless everything is as it was.
    #[track_caller]
    pub(crate) fn still(&self, device: &Device) -> Outcome {
        let now = Self::of(device)?;
        if now == *self {
            return Ok(());
        }
        Err(Stop::failed(format!(
            "something changed:\n{self:?}\nis now\n{now:?}"
        )))
    }
}

/// Does something that must not change anything that can be seen.
#[track_caller]
pub(crate) fn unchanged(device: &Device, f: impl FnOnce() -> Outcome) -> Outcome {
    let before = Seen::of(device)?;
    f()?;
    before.still(device)
}

/// A counter that only debugfs has.
pub(crate) fn counter(name: &str) -> Outcome<u64> {
    let all: BTreeMap<_, _> = knobs::accounting()?.into_iter().collect();
    let value = all.get(name).and_then(|text| text.parse().ok());
    value.ok_or_else(|| Stop::failed(format!("accounting has no {name}")))
}

/// A number of `/proc/meminfo`, in KiB.
pub(crate) fn meminfo(name: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let found = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.split_whitespace().next()?.parse().ok())?
    });
    found.ok_or_else(|| Stop::failed(format!("no {name} in meminfo")))
}

/// True as soon as `condition` is, false when it is not within `limit`.
pub(crate) fn until(
    limit: Duration,
    mut condition: impl FnMut() -> Outcome<bool>,
) -> Outcome<bool> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !condition()? {
        if start.elapsed() > limit {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    Ok(true)
}

/// Sets `pages_limit` until dropped.
pub(crate) struct Limit(());

impl Limit {
    pub(crate) fn pages(pages: u64) -> Outcome<Self> {
        knobs::set_parameter("pages_limit", &pages.to_string())?;
        Ok(Self(()))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // When this fails, the runner's check before the next case says so.
        let _ = knobs::set_parameter("pages_limit", "0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends() {
        let mut looks = 0;
        let seen = until(Duration::from_secs(5), || {
            looks += 1;
            Ok(looks == 3)
        });
        assert_eq!((seen, looks), (Ok(true), 3));
        assert_eq!(until(Duration::from_millis(5), || Ok(false)), Ok(false));
    }
}
