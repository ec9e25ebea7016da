// SPDX-License-Identifier: GPL-2.0

//! Linked lists that a member can be removed from by safe code.
//!
//! `kernel::list::List::remove` is unsafe, because it must not be passed a value in another list.
//! Here each value knows which list it is in, so that a list can check.

use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        List,
        ListArc,
        ListItem,
        ListLinks,
        TryNewListArc, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    }, //
};

/// The last [`ListId`] that was used.
static LAST_ID: Atomic<u64> = Atomic::new(0);

/// Identifies a list; it is never used for another one, and 0 is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ListId(u64);

/// A value that can be in two [`MemberList`]s, one of number 0 and one of number 1.
///
/// # Invariants
///
/// `list[N]` holds the id of a [`MemberList`] of number `N` exactly while the value is a member of
/// that list, else 0. Only this file writes to it, and only while it has the list borrowed
/// exclusively.
#[pin_data]
pub(crate) struct Linked<T> {
    list: [Atomic<u64>; 2],
    #[pin]
    links: ListLinks<0>,
    #[pin]
    tracker: AtomicTracker<0>,
    #[pin]
    more_links: ListLinks<1>,
    #[pin]
    more_tracker: AtomicTracker<1>,
    #[pin]
    value: T,
}

impl<T> Linked<T> {
    /// Makes a value that is in no list.
    pub(crate) fn new(value: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        // INVARIANT: The value is in no list, and both ids are 0.
        try_pin_init!(Self {
            list: [const { Atomic::new(0) }; 2],
            links <- ListLinks::new(),
            tracker <- AtomicTracker::new(),
            more_links <- ListLinks::new(),
            more_tracker <- AtomicTracker::new(),
            value <- value,
        }? Error)
    }
}

impl<T> Deref for Linked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl_list_arc_safe! {
    impl{T} ListArcSafe<0> for Linked<T> {
        tracked_by tracker: AtomicTracker<0>;
    }
}

impl_list_arc_safe! {
    impl{T} ListArcSafe<1> for Linked<T> {
        tracked_by more_tracker: AtomicTracker<1>;
    }
}

impl_list_item! {
    impl{T} ListItem<0> for Linked<T> { using ListLinks { self.links }; }
}

impl_list_item! {
    impl{T} ListItem<1> for Linked<T> { using ListLinks { self.more_links }; }
}

/// A value that can be in lists numbered `N`.
///
/// # Safety
///
/// `list` must always return the same field of the value, which no other number's `list` returns.
pub(crate) unsafe trait Lists<const N: u64>: ListItem<N> + TryNewListArc<N> {
    /// Returns the field for the id of the list that the value is in, or 0. Only this file can call
    /// it.
    fn list(&self, _: Key) -> &Atomic<u64>;
}

/// A value that only this file can make.
pub(crate) struct Key(());

// SAFETY: This always returns the first field, and the only other implementation the second.
unsafe impl<T> Lists<0> for Linked<T> {
    #[inline]
    fn list(&self, _: Key) -> &Atomic<u64> {
        let [first, _] = &self.list;
        first
    }
}

// SAFETY: This always returns the second field, and the only other implementation the first.
unsafe impl<T> Lists<1> for Linked<T> {
    #[inline]
    fn list(&self, _: Key) -> &Atomic<u64> {
        let [_, second] = &self.list;
        second
    }
}

/// A list of values, each in at most one such list of number `N` at a time.
///
/// # Invariants
///
/// A value is in `list` exactly while its own `list[N]` holds `id`.
pub(crate) struct MemberList<T, const N: u64 = 0>
where
    Linked<T>: Lists<N>,
{
    id: ListId,
    list: List<Linked<T>, N>,
}

impl<T, const N: u64> MemberList<T, N>
where
    Linked<T>: Lists<N>,
{
    /// Makes an empty list.
    pub(crate) fn new() -> Self {
        // INVARIANT: The list is empty, and no value holds the id: it is new, for 2^64 lists are
        // never made.
        Self {
            id: ListId(LAST_ID.fetch_add(1u64, Relaxed).wrapping_add(1)),
            list: List::new(),
        }
    }

    /// Returns a name, which tells whether a value is in this list without the list being borrowed.
    pub(crate) fn name(&self) -> ListName<T, N> {
        ListName(self.id, PhantomData)
    }

    /// Whether `item` is in this list.
    #[inline]
    pub(crate) fn contains(&self, item: &Linked<T>) -> bool {
        item.list(Key(())).load(Relaxed) == self.id.0
    }

    /// Adds `item` at the end. Returns `false` if it is in a list of this number already, or
    /// another task is adding or removing it; nothing has changed then.
    pub(crate) fn push_back(&mut self, item: Arc<Linked<T>>) -> bool {
        // There is at most one `ListArc` of a value and number, and lists keep it; so this fails if
        // the value is in any list of this number.
        match ListArc::try_from_arc(item) {
            Ok(item) => {
                // INVARIANT: The value becomes a member; the list is borrowed exclusively.
                item.list(Key(())).store(self.id.0, Relaxed);
                self.list.push_back(item);
                true
            }
            // The list that has it keeps another reference, so this one is not the last.
            Err(_) => false,
        }
    }

    /// Removes `item` from this list and returns the list's reference to it. Returns `None` if it
    /// is not in this list.
    ///
    /// The reference must be dropped where the last one may be dropped.
    pub(crate) fn remove(&mut self, item: &Linked<T>) -> Option<Arc<Linked<T>>> {
        if !self.contains(item) {
            return None;
        }
        // SAFETY: `List::remove` wants a value that is in this list or in none. Its field holds our
        // id, so by the type invariant it is in this list.
        let item = unsafe { self.list.remove(item) }?;
        // INVARIANT: The value is no member any more; the list is borrowed exclusively.
        item.list(Key(())).store(0, Relaxed);
        Some(item.into_arc())
    }

    /// Moves `item` to the end. Returns whether it is in this list.
    pub(crate) fn move_to_back(&mut self, item: &Linked<T>) -> bool {
        if !self.contains(item) {
            return false;
        }
        // SAFETY: `List::remove` wants a value that is in this list or in none. Its field holds our
        // id, so by the type invariant it is in this list.
        match unsafe { self.list.remove(item) } {
            Some(item) => {
                self.list.push_back(item);
                true
            }
            None => false,
        }
    }

    /// Iterates over the members, first to last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ArcBorrow<'_, Linked<T>>> {
        self.list.iter()
    }
}

impl<T, const N: u64> Drop for MemberList<T, N>
where
    Linked<T>: Lists<N>,
{
    fn drop(&mut self) {
        while let Some(item) = self.list.pop_front() {
            // INVARIANT: The value is no member any more; the list is borrowed exclusively.
            item.list(Key(())).store(0, Relaxed);
        }
    }
}

/// The name of a [`MemberList`].
pub(crate) struct ListName<T, const N: u64 = 0>(ListId, PhantomData<fn() -> T>);

impl<T, const N: u64> ListName<T, N>
where
    Linked<T>: Lists<N>,
{
    /// Whether `item` is in that list. Without the list's lock that may change at any time.
    #[inline]
    pub(crate) fn has(&self, item: &Linked<T>) -> bool {
        item.list(Key(())).load(Relaxed) == self.0 .0
    }
}
