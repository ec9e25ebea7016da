// SPDX-License-Identifier: GPL-2.0-or-later

//! The states of a TT, what may happen in each, and what comes after; what may be asked of a buffer
//! object in which state.
//!
//! C TTM keeps four independent flag bits; most of their sixteen combinations mean nothing, and one
//! of them (backed up, no longer populated, still counted) was its accounting drift. Here the state
//! is one value and the flags are derived from it.
#![deny(unsafe_code)]

/// Where the content of a TT is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nowhere: no pages, no content.
    Empty,
    /// In its pages.
    Populated,
    /// In swap storage; it has no pages.
    Swapped,
    /// In its backup; it has no pages.
    BackedUp,
    /// Partly in its backup, partly in pages it still holds.
    PartlyBackedUp,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Empty,
        Self::Populated,
        Self::Swapped,
        Self::BackedUp,
        Self::PartlyBackedUp,
    ];

    /// Returns whether the TT can be used without being populated first.
    pub const fn is_populated(self) -> bool {
        matches!(self, Self::Populated)
    }

    /// Returns whether content is in a backup, some at least.
    pub const fn is_backed_up(self) -> bool {
        matches!(self, Self::BackedUp | Self::PartlyBackedUp)
    }

    /// Returns whether the TT holds pages, some at least.
    pub const fn holds_pages(self) -> bool {
        matches!(self, Self::Populated | Self::PartlyBackedUp)
    }
}

/// What happened to a TT. Each names an operation that has succeeded; one that fails is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// All its pages were allocated, and its content is in them.
    Populate,
    /// Its pages and content were dropped.
    Unpopulate,
    /// Its content was copied to swap storage and its pages were freed.
    SwapOut,
    /// A backup ran to its end.
    BackUp,
    /// A backup ended early.
    BackUpInPart,
    /// Its content was dropped, from its pages and from its backup.
    Purge,
    /// It is being destroyed.
    Fini,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 7] = [
        Self::Populate,
        Self::Unpopulate,
        Self::SwapOut,
        Self::BackUp,
        Self::BackUpInPart,
        Self::Purge,
        Self::Fini,
    ];
}

/// Returns the state after `event` in `state`; `None`: there is nothing to do, and the operation
/// succeeds without an effect.
///
/// What it returns is what a TT stores, and all that [`decide`] knows of states.
pub const fn step(state: State, event: Event) -> Option<State> {
    use Event as E;
    use State as S;

    match (state, event) {
        (S::Populated, E::Populate) => None,
        (S::Empty | S::Swapped | S::BackedUp | S::PartlyBackedUp, E::Populate) => {
            Some(S::Populated)
        }

        (S::Populated, E::Unpopulate) => Some(S::Empty),
        (S::Empty | S::Swapped | S::BackedUp | S::PartlyBackedUp, E::Unpopulate) => None,

        (S::Populated, E::SwapOut) => Some(S::Swapped),
        (S::Empty | S::Swapped | S::BackedUp | S::PartlyBackedUp, E::SwapOut) => None,

        (S::Populated | S::PartlyBackedUp, E::BackUp) => Some(S::BackedUp),
        (S::Populated | S::PartlyBackedUp, E::BackUpInPart) => Some(S::PartlyBackedUp),
        (S::Empty | S::Swapped | S::BackedUp, E::BackUp | E::BackUpInPart) => None,

        (S::Populated | S::BackedUp | S::PartlyBackedUp, E::Purge) => Some(S::Empty),
        (S::Empty | S::Swapped, E::Purge) => None,

        (_, E::Fini) => Some(S::Empty),
    }
}

