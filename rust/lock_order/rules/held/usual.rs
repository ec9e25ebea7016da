// SPDX-License-Identifier: GPL-2.0-or-later

//! Locks and unlocks that are not the fastest but usual: the first one of a hierarchy, trylocks,
//! orders that a rule speaks of, nested ones, releases out of order. Whatever is or may be a fault
//! is declined.

#![deny(unsafe_code)]

use super::{
    fast::Plain,
    pack,
    HeldLocks,
    LockUse,
    Origin,
    ABSENT,
    DISABLED,
    HAS_KEY,
    IRREGULAR,
    IS_FIRST,
    LEN,
    MASK,
    MAX_HELD,
    TAKEN_OUT_OF_ORDER, //
};
use crate::lock_order::rules::{
    flags::{
        EXCLUSIVE,
        MODE_MASK,
        OUT_OF_ORDER,
        SHARED,
        TRYLOCK, //
    }, //
};

impl HeldLocks {
    /// Whether nothing is to be known but what is recorded here, of the epoch of tracking.
    #[inline]
    fn is_usual(&self, epoch: u32) -> bool {
        self.word & (ABSENT | DISABLED) == 0 && self.epoch == epoch
    }

    /// How many locks are held, if there are no more than what every thread has room for.
    #[inline(always)]
    fn near_len(&self) -> Option<usize> {
        let n = self.word & LEN;
        (n <= MAX_HELD).then_some(n)
    }

    /// The hierarchy of one of those.
    #[inline(always)]
    fn near_hierarchy(&self, i: usize) -> usize {
        self.hierarchy[(i & MASK) + 1]
    }

    /// Its order, and how it is held.
    #[inline(always)]
    fn near_lock(&self, i: usize) -> (u8, u8) {
        let [order, how] = self.lock[(i & MASK) + 1].to_le_bytes();
        (order, how)
    }

    #[inline(always)]
    fn near_key(&self, i: usize, how: u8) -> u64 {
        if how & HAS_KEY != 0 {
            self.key[i & MASK]
        } else {
            self.instance[i & MASK] as u64
        }
    }

    /// Whether locks may be held that are not recorded.
    #[inline(always)]
    pub fn is_ignorant(&self) -> bool {
        self.is_unsure || self.lost != 0
    }

    /// Records a lock of the hierarchy with this token that needs no key of the caller's, whatever else is held:
    /// after those of its hierarchy. Locks of others must never forbid one of it. For the rest see
    /// [`lock_fast`](Self::lock_fast); `lock` may be waited for. `false`: declined, nothing changed.
    #[inline(always)]
    pub fn lock_quick(
        &mut self,
        epoch: u32,
        token: usize,
        instance: usize,
        lock: u32,
        site: u32,
        plain: &impl Plain,
    ) -> bool {
        match self.place_quick(epoch, token, instance, lock, plain) {
            Some(n) => {
                self.put_quick(n, token, instance, lock, site);
                true
            }
            None => false,
        }
    }

    /// Where [`lock_quick`](Self::lock_quick) puts the lock; `None`: it declines. Held locks that stand for no
    /// context are declined.
    #[inline(always)]
    pub fn place_quick(
        &self,
        epoch: u32,
        token: usize,
        instance: usize,
        lock: u32,
        plain: &impl Plain,
    ) -> Option<usize> {
        let n = self.word;
        if n >= MAX_HELD || self.epoch != epoch {
            return None;
        }
        let mut deepest = n;
        while deepest != 0 && self.hierarchy[deepest] != token {
            deepest -= 1;
        }
        self.may_follow(deepest, instance, lock, plain).then_some(n)
    }

    /// Puts a lock at `n`, which [`place_quick`](Self::place_quick) found for it.
    #[inline(always)]
    pub fn put_quick(&mut self, n: usize, token: usize, instance: usize, lock: u32, site: u32) {
        let mut lock = lock;
        if n == 0 {
            self.starts_with(token);
            if self.origin == Origin::Given {
                lock |= u32::from(pack(0, IS_FIRST));
            }
        }
        self.put_fast(n, token, instance, lock, site);
    }

