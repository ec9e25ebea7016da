// SPDX-License-Identifier: GPL-2.0

//! The counters of page accounting.

use super::limits::Limits;
use crate::pure::accounting::{
    self,
    Amount,
    Sample, //
};
use kernel::sync::{
    atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
    barrier::smp_mb, //
};

/// Counts things that happened.
pub(crate) struct Event(Atomic<u64>);

impl Event {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts one more.
    #[inline]
    pub(super) fn count(&self) {
        self.count_many(1);
    }

    /// Counts `n` more.
    #[inline]
    pub(super) fn count_many(&self, n: u64) {
        self.0.add(n, Relaxed);
    }

    /// How often it happened.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What happened so far. `populates - unpopulates - swapouts` is the number of charged TTs.
pub(crate) struct Statistics {
    /// Populates that gave pages.
    pub(crate) populates: Event,
    /// Times pages were dropped with their content.
    pub(crate) unpopulates: Event,
    /// TTs swapped out.
    pub(crate) swapouts: Event,
    /// TTs swapped in, also counted as populates.
    pub(crate) swapins: Event,
    /// Pages swapped out.
    pub(crate) swapped_pages: Event,
    /// Populates that went on over a limit.
    pub(crate) overcommits: Event,
}

/// The counters and limits that all devices share.
///
/// Any context; nothing here sleeps or locks. Only [`super::charge::Charge`] and the devices' lists
/// change the page counters, through [`Books::change`].
pub(crate) struct Books {
    pages: Atomic<u64>,
    dma32: Atomic<u64>,
    /// Of `pages`, those of charges that are in no device's list.
    in_flight: Atomic<u64>,
    begun: Atomic<u64>,
    finished: Atomic<u64>,
    objects: Atomic<u64>,
    /// What happened so far.
    pub(crate) statistics: Statistics,
    /// The soft limits.
    pub(crate) limits: Limits,
}

/// Permission to change the page counters; see [`Books::change`].
pub(super) struct Change<'a>(&'a Books);

impl Books {
    /// Opens books with everything at 0.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            pages: Atomic::new(0),
            dma32: Atomic::new(0),
            in_flight: Atomic::new(0),
            begun: Atomic::new(0),
            finished: Atomic::new(0),
            objects: Atomic::new(0),
            statistics: Statistics {
                populates: Event::new(),
                unpopulates: Event::new(),
                swapouts: Event::new(),
                swapins: Event::new(),
                swapped_pages: Event::new(),
                overcommits: Event::new(),
            },
            limits,
        }
    }

    /// Pages counted now.
    #[inline]
    pub(crate) fn counted(&self) -> Amount {
        Amount {
            pages: self.pages.load(Relaxed),
            dma32: self.dma32.load(Relaxed),
        }
    }

    /// Whether more is counted than may be.
    #[inline]
    pub(crate) fn over_limit(&self) -> bool {
        accounting::over_limit(self.counted(), self.limits.get())
    }

    /// Buffer objects alive.
    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Relaxed)
    }

    /// Counts a new buffer object.
    pub(super) fn object_made(&self) {
        self.objects.add(1u64, Relaxed);
    }

    /// Counts a buffer object that is gone.
    pub(super) fn object_gone(&self) {
        self.objects.fetch_sub(1u64, Relaxed);
    }

    /// Runs `f`, which changes counters or moves charged TTs in and out of a device's list.
    ///
    /// A reader can tell that a change began or ended while it was adding up; see
    /// [`accounting::verdict`]. Keep `f` short and don't sleep in it, for readers wait.
    #[inline]
    pub(super) fn change<R>(&self, f: impl FnOnce(Change<'_>) -> R) -> R {
        self.begun.fetch_add(1u64, Full);
        let result = f(Change(self));
        self.finished.fetch_add(1u64, Full);
        result
    }

    /// The counters as they are now, to be compared with a later sample.
    pub(super) fn sample(&self) -> Sample {
        smp_mb(Full);
        // In this order: if both are equal, nothing was going on when `begun` was read.
        let finished = self.finished.load(Acquire);
        let begun = self.begun.load(Acquire);
        let sample = Sample {
            begun,
            finished,
            counted: self.pages.load(Acquire),
            in_flight: self.in_flight.load(Acquire),
        };
        smp_mb(Full);
        sample
    }
}

impl Change<'_> {
    /// Counts a new charge, in flight.
    #[inline]
    pub(super) fn add(&self, amount: Amount) {
        self.0.in_flight.add(amount.pages, Relaxed);
        self.0.pages.add(amount.pages, Relaxed);
        if amount.dma32 != 0 {
            self.0.dma32.add(amount.dma32, Relaxed);
        }
    }

    /// Takes back a charge that is in flight.
    #[inline]
    pub(super) fn subtract(&self, amount: Amount) {
        self.0.pages.fetch_sub(amount.pages, Relaxed);
        self.0.in_flight.fetch_sub(amount.pages, Relaxed);
        if amount.dma32 != 0 {
            self.0.dma32.fetch_sub(amount.dma32, Relaxed);
        }
    }

    /// A charge of `pages` is in a device's list from now on.
    #[inline]
    pub(super) fn listed(&self, pages: u64) {
        self.0.in_flight.fetch_sub(pages, Relaxed);
    }

    /// A charge of `pages` is in no device's list any more.
    #[inline]
    pub(super) fn unlisted(&self, pages: u64) {
        self.0.in_flight.add(pages, Relaxed);
    }
}
