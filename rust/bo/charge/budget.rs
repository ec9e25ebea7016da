// SPDX-License-Identifier: GPL-2.0

//! What an owner of buffer objects, a client or a user, has charged.
#![deny(unsafe_code)]

use crate::bo::{
    counters,
    rules::client_limit::Use, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed, //
};

/// The pages that an owner has charged. Any context; nothing here sleeps or locks.
pub(crate) struct Budget {
    /// Pages charged.
    charged: Atomic<u64>,
    /// Of these, the pages of populates that are in progress.
    in_flight: Atomic<u64>,
    /// Pages whose content is in storage.
    stored: Atomic<u64>,
    /// Pages charged that are pinned.
    pinned: Atomic<u64>,
}

impl Budget {
    /// Makes one of nothing.
    pub(in crate::bo) const fn new() -> Self {
        Self {
            charged: Atomic::new(0),
            in_flight: Atomic::new(0),
            stored: Atomic::new(0),
            pinned: Atomic::new(0),
        }
    }

    /// Returns the number of pages charged, including those that are being populated.
    #[inline]
    pub(crate) fn charged(&self) -> u64 {
        self.charged.load(Relaxed)
    }

    /// Returns the number of pages whose content is in storage.
    #[inline]
    pub(in crate::bo) fn stored(&self) -> u64 {
        self.stored.load(Relaxed)
    }

    /// Returns the number of pages charged that are pinned.
    pub(in crate::bo) fn pinned(&self) -> u64 {
        self.pinned.load(Relaxed)
    }

    /// Returns how much is charged, and what of it is being populated.
    pub(in crate::bo) fn in_use(&self) -> Use {
        // In this order: what stops to be in flight meanwhile was charged before.
        let charged = self.charged.load(Acquire);
        let in_flight = self.in_flight.load(Relaxed);
        Use { charged, in_flight }
    }

    /// Charges pages for a populate that begins.
    #[inline]
    pub(in crate::bo) fn begin(&self, pages: u64) {
        self.in_flight.add(pages, Relaxed);
        self.charged.fetch_add(pages, Full);
    }

    /// Charges pages for a populate that begins, if they are within the limit. Returns whether they
    /// are.
    pub(in crate::bo) fn begin_within(&self, pages: u64, limit: Option<u64>) -> bool {
        let within = counters::raise(&self.charged, pages, limit.unwrap_or(u64::MAX));
        if within {
            self.in_flight.add(pages, Relaxed);
        }
        within
    }

    /// Ends a populate that succeeded: its pages stay charged.
    #[inline]
    pub(in crate::bo) fn finish(&self, pages: u64) {
        self.in_flight.fetch_sub(pages, Full);
    }

    /// Ends a populate that failed.
    pub(in crate::bo) fn abort(&self, pages: u64) {
        self.charged.fetch_sub(pages, Full);
        self.in_flight.fetch_sub(pages, Relaxed);
    }

    /// Uncharges pages that had stayed charged.
    #[inline]
    pub(in crate::bo) fn release(&self, pages: u64) {
        self.charged.fetch_sub(pages, Relaxed);
    }

    /// Counts that the content in storage went from `before` pages of an object to `after`.
    pub(in crate::bo) fn restored(&self, before: u64, after: u64) {
        replace(&self.stored, before, after);
    }

    /// Counts that the pinned pages of an object went from `before` to `after`.
    pub(in crate::bo) fn repinned(&self, before: u64, after: u64) {
        replace(&self.pinned, before, after);
    }
}

/// Replaces what one object adds to a sum: `before` by `after`.
fn replace(sum: &Atomic<u64>, before: u64, after: u64) {
    if after > before {
        sum.add(after - before, Relaxed);
    } else if after < before {
        sum.fetch_sub(before - after, Relaxed);
    }
}
