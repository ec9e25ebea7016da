// SPDX-License-Identifier: GPL-2.0-or-later

//! The usual lock, unlock and check, in a few instructions; anything else is declined.

#![deny(unsafe_code)]

use super::{
    HeldLocks,
    MAX_HELD, //
};
use crate::lock_order::rules::flags::MODE_MASK;

impl HeldLocks {
    /// Records a lock right after the last one taken, of the same hierarchy.
    ///
    /// `home` is the hierarchy's token, see [`Rules::token`](crate::lock_order::rules::conflict::Rules::token); `lock` an order and a mode, see
    /// [`pack_plain`](crate::lock_order::rules::plain::pack_plain). `plain_after` tells, for the order taken last (0: none), which orders may follow
    /// without further questions, see
    /// [`is_plain`](crate::lock_order::rules::plain::is_plain) and
    /// [`order_mark`](crate::lock_order::rules::plain::order_mark). `false`: declined, nothing
    /// changed.
    #[inline(always)]
    pub fn lock_fast(
        &mut self,
        home: usize,
        instance: usize,
        lock: u32,
        site: u32,
        plain_after: impl FnOnce(u8) -> u64,
    ) -> bool {
        match self.place_fast(home, lock, plain_after) {
            Some(n) => {
                self.put_fast(n, instance, lock, site);
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
        lock: u32,
        plain_after: impl FnOnce(u8) -> u64,
    ) -> Option<usize> {
        // The first lock of a hierarchy is left to the complete operation, which sets `home`.
        if self.home != home {
            return None;
        }
        // Any flag makes it too large.
        if self.word >= MAX_HELD as u32 {
            return None;
        }
        let n = self.word as usize;
        (plain_after(self.lock[n] as u8).wrapping_shr(lock) & 1 != 0).then_some(n)
    }

    /// Puts a lock at `n`, which [`place_fast`](Self::place_fast) found for it.
    #[inline(always)]
    pub fn put_fast(&mut self, n: usize, instance: usize, lock: u32, site: u32) {
        self.instance[n] = instance;
        self.site[n] = site;
        self.lock[n + 1] = lock as u16;
        self.word = n as u32 + 1;
    }

    /// Records the release of the last lock taken, when that is the very one, in that mode.
    ///
    /// `false`: declined, nothing changed.
    #[inline(always)]
    pub fn unlock_fast(&mut self, home: usize, instance: usize, lock: u32) -> bool {
        match self.last_fast(home, instance, lock) {
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
    pub fn last_fast(&self, home: usize, instance: usize, lock: u32) -> Option<usize> {
        self.top(home)
            .filter(|&n| self.lock[n + 1] == lock as u16 && self.instance[n] == instance)
    }

    /// Takes out the last lock, at `n`, which [`last_fast`](Self::last_fast) found.
    #[inline(always)]
    pub fn take_fast(&mut self, n: usize) {
        self.word = n as u32;
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

    /// The index of the last lock taken, if nothing is unusual and all are of this hierarchy.
    #[inline(always)]
    fn top(&self, home: usize) -> Option<usize> {
        let top = self.word.wrapping_sub(1);
        (top < MAX_HELD as u32 && self.home == home).then_some(top as usize)
    }
}
