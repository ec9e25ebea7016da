// SPDX-License-Identifier: GPL-2.0-or-later

//! The locks one thread holds: a short array, and what the operations do to it.
//!
//! Locks are mostly taken in ascending order and released in reverse. The `*_fast` functions handle
//! just that, in a few instructions; whatever they decline goes to the complete functions, which
//! find every fault, and then apply the operation's effect also when it was incorrect.

#![deny(unsafe_code)]

use super::{
    conflict::{
        order_bit,
        Rules, //
    },
    flags::{
        EXCLUSIVE,
        MODE_MASK,
        SHARED,
        WAITING, //
    }, //
};

mod checks;
mod complete;
pub mod fast;
mod more;
pub mod room;
pub mod surroundings;
mod usual;
mod whole;

use room::{
    More,
    Stored, //
};
pub use room::{
    MAX_HELD,
    MAX_HELD_DEEP, //
};

/// Set in an entry's flags when it was taken out of order: by a trylock, or as a violation.
const TAKEN_OUT_OF_ORDER: u8 = 1 << 7;
/// Set in the flags of a lock that is nested by a key of the caller's.
const HAS_KEY: u8 = 1 << 6;
/// Set in the flags of the first lock in a context that goes with the last one.
const IS_FIRST: u8 = 1 << 5;

/// Keeps an index in range without a branch; indexes below [`MAX_HELD`] are unchanged.
const MASK: usize = MAX_HELD - 1;

/// The part of the word that counts entries; the rest are flags.
const LEN: usize = 0x1ff;
/// Entries of some hierarchy may not ascend.
const IRREGULAR: usize = 1 << 9;
/// Tracking is disabled.
const DISABLED: usize = 1 << 11;
/// There is no context: the fast paths decline.
const ABSENT: usize = 1 << 12;

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
    /// The hierarchy's token.
    pub hierarchy: usize,
    /// The lock's order there.
    pub order: u8,
    /// Whether it is held exclusively.
    pub exclusive: bool,
    /// Whether it was taken out of order: by a trylock, or as a violation.
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

/// How a thread came to its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    /// It entered it, or it is an interrupt's.
    Entered,
    /// A record gave it one, which goes when nothing is held any more.
    Given,
    /// Likewise, and an operation is going on, which it outlives.
    Busy,
    /// It entered one that it was given, with something held: the leave gives that back.
    Within,
}

/// The locks one thread (or one interrupt level of a CPU) holds.
///
/// # Invariants
///
/// - The first `len` entries of each array are the held locks, in the order they were taken; of
///   `key` only those that have one. Those beyond [`MAX_HELD`] are in `more`.
/// - `lock` is shifted by one, behind a 0 that stands for no lock. Its low byte is the order, its
///   high byte the mode and the marks.
/// - Without `IRREGULAR`, locks ascend along the array within each hierarchy, by order and (for
///   nestable orders) key. So the last entry is the deepest lock of its hierarchy.
/// - `hierarchy` is shifted by one as well, behind the home: the hierarchy that the fast paths take the
///   first lock of, which once was one that is registered.
/// - In a context that was [`Given`](Origin::Given) the fast paths decline the first lock, for there
///   is no home, and the last release, for that lock is marked as `IS_FIRST`.
///
/// Only a prefix of each array is ever initialised, which is why making one costs next to nothing.
/// Any flag in `word` makes it too large for the fast paths.
#[repr(C)]
pub struct HeldLocks {
    /// How many entries are in use, in the low bits, and flags.
    word: usize,
    /// The epoch of tracking that the records are of, see [`catch_up`](Self::catch_up).
    epoch: u32,
    disabled: u16,
    /// How many locks are held that there was no room for.
    lost: u16,
    /// Whether locks may be held that were not recorded.
    is_unsure: bool,
    /// Whether that is known not to be so of the hierarchy `sure_of`.
    is_sure_of_one: bool,
    /// Whether a lock was taken with a key of the caller's since nothing was held.
    has_keys: bool,
    origin: Origin,
    sure_of: usize,
    hierarchy: [usize; MAX_HELD + 1],
    lock: [u16; MAX_HELD + 1],
    instance: [usize; MAX_HELD],
    site: [u32; MAX_HELD],
    key: [u64; MAX_HELD],
    /// Room for further ones.
    more: Option<&'static More>,
}

