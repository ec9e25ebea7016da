// SPDX-License-Identifier: GPL-2.0-or-later

//! The usual lock, unlock and check, in a few instructions; anything else is declined.

#![deny(unsafe_code)]

use super::{
    HeldLocks,
    MASK,
    MAX_HELD, //
};
use crate::lock_order::rules::{
    flags::MODE_MASK,
    plain::order_mark, //
};

/// Which orders may follow on the fast paths, of one hierarchy: as far as that is known.
pub trait Plain {
    /// The orders that may follow the order taken last (0: none), see
    /// [`is_plain`](crate::lock_order::rules::plain::is_plain) and
    /// [`order_mark`].
    fn after(&self, previous: u8) -> u64;
    /// Those that may follow themselves, see
    /// [`nests_plainly`](crate::lock_order::rules::plain::nests_plainly).
    fn nests(&self) -> u64;
}

/// An order and how a lock of it is held.
pub trait Lock: Copy {
    /// Whether a held lock is just that, without any mark.
    fn is(self, held: u16) -> bool;
}

/// Packed, see [`pack_plain`](crate::lock_order::rules::plain::pack_plain).
impl Lock for u32 {
    #[inline(always)]
    fn is(self, held: u16) -> bool {
        held == self as u16
    }
}

/// Any order and flags.
impl Lock for (u32, u32) {
    #[inline(always)]
    fn is(self, held: u16) -> bool {
        let [order, how] = held.to_le_bytes();
        u32::from(order) == self.0 && u32::from(how) == self.1
    }
}

impl HeldLocks {
    /// Records a lock right after the last one taken, of the same hierarchy.
    ///
    /// `home` is the hierarchy's token, see [`Rules::token`](crate::lock_order::rules::conflict::Rules::token); `lock` an order and a mode, see
    /// [`pack_plain`](crate::lock_order::rules::plain::pack_plain). `false`: declined, nothing changed.
    #[inline(always)]
    pub fn lock_fast(
        &mut self,
        home: usize,
        instance: usize,
        lock: u32,
        site: u32,
        plain: &impl Plain,
    ) -> bool {
        match self.place_fast(home, instance, lock, plain) {
            Some(n) => {
                self.put_fast(n, home, instance, lock, site);
                true
            }
            None => false,
        }
    }

    /// Where [`lock_fast`](Self::lock_fast) puts the lock; `None`: it declines. Held locks that stand
    /// for no context are declined.
    #[inline(always)]
    pub fn place_fast(
        &self,
        home: usize,
        instance: usize,
        lock: u32,
        plain: &impl Plain,
    ) -> Option<usize> {
        let n = self.word;
        // Any flag makes it too large. The first lock of a hierarchy is left to others, which find out
        // whether it is one.
        if n >= MAX_HELD || self.hierarchy[n] != home {
            return None;
        }
        self.may_follow(n, instance, lock, plain).then_some(n)
    }

    /// Whether a lock may follow the one below `n`, which is the deepest of the same hierarchy; 0: none is
    /// held.
    #[inline(always)]
    pub(super) fn may_follow(
        &self,
        n: usize,
        instance: usize,
        lock: u32,
        plain: &impl Plain,
    ) -> bool {
        let previous = self.lock[n] as u8;
        if plain.after(previous).wrapping_shr(lock) & 1 != 0 {
            return true;
        }
        // One more of a nestable order: those of it that are held ascend by address, unless there are keys.
        // (Where nothing is held the previous order is 0, which is that of no lock.)
        previous == lock as u8
            && plain.nests() & order_mark(previous) != 0
            && !self.has_keys
            && self.instance[n.wrapping_sub(1) & MASK] < instance
    }

    /// Puts a lock at `n`, which [`place_fast`](Self::place_fast) found for it.
    #[inline(always)]
    pub fn put_fast(&mut self, n: usize, home: usize, instance: usize, lock: u32, site: u32) {
        self.instance[n] = instance;
        self.site[n] = site;
        self.hierarchy[n + 1] = home;
        self.lock[n + 1] = lock as u16;
        self.word = n + 1;
    }

    /// Records the release of the last lock taken, when that is the very one and held so.
    ///
    /// `false`: declined, nothing changed.
    #[inline(always)]
    pub fn unlock_fast(&mut self, home: usize, instance: usize, how: impl Lock) -> bool {
        match self.last_fast(home, instance, how) {
            Some(n) => {
                self.take_fast(n);
                true
            }
            None => false,
        }
    }

    /// Where [`unlock_fast`](Self::unlock_fast) takes the lock out; `None`: it declines. Held locks that
    /// stand for no context are declined.
    #[inline(always)]
    pub fn last_fast(&self, home: usize, instance: usize, how: impl Lock) -> Option<usize> {
        self.top(home)
            .filter(|&n| self.instance[n] == instance && how.is(self.lock[n + 1]))
    }

    /// Takes out the last lock, at `n`, which [`last_fast`](Self::last_fast) found.
    #[inline(always)]
    pub fn take_fast(&mut self, n: usize) {
        self.word = n;
    }

    /// Returns whether the last lock taken is the one asked for, in a mode of `flags`.
    ///
    /// `false`: it may still be held, further down.
    #[inline(always)]
    pub fn check_locked_fast(&self, home: usize, instance: usize, order: u32, flags: u32) -> bool {
        match self.top(home) {
            Some(n) => {
                let lock = u32::from(self.lock[n + 1]);
                self.instance[n] == instance
                    && lock & 0xff == order
                    && (lock >> 8) & flags & MODE_MASK != 0
            }
            None => false,
        }
    }

    /// The index of the last lock taken, if nothing is unusual and it is of this hierarchy.
    #[inline(always)]
    fn top(&self, home: usize) -> Option<usize> {
        let top = self.word.wrapping_sub(1);
        (top < MAX_HELD && self.hierarchy[top + 1] == home).then_some(top)
    }
}
