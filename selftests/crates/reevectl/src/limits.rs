// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl limits`: the module's limits in sizes, set now and for the next time that it is loaded.

mod modprobe;

use std::collections::BTreeMap;
use std::io::Write;

use nix::unistd::sysconf;
use nix::unistd::SysconfVar;
use serde::Serialize;

use reeve_uapi::knobs;

use crate::cli::LimitsArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::size;
use crate::size::Amount;
use crate::stat::print_json;
use crate::table::Align;
use crate::table::Table;

/// A limit, and the parameter that it is.
struct Row {
    name: &'static str,
    parameter: &'static str,
    /// It counts pages; otherwise things.
    pages: bool,
    /// The name in the file `accounting` of what it bounds.
    used: Option<&'static str>,
}

const ROWS: [Row; 6] = [
    Row {
        name: "pages",
        parameter: "pages_limit",
        pages: true,
        used: Some("pages_allocated"),
    },
    Row {
        name: "dma32",
        parameter: "dma32_pages_limit",
        pages: true,
        used: Some("dma32_pages_allocated"),
    },
    Row {
        name: "pool",
        parameter: "page_pool_size",
        pages: true,
        used: Some("pool_pages"),
    },
    Row {
        name: "file",
        parameter: "file_pages_limit",
        pages: true,
        used: None,
    },
    Row {
        name: "pinned",
        parameter: "pinned_pages_limit",
        pages: true,
        used: None,
    },
    Row {
        name: "objects",
        parameter: "file_objects_limit",
        pages: false,
        used: None,
    },
];

/// A limit and its new value, as typed: `pages=48G`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    row: usize,
    value: Value,
}

/// What a limit is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Default,
    Amount(Amount),
}

impl Setting {
    /// Parses `NAME=SIZE` or `NAME=default`.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("a limit is set as NAME=SIZE, like pages=48G")?;
        let row = ROWS
            .iter()
            .position(|row| row.name == name)
            .ok_or_else(|| {
                let names = ROWS.map(|row| row.name).join(", ");
                format!("the limits are {names}")
            })?;
        if value == "default" {
            let value = Value::Default;
            return Ok(Self { row, value });
        }
        let amount = match ROWS[row].pages {
            true => Amount::parse(value)?,
            false => Amount::Pages(
                value
                    .parse()
                    .map_err(|_| "this limit is a number of objects")?,
            ),
        };
        if matches!(amount, Amount::Pages(0) | Amount::Bytes(0)) {
            return Err("no limit can be 0; `default` is the module's own".to_owned());
        }
        let value = Value::Amount(amount);
        Ok(Self { row, value })
    }

    fn parameter(&self) -> &'static str {
        ROWS[self.row].parameter
    }

    /// The text of the parameter: 0 is the default.
    fn text(&self, page: u64) -> String {
        match self.value {
            Value::Default => "0".to_owned(),
            Value::Amount(amount) => amount.pages(page).to_string(),
        }
    }
}

/// A limit as it appears in JSON.
#[derive(Debug, Serialize)]
struct LimitJson {
    name: &'static str,
    parameter: &'static str,
    /// In pages, or objects; null: the module's default, which for `file` and `pinned` is none, and for the others is
    /// only known where debugfs can be read.
    limit: Option<u64>,
    /// Null for `objects`, and where there is no limit.
    limit_bytes: Option<u64>,
    /// Null where it is not one number, or debugfs cannot be read.
    used: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LimitsJson {
    page_size: u64,
    limits: Vec<LimitJson>,
}

/// Sets what is to be set, then shows all limits.
pub(crate) fn run(args: &LimitsArgs, out: &mut dyn Write) -> Result<()> {
    let page = page_size();
    set(&args.set, page)?;
    if args.persist {
        let options: Vec<_> = args
            .set
            .iter()
            .map(|setting| (setting.parameter(), setting.text(page)))
            .collect();
        let path = &args.modprobe_conf;
        modprobe::persist(path, &options).asked(Asked::File(path.clone()))?;
    }
    let limits = read(page)?;
    if args.json {
        let facts = LimitsJson {
            page_size: page,
            limits,
        };
        return print_json(&facts, out);
    }
    table(&limits, page).print("", out)?;
    if args.persist {
        writeln!(out, "kept in {}", args.modprobe_conf.display())?;
    }
    Ok(())
}

fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
}

