// SPDX-License-Identifier: GPL-2.0

//! The locks one thread holds: a short array, and what the operations do to it.
//!
//! Locks are mostly taken in ascending order and released in reverse. The `*_fast` functions handle
//! just that, in a few instructions; whatever they decline goes to the complete functions, which
//! find every fault, report it and then apply the operation's effect also when it was incorrect.

#![deny(unsafe_code)]

use super::{
    conflict::Rules,
    flags::{
        EXCLUSIVE,
        MODE_MASK,
        WAITING, //
    }, //
};

mod checks;
mod complete;
mod fast;

/// How many locks of all hierarchies together one thread can hold.
pub const MAX_HELD: usize = 64;

/// Set in an entry's flags when a trylock took it out of order.
const TAKEN_OUT_OF_ORDER: u8 = 1 << 7;
/// Set in the flags of an entry that is no lock but the key of the lock after it.
const IS_KEY: u8 = 1 << 6;
/// Set in the flags of a lock whose key is the entry before it.
const HAS_KEY: u8 = 1 << 5;

/// Keeps an index in range without a branch; indexes below [`MAX_HELD`] are unchanged.
const MASK: usize = MAX_HELD - 1;

/// The part of the word that counts entries; the rest are flags.
const LEN: u32 = 0xff;
/// Entries of some hierarchy do not ascend.
const IRREGULAR: u32 = 1 << 8;
/// Entries of more than one hierarchy are held.
const MIXED: u32 = 1 << 9;
/// Tracking is disabled.
const DISABLED: u32 = 1 << 10;
/// Locks may be held that were not recorded.
const TOLERANT: u32 = 1 << 11;
/// There is no context: the fast paths decline.
const ABSENT: u32 = 1 << 12;

/// A token that no hierarchy has, and neither does a null pointer.
const NO_HOME: usize = 1;

/// One use of a lock.
#[derive(Clone, Copy, Debug)]
pub struct LockUse {
    /// The lock object's address; null is a lock like any other.
    pub instance: usize,
    /// Its order.
    pub order: u32,
    /// Mode and modifiers, see [`super::flags`].
    pub flags: u32,
    /// Where in the code, as the low half of the address.
    pub site: u32,
    /// What a nestable order is nested by.
    pub key: u64,
}

impl LockUse {
    /// A use of a lock that is nested by its address, if at all.
    #[inline(always)]
    pub const fn new(instance: usize, order: u32, flags: u32, site: u32) -> Self {
        Self {
            instance,
            order,
            flags,
            site,
            key: instance as u64,
        }
    }
}

/// A held lock, copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The hierarchy's id.
    pub hierarchy: u8,
    /// The lock's order there.
    pub order: u8,
    /// Whether it is held exclusively.
    pub exclusive: bool,
    /// Whether a trylock took it out of order.
    pub out_of_order: bool,
    /// Whether it is waited for still.
    pub waiting: bool,
    /// Where it was taken.
    pub site: u32,
    /// The lock object's address.
    pub instance: usize,
    /// What it is nested by: the caller's key, else the address.
    pub key: u64,
}

/// The locks one thread (or one interrupt level of a CPU) holds.
///
/// # Invariants
///
/// - The first `len` entries of each array are the held locks, in the order they were taken. A lock
///   nested by a key of the caller's takes two entries: first its key, in the place of an instance.
/// - `lock` is shifted by one, behind a 0 that stands for no lock. Its low byte is the order, its
///   high byte the mode and the marks.
/// - Without `IRREGULAR`, locks ascend along the array within each hierarchy, by order and (for
///   nestable orders) key. So the last entry is the deepest lock of its hierarchy.
/// - Without `MIXED`, all entries are of the hierarchy that `home` and `home_id` name, and
///   `hierarchy` is not filled in.
///
/// The layout is part of the C API's `struct reeve_thread_context`; only a prefix of each array is
/// ever initialised, which is why making one costs next to nothing. Any flag in `word`
/// makes it too large for the fast paths.
#[repr(C)]
pub struct HeldLocks {
    /// How many entries are in use, in the low byte, and flags.
    word: u32,
    /// The epoch of tracking that the records are of, see [`catch_up`](Self::catch_up).
    epoch: u32,
    home: usize,
    instance: [usize; MAX_HELD],
    site: [u32; MAX_HELD],
    lock: [u16; MAX_HELD + 1],
    hierarchy: [u8; MAX_HELD],
    home_id: u8,
    disabled: u16,
}

impl Default for HeldLocks {
    fn default() -> Self {
        Self::new()
    }
}

