// SPDX-License-Identifier: GPL-2.0

//! Linked lists that a member can be removed from by safe code, and that a walk can go on in after the
//! list was changed.
//!
//! `kernel::list::List::remove` is unsafe, because it must not be passed a value in another list, and a
//! cursor of it borrows the list. Here each value knows which list it is in, so that a list can check,
//! and a [`Hitch`] keeps a place in a list that is not borrowed.

use core::{
    cell::UnsafeCell,
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    mem::MaybeUninit,
    ops::Deref,
    pin::Pin,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    alloc::{
        Allocator,
        Flags, //
    },
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        }, //
    }, //
};
use pin_init::Wrapper;

/// The last [`ListId`] that was used.
static LAST_ID: Atomic<u64> = Atomic::new(0);

/// What a [`Linked`] value is allocated from.
pub(crate) trait Housed {
    /// The allocator.
    type Memory: Allocator + 'static;
}

/// Identifies a list; it is never used for another one, and 0 is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ListId(u64);

/// A member's, or a hitch's, links in a list.
struct Links<T> {
    prev: *mut Links<T>,
    next: *mut Links<T>,
    /// The member; null in a hitch.
    member: *const Linked<T>,
}

impl<T> Links<T> {
    /// Makes those of nothing that is in a list.
    const fn none() -> Self {
        Self {
            prev: ptr::null_mut(),
            next: ptr::null_mut(),
            member: ptr::null(),
        }
    }
}

/// What a value has for one list.
struct Place<T> {
    list: Atomic<u64>,
    /// Written before they are read, when the value is put into a list.
    links: UnsafeCell<MaybeUninit<Links<T>>>,
}

impl<T> Place<T> {
    /// Returns where the links are, which are written before they are read.
    #[inline]
    fn links(&self) -> *mut Links<T> {
        self.links.get().cast()
    }
}

/// A value that can be in three [`MemberList`]s, one of each number 0, 1 and 2. It counts its references, so that who has
/// the last one can tell.
///
/// # Invariants
///
/// It is on the heap, and `refs` counts the [`ARef`]s of it. `value` is borrowed exclusively only through one that is
/// borrowed so, and the only one.
///
/// `list` of place `N` holds the id of a [`MemberList`] of number `N` exactly while the value is a
/// member of that list, else 0. Only this file writes to it: to 0 only while it has the list borrowed
/// exclusively, and from 0 only to make it a member of a list that it has borrowed so. A member's `links` are initialised; those
/// of the place are only accessed with that list borrowed, and written to with it borrowed exclusively.
#[pin_data]
pub(crate) struct Linked<T> {
    refs: Atomic<u64>,
    places: [Place<T>; 3],
    #[pin]
    value: UnsafeCell<T>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The links point to other values, which only a list goes to; lists are as demanding as an
// `ARef` of the values. All else is sent with the value.
unsafe impl<T: Send + Sync> Send for Linked<T> {}
// SAFETY: `&self` methods only share the value, which is `Sync`, and access atomics. By the type invariant the links
// are accessed only by the owner of a borrow of the list.
unsafe impl<T: Send + Sync> Sync for Linked<T> {}

impl<T: Housed> Linked<T> {
    /// Makes a value that is in no list. Returns `ENOMEM` if there is no memory, or the error of `value`. May sleep.
    #[inline(always)]
    pub(crate) fn make(value: impl PinInit<T, Error>, flags: Flags) -> Result<ARef<Self>> {
        // INVARIANT: The value is in no list, and all ids are 0. The one reference is that of the result.
        let this = Box::<Self, T::Memory>::try_pin_init(
            try_pin_init!(Self {
                refs: Atomic::new(1),
                places: [const {
                    Place {
                        list: Atomic::new(0),
                        links: UnsafeCell::new(MaybeUninit::uninit()),
                    }
                }; 3],
                value <- UnsafeCell::pin_init(value),
                _pin: PhantomPinned,
            }? Error),
            flags,
        )?;
        // SAFETY: What is made of this gives out no exclusive borrow that is not pinned, so the value does not move.
        let this = Box::into_raw(unsafe { Pin::into_inner_unchecked(this) });
        // SAFETY: A box is not null.
        let this = unsafe { NonNull::new_unchecked(this) };
        // SAFETY: The count has the one reference of the result.
        Ok(unsafe { ARef::from_raw(this) })
    }

