// SPDX-License-Identifier: GPL-2.0

//! How long operations take: histograms, and tracepoints while they are enabled.
//!
//! The operations themselves are wrapped where they are called for, so nothing in here changes what
//! they do. One that is timed costs two looks at the clock and one atomic addition; one that is not
//! costs a call. Only what succeeded and moved pages goes into a histogram, while tracepoints show
//! failures, too.

mod events;

use super::{
    device::Device,
    object::Bo,
    pool::Pool,
    rules::{
        histogram::{
            self,
            BUCKETS, //
        },
        state::State, //
    },
    trace::events::{
        Begun,
        Event,
        Operation,
        Overcommit, //
    },
    tt::Tt,
    Manager, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// How often an operation took how long.
///
/// Any context; nothing here sleeps or locks.
pub(crate) struct Histogram([Atomic<u64>; BUCKETS]);

impl Histogram {
    pub(super) const fn new() -> Self {
        Self([const { Atomic::new(0) }; BUCKETS])
    }

    fn record(&self, nanoseconds: u64) {
        if let Some(bucket) = self.0.get(histogram::bucket_of(nanoseconds)) {
            bucket.add(1u64, Relaxed);
        }
    }

    /// The operations in each of the buckets of [`histogram::bounds`].
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|bucket| bucket.load(Relaxed))
    }

    /// All operations.
    #[cfg(reeve_kunit)]
    pub(crate) fn total(&self) -> u64 {
        self.counts().sum()
    }
}

/// The histograms of operations on buffer objects. But for the last, no operation is in two of them.
pub(crate) struct Times {
    /// Populates that gave new pages.
    pub(crate) populate: Histogram,
    /// Swapouts.
    pub(crate) swapout: Histogram,
    /// Populates that brought content back from swap.
    pub(crate) swapin: Histogram,
    /// Backups, whole and partial ones.
    pub(crate) backup: Histogram,
    /// Populates that brought content back from a backup.
    pub(crate) restore: Histogram,
    /// Calls of the objects' shrinker that freed pages. What they consist of is in `backup`, too.
    pub(crate) bo_shrink: Histogram,
}

impl Times {
    pub(super) const fn new() -> Self {
        Self {
            populate: Histogram::new(),
            swapout: Histogram::new(),
            swapin: Histogram::new(),
            backup: Histogram::new(),
            restore: Histogram::new(),
            bo_shrink: Histogram::new(),
        }
    }
}

/// Every histogram there is, with the name of its operation.
pub(super) fn histograms(manager: &Manager) -> [(&'static str, &Histogram); 7] {
    let times = &manager.accounting().statistics.times;
    [
        ("populate", &times.populate),
        ("swapout", &times.swapout),
        ("swapin", &times.swapin),
        ("backup", &times.backup),
        ("restore", &times.restore),
        ("bo_shrink", &times.bo_shrink),
        ("pool_shrink", &manager.pool().statistics.shrink_times),
    ]
}

/// Does `operation`, which populates `tt` and answers the pages gained.
#[inline]
pub(super) fn populate(
    bo: &Bo,
    tt: &mut Tt,
    operation: impl FnOnce(&mut Tt) -> Result<u64>,
) -> Result<u64> {
    let from = tt.state();
    let missing = tt.num_pages().saturating_sub(tt.resident_pages());
    let begun = match from {
        State::Empty => Begun::with_pages(missing),
        // Bringing content back takes long whatever its size.
        _ => Begun::now(),
    };
    let result = operation(tt);
    if let Some(begun) = begun {
        let times = &bo.device().accounting().statistics.times;
        let (event, histogram) = match from {
            State::Swapped => (Event::Swapin, &times.swapin),
            State::BackedUp | State::PartlyBackedUp => (Event::Restore, &times.restore),
            State::Empty | State::Populated => (Event::Populate, &times.populate),
        };
        finished(bo, event, Some(histogram), &begun, missing, &result);
    }
    result
}

/// Does `operation`, which swaps out `pages` pages of `bo` and answers the pages lost.
#[inline]
pub(super) fn swap_out(
    bo: &Bo,
    pages: u64,
    operation: impl FnOnce() -> Result<u64>,
) -> Result<u64> {
    let begun = Begun::now();
    let result = operation();
    if let Some(begun) = begun {
        let histogram = &bo.device().accounting().statistics.times.swapout;
        finished(bo, Event::Swapout, Some(histogram), &begun, pages, &result);
    }
    result
}

/// Does `operation`, which moves up to `pages` pages of `bo` to its backup and answers how many.
#[inline]
pub(super) fn back_up(bo: &Bo, pages: u64, operation: impl FnOnce() -> Result<u64>) -> Result<u64> {
    let begun = Begun::now();
    let result = operation();
    if let Some(begun) = begun {
        let histogram = &bo.device().accounting().statistics.times.backup;
        finished(bo, Event::Backup, Some(histogram), &begun, pages, &result);
    }
    result
}

/// Does `operation`, which drops the pages of `bo`, if it has any, and answers the pages lost.
#[inline]
pub(super) fn unpopulate(bo: &Bo, operation: impl FnOnce() -> u64) -> u64 {
    let begun = Begun::if_traced();
    let lost = operation();
    if let (Some(begun), 1..) = (begun, lost) {
        finished(bo, Event::Unpopulate, None, &begun, lost, &Ok(lost));
    }
    lost
}

/// Counts and traces an operation; `asked`: the pages it was about.
#[inline(never)]
fn finished(
    bo: &Bo,
    event: Event,
    histogram: Option<&Histogram>,
    begun: &Begun,
    asked: u64,
    result: &Result<u64>,
) {
    let duration = begun.elapsed();
    if let (Some(histogram), Ok(1..)) = (histogram, result) {
        histogram.record(duration);
    }
    event.fire(Operation {
        device: bo.device().index(),
        bo: core::ptr::from_ref(bo).addr(),
        pages: result.unwrap_or(asked),
        duration,
        result: result.map(|_| ()),
    });
}

/// Traces that a populate with `pages` pages went on over a limit.
pub(super) fn overcommitted(device: &Device, pages: u64) {
    let accounting = device.accounting();
    let (counted, limits) = (accounting.counted(), accounting.limits.get());
    events::overcommit(Overcommit {
        device: device.index(),
        pages,
        allocated: counted.pages,
        limit: limits.pages,
        dma32_allocated: counted.dma32,
        dma32_limit: limits.dma32,
    });
}

/// Does `operation`, which moves pages of objects out of memory for reclaim and answers how many.
pub(super) fn bo_shrink(manager: &Manager, operation: impl FnOnce() -> u64) -> u64 {
    let begun = Begun::now();
    let freed = operation();
    if let (Some(begun), 1..) = (begun, freed) {
        let times = &manager.accounting().statistics.times;
        times.bo_shrink.record(begun.elapsed());
    }
    freed
}

/// Does `operation`, which gives about `wanted` pages of a memory node from the pool back to the
/// system and answers how many it were.
pub(super) fn pool_shrink(
    pool: &Pool,
    node: usize,
    wanted: u64,
    operation: impl FnOnce() -> u64,
) -> u64 {
    let begun = Begun::now();
    let freed = operation();
    if let Some(begun) = begun {
        let duration = begun.elapsed();
        if freed != 0 {
            pool.statistics.shrink_times.record(duration);
        }
        events::pool_shrink(node, wanted, freed, duration);
    }
    freed
}
