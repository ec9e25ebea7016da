// SPDX-License-Identifier: GPL-2.0

//! The states of a TT, what may happen in each, and what comes after.
//!
//! C TTM keeps four independent flag bits; most of their sixteen combinations mean nothing, and one
//! of them (backed up, no longer populated, still counted) was its accounting drift. Here the state
//! is one value and the flags are derived from it.

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

    /// Whether the TT can be used without being populated first.
    pub const fn is_populated(self) -> bool {
        matches!(self, Self::Populated)
    }

    /// Whether content is in a backup, some at least.
    pub const fn is_backed_up(self) -> bool {
        matches!(self, Self::BackedUp | Self::PartlyBackedUp)
    }

    /// Whether the TT holds pages, some at least.
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

/// Why an event can't happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing to do; the operation succeeds without an effect.
    Nothing,
}

/// The state after `event` in `state`.
pub const fn step(state: State, event: Event) -> Result<State, Refusal> {
    use Event as E;
    use State as S;

    match (state, event) {
        (S::Populated, E::Populate) => Err(Refusal::Nothing),
        (S::Empty | S::Swapped | S::BackedUp | S::PartlyBackedUp, E::Populate) => Ok(S::Populated),

        (S::Populated, E::Unpopulate) => Ok(S::Empty),
        (S::Empty | S::Swapped | S::BackedUp | S::PartlyBackedUp, E::Unpopulate) => {
            Err(Refusal::Nothing)
        }

        (S::Populated, E::SwapOut) => Ok(S::Swapped),
        (S::Empty | S::Swapped | S::BackedUp | S::PartlyBackedUp, E::SwapOut) => {
            Err(Refusal::Nothing)
        }

        (S::Populated | S::PartlyBackedUp, E::BackUp) => Ok(S::BackedUp),
        (S::Populated | S::PartlyBackedUp, E::BackUpInPart) => Ok(S::PartlyBackedUp),
        (S::Empty | S::Swapped | S::BackedUp, E::BackUp | E::BackUpInPart) => Err(Refusal::Nothing),

        (S::Populated | S::BackedUp | S::PartlyBackedUp, E::Purge) => Ok(S::Empty),
        (S::Empty | S::Swapped, E::Purge) => Err(Refusal::Nothing),

        (_, E::Fini) => Ok(S::Empty),
    }
}

/// The whole of [`step`] as a table, for tests.
pub const TRANSITIONS: [(State, Event, Result<State, Refusal>); 35] = {
    use Event as E;
    use State as S;
    const NOTHING: Result<State, Refusal> = Err(Refusal::Nothing);

    [
        (S::Empty, E::Populate, Ok(S::Populated)),
        (S::Empty, E::Unpopulate, NOTHING),
        (S::Empty, E::SwapOut, NOTHING),
        (S::Empty, E::BackUp, NOTHING),
        (S::Empty, E::BackUpInPart, NOTHING),
        (S::Empty, E::Purge, NOTHING),
        (S::Empty, E::Fini, Ok(S::Empty)),
        (S::Populated, E::Populate, NOTHING),
        (S::Populated, E::Unpopulate, Ok(S::Empty)),
        (S::Populated, E::SwapOut, Ok(S::Swapped)),
        (S::Populated, E::BackUp, Ok(S::BackedUp)),
        (S::Populated, E::BackUpInPart, Ok(S::PartlyBackedUp)),
        (S::Populated, E::Purge, Ok(S::Empty)),
        (S::Populated, E::Fini, Ok(S::Empty)),
        (S::Swapped, E::Populate, Ok(S::Populated)),
        (S::Swapped, E::Unpopulate, NOTHING),
        (S::Swapped, E::SwapOut, NOTHING),
        (S::Swapped, E::BackUp, NOTHING),
        (S::Swapped, E::BackUpInPart, NOTHING),
        (S::Swapped, E::Purge, NOTHING),
        (S::Swapped, E::Fini, Ok(S::Empty)),
        (S::BackedUp, E::Populate, Ok(S::Populated)),
        (S::BackedUp, E::Unpopulate, NOTHING),
        (S::BackedUp, E::SwapOut, NOTHING),
        (S::BackedUp, E::BackUp, NOTHING),
        (S::BackedUp, E::BackUpInPart, NOTHING),
        (S::BackedUp, E::Purge, Ok(S::Empty)),
        (S::BackedUp, E::Fini, Ok(S::Empty)),
        (S::PartlyBackedUp, E::Populate, Ok(S::Populated)),
        (S::PartlyBackedUp, E::Unpopulate, NOTHING),
        (S::PartlyBackedUp, E::SwapOut, NOTHING),
        (S::PartlyBackedUp, E::BackUp, Ok(S::BackedUp)),
        (S::PartlyBackedUp, E::BackUpInPart, Ok(S::PartlyBackedUp)),
        (S::PartlyBackedUp, E::Purge, Ok(S::Empty)),
        (S::PartlyBackedUp, E::Fini, Ok(S::Empty)),
    ]
};
