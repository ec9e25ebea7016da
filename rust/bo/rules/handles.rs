// SPDX-License-Identifier: GPL-2.0-or-later

//! Handles of drivers, and the words by which a slot of their table is found, kept and used again.
//!
//! A handle names a slot and a generation of it. A slot has two words, and the steps here are each made at once, with
//! a compare-and-exchange or a subtraction:
//!
//! - its *state*: the generation, which is odd while the slot is taken, and how many keep it. What it holds is
//!   one of these as long as it has references; each call that uses it is another one.
//! - its *counts*: the references of the driver, and those of locks.
//!
//! What is in the slot goes when none keeps it, and the generation with it, so no handle is ever good for two things.
#![deny(unsafe_code)]

/// How many kinds of handles there may be. The kind is the lowest digit, so that no handle is of two.
pub const KINDS: u64 = 4;

const KIND_BITS: u32 = KINDS.trailing_zeros();
const SLOT_BITS: u32 = 30;
const GENERATION_SHIFT: u32 = KIND_BITS + SLOT_BITS;

/// The last generation in which a slot is taken. No handle of it is one of the pointers that are errors.
const LAST: u64 = (1 << 32) - 3;

/// The number of the first slot.
pub const FIRST: u64 = 128;

/// How many chunks there may be.
pub const CHUNKS: usize = SLOT_BITS as usize - FIRST.trailing_zeros() as usize;

/// The number behind that of the last slot.
pub const END: u64 = 1 << SLOT_BITS;

/// Returns the chunk in which a slot is: the largest is 0, and each next one has half as many. A number that is none of a
/// slot, but below [`END`], gets one of [`CHUNKS`] or above.
#[inline]
pub const fn chunk_of(slot: u64) -> usize {
    // 0 is none of a slot, like 1.
    (slot | 1)
        .leading_zeros()
        .wrapping_sub((END - 1).leading_zeros()) as usize
}

/// Returns the number of the first slot of a chunk, of which it has as many.
#[inline]
pub const fn first_of(chunk: usize) -> u64 {
    (END / 2) >> chunk
}

/// What a handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// What kind of thing it names.
    pub kind: u64,
    /// Where that is.
    pub slot: u64,
    /// In which of the slot's generations.
    pub generation: u64,
}

impl Handle {
    /// Returns what a number says, which may be any.
    #[inline]
    pub const fn of(number: u64) -> Self {
        Self {
            kind: number % KINDS,
            slot: (number >> KIND_BITS) & ((1 << SLOT_BITS) - 1),
            generation: number >> GENERATION_SHIFT,
        }
    }

    /// Returns the number, which is not 0.
    #[inline]
    pub const fn number(self) -> u64 {
        self.generation << GENERATION_SHIFT | self.slot << KIND_BITS | self.kind
    }
}

/// The first word of a slot. Made of zeros, the slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub u64);

impl State {
    const KEPT: u64 = (1 << 32) - 1;

    /// Returns the generation.
    #[inline]
    pub const fn generation(self) -> u64 {
        self.0 >> 32
    }

    /// Takes a slot that is free, for something of the generation that is returned with the state. It can't be found
    /// before it is [`State::published`]. `None`: it is not free, or its generations are used up.
    #[inline]
    pub const fn claim(self) -> Option<Self> {
        if self.generation() % 2 == 0 && self.0 & Self::KEPT == 0 && self.generation() < LAST {
            Some(Self(self.generation().wrapping_add(1) << 32))
        } else {
            None
        }
    }

    /// Lets a slot be found that was claimed; it is kept by its references.
    #[inline]
    pub const fn published(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Keeps what a handle of `generation` names. `None`: that is gone, or it has been kept too often.
    #[inline]
    pub const fn keep(self, generation: u64) -> Option<Self> {
        // Those of another generation are far off.
        let kept = self.0.wrapping_sub(generation << 32);
        if kept.wrapping_sub(1) < Self::KEPT - 1 {
            Some(Self(self.0.wrapping_add(1)))
        } else {
            None
        }
    }

    /// Returns whether, of what is kept so, `fewer` less is nothing: then the slot belongs to the one who took them away.
    #[inline]
    pub const fn is_left_by(self, fewer: u64) -> bool {
        self.0 & Self::KEPT == fewer
    }

    /// Frees a slot that is kept by none. No handle of before is good any more.
    #[inline]
    pub const fn freed(self) -> Self {
        Self(self.generation().wrapping_add(1) << 32)
    }

    /// Returns whether a slot that is free can be taken again.
    #[inline]
    pub const fn is_usable(self) -> bool {
        self.generation() < LAST
    }
}

/// The second word of a slot: references of the driver, and of locks, which only unlocking drops: one put too many
/// leaves what is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts(pub u64);

impl Counts {
    const LOCK: u64 = 1;
    const REFERENCE: u64 = 1 << 32;
    const LOCKS: u64 = Self::REFERENCE - 1;

    /// Those of something new: one reference.
    pub const NEW: Self = Self(Self::REFERENCE);

    /// Returns whether there are none: what is in the slot goes, and can't be found any more.
    #[inline]
    pub const fn are_none(self) -> bool {
        self.0 == 0
    }

    /// Takes another reference. `None`: there are none, or too many.
    #[inline]
    pub const fn get(self) -> Option<Self> {
        if self.are_none() {
            return None;
        }
        match self.0.checked_add(Self::REFERENCE) {
            Some(more) => Some(Self(more)),
            None => None,
        }
    }

    /// Drops a reference. `None`: there is none that is not a lock's.
    #[inline]
    pub const fn put(self) -> Option<Self> {
        match self.0.checked_sub(Self::REFERENCE) {
            Some(fewer) => Some(Self(fewer)),
            None => None,
        }
    }

    /// Takes a reference for a lock. `None`: there are none, or too many.
    #[inline]
    pub const fn lock(self) -> Option<Self> {
        if self.are_none() || self.0 & Self::LOCKS == Self::LOCKS {
            return None;
        }
        Some(Self(self.0.wrapping_add(Self::LOCK)))
    }

    /// Drops a reference of a lock. `None`: there is none.
    #[inline]
    pub const fn unlock(self) -> Option<Self> {
        if self.0 & Self::LOCKS == 0 {
            return None;
        }
        Some(Self(self.0.wrapping_sub(Self::LOCK)))
    }
}

/// The first slot of the list of those that are free, each of which has the next one's number; and how often it was
/// changed, so that a slot that was taken and came back in between is not mistaken for one that stayed. If one is, after
/// 2^34 changes, slots are lost, and others in the list are not free; but none is taken twice, for it is [`State::claim`]
/// that makes one the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head(pub u64);

impl Head {
    /// The list is empty.
    pub const EMPTY: Self = Self(0);

    /// Returns the number of the first slot; 0, which is that of none: there is none.
    #[inline]
    pub const fn first(self) -> u64 {
        self.0 % END
    }

    /// Makes `slot` the first one, or the one that the first one has as the next.
    #[inline]
    pub const fn changed_to(self, slot: u64) -> Self {
        let changes = (self.0 - self.0 % END).wrapping_add(END);
        Self(changes | (slot % END))
    }
}
