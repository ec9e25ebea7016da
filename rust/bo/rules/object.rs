// SPDX-License-Identifier: GPL-2.0

//! What may be asked of a buffer object, by its type, state and pins.

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
    /// Somebody else's pages.
    Sg,
}

/// What was decided about a TT when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoFlags {
    /// Its pages are cleared before it gets them.
    pub zero_alloc: bool,
    /// Its pages belong to somebody else: none are counted and, unless `mappable`, none allocated.
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

    /// The same with pages that live in a shmem file; `None`: those are plain memory, and ours.
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

    /// The same with addresses for the device. Those of somebody else's pages are told by whoever
    /// knows them; all others are mapped when they are there.
    pub const fn with_dma(self) -> Self {
        Self { dma: true, ..self }
    }

    /// The same in a guest whose memory is encrypted if `encrypted`: a device is no part of the
    /// guest, so pages of ours with addresses for it are shared with the machine. What lives in the
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

    /// Whether it has pages of its own, counted or not.
    #[inline]
    pub const fn owns_pages(self) -> bool {
        !self.external || self.mappable
    }

    /// The same with pages of another kind; `None`: somebody else's pages are not from any
    /// particular memory.
    pub const fn of_kind(self, kind: PageKind) -> Option<Self> {
        if !self.owns_pages() && kind.dma32 {
            return None;
        }
        Some(Self { kind, ..self })
    }
}

/// A buffer object as far as the rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its TT's state.
    pub state: State,
    /// Whether its pages are somebody else's.
    pub external: bool,
    /// Whether it has pages of its own.
    pub owns_pages: bool,
    /// How often it is pinned.
    pub pins: u32,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Give it its pages.
    Populate,
    /// Drop pages and content.
    Unpopulate,
    /// Keep it in memory.
    Pin,
    /// Undo one pin.
    Unpin,
    /// Move its content to swap storage.
    SwapOut,
    /// Move its content to its backup, as far as possible.
    BackUp,
    /// Give it its pages and content back, if they are in a backup.
    Restore,
    /// Drop its content from its pages and its backup.
    Purge,
    /// Read or write its content.
    Copy,
}

impl Request {
    /// Every request.
    pub const ALL: [Self; 9] = [
        Self::Populate,
        Self::Unpopulate,
        Self::Pin,
        Self::Unpin,
        Self::SwapOut,
        Self::BackUp,
        Self::Restore,
        Self::Purge,
        Self::Copy,
    ];
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is pinned.
    Pinned,
    /// It has no pages to pin.
    NotPopulated,
    /// It is not pinned.
    NotPinned,
    /// No more pins fit the counter.
    TooManyPins,
    /// Its pages are somebody else's.
    External,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Do it.
    Do,
    /// It is so already: success.
    Nothing,
    /// It can't be.
    Refuse(Refusal),
}

/// Decides about `request`.
pub const fn decide(bo: Info, request: Request) -> Answer {
    let populated = bo.state.is_populated();

    match request {
        Request::Populate if populated => Answer::Nothing,
        Request::Populate => Answer::Do,

        Request::Unpopulate if !populated => Answer::Nothing,
        Request::Unpopulate if bo.pins != 0 => Answer::Refuse(Refusal::Pinned),
        Request::Unpopulate => Answer::Do,

        Request::Pin if !populated => Answer::Refuse(Refusal::NotPopulated),
        Request::Pin if bo.pins == u32::MAX => Answer::Refuse(Refusal::TooManyPins),
        Request::Pin => Answer::Do,

        Request::Unpin if bo.pins == 0 => Answer::Refuse(Refusal::NotPinned),
        Request::Unpin => Answer::Do,

        Request::SwapOut if bo.external => Answer::Refuse(Refusal::External),
        Request::SwapOut if bo.pins != 0 => Answer::Refuse(Refusal::Pinned),
        Request::SwapOut if !populated => Answer::Nothing,
        Request::SwapOut => Answer::Do,

        Request::BackUp | Request::Restore | Request::Purge if !bo.owns_pages => {
            Answer::Refuse(Refusal::External)
        }
        Request::BackUp | Request::Purge if bo.pins != 0 => Answer::Refuse(Refusal::Pinned),
        Request::BackUp if bo.state.holds_pages() => Answer::Do,
        Request::Restore if bo.state.is_backed_up() => Answer::Do,
        Request::Purge if bo.state.holds_pages() || bo.state.is_backed_up() => Answer::Do,
        Request::BackUp | Request::Restore | Request::Purge => Answer::Nothing,

        Request::Copy if !bo.owns_pages => Answer::Refuse(Refusal::External),
        Request::Copy => Answer::Do,
    }
}