/// The whole of [`step`] as a table, for tests.
pub const TRANSITIONS: [(State, Event, Option<State>); 35] = {
    use Event as E;
    use State as S;

    [
        (S::Empty, E::Populate, Some(S::Populated)),
        (S::Empty, E::Unpopulate, None),
        (S::Empty, E::SwapOut, None),
        (S::Empty, E::BackUp, None),
        (S::Empty, E::BackUpInPart, None),
        (S::Empty, E::Purge, None),
        (S::Empty, E::Fini, Some(S::Empty)),
        (S::Populated, E::Populate, None),
        (S::Populated, E::Unpopulate, Some(S::Empty)),
        (S::Populated, E::SwapOut, Some(S::Swapped)),
        (S::Populated, E::BackUp, Some(S::BackedUp)),
        (S::Populated, E::BackUpInPart, Some(S::PartlyBackedUp)),
        (S::Populated, E::Purge, Some(S::Empty)),
        (S::Populated, E::Fini, Some(S::Empty)),
        (S::Swapped, E::Populate, Some(S::Populated)),
        (S::Swapped, E::Unpopulate, None),
        (S::Swapped, E::SwapOut, None),
        (S::Swapped, E::BackUp, None),
        (S::Swapped, E::BackUpInPart, None),
        (S::Swapped, E::Purge, None),
        (S::Swapped, E::Fini, Some(S::Empty)),
        (S::BackedUp, E::Populate, Some(S::Populated)),
        (S::BackedUp, E::Unpopulate, None),
        (S::BackedUp, E::SwapOut, None),
        (S::BackedUp, E::BackUp, None),
        (S::BackedUp, E::BackUpInPart, None),
        (S::BackedUp, E::Purge, Some(S::Empty)),
        (S::BackedUp, E::Fini, Some(S::Empty)),
        (S::PartlyBackedUp, E::Populate, Some(S::Populated)),
        (S::PartlyBackedUp, E::Unpopulate, None),
        (S::PartlyBackedUp, E::SwapOut, None),
        (S::PartlyBackedUp, E::BackUp, Some(S::BackedUp)),
        (S::PartlyBackedUp, E::BackUpInPart, Some(S::PartlyBackedUp)),
        (S::PartlyBackedUp, E::Purge, Some(S::Empty)),
        (S::PartlyBackedUp, E::Fini, Some(S::Empty)),
    ]
};

/// A buffer object as far as the rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its TT's state.
    pub state: State,
    /// Whether its pages are external, that is not counted.
    pub external: bool,
    /// Whether it has pages of its own.
    pub owns_pages: bool,
    /// How often it is pinned.
    pub pins: u32,
}

/// What is asked of a buffer object.
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
    /// Its pages are external.
    External,
}

/// What is to be done about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do it.
    Do,
    /// There is nothing to do: success.
    Nothing,
    /// It can't be.
    Refuse(Refusal),
}

/// Decides about `request`: what is external or pinned is refused, the rest is as [`step`] says.
pub const fn decide(bo: Info, request: Request) -> Decision {
    match request {
        Request::Populate => effect(bo.state, Event::Populate),

        Request::Unpopulate if bo.pins != 0 && bo.state.is_populated() => {
            Decision::Refuse(Refusal::Pinned)
        }
        Request::Unpopulate => effect(bo.state, Event::Unpopulate),

        Request::Pin if !bo.state.is_populated() => Decision::Refuse(Refusal::NotPopulated),
        Request::Pin if bo.pins == u32::MAX => Decision::Refuse(Refusal::TooManyPins),
        Request::Pin => Decision::Do,

        Request::Unpin if bo.pins == 0 => Decision::Refuse(Refusal::NotPinned),
        Request::Unpin => Decision::Do,

        Request::SwapOut if bo.external => Decision::Refuse(Refusal::External),
        Request::BackUp | Request::Restore | Request::Purge | Request::Copy if !bo.owns_pages => {
            Decision::Refuse(Refusal::External)
        }
        Request::SwapOut | Request::BackUp | Request::Purge if bo.pins != 0 => {
            Decision::Refuse(Refusal::Pinned)
        }
        Request::SwapOut => effect(bo.state, Event::SwapOut),
        Request::BackUp => effect(bo.state, Event::BackUp),
        Request::Purge => effect(bo.state, Event::Purge),

        Request::Restore if bo.state.is_backed_up() => effect(bo.state, Event::Populate),
        Request::Restore => Decision::Nothing,

        Request::Copy => Decision::Do,
    }
}

/// Returns what is to be done about a request that is `event`, if nothing but the state matters.
const fn effect(state: State, event: Event) -> Decision {
    match step(state, event) {
        Some(_) => Decision::Do,
        None => Decision::Nothing,
    }
}

/// Cases of [`decide`] that the host tests and the module's own tests share.
pub const CASES: [(Info, Request, Decision); 33] = {
    use Decision::{Do, Nothing, Refuse};
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
