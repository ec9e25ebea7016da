// SPDX-License-Identifier: GPL-2.0

//! Memory cgroups: pages are charged to the one of who populates, when they are allocated.
//!
//! C header: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use super::{
    bindings as shim,
    page::PageRef, //
};
use kernel::types::NotThreadSafe;

/// Names a memory cgroup; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memcg(u64);

impl Memcg {
    /// The one that pages which the current task allocates are charged to; `None`: to none, as in the
    /// root.
    #[inline]
    pub(crate) fn of_current() -> Option<Self> {
        if !cfg!(CONFIG_MEMCG) {
            return None;
        }
        // SAFETY: Looks at the current task only; no requirements.
        Self::from_id(unsafe { shim::reeve_shim_memcg() })
    }

    /// As a number; none is 0.
    #[inline]
    pub(crate) fn id(self) -> u64 {
        self.0
    }

    /// The one of a number.
    #[inline]
    pub(crate) fn from_id(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }
}

/// Whether `pages` more pages fit into the limits of the current task's memory cgroup, and of those
/// above it.
pub(crate) fn has_room(pages: u64) -> bool {
    // SAFETY: Looks at the current task only; no requirements.
    unsafe { shim::reeve_shim_memcg_has_room(pages as usize, false) }
}

/// Whether so many pages would fit if nothing else was charged.
pub(crate) fn could_have_room(pages: u64) -> bool {
    // SAFETY: Looks at the current task only; no requirements.
    unsafe { shim::reeve_shim_memcg_has_room(pages as usize, true) }
}

/// While it is there, what the current task allocates is charged to whom some pages are charged to, or
/// to the root if that is nobody: who moves content of others out of memory does not pay for it.
///
/// # Invariants
///
/// `scope` was entered by the current task, and scopes that were entered later have been left.
pub(crate) struct Scope {
    scope: shim::reeve_memcg_scope,
    _not_sent: NotThreadSafe,
}

impl Scope {
    /// Enters the scope of the cgroup that `page` is charged to, the first page of a block; of the
    /// root cgroup without one. Scopes must be dropped in the order opposite to that in which they
    /// were entered.
    pub(crate) fn of(page: Option<PageRef<'_>>) -> Self {
        let page = page.map_or(core::ptr::null_mut(), |page| page.as_ptr());
        let mut scope = shim::reeve_memcg_scope::default();
        if cfg!(CONFIG_MEMCG) {
            // SAFETY: The helper wants null or a valid page, which a `PageRef` is by its invariant, and
            // a place for what it has to remember.
            unsafe { shim::reeve_shim_memcg_enter(page, &mut scope) };
        }
        // INVARIANT: It was entered just now.
        Self {
            scope,
            _not_sent: NotThreadSafe,
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if cfg!(CONFIG_MEMCG) {
            // SAFETY: By the type invariant it was entered by us, and is left in the right order.
            unsafe { shim::reeve_shim_memcg_leave(&mut self.scope) };
        }
    }
}
