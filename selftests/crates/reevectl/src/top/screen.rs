// SPDX-License-Identifier: GPL-2.0-or-later

//! A sample as text for people, in lines of at most 100 columns.

use std::io::Write;

use reeve_uapi::sys::reeve_version;

use crate::error::Error;
use crate::error::Result;
use crate::latency::NONE;
use crate::ps;
use crate::size;
use crate::style::Style;
use crate::table::Align;
use crate::table::Table;

use super::sample;
use super::sample::Pair;

const WIDTH: usize = 100;

/// Characters between the ends of a bar.
const BAR: u64 = 40;

/// The number of clients that are shown, those that hold most first.
const CLIENTS: usize = 10;

/// Returns the text of a screen.
pub(super) fn text(pair: &Pair<'_>, version: &reeve_version) -> Result<String> {
    let mut text = Vec::new();
    draw(pair, version, &mut text)?;
    String::from_utf8(text).map_err(|err| Error::Output(std::io::Error::other(err)))
}

fn draw(pair: &Pair<'_>, version: &reeve_version, out: &mut dyn Write) -> Result<()> {
    let stats = &pair.now.stats;
    let since = match pair.interval() {
        Some(interval) => format!("the last {:.1} s", interval.as_secs_f64()),
        None => "the first sample".to_owned(),
    };
    writeln!(
        out,
        "Reeve {}: buffer objects {}, lock violations {}, {since}",
        version.release_text(),
        stats.buffer_objects,
        stats.lock_violations,
    )?;
    writeln!(out)?;
    for (name, used, limit) in [
        ("pages", stats.pages_allocated, stats.pages_limit),
        (
            "dma32",
            stats.dma32_pages_allocated,
            stats.dma32_pages_limit,
        ),
        ("pool", stats.pool_pages, stats.page_pool_size),
    ] {
        let page = u64::from(version.page_size);
        writeln!(out, "{}", gauge(name, used, limit, page))?;
    }
    writeln!(out)?;
    let clients = &pair.now.clients;
    if !clients.is_empty() {
        ps::table(&clients[..clients.len().min(CLIENTS)]).print_within("", WIDTH, out)?;
        match clients.len().saturating_sub(CLIENTS) {
            0 => {}
            more => writeln!(out, "({more} more clients: reevectl ps)")?,
        }
        writeln!(out)?;
    }
    counters(pair).print_within("", WIDTH, out)?;
    writeln!(out)?;
    match &pair.now.latency {
        Ok(_) => latency(pair).print_within("", WIDTH, out)?,
        Err(err) => writeln!(out, "note: {err}")?,
    }
    Ok(())
}

/// Returns a bar of how much of a limit is used, in pages of `page` bytes.
fn gauge(name: &str, used: u64, limit: u64, page: u64) -> String {
    let part = if limit == 0 {
        0.0
    } else {
        used as f64 / limit as f64
    };
    let full = (part * BAR as f64).round().min(BAR as f64) as usize;
    // A small value is shown, too.
    let full = full.max(usize::from(used > 0));
    let bar = "#".repeat(full);
    let (percent, bytes) = (part * 100.0, size::human(used.saturating_mul(page)));
    let over = if used > limit { ", over the limit" } else { "" };
    let width = BAR as usize;
    let line =
        format!("{name:<6}[{bar:<width$}] {percent:>5.1} %  {used} of {limit} ({bytes}{over})");
    match used > limit {
        true => Style::Bad.paint(&line),
        false => line,
    }
}

fn per_second(rate: Option<f64>) -> String {
    rate.map_or_else(|| NONE.to_owned(), |rate| format!("{rate:.1}"))
}

fn counters(pair: &Pair<'_>) -> Table {
    let mut table = Table::new(&[
        ("counter", Align::Left),
        ("total", Align::Right),
        ("per second", Align::Right),
    ]);
    for counter in sample::counters() {
        let value = counter.value(pair);
        table.row([
            counter.name.to_owned(),
            value.map_or_else(|| NONE.to_owned(), |value| value.to_string()),
            per_second(counter.rate(pair)),
        ]);
    }
    table
}

