// SPDX-License-Identifier: GPL-2.0-or-later

//! Room for held locks: as many as every thread has, and what a thread may ask for beyond.

#![deny(unsafe_code)]

use core::cell::Cell;

/// How many locks of all hierarchies together one thread can hold that did not ask for more.
pub const MAX_HELD: usize = 64;
/// How many one can hold that did.
pub const MAX_HELD_DEEP: usize = 256;

/// One held lock, as it is stored.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) instance: usize,
    pub(super) key: u64,
    pub(super) site: u32,
    pub(super) lock: u16,
    pub(super) hierarchy: usize,
}

/// Room for one of them.
#[repr(C)]
pub(super) struct Place {
    pub(super) instance: Cell<usize>,
    pub(super) key: Cell<u64>,
    pub(super) site: Cell<u32>,
    pub(super) lock: Cell<u16>,
    pub(super) hierarchy: Cell<usize>,
}

/// Room for the locks of one thread beyond [`MAX_HELD`]. All bits 0 are one without locks.
#[repr(C)]
pub struct More([Place; MAX_HELD_DEEP - MAX_HELD]);

impl More {
    /// The place of the lock at `i`; `None`: it is not one of those.
    pub(super) fn place(&self, i: usize) -> Option<&Place> {
        self.0.get(i.checked_sub(MAX_HELD)?)
    }

    /// Without locks.
    pub const fn new() -> Self {
        Self(
            [const {
                Place {
                    instance: Cell::new(0),
                    key: Cell::new(0),
                    site: Cell::new(0),
                    lock: Cell::new(0),
                    hierarchy: Cell::new(0),
                }
            }; MAX_HELD_DEEP - MAX_HELD],
        )
    }
}

impl Default for More {
    fn default() -> Self {
        Self::new()
    }
}
