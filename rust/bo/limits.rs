// SPDX-License-Identifier: GPL-2.0

//! The limits: from the module's parameters, or of a test's own.
#![deny(unsafe_code)]

use super::rules::limits::{
    self,
    Amount, //
};
use crate::abstractions::{
    page,
    params, //
};
use kernel::page::PAGE_SHIFT;
#[cfg(reeve_kunit)]
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The most pages that the pool keeps.
pub(crate) enum PoolCap {
    /// The module's parameter; this default where it is 0.
    Parameter(u64),
    /// A test's own.
    #[cfg(reeve_kunit)]
    Own(Atomic<u64>),
}

impl PoolCap {
    /// The module's parameter, with half of the memory as its default. If it was not set, it becomes
    /// its default, so that sysfs shows what is in force.
    pub(crate) fn parameter() -> Self {
        let default = page::total_ram() / 2;
        if params::page_pool_size() == 0 {
            params::set_page_pool_size(default);
        }
        Self::Parameter(default)
    }

    /// A cap of `pages` pages of a test's own.
    #[cfg(reeve_kunit)]
    pub(crate) fn own(pages: u64) -> Self {
        Self::Own(Atomic::new(pages))
    }

    /// Changes a test's cap.
    #[cfg(reeve_kunit)]
    pub(crate) fn set(&self, pages: u64) {
        if let Self::Own(cap) = self {
            cap.store(pages, Relaxed);
        }
    }

    /// Returns the cap in force.
    pub(crate) fn get(&self) -> u64 {
        match self {
            Self::Parameter(default) => match params::page_pool_size() {
                0 => *default,
                set => set,
            },
            #[cfg(reeve_kunit)]
            Self::Own(cap) => cap.load(Relaxed),
        }
    }
}

/// The soft limits on the counters, in pages.
pub(crate) enum Limits {
    /// The module's parameters.
    Parameters,
    /// A test's own.
    #[cfg(reeve_kunit)]
    Own {
        /// In pages.
        pages: Atomic<u64>,
        /// Whether it is hard.
        hard: Atomic<bool>,
        /// Of an open file that has none of its own, in pages; 0: none.
        file: Atomic<u64>,
    },
}

impl Limits {
    /// The module's parameters. One that was not set becomes its default, so that sysfs shows what
    /// is in force.
    pub(crate) fn parameters() -> Self {
        params::set_default_limits(limits::default_limits(
            page::total_ram(),
            page::low_ram(),
            PAGE_SHIFT as u32,
        ));
        Self::Parameters
    }

    /// A limit of `pages` pages of a test's own, and none for DMA32.
    #[cfg(reeve_kunit)]
    pub(crate) fn own(pages: u64) -> Self {
        Self::Own {
            pages: Atomic::new(pages),
            hard: Atomic::new(false),
            file: Atomic::new(0),
        }
    }

    /// Changes a test's limit.
    #[cfg(reeve_kunit)]
    pub(crate) fn set(&self, limit: u64) {
        if let Self::Own { pages, .. } = self {
            pages.store(limit, Relaxed);
        }
    }

    /// Makes a test's limit hard, or soft again.
    #[cfg(reeve_kunit)]
    pub(crate) fn set_hard(&self, is_hard: bool) {
        if let Self::Own { hard, .. } = self {
            hard.store(is_hard, Relaxed);
        }
    }

    /// Changes a test's limit for open files.
    #[cfg(reeve_kunit)]
    pub(crate) fn set_file(&self, limit: u64) {
        if let Self::Own { file, .. } = self {
            file.store(limit, Relaxed);
        }
    }

    /// Returns the limit of an open file that has none of its own, in pages; 0: none.
    #[inline]
    pub(crate) fn of_a_file(&self) -> u64 {
        match self {
            Self::Parameters => params::file_pages_limit(),
            #[cfg(reeve_kunit)]
            Self::Own { file, .. } => file.load(Relaxed),
        }
    }

    /// Returns whether a populate that would exceed a limit is refused.
    pub(crate) fn are_hard(&self) -> bool {
        match self {
            Self::Parameters => params::hard_limit(),
            #[cfg(reeve_kunit)]
            Self::Own { hard, .. } => hard.load(Relaxed),
        }
    }

    /// Returns the limits in force.
    #[inline]
    pub(crate) fn get(&self) -> Amount {
        match self {
            Self::Parameters => params::limits(),
            #[cfg(reeve_kunit)]
            Self::Own { pages, .. } => Amount {
                pages: pages.load(Relaxed),
                dma32: u64::MAX,
            },
        }
    }
}
