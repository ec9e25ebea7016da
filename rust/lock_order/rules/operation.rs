// SPDX-License-Identifier: GPL-2.0-or-later

//! The operations of lock-order tracking, as reports name them.

#![deny(unsafe_code)]

/// What a thread was doing when a violation was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
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
    /// Recording that a wait for a lock ended.
    Acquiring,
    /// Recording that something is about to be waited for that is no lock.
    Waiting,
    /// Freeing memory.
    Freeing,
    /// Handing a lock over to another thread.
    HandingOver,
    /// Taking over a lock from another thread.
    Adopting,
}

/// All of them, with the C function's name without `reeve_` and with words, by number.
const ALL: [(Operation, &str, &str); 19] = [
    (Operation::Locking, "record_lock", "taking"),
    (Operation::Unlocking, "record_unlock", "releasing"),
    (Operation::Downgrading, "record_downgrade", "downgrading"),
    (
        Operation::ExpectingLocked,
        "check_locked",
        "expecting to hold",
    ),
    (
        Operation::ExpectingLockable,
        "check_lockable_order",
        "expecting to be able to take",
    ),
    (
        Operation::ExpectingUnlocked,
        "check_unlocked_order",
        "expecting not to hold",
    ),
    (
        Operation::ExpectingNothingHeld,
        "check_all_unlocked",
        "expecting to hold nothing of",
    ),
    (
        Operation::Entering,
        "thread_context_enter",
        "entering a context",
    ),
    (
        Operation::Leaving,
        "thread_context_leave",
        "leaving a context",
    ),
    (Operation::Saving, "thread_context_save", "saving a context"),
    (
        Operation::Restoring,
        "thread_context_restore",
        "restoring a context",
    ),
    (
        Operation::Disabling,
        "tracking_disable",
        "disabling tracking",
    ),
    (Operation::Enabling, "tracking_enable", "enabling tracking"),
    (
        Operation::Unregistering,
        "hierarchy_unregister",
        "unregistering",
    ),
    (Operation::Acquiring, "record_acquired", "having waited for"),
    (Operation::Waiting, "record_wait", "about to wait for"),
    (
        Operation::Freeing,
        "check_no_locks_freed",
        "freeing memory that has",
    ),
    (Operation::HandingOver, "record_handover", "handing over"),
    (Operation::Adopting, "record_adopt", "taking over"),
];

const _: () = {
    let mut i = 0;
    while i < ALL.len() {
        assert!(ALL[i].0 as usize == i, "the table is in the enum's order");
        i += 1;
    }
};

impl Operation {
    /// Whether the operation with this number is about a lock, and not about an order or a context.
    pub fn has_lock(number: u8) -> bool {
        let with = [
            Self::Locking,
            Self::Unlocking,
            Self::Downgrading,
            Self::ExpectingLocked,
            Self::Acquiring,
            Self::Waiting,
            Self::Freeing,
            Self::HandingOver,
            Self::Adopting,
        ];
        with.iter().any(|&operation| operation as u8 == number)
    }

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