/// Returns a row for each operation: since the module was loaded, and since the last sample.
fn latency(pair: &Pair<'_>) -> Table {
    let mut table = Table::new(&[
        ("time of", Align::Left),
        ("count", Align::Right),
        ("p50 <", Align::Right),
        ("p99 <", Align::Right),
        ("max <", Align::Right),
        ("new", Align::Right),
        ("p50 <", Align::Right),
        ("p99 <", Align::Right),
        ("max <", Align::Right),
    ]);
    for histogram in pair.now.latency.as_deref().unwrap_or_default() {
        let total = histogram.summary();
        let mut row = vec![histogram.operation.clone(), total.count.to_string()];
        row.extend(total.cells());
        match pair.recent(histogram) {
            Some(recent) => {
                row.push(recent.count.to_string());
                row.extend(recent.cells());
            }
            None => row.extend([NONE; 4].map(str::to_owned)),
        }
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::samples;
    use super::*;

    fn drawn(pair: &Pair<'_>) -> String {
        let version = reeve_version {
            page_size: 4096,
            ..reeve_version::default()
        };
        text(pair, &version).unwrap()
    }

    #[test]
    fn a_screen_has_it_all() {
        let [first, second] = samples();
        let last = Some(&first);
        let text = drawn(&Pair { now: &second, last });
        assert_eq!(
            text,
            "\
Reeve : buffer objects 8, lock violations 0, the last 2.0 s

pages [########################################] 112.5 %  2304 of 2048 (9.0 MiB, over the limit)
dma32 [                                        ]   0.0 %  0 of 4096 (0 B)
pool  [####                                    ]  10.0 %  10 of 100 (40.0 KiB)

counter          total  per second
populates          100         0.5
unpopulates          0         0.0
swapouts             3         1.5
swapins              0         0.0
swapped_pages        0         0.0
backups              0         0.0
restores             0         0.0
backed_up_pages      0         0.0
overcommits          0         0.0
bo_shrinks           -           -
pool_shrinks         -           -

time of   count  p50 <  p99 <  max <  new  p50 <  p99 <  max <
populate    101   2 us   4 us   more    1   4 us   4 us   4 us
swapout       2   8 us   8 us   8 us    0      -      -      -
swapin        0      -      -      -    0      -      -      -
"
        );
    }

    #[test]
    fn the_first_screen_has_no_rates() {
        let [first, _] = samples();
        let text = drawn(&Pair {
            now: &first,
            last: None,
        });
        assert!(text.contains("the first sample"), "{text}");
        assert!(
            text.contains("populates           99           -"),
            "{text}"
        );
    }

    #[test]
    fn the_largest_numbers_stay_within_the_width() {
        let [mut first, mut second] = samples();
        for sample in [&mut first, &mut second] {
            sample.stats.0.pages_allocated = u64::MAX;
            sample.stats.0.pages_limit = u64::MAX - 1;
            sample.stats.0.populates = u64::MAX;
        }
        let last = Some(&first);
        let text = drawn(&Pair { now: &second, last });
        let lines = text.lines().filter(|line| !line.starts_with("pages"));
        for line in lines {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let [mut first, _] = samples();
        first.latency = Err(Error::Check("no such file".to_owned()));
        let text = drawn(&Pair {
            now: &first,
            last: None,
        });
        assert!(text.ends_with("\nnote: no such file\n"), "{text}");
    }

    #[test]
    fn bars_are_as_full_as_the_limit() {
        for (used, limit, full) in [
            (0, 0, 0),
            (1, 0, 1),
            (1, u64::MAX, 1),
            (20, 40, 20),
            (40, 40, 40),
            (u64::MAX, 1, 40),
        ] {
            let text = gauge("pages", used, limit, 4096);
            assert_eq!(text.matches('#').count(), full, "{text}");
            assert_eq!(text.contains("over the limit"), used > limit, "{text}");
        }
    }
}