impl HeldLocks {
    /// Nothing held.
    pub const fn new() -> Self {
        Self {
            word: 0,
            epoch: 0,
            home: NO_HOME,
            instance: [0; MAX_HELD],
            site: [0; MAX_HELD],
            lock: [0; MAX_HELD + 1],
            hierarchy: [0; MAX_HELD],
            home_id: 0,
            disabled: 0,
        }
    }

    /// What stands for the held locks of a thread without a context.
    pub const fn absent() -> Self {
        Self {
            word: ABSENT,
            ..Self::new()
        }
    }

    /// Forgets everything, without touching more than it has to. From now on the records are of
    /// `epoch`.
    #[inline(always)]
    pub fn reset(&mut self, epoch: u32) {
        self.word = 0;
        self.epoch = epoch;
        self.disabled = 0;
        self.home = NO_HOME;
        self.lock[0] = 0;
    }

    /// How many entries are in use: locks, and keys of locks.
    pub fn len(&self) -> usize {
        ((self.word & LEN) as usize).min(MAX_HELD)
    }

    /// Whether no lock is held.
    pub fn is_empty(&self) -> bool {
        self.word & LEN == 0
    }

    fn set_len(&mut self, len: usize) {
        self.word = self.word & !LEN | len as u32;
    }

    /// The held lock at `index`; `None` where there is none.
    pub fn get(&self, index: usize) -> Option<Entry> {
        if index >= self.len() || self.how(index) & IS_KEY != 0 {
            return None;
        }
        let i = index & MASK;
        Some(Entry {
            hierarchy: self.hierarchy_of(i),
            order: self.order(i),
            exclusive: self.how(i) & EXCLUSIVE as u8 != 0,
            out_of_order: self.how(i) & TAKEN_OUT_OF_ORDER != 0,
            waiting: self.how(i) & WAITING as u8 != 0,
            site: self.site[i],
            instance: self.instance[i],
            key: self.key(i),
        })
    }

