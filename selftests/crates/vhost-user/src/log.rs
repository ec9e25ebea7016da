// SPDX-License-Identifier: GPL-2.0-or-later
//! The dirty log: a bit for each page of the guest's memory, shared with the front end.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use rustix::fs::{fstat, FileType};

use crate::error::{Error, Result};
use crate::map::Mapping;

/// The bytes of guest memory that a bit stands for.
pub const LOG_PAGE: u64 = 4096;

/// A log that is mapped.
#[derive(Debug)]
pub struct DirtyLog {
    mapping: Mapping,
    size: u64,
}

impl DirtyLog {
    /// Maps a log of `size` bytes at `offset` in a file.
    pub fn new(fd: impl AsFd, size: u64, offset: u64) -> Result<Self> {
        let stat = fstat(&fd).map_err(Error::os("fstat"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::FdKind("a file, as a log is"));
        }
        let mapping = Mapping::new(fd, offset, size)?;
        Ok(Self { mapping, size })
    }

    /// Refuses if the log has fewer than `bytes` bytes.
    pub fn check(&self, bytes: u64) -> Result<()> {
        if self.size < bytes {
            return Err(Error::Log(format!(
                "{} bytes where the memory takes {bytes}",
                self.size
            )));
        }
        Ok(())
    }

    /// Marks every page of which a byte lies in the range, with atomic ORs: the front end takes bits away meanwhile.
    pub fn mark(&self, guest: u64, size: u64) -> Result<()> {
        if size == 0 {
            return Ok(());
        }
        let Some(last) = guest.checked_add(size - 1) else {
            return Err(Error::Value("an address", guest));
        };
        let (mut page, last) = (guest / LOG_PAGE, last / LOG_PAGE);
        while page <= last {
            let end = last.min(page | 7);
            let bits = (0xff_u8 >> (7 - (end - page))) << (page % 8);
            let Some(byte) = self.mapping.byte(page / 8) else {
                return Err(Error::Log(format!("page {page:#x} is beyond its end")));
            };
            byte.fetch_or(bits, Ordering::SeqCst);
            page = end + 1;
        }
        Ok(())
    }

    /// Tells whether the page at a guest-physical address is marked now.
    pub fn is_marked(&self, guest: u64) -> bool {
        let page = guest / LOG_PAGE;
        let byte = self.mapping.byte(page / 8);
        byte.is_some_and(|byte| byte.load(Ordering::SeqCst) & (1 << (page % 8)) != 0)
    }
}
