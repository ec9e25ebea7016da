// SPDX-License-Identifier: GPL-2.0

//! What a buffer object's driver is asked, and told.
#![deny(unsafe_code)]

/// Whether a driver may wait, for a fence or for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It may.
    Yes,
    /// It must not: reclaim is waiting.
    No,
}

/// What happens to the pages of an object that is about to lose them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Their content is kept elsewhere.
    Kept,
    /// Their content is dropped.
    Dropped,
    /// The object is being destroyed: this can't be refused.
    Final,
}
