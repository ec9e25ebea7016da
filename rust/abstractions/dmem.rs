// SPDX-License-Identifier: GPL-2.0

//! The dmem cgroup controller: how much of a region the tasks of a cgroup may hold.
//!
//! The module has one region, `reeve/system`. What tasks of the root cgroup hold is not charged, for
//! nothing limits it. Without the controller nothing is charged at all.
//!
//! C header: [`include/linux/cgroup_dmem.h`](srctree/include/linux/cgroup_dmem.h)

use super::bindings as shim;
use core::{
    cell::{
        Cell,
        UnsafeCell, //
    },
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::c_void,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// What a cgroup's limits and use of the region are kept in.
type Pool = shim::dmem_cgroup_pool_state;

/// Has pages that are charged to cgroups, and can let go of them.
pub(crate) trait Evict: Send + Sync + 'static {
    /// A limit was set below what is charged: lets go of about `pages` pages of those that
    /// `search` asks for; answers how many.
    ///
    /// Called by who sets the limit, who waits. May sleep.
    fn evict(&self, search: &Search<'_>, pages: u64) -> Result<u64>;
}

/// The registered region; dropping it unregisters it. Nothing is charged then any more.
pub(crate) struct Region<T: Evict> {
    _owner: Arc<T>,
}

impl<T: Evict> Region<T> {
    /// Registers the region, which has room for `pages` pages. `EBUSY`: there is one. `ENOMEM`. May
    /// sleep.
    pub(crate) fn new(owner: Arc<T>, pages: u64) -> Result<Self> {
        let data = Arc::as_ptr(&owner).cast_mut().cast();
        // SAFETY: `data` points to a live `T` until `drop` has unregistered, for `self` owns it.
        to_result(unsafe {
            shim::reeve_shim_dmem_register(pages << PAGE_SHIFT, Some(evict::<T>), data)
        })?;
        Ok(Self { _owner: owner })
    }
}

impl<T: Evict> Drop for Region<T> {
    fn drop(&mut self) {
        // SAFETY: We are in task context and may sleep; we registered it.
        unsafe { shim::reeve_shim_dmem_unregister() };
    }
}

/// # Safety
///
/// `limit` must be a live pool, and `data` point to a live `T`.
unsafe extern "C" fn evict<T: Evict>(limit: *mut Pool, bytes: u64, data: *mut c_void) -> i32 {
    // SAFETY: By the contract.
    let owner = unsafe { &*data.cast::<T>() };
    let Some(limit) = NonNull::new(limit) else {
        return 0;
    };
    // INVARIANT: By the contract it is live until we return.
    let limit = LimitRef(limit, core::marker::PhantomData);
    from_result(|| {
        let pages = bytes.div_ceil(1 << PAGE_SHIFT);
        match owner.evict(&Search::new(limit), pages)? {
            0 => Err(ENOSPC),
            _ => Ok(0),
        }
    })
}

/// Whether what the current task populates is charged to its cgroup.
#[inline]
pub(crate) fn charges() -> bool {
    // SAFETY: Looks at the current task only; no requirements.
    cfg!(CONFIG_CGROUP_DMEM) && unsafe { shim::reeve_shim_dmem_charges() }
}

/// A cgroup's limit that was hit.
///
/// # Invariants
///
/// It is a live pool, and the reference to it is ours.
pub(crate) struct Limit(NonNull<Pool>);

impl Limit {
    /// Borrows it.
    pub(crate) fn as_ref(&self) -> LimitRef<'_> {
        // INVARIANT: It is live as long as we are.
        LimitRef(self.0, core::marker::PhantomData)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours, and this is its end.
        unsafe { shim::reeve_shim_dmem_put(self.0.as_ptr()) };
    }
}

/// A borrowed [`Limit`].
///
/// # Invariants
///
/// It is live while it is borrowed.
#[derive(Clone, Copy)]
pub(crate) struct LimitRef<'a>(NonNull<Pool>, core::marker::PhantomData<&'a Pool>);

/// A search for what can be let go to keep a limit.
///
/// Charges that their cgroup has protection for (`dmem.low`) are left alone at first.
pub(crate) struct Search<'a> {
    limit: LimitRef<'a>,
    ignore_low: Cell<bool>,
    hit_low: Cell<bool>,
}

impl<'a> Search<'a> {
    /// Has found nothing yet.
    pub(crate) fn new(limit: LimitRef<'a>) -> Self {
        Self {
            limit,
            ignore_low: Cell::new(false),
            hit_low: Cell::new(false),
        }
    }

