// SPDX-License-Identifier: GPL-2.0

// Lock-order tracking for Rust drivers: safe wrappers over reeve/lock_order.h, which documents each
// operation. A driver includes this file into a module of its own:
//
//     mod reeve {
//         include!(concat!(env!("REEVE_INCLUDE"), "/reeve/lock_order.rs"));
//     }
//
// `make ext` sets REEVE_INCLUDE and links with Reeve's exported symbols.
//
// A `Tracked` lock records itself; the functions of `Hierarchy` are for locks of other types.

use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::{
    error::from_err_ptr,
    ffi::{
        c_char,
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    str::CStr,
    sync::{
        lock::{
            self,
            Backend,
            Lock, //
        },
        Arc, //
    }, //
};

/// The lock is, or must be, held exclusively.
pub(crate) const EXCLUSIVE: u32 = 1 << 0;
/// The lock is, or must be, held shared.
pub(crate) const SHARED: u32 = 1 << 1;
/// Checks only: held in either mode.
#[allow(dead_code)]
pub(crate) const ANY: u32 = EXCLUSIVE | SHARED;
/// The lock was taken without waiting: its order cannot deadlock.
#[allow(dead_code)]
pub(crate) const TRYLOCK: u32 = 1 << 2;
/// Unlock: deeper locks may still be held.
#[allow(dead_code)]
pub(crate) const OUT_OF_ORDER: u32 = 1 << 3;
/// Lock: it is about to be waited for, see [`Hierarchy::record_acquired`].
#[allow(dead_code)]
pub(crate) const WAITING: u32 = 1 << 4;

/// A thread's first record gives it a context, which it need not enter.
#[allow(dead_code)]
pub(crate) const AUTOMATIC: u32 = 1 << 0;
/// Not even a kernel thread's first record does.
#[allow(dead_code)]
pub(crate) const STRICT: u32 = 1 << 1;

/// Of an order: waiting for its locks may sleep.
#[allow(dead_code)]
pub(crate) const SLEEPS: u32 = 1 << 0;
/// Of an order: nothing may sleep while one of its locks is held.
#[allow(dead_code)]
pub(crate) const SPINS: u32 = 1 << 1;
/// Of an order: handlers of hard interrupts take its locks, so all do with interrupts off.
#[allow(dead_code)]
pub(crate) const IRQ_SAFE: u32 = 1 << 2;
/// Of an order: a reader may take its lock once more.
#[allow(dead_code)]
pub(crate) const RECURSIVE: u32 = 1 << 3;

/// The C side, as reeve/lock_order.h declares it.
pub(crate) mod sys {
    use super::*;

    /// `struct reeve_hierarchy`, opaque.
    #[repr(C)]
    pub(crate) struct Hierarchy([u8; 0]);

    /// `struct reeve_thread_context`.
    #[repr(C)]
    pub(crate) struct ThreadContext([u64; 4]);

    extern "C" {
        pub(crate) fn reeve_hierarchy_register_flags(
            name: *const c_char,
            order_names: *const *const c_char,
            count: c_uint,
            flags: c_uint,
        ) -> *mut Hierarchy;
        pub(crate) fn reeve_hierarchy_unregister(h: *mut Hierarchy) -> c_int;
        pub(crate) fn reeve_hierarchy_forget(h: *mut Hierarchy) -> c_int;
        pub(crate) fn reeve_hierarchy_set_attributes(
            h: *mut Hierarchy,
            order: c_uint,
            flags: c_uint,
        ) -> c_int;
        pub(crate) fn reeve_hierarchy_set_any_order(
            h: *mut Hierarchy,
            order: c_uint,
            while_held: c_uint,
        ) -> c_int;
        pub(crate) fn reeve_hierarchy_set_before(
            h: *mut Hierarchy,
            other: *const c_char,
            order: c_uint,
        ) -> c_int;
        pub(crate) fn reeve_hierarchy_set_after(
            h: *mut Hierarchy,
            order: c_uint,
            other: *const c_char,
        ) -> c_int;
        pub(crate) fn reeve_record_wait(
            h: *mut Hierarchy,
            what: *const c_void,
            order: c_uint,
        ) -> bool;
        pub(crate) fn reeve_record_handover(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
        ) -> bool;
        pub(crate) fn reeve_record_adopt(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
        ) -> bool;
        pub(crate) fn reeve_check_no_locks_freed(start: *const c_void, len: usize) -> bool;
        pub(crate) fn reeve_thread_has_context() -> bool;
        pub(crate) fn reeve_hierarchy_add_rule(
            h: *mut Hierarchy,
            order: c_uint,
            while_held: c_uint,
            mode_flags: c_uint,
            unless_held: c_uint,
        ) -> c_int;
        pub(crate) fn reeve_hierarchy_set_nestable(h: *mut Hierarchy, order: c_uint) -> c_int;
        pub(crate) fn reeve_record_lock_keyed(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
            flags: c_uint,
            key: u64,
        ) -> bool;
        pub(crate) fn reeve_record_lock(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
            flags: c_uint,
        ) -> bool;
        pub(crate) fn reeve_record_unlock(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
            flags: c_uint,
        ) -> bool;
        pub(crate) fn reeve_record_downgrade(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
        ) -> bool;
        pub(crate) fn reeve_check_locked(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
            flags: c_uint,
        ) -> bool;
        pub(crate) fn reeve_record_acquired(
            h: *mut Hierarchy,
            lock: *const c_void,
            order: c_uint,
        ) -> bool;
        pub(crate) fn reeve_check_lockable_order(
            h: *mut Hierarchy,
            order: c_uint,
            flags: c_uint,
        ) -> bool;
        pub(crate) fn reeve_check_unlocked_order(h: *mut Hierarchy, order: c_uint) -> bool;
        pub(crate) fn reeve_check_all_unlocked(h: *mut Hierarchy) -> bool;
        pub(crate) fn reeve_thread_context_save(ctx: *mut ThreadContext) -> bool;
        pub(crate) fn reeve_thread_context_restore(ctx: *mut ThreadContext) -> bool;
        pub(crate) fn reeve_tracking_disable() -> bool;
        pub(crate) fn reeve_tracking_enable() -> bool;
        pub(crate) fn reeve_thread_context_enter(ctx: *mut ThreadContext) -> bool;
        pub(crate) fn reeve_thread_context_enter_deep(ctx: *mut ThreadContext) -> bool;
        pub(crate) fn reeve_thread_context_leave(ctx: *mut ThreadContext) -> bool;
    }
}

/// A registered hierarchy of lock orders; dropping it ends it, whatever is held. See
/// `reeve_hierarchy_forget()`.
///
/// # Invariants
///
/// The pointer came from `reeve_hierarchy_register_flags()` and was not unregistered.
pub(crate) struct Hierarchy(*mut sys::Hierarchy);

// SAFETY: The C API may be called from any thread.
unsafe impl Send for Hierarchy {}
// SAFETY: The C API may be called from any number of threads at once.
unsafe impl Sync for Hierarchy {}

#[allow(dead_code)]
impl Hierarchy {
    /// Registers a hierarchy with these orders, outermost (order 1) first. May sleep.
    pub(crate) fn register(name: &CStr, orders: &[&CStr]) -> Result<Self> {
        Self::register_with(name, orders, 0)
    }

    /// The same; [`AUTOMATIC`] or [`STRICT`] says who has to enter a context. See
    /// `reeve_hierarchy_register_flags()`.
    pub(crate) fn register_with(name: &CStr, orders: &[&CStr], flags: u32) -> Result<Self> {
        let mut names = KVec::with_capacity(orders.len(), GFP_KERNEL)?;
        for order in orders {
            names.push(order.as_char_ptr(), GFP_KERNEL)?;
        }
        let count = c_uint::try_from(names.len())?;
        // SAFETY: A string and an array of `count` strings, which are copied.
        let h = unsafe {
            sys::reeve_hierarchy_register_flags(name.as_char_ptr(), names.as_ptr(), count, flags)
        };
        // INVARIANT: Registered just now.
        from_err_ptr(h).map(Self)
    }

    /// Says what kind the locks of `order` are: [`SLEEPS`], [`SPINS`], [`IRQ_SAFE`], [`RECURSIVE`].
    pub(crate) fn set_attributes(&self, order: u32, flags: u32) -> Result {
        // SAFETY: The hierarchy is registered, by the type invariant; any numbers are checked.
        kernel::error::to_result(unsafe {
            sys::reeve_hierarchy_set_attributes(self.0, order, flags)
        })
    }

    /// Lets locks of `order` be taken in any order, and several, while one of `while_held` is held
    /// exclusively.
    pub(crate) fn set_any_order(&self, order: u32, while_held: u32) -> Result {
        // SAFETY: The hierarchy is registered, by the type invariant; any numbers are checked.
        kernel::error::to_result(unsafe {
            sys::reeve_hierarchy_set_any_order(self.0, order, while_held)
        })
    }

    /// Says that all locks of this hierarchy come before those of `order` and deeper ones of the
    /// hierarchy named `other`. See `reeve_hierarchy_set_before()` for the errors. May sleep.
    pub(crate) fn set_before(&self, other: &CStr, order: u32) -> Result {
        // SAFETY: The hierarchy is registered, by the type invariant; a string, and any number is checked.
        kernel::error::to_result(unsafe {
            sys::reeve_hierarchy_set_before(self.0, other.as_char_ptr(), order)
        })
    }

    /// Says that all locks of the hierarchy named `other` come before those of `order` and deeper ones of
    /// this one. See `reeve_hierarchy_set_after()` for the errors. May sleep.
    pub(crate) fn set_after(&self, order: u32, other: &CStr) -> Result {
        // SAFETY: The hierarchy is registered, by the type invariant; a string, and any number is checked.
        kernel::error::to_result(unsafe {
            sys::reeve_hierarchy_set_after(self.0, order, other.as_char_ptr())
        })
    }

    /// Records that another thread is going to release this lock. Returns `false` if this one does not
    /// hold it.
    pub(crate) fn record_handover<T>(&self, lock: &T, order: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_handover(self.0, address(lock), order) }
    }

    /// Records that this thread holds a lock now that another one took. Returns `false` if it was not
    /// handed over.
    pub(crate) fn record_adopt<T>(&self, lock: &T, order: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_adopt(self.0, address(lock), order) }
    }

    /// Records that something is about to be waited for that is no lock. Returns `false` if what is held
    /// forbids that.
    pub(crate) fn record_wait<T>(&self, what: &T, order: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_wait(self.0, address(what), order) }
    }

    /// Forbids `order` while `while_held` is held in `mode`, unless `unless_held` (0: none) is too.
    pub(crate) fn add_rule(
        &self,
        order: u32,
        while_held: u32,
        mode: u32,
        unless_held: u32,
    ) -> Result {
        // SAFETY: The hierarchy is registered, by the type invariant; any numbers are checked.
        kernel::error::to_result(unsafe {
            sys::reeve_hierarchy_add_rule(self.0, order, while_held, mode, unless_held)
        })
    }

    /// Lets several locks of `order` be held, by ascending key: the address, or what
    /// [`record_lock_keyed`](Self::record_lock_keyed) is told.
    pub(crate) fn set_nestable(&self, order: u32) -> Result {
        // SAFETY: The hierarchy is registered, by the type invariant; any numbers are checked.
        kernel::error::to_result(unsafe { sys::reeve_hierarchy_set_nestable(self.0, order) })
    }

    /// Records that a lock nested by `key` was, or is about to be, taken. Returns `false` if that was a
    /// violation.
    #[inline(always)]
    pub(crate) fn record_lock_keyed<T>(&self, lock: &T, order: u32, flags: u32, key: u64) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_lock_keyed(self.0, address(lock), order, flags, key) }
    }

    /// Records that a lock was, or is about to be, taken. Returns `false` if that was a violation.
    #[inline(always)]
    pub(crate) fn record_lock<T>(&self, lock: &T, order: u32, flags: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_lock(self.0, address(lock), order, flags) }
    }

    /// Records that a lock is about to be released. Returns `false` if that is a violation.
    #[inline(always)]
    pub(crate) fn record_unlock<T>(&self, lock: &T, order: u32, flags: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_unlock(self.0, address(lock), order, flags) }
    }

    /// Records that an exclusive lock became a shared one. Returns `false` if it is not held
    /// exclusively.
    #[inline(always)]
    pub(crate) fn record_downgrade<T>(&self, lock: &T, order: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_downgrade(self.0, address(lock), order) }
    }

    /// Returns whether the thread holds the lock in this mode.
    #[inline(always)]
    pub(crate) fn check_locked<T>(&self, lock: &T, order: u32, flags: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_check_locked(self.0, address(lock), order, flags) }
    }

    /// Records that a lock that was recorded as [`WAITING`] is held now. Returns `false` if it was not
    /// recorded.
    #[inline(always)]
    pub(crate) fn record_acquired<T>(&self, lock: &T, order: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant; the address is only compared.
        unsafe { sys::reeve_record_acquired(self.0, address(lock), order) }
    }

    /// Reports it unless the thread holds the lock, in either mode. See `reeve_assert_held()`.
    #[inline(always)]
    pub(crate) fn assert_held<T>(&self, lock: &T, order: u32) {
        self.check_locked(lock, order, ANY);
    }

    /// Returns whether a lock of this order could be taken now; [`TRYLOCK`]: by a trylock.
    pub(crate) fn check_lockable_order(&self, order: u32, flags: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant.
        unsafe { sys::reeve_check_lockable_order(self.0, order, flags) }
    }

    /// Returns whether the thread holds no lock of this order.
    pub(crate) fn check_unlocked_order(&self, order: u32) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant.
        unsafe { sys::reeve_check_unlocked_order(self.0, order) }
    }

    /// Returns whether the thread holds nothing of this hierarchy.
    pub(crate) fn check_all_unlocked(&self) -> bool {
        // SAFETY: The hierarchy is registered, by the type invariant.
        unsafe { sys::reeve_check_all_unlocked(self.0) }
    }
}