    /// Borrows the value exclusively, if `this` is the only reference: then it is in no list. `None`: there are others.
    #[inline]
    pub(crate) fn get_mut(this: &mut ARef<Self>) -> Option<Pin<&mut T>> {
        // Acquire: what was done with the references that are gone comes before what is done now.
        if this.refs.load(Acquire) != 1 {
            return None;
        }
        // INVARIANT: There is one reference, and it is borrowed exclusively.
        // SAFETY: All borrows of the value come from a reference, of which there is just this one: lists own one to each
        // member, and each clone is one. So nothing else accesses it. It is pinned, for it is on the heap, where it stays.
        Some(unsafe { Pin::new_unchecked(&mut *this.value.get()) })
    }

    /// Ends the value.
    ///
    /// # Safety
    ///
    /// There must be no reference to it any more.
    #[inline(never)]
    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: `make` got it from a box, and by the contract nothing uses it. It stays where it is until it is gone.
        drop(unsafe { Pin::new_unchecked(Box::<Self, T::Memory>::from_raw(this.as_ptr())) });
    }
}

impl<T> Linked<T> {
    /// Returns its place for lists of number `N`.
    #[inline]
    fn place<const N: u64>(&self) -> &Place<T> {
        let [first, second, third] = &self.places;
        match N {
            0 => first,
            1 => second,
            _ => third,
        }
    }
}

impl<T> Deref for Linked<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant it is not borrowed exclusively while this is borrowed.
        unsafe { &*self.value.get() }
    }
}

// SAFETY: The value stays as long as the count is not 0. Only `make` makes one, so all are counted.
unsafe impl<T: Housed> AlwaysRefCounted for Linked<T> {
    #[inline]
    fn inc_ref(&self) {
        // There never are 2^64.
        self.refs.add(1u64, Relaxed);
    }

    #[inline]
    unsafe fn dec_ref(this: NonNull<Self>) {
        // SAFETY: By the contract the caller has a reference, so it is there still.
        let refs = unsafe { &this.as_ref().refs };
        // Full: what was done through other references comes before the end of the value.
        if refs.fetch_sub(1u64, Full) == 1 {
            // SAFETY: This was the last reference.
            unsafe { Self::free(this) };
        }
    }
}

/// A list of values, each in at most one such list of number `N` at a time.
///
/// # Invariants
///
/// `first` and `last` are the ends of a list that is doubly linked, or null if it is empty. In it are the
/// links of members and of hitches. A value is a member exactly while its own id of place `N` is `id`; the
/// list owns one reference to it, and `member` in its links is what [`ARef::into_raw`] returned for
/// that. A hitch is in the list exactly while its `list` is `id`, or it was leaked.
pub(crate) struct MemberList<T: Housed, const N: u64 = 0> {
    id: ListId,
    first: *mut Links<T>,
    last: *mut Links<T>,
    _members: PhantomData<ARef<Linked<T>>>,
}

// SAFETY: A list owns references to its members, so it may be sent where an `ARef` of one may. Its
// hitches hold no value.
unsafe impl<T: Housed + Send + Sync, const N: u64> Send for MemberList<T, N> {}
// SAFETY: `&self` methods only read links, which by the type invariant of `Linked` nothing writes to while
// the list is borrowed, and give out borrows of members, which are `Sync`.
unsafe impl<T: Housed + Send + Sync, const N: u64> Sync for MemberList<T, N> {}

impl<T: Housed, const N: u64> MemberList<T, N> {
    /// Makes an empty list.
    pub(crate) fn new() -> Self {
        // INVARIANT: The list is empty, and no value or hitch holds the id: it is new, for 2^64 lists
        // are never made.
        Self {
            id: ListId(LAST_ID.fetch_add(1u64, Relaxed).wrapping_add(1)),
            first: ptr::null_mut(),
            last: ptr::null_mut(),
            _members: PhantomData,
        }
    }

    /// Returns a name, which tells whether a value is in this list without the list being borrowed.
    pub(crate) fn name(&self) -> ListName<T, N> {
        ListName(self.id, PhantomData)
    }

    /// Whether `item` is in this list.
    #[inline]
    pub(crate) fn contains(&self, item: &Linked<T>) -> bool {
        item.place::<N>().list.load(Relaxed) == self.id.0
    }