/// Cases of [`decide`] that the host tests and the module's own tests share.
pub const CASES: [(Info, Request, Answer); 33] = {
    use Answer::{Do, Nothing, Refuse};
    use Request as R;
    use State::{BackedUp, Empty, PartlyBackedUp, Populated, Swapped};

    const fn own(state: State, pins: u32) -> Info {
        Info {
            state,
            external: false,
            owns_pages: true,
            pins,
        }
    }
    const fn external(state: State) -> Info {
        Info {
            state,
            external: true,
            owns_pages: false,
            pins: 0,
        }
    }
    const fn mappable(state: State) -> Info {
        Info {
            state,
            external: true,
            owns_pages: true,
            pins: 0,
        }
    }

    [
        (own(Empty, 0), R::Populate, Do),
        (own(Swapped, 0), R::Populate, Do),
        (own(Populated, 0), R::Populate, Nothing),
        (own(Empty, 0), R::Unpopulate, Nothing),
        (own(Swapped, 0), R::Unpopulate, Nothing),
        (own(Populated, 0), R::Unpopulate, Do),
        (own(Populated, 1), R::Unpopulate, Refuse(Refusal::Pinned)),
        (own(Empty, 0), R::Pin, Refuse(Refusal::NotPopulated)),
        (own(Swapped, 0), R::Pin, Refuse(Refusal::NotPopulated)),
        (own(Populated, 7), R::Pin, Do),
        (
            own(Populated, u32::MAX),
            R::Pin,
            Refuse(Refusal::TooManyPins),
        ),
        (own(Populated, 0), R::Unpin, Refuse(Refusal::NotPinned)),
        (own(Empty, 0), R::SwapOut, Nothing),
        (own(Swapped, 0), R::SwapOut, Nothing),
        (own(Populated, 2), R::SwapOut, Refuse(Refusal::Pinned)),
        (external(Populated), R::SwapOut, Refuse(Refusal::External)),
        (external(Empty), R::SwapOut, Refuse(Refusal::External)),
        (external(Populated), R::Copy, Refuse(Refusal::External)),
        (external(Populated), R::BackUp, Refuse(Refusal::External)),
        (external(Empty), R::Purge, Refuse(Refusal::External)),
        (mappable(Populated), R::BackUp, Do),
        (mappable(Populated), R::SwapOut, Refuse(Refusal::External)),
        (mappable(BackedUp), R::Copy, Do),
        (own(Populated, 0), R::BackUp, Do),
        (own(PartlyBackedUp, 0), R::BackUp, Do),
        (own(Populated, 1), R::BackUp, Refuse(Refusal::Pinned)),
        (own(Swapped, 0), R::BackUp, Nothing),
        (own(BackedUp, 0), R::Restore, Do),
        (own(PartlyBackedUp, 0), R::Populate, Do),
        (own(Populated, 0), R::Restore, Nothing),
        (own(BackedUp, 0), R::Purge, Do),
        (own(Populated, 2), R::Purge, Refuse(Refusal::Pinned)),
        (own(Swapped, 0), R::Purge, Nothing),
    ]
};

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
    /// Its pages are somebody else's.
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
