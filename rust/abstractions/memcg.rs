// SPDX-License-Identifier: GPL-2.0

//! Memory cgroups: pages are charged to the cgroup of the task that allocates them.
//!
//! C header: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use super::{
    bindings as helpers,
    page::PageRef, //
};
use core::ptr::NonNull;
use kernel::types::NotThreadSafe;

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

/// Makes reclaim of a memory cgroup call the shrinker that is aware of cgroups; dropping it ends that.
///
/// # Invariants
///
/// `marker` is a marker that only this value frees.
pub(crate) struct Marker {
    marker: NonNull<helpers::reeve_marker>,
    of: Memcg,
}

// SAFETY: A marker belongs to no task: any task may free it.
unsafe impl Send for Marker {}
// SAFETY: `&self` methods only read a field that never changes.
unsafe impl Sync for Marker {}

impl Marker {
    /// Makes one for `of`, which is the cgroup of the current task; `None`: there is no memory, or no
    /// such shrinker. May sleep.
    pub(crate) fn new(of: Memcg) -> Option<Self> {
        // SAFETY: The helper allocates, and adds what it allocated to a list with a lock of its own.
        let marker = unsafe { helpers::reeve_helper_marker_new() };
        // INVARIANT: The marker was made just now.
        Some(Self {
            marker: NonNull::new(marker)?,
            of,
        })
    }

    /// Returns the cgroup.
    pub(crate) fn of(&self) -> Memcg {
        self.of
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        // SAFETY: The helper wants a marker, once: by the type invariant it is one that only we free.
        unsafe { helpers::reeve_helper_marker_free(self.marker.as_ptr()) };
    }
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