#[allow(dead_code)]
impl Hierarchy {
    /// Ends the hierarchy, unless a lock of it is held: that is reported, and it is given back with
    /// EBUSY. May sleep.
    pub(crate) fn unregister(self) -> core::result::Result<(), (Error, Self)> {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: The hierarchy is registered, by the type invariant.
        let result = unsafe { sys::reeve_hierarchy_unregister(this.0) };
        // INVARIANT: It stays registered if that failed; otherwise it is not dropped.
        kernel::error::to_result(result)
            .map_err(|error| (error, core::mem::ManuallyDrop::into_inner(this)))
    }
}

/// Returns whether no lock is held that lies in this memory, by whichever thread; otherwise one is
/// reported. See `reeve_check_no_locks_freed()`.
#[allow(dead_code)]
pub(crate) fn check_no_locks_freed<T>(memory: &T) -> bool {
    // SAFETY: The addresses are only compared.
    unsafe { sys::reeve_check_no_locks_freed(address(memory), core::mem::size_of::<T>()) }
}

/// Returns whether what the calling thread does is recorded.
#[allow(dead_code)]
pub(crate) fn has_context() -> bool {
    // SAFETY: The function may be called by any thread.
    unsafe { sys::reeve_thread_has_context() }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        // SAFETY: The hierarchy is registered, by the type invariant. If a thread still holds a lock of
        // it, that is reported and forgotten.
        unsafe { sys::reeve_hierarchy_forget(self.0) };
    }
}

