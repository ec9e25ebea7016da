// SPDX-License-Identifier: GPL-2.0

//! The C API of lock-order tracking, as the module itself uses it.
//!
//! Going through the exported functions costs a jump and buys that our own locks are tracked by
//! just what other drivers get.

use crate::{
    abstractions::bindings,
    lock_order::{
        hierarchy::Hierarchy,
        rules::plain::pack_plain, //
    }, //
};
use core::mem::MaybeUninit;
use kernel::prelude::*;

#[inline(always)]
fn handle(hierarchy: &'static Hierarchy) -> *mut bindings::reeve_hierarchy {
    let handle = match Hierarchy::first() {
        // Known at compile time: it is of the first generation.
        first if core::ptr::eq(first, hierarchy) => core::ptr::from_ref(first).expose_provenance(),
        _ => hierarchy.handle(),
    };
    core::ptr::with_exposed_provenance_mut(handle)
}

/// Whether tracking is switched on: a jump that is patched, not a load.
///
/// The C API asks as well; asking here spares the call.
#[inline(always)]
pub(crate) fn is_tracking() -> bool {
    // SAFETY: A static key that C defines.
    !unsafe {
        kernel::jump_label::static_branch_unlikely!(
            bindings::reeve_switch,
            bindings::reeve_switch,
            off
        )
    }
}

/// Declares safe functions over C functions that accept any arguments.
macro_rules! safe {
    ($($(#[$meta:meta])* $name:ident = $c:ident($($arg:ident: $ty:ty),*);)*) => {
        $(
            $(#[$meta])*
            #[inline(always)]
            pub(crate) fn $name(h: &'static Hierarchy, $($arg: $ty),*) -> bool {
                // SAFETY: `h` is a slot of the table; the lock's address is never dereferenced,
                // and orders and flags are checked.
                unsafe { bindings::$c(handle(h), $($arg),*) }
            }
        )*
    };
}

type Lock = *const kernel::ffi::c_void;

safe! {
    /// See `reeve_record_lock()`.
    record_lock = reeve_record_lock(lock: Lock, order: u32, flags: u32);
    /// See `reeve_record_unlock()`.
    record_unlock = reeve_record_unlock(lock: Lock, order: u32, flags: u32);
    /// The same, for a use that [`packed`] packed.
    record_lock_plain = reeve_record_lock_plain(lock: Lock, packed: u32);
    /// The same as a trylock, for a use that [`packed`] packed.
    record_trylock_plain = reeve_record_trylock_plain(lock: Lock, packed: u32);
    /// The same, for a use that [`packed`] packed.
    record_unlock_plain = reeve_record_unlock_plain(lock: Lock, packed: u32);
    /// See `reeve_record_downgrade()`.
    record_downgrade = reeve_record_downgrade(lock: Lock, order: u32);
    /// See `reeve_record_acquired()`.
    record_acquired = reeve_record_acquired(lock: Lock, order: u32);
    /// See `reeve_check_locked()`.
    check_locked = reeve_check_locked(lock: Lock, order: u32, flags: u32);
    /// See `reeve_check_lockable_order()`.
    check_lockable_order = reeve_check_lockable_order(order: u32, flags: u32);
    /// See `reeve_check_unlocked_order()`.
    check_unlocked_order = reeve_check_unlocked_order(order: u32);
    /// See `reeve_check_all_unlocked()`.
    check_all_unlocked = reeve_check_all_unlocked();
}

/// An order and a mode that are known at compile time, in the form that costs least.
pub(crate) const fn packed(order: u32, mode: u32) -> u32 {
    match pack_plain(order, mode) {
        Some(packed) => packed,
        None => panic!("not an order and a mode"),
    }
}

/// Runs `f` with a context for the calling thread; nests.
///
/// Every way into the module (ioctl, file operation, debugfs read, init, exit, test) goes through
/// here, because a lock recorded without a context is a violation.
#[inline]
pub(crate) fn with_context<R>(f: impl FnOnce() -> R) -> R {
    struct Leave(*mut bindings::reeve_thread_context);
    impl Drop for Leave {
        fn drop(&mut self) {
            // SAFETY: The pointer is what was passed to the enter, which was on this task: `Leave`
            // is a local of one call.
            unsafe { bindings::reeve_thread_context_leave(self.0) };
        }
    }

    let mut memory = MaybeUninit::<bindings::reeve_thread_context>::uninit();
    let leave = Leave(memory.as_mut_ptr());
    // SAFETY: `memory` stays where it is, and nothing else touches it, until `leave` is dropped,
    // which is before `memory` is: locals are dropped in reverse.
    unsafe { bindings::reeve_thread_context_enter(leave.0) };
    f()
}

/// What a thread held, put aside. Dropping it gives it back.
pub(crate) struct SavedContext(KBox<MaybeUninit<bindings::reeve_thread_context>>);

impl SavedContext {
    /// Puts aside what the calling thread holds. May sleep. The result has to be dropped by the
    /// same thread.
    pub(crate) fn save() -> Result<Self> {
        let mut memory = KBox::<bindings::reeve_thread_context>::new_uninit(GFP_KERNEL)?;
        // SAFETY: The memory is valid for reads and writes. Without a context nothing is put aside.
        unsafe { bindings::reeve_thread_context_save(memory.as_mut_ptr()) };
        Ok(Self(memory))
    }
}

impl Drop for SavedContext {
    fn drop(&mut self) {
        // SAFETY: Filled by `save`.
        unsafe { bindings::reeve_thread_context_restore(self.0.as_mut_ptr()) };
    }
}

/// Forgets everything the calling thread holds, of whichever hierarchy.
pub(crate) fn forget_all() {
    // SAFETY: Accepts any state of the calling thread.
    unsafe { bindings::reeve_forget_all() };
}
