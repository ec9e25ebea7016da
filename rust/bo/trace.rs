// SPDX-License-Identifier: GPL-2.0

//! How long operations take: histograms, and tracepoints while they are enabled.
//!
//! The operations themselves are wrapped where they are called for, so nothing in here changes what
//! they do. One that is timed costs two looks at the clock and one atomic addition; one that is not
//! costs a call. Only what succeeded and moved pages goes into a histogram, while tracepoints show
//! failures, too.
#![deny(unsafe_code)]

mod events;

use self::events::{
    Begun,
    Event,
    LogEvent,
    LogOperation,
    Operation,
    Overcommit, //
};
use super::rules::{
    histogram::{
        self,
        BUCKETS, //
    },
    limits::Amount,
    state::State, //
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

    /// Returns the number of operations in each of the buckets of [`histogram::bounds`].
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|bucket| bucket.load(Relaxed))
    }

    /// Returns the number of all operations.
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

/// Names the buffer object that an operation is on.
#[derive(Clone, Copy)]
pub(super) struct ObjectId {
    /// The number of its device.
    pub(super) device: u32,
    /// Its address, shown hashed.
    pub(super) address: usize,
}

/// Runs `operation`, which populates the TT of an object with the `missing` pages and returns the
/// pages gained. `from` is the state of the TT before.
#[inline]
pub(super) fn populate(
    bo: ObjectId,
    times: &Times,
    from: State,
    missing: u64,
    operation: impl FnOnce() -> Result<u64>,
) -> Result<u64> {
    // Reading content back takes long whatever its size.
    let begun = Begun::with_pages(if from == State::Empty {
        missing
    } else {
        u64::MAX
    });
    let result = operation();
    if let Some(begun) = begun {
        let (event, histogram) = match from {
            State::Swapped => (Event::Swapin, &times.swapin),
            State::BackedUp | State::PartlyBackedUp => (Event::Restore, &times.restore),
            State::Empty | State::Populated => (Event::Populate, &times.populate),
        };
        finished(bo, event, Some(histogram), &begun, missing, &result);
    }
    result
}

/// Runs `operation`, which swaps out `pages` pages of an object and returns the pages freed.
#[inline]
pub(super) fn swap_out(
    bo: ObjectId,
    times: &Times,
    pages: u64,
    operation: impl FnOnce() -> Result<u64>,
) -> Result<u64> {
    let begun = Begun::now();
    let result = operation();
    if let Some(begun) = begun {
        let histogram = Some(&times.swapout);
        finished(bo, Event::Swapout, histogram, &begun, pages, &result);
    }
    result
}

/// Runs `operation`, which moves up to `pages` pages of an object to its backup and returns how
/// many it moved.
#[inline]
pub(super) fn back_up(
    bo: ObjectId,
    times: &Times,
    pages: u64,
    operation: impl FnOnce() -> Result<u64>,
) -> Result<u64> {
    let begun = Begun::now();
    let result = operation();
    if let Some(begun) = begun {
        let histogram = Some(&times.backup);
        finished(bo, Event::Backup, histogram, &begun, pages, &result);
    }
    result
}

/// Runs `operation`, which drops the pages of an object, if it has any, and returns the pages
/// freed.
#[inline]
pub(super) fn unpopulate(bo: ObjectId, operation: impl FnOnce() -> u64) -> u64 {
    let begun = Begun::if_traced();
    let lost = operation();
    if let (Some(begun), 1..) = (begun, lost) {
        finished(bo, Event::Unpopulate, None, &begun, lost, &Ok(lost));
    }
    lost
}

/// Counts and traces an operation on `asked` pages.
#[inline]
fn finished(
    bo: ObjectId,
    event: Event,
    histogram: Option<&Histogram>,
    begun: &Begun,
    asked: u64,
    result: &Result<u64>,
) {
    let (duration, traced) = begun.end();
    if let (Some(histogram), Ok(1..)) = (histogram, result) {
        histogram.record(duration);
    }
    if traced {
        fire(bo, event, duration, asked, *result);
    }
}

