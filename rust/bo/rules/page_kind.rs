// SPDX-License-Identifier: GPL-2.0-or-later

//! What kinds of pages there are: how the processor caches them, and which memory they are from.
#![deny(unsafe_code)]

/// How the kernel's (and every other) mapping of a page is cached.
///
/// C original: `enum ttm_caching`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// As any memory: write-back.
    Cached,
    /// Writes are combined, reads are slow.
    WriteCombined,
    /// Nothing is cached.
    Uncached,
}

impl Caching {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Cached, Self::WriteCombined, Self::Uncached];

    /// Its short name, in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::WriteCombined => "wc",
            Self::Uncached => "uc",
        }
    }
}

/// A kind of pages; those of one are as good as any other of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKind {
    /// How they are cached.
    pub caching: Caching,
    /// Whether they are from the lowest 4 GiB, for devices that reach no further.
    pub dma32: bool,
}

impl PageKind {
    /// Plain memory.
    pub const CACHED: Self = Self {
        caching: Caching::Cached,
        dma32: false,
    };

    /// Every kind, by [`PageKind::index`].
    pub const ALL: [Self; 6] = {
        use Caching as C;
        const fn kind(caching: Caching, dma32: bool) -> PageKind {
            PageKind { caching, dma32 }
        }
        [
            kind(C::Cached, false),
            kind(C::WriteCombined, false),
            kind(C::Uncached, false),
            kind(C::Cached, true),
            kind(C::WriteCombined, true),
            kind(C::Uncached, true),
        ]
    };

    /// Its place in [`PageKind::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        let caching = match self.caching {
            Caching::Cached => 0,
            Caching::WriteCombined => 1,
            Caching::Uncached => 2,
        };
        if self.dma32 {
            caching + Caching::ALL.len()
        } else {
            caching
        }
    }
}
