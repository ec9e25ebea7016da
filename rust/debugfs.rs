// SPDX-License-Identifier: GPL-2.0

//! /sys/kernel/debug/reeve: the directory that each system puts its files into.

#![deny(unsafe_code)]

use crate::abstractions::debugfs::Dir;

/// The directory; dropping it removes it.
pub(crate) struct Root {
    dir: Dir,
}

impl Root {
    /// Makes the directory. Without debugfs it is an empty value and everything else works.
    pub(crate) fn new() -> Self {
        Self {
            dir: Dir::new(c"reeve"),
        }
    }

    /// Where a system's files go.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }
}