#[cold]
#[inline(never)]
fn fire(bo: ObjectId, event: Event, duration: u64, asked: u64, result: Result<u64>) {
    event.fire(Operation {
        device: bo.device,
        bo: bo.address,
        pages: result.unwrap_or(asked),
        duration,
        result: result.map(|_| ()),
    });
}

/// Traces that the dirty log of an object, in this mode, began with `dirty` of its `pages` pages set.
pub(super) fn log_started(bo: ObjectId, mode: u32, pages: u64, dirty: u64) {
    log_event(LogEvent::Start, bo, mode, (0, pages), dirty);
}

/// Traces that `dirty` bits of a dirty log of `pages` pages were handed out.
pub(super) fn log_got(bo: ObjectId, mode: u32, pages: u64, dirty: u64) {
    log_event(LogEvent::Get, bo, mode, (0, pages), dirty);
}

/// Traces that `cleared` bits of a dirty log were cleared in these pages, given as the first one and
/// their number.
pub(super) fn log_cleared(bo: ObjectId, mode: u32, pages: (u64, u64), cleared: u64) {
    log_event(LogEvent::Clear, bo, mode, pages, cleared);
}

/// Traces that a page fault set the bit of page `index`.
#[cold]
pub(super) fn log_write_fault(bo: ObjectId, mode: u32, index: u64) {
    log_event(LogEvent::WriteFault, bo, mode, (index, 1), 1);
}

/// Traces that a fence was put before an object with this log, of `pages` pages of which `dirty` bits are set.
pub(super) fn log_fenced(bo: ObjectId, mode: u32, pages: u64, dirty: u64) {
    log_event(LogEvent::Fence, bo, mode, (0, pages), dirty);
}

/// Traces that a fence was lifted.
pub(super) fn log_unfenced(bo: ObjectId, mode: u32, pages: u64, dirty: u64) {
    log_event(LogEvent::Unfence, bo, mode, (0, pages), dirty);
}

/// Traces that a write to page `index` waits for fences to be lifted; `None`: a call that writes.
#[cold]
pub(super) fn log_held(bo: ObjectId, mode: u32, index: Option<u64>) {
    let pages = index.map_or((0, 0), |index| (index, 1));
    log_event(LogEvent::Hold, bo, mode, pages, 0);
}

fn log_event(event: LogEvent, bo: ObjectId, mode: u32, pages: (u64, u64), dirty: u64) {
    event.fire(LogOperation {
        device: bo.device,
        bo: bo.address,
        mode,
        pages,
        dirty,
    });
}

/// Traces that a populate with `pages` pages on the device numbered `device` went on over a limit,
/// with `counted` pages counted.
pub(super) fn overcommitted(device: u32, pages: u64, counted: Amount, limits: Amount) {
    events::overcommit(Overcommit {
        device,
        pages,
        allocated: counted.pages,
        limit: limits.pages,
        dma32_allocated: counted.dma32,
        dma32_limit: limits.dma32,
    });
}

/// Runs `operation`, which moves pages of objects out of memory for reclaim and returns how many it
/// moved.
pub(super) fn bo_shrink(times: &Times, operation: impl FnOnce() -> u64) -> u64 {
    let begun = Begun::now();
    let freed = operation();
    if let (Some(begun), 1..) = (begun, freed) {
        times.bo_shrink.record(begun.elapsed());
    }
    freed
}

/// Runs `operation`, which gives about `wanted` pages of the memory node `node` from a pool back to
/// the system and returns how many it gave. `times` is the histogram of the pool.
pub(super) fn pool_shrink(
    node: usize,
    wanted: u64,
    times: &Histogram,
    operation: impl FnOnce() -> u64,
) -> u64 {
    let begun = Begun::now();
    let freed = operation();
    if let Some(begun) = begun {
        let duration = begun.elapsed();
        if freed != 0 {
            times.record(duration);
        }
        events::pool_shrink(node, wanted, freed, duration);
    }
    freed
}
