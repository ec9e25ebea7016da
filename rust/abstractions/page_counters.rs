// SPDX-License-Identifier: GPL-2.0

//! The page counters, and the steps on them that every populate and unpopulate takes.
//!
//! Each step is one call of C, because each atomic operation of the kernel crate would be one.

use super::bindings as helpers;
use core::mem::offset_of;
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::Atomic, //
};

/// The page counters. Any context; nothing here sleeps or locks.
#[repr(C)]
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

// The struct has the same fields as that of C.
const _: () = {
    assert!(size_of::<PageCounters>() == size_of::<helpers::reeve_counters>());
    assert!(align_of::<PageCounters>() == align_of::<helpers::reeve_counters>());
    assert!(offset_of!(PageCounters, pages) == offset_of!(helpers::reeve_counters, pages));
    assert!(offset_of!(PageCounters, dma32) == offset_of!(helpers::reeve_counters, dma32));
    assert!(offset_of!(PageCounters, listed) == offset_of!(helpers::reeve_counters, listed));
    assert!(offset_of!(PageCounters, begun) == offset_of!(helpers::reeve_counters, begun));
    assert!(offset_of!(PageCounters, finished) == offset_of!(helpers::reeve_counters, finished));
};

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

    fn as_ptr(&self) -> *mut helpers::reeve_counters {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Adds `pages` for an object of `whole` pages; to the DMA32 counter too if `dma32`.
    ///
    /// Nothing is counted if `whole` by itself is above the bound: the module's limit, or what the
    /// machine has if that is less, and 0 if the limits are hard.
    #[inline(always)]
    pub(crate) fn charge(&self, pages: u64, whole: u64, dma32: bool) -> Charged {
        // SAFETY: The helpers want counters that all others change atomically, too. `PageCounters`
        // is laid out like the C struct, as asserted above, and is made of atomics.
        let result = unsafe {
            if dma32 {
                helpers::reeve_helper_charge_dma32(self.as_ptr(), pages, whole)
            } else {
                helpers::reeve_helper_charge(self.as_ptr(), pages, whole)
            }
        };
        match result {
            helpers::REEVE_CHARGED => Charged::Within,
            helpers::REEVE_CHARGED_OVER => Charged::Over,
            _ => Charged::Not,
        }
    }

    /// Undoes [`PageCounters::charge`].
    #[inline(always)]
    pub(crate) fn uncharge(&self, pages: u64, dma32: bool) {
        // SAFETY: The helpers want counters that all others change atomically, too. `PageCounters`
        // is laid out like the C struct, as asserted above, and is made of atomics.
        unsafe {
            if dma32 {
                helpers::reeve_helper_uncharge_dma32(self.as_ptr(), pages)
            } else {
                helpers::reeve_helper_uncharge(self.as_ptr(), pages)
            }
        }
    }
}