/// Whether something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is: this entry.
    Yes(usize),
    /// It is not; this is the last entry of the same order, if there is one.
    No(Option<usize>),
    /// It may be, or not: locks may be held that are not recorded.
    Unknown,
}

impl Default for HeldLocks {
    fn default() -> Self {
        Self::new()
    }
}

impl HeldLocks {
    /// How many bytes say all there is to say where nothing is held, but for [`more`](Self::more).
    pub const HEAD: usize = core::mem::offset_of!(Self, hierarchy) + size_of::<usize>();

    /// Nothing held.
    pub const fn new() -> Self {
        Self {
            word: 0,
            epoch: 0,
            disabled: 0,
            lost: 0,
            is_unsure: false,
            is_sure_of_one: false,
            has_keys: false,
            origin: Origin::Entered,
            sure_of: 0,
            hierarchy: [NO_HOME; MAX_HELD + 1],
            lock: [0; MAX_HELD + 1],
            instance: [0; MAX_HELD],
            site: [0; MAX_HELD],
            key: [0; MAX_HELD],
            more: None,
        }
    }

    /// What stands for the held locks of a thread without a context.
    pub const fn absent() -> Self {
        Self {
            word: ABSENT,
            ..Self::new()
        }
    }

    /// Whether these stand for the held locks of a thread without a context.
    #[inline(always)]
    pub fn is_absent(&self) -> bool {
        self.word & ABSENT != 0
    }

    /// Forgets everything, without touching more than it has to. From now on the records are of
    /// `epoch`.
    #[inline(always)]
    pub fn reset(&mut self, epoch: u32) {
        self.clear(epoch);
        self.hierarchy[0] = NO_HOME;
    }

    #[inline(always)]
    fn clear(&mut self, epoch: u32) {
        self.word = 0;
        // What is recorded while tracking is being switched is of the epoch before, which is over then.
        self.epoch = epoch & !1;
        self.disabled = 0;
        self.lost = 0;
        self.is_unsure = false;
        self.is_sure_of_one = false;
        self.has_keys = false;
    }

    /// Begins to record for another thread: [`reset`](Self::reset), but the hierarchy of the last lock stays
    /// the home if tracking is on in `epoch`. So the first lock takes the fast path, too, where threads take
    /// what others took before. A home that was unregistered meanwhile allows none to follow.
    #[inline(always)]
    pub fn begin(&mut self, epoch: u32) {
        self.clear(epoch);
        self.origin = Origin::Entered;
        if epoch & 1 != 0 {
            self.hierarchy[0] = NO_HOME;
        }
    }