    /// Whether it makes sense to look once more: what was left alone for its protection is not any
    /// more.
    pub(crate) fn goes_on(&self) -> bool {
        self.hit_low.take() && !self.ignore_low.replace(true)
    }
}

/// Why nothing was charged.
pub(crate) enum Refusal {
    /// It would have gone over this limit.
    Over(Limit),
    /// It could not be.
    Failed(Error),
}

/// Pages charged to a cgroup; dropping it gives them back.
///
/// # Invariants
///
/// `bytes` are charged to `pool`, with the references that belong to that.
pub(crate) struct Charge {
    pool: NonNull<Pool>,
    bytes: u64,
}

// SAFETY: Who charged may be another task than who gives it back.
unsafe impl Send for Charge {}

impl Charge {
    /// Charges the cgroup of the current task; `None`: there is nothing to charge. May sleep.
    pub(crate) fn new(pages: u64) -> Result<Option<Self>, Refusal> {
        let bytes = pages << PAGE_SHIFT;
        let mut pool = core::ptr::null_mut();
        let mut limit = core::ptr::null_mut();
        // SAFETY: Both are places for a pointer.
        let ret = unsafe { shim::reeve_shim_dmem_charge(bytes, &mut pool, &mut limit) };
        match (to_result(ret), NonNull::new(limit)) {
            // INVARIANT: The charge succeeded, so it is ours.
            (Ok(()), _) => Ok(NonNull::new(pool).map(|pool| Self { pool, bytes })),
            // INVARIANT: A limit comes with a reference.
            (Err(_), Some(limit)) => Err(Refusal::Over(Limit(limit))),
            (Err(e), None) => Err(Refusal::Failed(e)),
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this was charged, and is given back once.
        unsafe { shim::reeve_shim_dmem_uncharge(self.pool.as_ptr(), self.bytes) };
    }
}

/// A place for a [`Charge`] that others may look at meanwhile; dropping it gives the charge back.
///
/// # Invariants
///
/// `pool` is null, or `bytes` are charged to it, and it is only changed atomically. When it has become
/// null the charge is whose who did that.
pub(crate) struct Slot {
    pool: UnsafeCell<*mut Pool>,
    bytes: Atomic<u64>,
}

// SAFETY: `Charge` can be sent, and C accesses `pool` atomically.
unsafe impl Send for Slot {}
// SAFETY: As above.
unsafe impl Sync for Slot {}

impl Slot {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        // INVARIANT: It is null.
        Self {
            pool: UnsafeCell::new(core::ptr::null_mut()),
            bytes: Atomic::new(0),
        }
    }

    fn exchange(&self, pool: *mut Pool) -> *mut Pool {
        // SAFETY: `self.pool` is a place for a pointer that is only accessed atomically.
        unsafe { shim::reeve_shim_dmem_exchange(self.pool.get(), pool) }
    }

    /// Whether there is nothing in it. The caller keeps others from changing that.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.load(Relaxed) == 0
    }

    /// Puts a charge in; what was there is given back. One caller at a time.
    pub(crate) fn put(&self, charge: Charge) {
        drop(self.take());
        self.bytes.store(charge.bytes, Relaxed);
        // INVARIANT: These are the bytes of this charge, which is forgotten, not given back.
        self.exchange(core::mem::ManuallyDrop::new(charge).pool.as_ptr());
    }

    /// Takes the charge out, if there is one. One caller at a time.
    #[inline]
    pub(crate) fn take(&self) -> Option<Charge> {
        if self.is_empty() {
            return None;
        }
        let pool = NonNull::new(self.exchange(core::ptr::null_mut()))?;
        let bytes = self.bytes.load(Relaxed);
        self.bytes.store(0, Relaxed);
        // INVARIANT: By the type invariant these bytes are charged to it, and we made it null.
        Some(Charge { pool, bytes })
    }

    /// Whether letting go of what is charged here helps. Any context.
    pub(crate) fn helps(&self, search: &Search<'_>) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut hit_low = false;
        // SAFETY: `self.pool` is only accessed atomically. By the type invariant a charge is given
        // back only after it was made null. The limit is live by its invariant.
        let helps = unsafe {
            shim::reeve_shim_dmem_may_evict(
                self.pool.get(),
                search.limit.0.as_ptr(),
                search.ignore_low.get(),
                &mut hit_low,
            )
        };
        if hit_low {
            search.hit_low.set(true);
        }
        helps
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.take());
    }
}