fn address<T>(lock: &T) -> *const c_void {
    core::ptr::from_ref(lock).cast()
}

/// Runs `f` with a context for the calling thread; nests.
pub(crate) fn with_context<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: The function accepts what `with_entered` passes to it.
    with_entered(f, |ctx| unsafe { sys::reeve_thread_context_enter(ctx) })
}

/// The same, with room for 256 locks. May sleep.
#[allow(dead_code)]
pub(crate) fn with_deep_context<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: The function accepts what `with_entered` passes to it.
    with_entered(f, |ctx| unsafe {
        sys::reeve_thread_context_enter_deep(ctx)
    })
}

/// Runs `f` after `enter`, which gets memory that is valid until after the leave, and enters with it.
#[inline(always)]
fn with_entered<R>(
    f: impl FnOnce() -> R,
    enter: impl FnOnce(*mut sys::ThreadContext) -> bool,
) -> R {
    struct Leave(*mut sys::ThreadContext);
    impl Drop for Leave {
        fn drop(&mut self) {
            // SAFETY: Entered below, by this thread.
            unsafe { sys::reeve_thread_context_leave(self.0) };
        }
    }

    let mut memory = core::mem::MaybeUninit::<sys::ThreadContext>::uninit();
    let leave = Leave(memory.as_mut_ptr());
    // `memory` stays in place until `leave` is dropped, before it.
    enter(leave.0);
    f()
}

