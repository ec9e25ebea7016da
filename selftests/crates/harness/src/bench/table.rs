// SPDX-License-Identifier: GPL-2.0-or-later
//! The result as a table and as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::rows::{Bound, Kernel, Row, Verdict};
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

/// The columns that are aligned to the right.
const RIGHT: [bool; 8] = [false, false, true, true, false, true, true, false];

/// Returns the table.
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
    let target = row.target.map(|target| target.to_string());
    let verdict = match row.verdict {
        Some(Verdict::Met) => "met",
        Some(Verdict::Missed) => "MISSED",
        None => "",
    };
    [
        row.name.to_owned(),
        row.unit.to_owned(),
        format!("{:.2}", row.ours),
        row.reference
            .map_or_else(String::new, |reference| format!("{reference:.2}")),
        row.reference_name.unwrap_or_default().to_owned(),
        row.ratio
            .map_or_else(String::new, |ratio| format!("{ratio:.3}")),
        target.unwrap_or_default(),
        verdict.to_owned(),
    ]
}

/// Returns the lines below the table.
pub fn remarks(rows: &[Row], all: &BTreeMap<Kernel, Samples>) -> String {
    let count = |verdict| {
        rows.iter()
            .filter(|row| row.verdict == Some(verdict))
            .count()
    };
    let (met, missed) = (count(Verdict::Met), count(Verdict::Missed));
    let worst = all.values().map(Samples::spread).fold(0.0, f64::max);
    let unsteady = unsteady(all);
    format!(
        "ratio: ours divided by the reference's; below 1 is cheaper\n\
         constant: measured once with the same method, not now; see Documentation/bench.md\n\
         targets: {met} of {} met\n\
         repeated measurements differ by {:.2} % at the most ({} % are allowed)\n{unsteady}",
        met + missed,
        worst * 100.0,
        TOLERANCE * 100.0,
    )
}

/// Returns the figures that do not repeat, a line each; empty if all do.
pub fn unsteady(all: &BTreeMap<Kernel, Samples>) -> String {
    let lines = all.iter().flat_map(|(kernel, samples)| {
        let lines = samples.unsteady(TOLERANCE).into_iter();
        lines.map(|line| format!("  on the {} kernel, {line}\n", kernel.name()))
    });
    lines.collect()
}

/// Returns the rows that missed their targets, a line each; empty if none did.
pub fn missed(rows: &[Row]) -> String {
    rows.iter()
        .filter(|row| row.verdict == Some(Verdict::Missed))
        .filter_map(|row| {
            let line = match row.target? {
                Bound::Ours(most) => format!(
                    "  {}: {:.2} {}, at most {most} are allowed\n",
                    row.name, row.ours, row.unit
                ),
                Bound::Ratio(most) => format!(
                    "  {}: {:.3} of {}, at most {most} is allowed\n",
                    row.name, row.ratio?, row.reference_name?
                ),
            };
            Some(line)
        })
        .collect()
}

/// Writes the rows as a JSON array.
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
            reference: Some(286.0),
            reference_name: Some("UVM (constant)"),
            ratio: Some(0.175),
            target: Some(Bound::Ours(60.0)),
            verdict: Some(Verdict::Met),
        };
        let missed = Row {
            name: "lock.context",
            ours: 1234.5,
            target: Some(Bound::Ours(90.0)),
            verdict: Some(Verdict::Missed),
            ..row.clone()
        };
        let part = Row {
            name: "tt.accounting",
            reference_name: Some("C TTM"),
            ratio: Some(0.752),
            target: Some(Bound::Ratio(0.75)),
            ..missed.clone()
        };
        let free = Row {
            name: "x",
            reference: None,
            reference_name: None,
            ratio: None,
            target: None,
            verdict: None,
            ..row.clone()
        };
        vec![row, missed, part, free]
    }

    #[test]
    fn columns_are_aligned() {
        let text = text(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "name           unit             ours  reference  reference is    ratio         target  verdict",
                "lock.pair      instructions    50.00     286.00  UVM (constant)  0.175          <= 60  met",
                "lock.context   instructions  1234.50     286.00  UVM (constant)  0.175          <= 90  MISSED",
                "tt.accounting  instructions  1234.50     286.00  C TTM           0.752  ratio <= 0.75  MISSED",
                "x              instructions    50.00",
            ]
        );
    }

    #[test]
    fn missed_targets_are_named_with_their_figures() {
        assert_eq!(
            missed(&rows()),
            "  lock.context: 1234.50 instructions, at most 90 are allowed\n  \
             tt.accounting: 0.752 of C TTM, at most 0.75 is allowed\n"
        );
        assert_eq!(missed(&rows()[..1]), "");
    }

    #[test]
    fn rows_without_a_target_have_no_verdict() {
        let text = remarks(&rows(), &BTreeMap::new());
        assert!(text.contains("targets: 1 of 3 met"), "{text}");
    }
}
