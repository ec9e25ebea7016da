// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl shrink`.

use std::io::Write;

use reeve_uapi::knobs;

use crate::cli::ShrinkArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;

/// Swaps out one object per round and shows what each gave.
pub(crate) fn run(args: &ShrinkArgs, out: &mut dyn Write) -> Result<()> {
    let rounds = if args.all { u64::MAX } else { args.count };
    let mut total = 0;
    for round in 1..=rounds {
        let path = knobs::debugfs_path("tt_shrink");
        let pages = knobs::tt_shrink().asked(Asked::Debugfs(path))?;
        match pages {
            0 => {
                writeln!(out, "round {round}: nothing left to swap out")?;
                break;
            }
            pages if pages < 0 => {
                return Err(Error::Check(format!(
                    "round {round}: the swapout failed with error {}\n  \
                     The kernel log (dmesg) may say more.",
                    -pages
                )));
            }
            pages => writeln!(out, "round {round}: {pages} pages")?,
        }
        total += pages;
    }
    writeln!(out, "total: {total} pages")?;
    Ok(())
}
