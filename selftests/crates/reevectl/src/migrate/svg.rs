// SPDX-License-Identifier: GPL-2.0-or-later

//! The picture of a migration: pages left, and both rates, over time.

use std::fmt::Write;
use std::time::Duration;

use reeve_precopy::Progress;
use reeve_precopy::Statistics;

use super::rate;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;

/// A part of the picture with an axis of its own: from the top of it to its bottom.
#[derive(Clone, Copy)]
struct Panel {
    top: f64,
    bottom: f64,
    most: f64,
}

const UPPER: (f64, f64) = (40.0, 200.0);
const LOWER: (f64, f64) = (240.0, 380.0);

impl Panel {
    fn new((top, bottom): (f64, f64), values: impl Iterator<Item = f64>) -> Self {
        Self {
            top,
            bottom,
            most: values.fold(1.0, f64::max),
        }
    }

    fn y(self, value: f64) -> f64 {
        self.bottom - value.min(self.most) / self.most * (self.bottom - self.top)
    }
}

/// Time as a place from left to right.
#[derive(Clone, Copy)]
struct Axis(f64);

impl Axis {
    fn x(self, seconds: f64) -> f64 {
        LEFT + seconds.min(self.0) / self.0 * (WIDTH - LEFT - RIGHT)
    }
}

/// Draws what was reported while it ran, and its rounds.
pub(super) fn draw(
    samples: &[(Duration, Progress)],
    took: Duration,
    statistics: &Statistics,
) -> String {
    let took = took.as_secs_f64().max(1e-3);
    let axis = Axis(took);
    let seconds = |(at, _): &(Duration, Progress)| at.as_secs_f64();
    let left = |(_, progress): &(Duration, Progress)| progress.left as f64;
    let pages = statistics.pages as f64;
    let upper = Panel::new(UPPER, samples.iter().map(left).chain([pages]));
    let rates = samples
        .iter()
        .flat_map(|(_, progress)| [progress.send_rate, progress.dirty_rate])
        .flatten()
        .map(|rate| rate as f64);
    let lower = Panel::new(LOWER, rates);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    // The rounds first, below the lines.
    let mut begin = samples.first().map_or(0.0, seconds);
    for (index, round) in statistics.rounds.iter().enumerate() {
        let end = begin + round.seconds;
        let (x, width) = (axis.x(begin), axis.x(end) - axis.x(begin));
        let fill = match (round.stopped, index % 2) {
            (true, _) => "#f4cccc",
            (false, 0) => "#f3f3f3",
            (false, _) => "#e2e2e2",
        };
        rect(&mut svg, x, width, fill);
        if width >= 14.0 {
            text(
                &mut svg,
                x + width / 2.0,
                32.0,
                "middle",
                &round.number.to_string(),
            );
        }
        begin = end;
    }
    let points = |panel: Panel, value: &dyn Fn(&Progress) -> Option<f64>| -> Vec<(f64, f64)> {
        let point = |sample: &(Duration, Progress)| {
            value(&sample.1).map(|value| (axis.x(seconds(sample)), panel.y(value)))
        };
        samples.iter().filter_map(point).collect()
    };
    let of = |rate: Option<u64>| rate.map(|rate| rate as f64);
    let mut all_left = points(upper, &|progress| Some(progress.left as f64));
    if statistics.moved {
        all_left.push((axis.x(took), upper.y(0.0)));
    }
    line(&mut svg, "#1155cc", &all_left);
    line(
        &mut svg,
        "#38761d",
        &points(lower, &|progress| of(progress.send_rate)),
    );
    line(
        &mut svg,
        "#cc0000",
        &points(lower, &|progress| of(progress.dirty_rate)),
    );
    for panel in [upper, lower] {
        frame(&mut svg, panel);
    }
    let labels = [
        (
            upper,
            format!("{} pages", upper.most as u64),
            "0".to_owned(),
        ),
        (lower, rate(Some(lower.most as u64)), "0".to_owned()),
    ];
    for (panel, most, none) in labels {
        text(&mut svg, LEFT - 6.0, panel.top + 10.0, "end", &most);
        text(&mut svg, LEFT - 6.0, panel.bottom, "end", &none);
    }
    text(&mut svg, LEFT, HEIGHT - 22.0, "middle", "0 s");
    let end = format!("{took:.1} s");
    text(&mut svg, WIDTH - RIGHT, HEIGHT - 22.0, "end", &end);
    text(
        &mut svg,
        LEFT,
        16.0,
        "start",
        "pages left to send, in rounds",
    );
    text(
        &mut svg,
        LEFT,
        232.0,
        "start",
        "sending (green), dirtying (red)",
    );
    let note = "red ground: the writers are stopped; behind it, all pages are compared";
    text(&mut svg, WIDTH / 2.0, HEIGHT - 6.0, "middle", note);
    svg + "</svg>\n"
}

fn rect(svg: &mut String, x: f64, width: f64, fill: &str) {
    for (top, bottom) in [UPPER, LOWER] {
        let height = bottom - top;
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"/>"
        );
    }
}

fn frame(svg: &mut String, panel: Panel) {
    let (width, height) = (WIDTH - LEFT - RIGHT, panel.bottom - panel.top);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"black\"/>",
        panel.top
    );
}

fn line(svg: &mut String, colour: &str, points: &[(f64, f64)]) {
    let points: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
        points.join(" ")
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeve_precopy::Round;

    fn progress(round: u32, left: u64) -> Progress {
        Progress {
            round,
            stopped: false,
            bytes: 0,
            left,
            send_rate: Some(1 << 20),
            dirty_rate: (round > 1).then_some(1 << 18),
            slowed: 0,
            converges: None,
        }
    }

    #[test]
    fn rounds_and_rates_are_drawn() {
        let round = |number, stopped| Round {
            number,
            stopped,
            seconds: 1.0,
            ..Round::default()
        };
        let statistics = Statistics {
            pages: 1000,
            rounds: vec![round(1, false), round(2, false), round(3, true)],
            moved: true,
            ..Statistics::default()
        };
        let samples = [
            (Duration::ZERO, progress(1, 1000)),
            (Duration::from_secs(1), progress(2, 100)),
        ];
        let svg = draw(&samples, Duration::from_secs(4), &statistics);
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(
            svg.contains("1000 pages") && svg.contains("1.0 MiB/s"),
            "{svg}"
        );
        assert!(svg.contains("#f4cccc") && svg.contains("4.0 s"), "{svg}");
        // All pages at the left edge and at the top, none at the right edge and at the bottom.
        assert!(
            svg.contains("points=\"90.0,40.0 ") && svg.contains(" 700.0,200.0\""),
            "{svg}"
        );
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn nothing_is_a_picture_too() {
        let svg = draw(&[], Duration::ZERO, &Statistics::default());
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    }
}
