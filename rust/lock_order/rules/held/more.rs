// SPDX-License-Identifier: GPL-2.0-or-later

//! Where held locks are: the first in the arrays, further ones in room that a thread asked for.

#![deny(unsafe_code)]

use super::{
    room::{
        More,
        Place,
        Stored,
        MAX_HELD,
        MAX_HELD_DEEP, //
    },
    HeldLocks,
    MASK, //
};

impl HeldLocks {
    /// How many locks there is room for.
    pub fn room(&self) -> usize {
        if self.more.is_some() {
            MAX_HELD_DEEP
        } else {
            MAX_HELD
        }
    }

    /// The room that was asked for, if there is one.
    pub fn more(&self) -> Option<&'static More> {
        self.more
    }

    /// Adds room, or other room with the same locks.
    pub fn set_more(&mut self, more: &'static More) {
        self.more = Some(more);
    }

    /// Takes the room away; what is held there is forgotten.
    pub fn take_more(&mut self) -> Option<&'static More> {
        let more = self.more.take();
        let kept = self.len().min(MAX_HELD);
        self.set_len(kept);
        more
    }

    fn beyond(&self, i: usize) -> Option<&'static Place> {
        self.more?.place(i)
    }

    /// The lock at `i`, which is held.
    #[inline]
    pub(super) fn stored(&self, i: usize) -> Stored {
        if let Some(place) = self.beyond(i) {
            return Stored {
                instance: place.instance.get(),
                key: place.key.get(),
                site: place.site.get(),
                lock: place.lock.get(),
                hierarchy: place.hierarchy.get(),
            };
        }
        let i = i & MASK;
        Stored {
            instance: self.instance[i],
            key: self.key[i],
            site: self.site[i],
            lock: self.lock[i + 1],
            hierarchy: self.hierarchy[i + 1],
        }
    }

    /// Puts a lock at `i`, for which there is room.
    #[inline]
    pub(super) fn store(&mut self, i: usize, stored: Stored) {
        if let Some(place) = self.beyond(i) {
            place.instance.set(stored.instance);
            place.key.set(stored.key);
            place.site.set(stored.site);
            place.lock.set(stored.lock);
            place.hierarchy.set(stored.hierarchy);
            return;
        }
        let i = i & MASK;
        self.instance[i] = stored.instance;
        self.key[i] = stored.key;
        self.site[i] = stored.site;
        self.lock[i + 1] = stored.lock;
        self.hierarchy[i + 1] = stored.hierarchy;
    }
}
