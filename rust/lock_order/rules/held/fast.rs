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
        // The first lock of a hierarchy is left to the complete operation, which sets `home`.
        if self.home != home {
            return false;
        }
        // Any flag makes it too large.
        if self.word >= MAX_HELD as u32 {
            return false;
        }
        let n = self.word as usize;
        if plain_after(self.lock[n] as u8).wrapping_shr(lock) & 1 == 0 {
            return false;
        }
        self.instance[n] = instance;
        self.site[n] = site;
        self.lock[n + 1] = lock as u16;
        self.word += 1;
        true
    }

    /// Records the release of the last lock taken, when that is the very one, in that mode.
    ///
    /// `false`: declined, nothing changed.
    #[inline(always)]
    pub fn unlock_fast(&mut self, home: usize, instance: usize, lock: u32) -> bool {
        match self.top(home) {
            Some(n) if self.lock[n + 1] == lock as u16 && self.instance[n] == instance => {
                self.word -= 1;
                true
            }
            _ => false,
        }
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
