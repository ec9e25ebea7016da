// SPDX-License-Identifier: GPL-2.0

//! What a buffer object's driver is asked, and told.
#![deny(unsafe_code)]

use kernel::prelude::*;

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

/// The driver of one object. Objects of `/dev/reeve` have none.
///
/// It is called in process context, with no spinlock held. What is behind it stays until
/// [`Driver::released`].
pub(crate) trait Driver: Send + Sync {
    /// Asks for the pages: afterwards the driver does not use them any more. The object is reserved.
    ///
    /// Returns an error if they are in use; then the object stays as it is, in its place in the LRU.
    ///
    /// C original: `move_notify()` and `ttm_bo_wait_ctx()`.
    fn evict_begin(&self, leaving: Leaving, wait: Wait) -> Result;

    /// Tells that the pages stay after all. The object is reserved.
    fn evict_abort(&self);

    /// Takes the driver's own lock if that needs no waiting; `true` also if it has none.
    fn try_lock(&self) -> bool;

    /// Takes the driver's own lock, if it has one. Returns `EINTR` if a fatal signal arrived before, or
    /// `EBUSY` if the driver is gone. May sleep.
    fn lock(&self) -> Result;

    /// Releases what [`Driver::try_lock`] or [`Driver::lock`] took.
    fn unlock(&self);

    /// Tells that the object is destroyed: this is the last call.
    fn released(&self);
}
