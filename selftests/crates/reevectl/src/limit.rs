// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl limit`.

use std::io::Write;

use serde::Serialize;

use reeve_uapi::sys::reeve_file_limit;

use crate::cli::LimitArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Result;
use crate::session::Session;
use crate::size;
use crate::stat::print_json;

/// The open file's limit, as it appears in JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct FileLimit {
    /// Pages; null: there is none.
    limit: Option<u64>,
    pages_charged: u64,
    overcommits: u64,
}

impl From<reeve_file_limit> for FileLimit {
    fn from(raw: reeve_file_limit) -> Self {
        Self {
            limit: (raw.limit != 0).then_some(raw.limit),
            pages_charged: raw.pages_charged,
            overcommits: raw.overcommits,
        }
    }
}

/// Sets the limit if one is given, and shows the limit in force.
pub(crate) fn run(session: &Session, args: &LimitArgs, out: &mut dyn Write) -> Result<()> {
    let page_size = u64::from(session.version.page_size);
    let limit = match args.limit {
        Some(limit) => session.device.set_file_limit(limit.pages(page_size)),
        None => session.device.file_limit(),
    };
    let facts = FileLimit::from(limit.asked(Asked::FileLimit)?);
    if args.json {
        return print_json(&facts, out);
    }
    let human = |pages: u64| size::human(pages.saturating_mul(page_size));
    match facts.limit {
        Some(limit) => writeln!(out, "limit           {limit} ({})", human(limit))?,
        None => writeln!(out, "limit           none")?,
    }
    let charged = facts.pages_charged;
    writeln!(out, "pages_charged   {charged} ({})", human(charged))?;
    writeln!(out, "overcommits     {}", facts.overcommits)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_not_a_limit_of_nothing() {
        let mut raw = reeve_file_limit {
            pages_charged: 3,
            ..Default::default()
        };
        assert_eq!(FileLimit::from(raw).limit, None);
        raw.limit = 5;
        assert_eq!(FileLimit::from(raw).limit, Some(5));
    }
}
