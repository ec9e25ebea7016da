// SPDX-License-Identifier: GPL-2.0-or-later
//! Which lines of the module's source were reached, of what kcov said in a guest.
//!
//! A module that is built for kcov calls `__sanitizer_cov_trace_pc()` wherever its code may go another way, and the
//! kernel notes where that returns to. The module's relocations say where these calls are, so also which of them were
//! never made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::{anyhow, ensure, Context, Result};
use clap::Args;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

/// What a module that is built for kcov calls.
const TRACE: &str = "__sanitizer_cov_trace_pc";

/// Bytes from where the call's relocation is to where it returns to.
const TO_RETURN: u64 = 4;

/// Counts the lines of the module's source that were reached.
#[derive(Args)]
pub struct Options {
    /// The module, `reeve.ko`, with lines of its source.
    #[arg(long)]
    module: PathBuf,
    /// The same, linked, so that what its debug information says of addresses is final.
    #[arg(long)]
    linked: PathBuf,
    /// Where in the module's code a guest was, one hexadecimal number to a line.
    #[arg(long)]
    reached: PathBuf,
    /// The directory of the sources that count.
    #[arg(long)]
    source: PathBuf,
    /// Where to write the lines that were not reached.
    #[arg(long)]
    missed: Option<PathBuf>,
}

/// The lines of a file: whether each was reached.
type Lines = BTreeMap<u32, bool>;

/// Prints how many lines of each file were reached, and of all.
pub fn run(options: &Options) -> Result<bool> {
    let bytes = fs::read(&options.module).context("reading the module")?;
    let points = points(&bytes)?;
    ensure!(
        !points.is_empty(),
        "the module does not say where it is: it is built for a kernel without kcov"
    );
    let text = fs::read_to_string(&options.reached).context("reading what was reached")?;
    let reached = offsets(&text)?;
    let files = lines(&options.linked, &options.source, &points, &reached)?;
    print!("{}", table(&files));
    if let Some(path) = &options.missed {
        fs::write(path, missed(&files)).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(true)
}

/// Where in a module's code the calls return to that say where it is.
fn points(module: &[u8]) -> Result<BTreeSet<u64>> {
    let object = object::File::parse(module).context("reading the module")?;
    let text = object
        .section_by_name(".text")
        .context("the module has no code")?;
    let mut points = BTreeSet::new();
    for (at, relocation) in text.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            continue;
        };
        if object.symbol_by_index(symbol)?.name() == Ok(TRACE) {
            points.insert(at + TO_RETURN);
        }
    }
    Ok(points)
}

fn offsets(text: &str) -> Result<BTreeSet<u64>> {
    let numbers = text.lines().map(|line| {
        let digits = line.trim().trim_start_matches("0x");
        u64::from_str_radix(digits, 16).with_context(|| format!("no number: {line}"))
    });
    numbers.collect()
}

/// The lines that points are at. A line is reached if one of its points is, also where the code was put into another
/// function.
fn lines(
    linked: &Path,
    source: &Path,
    points: &BTreeSet<u64>,
    reached: &BTreeSet<u64>,
) -> Result<BTreeMap<String, Lines>> {
    let loader = Loader::new(linked).map_err(|err| anyhow!("{}: {err}", linked.display()))?;
    let bytes = fs::read(linked).context("reading the linked module")?;
    let start = object::File::parse(&*bytes)?
        .section_by_name(".text")
        .context("the linked module has no code")?
        .address();
    let mut files: BTreeMap<String, Lines> = BTreeMap::new();
    for point in points {
        // The call's last byte: what it returns to may be of another line.
        let mut frames = loader
            .find_frames(start + point - 1)
            .map_err(|err| anyhow!("{point:#x}: {err}"))?;
        while let Some(frame) = frames.next()? {
            let Some(location) = frame.location else {
                continue;
            };
            let (Some(file), Some(line)) = (location.file, location.line) else {
                continue;
            };
            let Ok(file) = Path::new(file).strip_prefix(source) else {
                continue;
            };
            let lines = files.entry(file.display().to_string()).or_default();
            *lines.entry(line).or_default() |= reached.contains(point);
        }
    }
    Ok(files)
}

fn table(files: &BTreeMap<String, Lines>) -> String {
    let mut text = String::new();
    let (mut all, mut all_reached) = (0, 0);
    for (file, lines) in files {
        let reached = lines.values().filter(|reached| **reached).count();
        text += &row(file, reached, lines.len());
        all += lines.len();
        all_reached += reached;
    }
    text + &row("all lines with code", all_reached, all)
}

fn row(what: &str, reached: usize, of: usize) -> String {
    let percent = (reached * 100).checked_div(of).unwrap_or(0);
    format!("{what:<44} {reached:>6} of {of:>6} {percent:>4} %\n")
}

fn missed(files: &BTreeMap<String, Lines>) -> String {
    let mut text = String::new();
    for (file, lines) in files {
        for (line, _) in lines.iter().filter(|(_, reached)| !**reached) {
            text += &format!("{file}:{line}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let read = offsets("0x10\n2a\n").expect("numbers");
        assert_eq!(read, BTreeSet::from([0x10, 0x2a]));
        assert!(offsets("0x1g\n").is_err());
    }

    #[test]
    fn lines_are_counted() {
        let files = BTreeMap::from([
            ("a.rs".to_owned(), Lines::from([(1, true), (2, false)])),
            ("b/c.rs".to_owned(), Lines::from([(7, true), (8, true)])),
        ]);
        let table = table(&files);
        let rows: Vec<Vec<_>> = table
            .lines()
            .map(|row| row.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["a.rs", "1", "of", "2", "50", "%"]);
        assert_eq!(rows[1], ["b/c.rs", "2", "of", "2", "100", "%"]);
        assert_eq!(rows[2][4..], ["3", "of", "4", "75", "%"]);
        assert_eq!(missed(&files), "a.rs:2\n");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(points(b"text").is_err());
    }
}