/// Sets all of them, or, if one is refused, none.
fn set(settings: &[Setting], page: u64) -> Result<()> {
    let asked = |name| Asked::Parameter(knobs::parameter_path(name));
    let mut before = Vec::new();
    for setting in settings {
        let name = setting.parameter();
        if before.iter().any(|(other, _)| *other == name) {
            let name = ROWS[setting.row].name;
            return Err(Error::Usage(format!("{name} is set twice")));
        }
        before.push((name, knobs::parameter(name).asked(asked(name))?));
    }
    for (done, setting) in settings.iter().enumerate() {
        let name = setting.parameter();
        let result = knobs::set_parameter(name, &setting.text(page)).asked(asked(name));
        if result.is_err() {
            for (name, text) in &before[..done] {
                knobs::set_parameter(name, text).asked(asked(name))?;
            }
            return result;
        }
    }
    Ok(())
}

fn read(page: u64) -> Result<Vec<LimitJson>> {
    let used: BTreeMap<_, _> = knobs::accounting()
        .unwrap_or_default()
        .into_iter()
        .collect();
    let mut limits = Vec::new();
    for row in &ROWS {
        let path = knobs::parameter_path(row.parameter);
        let text = knobs::parameter(row.parameter).asked(Asked::Parameter(path))?;
        let set = text.parse().ok().filter(|limit| *limit != 0);
        // 0 is the default: the file has what is in force.
        let limit = set.or_else(|| used.get(row.parameter)?.parse().ok());
        let limit = limit.filter(|limit| *limit != 0);
        let bytes = limit.map(|limit: u64| limit.saturating_mul(page));
        limits.push(LimitJson {
            name: row.name,
            parameter: row.parameter,
            limit,
            limit_bytes: bytes.filter(|_| row.pages),
            used: row.used.and_then(|name| used.get(name)?.parse().ok()),
        });
    }
    Ok(limits)
}

fn table(limits: &[LimitJson], page: u64) -> Table {
    let mut table = Table::new(&[
        ("limit", Align::Left),
        ("size", Align::Right),
        ("pages", Align::Right),
        ("used", Align::Right),
        ("parameter", Align::Left),
    ]);
    let none = || "-".to_owned();
    for (limit, row) in limits.iter().zip(&ROWS) {
        let number = limit.limit.map_or_else(none, |limit| limit.to_string());
        let (size, number) = match (row.pages, limit.limit_bytes) {
            (true, bytes) => (bytes.map_or_else(none, size::human), number),
            // Not a size.
            (false, _) => (number, none()),
        };
        table.row([
            limit.name.to_owned(),
            size,
            number,
            limit
                .used
                .map_or_else(none, |used| size::human(used.saturating_mul(page))),
            limit.parameter.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_names_and_sizes() {
        let text = |setting| {
            let setting = Setting::parse(setting)?;
            Ok::<_, String>((setting.parameter(), setting.text(4096)))
        };
        for (setting, parameter, value) in [
            ("pages=48G", "pages_limit", "12582912"),
            ("file=2g", "file_pages_limit", "524288"),
            ("dma32=512", "dma32_pages_limit", "512"),
            ("pool=1K", "page_pool_size", "1"),
            ("pinned=default", "pinned_pages_limit", "0"),
            ("objects=100", "file_objects_limit", "100"),
        ] {
            assert_eq!(
                text(setting),
                Ok((parameter, value.to_owned())),
                "{setting}"
            );
        }
        for wrong in [
            "",
            "pages",
            "pages=",
            "page=1G",
            "pages=-1",
            "pages=0",
            "file=0M",
            "objects=1K",
            "pages=1.5G",
            "=1G",
        ] {
            assert!(Setting::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_limit_is_shown_as_none() {
        let limit = |limit, limit_bytes, used| LimitJson {
            name: "file",
            parameter: "file_pages_limit",
            limit,
            limit_bytes,
            used,
        };
        let mut limits: Vec<_> = ROWS.iter().map(|_| limit(None, None, None)).collect();
        limits[0] = limit(Some(512), Some(2 << 20), Some(1));
        limits[5].limit = Some(7);
        let mut out = Vec::new();
        table(&limits, 4096).print("", &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[1][1..6], ["2.0", "MiB", "512", "4.0", "KiB"]);
        assert_eq!(rows[2][1..4], ["-", "-", "-"]);
        assert_eq!(rows[6][1..3], ["7", "-"]);
    }
}
