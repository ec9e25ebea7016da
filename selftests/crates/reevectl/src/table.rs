// SPDX-License-Identifier: GPL-2.0-or-later

//! Tables of aligned columns.

use std::io;
use std::io::Write;

use crate::style::Style;

/// The side of its column at which a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table whose columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    align: Vec<Align>,
    rows: Vec<Row>,
}

/// A row of cells, and lines of text below it.
#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    notes: Vec<String>,
}

/// The indentation of a row's notes.
const NOTE: &str = "      ";

/// The width in characters below which no column is shortened.
const NARROWEST: usize = 8;

/// The number of blanks between two columns.
const GAP: usize = 2;

impl Table {
    /// Makes a table with these titles.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            align: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![Row {
                cells: columns
                    .iter()
                    .map(|(title, _)| (*title).to_owned())
                    .collect(),
                notes: Vec::new(),
            }],
        }
    }

    /// Adds a row; missing cells stay empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row {
            cells: cells.into_iter().take(self.align.len()).collect(),
            notes: Vec::new(),
        });
    }

    /// Adds a line of text below the last row.
    pub(crate) fn note(&mut self, text: String) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(text);
        }
    }

    /// Prints the table, each line after `indent`.
    pub(crate) fn print(&self, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        self.print_within(indent, usize::MAX, out)
    }

    /// Prints the table in lines of at most `width` characters: columns of text are shortened, the widest first.
    pub(crate) fn print_within(
        &self,
        indent: &str,
        width: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut widths = self.widths();
        let room = width.saturating_sub(indent.chars().count());
        while total(&widths) > room {
            let text = (0..widths.len()).filter(|&column| self.align[column] == Align::Left);
            let Some(widest) = text.max_by_key(|&column| widths[column]) else {
                break;
            };
            if widths[widest] <= NARROWEST {
                break;
            }
            widths[widest] -= 1;
        }
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.cells.iter().zip(&widths);
            let cells: Vec<String> = cells.map(|(cell, width)| clip(cell, *width)).collect();
            let line = line(&cells, &self.align, &widths);
            let line = line.trim_end();
            match index {
                // The titles.
                0 => writeln!(out, "{indent}{}", Style::Title.paint(line))?,
                _ => writeln!(out, "{}", format!("{indent}{line}").trim_end())?,
            }
            for note in &row.notes {
                let note = clip(note, room.saturating_sub(NOTE.len()));
                writeln!(out, "{indent}{NOTE}{note}")?;
            }
        }
        Ok(())
    }

    /// Returns whether the rows fit into `width` characters as they are.
    pub(crate) fn fits(&self, indent: &str, width: usize) -> bool {
        total(&self.widths()) <= width.saturating_sub(indent.chars().count())
    }

    fn widths(&self) -> Vec<usize> {
        let columns = 0..self.align.len();
        columns.map(|column| self.width(column)).collect()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Returns a text shortened to at most `width` characters: its beginning and its end, which say more than its middle.
pub(crate) fn clip(text: &str, width: usize) -> String {
    const CUT: &str = "...";
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(CUT.len()) else {
        return text.chars().take(width).collect();
    };
    let tail = kept / 2;
    let mut clipped: String = text.chars().take(kept - tail).collect();
    clipped.push_str(CUT);
    clipped.extend(text.chars().skip(length - tail));
    clipped
}

/// Returns a line of cells in columns of these widths, two blanks apart.
pub(crate) fn line(cells: &[String], align: &[Align], widths: &[usize]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(align)
        .zip(widths)
        .map(|((cell, align), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        })
        .collect();
    padded.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&[("name", Align::Left), ("pages", Align::Right)]);
        table.row(["a".to_owned(), "1024".to_owned()]);
        table.row(["longer".to_owned(), "3".to_owned()]);
        table.row(["short".to_owned()]);
        let mut out = Vec::new();
        table.print("  ", &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "  name    pages\n  a        1024\n  longer      3\n  short\n"
        );
    }

    fn within(table: &Table, width: usize) -> String {
        let mut out = Vec::new();
        table.print_within(" ", width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn wide_columns_give_way() {
        let mut table = Table::new(&[
            ("number", Align::Right),
            ("name", Align::Left),
            ("place", Align::Left),
        ]);
        table.row(["1234567".to_owned(), "n".repeat(12), "p".repeat(50)]);
        table.note("b".to_owned() + &"a".repeat(80) + "c");
        for width in 28..74 {
            assert!(!table.fits(" ", width));
            let text = within(&table, width);
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            assert!(text.contains(" 1234567  nnn"), "{text}");
            assert!(text.contains("  baaa") && text.contains("ac\n"), "{text}");
        }
        assert!(table.fits(" ", 74));
        assert!(!within(&table, 74).contains("p..."));
    }

    #[test]
    fn clipped_texts_keep_both_ends() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcdefghij", 9), "abc...hij");
        assert_eq!(clip("abcdefghij", 8), "abc...ij");
        assert_eq!(clip("abcdefghij", 3), "...");
        assert_eq!(clip("abcdefghij", 2), "ab");
        assert_eq!(clip("éééééééé", 7), "éé...éé");
    }
}
