// SPDX-License-Identifier: GPL-2.0-or-later

//! The types and flags of buffer objects.
#![deny(unsafe_code)]

use super::{
    page_kind::PageKind,
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

/// What was decided about a TT when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoFlags {
    /// Its pages are cleared before it gets them.
    pub zero_alloc: bool,
    /// Its pages are external: none are counted and, unless `mappable`, none allocated.
    pub external: bool,
    /// It is external as far as counting goes, but its pages are here.
    pub mappable: bool,
    /// What kind of pages it gets.
    pub kind: PageKind,
    /// Its pages live in a shmem file, so that swapping out needs no copy.
    pub shmem: bool,
    /// Its pages have addresses for the device.
    pub dma: bool,
    /// Its pages are shared with the machine that a confidential guest runs on.
    pub decrypted: bool,
}

impl BoFlags {
    /// The rule by type; clearing is only heeded for [`BoType::Device`].
    ///
    /// C original: the switch in `ttm_tt_create()`.
    pub const fn of(ty: BoType, zero_alloc: bool) -> Self {
        match ty {
            BoType::Device => Self {
                zero_alloc,
                external: false,
                mappable: false,
                kind: PageKind::CACHED,
                shmem: false,
                dma: false,
                decrypted: false,
            },
            BoType::Kernel => Self {
                zero_alloc: false,
                external: false,
                mappable: false,
                kind: PageKind::CACHED,
                shmem: false,
                dma: false,
                decrypted: false,
            },
            BoType::Sg => Self {
                zero_alloc: false,
                external: true,
                mappable: false,
                kind: PageKind::CACHED,
                shmem: false,
                dma: false,
                decrypted: false,
            },
        }
    }

    /// The same with pages that are not counted, but here; `None`: only for external ones.
    pub const fn mappable(self) -> Option<Self> {
        if self.external {
            Some(Self {
                mappable: true,
                ..self
            })
        } else {
            None
        }
    }

    /// The same with pages that live in a shmem file; `None`: only for own pages of plain memory.
    ///
    /// Ask for this after [`BoFlags::of_kind`].
    pub const fn on_shmem(self) -> Option<Self> {
        if self.owns_pages() && self.kind.index() == PageKind::CACHED.index() {
            Some(Self {
                shmem: true,
                ..self
            })
        } else {
            None
        }
    }

    /// The same with addresses for the device. Those of external pages are set by the importer; all
    /// others are mapped when the TT is populated.
    pub const fn with_dma(self) -> Self {
        Self { dma: true, ..self }
    }

    /// The same in a guest whose memory is encrypted if `encrypted`: a device is no part of the
    /// guest, so own pages with addresses for it are shared with the machine. What lives in the
    /// page cache can't be; the kernel copies it for the device.
    ///
    /// C original: `TTM_TT_FLAG_DECRYPTED` in `ttm_tt_create()`.
    pub const fn in_guest(self, encrypted: bool) -> Self {
        let shares = encrypted && self.dma && self.owns_pages() && !self.shmem;
        Self {
            decrypted: self.decrypted || shares,
            ..self
        }
    }

    /// Returns whether it has pages of its own, counted or not.
    #[inline]
    pub const fn owns_pages(self) -> bool {
        !self.external || self.mappable
    }

    /// The same with pages of another kind; `None`: external pages are not from any particular
    /// memory.
    pub const fn of_kind(self, kind: PageKind) -> Option<Self> {
        if !self.owns_pages() && kind.dma32 {
            return None;
        }
        Some(Self { kind, ..self })
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
    let zero = if flags.zero_alloc {
        flags::ZERO_ALLOC
    } else {
        0
    };
    let external = if flags.external { flags::EXTERNAL } else { 0 };
    let mappable = if flags.mappable {
        flags::EXTERNAL_MAPPABLE
    } else {
        0
    };
    let dma32 = if flags.kind.dma32 { flags::DMA32 } else { 0 };
    let shmem = if flags.shmem { flags::SHMEM } else { 0 };
    let dma = if flags.dma { flags::DMA_ADDRESSES } else { 0 };
    let decrypted = if flags.decrypted { flags::DECRYPTED } else { 0 };
    from_state | zero | external | mappable | dma32 | shmem | dma | decrypted
}
