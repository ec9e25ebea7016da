// SPDX-License-Identifier: GPL-2.0-or-later

//! Programs in a file, an empty line between them, and the last ones on a disk that outlives the kernel.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use nix::libc;

use crate::program::Program;

/// What the tests do by hand, to begin with.
const SEEDS: &str = include_str!("seeds.txt");

/// Bytes of the disk for what is noted at once.
const SLOT: usize = 128 << 10;

/// How many notes are kept of each process: about as many as it makes with the same shared files.
const KEPT: u64 = 32;

/// Reads programs.
pub(crate) fn read(path: &Path) -> Result<Vec<Program>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

/// Those that there always are.
pub(crate) fn seeds() -> Result<Vec<Program>> {
    parse(SEEDS)
}

fn parse(text: &str) -> Result<Vec<Program>> {
    let parts = text.split("\n\n").map(str::parse);
    let mut programs = parts.collect::<Result<Vec<Program>>>()?;
    programs.retain(|program| !program.0.is_empty());
    Ok(programs)
}

/// Writes programs as [`read`] reads them.
pub(crate) fn write(path: &Path, programs: &[Program]) -> Result<()> {
    fs::write(path, text(programs)).with_context(|| format!("writing {}", path.display()))
}

/// The same, as text.
pub(crate) fn text(programs: &[Program]) -> String {
    let texts: Vec<_> = programs.iter().map(Program::to_string).collect();
    texts.join("\n")
}

/// Where each process notes what it is about to do.
pub(crate) struct Last(File);

impl Last {
    /// Opens the disk, or a file. What is written is there when this machine ends at once.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::options()
            .write(true)
            .custom_flags(libc::O_SYNC)
            .open(path);
        Ok(Self(
            file.with_context(|| format!("opening {}", path.display()))?,
        ))
    }

    /// Notes what a process runs next, for the n-th time.
    pub(crate) fn note(&self, process: u64, nth: u64, programs: &[Program]) -> io::Result<()> {
        let mut bytes = text(programs).into_bytes();
        bytes.truncate(SLOT - 1);
        bytes.push(0);
        self.0
            .write_all_at(&bytes, (process * KEPT + nth % KEPT) * SLOT as u64)
    }

    /// Reads what is noted on a disk.
    pub(crate) fn read(path: &Path) -> Result<Vec<Program>> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let mut programs = Vec::new();
        for slot in bytes.chunks(SLOT) {
            let end = slot.iter().position(|byte| *byte == 0).unwrap_or(0);
            programs.append(&mut parse(&String::from_utf8_lossy(&slot[..end]))?);
        }
        Ok(programs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Generator;

    #[test]
    fn the_first_ones_are_programs() {
        let seeds = seeds().expect("they are programs");
        assert!(seeds.len() >= 6);
        assert_eq!(parse(&text(&seeds)).expect("they are programs"), seeds);
    }

    #[test]
    fn what_was_noted_last_is_found() {
        let path = std::env::temp_dir().join(format!("reeve-fuzz-last-{}", std::process::id()));
        fs::write(&path, []).expect("a file");
        let mut generator = Generator::new(3);
        let programs: Vec<_> = (0..160).map(|_| generator.program()).collect();
        let last = Last::open(&path).expect("the file");
        for (nth, some) in (0..).zip(programs.chunks(4)) {
            last.note(1, nth, some).expect("room");
        }
        let found = Last::read(&path);
        fs::remove_file(&path).expect("it is there");
        let found = found.expect("programs");
        assert_eq!(found.len(), 128);
        assert!(found.iter().all(|program| programs[32..].contains(program)));
    }
}
