// SPDX-License-Identifier: GPL-2.0

//! The operations of lock-order tracking, as reports name them.

/// What a thread was doing when a violation was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Doing {
    /// Recording a lock.
    Locking,
    /// Recording an unlock.
    Unlocking,
    /// Recording a downgrade.
    Downgrading,
    /// Checking that a lock is held.
    ExpectingLocked,
    /// Checking that an order could be taken.
    ExpectingLockable,
    /// Checking that an order is not held.
    ExpectingUnlocked,
    /// Checking that nothing is held.
    ExpectingNothingHeld,
    /// Entering a context.
    Entering,
    /// Leaving a context.
    Leaving,
    /// Saving a context.
    Saving,
    /// Restoring a context.
    Restoring,
    /// Disabling tracking.
    Disabling,
    /// Enabling tracking.
    Enabling,
    /// Unregistering a hierarchy.
    Unregistering,
}

/// All of them, with the C function's name without `reeve_` and with words, by number.
const ALL: [(Doing, &str, &str); 14] = [
    (Doing::Locking, "record_lock", "taking"),
    (Doing::Unlocking, "record_unlock", "releasing"),
    (Doing::Downgrading, "record_downgrade", "downgrading"),
    (Doing::ExpectingLocked, "check_locked", "expecting to hold"),
    (
        Doing::ExpectingLockable,
        "check_lockable_order",
        "expecting to be able to take",
    ),
    (
        Doing::ExpectingUnlocked,
        "check_unlocked_order",
        "expecting not to hold",
    ),
    (
        Doing::ExpectingNothingHeld,
        "check_all_unlocked",
        "expecting to hold nothing of",
    ),
    (
        Doing::Entering,
        "thread_context_enter",
        "entering a context",
    ),
    (Doing::Leaving, "thread_context_leave", "leaving a context"),
    (Doing::Saving, "thread_context_save", "saving a context"),
    (
        Doing::Restoring,
        "thread_context_restore",
        "restoring a context",
    ),
    (Doing::Disabling, "tracking_disable", "disabling tracking"),
    (Doing::Enabling, "tracking_enable", "enabling tracking"),
    (
        Doing::Unregistering,
        "hierarchy_unregister",
        "unregistering",
    ),
];

const _: () = {
    let mut i = 0;
    while i < ALL.len() {
        assert!(ALL[i].0 as usize == i, "the table is in the enum's order");
        i += 1;
    }
};

impl Doing {
    /// The name of the operation with this number; it does not change between versions.
    pub fn name_of(number: u8) -> &'static str {
        ALL.get(usize::from(number))
            .map_or("?", |(_, name, _)| name)
    }

    /// The same in words.
    pub fn text_of(number: u8) -> &'static str {
        ALL.get(usize::from(number))
            .map_or("?", |(_, _, text)| text)
    }
}
