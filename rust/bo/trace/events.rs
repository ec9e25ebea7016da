// SPDX-License-Identifier: GPL-2.0

//! The clock and the tracepoints of page accounting.
//!
//! An operation that is neither timed nor traced costs one call at its beginning. Any context; nothing here sleeps, locks or allocates.
#![allow(
    unsafe_code,
    reason = "it calls the helpers of the clock and of the tracepoints"
)]

use crate::abstractions::bindings;
use core::num::NonZero;
use kernel::prelude::*;

/// The time at which an operation began that is timed or traced.
pub(crate) struct Begun(NonZero<u64>);

impl Begun {
    /// Begins an operation that is timed whatever its size. Returns `None` if it is neither timed
    /// nor traced.
    #[inline]
    pub(crate) fn now() -> Option<Self> {
        Self::with_pages(u64::MAX)
    }

    /// Begins an operation on `pages` pages, which is only timed if these are many (the parameter
    /// `timed_pages`). Returns `None` if it is neither timed nor traced.
    #[inline]
    pub(crate) fn with_pages(pages: u64) -> Option<Self> {
        // SAFETY: The helper takes a number, and reads a parameter, static keys and the clock, all of
        // which may be read at any time and in any context.
        NonZero::new(unsafe { bindings::reeve_helper_tt_begin(pages) }).map(Self)
    }

    /// Begins an operation that is traced, but not timed. Returns `None` if it is not traced.
    #[inline]
    pub(crate) fn if_traced() -> Option<Self> {
        Self::with_pages(0)
    }

    /// Returns the nanoseconds since then.
    pub(crate) fn elapsed(&self) -> u64 {
        self.end().0
    }

    /// Returns the nanoseconds since then, and whether anything that shows them is traced.
    #[inline]
    pub(crate) fn end(&self) -> (u64, bool) {
        let mut traced = false;
        // SAFETY: The helper takes a number and a place for its second result, and reads a static key and the clock,
        // which may be read in any context.
        let duration = unsafe { bindings::reeve_helper_tt_elapsed(self.0.get(), &mut traced) };
        (duration, traced)
    }
}

/// A tracepoint of an operation on one buffer object.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Event {
    /// `reeve:tt_populate`
    Populate = bindings::REEVE_TT_POPULATE,
    /// `reeve:tt_unpopulate`
    Unpopulate = bindings::REEVE_TT_UNPOPULATE,
    /// `reeve:tt_swapout`
    Swapout = bindings::REEVE_TT_SWAPOUT,
    /// `reeve:tt_swapin`
    Swapin = bindings::REEVE_TT_SWAPIN,
    /// `reeve:tt_backup`
    Backup = bindings::REEVE_TT_BACKUP,
    /// `reeve:tt_restore`
    Restore = bindings::REEVE_TT_RESTORE,
}

/// What the tracepoint of an operation shows.
pub(crate) struct Operation {
    /// The device's number.
    pub(crate) device: u32,
    /// The buffer object's address, shown hashed.
    pub(crate) bo: usize,
    /// Pages gained or lost, or asked for if it failed.
    pub(crate) pages: u64,
    /// In nanoseconds.
    pub(crate) duration: u64,
    /// How it ended.
    pub(crate) result: Result,
}

impl Event {
    /// Fires the tracepoint, if it is enabled.
    pub(crate) fn fire(self, operation: Operation) {
        let operation = bindings::reeve_tt_operation {
            bo: operation.bo,
            pages: operation.pages,
            duration: operation.duration,
            device: operation.device,
            result: operation.result.map_or_else(|e| e.to_errno(), |()| 0),
        };
        // SAFETY: The pointer is to a local that is alive and initialised during the call, and the
        // tracepoint copies it. The number is that of a tracepoint, by the type of `self`.
        unsafe { bindings::reeve_helper_trace_tt(self as u32, &operation) };
    }
}

/// A tracepoint of a dirty log.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum LogEvent {
    /// `reeve:log_start`
    Start = bindings::REEVE_LOG_TRACE_START,
    /// `reeve:log_get`
    Get = bindings::REEVE_LOG_TRACE_GET,
    /// `reeve:log_clear`
    Clear = bindings::REEVE_LOG_TRACE_CLEAR,
    /// `reeve:log_write_fault`
    WriteFault = bindings::REEVE_LOG_TRACE_WRITE_FAULT,
    /// `reeve:log_fence`
    Fence = bindings::REEVE_LOG_TRACE_FENCE,
    /// `reeve:log_unfence`
    Unfence = bindings::REEVE_LOG_TRACE_UNFENCE,
    /// `reeve:log_hold`
    Hold = bindings::REEVE_LOG_TRACE_HOLD,
}

/// What the tracepoint of a dirty log shows.
pub(crate) struct LogOperation {
    /// The device's number.
    pub(crate) device: u32,
    /// The buffer object's address, shown hashed.
    pub(crate) bo: usize,
    /// The mode of the log.
    pub(crate) mode: u32,
    /// The first page that it is about, and their number.
    pub(crate) pages: (u64, u64),
    /// Bits that were handed out, cleared or set.
    pub(crate) dirty: u64,
}

impl LogEvent {
    /// Fires the tracepoint, if it is enabled.
    pub(crate) fn fire(self, operation: LogOperation) {
        let operation = bindings::reeve_log_operation {
            bo: operation.bo,
            first: operation.pages.0,
            pages: operation.pages.1,
            dirty: operation.dirty,
            device: operation.device,
            mode: operation.mode,
        };
        // SAFETY: The pointer is to a local that is alive and initialised during the call, and the
        // tracepoint copies it. The number is that of a tracepoint, by the type of `self`.
        unsafe { bindings::reeve_helper_trace_log(self as u32, &operation) };
    }
}

/// What `reeve:tt_overcommit` shows.
pub(crate) struct Overcommit {
    /// The device's number.
    pub(crate) device: u32,
    /// Pages of the object that went over a limit.
    pub(crate) pages: u64,
    /// Pages counted.
    pub(crate) allocated: u64,
    /// The limit on those.
    pub(crate) limit: u64,
    /// Pages counted for DMA32.
    pub(crate) dma32_allocated: u64,
    /// The limit on those.
    pub(crate) dma32_limit: u64,
}

/// Fires `reeve:tt_overcommit`, if it is enabled.
pub(crate) fn overcommit(overcommit: Overcommit) {
    let overcommit = bindings::reeve_tt_overcommit {
        pages: overcommit.pages,
        allocated: overcommit.allocated,
        limit: overcommit.limit,
        dma32_allocated: overcommit.dma32_allocated,
        dma32_limit: overcommit.dma32_limit,
        device: overcommit.device,
        pad: 0,
    };
    // SAFETY: The pointer is to a local that is alive and initialised during the call, and the
    // tracepoint copies it.
    unsafe { bindings::reeve_helper_trace_tt_overcommit(&overcommit) };
}

/// Fires `reeve:pool_shrink`, if it is enabled: `pages` of the `wanted` pages of a memory node were
/// given back, in `duration` nanoseconds.
pub(crate) fn pool_shrink(node: usize, wanted: u64, pages: u64, duration: u64) {
    let node = u32::try_from(node).unwrap_or(u32::MAX);
    // SAFETY: The helper takes numbers only, and tracepoints may fire in any context.
    unsafe { bindings::reeve_helper_trace_pool_shrink(node, wanted, pages, duration) };
}
