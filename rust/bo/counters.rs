// SPDX-License-Identifier: GPL-2.0

//! The counters of page accounting.
#![deny(unsafe_code)]

use super::{
    charge::settling::Settling,
    limits::Limits,
    rules::limits::{
        self,
        Amount,
        Sample, //
    },
    trace::Times, //
};
use crate::abstractions::page_counters::{
    Charged,
    PageCounters, //
};
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

    /// Returns how often it happened.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The table of all statistics, each declared once, in the order of the debugfs file `accounting`.
///
/// Calls `$then` with the table. `values` are computed when they are read, from the manager
/// `$manager`; `events` are counters, fields of [`Statistics`]. Each says where it is shown: `ioctl`
/// is the field of this name in `struct reeve_stats`, `debugfs` the line of this name in
/// `accounting`, and `both` are both.
macro_rules! statistics_table {
    ($then:ident!($manager:ident $($arguments:tt)*)) => {
        $then! {
            ($manager $($arguments)*)
            values {
                both pages_allocated = $manager.accounting().counted().pages;
                both dma32_pages_allocated = $manager.accounting().counted().dma32;
                both pages_limit = $manager.accounting().limits.nominal().pages;
                both dma32_pages_limit = $manager.accounting().limits.nominal().dma32;
                debugfs external_pages = $manager.accounting().limits.external();
                debugfs stored_pages = $manager.accounting().limits.stored();
                debugfs pinned_pages = $manager.accounting().pinned_pages();
                debugfs file_pages_limit = $manager.accounting().limits.of_a_file();
                debugfs open_files = $crate::lock_order::with_context(|| $manager.open_files());
                both pool_pages = $manager.pool().kept();
                both page_pool_size = $manager.pool().cap();
                both buffer_objects = $manager.accounting().objects();
                ioctl lock_violations = $crate::lock_order::total_violations();
            }
            events {
                /// Populates that gave pages.
                both populates;
                /// Times pages were dropped with their content.
                both unpopulates;
                /// TTs swapped out.
                both swapouts;
                /// TTs swapped in, also counted as populates.
                both swapins;
                /// Pages swapped out.
                both swapped_pages;
                /// TTs backed up to the end.
                both backups;
                /// TTs whose backup was restored, in whole or in part.
                both restores;
                /// Pages backed up.
                both backed_up_pages;
                /// Populates that went on over a limit of the module.
                both overcommits;
                /// Populates that went on over the limit of an open file.
                both file_overcommits;
                /// Populates that went on over the limit of a user.
                debugfs user_overcommits;
                /// Populates refused because they would have exceeded a hard limit.
                debugfs refusals;
            }
            values {
                debugfs evictable_pages = $crate::lock_order::with_context(|| $manager.evictable_pages());
            }
            events {
                /// Scans of the objects' shrinker by the kernel's background reclaim.
                debugfs background_scans;
                /// Scans of it by direct reclaim: tasks that wait for memory.
                debugfs direct_scans;
                /// Pages of objects that it swapped out.
                debugfs shrunk_pages;
            }
            values {
                debugfs hibernation_prepares = $manager.hibernation.prepares.get();
                debugfs hibernation_pages = $manager.hibernation.pages.get();
                debugfs hibernation_failures = $manager.hibernation.failures.get();
            }
            events {
                /// Faults of user mappings that mapped pages.
                both faults;
                /// Of these, those that mapped a large block with one entry.
                both huge_faults;
            }
            values {
                debugfs pool_scans = $manager.pool().statistics.scans.get();
                debugfs pool_scanned_pages = $manager.pool().statistics.scanned_pages.get();
            }
            events {}
        }
    };
}
pub(crate) use statistics_table;

