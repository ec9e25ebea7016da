// SPDX-License-Identifier: GPL-2.0

//! The page counters, and the steps on them that every populate and unpopulate takes.

use super::bindings as helpers;
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The page counters. Any context; nothing here sleeps or locks.
pub(crate) struct PageCounters {
    /// Pages that are counted now.
    pub(crate) pages: Atomic<u64>,
    /// Of these, for DMA32 pools.
    pub(crate) dma32: Atomic<u64>,
    /// Of `pages`, those of charges that are in a device's list.
    pub(crate) listed: Atomic<u64>,
    /// Changes begun, ever.
    pub(crate) begun: Atomic<u64>,
    /// Changes finished, ever.
    pub(crate) finished: Atomic<u64>,
}

/// The limits in force, as [`params`](super::params) computes them: the limit on pages is at most what
/// the machine has, and 0 with hard limits. At or below them nothing else needs to be checked.
struct Bounds {
    pages: Atomic<u64>,
    dma32: Atomic<u64>,
}

static BOUNDS: Bounds = Bounds {
    pages: Atomic::new(u64::MAX),
    dma32: Atomic::new(u64::MAX),
};

/// Sets the bounds. Any context.
pub(super) fn set_bounds(pages: u64, dma32: u64) {
    BOUNDS.pages.store(pages, Relaxed);
    BOUNDS.dma32.store(dma32, Relaxed);
}

/// What became of a charge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charged {
    /// It is counted, within the bounds.
    Within,
    /// It is counted, and a counter is above its bound.
    Over,
    /// It is not counted: by itself it is above the bound.
    Not,
}

/// Waits until the upper half of `word` is not `seen`. Returns `EINTR` if a fatal signal arrived
/// before. May sleep.
pub(crate) fn wait_until_settled(word: &Atomic<u64>, seen: u32) -> Result {
    let word = core::ptr::from_ref(word).cast_mut().cast();
    // SAFETY: The helper reads an `atomic64_t`, which an `Atomic<u64>` is laid out as, until it
    // returns; the reference is valid for that long. It sleeps, as this function says.
    to_result(unsafe { helpers::reeve_helper_settled_wait(word, seen) }).map_err(|_| EINTR)
}

/// Has those that wait look again. Any context.
pub(crate) fn wake_settled() {
    // SAFETY: `wake_up_all()` of a static queue may be called in any context.
    unsafe { helpers::reeve_helper_settled_wake() };
}

impl PageCounters {
    /// Makes counters that are all 0.
    pub(crate) const fn new() -> Self {
        Self {
            pages: Atomic::new(0),
            dma32: Atomic::new(0),
            listed: Atomic::new(0),
            begun: Atomic::new(0),
            finished: Atomic::new(0),
        }
    }

    /// Adds `pages` for an object of `whole` pages; to the DMA32 counter too if `dma32`.
    ///
    /// Nothing is counted if `whole` by itself is above the bound: the module's limit, or what the
    /// machine has if that is less, and 0 if the limits are hard.
    #[inline(always)]
    pub(crate) fn charge(&self, pages: u64, whole: u64, dma32: bool) -> Charged {
        if whole > BOUNDS.pages.load(Relaxed) {
            return Charged::Not;
        }
        if dma32 {
            self.dma32.add(pages, Relaxed);
        }
        self.pages.add(pages, Relaxed);
        // Other CPUs add, too; the last one to add reads the sum.
        if self.pages.load(Relaxed) > BOUNDS.pages.load(Relaxed)
            || self.dma32.load(Relaxed) > BOUNDS.dma32.load(Relaxed)
        {
            return Charged::Over;
        }
        Charged::Within
    }

    /// Undoes [`PageCounters::charge`].
    #[inline(always)]
    pub(crate) fn uncharge(&self, pages: u64, dma32: bool) {
        self.pages.add(pages.wrapping_neg(), Relaxed);
        if dma32 {
            self.dma32.add(pages.wrapping_neg(), Relaxed);
        }
    }
}