    /// Adds `item` at the end. Returns `false` if it is in a list of this number already; nothing has
    /// changed then.
    #[inline]
    pub(crate) fn push_back(&mut self, item: ARef<Linked<T>>) -> bool {
        let place = item.place::<N>();
        // INVARIANT: The value was in no list of this number, and becomes a member of this one, which is
        // borrowed exclusively. Acquire: what the list that it was in last has written to its links comes
        // before what is written now.
        if place.list.cmpxchg(0, self.id.0, Acquire).is_err() {
            // The list that has it keeps another reference, so this one is not the last.
            return false;
        }
        let links = place.links();
        let member = ARef::into_raw(item).as_ptr().cast_const();
        // SAFETY: The links are of a value that the list owns a reference to from now on, so they stay
        // where they are. It is a member, and the list is borrowed exclusively, so they are ours to
        // write, and they are not linked, for it was not a member before.
        unsafe {
            (*links).member = member;
            self.link_after(links, self.last);
        }
        true
    }

    /// Removes `item` from this list and returns the list's reference to it. Returns `None` if it
    /// is not in this list.
    ///
    /// The reference must be dropped where the last one may be dropped.
    #[inline]
    pub(crate) fn remove(&mut self, item: &Linked<T>) -> Option<ARef<Linked<T>>> {
        if !self.contains(item) {
            return None;
        }
        let place = item.place::<N>();
        let links = place.links();
        // SAFETY: The value is a member of this list, which is borrowed exclusively: its links are
        // linked here, and ours to write. By the type invariant `member` is what `into_raw` returned, which
        // is not null, for the reference that the list owns, which it gives up: the value is no member any more.
        let item = unsafe {
            self.unlink(links);
            let member = NonNull::new_unchecked((*links).member.cast_mut());
            ARef::from_raw(member)
        };
        // INVARIANT: The value is no member any more; the list is borrowed exclusively.
        place.list.store(0, Release);
        Some(item)
    }

    /// Moves `item` to the end. Returns whether it is in this list.
    #[inline]
    pub(crate) fn move_to_back(&mut self, item: &Linked<T>) -> bool {
        if !self.contains(item) {
            return false;
        }
        let links = item.place::<N>().links();
        // SAFETY: The value is a member of this list, which is borrowed exclusively: its links are
        // linked here, and ours to write. They are linked anew at once.
        unsafe {
            self.unlink(links);
            self.link_after(links, self.last);
        }
        true
    }

    /// Iterates over the members, first to last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Linked<T>> {
        let mut next = self.first;
        core::iter::from_fn(move || loop {
            if next.is_null() {
                return None;
            }
            // SAFETY: By the type invariant these are links in the list, which stay there and are
            // not written to while the list is borrowed, as it is by the iterator.
            let (member, after) = unsafe { ((*next).member, (*next).next) };
            next = after;
            if !member.is_null() {
                // SAFETY: By the type invariant the pointer is from `into_raw`, and the list owns a
                // reference to the member, which it keeps while it is borrowed.
                return Some(unsafe { &*member });
            }
        })
    }

    /// Returns the first member.
    #[inline]
    pub(crate) fn first(&self) -> Option<&Linked<T>> {
        self.iter().next()
    }

    /// Moves `hitch` behind the next member, which is the first one at the first call, and returns that
    /// member. `None`: there is no other one, and the hitch is in no list any more; or it is in another
    /// list.
    pub(crate) fn advance(&mut self, hitch: &mut Hitch<T, N>) -> Option<&Linked<T>> {
        let links = hitch.links;
        let mut next = match hitch.at {
            At::Start => self.first,
            // SAFETY: The hitch is in this list, so its links are valid and linked here.
            At::List(id) if id == self.id => unsafe { (*links).next },
            _ => return None,
        };
        self.unhitch(hitch);
        while !next.is_null() {
            // SAFETY: By the type invariant these are links in the list, which is borrowed exclusively.
            let member = unsafe { (*next).member };
            if !member.is_null() {
                // SAFETY: The hitch is in no list, and its links are its own; those of the member are in
                // the list, which is borrowed exclusively.
                unsafe { self.link_after(links, next) };
                // INVARIANT: The hitch is in this list.
                hitch.at = At::List(self.id);
                // SAFETY: By the type invariant the pointer is from `into_raw`, and the list owns a
                // reference to the member, which it keeps while it is borrowed.
                return Some(unsafe { &*member });
            }
            // SAFETY: By the type invariant `next` still points to links in the list: it is that of a
            // hitch, which nothing unlinked, for the list has been borrowed exclusively since it was found.
            next = unsafe { (*next).next };
        }
        None
    }

    /// Removes `hitch` from this list, if it is there; it is not used again.
    pub(crate) fn unhitch(&mut self, hitch: &mut Hitch<T, N>) {
        match hitch.at {
            At::List(id) if id == self.id => {
                // SAFETY: The hitch is in this list, which is borrowed exclusively.
                unsafe { self.unlink(hitch.links) };
            }
            At::List(_) => return,
            At::Start | At::End => {}
        }
        // INVARIANT: The hitch is in no list.
        hitch.at = At::End;
    }

    /// Links `links` behind `before`, or at the start if that is null.
    ///
    /// # Safety
    ///
    /// `links` must be valid, stay so while they are linked, and be in no list; `before` must be null or
    /// in this list. The caller accounts for what they are of.
    #[inline]
    unsafe fn link_after(&mut self, links: *mut Links<T>, before: *mut Links<T>) {
        // SAFETY: By the contract and the type invariant all these links are valid, and in this list,
        // which is borrowed exclusively.
        unsafe {
            let after = if before.is_null() {
                self.first
            } else {
                (*before).next
            };
            (*links).prev = before;
            (*links).next = after;
            if before.is_null() {
                self.first = links;
            } else {
                (*before).next = links;
            }
            if after.is_null() {
                self.last = links;
            } else {
                (*after).prev = links;
            }
        }
    }

    /// Undoes [`Self::link_after`].
    ///
    /// # Safety
    ///
    /// `links` must be in this list.
    #[inline]
    unsafe fn unlink(&mut self, links: *mut Links<T>) {
        // SAFETY: By the contract and the type invariant all these links are valid, and in this list,
        // which is borrowed exclusively.
        unsafe {
            let (before, after) = ((*links).prev, (*links).next);
            if before.is_null() {
                self.first = after;
            } else {
                (*before).next = after;
            }
            if after.is_null() {
                self.last = before;
            } else {
                (*after).prev = before;
            }
        }
    }
}

