// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl top`: counters, limits, rates and latencies, sampled again and again.
//!
//! Reads only what is cheap: the ioctl of the statistics and the file `latency`. The self-check,
//! which reserves every buffer object, is left to `reevectl stat`.

mod sample;
mod screen;

use std::io::Write;

use crate::cli::TopArgs;
use crate::error::Error;
use crate::error::Result;
use crate::session::Session;
use crate::watch;

use sample::Pair;
use sample::Sample;

/// Shows samples until the count is reached or it is interrupted.
pub(crate) fn run(session: &Session, args: &TopArgs, out: &mut dyn Write) -> Result<()> {
    let mut last: Option<Sample> = None;
    let draw = || {
        let now = Sample::new(session)?;
        let pair = Pair {
            now: &now,
            last: last.as_ref(),
        };
        let text = if args.json {
            line(&pair)
        } else {
            screen::text(&pair, &session.version)
        };
        last = Some(now);
        text
    };
    if args.json {
        watch::run_plain(args.interval, args.count, out, draw)
    } else {
        watch::run(args.interval, args.count, out, draw)
    }
}

fn line(pair: &Pair<'_>) -> Result<String> {
    let text = serde_json::to_string(&pair.json());
    let text = text.map_err(|err| Error::Output(err.into()))?;
    Ok(text + "\n")
}
