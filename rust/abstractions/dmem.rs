// SPDX-License-Identifier: GPL-2.0

//! The dmem cgroup controller: how much of a region the tasks of a cgroup may hold.
//!
//! The module has one region, `reeve/system`. What tasks of the root cgroup hold is not charged,
//! because the root has no limit. In a kernel without the controller nothing is charged at all.
//!
//! C header: [`include/linux/cgroup_dmem.h`](srctree/include/linux/cgroup_dmem.h)

use super::bindings as helpers;
use core::{
    cell::Cell,
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
    sync::Arc, //
};

/// A cgroup's limits and usage of the region.
type Pool = helpers::dmem_cgroup_pool_state;

/// Holds pages that are charged to cgroups, and can evict them.
pub(crate) trait Evict: Send + Sync + 'static {
    /// Evicts about `pages` pages that help with the limit that `search` is for. Returns how many.
    ///
    /// Called when a limit is set below what is charged, by the task that sets it and without a
    /// context for held locks. May sleep.
    fn evict(&self, search: &Search<'_>, pages: u64) -> Result<u64>;
}

/// The registered region; dropping it unregisters it. All charges must be gone by then.
pub(crate) struct Region<T: Evict> {
    _owner: Arc<T>,
}

impl<T: Evict> Region<T> {
    /// Registers the region, of `pages` pages.
    ///
    /// Returns `EBUSY` if there is one already, `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(owner: Arc<T>, pages: u64) -> Result<Self> {
        let data = Arc::as_ptr(&owner).cast_mut().cast();
        // SAFETY: The helper wants a function that may be called with `data` until the region is
        // unregistered. `evict::<T>` wants `data` to point to a valid `T`: `self` has a reference
        // to it, and `drop` unregisters before that reference is dropped.
        to_result(unsafe {
            helpers::reeve_helper_dmem_register(pages << PAGE_SHIFT, Some(evict::<T>), data)
        })?;
        Ok(Self { _owner: owner })
    }
}

impl<T: Evict> Drop for Region<T> {
    fn drop(&mut self) {
        // SAFETY: The helper must be called once, after the region was registered, which `new` has
        // done, and where sleeping is allowed, as it is where a value like this is dropped.
        unsafe { helpers::reeve_helper_dmem_unregister() };
    }
}

/// Passes the kernel's request to evict on to a `T`.
///
/// # Safety
///
/// `limit` must be null or a pool, and `data` point to a `T`, both valid during the call.
unsafe extern "C" fn evict<T: Evict>(limit: *mut Pool, bytes: u64, data: *mut c_void) -> i32 {
    // SAFETY: By the contract `data` points to a `T` that is valid during the call.
    let owner = unsafe { &*data.cast::<T>() };
    let Some(limit) = NonNull::new(limit) else {
        return 0;
    };
    // INVARIANT: By the contract the pool is valid until we return, and the borrow ends before.
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
    // SAFETY: The helper reads the cgroup of the current task under RCU, which it enters itself; it
    // may be called in any task context.
    cfg!(CONFIG_CGROUP_DMEM) && unsafe { helpers::reeve_helper_dmem_charges() }
}

/// A cgroup's limit that was hit.
///
/// # Invariants
///
/// We own a reference to the pool, which keeps it valid.
pub(crate) struct Limit(NonNull<Pool>);

impl Limit {
    /// Borrows it.
    pub(crate) fn as_ref(&self) -> LimitRef<'_> {
        // INVARIANT: Our reference keeps the pool valid, and we outlive the borrow.
        LimitRef(self.0, core::marker::PhantomData)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // SAFETY: The helper drops a reference that the caller owns: by the type invariant we own
        // one, and it is not used again.
        unsafe { helpers::reeve_helper_dmem_put(self.0.as_ptr()) };
    }
}

/// A borrowed [`Limit`].
///
/// # Invariants
///
/// The pool is valid for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct LimitRef<'a>(NonNull<Pool>, core::marker::PhantomData<&'a Pool>);

