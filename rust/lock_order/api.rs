// SPDX-License-Identifier: GPL-2.0

//! The Rust half of the C API: what lock_order/api.c hands over to.
//!
//! Each record tries a fast path first; the complete operations, with their reports, are in
//! [`crate::lock_order::track`]. Each function's contract is documented with its C prototype in
//! `rust/include/reeve/lock_order.h`.

use super::{
    context::{
        self,
        Current, //
    },
    hierarchy::Hierarchy,
    rules::{
        flags,
        held::{
            HeldLocks,
            LockUse, //
        },
        plain::pack_plain, //
    }, //
};
use crate::{
    abstractions::bindings,
    lock_order::{
        rules::operation::Operation,
        trace,
        track::{
            self,
            Call, //
        }, //
    }, //
};
use core::ptr::NonNull;
use kernel::ffi::{
    c_char,
    c_int,
    c_uint,
    c_ulong,
    c_void, //
};
use register::{
    add_rule,
    register,
    slot,
    status,
    Handle, //
};

mod register;

type ContextPtr = *mut bindings::reeve_thread_context;

const _: () = {
    assert!(flags::EXCLUSIVE == bindings::REEVE_LOCK_EXCLUSIVE);
    assert!(flags::SHARED == bindings::REEVE_LOCK_SHARED);
    assert!(flags::ANY == bindings::REEVE_LOCK_ANY);
    assert!(flags::TRYLOCK == bindings::REEVE_LOCK_TRYLOCK);
    assert!(flags::OUT_OF_ORDER == bindings::REEVE_LOCK_OUT_OF_ORDER);
    assert!(flags::WAITING == bindings::REEVE_LOCK_WAITING);
    assert!(crate::lock_order::rules::conflict::MAX_ORDERS == bindings::REEVE_MAX_ORDERS);
    assert!(crate::lock_order::rules::conflict::MAX_RULES == bindings::REEVE_MAX_RULES as usize);
    assert!(super::hierarchy::MAX_HIERARCHIES == bindings::REEVE_MAX_HIERARCHIES as usize);
    assert!(crate::lock_order::rules::held::MAX_HELD == bindings::REEVE_MAX_HELD as usize);
};

