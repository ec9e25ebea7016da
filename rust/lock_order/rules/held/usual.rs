// SPDX-License-Identifier: GPL-2.0-or-later

//! Locks and unlocks that are not the fastest but usual: the first one of a hierarchy, trylocks,
//! orders that a rule speaks of, nested ones, releases out of order. Whatever is or may be a fault
//! is declined.

#![deny(unsafe_code)]

use super::{
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
    MIXED,
    TAKEN_OUT_OF_ORDER, //
};
use crate::lock_order::rules::{
    flags::{
        EXCLUSIVE,
        MODE_MASK,
        OUT_OF_ORDER,
        SHARED,
        TRYLOCK,
        WAITING, //
    },
    plain::order_mark, //
};

impl HeldLocks {
    /// Whether nothing is to be known but what is recorded here, of the epoch of tracking.
    #[inline]
    fn is_usual(&self, epoch: u32) -> bool {
        self.word & (ABSENT | DISABLED) == 0 && self.epoch == epoch && epoch & 1 == 0
    }

    /// How many locks are held, if there are no more than what every thread has room for.
    #[inline(always)]
    fn near_len(&self) -> Option<usize> {
        let n = (self.word & LEN) as usize;
        (n <= MAX_HELD).then_some(n)
    }

    /// The hierarchy of one of those.
    #[inline(always)]
    fn near_hierarchy(&self, i: usize) -> u16 {
        if self.word & MIXED != 0 {
            self.hierarchy[i & MASK]
        } else {
            self.home_id
        }
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

    /// Records a lock of the hierarchy `id`, whose token is `token`, that needs no key of the caller's. Its
    /// order must be one that may exist. `after` tells, for the order taken last of its hierarchy (0: none),
    /// which orders may follow, see [`is_usual`](crate::lock_order::rules::plain::is_usual), and `is_barred` whether locks of other
    /// hierarchies may forbid it. `false`: declined, nothing changed.
    #[inline(always)]
    pub fn lock_quick(
        &mut self,
        epoch: u32,
        (id, token): (u16, usize),
        u: LockUse,
        after: impl FnOnce(u8) -> u64,
        is_barred: impl FnOnce() -> bool,
    ) -> bool {
        let n = (self.word & LEN) as usize;
        let is_mixed = self.word & MIXED != 0;
        if !self.is_usual(epoch) || n >= MAX_HELD {
            return false;
        }
        if u.flags & TRYLOCK != 0 && self.is_ignorant() {
            return false;
        }
        let (mut last, mut becomes_mixed) = (None, false);
        if n != 0 {
            if self.word & IRREGULAR != 0 || self.has_keys {
                return false;
            }
            if !is_mixed && self.home == token {
                last = Some(n - 1);
            } else {
                if is_barred() {
                    return false;
                }
                if is_mixed {
                    let mut i = n;
                    while i != 0 && last.is_none() {
                        i -= 1;
                        if self.hierarchy[i & MASK] == id {
                            last = Some(i);
                        }
                    }
                }
                becomes_mixed = !is_mixed;
            }
        }
        let previous = last.map_or(0, |last| self.lock[(last & MASK) + 1] as u8);
        if after(previous) & order_mark(u.order as u8) == 0 {
            return false;
        }
        if u32::from(previous) == u.order {
            // One more of a nestable order.
            let nests = |last: usize| self.instance[last & MASK] < u.instance;
            if !last.is_some_and(nests) {
                return false;
            }
        }
        let mut how = (u.flags & (MODE_MASK | WAITING)) as u8;
        if n == 0 {
            self.word &= !(MIXED | IRREGULAR);
            self.has_keys = false;
            self.home = token;
            self.home_id = id;
            if self.origin == Origin::Given {
                how |= IS_FIRST;
            }
        } else if becomes_mixed {
            for i in 0..n {
                self.hierarchy[i & MASK] = self.home_id;
            }
            self.word |= MIXED;
        }
        let i = n & MASK;
        self.instance[i] = u.instance;
        self.site[i] = u.site;
        self.hierarchy[i] = id;
        self.lock[i + 1] = pack(u.order as u8, how);
        self.word += 1;
        true
    }

    /// Records a lock of the hierarchy `id`, whose token is `token`, that is taken after all others
    /// of it. `nests`: the order is nestable. `is_barred`: locks of other hierarchies may forbid it. `is_known(held)`: whether it was taken before while
    /// that order was held (0: nothing), and `obeys(order, exclusive)` whether no rule forbids it while that one is
    /// held. `false`: declined, nothing changed.
    #[inline]
    pub fn lock_usual(
        &mut self,
        epoch: u32,
        (id, token): (u16, usize),
        u: LockUse,
        (nests, is_barred): (bool, bool),
        is_known: impl Fn(u8) -> bool,
        obeys: Option<impl Fn(u8, bool) -> bool>,
    ) -> bool {
        let n = (self.word & LEN) as usize;
        if !self.is_usual(epoch) || n >= MAX_HELD || u.key != u.instance as u64 && !nests {
            return false;
        }
        if is_barred && n != 0 && (self.home != token || self.word & MIXED != 0) {
            return false;
        }
        if u.flags & TRYLOCK != 0 && self.is_ignorant() {
            return false;
        }
        let keyed = self.has_keys || u.key != u.instance as u64;
        let mut previous = 0;
        for i in (0..n).rev() {
            if self.near_hierarchy(i) != id {
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
            self.word &= !(MIXED | IRREGULAR);
            self.has_keys = false;
            self.home = token;
            self.home_id = id;
        } else if self.home != token && self.word & MIXED == 0 {
            for place in self.hierarchy.iter_mut().take(n) {
                *place = self.home_id;
            }
            self.word |= MIXED;
        }
        self.push(id, u, 0)
    }

    /// Records the release of a lock that is held, in that mode, and in order or allowed to be out
    /// of it. `false`: declined, nothing changed.
    #[inline(always)]
    pub fn unlock_usual(&mut self, epoch: u32, id: u16, u: LockUse) -> bool {
        if !self.is_usual(epoch) {
            return false;
        }
        let Some(n) = self.near_len() else {
            return false;
        };
        let mut deeper = false;
        for i in (0..n).rev() {
            if self.near_hierarchy(i) != id {
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
