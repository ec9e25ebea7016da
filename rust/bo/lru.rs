// SPDX-License-Identifier: GPL-2.0

//! Lists in the order of last use.
#![deny(unsafe_code)]

use crate::abstractions::{
    list::{
        Hitch,
        Housed,
        Linked,
        ListName,
        MemberList, //
    },
    task, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// What an [`Lru`] keeps in its items.
pub(crate) trait LruItem: Housed {
    /// Returns the sequence number of the item in the LRU numbered `list`; written with that one's lock held.
    fn sequence(&self, list: u64) -> &Atomic<u64>;

    /// Returns the number of pages that the item holds.
    fn resident(&self) -> &Atomic<u64>;

    /// Returns whether its pages are from a DMA32 pool.
    fn is_dma32(&self) -> bool;
}

/// Items, least recently used first, by ascending sequence number; in their lists numbered `N`.
pub(super) struct Lru<T: LruItem, const N: u64> {
    list: MemberList<T, N>,
    /// The sequence number of the next item to be used; the first is 1.
    next: u64,
}

impl<T: LruItem, const N: u64> Lru<T, N> {
    /// Makes an empty one.
    pub(super) fn new() -> Self {
        Self {
            list: MemberList::new(),
            next: 1,
        }
    }

    /// Returns a name with which to ask whether an item is in it without having it borrowed.
    pub(super) fn name(&self) -> ListName<T, N> {
        self.list.name()
    }

    /// Returns whether `item` is in it.
    #[inline]
    pub(super) fn contains(&self, item: &Linked<T>) -> bool {
        self.list.contains(item)
    }

    /// Adds `item` as the most recently used; `false`: it is in a list already.
    #[inline]
    pub(super) fn push(&mut self, item: ARef<Linked<T>>) -> bool {
        self.number(&item);
        self.list.push_back(item)
    }

    /// Removes `item`, if it is in, and returns the list's reference, to be dropped without a lock.
    #[inline]
    pub(super) fn remove(&mut self, item: &Linked<T>) -> Option<ARef<Linked<T>>> {
        self.list.remove(item)
    }

    /// Makes `item` the most recently used, if it is in.
    #[inline]
    pub(super) fn touch(&mut self, item: &Linked<T>) {
        if self.list.move_to_back(item) {
            self.number(item);
        }
    }

    /// Has numbers from `next` on given to items: one list of several that share their numbers. It is above those that
    /// were given already.
    #[inline]
    pub(super) fn go_on_at(&mut self, next: u64) {
        self.next = next;
    }

    /// Returns the sequence number of the first item; `None`: it is empty.
    #[inline]
    pub(super) fn oldest(&self) -> Option<u64> {
        Some(self.list.first()?.sequence(N).load(Relaxed))
    }

    /// Gives `item` the next sequence number.
    fn number(&mut self, item: &T) {
        item.sequence(N).store(self.next, Relaxed);
        self.next += 1;
    }

    /// Goes on from `place` and looks at few items; see [`Walk::next`].
    fn step(&mut self, place: &mut Place<T, N>, wanted: impl Fn(&T) -> bool) -> Step<T> {
        let until = *place.until.get_or_insert(self.next);
        let Some(hitch) = &mut place.hitch else {
            return match self.list.first() {
                Some(item) => {
                    let number = item.sequence(N).load(Relaxed);
                    if number >= until {
                        Step::End
                    } else if number > place.after && wanted(item) {
                        place.after = number;
                        Step::Found(item.into())
                    } else {
                        Step::NeedsHitch
                    }
                }
                None => Step::End,
            };
        };
        for _ in 0..MOST_AT_ONCE {
            match self.list.advance(hitch) {
                Some(item) if item.sequence(N).load(Relaxed) < until => {
                    if item.sequence(N).load(Relaxed) > place.after && wanted(item) {
                        return Step::Found(item.into());
                    }
                }
                _ => return Step::End,
            }
        }
        Step::Unfinished
    }
}

/// The most items that a walk looks at while the LRU is locked.
const MOST_AT_ONCE: u32 = 64;

/// What a step of a walk found.
enum Step<T: LruItem> {
    Found(ARef<Linked<T>>),
    /// Nothing yet; there are more items.
    Unfinished,
    /// Nothing yet; the first item is not to be found, so the place of the others has to be kept.
    NeedsHitch,
    End,
}

/// What has an [`Lru`], and its lock.
pub(super) trait HasLru<T: LruItem, const N: u64> {
    /// Runs `f` with the LRU locked. Always the same LRU.
    fn with_lru<R>(&self, f: impl FnOnce(&mut Lru<T, N>) -> R) -> R;
}

impl<T: LruItem, const N: u64, O: HasLru<T, N>> HasLru<T, N> for &O {
    fn with_lru<R>(&self, f: impl FnOnce(&mut Lru<T, N>) -> R) -> R {
        (**self).with_lru(f)
    }
}

impl<T: LruItem, const N: u64, O: HasLru<T, N>> HasLru<T, N> for Arc<O> {
    fn with_lru<R>(&self, f: impl FnOnce(&mut Lru<T, N>) -> R) -> R {
        (**self).with_lru(f)
    }
}

/// A walk through the LRU of an `O`, least recently used first, that keeps its place while the LRU is not
/// locked. All steps together take time for each item once, whatever is added, used and removed meanwhile;
/// what is used after the walk began is not part of it.
pub(super) struct Walk<T: LruItem, const N: u64, O: HasLru<T, N>> {
    owner: O,
    place: Place<T, N>,
}

/// Where a walk is.
///
/// Mostly what it finds leaves the LRU, so that the next item is the first one, and no place has to be kept.
struct Place<T, const N: u64> {
    /// None as long as the walk has found first items only.
    hitch: Option<Hitch<T, N>>,
    /// The sequence number of the last item that was found without a hitch. No other item that is in the LRU has
    /// this one or a lower one.
    after: u64,
    /// The first sequence number that was not given out yet when the walk began.
    until: Option<u64>,
}

impl<T: LruItem, const N: u64, O: HasLru<T, N>> Walk<T, N, O> {
    /// Begins a walk. Any context.
    #[inline]
    pub(super) fn new(owner: O) -> Self {
        Self {
            owner,
            place: Place {
                hitch: None,
                after: 0,
                until: None,
            },
        }
    }

    /// Returns the next item that is `wanted`; `None`: the walk is at its end. `wanted` is called with the
    /// LRU locked.
    ///
    /// Returns `EINTR` if a fatal signal arrived, `ENOMEM` if there is no memory to keep the place. May sleep.
    pub(super) fn next(&mut self, wanted: impl Fn(&T) -> bool) -> Result<Option<ARef<Linked<T>>>> {
        loop {
            task::cond_resched_killable()?;
            let place = &mut self.place;
            match self.owner.with_lru(|lru| lru.step(place, &wanted)) {
                Step::Found(item) => return Ok(Some(item)),
                Step::Unfinished => {}
                Step::NeedsHitch => self.place.hitch = Some(Hitch::new()?),
                Step::End => return Ok(None),
            }
        }
    }
}

impl<T: LruItem, const N: u64, O: HasLru<T, N>> Drop for Walk<T, N, O> {
    fn drop(&mut self) {
        if let Some(hitch) = &mut self.place.hitch {
            self.owner.with_lru(|lru| lru.list.unhitch(hitch));
        }
    }
}
