// SPDX-License-Identifier: GPL-2.0-or-later

//! What an open file says that it holds: the format of drm-usage-stats.

use std::collections::BTreeMap;

/// The content of a file in `/proc/PID/fdinfo` that is a client of a driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FdInfo {
    pub(super) driver: String,
    /// The device, where numbers of clients are only unique within one.
    pub(super) pdev: Option<String>,
    pub(super) client: u64,
    /// Bytes by name of the key without `drm-` or `reeve-`: `resident-system`.
    pub(super) sizes: BTreeMap<String, u64>,
    pub(super) objects: Option<u64>,
}

impl FdInfo {
    /// Parses the file. None: it is no client. What is not understood is passed over: drivers add keys.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut info = Self::default();
        let mut client = None;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match key {
                "drm-driver" => info.driver = value.to_owned(),
                "drm-pdev" => info.pdev = Some(value.to_owned()),
                "drm-client-id" => client = value.parse().ok(),
                "reeve-objects" => info.objects = value.parse().ok(),
                _ => {
                    let name = key
                        .strip_prefix("drm-")
                        .or_else(|| key.strip_prefix("reeve-"));
                    if let (Some(name), Some(bytes)) = (name, bytes(value)) {
                        info.sizes.insert(name.to_owned(), bytes);
                    }
                }
            }
        }
        info.client = client?;
        (!info.driver.is_empty()).then_some(info)
    }

    /// Returns the bytes of all memory regions together: `resident` sums up `resident-system`, `resident-vram0` and
    /// so on.
    pub(super) fn sum(&self, what: &str) -> u64 {
        let regions = self.sizes.iter().filter(|(name, _)| {
            let region = name.strip_prefix(what);
            region.is_some_and(|region| region.starts_with('-'))
        });
        regions.fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Returns whether any region has such a size.
    pub(super) fn has(&self, what: &str) -> bool {
        let mut names = self.sizes.keys();
        names.any(|name| {
            name.strip_prefix(what)
                .is_some_and(|rest| rest.starts_with('-'))
        })
    }
}

/// Bytes of a size; none if it is something else. Times of engines have the unit `ns`, frequencies `Hz`.
fn bytes(value: &str) -> Option<u64> {
    let mut words = value.split_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    let unit = match words.next() {
        None => 1,
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some(_) => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_files_are_understood() {
        let text = "pos:\t0\nflags:\t02\ndrm-driver:\treeve\ndrm-client-id:\t7\ndrm-total-system:\t1028 KiB\n\
                    drm-shared-system:\t0 KiB\ndrm-resident-system:\t1024 KiB\nreeve-swapped-system:\t4 KiB\n\
                    reeve-overcommits:\t0\nreeve-objects:\t2\n";
        let info = FdInfo::parse(text).unwrap();
        assert_eq!((info.driver.as_str(), info.client), ("reeve", 7));
        assert_eq!(info.sum("resident"), 1 << 20);
        assert_eq!(info.sum("total"), 1028 << 10);
        assert_eq!(info.sum("swapped"), 4096);
        assert_eq!((info.sum("res"), info.has("memory")), (0, false));
        assert_eq!(info.objects, Some(2));
    }

    #[test]
    fn other_drivers_have_several_regions() {
        let text = "drm-driver:\tamdgpu\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t12\ndrm-engine-gfx:\t15 ns\n\
                    drm-maxfreq-gfx:\t2 Hz\ndrm-memory-vram:\t3 MiB\ndrm-resident-vram:\t2 MiB\ndrm-resident-gtt:\t512\n";
        let info = FdInfo::parse(text).unwrap();
        assert_eq!(info.pdev.as_deref(), Some("0000:03:00.0"));
        assert_eq!(info.sum("resident"), (2 << 20) + 512);
        assert_eq!((info.sum("engine"), info.objects), (0, None));
    }

    #[test]
    fn other_files_are_no_clients() {
        for text in [
            "",
            "pos:\t0\nflags:\t0100000\n",
            "drm-driver:\treeve\n",
            "drm-client-id:\t7\n",
            "drm-driver:\treeve\ndrm-client-id:\tseven\n",
        ] {
            assert_eq!(FdInfo::parse(text), None, "{text:?}");
        }
    }
}
