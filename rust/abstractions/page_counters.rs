// SPDX-License-Identifier: GPL-2.0

//! The page counters, and the steps on them that every populate and unpopulate takes.
//!
//! Each step is one call of C, because each atomic operation of the kernel crate would be one.

use super::bindings as helpers;
use core::mem::offset_of;
use kernel::sync::atomic::Atomic;

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

    /// Adds `pages`; to the DMA32 counter too if `dma32`. Returns whether a counter is above its
    /// bound now: the module's limit, or what the machine has if that is less.
    #[inline(always)]
    pub(crate) fn charge(&self, pages: u64, dma32: bool) -> bool {
        // SAFETY: The helpers want counters that all others change atomically, too. `PageCounters`
        // is laid out like the C struct, as asserted above, and is made of atomics.
        unsafe {
            if dma32 {
                helpers::reeve_helper_charge_dma32(self.as_ptr(), pages)
            } else {
                helpers::reeve_helper_charge(self.as_ptr(), pages)
            }
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
