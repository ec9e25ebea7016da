// SPDX-License-Identifier: GPL-2.0-or-later
//! Follows a file that another process is writing, line by line.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Cuts a stream of bytes into lines.
///
/// A carriage return before the end of a line is dropped (serial consoles send it), and bytes that are not
/// UTF-8 are replaced, for a crashing kernel may print anything.
#[derive(Default)]
pub struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Takes more bytes, gives the lines that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(self.take());
            } else {
                self.partial.push(byte);
            }
        }
        lines
    }

    /// What is left when no more bytes will come.
    pub fn finish(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        text.trim_end_matches('\r').to_owned()
    }
}

/// A file that grows, and how far it was read.
pub struct Follower {
    path: PathBuf,
    file: File,
    splitter: Splitter,
}

impl Follower {
    /// Creates the file, empty, so that its writer and we agree on it.
    pub fn create(path: &Path) -> Result<Self> {
        let create = || -> std::io::Result<File> {
            File::create(path)?;
            File::open(path)
        };
        Ok(Self {
            file: create().with_context(|| format!("creating {}", path.display()))?,
            path: path.to_owned(),
            splitter: Splitter::default(),
        })
    }

    /// The lines that were completed since the last call.
    pub fn new_lines(&mut self) -> Result<Vec<String>> {
        let mut bytes = Vec::new();
        self.file
            .read_to_end(&mut bytes)
            .with_context(|| format!("reading {}", self.path.display()))?;
        Ok(self.splitter.push(&bytes))
    }

    /// The rest, when the writer is gone.
    pub fn last_lines(&mut self) -> Result<Vec<String>> {
        let mut lines = self.new_lines()?;
        lines.extend(self.splitter.finish());
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_come_in_pieces() {
        let mut splitter = Splitter::default();
        assert!(splitter.push(b"hel").is_empty());
        assert_eq!(splitter.push(b"lo\r\nwor"), ["hello"]);
        assert_eq!(splitter.push(b"ld\n\n"), ["world", ""]);
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn the_unfinished_line_is_not_lost() {
        let mut splitter = Splitter::default();
        splitter.push(b"cut");
        assert_eq!(splitter.finish().as_deref(), Some("cut"));
    }

    #[test]
    fn bad_utf8_is_replaced() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(b"a\xffb\n"), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_growing_file_is_followed() {
        use std::io::Write as _;
        let path = std::env::temp_dir().join(format!("reeve-follower-{}", std::process::id()));
        let mut follower = Follower::create(&path).unwrap();
        let mut writer = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        write!(writer, "one\ntw").unwrap();
        assert_eq!(follower.new_lines().unwrap(), ["one"]);
        write!(writer, "o").unwrap();
        assert!(follower.new_lines().unwrap().is_empty());
        assert_eq!(follower.last_lines().unwrap(), ["two"]);
        std::fs::remove_file(&path).unwrap();
    }
}