/// Runs `f` with what the thread holds put aside, as for a call that may take any lock; then the
/// thread holds it again. Returns `None`, and does not run `f`, without a context.
#[allow(dead_code)]
#[inline(never)]
pub(crate) fn with_saved_context<R>(f: impl FnOnce() -> R) -> Option<R> {
    struct Restore(*mut sys::ThreadContext);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: Filled by the save below, by this thread.
            unsafe { sys::reeve_thread_context_restore(self.0) };
        }
    }

    let mut memory = core::mem::MaybeUninit::<sys::ThreadContext>::uninit();
    // SAFETY: `memory` is valid for writes and no thread's context.
    if !unsafe { sys::reeve_thread_context_save(memory.as_mut_ptr()) } {
        return None;
    }
    let _restore = Restore(memory.as_mut_ptr());
    Some(f())
}

/// Runs `f` without recording or checking anything in this thread; nests.
#[allow(dead_code)]
pub(crate) fn without_tracking<R>(f: impl FnOnce() -> R) -> R {
    struct Enable(bool);
    impl Drop for Enable {
        fn drop(&mut self) {
            if self.0 {
                // SAFETY: The function may be called by any thread.
                unsafe { sys::reeve_tracking_enable() };
            }
        }
    }

    // SAFETY: The function may be called by any thread.
    let _enable = Enable(unsafe { sys::reeve_tracking_disable() });
    f()
}

