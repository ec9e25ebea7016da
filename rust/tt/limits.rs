// SPDX-License-Identifier: GPL-2.0

//! Where the limits come from.

use crate::{
    ffi::{
        pages,
        params, //
    },
    pure::accounting::{
        self,
        Amount, //
    }, //
};
use kernel::page::PAGE_SHIFT;
#[cfg(reeve_kunit)]
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The soft limits on the counters, in pages.
pub(crate) enum Limits {
    /// The module's parameters; this default where they are 0.
    Parameters(Amount),
    /// A test's own.
    #[cfg(reeve_kunit)]
    Own(Atomic<u64>),
}

impl Limits {
    /// The module's parameters. One that nobody set becomes its default, so that sysfs shows what
    /// is in force.
    pub(crate) fn parameters() -> Self {
        let default =
            accounting::default_limits(pages::total_ram(), pages::low_ram(), PAGE_SHIFT as u32);
        if params::pages_limit() == 0 {
            params::set_pages_limit(default.pages);
        }
        if params::dma32_pages_limit() == 0 {
            params::set_dma32_pages_limit(default.dma32);
        }
        Self::Parameters(default)
    }

    /// A limit of `pages` pages that nobody else sees, and none for DMA32.
    #[cfg(reeve_kunit)]
    pub(crate) fn own(pages: u64) -> Self {
        Self::Own(Atomic::new(pages))
    }

    /// Changes a test's limit.
    #[cfg(reeve_kunit)]
    pub(crate) fn set(&self, pages: u64) {
        if let Self::Own(limit) = self {
            limit.store(pages, Relaxed);
        }
    }

    /// The limits in force now.
    #[inline]
    pub(crate) fn get(&self) -> Amount {
        match self {
            Self::Parameters(default) => accounting::effective_limits(
                Amount {
                    pages: params::pages_limit(),
                    dma32: params::dma32_pages_limit(),
                },
                *default,
            ),
            #[cfg(reeve_kunit)]
            Self::Own(limit) => Amount {
                pages: limit.load(Relaxed),
                dma32: u64::MAX,
            },
        }
    }
}
