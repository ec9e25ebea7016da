// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl bo dma-addresses`: the DMA addresses of an object's pages.

use std::io::Write;

use serde::Serialize;

use crate::cli::InfoArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Result;
use crate::session::Session;
use crate::stat::print_json;
use crate::table::Align;
use crate::table::Table;

/// Pages with contiguous addresses.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Run {
    page: u64,
    pages: u64,
    address: u64,
}

/// The runs of an object, as they appear in JSON.
#[derive(Debug, Serialize)]
struct Runs {
    runs: Vec<Run>,
}

/// Prints a line for each run.
pub(super) fn show(session: &Session, args: &InfoArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let total = session
        .device
        .info(handle)
        .asked(Asked::Info(handle))?
        .num_pages;
    let runs = runs(total, |page| {
        session
            .device
            .dma_address(handle, page)
            .asked(Asked::DmaAddress(handle))
    })?;
    if args.json.json {
        return print_json(&Runs { runs }, out);
    }
    let mut table = Table::new(&[
        ("page", Align::Right),
        ("pages", Align::Right),
        ("address", Align::Right),
    ]);
    for run in &runs {
        table.row([
            run.page.to_string(),
            run.pages.to_string(),
            format!("{:#x}", run.address),
        ]);
    }
    Ok(table.print("", out)?)
}

/// Asks for the first page of each run.
fn runs(total: u64, mut ask: impl FnMut(u64) -> Result<(u64, u64)>) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut page = 0;
    while page < total {
        let (address, pages) = ask(page)?;
        runs.push(Run {
            page,
            pages,
            address,
        });
        // Whatever the module says, this ends.
        page = page.saturating_add(pages.max(1));
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_asked_for_once() {
        let mut asked = Vec::new();
        let found = runs(6, |page| {
            asked.push(page);
            Ok(match page {
                0 => (0x1000, 4),
                _ => (0x9000, 2),
            })
        });
        assert_eq!(asked, [0, 4]);
        let pages: Vec<_> = found.unwrap().iter().map(|run| run.pages).collect();
        assert_eq!(pages, [4, 2]);
    }

    #[test]
    fn nonsense_ends() {
        assert_eq!(runs(3, |_| Ok((0, 0))).unwrap().len(), 3);
        assert_eq!(runs(3, |_| Ok((0, u64::MAX))).unwrap().len(), 1);
        assert!(runs(0, |_| Ok((0, 0))).unwrap().is_empty());
        let refused = || crate::error::Error::Check(String::new());
        assert!(runs(3, |_| Err(refused())).is_err());
    }
}
