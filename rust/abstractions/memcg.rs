// SPDX-License-Identifier: GPL-2.0

//! Memory cgroups: pages are charged to the cgroup of the task that allocates them.
//!
//! C header: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use super::{
    bindings as helpers,
    page::PageRef, //
};
use core::{
    any::TypeId,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::NotThreadSafe, //
};

/// The id of a memory cgroup; it is never used for another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memcg(u64);

impl Memcg {
    /// Returns the cgroup that pages which the current task allocates are charged to, or `None` if
    /// they are not charged, as in the root cgroup.
    #[inline]
    pub(crate) fn of_current() -> Option<Self> {
        if !cfg!(CONFIG_MEMCG) {
            return None;
        }
        // SAFETY: The helper reads the cgroup of the current task under RCU, which it enters
        // itself; it may be called in any task context.
        Self::from_id(unsafe { helpers::reeve_helper_memcg() })
    }

    /// Returns the id as a number, which is not 0.
    #[inline]
    pub(crate) fn id(self) -> u64 {
        self.0
    }

    /// Returns the cgroup of a number, or `None` for 0.
    #[inline]
    pub(crate) fn from_id(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }
}

/// Whether `pages` more pages fit into the limits of the current task's memory cgroup and of those
/// above it.
pub(crate) fn has_room(pages: u64) -> bool {
    fits(pages, false)
}

/// Whether `pages` pages would fit into these limits if nothing was charged.
pub(crate) fn could_have_room(pages: u64) -> bool {
    fits(pages, true)
}

fn fits(pages: u64, if_empty: bool) -> bool {
    // SAFETY: The helper reads the counters of the current task's cgroup and of those above it
    // under RCU, which it enters itself; it may be called in any task context.
    unsafe { helpers::reeve_helper_memcg_has_room(pages as usize, if_empty) }
}

/// A borrowed memory cgroup, which is not the root.
///
/// # Invariants
///
/// It is valid for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a>(NonNull<bindings::mem_cgroup>, PhantomData<&'a ()>);

impl<'a> Group<'a> {
    /// Borrows a cgroup; `None`: null.
    ///
    /// # Safety
    ///
    /// It must be null or valid for `'a`, and not the root.
    pub(super) unsafe fn from_raw(group: *mut bindings::mem_cgroup) -> Option<Self> {
        // INVARIANT: By the contract it is valid.
        NonNull::new(group).map(|group| Self(group, PhantomData))
    }

    /// Returns how many [`Marker`]s are in its list, of those in memory of this node.
    pub(crate) fn marked(self, node: usize) -> u64 {
        // SAFETY: The helper wants a cgroup, which by the type invariant is valid, and a node. Any context.
        unsafe { helpers::reeve_helper_marked(self.0.as_ptr(), node as c_int) as u64 }
    }

    /// Takes the first object of these, and moves it to the end. `None`: there is none, or it is no `T`.
    pub(crate) fn next<T: Marked>(self, node: usize) -> Option<ARef<T>> {
        let ty = TypeId::of::<T>();
        // SAFETY: The helper wants a cgroup, which by the type invariant is valid, a node, and what the
        // owners' `take` wants: a `TypeId`.
        let owner = unsafe {
            helpers::reeve_helper_marked_next(
                self.0.as_ptr(),
                node as c_int,
                core::ptr::from_ref(&ty).cast(),
            )
        };
        let owner = NonNull::new(owner.cast::<T>())?;
        // SAFETY: It is what a `take` returned, which did so because its `T` is of this type: a pointer from
        // `ARef::into_raw`, with a reference for us.
        Some(unsafe { ARef::from_raw(owner) })
    }

    /// Returns about how many pages its objects have, of those whose markers are in memory of this node.
    pub(crate) fn pages(self, node: usize) -> u64 {
        /// How many are looked at, with the list locked.
        const SOME: u64 = 32;
        let count = self.marked(node);
        // SAFETY: The helper wants a cgroup, which by the type invariant is valid, and a node.
        let pages = unsafe {
            helpers::reeve_helper_marked_pages(self.0.as_ptr(), node as c_int, SOME as usize)
        };
        let pages = pages as u64;
        if count <= SOME {
            pages
        } else {
            (pages / SOME).saturating_mul(count).max(pages)
        }
    }
}

