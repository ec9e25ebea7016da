// SPDX-License-Identifier: GPL-2.0-or-later

//! What can be wrong with a use of a lock.

#![deny(unsafe_code)]

pub mod record;

/// One incorrect use, found by an operation on a thread's held locks.
///
/// Variants with an index name the conflicting entry in the thread's
/// [`HeldLocks`](super::held::HeldLocks) as it was before the operation took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Order 0, or above the hierarchy's count.
    InvalidOrder,
    /// No mode, two modes, or unknown bits.
    InvalidFlags,
    /// The hierarchy is not registered (any more), or null.
    InvalidHierarchy,
    /// An equal or deeper order is held already.
    OrderHeld(u8),
    /// A conflict rule of the hierarchy (by index) forbids it while the entry is held.
    RuleBroken {
        /// Index of the rule in its hierarchy.
        rule: u8,
        /// The held entry that the rule is about.
        held: u8,
    },
    /// The thread holds as many locks as can be recorded; this one is not.
    TooDeep,
    /// No lock of this order (or, for orders nestable by key, not this one) is held.
    NotHeld,
    /// Another instance of this order is held.
    WrongInstance(u8),
    /// It is held in the other mode.
    WrongMode(u8),
    /// A deeper order is still held at an unlock in order.
    DeeperHeld(u8),
    /// A lock of this order is held where none should be.
    UnexpectedlyHeld(u8),
    /// Locks are held where none should be; the entry is the outermost.
    StillHeld(u8),
    /// Tracking was enabled more often than it was disabled.
    NotDisabled,
    /// The thread has not entered a context.
    NoContext,
    /// A context was entered while it is in use, or left by a thread that did not enter it.
    BadContext,
    /// There was no memory for the context of a thread.
    TableFull,
    /// A context was entered again by a thread whose call that entered it before is over.
    LeaveForgotten,
    /// A task ended inside of a context.
    EndedInside,
    /// A context was left while tracking was disabled in it.
    StillDisabled,
    /// It may sleep, and a lock is held that spins.
    SleepsUnder(u8),
    /// It may sleep, in an interrupt or where nothing may sleep.
    SleepsInAtomic,
    /// A lock that handlers take was taken with interrupts on.
    InterruptsOn,
    /// A handler of an interrupt takes a lock that others take with interrupts on.
    InHandler,
    /// It lies in memory that is being freed.
    FreedHeld,
    /// No thread has handed it over.
    NotHandedOver,
    /// A lock of another hierarchy is held that comes after it.
    OtherHeld(u8),
}

/// The most faults that one use can have.
const MAX_FAULTS: usize = 6;

/// What is wrong with one use, in the order of finding; none: it is correct.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    found: [Option<Violation>; MAX_FAULTS],
    count: u8,
}

impl Faults {
    /// None.
    pub const fn none() -> Self {
        Self {
            found: [None; MAX_FAULTS],
            count: 0,
        }
    }

    /// Just this one.
    pub const fn one(fault: Violation) -> Self {
        let mut faults = Self::none();
        faults.found[0] = Some(fault);
        faults.count = 1;
        faults
    }

    /// Adds one.
    pub fn add(&mut self, fault: Violation) {
        if let Some(place) = self.found.get_mut(usize::from(self.count)) {
            *place = Some(fault);
            self.count += 1;
        }
    }

    /// Whether the use is correct.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = Violation> + '_ {
        self.found.iter().flatten().copied()
    }
}

impl From<Option<Violation>> for Faults {
    fn from(fault: Option<Violation>) -> Self {
        fault.map_or(Self::none(), Self::one)
    }
}

/// How many kinds [`Violation::kind`] tells apart.
pub const KINDS: usize = 26;

impl Violation {
    /// A small number per kind, for counters.
    pub const fn kind(self) -> usize {
        match self {
            Self::InvalidOrder => 0,
            Self::InvalidFlags => 1,
            Self::InvalidHierarchy => 2,
            Self::OrderHeld(_) => 3,
            Self::RuleBroken { .. } => 4,
            Self::TooDeep => 5,
            Self::NotHeld => 6,
            Self::WrongInstance(_) => 7,
            Self::WrongMode(_) => 8,
            Self::DeeperHeld(_) => 9,
            Self::UnexpectedlyHeld(_) => 10,
            Self::StillHeld(_) => 11,
            Self::NotDisabled => 12,
            Self::NoContext => 13,
            Self::BadContext => 14,
            Self::TableFull => 15,
            Self::LeaveForgotten => 16,
            Self::EndedInside => 17,
            Self::StillDisabled => 18,
            Self::SleepsUnder(_) => 19,
            Self::SleepsInAtomic => 20,
            Self::InterruptsOn => 21,
            Self::InHandler => 22,
            Self::FreedHeld => 23,
            Self::NotHandedOver => 24,
            Self::OtherHeld(_) => 25,
        }
    }

    /// The conflicting entry of the held locks, if there is one.
    pub const fn conflict(self) -> Option<u8> {
        match self {
            Self::OrderHeld(i)
            | Self::RuleBroken { held: i, .. }
            | Self::WrongInstance(i)
            | Self::WrongMode(i)
            | Self::DeeperHeld(i)
            | Self::UnexpectedlyHeld(i)
            | Self::SleepsUnder(i)
            | Self::OtherHeld(i)
            | Self::StillHeld(i) => Some(i),
            _ => None,
        }
    }
}

/// Names of the kinds, which do not change between versions, and what is wrong in words.
const NAMES: [(&str, &str); KINDS] = [
    ("invalid_order", "the order is not one of the hierarchy"),
    ("invalid_flags", "the flags do not name one mode"),
    ("invalid_hierarchy", "the hierarchy is not registered"),
    ("order_held", "an equal or deeper order is held"),
    ("rule_broken", "a conflict rule forbids it"),
    ("too_deep", "too many locks are held to record one more"),
    ("not_held", "it is not held"),
    ("wrong_instance", "another instance of the order is held"),
    ("wrong_mode", "it is held in the other mode"),
    ("deeper_held", "a deeper order is still held"),
    ("unexpectedly_held", "a lock of the order is held"),
    ("still_held", "locks are still held"),
    ("not_disabled", "tracking was not disabled"),
    ("no_context", "the thread has no context"),
    ("bad_context", "the context is in use, or not this thread's"),
    ("table_full", "there is no memory for a context"),
    ("leave_forgotten", "the leave was forgotten"),
    ("ended_inside", "the task ended without it"),
    ("still_disabled", "tracking is still disabled"),
    (
        "sleeps_under_spinlock",
        "it may sleep, and a lock is held that spins",
    ),
    ("sleeps_in_atomic", "it may sleep, where nothing may sleep"),
    ("interrupts_on", "handlers take it, and interrupts are on"),
    (
        "in_handler",
        "a handler takes it, and the order is not irq-safe",
    ),
    ("freed_held", "it is held, or waited for"),
    ("not_handed_over", "it was not handed over"),
    (
        "other_held",
        "a lock of another hierarchy is held that comes after it",
    ),
];

/// The name of a kind, see [`Violation::kind`].
pub fn kind_name(kind: u8) -> &'static str {
    NAMES.get(usize::from(kind)).map_or("?", |(name, _)| name)
}

/// The same in words.
pub fn kind_text(kind: u8) -> &'static str {
    NAMES.get(usize::from(kind)).map_or("?", |(_, text)| text)
}