    /// The held locks, in the order of taking, with their indexes.
    pub fn indexed(&self) -> impl DoubleEndedIterator<Item = (usize, Entry)> + '_ {
        (0..self.len()).filter_map(|i| Some((i, self.get(i)?)))
    }

    /// The held locks, in the order of taking.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Entry> + '_ {
        self.indexed().map(|(_, entry)| entry)
    }

    /// The order taken last of those held of this hierarchy; 0: none.
    pub fn innermost(&self, rules: &Rules<'_>) -> u8 {
        let mut held = self.iter().rev();
        held.find(|entry| entry.hierarchy == rules.id)
            .map_or(0, |entry| entry.order)
    }

    fn order(&self, i: usize) -> u8 {
        self.lock[(i & MASK) + 1] as u8
    }

    fn how(&self, i: usize) -> u8 {
        (self.lock[(i & MASK) + 1] >> 8) as u8
    }

    fn key(&self, i: usize) -> u64 {
        match i.checked_sub(1) {
            Some(before) if self.how(i) & HAS_KEY != 0 => self.instance[before & MASK] as u64,
            _ => self.instance[i & MASK] as u64,
        }
    }

    #[inline(always)]
    fn hierarchy_of(&self, i: usize) -> u8 {
        if self.word & MIXED != 0 {
            self.hierarchy[i & MASK]
        } else {
            self.home_id
        }
    }

    /// Whether tracking is disabled for this thread now.
    #[inline(always)]
    pub fn is_disabled(&self) -> bool {
        self.word & DISABLED != 0
    }

    /// Stops tracking until the matching [`enable`](Self::enable). Nests up to 65535 deep;
    /// `false`: deeper than that.
    pub fn disable(&mut self) -> bool {
        match self.disabled.checked_add(1) {
            Some(n) => {
                self.disabled = n;
                self.word |= DISABLED;
                true
            }
            None => false,
        }
    }

    /// Undoes one [`disable`](Self::disable); `false`: there was none.
    pub fn enable(&mut self) -> bool {
        match self.disabled.checked_sub(1) {
            Some(n) => {
                self.disabled = n;
                if n == 0 {
                    self.word &= !DISABLED;
                }
                true
            }
            None => false,
        }
    }

    /// Says which epoch of tracking it is, before a complete operation; `false`: tracking is just
    /// being switched, and the operation has to return that all is correct and do nothing.
    ///
    /// An epoch starts when tracking was switched on or off everywhere, and is odd until then:
    /// meanwhile a lock may be recorded and its unlock not. So locks recorded in another epoch are
    /// forgotten, and from then on locks may be held that are not recorded. (The fast paths need
    /// not know: they find no fault.)
    pub fn catch_up(&mut self, epoch: u32) -> bool {
        if epoch & 1 != 0 {
            return false;
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.word = self.word & !(LEN | IRREGULAR | MIXED) | TOLERANT;
        }
        true
    }

    /// Whether locks may be held that were not recorded.
    pub(super) fn is_tolerant(&self) -> bool {
        self.word & TOLERANT != 0
    }

    /// Moves the whole state into `to` and leaves nothing held and tracking enabled.
    pub fn save_into(&mut self, to: &mut Self) {
        let n = self.len();
        to.word = self.word;
        to.epoch = self.epoch;
        to.home_id = self.home_id;
        to.disabled = self.disabled;
        to.home = self.home;
        for i in 0..n {
            to.instance[i] = self.instance[i];
            to.site[i] = self.site[i];
            to.lock[i + 1] = self.lock[i + 1];
            to.hierarchy[i] = self.hierarchy[i];
        }
        to.lock[0] = 0;
        self.reset(self.epoch);
    }

    /// Whether the last lock of an empty stack was, or all held locks are, of this hierarchy.
    #[inline(always)]
    pub fn is_home(&self, token: usize) -> bool {
        self.home == token
    }

    /// Makes sure that entries of this hierarchy may be added.
    fn settle(&mut self, rules: &Rules<'_>) {
        if self.is_empty() {
            self.word &= !(MIXED | IRREGULAR);
            self.home = rules.token;
            self.home_id = rules.id;
        } else if self.home != rules.token && self.word & MIXED == 0 {
            let n = self.len();
            self.hierarchy[..n].fill(self.home_id);
            self.word |= MIXED;
        }
    }

    fn put(&mut self, index: usize, id: u8, u: LockUse, extra: u8) {
        let i = index & MASK;
        self.instance[i] = u.instance;
        self.site[i] = u.site;
        self.hierarchy[i] = id;
        self.lock[i + 1] = pack(
            u.order as u8,
            (u.flags & (MODE_MASK | WAITING)) as u8 | extra,
        );
    }

    /// Adds a lock, after its key if it has one; `false`: no room.
    fn push(&mut self, id: u8, u: LockUse, extra: u8, keyed: bool) -> bool {
        let n = self.len();
        if n + usize::from(keyed) >= MAX_HELD {
            return false;
        }
        if keyed {
            self.put(n, id, u, 0);
            self.instance[n] = u.key as usize;
            self.lock[n + 1] = pack(u.order as u8, IS_KEY);
            self.put(n + 1, id, u, extra | HAS_KEY);
            self.set_len(n + 2);
        } else {
            self.put(n, id, u, extra);
            self.set_len(n + 1);
        }
        true
    }

    /// The entry of this order that the operation speaks of: for a nestable order the instance's
    /// own if it is held, else the last one.
    pub(super) fn find(&self, rules: &Rules<'_>, order: u32, instance: usize) -> Option<usize> {
        let mut last = None;
        for (i, entry) in self.indexed() {
            if entry.hierarchy == rules.id && u32::from(entry.order) == order {
                if entry.instance == instance {
                    return Some(i);
                }
                last = Some(i);
            }
        }
        last
    }

    /// The entry that a newly taken lock replaces: the order's only one, or for a nestable order
    /// the same instance's.
    fn find_replaced(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        self.find(rules, u.order, u.instance)
            .filter(|&i| !rules.is_nestable(u.order) || self.instance[i & MASK] == u.instance)
    }

    /// Forgets a lock, and its key.
    fn remove(&mut self, index: usize) {
        let n = self.len();
        if index >= n {
            return;
        }
        let from = index - usize::from(self.how(index) & HAS_KEY != 0 && index > 0);
        self.instance.copy_within(index + 1..n, from);
        self.site.copy_within(index + 1..n, from);
        self.lock.copy_within(index + 2..n + 1, from + 1);
        self.hierarchy.copy_within(index + 1..n, from);
        self.set_len(n - (index + 1 - from));
        self.note_regularity();
    }

    /// Restores the invariant of `IRREGULAR`.
    fn note_regularity(&mut self) {
        let ascends = |(i, entry): (usize, Entry)| {
            let mut before = (0..i).rev().filter_map(|j| self.get(j));
            before
                .find(|before| before.hierarchy == entry.hierarchy)
                .is_none_or(|before| (before.order, before.key) < (entry.order, entry.key))
        };
        if self.indexed().all(ascends) {
            self.word &= !IRREGULAR;
        } else {
            self.word |= IRREGULAR;
        }
    }
}

/// An order and how it is held, in one word.
#[inline(always)]
pub const fn pack(order: u8, how: u8) -> u16 {
    u16::from_le_bytes([order, how])
}
