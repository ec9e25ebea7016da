// SPDX-License-Identifier: GPL-2.0-or-later
//! The `newc` cpio format, as far as an initramfs and the guest's own `cpio -o` need it.

use anyhow::{bail, Context, Result};

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

/// Collects files into an archive in memory.
///
/// Parent directories are added when they are first needed, so that the kernel can unpack in order.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    inode: u32,
    directories: Vec<String>,
}

impl Writer {
    /// Adds a directory (path without leading slash) and its parents.
    pub fn directory(&mut self, path: &str) {
        if path.is_empty() || self.directories.iter().any(|known| known == path) {
            return;
        }
        self.parent(path);
        self.directories.push(path.to_owned());
        self.entry(path, S_IFDIR | 0o755, &[]);
    }

    /// Adds a regular file, with its parent directories.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.parent(path);
        self.entry(path, S_IFREG | mode, content);
    }

    /// Closes the archive and gives its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.raw_entry(0, TRAILER, 0, &[]);
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        self.raw_entry(self.inode, path, mode, content);
    }

    fn raw_entry(&mut self, inode: u32, path: &str, mode: u32, content: &[u8]) {
        let size = u32::try_from(content.len()).expect("an initramfs file is under 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("a path is short");
        self.bytes.extend_from_slice(MAGIC);
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// One regular file of an archive that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Its path, without a leading `./`.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Reads the regular files of an archive. A cut-off archive is an error: half a result is none.
pub fn read_files(mut bytes: &[u8]) -> Result<Vec<File>> {
    let total = bytes.len();
    let mut files = Vec::new();
    loop {
        let at = total - bytes.len();
        let header = take(&mut bytes, HEADER).with_context(|| format!("header at {at}"))?;
        if &header[..MAGIC.len()] != MAGIC {
            bail!("no cpio header at byte {at}");
        }
        let mode = field(header, 1)?;
        let size = field(header, 6)? as usize;
        let name_size = field(header, 11)? as usize;
        let name = take(&mut bytes, name_size).with_context(|| format!("name at {at}"))?;
        let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned();
        skip_padding(&mut bytes, total);
        if name == TRAILER {
            return Ok(files);
        }
        let content = take(&mut bytes, size).with_context(|| format!("content of {name}"))?;
        skip_padding(&mut bytes, total);
        if mode & S_IFMT == S_IFREG {
            files.push(File {
                path: name.trim_start_matches("./").to_owned(),
                content: content.to_vec(),
            });
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let Some((head, tail)) = bytes.split_at_checked(count) else {
        bail!("the archive is cut off");
    };
    *bytes = tail;
    Ok(head)
}

fn skip_padding(bytes: &mut &[u8], total: usize) {
    let at = total - bytes.len();
    let padding = (at.next_multiple_of(4) - at).min(bytes.len());
    *bytes = &bytes[padding..];
}

fn field(header: &[u8], index: usize) -> Result<u32> {
    let start = MAGIC.len() + index * 8;
    let digits = std::str::from_utf8(&header[start..start + 8])?;
    u32::from_str_radix(digits, 16).with_context(|| format!("cpio header field {digits:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.file("a/b/one", 0o755, b"12345");
        writer.file("a/two", 0o644, b"");
        writer.directory("a/b");
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let files = read_files(&sample()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["a/b/one", "a/two"]);
        assert_eq!(files[0].content, b"12345");
        assert!(files[1].content.is_empty());
    }

    #[test]
    fn parents_come_once_and_first() {
        let bytes = sample();
        let text = String::from_utf8_lossy(&bytes);
        let position = |needle: &str| text.find(needle).unwrap();
        assert!(position("a\0") < position("a/b\0"));
        assert!(position("a/b\0") < position("a/b/one\0"));
        assert_eq!(text.matches("a/b\0").count(), 1);
    }

    #[test]
    fn entries_are_aligned() {
        assert_eq!(sample().len() % 4, 0);
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = sample();
        // The last bytes are the trailer's padding, which a reader needs not see.
        for length in 0..bytes.len() - 4 {
            assert!(read_files(&bytes[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(read_files(&[b'x'; 200]).is_err());
    }

    #[test]
    fn the_real_cpio_agrees() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut child = Command::new("cpio")
            .args(["-t", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cpio is one of the packages that make deps installs");
        child.stdin.take().unwrap().write_all(&sample()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "a\na/b\na/b/one\na/two\n"
        );
    }
}