/// A lock of the `kernel` crate that records itself: `Tracked<Mutex<T>, ORDER>`,
/// `Tracked<SpinLock<T>, ORDER>`.
///
/// A lock that is free is taken and recorded. One that is not is recorded as waited for first, so a
/// wrong order is reported even if the thread never comes back.
#[pin_data]
pub(crate) struct Tracked<L, const ORDER: u32> {
    hierarchy: Arc<Hierarchy>,
    #[pin]
    lock: L,
}

#[allow(dead_code)]
impl<T, B: Backend, const ORDER: u32> Tracked<Lock<T, B>, ORDER> {
    /// Makes a tracked lock of what `new_mutex!` and the like give. The hierarchy stays registered
    /// as long as there is such a lock.
    pub(crate) fn new(
        hierarchy: Arc<Hierarchy>,
        lock: impl PinInit<Lock<T, B>>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            hierarchy,
            lock <- lock,
        })
    }

    /// Takes the lock, waiting for it.
    #[inline(always)]
    pub(crate) fn lock(&self) -> TrackedGuard<'_, T, B, ORDER> {
        // Lockdep learns no order from a trylock.
        if !cfg!(CONFIG_LOCKDEP) {
            if let Some(inner) = self.lock.try_lock() {
                self.hierarchy.record_lock(self, ORDER, EXCLUSIVE);
                return TrackedGuard { inner, lock: self };
            }
        }
        self.hierarchy.record_lock(self, ORDER, EXCLUSIVE | WAITING);
        let inner = self.lock.lock();
        self.hierarchy.record_acquired(self, ORDER);
        TrackedGuard { inner, lock: self }
    }

    /// Takes the lock if that needs no waiting; otherwise nothing is recorded.
    #[inline(always)]
    #[must_use = "if unused, the lock will be immediately unlocked"]
    pub(crate) fn try_lock(&self) -> Option<TrackedGuard<'_, T, B, ORDER>> {
        let inner = self.lock.try_lock()?;
        self.hierarchy.record_lock(self, ORDER, EXCLUSIVE | TRYLOCK);
        Some(TrackedGuard { inner, lock: self })
    }

    /// Reports it unless the thread holds the lock.
    #[inline(always)]
    pub(crate) fn assert_held(&self) {
        self.hierarchy.assert_held(self, ORDER);
    }
}

/// Holds a [`Tracked`] lock; dropping it, by an early return too, unrecords and unlocks.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub(crate) struct TrackedGuard<'a, T, B: Backend, const ORDER: u32> {
    inner: lock::Guard<'a, T, B>,
    lock: &'a Tracked<Lock<T, B>, ORDER>,
}

impl<T, B: Backend, const ORDER: u32> Drop for TrackedGuard<'_, T, B, ORDER> {
    #[inline(always)]
    fn drop(&mut self) {
        // `inner`, dropped next, unlocks.
        let lock = self.lock;
        lock.hierarchy.record_unlock(lock, ORDER, EXCLUSIVE);
    }
}

impl<T, B: Backend, const ORDER: u32> Deref for TrackedGuard<'_, T, B, ORDER> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Unpin, B: Backend, const ORDER: u32> DerefMut for TrackedGuard<'_, T, B, ORDER> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
