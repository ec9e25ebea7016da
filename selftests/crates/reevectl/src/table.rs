// SPDX-License-Identifier: GPL-2.0

//! Aligned columns.

use std::io;
use std::io::Write;

/// Which side of its column a cell sticks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows of cells, printed with columns as wide as they need to be.
#[derive(Debug)]
pub(crate) struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these titles.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            align: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![columns
                .iter()
                .map(|(title, _)| (*title).to_owned())
                .collect()],
        }
    }

    /// Adds a row; missing cells stay empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().take(self.align.len()).collect());
    }

    /// Prints it, each line after `indent`.
    pub(crate) fn print(&self, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        let widths: Vec<usize> = (0..self.align.len())
            .map(|column| self.width(column))
            .collect();
        for row in &self.rows {
            let line = line(row, &self.align, &widths);
            writeln!(out, "{}", format!("{indent}{line}").trim_end())?;
        }
        Ok(())
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

/// One line of cells, two spaces apart, in columns of these widths.
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
}
