// SPDX-License-Identifier: GPL-2.0
//! The result, for people and for programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::rows::{Kernel, Row};
use super::samples::Samples;
use super::TOLERANCE;

const HEADINGS: [&str; 8] = [
    "name",
    "unit",
    "ours",
    "reference",
    "reference is",
    "ratio",
    "target",
    "verdict",
];

/// Columns of numbers end where their headings end.
const RIGHT: [bool; 8] = [false, false, true, true, false, true, true, false];

/// The table.
pub fn text(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for ((cell, width), right) in line.iter().zip(&widths).zip(RIGHT) {
            row += &match right {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:<width$}  "),
            };
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; 8] {
    let target = row.target.map(|target| format!("<= {target}"));
    let verdict = match row.met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    [
        row.name.to_owned(),
        row.unit.to_owned(),
        format!("{:.2}", row.ours),
        format!("{:.2}", row.reference),
        row.reference_name.to_owned(),
        format!("{:.3}", row.ratio),
        target.unwrap_or_default(),
        verdict.to_owned(),
    ]
}

/// What there is to say about it all.
pub fn remarks(rows: &[Row], all: &BTreeMap<Kernel, Samples>) -> String {
    let count = |met| rows.iter().filter(|row| row.met() == met).count();
    let (met, missed) = (count(Some(true)), count(Some(false)));
    let worst = all.values().map(Samples::spread).fold(0.0, f64::max);
    format!(
        "ratio: ours divided by the reference's; below 1 is cheaper\n\
         constant: measured once with the same method, not now; see Documentation/bench.md\n\
         targets: {met} of {} met\n\
         repeated measurements differ by {:.2} % at the most ({} % are allowed)\n",
        met + missed,
        worst * 100.0,
        TOLERANCE * 100.0,
    )
}

/// The rows that missed their targets, a line each; empty if none did.
pub fn missed(rows: &[Row]) -> String {
    rows.iter()
        .filter(|row| row.met() == Some(false))
        .filter_map(|row| {
            Some(format!(
                "  {}: {:.2} {}, at most {} are allowed\n",
                row.name, row.ours, row.unit, row.target?
            ))
        })
        .collect()
}

/// Writes the rows as an array.
pub fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = Row {
            name: "lock.pair",
            unit: "instructions",
            ours: 50.0,
            reference: 286.0,
            reference_name: "UVM (constant)",
            ratio: 0.175,
            target: Some(60.0),
        };
        let missed = Row {
            name: "lock.context",
            ours: 1234.5,
            target: Some(90.0),
            ..row.clone()
        };
        let free = Row {
            name: "x",
            target: None,
            ..row.clone()
        };
        vec![row, missed, free]
    }

    #[test]
    fn columns_are_aligned() {
        let text = text(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "name          unit             ours  reference  reference is    ratio  target  verdict",
                "lock.pair     instructions    50.00     286.00  UVM (constant)  0.175   <= 60  met",
                "lock.context  instructions  1234.50     286.00  UVM (constant)  0.175   <= 90  MISSED",
                "x             instructions    50.00     286.00  UVM (constant)  0.175",
            ]
        );
    }

    #[test]
    fn what_was_missed_is_named_with_its_figures() {
        assert_eq!(
            missed(&rows()),
            "  lock.context: 1234.50 instructions, at most 90 are allowed\n"
        );
        assert_eq!(missed(&rows()[..1]), "");
    }

    #[test]
    fn rows_without_a_target_count_for_nothing() {
        let text = remarks(&rows(), &BTreeMap::new());
        assert!(text.contains("targets: 1 of 2 met"), "{text}");
    }
}
