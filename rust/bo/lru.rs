// SPDX-License-Identifier: GPL-2.0

//! Lists in the order of last use.
#![deny(unsafe_code)]

use crate::abstractions::list::{
    Linked,
    ListName,
    Lists,
    MemberList, //
};
use kernel::sync::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    Arc, //
};

/// What an [`Lru`] keeps in its items.
pub(crate) trait LruItem: Sized {
    /// Returns the sequence number of the item in the LRU numbered `list`; written with that one's lock held.
    fn sequence(&self, list: u64) -> &Atomic<u64>;

    /// Returns the number of pages that the item holds.
    fn resident(&self) -> &Atomic<u64>;
}

/// Items, least recently used first, by ascending sequence number; in their lists numbered `N`.
pub(super) struct Lru<T: LruItem, const N: u64>
where
    Linked<T>: Lists<N>,
{
    list: MemberList<T, N>,
    /// The sequence number of the next item to be used; the first is 1.
    next: u64,
}

impl<T: LruItem, const N: u64> Lru<T, N>
where
    Linked<T>: Lists<N>,
{
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
    pub(super) fn push(&mut self, item: Arc<Linked<T>>) -> bool {
        self.number(&item);
        self.list.push_back(item)
    }

    /// Removes `item`, if it is in, and returns the list's reference, to be dropped without a lock.
    #[inline]
    pub(super) fn remove(&mut self, item: &Linked<T>) -> Option<Arc<Linked<T>>> {
        self.list.remove(item)
    }

    /// Makes `item` the most recently used, if it is in.
    #[inline]
    pub(super) fn touch(&mut self, item: &Linked<T>) {
        if self.list.move_to_back(item) {
            self.number(item);
        }
    }

    /// Gives `item` the next sequence number.
    fn number(&mut self, item: &T) {
        item.sequence(N).store(self.next, Relaxed);
        self.next += 1;
    }

    /// Returns the number of pages that its items hold.
    pub(super) fn pages(&self) -> u64 {
        let pages = |item: &T| item.resident().load(Relaxed);
        self.list.iter().map(|item| pages(&item)).sum()
    }

    /// Continues a walk and returns the next item that is `wanted`; `None`: the walk is at its end.
    pub(super) fn step(
        &self,
        walk: &mut Walk,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<Arc<Linked<T>>> {
        let until = *walk.until.get_or_insert(self.next);
        let sequence = |item: &T| item.sequence(N).load(Relaxed);
        let mut rest = self.list.iter();
        let item = rest.find(|item| sequence(item) > walk.after && wanted(item))?;
        let found = sequence(&item);
        walk.after = found;
        (found < until).then(|| Arc::from(item))
    }
}

/// A walk through an [`Lru`] that is not locked all the time. It ends although items are used
/// meanwhile.
#[derive(Default)]
pub(super) struct Walk {
    /// The sequence number of the item that was looked at last.
    after: u64,
    /// The first sequence number that was not given out yet when the walk began.
    until: Option<u64>,
}
