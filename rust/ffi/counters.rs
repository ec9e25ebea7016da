// SPDX-License-Identifier: GPL-2.0

//! The page counters, and the few steps on them that every populate and unpopulate takes.
//!
//! The steps are C, one call for each: an atomic operation of the kernel crate is a call of its own.

use super::bindings as shim;
use core::mem::offset_of;
use kernel::sync::atomic::Atomic;

/// The page counters. Any context; nothing here sleeps or locks.
#[repr(C)]
pub(crate) struct Counters {
    /// Pages counted now.
    pub(crate) pages: Atomic<u64>,
    /// Of these, for DMA32 pools.
    pub(crate) dma32: Atomic<u64>,
    /// Of `pages`, those of charges that are in no device's list.
    pub(crate) in_flight: Atomic<u64>,
    /// Changes begun, ever.
    pub(crate) begun: Atomic<u64>,
    /// Changes finished, ever.
    pub(crate) finished: Atomic<u64>,
}

/// C and Rust mean the same fields.
const _: () = {
    assert!(size_of::<Counters>() == size_of::<shim::reeve_counters>());
    assert!(align_of::<Counters>() == align_of::<shim::reeve_counters>());
    assert!(offset_of!(Counters, pages) == offset_of!(shim::reeve_counters, pages));
    assert!(offset_of!(Counters, dma32) == offset_of!(shim::reeve_counters, dma32));
    assert!(offset_of!(Counters, in_flight) == offset_of!(shim::reeve_counters, in_flight));
    assert!(offset_of!(Counters, begun) == offset_of!(shim::reeve_counters, begun));
    assert!(offset_of!(Counters, finished) == offset_of!(shim::reeve_counters, finished));
};

impl Counters {
    /// All 0.
    pub(crate) const fn new() -> Self {
        Self {
            pages: Atomic::new(0),
            dma32: Atomic::new(0),
            in_flight: Atomic::new(0),
            begun: Atomic::new(0),
            finished: Atomic::new(0),
        }
    }

    fn as_ptr(&self) -> *mut shim::reeve_counters {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Adds `pages`, of which `dma32` are for DMA32 pools, in flight; a change of its own.
    #[inline(always)]
    pub(crate) fn charge(&self, pages: u64, dma32: u64) {
        // SAFETY: `Counters` is laid out like the C struct and made of atomics, which C changes
        // atomically.
        unsafe { shim::reeve_shim_charge(self.as_ptr(), pages, dma32) };
    }

    /// Undoes [`Counters::charge`]; the pages are in flight.
    #[inline(always)]
    pub(crate) fn uncharge(&self, pages: u64, dma32: u64) {
        // SAFETY: As in `charge`.
        unsafe { shim::reeve_shim_uncharge(self.as_ptr(), pages, dma32) };
    }

    /// Whether either counter is above the module's parameter for it, or above this default where
    /// that is 0.
    #[inline(always)]
    pub(crate) fn over_parameters(&self, default_pages: u64, default_dma32: u64) -> bool {
        // SAFETY: As in `charge`; only reads.
        unsafe { shim::reeve_shim_over_limit(self.as_ptr(), default_pages, default_dma32) }
    }
}