    /// Records a lock of the hierarchy with this token that is taken after all others of it. `nests`: the order is nestable. `is_barred`: locks of other hierarchies may forbid it. `is_known(held)`: whether it was taken before while
    /// that order was held (0: nothing), and `obeys(order, exclusive)` whether no rule forbids it while that one is
    /// held. `false`: declined, nothing changed.
    #[inline]
    pub fn lock_usual(
        &mut self,
        epoch: u32,
        token: usize,
        u: LockUse,
        (nests, is_barred): (bool, bool),
        is_known: impl Fn(u8) -> bool,
        obeys: Option<impl Fn(u8, bool) -> bool>,
    ) -> bool {
        let n = self.word & LEN;
        if !self.is_usual(epoch) || n >= MAX_HELD || u.key != u.instance as u64 && !nests {
            return false;
        }
        if is_barred && self.iter().any(|held| held.hierarchy != token) {
            return false;
        }
        if u.flags & TRYLOCK != 0 && self.is_ignorant() {
            return false;
        }
        let keyed = self.has_keys || u.key != u.instance as u64;
        let mut previous = 0;
        for i in (0..n).rev() {
            if self.near_hierarchy(i) != token {
                continue;
            }
            let (order, how) = self.near_lock(i);
            if previous == 0 {
                previous = order;
            }
            let comes_before = u32::from(order) < u.order
                || nests
                    && u32::from(order) == u.order
                    && self.near_key(i, how) < u.key
                    && self.instance[i & MASK] != u.instance;
            if !comes_before || !is_known(order) {
                return false;
            }
            match &obeys {
                Some(obeys) if !obeys(order, u32::from(how) & EXCLUSIVE != 0) => {
                    return false;
                }
                // Those before it come before it, and are other locks: with keys, that is not said.
                None if self.word & IRREGULAR == 0 && !(nests && keyed) => break,
                _ => (),
            }
        }
        if previous == 0 && !is_known(0) {
            return false;
        }
        if n == 0 {
            self.starts_with(token);
        }
        self.push(token, u, 0)
    }

    /// Records a release with [`OUT_OF_ORDER`] of a lock that is held just so, at whatever depth. `false`: declined,
    /// nothing changed.
    #[inline(always)]
    pub fn unlock_quick(&mut self, token: usize, instance: usize, order: u32, flags: u32) -> bool {
        match self.find_quick(token, instance, order, flags) {
            Some(found) => {
                self.take_quick(found);
                true
            }
            None => false,
        }
    }

    /// Where [`unlock_quick`](Self::unlock_quick) takes the lock out, and how many are held; `None`: it declines.
    /// Held locks that stand for no context are declined.
    #[inline(always)]
    pub fn find_quick(
        &self,
        token: usize,
        instance: usize,
        order: u32,
        flags: u32,
    ) -> Option<(usize, usize)> {
        let n = self.word;
        if n > MAX_HELD || self.has_keys {
            return None;
        }
        let mut at = 0;
        while at < n {
            if self.instance[at] == instance {
                // Where one is held twice, something is irregular.
                let held = self.lock[at + 1];
                let is_it = order <= u8::MAX.into()
                    && held as u8 == order as u8
                    && self.hierarchy[at + 1] == token
                    && u32::from(held >> 8) | OUT_OF_ORDER == flags;
                return is_it.then_some((at, n));
            }
            at += 1;
        }
        None
    }

    /// Takes out the lock that [`find_quick`](Self::find_quick) found.
    #[inline(always)]
    pub fn take_quick(&mut self, (at, n): (usize, usize)) {
        let (mut to, last) = (at, n.wrapping_sub(1) & MASK);
        while to < last {
            self.instance[to] = self.instance[to + 1];
            self.site[to] = self.site[to + 1];
            self.lock[to + 1] = self.lock[to + 2];
            self.hierarchy[to + 1] = self.hierarchy[to + 2];
            to += 1;
        }
        self.word = last;
    }

    /// Records the release of a lock that is held, in that mode, and in order or allowed to be out
    /// of it. `false`: declined, nothing changed.
    #[inline(always)]
    pub fn unlock_usual(&mut self, epoch: u32, token: usize, u: LockUse) -> bool {
        if !self.is_usual(epoch) {
            return false;
        }
        let Some(n) = self.near_len() else {
            return false;
        };
        let mut deeper = false;
        for i in (0..n).rev() {
            if self.near_hierarchy(i) != token {
                continue;
            }
            let (order, how) = self.near_lock(i);
            let order = u32::from(order);
            if order != u.order || self.instance[i & MASK] != u.instance {
                deeper |= order > u.order;
                continue;
            }
            let allowed = u.flags & OUT_OF_ORDER != 0 || how & TAKEN_OUT_OF_ORDER != 0;
            // What lies below it may be deeper, too.
            let may_be_deeper = deeper || self.word & IRREGULAR != 0;
            if may_be_deeper && !allowed || (how ^ u.flags as u8) & MODE_MASK as u8 != 0 {
                return false;
            }
            if i + 1 == n && i != 0 {
                // The last one, and not the only one.
                self.word -= 1;
            } else {
                self.take_out(i);
            }
            return true;
        }
        false
    }
}

const _: () = assert!(EXCLUSIVE | SHARED == MODE_MASK);
