// SPDX-License-Identifier: GPL-2.0

//! The counters of page accounting.
#![deny(unsafe_code)]

use super::{
    limits::Limits,
    rules::limits::{
        self,
        Amount,
        Sample, //
    },
    trace::Times, //
};
use crate::abstractions::page_counters::PageCounters;
use kernel::{
    processor::cpu_relax,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        barrier::smp_mb, //
    }, //
};

/// How often the counters are looked at again before it is said that they change too fast.
const STABLE_ATTEMPTS: u32 = 100;

/// Counts things that happened.
pub(crate) struct Event(Atomic<u64>);

impl Event {
    pub(super) const fn new() -> Self {
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

/// What happened so far. `populates - unpopulates - swapouts - backups` is the number of
/// charged TTs.
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
    /// TTs backed up to the end.
    pub(crate) backups: Event,
    /// TTs whose backup was taken back, in whole or in part.
    pub(crate) restores: Event,
    /// Pages backed up.
    pub(crate) backed_up_pages: Event,
    /// Populates that went on over a limit of the module.
    pub(crate) overcommits: Event,
    /// Populates that went on over the limit of an open file.
    pub(crate) file_overcommits: Event,
    /// Populates refused because they would have gone over a limit that is hard.
    pub(crate) refusals: Event,
    /// Calls of the objects' shrinker by the kernel's background reclaim.
    pub(crate) background_scans: Event,
    /// Calls of it by others, who wait for memory.
    pub(crate) direct_scans: Event,
    /// Pages of objects that it moved out of memory.
    pub(crate) shrunk_pages: Event,
    /// Faults of user mappings that mapped pages.
    pub(crate) faults: Event,
    /// Of these, those that mapped a large block with one entry.
    pub(crate) huge_faults: Event,
    /// How long operations took.
    pub(crate) times: Times,
}

/// The counters and limits that all devices share.
///
/// Any context; nothing here sleeps or locks. Only [`super::charge::Charge`] changes what is counted;
/// only the devices' lists change what of it is listed, through [`Accounting::change`].
pub(crate) struct Accounting {
    counters: PageCounters,
    objects: Atomic<u64>,
    /// What happened so far.
    pub(crate) statistics: Statistics,
    /// The soft limits.
    pub(crate) limits: Limits,
}

/// Permission to change what is listed; see [`Accounting::change`].
pub(super) struct Change<'a>(&'a Accounting);

impl Accounting {
    /// Opens accounting with everything at 0.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            counters: PageCounters::new(),
            objects: Atomic::new(0),
            statistics: Statistics {
                populates: Event::new(),
                unpopulates: Event::new(),
                swapouts: Event::new(),
                swapins: Event::new(),
                swapped_pages: Event::new(),
                backups: Event::new(),
                restores: Event::new(),
                backed_up_pages: Event::new(),
                overcommits: Event::new(),
                file_overcommits: Event::new(),
                refusals: Event::new(),
                background_scans: Event::new(),
                direct_scans: Event::new(),
                shrunk_pages: Event::new(),
                faults: Event::new(),
                huge_faults: Event::new(),
                times: Times::new(),
            },
            limits,
        }
    }

    /// Returns the number of pages counted.
    #[inline]
    pub(crate) fn counted(&self) -> Amount {
        Amount {
            pages: self.counters.pages.load(Relaxed),
            dma32: self.counters.dma32.load(Relaxed),
        }
    }

    /// Returns whether more is counted than the limits allow.
    #[inline]
    pub(crate) fn over_limit(&self) -> bool {
        limits::over_limit(self.counted(), self.limits.get())
    }

    /// Returns whether more is counted than the limits allow, without what is being populated: those
    /// populates make room themselves. `false` also if the counters change too fast to tell.
    pub(super) fn stable_over_limit(&self) -> bool {
        for _ in 0..STABLE_ATTEMPTS {
            let before = self.sample();
            let mut counted = self.counted();
            if before.begun == before.finished && before == self.sample() {
                counted.pages = counted.pages.saturating_sub(before.in_flight);
                if before.in_flight != 0 {
                    // How much of it is for DMA32 is not known.
                    counted.dma32 = 0;
                }
                return limits::over_limit(counted, self.limits.get());
            }
            cpu_relax();
        }
        false
    }

    /// Returns the number of buffer objects alive.
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

    /// Counts pages that are in flight. Returns whether that may be over a limit, or more than the
    /// machine has.
    #[inline]
    pub(super) fn charge(&self, pages: u64, dma32: bool) -> bool {
        let over = self.counters.charge(pages, dma32);
        // Limits of a test's own are not those that were looked at.
        #[cfg(reeve_kunit)]
        let over = over || self.over_limit();
        over
    }

    /// Takes back pages that are in flight.
    #[inline]
    pub(super) fn uncharge(&self, pages: u64, dma32: bool) {
        self.counters.uncharge(pages, dma32);
    }

    /// Runs `f`, which moves charged TTs in and out of a device's list.
    ///
    /// A reader can tell that a change began or ended while it was adding up; see
    /// [`crate::bo::rules::limits::verdict`]. Keep `f` short and don't sleep in it: readers look again until it is done.
    #[inline]
    pub(super) fn change<R>(&self, f: impl FnOnce(Change<'_>) -> R) -> R {
        self.counters.begun.fetch_add(1u64, Full);
        let result = f(Change(self));
        self.counters.finished.fetch_add(1u64, Full);
        result
    }

    /// Returns the counters as they are now, to be compared with a later sample.
    pub(super) fn sample(&self) -> Sample {
        smp_mb(Full);
        // In this order: if both are equal, nothing was going on when `begun` was read.
        let finished = self.counters.finished.load(Acquire);
        let begun = self.counters.begun.load(Acquire);
        // In this order: nothing is counted less while it is listed.
        let listed = self.counters.listed.load(Acquire);
        let counted = self.counters.pages.load(Acquire);
        let sample = Sample {
            begun,
            finished,
            counted,
            in_flight: counted.saturating_sub(listed),
        };
        smp_mb(Full);
        sample
    }
}

impl Change<'_> {
    /// A charge of `pages` is in a device's list from now on.
    #[inline]
    pub(super) fn listed(&self, pages: u64) {
        self.0.counters.listed.add(pages, Relaxed);
    }

    /// A charge of `pages` is in no device's list any more.
    #[inline]
    pub(super) fn unlisted(&self, pages: u64) {
        self.0.counters.listed.fetch_sub(pages, Relaxed);
    }
}
