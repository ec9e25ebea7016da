// SPDX-License-Identifier: GPL-2.0-or-later

//! Typed views of plain numbers of the ABI.

use std::fmt;

use reeve_host::lock_order::rules::sanity::cases::CASES;

use crate::sys;

/// Names a buffer object on the open file it was made on.
///
/// Any number can be wrapped: whether it names something is for the module to say (ENOENT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(u32);

impl Handle {
    /// Wraps a number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a buffer object is for; decides whether its pages are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BoType {
    /// For user space and the device.
    Device = sys::REEVE_BO_TYPE_DEVICE,
    /// For the driver itself.
    Kernel = sys::REEVE_BO_TYPE_KERNEL,
    /// Pages of another driver: external, not counted.
    Sg = sys::REEVE_BO_TYPE_SG,
}

impl BoType {
    /// Every type, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Device, Self::Kernel, Self::Sg];

    /// The type of this number, if there is one.
    pub fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == raw)
    }

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Kernel => "kernel",
            Self::Sg => "sg",
        }
    }
}

/// How an object's pages are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Caching {
    /// Write-back cached, as normal memory.
    Cached = sys::REEVE_CACHING_CACHED,
    /// Write-combined.
    WriteCombined = sys::REEVE_CACHING_WRITE_COMBINED,
    /// Uncached.
    Uncached = sys::REEVE_CACHING_UNCACHED,
}

impl Caching {
    /// Every mode, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Cached, Self::WriteCombined, Self::Uncached];

    /// The mode of this number, if there is one.
    pub fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| *mode as u32 == raw)
    }

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::WriteCombined => "wc",
            Self::Uncached => "uc",
        }
    }
}

/// The calls that take a handle and return a number of pages (`struct reeve_bo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoCall {
    /// Destroys the object.
    Destroy,
    /// Populates it: gives it its pages, and its content.
    Populate,
    /// Drops pages and content.
    Unpopulate,
    /// Keeps a populated object in memory.
    Pin,
    /// Undoes one pin.
    Unpin,
    /// Swaps it out: moves its content to shmem and frees its pages.
    Swapout,
    /// Moves its content to its backup, as far as memory goes.
    Backup,
    /// Restores its pages and content from its backup.
    Restore,
    /// Gives it a dirty log.
    LogStart,
    /// Frees its dirty log.
    LogStop,
}

impl BoCall {
    /// Every call of this shape.
    pub const ALL: [Self; 10] = [
        Self::Destroy,
        Self::Populate,
        Self::Unpopulate,
        Self::Pin,
        Self::Unpin,
        Self::Swapout,
        Self::Backup,
        Self::Restore,
        Self::LogStart,
        Self::LogStop,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Populate => "populate",
            Self::Unpopulate => "unpopulate",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::Swapout => "swapout",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::LogStart => "log start",
            Self::LogStop => "log stop",
        }
    }
}

/// The names of the cases of the lock sanity suite, in the order they run: those of the table that
/// the module runs.
pub const LOCK_SANITY_NAMES: [&str; sys::REEVE_LOCK_SANITY_CASES as usize] = {
    assert!(CASES.len() == sys::REEVE_LOCK_SANITY_CASES as usize);
    let mut names = [""; CASES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = CASES[index].name;
        index += 1;
    }
    names
};

/// The text before the first NUL of a fixed array, as far as it is UTF-8.
fn text(bytes: &[u8]) -> &str {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "?",
    }
}

impl sys::reeve_version {
    /// The module's version as text.
    pub fn release_text(&self) -> &str {
        text(&self.release)
    }
}

impl sys::reeve_bo_info {
    /// True when this `REEVE_BO_*` bit is set.
    pub const fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The typed handle.
    pub const fn handle(&self) -> Handle {
        Handle::new(self.handle)
    }
}

impl sys::reeve_lock_sanity {
    /// The results that the module filled in.
    pub fn results(&self) -> &[sys::reeve_lock_sanity_case] {
        let count =
            usize::try_from(self.count).map_or(self.cases.len(), |n| n.min(self.cases.len()));
        &self.cases[..count]
    }
}

impl sys::reeve_lock_sanity_case {
    /// The case's name as text.
    pub fn name_text(&self) -> &str {
        text(&self.name)
    }

    /// True when it ran and every check in it held.
    pub const fn passed(&self) -> bool {
        self.status == sys::REEVE_CASE_PASSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_the_first_nul() {
        assert_eq!(text(b"0.1.0\0junk"), "0.1.0");
        assert_eq!(text(b"full"), "full");
        assert_eq!(text(b"\0"), "");
        assert_eq!(text(b"\xff\0"), "?");
    }

    #[test]
    fn types_round_trip() {
        for kind in BoType::ALL {
            assert_eq!(BoType::from_raw(kind as u32), Some(kind));
        }
        assert_eq!(BoType::from_raw(3), None);
        for mode in Caching::ALL {
            assert_eq!(Caching::from_raw(mode as u32), Some(mode));
        }
        assert_eq!(Caching::from_raw(3), None);
    }

    #[test]
    fn results_never_read_past_the_array() {
        let mut sanity = sys::reeve_lock_sanity {
            count: 2,
            ..Default::default()
        };
        assert_eq!(sanity.results().len(), 2);
        sanity.count = u32::MAX;
        assert_eq!(sanity.results().len(), 20);
    }

    #[test]
    fn names_fit_their_field() {
        for name in LOCK_SANITY_NAMES {
            assert!(name.len() < 64, "{name}");
        }
    }
}