/// Calls the macro `$each` for each statistic, as `$each!(place name = value);`, where the value is
/// an expression that reads it from the manager `$manager`.
macro_rules! for_each_statistic {
    ($manager:ident, $each:ident) => {
        $crate::bo::counters::statistics_table! {
            for_each_statistic!($manager $each)
        }
    };
    (
        ($manager:ident $each:ident)
        $(
            values { $($value_place:ident $value:ident = $read:expr;)* }
            events { $($(#[$doc:meta])* $event_place:ident $event:ident;)* }
        )*
    ) => {
        $(
            $($each!($value_place $value = $read);)*
            $($each!(
                $event_place $event = $manager.accounting().statistics.$event.get()
            );)*
        )*
    };
}
pub(crate) use for_each_statistic;

/// Declares [`Statistics`] from the table.
macro_rules! declare {
    (
        ($manager:ident)
        $(
            values { $($value_place:ident $value:ident = $read:expr;)* }
            events { $($(#[$doc:meta])* $event_place:ident $event:ident;)* }
        )*
    ) => {
        /// Counters of what happened so far. `populates - unpopulates - swapouts - backups` is the
        /// number of charged TTs.
        pub(crate) struct Statistics {
            $($($(#[$doc])* pub(crate) $event: Event,)*)*
            /// How long operations took.
            pub(crate) times: Times,
        }

        impl Statistics {
            const fn new() -> Self {
                Self {
                    $($($event: Event::new(),)*)*
                    times: Times::new(),
                }
            }
        }
    };
}
statistics_table!(declare!(manager));

/// The counters and limits that all devices share.
///
/// Any context; nothing here sleeps or locks. Only [`super::charge::Charge`] changes what is counted;
/// only the devices' lists change what of it is listed, through [`Accounting::change`].
pub(crate) struct Accounting {
    counters: PageCounters,
    objects: Atomic<u64>,
    /// What happened so far.
    pub(crate) statistics: Statistics,
    /// The limits, and what counts beside the counters.
    pub(crate) limits: Limits,
    /// Pages of objects that open files have pinned.
    pub(super) pinned: Atomic<u64>,
    /// What is in flight, for those that wait for room.
    pub(super) settling: Settling,
}

/// Permission to change what is listed; see [`Accounting::change`].
pub(super) struct Change<'a>(&'a Accounting);

impl Accounting {
    /// Opens accounting with everything at 0.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            counters: PageCounters::new(),
            objects: Atomic::new(0),
            statistics: Statistics::new(),
            limits,
            pinned: Atomic::new(0),
            settling: Settling::new(),
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
        limits::over_limit(self.counted(), self.limits.get()) || self.limits.is_exceeded_beside()
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

    /// Returns the number of pages of objects that open files have pinned.
    pub(crate) fn pinned_pages(&self) -> u64 {
        self.pinned.load(Relaxed)
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

    /// Counts pages that are in flight, of an object of `whole` pages, unless it may be that this
    /// can't succeed.
    #[inline]
    pub(super) fn charge(&self, pages: u64, whole: u64, dma32: bool) -> Charged {
        // Limits of a test's own are not those that the counters are compared with.
        #[cfg(reeve_kunit)]
        if !self.limits.are_parameters() {
            if self.limits.are_hard() || whole > self.limits.nominal().pages {
                return Charged::Not;
            }
            let charged = self.counters.charge(pages, whole, dma32);
            return match charged {
                Charged::Within if self.over_limit() => Charged::Over,
                charged => charged,
            };
        }
        self.counters.charge(pages, whole, dma32)
    }

    /// Does what [`Accounting::charge`] does with pages for a DMA32 pool.
    #[cold]
    pub(super) fn charge_dma32(&self, pages: u64, whole: u64) -> Charged {
        self.charge(pages, whole, true)
    }

    /// Counts pages that are in flight.
    pub(super) fn charge_anyway(&self, pages: u64, dma32: bool) {
        if dma32 {
            self.counters.dma32.add(pages, Relaxed);
        }
        self.counters.pages.fetch_add(pages, Full);
    }

    /// Counts pages that are in flight, if that is within the limits. Returns whether it is.
    pub(super) fn charge_within(&self, pages: u64, dma32: bool) -> bool {
        let limit = self.limits.get();
        let counters = &self.counters;
        if dma32 && !raise(&counters.dma32, pages, limit.dma32) {
            return false;
        }
        if raise(&counters.pages, pages, limit.pages) {
            return true;
        }
        if dma32 {
            counters.dma32.fetch_sub(pages, Relaxed);
        }
        false
    }

    /// Takes back pages that are in flight.
    #[inline]
    pub(super) fn uncharge(&self, pages: u64, dma32: bool) {
        self.counters.uncharge(pages, dma32);
    }

    /// Takes back pages for a DMA32 pool that are in flight.
    #[cold]
    pub(super) fn uncharge_dma32(&self, pages: u64) {
        self.uncharge(pages, true);
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

/// Adds `pages` to a counter if it is not above `limit` then. Returns whether it did.
pub(super) fn raise(counter: &Atomic<u64>, pages: u64, limit: u64) -> bool {
    let mut counted = counter.load(Relaxed);
    loop {
        match counted.checked_add(pages) {
            Some(sum) if sum <= limit => match counter.cmpxchg(counted, sum, Full) {
                Ok(_) => return true,
                Err(now) => counted = now,
            },
            _ => return false,
        }
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