/// A search for charges whose eviction helps with a limit.
///
/// Charges that their cgroup protects (`dmem.low`) are skipped at first.
pub(crate) struct Search<'a> {
    limit: LimitRef<'a>,
    ignore_low: Cell<bool>,
    hit_low: Cell<bool>,
}

impl<'a> Search<'a> {
    /// Makes a search for `limit`, which skips protected charges.
    pub(crate) fn new(limit: LimitRef<'a>) -> Self {
        Self {
            limit,
            ignore_low: Cell::new(false),
            hit_low: Cell::new(false),
        }
    }

    /// Returns whether evicting what is charged to the cgroup of `charge` helps with the limit. Any context.
    pub(crate) fn includes(&self, charge: &Charge) -> bool {
        let mut hit_low = false;
        // SAFETY: The helper wants two valid pools: the limit is valid by its invariant, and that of a charge is for as
        // long as the charge, which is borrowed; and a place for its second result.
        let helps = unsafe {
            helpers::reeve_helper_dmem_may_evict(
                charge.pool.as_ptr(),
                self.limit.0.as_ptr(),
                self.ignore_low.get(),
                &mut hit_low,
            )
        };
        if hit_low {
            self.hit_low.set(true);
        }
        helps
    }

    /// Stops skipping protected charges. Returns whether some were skipped before, so that
    /// searching once more makes sense.
    pub(crate) fn goes_on(&self) -> bool {
        self.hit_low.take() && !self.ignore_low.replace(true)
    }
}

/// Why nothing was charged.
pub(crate) enum ChargeError {
    /// The charge would be above this limit.
    Over(Limit),
    /// Charging failed.
    Failed(Error),
}

/// Pages charged to a cgroup; dropping it uncharges them.
///
/// # Invariants
///
/// `bytes` are charged to `pool`, by a charge that only this value stands for and that keeps the
/// pool valid.
pub(crate) struct Charge {
    pool: NonNull<Pool>,
    bytes: u64,
}

// SAFETY: A charge belongs to a cgroup, not to a task: any task may uncharge it.
unsafe impl Send for Charge {}
// SAFETY: `&self` methods only compare the pointer, or pass it to the controller, which any tasks may call for
// one pool at the same time.
unsafe impl Sync for Charge {}

impl Charge {
    /// Charges pages to the cgroup of the current task. Returns `None` if there is no region that
    /// they could be charged to. May sleep.
    pub(crate) fn new(pages: u64) -> Result<Option<Self>, ChargeError> {
        let bytes = pages << PAGE_SHIFT;
        let mut pool = core::ptr::null_mut();
        let mut limit = core::ptr::null_mut();
        // SAFETY: The helper wants two places for a pointer, which it always fills. It may sleep,
        // as this function may.
        let ret = unsafe { helpers::reeve_helper_dmem_charge(bytes, &mut pool, &mut limit) };
        match (to_result(ret), NonNull::new(limit)) {
            // INVARIANT: The charge succeeded, and we alone know it.
            (Ok(()), _) => Ok(NonNull::new(pool).map(|pool| Self { pool, bytes })),
            // INVARIANT: With a failure the controller gives us a reference to the pool that was at
            // its limit.
            (Err(_), Some(limit)) => Err(ChargeError::Over(Limit(limit))),
            (Err(e), None) => Err(ChargeError::Failed(e)),
        }
    }
}

impl Charge {
    /// Returns whether both are charged to one cgroup.
    pub(crate) fn is_to_that_of(&self, other: &Self) -> bool {
        self.pool == other.pool
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // SAFETY: The helper undoes a charge of these bytes to this pool: by the type invariant
        // there is one that only we stand for, so that nothing else undoes it.
        unsafe { helpers::reeve_helper_dmem_uncharge(self.pool.as_ptr(), self.bytes) };
    }
}