/// A reference to the memory cgroup of a task, which is not the root.
///
/// # Invariants
///
/// We own a reference to it.
pub(crate) struct GroupRef(NonNull<bindings::mem_cgroup>);

impl GroupRef {
    /// Returns that of the current task; `None`: it is in the root.
    pub(crate) fn of_current() -> Option<Self> {
        // SAFETY: The helper takes a reference to the current task's cgroup under RCU, which it enters
        // itself; it may be called in any task context.
        let group = unsafe { helpers::reeve_helper_memcg_get() };
        // INVARIANT: The helper took a reference for us.
        NonNull::new(group).map(Self)
    }

    /// Borrows it.
    pub(crate) fn as_group(&self) -> Group<'_> {
        // INVARIANT: Our reference keeps it valid, and we outlive the borrow.
        Group(self.0, PhantomData)
    }
}

impl Drop for GroupRef {
    fn drop(&mut self) {
        // SAFETY: The helper drops a reference that the caller owns: by the type invariant we own one, and
        // it is not used again.
        unsafe { helpers::reeve_helper_memcg_put(self.0.as_ptr()) };
    }
}

/// What a [`Marker`] stands for.
pub(crate) trait Marked: AlwaysRefCounted + Send + Sync + 'static {
    /// Returns the number of pages that reclaim might get. Called with a spinlock held.
    fn pages(&self) -> u64;
}

/// A place in the list of a memory cgroup, or of the one above when it was removed, by which an object that
/// is charged to it is found; dropping it removes the object from the list.
///
/// # Invariants
///
/// `marker` is a marker that only this value frees. If `listed` is set it is in a list, with an owner from
/// [`ARef::into_raw`] of an `ARef<T>` whose reference the list owns.
pub(crate) struct Marker<T: Marked> {
    marker: NonNull<helpers::reeve_marker>,
    of: Memcg,
    listed: Option<NonNull<T>>,
    _owner: PhantomData<ARef<T>>,
}

// SAFETY: A marker belongs to no task: any task may list and free it, and a `T` may be shared and sent.
unsafe impl<T: Marked> Send for Marker<T> {}
// SAFETY: `&self` methods read fields and move the marker in its list, which has a lock of its own.
unsafe impl<T: Marked> Sync for Marker<T> {}

impl<T: Marked> Marker<T> {
    const OPS: helpers::reeve_marker_ops = helpers::reeve_marker_ops {
        take: Some(take::<T>),
        pages: Some(pages::<T>),
    };

    /// Makes one for the cgroup of the current task, in no list yet; `None`: nothing is charged to it, or
    /// there is no shrinker that is called for cgroups.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new() -> Result<Option<Self>> {
        let Some(of) = Memcg::of_current() else {
            return Ok(None);
        };
        // SAFETY: The helper allocates, and may sleep.
        let marker = from_err_ptr(unsafe { helpers::reeve_helper_marker_new() })?;
        // INVARIANT: The marker was made just now, and is in no list.
        Ok(NonNull::new(marker).map(|marker| Self {
            marker,
            of,
            listed: None,
            _owner: PhantomData,
        }))
    }

    /// Returns the cgroup that it was made for.
    pub(crate) fn of(&self) -> Memcg {
        self.of
    }

    /// Has `owner` found from now on, as the most recently used. Does nothing if it is in the list.
    pub(crate) fn list(&mut self, owner: &T) {
        if self.listed.is_some() {
            return;
        }
        let owner = ARef::into_raw(ARef::from(owner));
        // SAFETY: The helper wants a marker in no list, which it is by the type invariant, and operations
        // for its owner that are valid as long as it is listed: those are constant, and those of a `T`,
        // to which the list owns a reference.
        unsafe {
            helpers::reeve_helper_marker_list(
                self.marker.as_ptr(),
                const { &Self::OPS },
                owner.as_ptr().cast(),
            )
        };
        // INVARIANT: It is in a list now, and the owner is from `into_raw`.
        self.listed = Some(owner);
    }

    /// Has its owner found no more, and returns the list's reference to it, to be dropped where the last
    /// one may be dropped. `None`: it was not in the list.
    pub(crate) fn unlist(&mut self) -> Option<ARef<T>> {
        // INVARIANT: It is in no list from now on.
        let owner = self.listed.take()?;
        // SAFETY: The helper wants a marker.
        unsafe { helpers::reeve_helper_marker_unlist(self.marker.as_ptr()) };
        // SAFETY: By the type invariant the pointer is from `into_raw`, for a reference that the list owned.
        Some(unsafe { ARef::from_raw(owner) })
    }

    /// Makes its owner the most recently used, if it is in the list.
    pub(crate) fn touch(&mut self) {
        // SAFETY: The helper wants a marker, which nothing else adds or removes meanwhile: it is borrowed
        // exclusively.
        unsafe { helpers::reeve_helper_marker_touch(self.marker.as_ptr()) };
    }
}

