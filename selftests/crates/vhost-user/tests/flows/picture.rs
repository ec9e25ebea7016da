// SPDX-License-Identifier: GPL-2.0-or-later
//! A picture of one migration: what each host is told, when its rings run, which pages are marked in which round.

use std::env;
use std::fmt::Write;
use std::fs;
use std::time::Instant;

use super::watch::{Event, What};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 90.0;
/// The first line of a host's messages is so far below that of the host before.
const HOST: f64 = 210.0;
const TOP: f64 = 70.0;
/// So many lines of messages lie below each other before the first is used again.
const LINES: usize = 8;

/// Writes the picture to the file that `REEVE_FLOW_SVG` names, if it does.
pub(super) fn write(events: &[Event]) {
    if let Some(path) = env::var_os("REEVE_FLOW_SVG") {
        fs::write(path, svg(events)).unwrap();
    }
}

/// Returns the part of the events from the first message about the log on: what was before is a boot.
fn migration(events: &[Event]) -> &[Event] {
    let is_log =
        |event: &Event| matches!(&event.what, What::Message(name, _) if name == "SET_LOG_BASE");
    let begin = events.iter().position(is_log).unwrap_or(0);
    &events[begin.saturating_sub(1)..]
}

fn svg(events: &[Event]) -> String {
    let events = migration(events);
    let (first, last) = match (events.first(), events.last()) {
        (Some(first), Some(last)) => (first.at, last.at),
        _ => return String::new(),
    };
    let span = (last - first).as_secs_f64().max(0.001);
    let x = |at: Instant| LEFT + (at - first).as_secs_f64() / span * (WIDTH - LEFT - 150.0);
    let height = TOP + 2.0 * HOST;
    let mut svg = String::new();
    let mut add = |line: String| {
        // Into memory: it cannot fail.
        let _ = writeln!(svg, "{line}");
    };
    add(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"9\">"
    ));
    add("<!-- SPDX-License-Identifier: GPL-2.0-or-later -->".into());
    add(format!(
        "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>"
    ));
    for (host, name) in ["source", "destination"].into_iter().enumerate() {
        let y = TOP + host as f64 * HOST;
        add(format!(
            "<text x=\"5\" y=\"{y}\" font-size=\"12\">{name}</text>"
        ));
        let mut since = None;
        let mut line = 0;
        for event in events.iter().filter(|event| event.host == host) {
            let at = x(event.at);
            match &event.what {
                What::Message(name, started) => {
                    match (since, started) {
                        (None, true) => since = Some(at),
                        (Some(begin), false) => {
                            add(bar(begin, at, y));
                            since = None;
                        }
                        _ => {}
                    }
                    let below = y + 18.0 + 16.0 * (line % LINES) as f64;
                    line += 1;
                    add(format!(
                        "<path d=\"M{at:.1} {y:.1}V{below:.1}\" stroke=\"#bbb\"/><text x=\"{at:.1}\" y=\"{below:.1}\">{name}</text>"
                    ));
                }
                What::Mark(pages) => add(format!(
                    "<circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#c22\"/><text x=\"{at:.1}\" y=\"{:.1}\" fill=\"#c22\">marks {pages}</text>",
                    y - 16.0,
                    y - 22.0
                )),
                What::Round(count) => add(format!(
                    "<path d=\"M{at:.1} 15V{height}\" stroke=\"#47a\" stroke-dasharray=\"3 3\"/><text x=\"{at:.1}\" y=\"12\" fill=\"#47a\">round {count}</text>"
                )),
            }
        }
        if let Some(begin) = since {
            add(bar(begin, x(last), y));
        }
    }
    add(format!(
        "<text x=\"{LEFT}\" y=\"{:.1}\">0 s</text><text x=\"{:.1}\" y=\"{:.1}\">{span:.2} s; green: a ring is started</text>",
        height - 6.0,
        WIDTH - 170.0,
        height - 6.0
    ));
    add("</svg>".into());
    svg
}

/// A bar for the time in which a ring is started.
fn bar(begin: f64, end: f64, y: f64) -> String {
    let width = (end - begin).max(1.0);
    format!(
        "<rect x=\"{begin:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"8\" fill=\"#4a4\"/>",
        y - 8.0
    )
}