    /// How the thread came to its context.
    #[inline]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Says how the thread came to its context.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
        self.mark_first();
    }

    /// Whether the context is one that is to go now.
    #[inline]
    pub fn may_go(&self) -> bool {
        // What is known of locks that are not recorded would go as well.
        self.origin == Origin::Given && self.is_clean() && self.lost == 0 && !self.is_sure_of_one
    }

    /// Restores the invariant of `IS_FIRST`.
    #[inline]
    fn mark_first(&mut self) {
        let mark = pack(0, IS_FIRST);
        if self.origin != Origin::Given {
            self.lock[1] &= !mark;
        } else if self.is_empty() {
            self.hierarchy[0] = NO_HOME;
        } else {
            self.lock[1] |= mark;
        }
    }

    /// How many locks are held.
    pub fn len(&self) -> usize {
        (self.word & LEN).min(self.room())
    }

    /// Whether no lock is held and tracking is enabled: what a thread leaves that forgot nothing.
    #[inline(always)]
    pub fn is_clean(&self) -> bool {
        self.word & (LEN | DISABLED) == 0
    }

    /// Whether no lock is held.
    pub fn is_empty(&self) -> bool {
        self.word & LEN == 0
    }

    fn set_len(&mut self, len: usize) {
        self.word = self.word & !LEN | len;
    }

    /// The held lock at `index`; `None` where there is none.
    pub fn get(&self, index: usize) -> Option<Entry> {
        if index >= self.len() {
            return None;
        }
        let stored = self.stored(index);
        let [order, how] = stored.lock.to_le_bytes();
        Some(Entry {
            hierarchy: stored.hierarchy,
            order,
            exclusive: how & EXCLUSIVE as u8 != 0,
            out_of_order: how & TAKEN_OUT_OF_ORDER != 0,
            waiting: how & WAITING as u8 != 0,
            site: stored.site,
            instance: stored.instance,
            key: if how & HAS_KEY != 0 {
                stored.key
            } else {
                stored.instance as u64
            },
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
        held.find(|entry| entry.hierarchy == rules.token)
            .map_or(0, |entry| entry.order)
    }

    /// The set of orders that are held of this hierarchy.
    pub fn orders(&self, rules: &Rules<'_>) -> u64 {
        self.iter()
            .filter(|held| held.hierarchy == rules.token)
            .fold(0, |set, held| set | order_bit(held.order.into()))
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

    /// Undoes each [`disable`](Self::disable).
    pub fn enable_all(&mut self) {
        self.disabled = 0;
        self.word &= !DISABLED;
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
            self.forget();
        }
        true
    }

    /// Forgets what is held: from now on locks may be held that are not recorded.
    pub fn forget(&mut self) {
        self.word &= !(LEN | IRREGULAR);
        self.lost = 0;
        self.is_unsure = true;
        self.is_sure_of_one = false;
        self.mark_first();
    }

    /// Whether locks of this hierarchy may be held that are not recorded.
    pub(super) fn is_tolerant(&self, rules: &Rules<'_>) -> bool {
        (self.is_unsure || self.lost != 0) && !(self.is_sure_of_one && self.sure_of == rules.token)
    }

    /// A lock is held that there is no room for.
    fn lose(&mut self) {
        match self.lost.checked_add(1) {
            Some(lost) => self.lost = lost,
            // They are not counted any more.
            None => self.is_unsure = true,
        }
        self.is_sure_of_one = false;
    }

    /// A lock was released that is not recorded: it may be one of those that there was no room for.
    fn find_lost(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }

    /// Forgets the locks of hierarchies that are not `live` any more.
    pub fn drop_gone(&mut self, live: impl Fn(usize) -> bool) {
        // Mostly they are of one, which is asked for once.
        let mut known = NO_HOME;
        for i in (0..self.len()).rev() {
            let hierarchy = self.stored(i).hierarchy;
            if hierarchy == known {
                continue;
            }
            if live(hierarchy) {
                known = hierarchy;
            } else {
                self.remove(i);
            }
        }
    }

    /// Moves the whole state into `to`, and what room was asked for, and leaves nothing held and tracking
    /// enabled. How a thread came to either context stays what it was.
    pub fn save_into(&mut self, to: &mut Self) {
        let n = self.len().min(MAX_HELD);
        core::mem::swap(&mut self.more, &mut to.more);
        to.word = self.word;
        to.epoch = self.epoch;
        to.disabled = self.disabled;
        to.lost = self.lost;
        to.is_unsure = self.is_unsure;
        to.sure_of = self.sure_of;
        to.is_sure_of_one = self.is_sure_of_one;
        to.has_keys = self.has_keys;
        to.hierarchy[0] = self.hierarchy[0];
        for i in 0..n {
            to.instance[i] = self.instance[i];
            to.site[i] = self.site[i];
            to.lock[i + 1] = self.lock[i + 1];
            to.hierarchy[i + 1] = self.hierarchy[i + 1];
            to.key[i] = self.key[i];
        }
        to.mark_first();
        self.reset(self.epoch);
    }

    /// Whether the fast paths take the next lock without asking for one of a hierarchy of which `is_it` is true,
    /// by its token.
    pub fn takes_for_known(&self, is_it: impl Fn(usize) -> bool) -> bool {
        is_it(self.hierarchy[0]) || self.iter().any(|held| is_it(held.hierarchy))
    }

    /// Makes sure that entries of this hierarchy may be added.
    fn settle(&mut self, rules: &Rules<'_>) {
        if self.is_empty() {
            self.starts_with(rules.token);
        }
    }

    /// The first lock is to be of this hierarchy.
    #[inline(always)]
    fn starts_with(&mut self, token: usize) {
        self.word &= !IRREGULAR;
        self.has_keys = false;
        self.hierarchy[0] = token;
    }

    /// Adds a lock, of the hierarchy with this token; `false`: no room.
    #[inline]
    fn push(&mut self, hierarchy: usize, u: LockUse, extra: u8) -> bool {
        let n = self.len();
        if n >= self.room() {
            return false;
        }
        let mut how = (u.flags & (MODE_MASK | WAITING)) as u8 | extra;
        if u.key != u.instance as u64 {
            how |= HAS_KEY;
            self.has_keys = true;
        }
        if n == 0 && self.origin == Origin::Given {
            how |= IS_FIRST;
        }
        let stored = Stored {
            instance: u.instance,
            key: u.key,
            site: u.site,
            lock: pack(u.order as u8, how),
            hierarchy,
        };
        self.store(n, stored);
        self.set_len(n + 1);
        true
    }

    /// Makes this lock the only one, to be looked at.
    pub fn put_alone(&mut self, entry: &Entry) {
        let mode = if entry.exclusive { EXCLUSIVE } else { SHARED };
        let u = LockUse {
            key: entry.key,
            ..LockUse::new(entry.instance, entry.order.into(), mode, entry.site)
        };
        self.word = 0;
        self.push(entry.hierarchy, u, 0);
    }

    /// Whether this lock is held, as far as it is known: every verdict asks here. Of several records
    /// of it, the last one counts.
    pub fn holds(&self, rules: &Rules<'_>, order: u32, instance: usize) -> Known {
        let mut last = None;
        for (i, entry) in self.indexed().rev() {
            if entry.hierarchy == rules.token && u32::from(entry.order) == order {
                if entry.instance == instance {
                    return Known::Yes(i);
                }
                last = last.or(Some(i));
            }
        }
        if self.is_tolerant(rules) {
            Known::Unknown
        } else {
            Known::No(last)
        }
    }

    /// The record of this very lock that a new one stands for as well: nothing can hold it twice.
    fn find_replaced(&self, rules: &Rules<'_>, u: LockUse) -> Option<usize> {
        let exclusive = u.flags & EXCLUSIVE != 0;
        let is_it = |held: &Entry| {
            held.hierarchy == rules.token
                && u32::from(held.order) == u.order
                && held.instance == u.instance
                && (exclusive || held.exclusive)
        };
        self.indexed().find(|(_, held)| is_it(held)).map(|(i, _)| i)
    }

    /// Whether a lock of this order is held, as far as it is known.
    pub(super) fn holds_order(&self, rules: &Rules<'_>, order: u32) -> Known {
        let mut held = self.indexed();
        let found =
            held.find(|(_, held)| held.hierarchy == rules.token && u32::from(held.order) == order);
        match found {
            Some((i, _)) => Known::Yes(i),
            None if self.is_tolerant(rules) => Known::Unknown,
            None => Known::No(None),
        }
    }

    /// Forgets a lock.
    fn remove(&mut self, index: usize) {
        self.take_out(index);
        self.note_regularity();
    }

    /// Forgets a lock, which leaves those that ascend ascending.
    #[inline]
    fn take_out(&mut self, index: usize) {
        let n = self.len();
        if index >= n {
            return;
        }
        if n <= MAX_HELD {
            let has_keys = self.has_keys;
            for i in index..n - 1 {
                let (to, from) = (i & MASK, (i + 1) & MASK);
                self.instance[to] = self.instance[from];
                self.site[to] = self.site[from];
                self.lock[to + 1] = self.lock[from + 1];
                self.hierarchy[to + 1] = self.hierarchy[from + 1];
                if has_keys {
                    self.key[to] = self.key[from];
                }
            }
        } else {
            for i in index..n - 1 {
                self.store(i, self.stored(i + 1));
            }
        }
        self.set_len(n - 1);
        if n == 1 {
            self.word &= !IRREGULAR;
            self.has_keys = false;
        }
        if index == 0 {
            self.mark_first();
        }
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