/// Defines entry points whose types must agree with their C prototypes in lock_order.h.
macro_rules! entry_points {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {
        $(
            $(#[$meta])*
            #[no_mangle]
            unsafe extern "C" fn $name($($arg: $ty),*) $(-> $ret)? $body

            const _: unsafe extern "C" fn($($ty),*) $(-> $ret)? = if true {
                $name
            } else {
                bindings::$name
            };
        )*
    };
}

/// Packs the arguments every operation on a lock has.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(always)]
unsafe fn call(h: Handle, ctx: ContextPtr, site: u32) -> Call {
    Call {
        hierarchy: h as usize,
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        current: unsafe { Current::new(ctx) },
        site,
    }
}

/// Runs a fast path on the caller's held locks.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it, and `f` as [`Current::with_held_fast`] does.
#[inline(always)]
unsafe fn fast(ctx: ContextPtr, f: impl FnOnce(&mut HeldLocks) -> bool) -> bool {
    // SAFETY: `ctx` and `f` are as the two functions ask for, by this function's contract.
    unsafe { Current::new(ctx).with_held_fast(f) }
}

/// The usual lock: right after one that it may follow.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(always)]
unsafe fn lock_fast(
    h: Handle,
    lock: *const c_void,
    packed: u32,
    ctx: ContextPtr,
    site: u32,
) -> bool {
    let home = h as usize;
    let lock_fast = |held: &mut HeldLocks| {
        held.lock_fast(home, lock as usize, packed, site, |previous| {
            // SAFETY: This is only asked when `h` is the home of what is held, and a home was
            // found to be a hierarchy when it became one.
            unsafe { Hierarchy::plain_after(home, previous) }
        })
    };
    // SAFETY: `ctx` is as `fast` asks for, by this function's contract. A fast path that declines
    // writes nothing, so an absent context is only read.
    unsafe { fast(ctx, lock_fast) }
}

/// The usual unlock: of the lock taken last.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(always)]
unsafe fn unlock_fast(h: Handle, lock: *const c_void, packed: u32, ctx: ContextPtr) -> bool {
    let unlock_fast = |held: &mut HeldLocks| held.unlock_fast(h as usize, lock as usize, packed);
    // SAFETY: `ctx` is as `fast` asks for, by this function's contract. A fast path that declines
    // writes nothing, so an absent context is only read.
    unsafe { fast(ctx, unlock_fast) }
}

entry_points! {
    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_find_slot(task: c_ulong) -> *mut bindings::reeve_slot {
        context::slot_of(task)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_lock(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        if let Some(plain) = pack_plain(order, flags) {
            // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the
            // callee asks for.
            if unsafe { lock_fast(h, lock, plain, ctx, site) } {
                return true;
            }
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        unsafe { record_lock_complete(h, lock, order, flags, ctx, site) }
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_unlock(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        if let Some(plain) = pack_plain(order, flags) {
            // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the
            // callee asks for.
            if unsafe { unlock_fast(h, lock, plain, ctx) } {
                return true;
            }
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        unsafe { record_unlock_complete(h, lock, order, flags, ctx, site) }
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_lock_plain(
        h: Handle, lock: *const c_void, packed: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for. Whatever was packed, a mark is there for correct uses alone.
        if unsafe { lock_fast(h, lock, packed, ctx, site) } {
            return true;
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        unsafe { record_lock_plain_complete(h, lock, packed, ctx, site) }
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_unlock_plain(
        h: Handle, lock: *const c_void, packed: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        if unsafe { unlock_fast(h, lock, packed, ctx) } {
            return true;
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        unsafe { record_unlock_plain_complete(h, lock, packed, ctx, site) }
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_lock_keyed(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, key: u64, ctx: ContextPtr,
        site: u32,
    ) -> bool {
        let u = LockUse { key, ..LockUse::new(lock as usize, order, flags, site) };
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::record_lock(unsafe { call(h, ctx, site) }, u)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_downgrade(
        h: Handle, lock: *const c_void, order: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        let u = LockUse::new(lock as usize, order, 0, site);
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::record_downgrade(unsafe { call(h, ctx, site) }, u)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_check_locked(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        let is_top =
            |held: &mut HeldLocks| held.check_locked_fast(h as usize, lock as usize, order, flags);
        // SAFETY: `ctx` is as `fast` asks for, by this function's contract. A fast path that
        // declines writes nothing, so an absent context is only read.
        if flags.wrapping_sub(1) < 3 && unsafe { fast(ctx, is_top) } {
            return true;
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        unsafe { check_locked_complete(h, lock, order, flags, ctx, site) }
    }

    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_trace(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, unlock: bool, site: u32,
    ) {
        trace::recorded(h as usize, LockUse::new(lock as usize, order, flags, site), unlock)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_check_lockable_order(
        h: Handle, order: c_uint, flags: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::check_lockable_order(unsafe { call(h, ctx, site) }, order, flags)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_check_unlocked_order(
        h: Handle, order: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::check_unlocked_order(unsafe { call(h, ctx, site) }, order)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_check_all_unlocked(h: Handle, ctx: ContextPtr, site: u32) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::check_all_unlocked(unsafe { call(h, ctx, site) })
    }

    /// # Safety
    ///
    /// As [`context::enter`] wants it; a null `memory` is refused.
    fn reeve_rs_thread_context_enter(memory: ContextPtr, task: c_ulong, site: u32) -> bool {
        match NonNull::new(memory) {
            // SAFETY: `memory` is as `context::enter` asks for, by this entry point's contract, and
            // `enter_fast` asks for no more.
            Some(context) if unsafe { context::enter_fast(task, context) } => true,
            // SAFETY: `memory` is null or as `context::enter` asks for, by this entry point's
            // contract.
            _ => unsafe { enter_complete(memory, task, site) },
        }
    }

    /// # Safety
    ///
    /// `task` must be the current one, or 0 in an interrupt. Null is refused.
    fn reeve_rs_thread_context_leave(memory: ContextPtr, task: c_ulong, site: u32) -> bool {
        match NonNull::new(memory) {
            Some(context) if context::leave_fast(task, context) => true,
            _ => leave_complete(memory, task, site),
        }
    }

    /// # Safety
    ///
    /// `memory` must be valid for writes and not be the thread's own; null is refused. `ctx` must
    /// come from `reeve_context()`, in this very call.
    fn reeve_rs_thread_context_save(memory: ContextPtr, ctx: ContextPtr, site: u32) -> bool {
        let Some(to) = NonNull::new(memory) else {
            return track::bad_context(site, Operation::Saving);
        };
        // SAFETY: `to` is valid for writes and not the thread's own context, by this entry point's
        // contract, and C took `ctx` from `reeve_context()` in this very call.
        let saved = unsafe { context::save(Current::new(ctx), to) };
        saved || track::no_context(site, Operation::Saving)
    }

    /// # Safety
    ///
    /// `memory` must have been filled by a save; null is refused. `ctx` must come from
    /// `reeve_context()`, in this very call.
    fn reeve_rs_thread_context_restore(memory: ContextPtr, ctx: ContextPtr, site: u32) -> bool {
        let Some(from) = NonNull::new(memory) else {
            return track::bad_context(site, Operation::Restoring);
        };
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        let current = unsafe { Current::new(ctx) };
        let clean = track::nothing_held(site, current, Operation::Restoring);
        // SAFETY: A save filled `from`, by this entry point's contract, so it is no task's own
        // context.
        let restored = unsafe { context::restore(current, from) }.is_some();
        (restored || track::no_context(site, Operation::Restoring)) && clean
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_tracking_disable(ctx: ContextPtr, site: u32) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::disable(unsafe { call(core::ptr::null_mut(), ctx, site) })
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_tracking_enable(ctx: ContextPtr, site: u32) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::enable(unsafe { call(core::ptr::null_mut(), ctx, site) })
    }

    /// # Safety
    ///
    /// Process context.
    fn reeve_rs_tracking_epoch() {
        context::next_epoch()
    }

    /// # Safety
    ///
    /// `contexts` must be those of the interrupts of the CPU that runs this, with interrupts off, in
    /// a task.
    fn reeve_rs_reset_interrupts(contexts: ContextPtr) {
        // SAFETY: `contexts` are the interrupts' of this CPU, interrupts are off and this is a
        // task, by this entry point's contract.
        unsafe { context::reset_interrupts(contexts) }
    }

    /// # Safety
    ///
    /// `name` must be null or a string, `order_names` null or an array of `count` such.
    fn reeve_rs_hierarchy_register(
        name: *const c_char, order_names: *const *const c_char, count: c_uint,
    ) -> Handle {
        // SAFETY: `name` is null or a string and `order_names` null or an array of `count` such, by
        // this entry point's contract.
        match unsafe { register(name, order_names, count) } {
            Ok(slot) => core::ptr::from_ref(slot).cast::<bindings::reeve_hierarchy>().cast_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Must be called from process context.
    fn reeve_rs_hierarchy_unregister(h: Handle, site: u32) -> c_int {
        if h.is_null() {
            return 0;
        }
        status(track::unregister(h as usize, site))
    }

    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_hierarchy_add_rule(
        h: Handle, order: c_uint, while_held: c_uint, mode_flags: c_uint, unless_held: c_uint,
    ) -> c_int {
        status(add_rule(h, [order, while_held, mode_flags, unless_held]))
    }

    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_hierarchy_set_nestable(h: Handle, order: c_uint) -> c_int {
        status(slot(h).and_then(|slot| slot.set_nestable(order)))
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_acquired(
        h: Handle, lock: *const c_void, order: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        let u = LockUse::new(lock as usize, order, 0, site);
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::record_acquired(unsafe { call(h, ctx, site) }, u)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_thread_has_context(ctx: ContextPtr) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::has_context(unsafe { call(core::ptr::null_mut(), ctx, 0) })
    }
}

/// Defines the complete operation behind a fast path, out of line and with the same arguments, so
/// that it is reached by a jump and the fast path needs no stack frame.
macro_rules! complete {
    ($($name:ident($($arg:ident),*) => $operation:path, $order:expr, $flags:expr;)*) => {
        $(
            /// # Safety
            ///
            /// `ctx` must be as [`Current::new`] wants it.
            #[cold]
            #[inline(never)]
            unsafe extern "C" fn $name(
                h: Handle,
                lock: *const c_void,
                $($arg: c_uint,)*
                ctx: ContextPtr,
                site: u32,
            ) -> bool {
                let u = LockUse::new(lock as usize, $order, $flags, site);
                // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks
                // for.
                $operation(unsafe { call(h, ctx, site) }, u)
            }
        )*
    };
}

complete! {
    record_lock_complete(order, flags) => track::record_lock, order, flags;
    record_unlock_complete(order, flags) => track::record_unlock, order, flags;
    check_locked_complete(order, flags) => track::check_locked, order, flags;
    record_lock_plain_complete(packed) => track::record_lock, packed & 0xff, packed >> 8;
    record_unlock_plain_complete(packed) => track::record_unlock, packed & 0xff, packed >> 8;
}

/// # Safety
///
/// As [`context::enter`] wants it; a null `memory` is refused.
#[cold]
#[inline(never)]
unsafe extern "C" fn enter_complete(memory: ContextPtr, task: c_ulong, site: u32) -> bool {
    match NonNull::new(memory) {
        // SAFETY: `memory` is as `context::enter` asks for, by this function's contract.
        Some(memory) => track::entered(site, unsafe { context::enter(task, memory) }),
        None => track::bad_context(site, Operation::Entering),
    }
}

#[cold]
#[inline(never)]
extern "C" fn leave_complete(memory: ContextPtr, task: c_ulong, site: u32) -> bool {
    match NonNull::new(memory) {
        Some(memory) => track::leave(site, task, memory),
        None => track::bad_context(site, Operation::Leaving),
    }
}