impl<T: Marked> Drop for Marker<T> {
    fn drop(&mut self) {
        let owner = self.unlist();
        // SAFETY: The helper wants a marker in no list, once: by the type invariant it is one that only we
        // free.
        unsafe { helpers::reeve_helper_marker_free(self.marker.as_ptr()) };
        drop(owner);
    }
}

/// Returns `owner` with one reference more if it is of this type, else null.
///
/// # Safety
///
/// `owner` must be from [`ARef::into_raw`] of an `ARef<T>` that is not dropped meanwhile, and `ty` point to a
/// [`TypeId`].
unsafe extern "C" fn take<T: Marked>(owner: *mut c_void, ty: *const c_void) -> *mut c_void {
    // SAFETY: By the contract it points to one.
    if unsafe { *ty.cast::<TypeId>() } != TypeId::of::<T>() {
        return core::ptr::null_mut();
    }
    // SAFETY: By the contract it is from `into_raw`, and there is a reference that outlives this borrow.
    let owner = unsafe { &*owner.cast::<T>() };
    ARef::into_raw(ARef::from(owner)).as_ptr().cast()
}

/// Returns the number of pages of `owner`.
///
/// # Safety
///
/// `owner` must point to a `T` that is valid meanwhile.
unsafe extern "C" fn pages<T: Marked>(owner: *mut c_void) -> c_ulong {
    // SAFETY: By the contract it points to a `T` that is valid for as long as this function runs, and the borrow
    // ends with it. Only `&self` methods are called, as on every `T` that others share.
    let owner = unsafe { &*owner.cast::<T>() };
    owner.pages() as c_ulong
}

/// While it exists, what the current task allocates is charged to the cgroup that some page is
/// charged to, or to the root if there is none: a task that swaps out pages of another cgroup is
/// not charged for it.
///
/// # Invariants
///
/// `scope` was entered by the current task and not left yet. Scopes are kept in locals, so that
/// those which were entered later are left before.
pub(crate) struct Scope {
    scope: helpers::reeve_memcg_scope,
    _not_sent: NotThreadSafe,
}

impl Scope {
    /// Enters the scope of the cgroup that `page` is charged to, the first page of a block; of the
    /// root cgroup without one. Scopes must be dropped in the order opposite to that in which they
    /// were entered.
    pub(crate) fn of(page: Option<PageRef<'_>>) -> Self {
        let page = page.map_or(core::ptr::null_mut(), |page| page.as_ptr());
        let mut scope = helpers::reeve_memcg_scope::default();
        if cfg!(CONFIG_MEMCG) {
            // SAFETY: The helper wants null or a valid page, which a `PageRef` is by its invariant,
            // and a place for what it has to remember.
            unsafe { helpers::reeve_helper_memcg_enter(page, &mut scope) };
        }
        // INVARIANT: The scope was entered just now, and `NotThreadSafe` keeps it with this task.
        Self {
            scope,
            _not_sent: NotThreadSafe,
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if cfg!(CONFIG_MEMCG) {
            // SAFETY: The helper wants a scope that the current task has entered and not left, and
            // that those entered later were left: the type invariant says so.
            unsafe { helpers::reeve_helper_memcg_leave(&mut self.scope) };
        }
    }
}
