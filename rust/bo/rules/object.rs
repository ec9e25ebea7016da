// SPDX-License-Identifier: GPL-2.0-or-later

//! The types and flags of buffer objects.
#![deny(unsafe_code)]

use super::{
    page_kind::{
        Caching,
        PageKind, //
    },
    state::State, //
};

/// What a buffer object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoType {
    /// For user space and the device.
    Device,
    /// For the driver itself.
    Kernel,
    /// For external pages, that is pages of another driver.
    Sg,
}

/// What was decided about a TT when it was made: [`flags`] that a user sees, and how its pages are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoFlags(u32);

impl BoFlags {
    const WRITE_COMBINED: u32 = 1 << 30;
    const UNCACHED: u32 = 1 << 31;

    /// What makes a kind of pages.
    const KIND: u32 = Self::WRITE_COMBINED | Self::UNCACHED | flags::DMA32;

    /// The rule by type; clearing is only heeded for [`BoType::Device`].
    ///
    /// C original: the switch in `ttm_tt_create()`.
    #[inline]
    pub const fn of(ty: BoType, zero_alloc: bool) -> Self {
        match ty {
            BoType::Device if zero_alloc => Self(flags::ZERO_ALLOC),
            BoType::Device | BoType::Kernel => Self(0),
            BoType::Sg => Self(flags::EXTERNAL),
        }
    }

    #[inline]
    const fn has(self, any: u32) -> bool {
        self.0 & any != 0
    }

    /// Returns whether its pages are cleared before it gets them.
    #[inline]
    pub const fn zero_alloc(self) -> bool {
        self.has(flags::ZERO_ALLOC)
    }

    /// Returns whether its pages are external: none are counted and, unless it is mappable, none allocated.
    #[inline]
    pub const fn is_external(self) -> bool {
        self.has(flags::EXTERNAL)
    }

    /// Returns whether it is external as far as counting goes, but its pages are here.
    #[inline]
    pub const fn is_mappable(self) -> bool {
        self.has(flags::EXTERNAL_MAPPABLE)
    }

    /// Returns what kind of pages it gets.
    #[inline]
    pub const fn kind(self) -> PageKind {
        let caching = if self.has(Self::WRITE_COMBINED) {
            Caching::WriteCombined
        } else if self.has(Self::UNCACHED) {
            Caching::Uncached
        } else {
            Caching::Cached
        };
        PageKind {
            caching,
            dma32: self.has(flags::DMA32),
        }
    }

    /// Returns whether its pages live in a shmem file, so that swapping out needs no copy.
    #[inline]
    pub const fn is_shmem(self) -> bool {
        self.has(flags::SHMEM)
    }

    /// Returns whether its pages have addresses for the device.
    #[inline]
    pub const fn has_dma(self) -> bool {
        self.has(flags::DMA_ADDRESSES)
    }

    /// Returns whether its pages are shared with the machine that a confidential guest runs on.
    #[inline]
    pub const fn is_decrypted(self) -> bool {
        self.has(flags::DECRYPTED)
    }

    /// The same with pages that are not counted, but here; `None`: only for external ones.
    #[inline]
    pub const fn mappable(self) -> Option<Self> {
        if self.is_external() {
            Some(Self(self.0 | flags::EXTERNAL_MAPPABLE))
        } else {
            None
        }
    }

    /// The same with pages that live in a shmem file; `None`: only for own pages of plain memory.
    ///
    /// Ask for this after [`BoFlags::of_kind`].
    #[inline]
    pub const fn on_shmem(self) -> Option<Self> {
        if self.owns_pages() && !self.has(Self::KIND) {
            Some(Self(self.0 | flags::SHMEM))
        } else {
            None
        }
    }

    /// The same with addresses for the device. Those of external pages are set by the importer; all
    /// others are mapped when the TT is populated.
    #[inline]
    pub const fn with_dma(self) -> Self {
        Self(self.0 | flags::DMA_ADDRESSES)
    }

    /// The same in a guest whose memory is encrypted if `encrypted`: a device is no part of the
    /// guest, so own pages with addresses for it are shared with the machine. What lives in the
    /// page cache can't be; the kernel copies it for the device.
    ///
    /// C original: `TTM_TT_FLAG_DECRYPTED` in `ttm_tt_create()`.
    pub const fn in_guest(self, encrypted: bool) -> Self {
        if encrypted && self.has_dma() && self.owns_pages() && !self.is_shmem() {
            Self(self.0 | flags::DECRYPTED)
        } else {
            self
        }
    }

    /// Returns whether it has pages of its own, counted or not.
    #[inline]
    pub const fn owns_pages(self) -> bool {
        self.0 & (flags::EXTERNAL | flags::EXTERNAL_MAPPABLE) != flags::EXTERNAL
    }

    /// The same with pages of another kind; `None`: external pages are not from any particular
    /// memory.
    #[inline]
    pub const fn of_kind(self, kind: PageKind) -> Option<Self> {
        if !self.owns_pages() && kind.dma32 {
            return None;
        }
        let caching = match kind.caching {
            Caching::Cached => 0,
            Caching::WriteCombined => Self::WRITE_COMBINED,
            Caching::Uncached => Self::UNCACHED,
        };
        let dma32 = if kind.dma32 { flags::DMA32 } else { 0 };
        Some(Self(self.0 & !Self::KIND | caching | dma32))
    }
}

/// The flags a user sees, as in `struct reeve_bo_info`.
pub mod flags {
    /// It has its pages.
    pub const POPULATED: u32 = 1 << 0;
    /// Its content is in swap storage.
    pub const SWAPPED: u32 = 1 << 1;
    /// Its content is, in part at least, in a backup.
    pub const BACKED_UP: u32 = 1 << 2;
    /// Its pages are cleared before it gets them.
    pub const ZERO_ALLOC: u32 = 1 << 3;
    /// Its pages are external.
    pub const EXTERNAL: u32 = 1 << 4;
    /// Its pages are not counted, but here.
    pub const EXTERNAL_MAPPABLE: u32 = 1 << 5;
    /// Its pages are shared with the machine that a confidential guest runs on.
    pub const DECRYPTED: u32 = 1 << 6;
    /// Global swapout may take it.
    pub const ON_LRU: u32 = 1 << 7;
    /// Its pages are from the lowest 4 GiB.
    pub const DMA32: u32 = 1 << 8;
    /// Its pages live in a shmem file.
    pub const SHMEM: u32 = 1 << 9;
    /// Its pages have addresses for the device while they are there.
    pub const DMA_ADDRESSES: u32 = 1 << 10;
    /// It has a dirty log.
    pub const LOGGING: u32 = 1 << 11;
}

/// The flags of a TT, derived from what it was made for and where its content is.
pub const fn flags_of(flags: BoFlags, state: State) -> u32 {
    let from_state = match state {
        State::Empty => 0,
        State::Populated => flags::POPULATED,
        State::Swapped => flags::SWAPPED,
        State::BackedUp | State::PartlyBackedUp => flags::BACKED_UP,
    };
    from_state | flags.0 & !(BoFlags::WRITE_COMBINED | BoFlags::UNCACHED)
}
