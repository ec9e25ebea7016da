// SPDX-License-Identifier: GPL-2.0

//! The limits: from the module's parameters, or of a test's own.
#![deny(unsafe_code)]

use super::rules::limits::{
    self,
    Amount, //
};
use crate::abstractions::{
    page,
    params,
    shrinker, //
};
use kernel::{
    page::PAGE_SHIFT,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
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

/// Where limits come from.
enum Source {
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
        /// Free pages of swap.
        swap: Atomic<u64>,
    },
}

/// The limits, in pages, and what takes memory beside the pages that are counted.
///
/// A soft limit bounds the pages that are counted: eviction lowers these. A hard limit bounds all
/// memory that objects take, so that its number is what it says: external pages, which can't be
/// evicted, and content in storage for which there is no free swap.
pub(crate) struct Limits {
    source: Source,
    /// Pages of external objects that are here.
    external: Atomic<u64>,
    /// Pages whose content is in storage.
    stored: Atomic<u64>,
}

impl Limits {
    const fn of(source: Source) -> Self {
        Self {
            source,
            external: Atomic::new(0),
            stored: Atomic::new(0),
        }
    }

    /// The module's parameters. One that was not set becomes its default, so that sysfs shows what
    /// is in force.
    pub(crate) fn parameters() -> Self {
        params::set_default_limits(limits::default_limits(
            page::total_ram(),
            page::low_ram(),
            PAGE_SHIFT as u32,
        ));
        Self::of(Source::Parameters)
    }

    /// A limit of `pages` pages of a test's own, and none for DMA32, on a machine with all the swap
    /// that is needed.
    #[cfg(reeve_kunit)]
    pub(crate) fn own(pages: u64) -> Self {
        Self::of(Source::Own {
            pages: Atomic::new(pages),
            hard: Atomic::new(false),
            file: Atomic::new(0),
            swap: Atomic::new(u64::MAX),
        })
    }

    /// Changes a test's limit.
    #[cfg(reeve_kunit)]
    pub(crate) fn set(&self, limit: u64) {
        if let Source::Own { pages, .. } = &self.source {
            pages.store(limit, Relaxed);
        }
    }

    /// Makes a test's limit hard, or soft again.
    #[cfg(reeve_kunit)]
    pub(crate) fn set_hard(&self, is_hard: bool) {
        if let Source::Own { hard, .. } = &self.source {
            hard.store(is_hard, Relaxed);
        }
    }

    /// Changes a test's limit for open files.
    #[cfg(reeve_kunit)]
    pub(crate) fn set_file(&self, limit: u64) {
        if let Source::Own { file, .. } = &self.source {
            file.store(limit, Relaxed);
        }
    }

    /// Changes how much swap a test has free.
    #[cfg(reeve_kunit)]
    pub(crate) fn set_free_swap(&self, free: u64) {
        if let Source::Own { swap, .. } = &self.source {
            swap.store(free, Relaxed);
        }
    }

    /// Returns whether charges are compared with the parameters when they are made.
    #[cfg(reeve_kunit)]
    pub(super) fn are_parameters(&self) -> bool {
        matches!(self.source, Source::Parameters)
    }

    /// Returns the most pages that the objects of an open file, and of all files of an unprivileged
    /// user together, may have charged; 0: any number.
    #[inline]
    pub(crate) fn of_a_file(&self) -> u64 {
        match &self.source {
            Source::Parameters => params::file_pages_limit(),
            #[cfg(reeve_kunit)]
            Source::Own { file, .. } => file.load(Relaxed),
        }
    }

    /// Returns whether a populate that would exceed a limit is refused.
    #[inline]
    pub(crate) fn are_hard(&self) -> bool {
        match &self.source {
            Source::Parameters => params::hard_limit(),
            #[cfg(reeve_kunit)]
            Source::Own { hard, .. } => hard.load(Relaxed),
        }
    }

    /// Returns the limits as they were set.
    #[inline]
    pub(crate) fn nominal(&self) -> Amount {
        match &self.source {
            Source::Parameters => params::limits(),
            #[cfg(reeve_kunit)]
            Source::Own { pages, .. } => Amount {
                pages: pages.load(Relaxed),
                dma32: u64::MAX,
            },
        }
    }

    /// Returns the limits in force on the pages that are counted: a hard one is less by what takes
    /// memory beside these.
    #[inline]
    pub(crate) fn get(&self) -> Amount {
        let nominal = self.nominal();
        if !self.are_hard() {
            return nominal;
        }
        let beside = self.external() + self.unswappable(self.stored());
        Amount {
            pages: nominal.pages.saturating_sub(beside),
            ..nominal
        }
    }

    /// Returns whether a hard limit is exceeded by what is beside the counters alone.
    #[inline]
    pub(super) fn is_exceeded_beside(&self) -> bool {
        self.are_hard() && self.external() + self.unswappable(self.stored()) > self.nominal().pages
    }

    /// Returns the number of pages of external objects that are here.
    pub(crate) fn external(&self) -> u64 {
        self.external.load(Relaxed)
    }

    /// Returns the number of pages whose content is in storage.
    pub(crate) fn stored(&self) -> u64 {
        self.stored.load(Relaxed)
    }

    /// Returns how many of `stored` pages in storage there is no swap for. Those that are in swap
    /// already are not known apart, so that they may be among them.
    fn unswappable(&self, stored: u64) -> u64 {
        match stored {
            0 => 0,
            stored => stored.saturating_sub(self.free_swap()),
        }
    }

    fn free_swap(&self) -> u64 {
        match &self.source {
            Source::Parameters => shrinker::free_swap(),
            #[cfg(reeve_kunit)]
            Source::Own { swap, .. } => swap.load(Relaxed),
        }
    }

    /// Returns what a limit of `limit` pages leaves to an owner with `stored` pages in storage.
    pub(super) fn left_of(&self, limit: Option<u64>, stored: u64) -> Option<u64> {
        match limit {
            Some(limit) if self.are_hard() => Some(limit.saturating_sub(self.unswappable(stored))),
            limit => limit,
        }
    }

    /// Returns whether an owner with `stored` pages in storage comes below a limit by having objects
    /// evicted: below a hard one only if there is swap for what is in storage then.
    pub(super) fn eviction_helps(&self, stored: u64) -> bool {
        !self.are_hard() || self.free_swap() > stored
    }

    /// Counts pages of an external object.
    pub(super) fn charge_external(&self, pages: u64) {
        self.external.add(pages, Relaxed);
    }

    /// Takes back pages of an external object.
    #[cold]
    pub(super) fn uncharge_external(&self, pages: u64) {
        self.external.fetch_sub(pages, Relaxed);
    }

    /// Counts that the content in storage went from `before` pages of an object to `after`.
    pub(super) fn restored(&self, before: u64, after: u64) {
        if after > before {
            self.stored.add(after - before, Relaxed);
        } else if after < before {
            self.stored.fetch_sub(before - after, Relaxed);
        }
    }
}
