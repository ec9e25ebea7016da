// SPDX-License-Identifier: GPL-2.0

//! Linked lists that a member can safely be taken out of.
//!
//! `kernel::list::List::remove` is unsafe, because a value in another list must not be passed to
//! it. Here each value knows which list it is in, so the question answers itself.

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

/// The last [`ListId`] given out.
static LAST_ID: Atomic<u64> = Atomic::new(0);

/// Names a list; no two lists ever have the same, and 0 is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ListId(u64);

/// A value that can be in two [`MemberList`]s, one of each number.
///
/// # Invariants
///
/// `list[N]` holds the id of a [`MemberList`] of number `N` exactly while that list has this as a
/// member, else 0.
/// Only this file writes to it, and only while it has the list borrowed exclusively.
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
        // INVARIANT: In no list.
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
/// `list` must answer the value's own place for the id of its list of that number.
pub(crate) unsafe trait Lists<const N: u64>: ListItem<N> + TryNewListArc<N> {
    /// The id of the list it is in, or 0. Only this file can have it.
    fn list(&self, _: Key) -> &Atomic<u64>;
}

/// What only this file can make.
pub(crate) struct Key(());

// SAFETY: This is the first place, and the other implementation answers the second.
unsafe impl<T> Lists<0> for Linked<T> {
    #[inline]
    fn list(&self, _: Key) -> &Atomic<u64> {
        let [first, _] = &self.list;
        first
    }
}

// SAFETY: As above.
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
        // INVARIANT: The id is new: 2^64 lists are never made. So no value holds it.
        Self {
            id: ListId(LAST_ID.fetch_add(1u64, Relaxed).wrapping_add(1)),
            list: List::new(),
        }
    }

    /// A name to ask whether a value is in this list without having it borrowed.
    pub(crate) fn name(&self) -> ListName<T, N> {
        ListName(self.id, PhantomData)
    }

    /// Whether `item` is in this list.
    #[inline]
    pub(crate) fn contains(&self, item: &Linked<T>) -> bool {
        item.list(Key(())).load(Relaxed) == self.id.0
    }

    /// Adds `item` at the end. `false`: it is in a list already, or somebody else is just moving
    /// it; nothing changed.
    pub(crate) fn push_back(&mut self, item: Arc<Linked<T>>) -> bool {
        // There is at most one `ListArc` to a value, and lists keep it; so this fails if the value
        // is in any list.
        match ListArc::try_from_arc(item) {
            Ok(item) => {
                // INVARIANT: The value becomes a member; we have the list exclusively.
                item.list(Key(())).store(self.id.0, Relaxed);
                self.list.push_back(item);
                true
            }
            // The caller has another reference: this one is not the last.
            Err(_) => false,
        }
    }

    /// Takes `item` out, if it is in this list.
    ///
    /// What is answered is the list's reference; drop it where the last one may be dropped.
    pub(crate) fn remove(&mut self, item: &Linked<T>) -> Option<Arc<Linked<T>>> {
        if !self.contains(item) {
            return None;
        }
        // SAFETY: By the type invariant the value is in this list, thus in no other.
        let item = unsafe { self.list.remove(item) }?;
        // INVARIANT: It is no member any more; we have the list exclusively.
        item.list(Key(())).store(0, Relaxed);
        Some(item.into_arc())
    }

    /// Moves `item` to the end, if it is in this list.
    pub(crate) fn move_to_back(&mut self, item: &Linked<T>) -> bool {
        if !self.contains(item) {
            return false;
        }
        // SAFETY: By the type invariant the value is in this list, thus in no other.
        match unsafe { self.list.remove(item) } {
            Some(item) => {
                self.list.push_back(item);
                true
            }
            None => false,
        }
    }

    /// The members, first to last.
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
            // INVARIANT: It is no member any more; we have the list exclusively.
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
    /// Whether `item` is in that list now, as far as somebody can tell who has not locked it.
    #[inline]
    pub(crate) fn has(&self, item: &Linked<T>) -> bool {
        item.list(Key(())).load(Relaxed) == self.0 .0
    }
}
