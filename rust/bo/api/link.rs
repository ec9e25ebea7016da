// SPDX-License-Identifier: GPL-2.0

//! What an object has of its driver, and how that is called.
//!
//! It is called in process context, with no spinlock held. What is behind what the driver gave for an object stays until
//! [`Link::released`].

use crate::{
    abstractions::bindings,
    bo::driver::{
        Leaving,
        Wait, //
    }, //
};
use kernel::{
    error::to_result,
    ffi::c_void,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        barrier::smp_mb,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// A driver, as one of its devices has registered it.
///
/// # Invariants
///
/// Until the device is unregistered, `ops` has what the driver gave for it: functions that may be called
/// with what it gave for an object, unless `orphaned` is set; and, if it is set, while `running` counts a
/// call that began before.
pub(in crate::bo) struct DriverOps {
    name: CString,
    ops: bindings::reeve_device_ops,
    /// Where it was registered; 0: by code that is gone since, for it ran once only.
    site: Atomic<usize>,
    /// The module of which that code was, then; else 0.
    module: Atomic<usize>,
    /// Calls of ops.
    running: Atomic<u64>,
    /// 1: the driver is gone.
    orphaned: Atomic<u64>,
    /// 1: lockdep knows what is taken in its `evict_begin()`.
    primed: Atomic<u32>,
}

// SAFETY: A table of functions belongs to no task.
unsafe impl Send for DriverOps {}
// SAFETY: Nothing is written to it.
unsafe impl Sync for DriverOps {}

impl DriverOps {
    /// Makes one that was registered at `site`.
    ///
    /// # Safety
    ///
    /// The functions in `ops` may be called, as `bo.h` says, until the device is unregistered.
    pub(super) unsafe fn new(name: CString, ops: bindings::reeve_device_ops, site: usize) -> Self {
        // INVARIANT: By the contract the functions may be called.
        Self {
            name,
            ops,
            site: Atomic::new(site),
            module: Atomic::new(0),
            running: Atomic::new(0),
            orphaned: Atomic::new(0),
            primed: Atomic::new(0),
        }
    }

    /// Returns where it was registered, or, if that is gone, what it has else of its driver.
    pub(super) fn site(&self) -> usize {
        match self.site.load(Relaxed) {
            0 => self.places().flatten().next().unwrap_or(0),
            site => site,
        }
    }

    /// Returns where the driver's code is.
    fn places(&self) -> impl Iterator<Item = Option<usize>> {
        let ops = &self.ops;
        [
            ops.evict_begin.map(|op| op as usize),
            ops.evict_abort.map(|op| op as usize),
            ops.release.map(|op| op as usize),
            ops.lock.map(|op| op as usize),
            ops.trylock.map(|op| op as usize),
            ops.unlock.map(|op| op as usize),
            ops.is_held.map(|op| op as usize),
        ]
        .into_iter()
    }

    /// Remembers `module` instead of where the device was registered, if that was in what is about to be freed.
    ///
    /// # Safety
    ///
    /// `module` must be valid.
    pub(super) unsafe fn module_live(&self, module: *mut kernel::bindings::module) {
        let site = self.site.load(Relaxed);
        // SAFETY: The helper compares an address with those of a valid module.
        if site != 0 && unsafe { bindings::reeve_helper_within_init(module, site) } {
            self.module.store(module.expose_provenance(), Relaxed);
            self.site.store(0, Relaxed);
        }
    }

    /// Returns its name.
    pub(super) fn name(&self) -> &CStr {
        &self.name
    }

    /// Returns whether it was registered by the code of `module`, or has ops there.
    ///
    /// # Safety
    ///
    /// `module` must be valid.
    pub(super) unsafe fn is_of(&self, module: *mut kernel::bindings::module) -> bool {
        if self.module.load(Relaxed) == module.addr() {
            return true;
        }
        let is_in = |place: usize| {
            // SAFETY: The helper compares an address with those of a valid module.
            unsafe { bindings::reeve_helper_within(module, place) }
        };
        let site = self.site.load(Relaxed);
        site != 0 && is_in(site) || self.places().flatten().any(is_in)
    }

    /// Ends the use of its ops, for the driver goes: its objects stay as they are. Waits for those that
    /// run. May sleep.
    pub(super) fn orphan(&self) {
        self.orphaned.store(1, Relaxed);
        smp_mb(Full);
        while self.running.load(Acquire) != 0 {
            fsleep(Delta::from_millis(1));
        }
    }

    #[inline]
    fn is_orphaned(&self) -> bool {
        self.orphaned.load(Relaxed) != 0
    }

    /// Calls one of the ops with `call`. `None`: the driver is gone.
    #[inline]
    fn op<R>(&self, call: impl FnOnce(&bindings::reeve_device_ops) -> R) -> Option<R> {
        self.running.fetch_add(1u64, Full);
        let result = match self.orphaned.load(Relaxed) {
            0 => Some(call(&self.ops)),
            _ => None,
        };
        self.running.fetch_sub(1u64, Full);
        result
    }

    /// Returns whether the driver has a lock of its own for objects.
    #[inline]
    pub(super) fn has_lock(&self) -> bool {
        self.ops.lock.is_some()
    }
}

/// Runs `f`, which lockdep takes to be run by reclaim.
pub(super) fn as_reclaim(f: impl FnOnce()) {
    // SAFETY: The helper tells lockdep something, which is undone below. May sleep.
    unsafe { bindings::reeve_helper_prime_reclaim_begin() };
    f();
    // SAFETY: It was begun above.
    unsafe { bindings::reeve_helper_prime_reclaim_end() };
}

/// Set in [`Link::user`] while the task is in a call about the object, or in an op for it.
const INSIDE: usize = 1;

/// An object as its driver knows it.
pub(in crate::bo) struct Link {
    driver: Arc<DriverOps>,
    /// The task that has locked the object, with or without [`INSIDE`]; 0: none. For a lock of the driver's:
    /// the task that is in a call, or 0.
    user: Atomic<usize>,
    private: usize,
    handle: u64,
    /// How often it is mapped for the kernel, and where. Changed with the object reserved.
    vmaps: Atomic<u64>,
    address: Atomic<usize>,
}

/// Who uses an object.
#[derive(PartialEq, Eq)]
pub(super) enum User {
    /// The current task, which has locked it.
    Caller,
    /// The current task, in an op for the object.
    Op,
    /// Another task, or none.
    Other,
}

/// Returns what identifies the current task.
fn current() -> usize {
    // SAFETY: The helper returns an address, in any context.
    unsafe { bindings::reeve_helper_current() }
}

impl Link {
    /// Makes one of an object that is to have `handle`.
    #[inline]
    pub(in crate::bo) fn new(driver: Arc<DriverOps>, handle: u64, private: usize) -> Self {
        Self {
            driver,
            private,
            handle,
            user: Atomic::new(0),
            vmaps: Atomic::new(0),
            address: Atomic::new(0),
        }
    }

    /// Returns its driver.
    #[inline]
    pub(super) fn driver(&self) -> &DriverOps {
        &self.driver
    }

    /// Returns who uses the object, as `task`, the current one, sees it.
    #[inline]
    pub(super) fn user(&self, task: usize) -> User {
        let user = self.user.load(Relaxed);
        if user == task {
            User::Caller
        } else if user == task | INSIDE {
            User::Op
        } else {
            User::Other
        }
    }

    /// `task`, the current one, has locked the object from now on; 0: none has.
    #[inline]
    pub(super) fn set_user(&self, task: usize) {
        self.user.store(task, Relaxed);
    }

    /// Begins what may have ops called, for which the object is reserved by `task`, the current one. Returns what is to
    /// be passed to [`Link::leave`].
    #[inline]
    pub(super) fn enter(&self, task: usize) -> usize {
        let before = self.user.load(Relaxed);
        self.begin(task);
        before
    }

    /// Begins the same, for a task that has locked the object.
    #[inline]
    pub(super) fn begin(&self, task: usize) {
        self.user.store(task | INSIDE, Relaxed);
    }

    /// Ends what [`Link::enter`] began.
    #[inline]
    pub(super) fn leave(&self, before: usize) {
        self.user.store(before, Relaxed);
    }

    /// Runs `f`, which is one of the ops.
    fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.enter(current());
        let result = f();
        self.leave(before);
        result
    }

    /// With lockdep asks the driver once as reclaim would, when the first object of a device has pages: so that a
    /// lock that it takes then, and allocates under elsewhere, is reported before memory is short. The object is
    /// reserved, with the driver's own lock outside of that, which lockdep sees by this, and keeps its pages.
    pub(super) fn prime_eviction(&self) {
        if !cfg!(CONFIG_LOCKDEP) || self.driver.primed.load(Relaxed) != 0 {
            return;
        }
        self.driver.primed.store(1, Relaxed);
        as_reclaim(|| {
            if self.evict_begin(Leaving::Kept, Wait::No).is_ok() {
                self.evict_abort();
            }
        });
    }

    /// Returns whether the driver's own lock is held.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        let is_held = self.driver.op(|ops| match ops.is_held {
            // SAFETY: By the invariant of `DriverOps` it may be called with what the driver gave.
            Some(is_held) => unsafe { is_held(self.private()) },
            None => false,
        });
        is_held.unwrap_or(false)
    }

    fn private(&self) -> *mut c_void {
        core::ptr::with_exposed_provenance_mut(self.private)
    }

    fn pointer(&self) -> *mut bindings::reeve_buffer_object {
        core::ptr::without_provenance_mut(self.handle as usize)
    }

    /// Counts a mapping for the kernel, at `new` if it is the first. Returns where it is; null: nowhere.
    pub(super) fn vmap(&self, new: *mut c_void) -> *mut c_void {
        if self.vmaps.load(Relaxed) == 0 {
            if new.is_null() {
                return new;
            }
            self.address.store(new.expose_provenance(), Relaxed);
        }
        self.vmaps.add(1u64, Relaxed);
        core::ptr::with_exposed_provenance_mut(self.address.load(Relaxed))
    }

    /// Counts a mapping less. Returns what is to be unmapped, or null. `None`: it is not mapped.
    pub(super) fn vunmap(&self) -> Option<*mut c_void> {
        let vmaps = self.vmaps.load(Relaxed);
        self.vmaps.store(vmaps.checked_sub(1)?, Relaxed);
        let address = if vmaps == 1 {
            self.address.load(Relaxed)
        } else {
            0
        };
        Some(core::ptr::with_exposed_provenance_mut(address))
    }

    /// Returns whether it is mapped for the kernel.
    #[inline]
    pub(super) fn is_vmapped(&self) -> bool {
        self.vmaps.load(Relaxed) != 0
    }

    /// Asks for the pages: afterwards the driver does not use them any more. The object is reserved.
    ///
    /// Returns an error if they are in use; then the object stays as it is, in its place in the LRU.
    ///
    /// C original: `move_notify()` and `ttm_bo_wait_ctx()`.
    #[inline]
    pub(in crate::bo) fn evict_begin(&self, leaving: Leaving, wait: Wait) -> Result {
        // A driver that can't be asked is in the way only if it is gone, or by mappings.
        if self.driver.ops.evict_begin.is_none() && !self.driver.is_orphaned() && !self.is_vmapped()
        {
            return Ok(());
        }
        self.ask(leaving, wait)
    }

    #[inline(never)]
    fn ask(&self, leaving: Leaving, wait: Wait) -> Result {
        let mut flags = match leaving {
            Leaving::Kept => 0,
            Leaving::Dropped => bindings::REEVE_EVICT_DROP,
            Leaving::Final => bindings::REEVE_EVICT_DROP | bindings::REEVE_EVICT_FINAL,
        };
        if wait == Wait::No {
            flags |= bindings::REEVE_EVICT_NOWAIT;
        }
        let asked = self.driver.op(|ops| match ops.evict_begin {
            None => Ok(()),
            Some(evict_begin) => {
                let (bo, private) = (self.pointer(), self.private());
                // SAFETY: By the invariant of `DriverOps` it may be called with what the driver gave.
                let refused = self.inside(|| unsafe { evict_begin(bo, private, flags) });
                // Its errno is the driver's affair: it is not that of a wait of ours, or of our memory.
                to_result(if refused == 0 { 0 } else { EBUSY.to_errno() })
            }
        });
        // Pages that the device of a driver that is gone may use stay.
        asked.unwrap_or(Err(EBUSY))?;
        if !self.is_vmapped() {
            return Ok(());
        }
        if leaving == Leaving::Final {
            self.vmaps.store(1, Relaxed);
            if let Some(address) = self.vunmap() {
                // SAFETY: The helper wants an address that `vmap()` returned, which it is, and which is
                // not used any more: the object has no users.
                unsafe { bindings::reeve_helper_vunmap(address) };
            }
            return Ok(());
        }
        self.evict_abort();
        Err(EBUSY)
    }

    /// Tells that the pages stay after all. The object is reserved.
    pub(in crate::bo) fn evict_abort(&self) {
        self.driver.op(|ops| {
            if let Some(evict_abort) = ops.evict_abort {
                let (bo, private) = (self.pointer(), self.private());
                // SAFETY: By the invariant of `DriverOps` it may be called with what the driver gave.
                self.inside(|| unsafe { evict_abort(bo, private) });
            }
        });
    }

    /// Takes the driver's own lock if that needs no waiting; `true` also if it has none.
    pub(in crate::bo) fn try_lock(&self) -> bool {
        let locked = self.driver.op(|ops| match ops.trylock {
            // SAFETY: By the invariant of `DriverOps` it may be called with what the driver gave.
            Some(trylock) => unsafe { trylock(self.private()) },
            None => true,
        });
        locked.unwrap_or(false)
    }

    /// Takes the driver's own lock, if it has one. Returns `EINTR` if a fatal signal arrived before, or
    /// `EBUSY` if the driver is gone. May sleep.
    pub(in crate::bo) fn lock(&self) -> Result {
        let locked = self.driver.op(|ops| match ops.lock {
            // SAFETY: By the invariant of `DriverOps` it may be called with what the driver gave.
            Some(lock) => to_result(unsafe { lock(self.private()) }).map_err(|_| EINTR),
            None => Ok(()),
        });
        locked.unwrap_or(Err(EBUSY))
    }

    /// Releases what [`Link::try_lock`] or [`Link::lock`] took.
    pub(in crate::bo) fn unlock(&self) {
        self.driver.op(|ops| {
            if let Some(unlock) = ops.unlock {
                // SAFETY: By the invariant of `DriverOps` it may be called with what the driver gave.
                unsafe { unlock(self.private()) };
            }
        });
    }

    /// Tells that the object is destroyed: this is the last call.
    #[inline]
    pub(in crate::bo) fn released(&self) {
        if self.driver.ops.release.is_some() {
            self.tell_released();
        }
    }

    #[inline(never)]
    fn tell_released(&self) {
        self.driver.op(|ops| {
            if let Some(release) = ops.release {
                // SAFETY: By the invariant of `DriverOps` it may be called with what the driver gave.
                unsafe { release(self.private()) };
            }
        });
    }
}