impl<T: Housed, const N: u64> Drop for MemberList<T, N> {
    fn drop(&mut self) {
        let mut next = self.first;
        while !next.is_null() {
            // SAFETY: By the type invariant these are links in the list, which is borrowed exclusively.
            // They are not used again after the reference is dropped. A hitch in a list that is
            // dropped is never used again: no other list has its id.
            let (member, after) = unsafe { ((*next).member, (*next).next) };
            if !member.is_null() {
                // SAFETY: By the type invariant the pointer is from `into_raw`, and so not null, for the reference
                // that the list owns, which it gives up here.
                let member = unsafe { ARef::from_raw(NonNull::new_unchecked(member.cast_mut())) };
                // INVARIANT: The value is no member any more; the list is borrowed exclusively.
                member.place::<N>().list.store(0, Release);
            }
            next = after;
        }
    }
}

/// Where a [`Hitch`] is.
#[derive(Clone, Copy)]
enum At {
    /// Before the first member of any list.
    Start,
    /// In this list.
    List(ListId),
    /// In none, never to be in one again.
    End,
}

/// A place in a [`MemberList`], which it keeps whatever members are added, moved and removed.
///
/// [`MemberList::unhitch`] it before it is dropped; one that is not stays in the list, its memory is
/// leaked.
///
/// # Invariants
///
/// `links` point to links on the heap, which belong to the hitch, or, while it is in a list, to that.
pub(crate) struct Hitch<T, const N: u64> {
    links: *mut Links<T>,
    at: At,
}

// SAFETY: A hitch holds no value, and only the list that it is in accesses its links.
unsafe impl<T, const N: u64> Send for Hitch<T, N> {}

impl<T, const N: u64> Hitch<T, N> {
    /// Makes one that is before the first member. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let links = KBox::new(Links::none(), GFP_KERNEL | __GFP_NOWARN)?;
        // INVARIANT: The hitch is in no list, and its links are its own.
        Ok(Self {
            links: KBox::into_raw(links),
            at: At::Start,
        })
    }
}

impl<T, const N: u64> Drop for Hitch<T, N> {
    fn drop(&mut self) {
        if !matches!(self.at, At::List(_)) {
            // SAFETY: The links are from `into_raw`, and by the type invariant they belong to the hitch, for
            // it is in no list. They are not used again.
            drop(unsafe { KBox::from_raw(self.links) });
        }
    }
}

/// The name of a [`MemberList`].
pub(crate) struct ListName<T, const N: u64 = 0>(ListId, PhantomData<fn() -> T>);

impl<T, const N: u64> ListName<T, N> {
    /// Whether `item` is in that list. Without the list's lock that may change at any time.
    #[inline]
    pub(crate) fn has(&self, item: &Linked<T>) -> bool {
        item.place::<N>().list.load(Relaxed) == self.0 .0
    }
}
