// SPDX-License-Identifier: GPL-2.0

//! The Rust half of the C API: what lock_order/api.c hands over to.
//!
//! Each record tries a fast path first; what that declines is for [`complete`], and the complete operations, with their
//! reports, are in [`crate::lock_order::track`]. Each function's contract is documented with its C prototype in
//! `rust/include/reeve/lock_order.h`.

use super::{
    context::{
        self,
        Current,
        Entered, //
    },
    hierarchy::Known,
    rules::{
        flags,
        held::{
            fast::Lock,
            HeldLocks,
            LockUse, //
        },
        plain::pack_plain, //
    }, //
};
use crate::{
    abstractions::{
        bindings,
        export::entry_points, //
    },
    lock_order::{
        rules::operation::Operation,
        trace,
        track, //
    }, //
};
use complete::{
    call,
    check_locked_complete,
    enter_complete,
    leave_complete,
    lock_usual,
    record_lock_plain_quick,
    record_lock_quick,
    record_trylock_plain_quick,
    record_unlock_complete,
    record_unlock_plain_complete,
    record_unlock_quick,
    ContextPtr,
    CookiePtr, //
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
    set_across,
    set_attributes,
    slot,
    status,
    Handle, //
};

mod complete;
mod register;

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
    assert!(
        crate::lock_order::rules::held::MAX_HELD_DEEP == bindings::REEVE_MAX_HELD_DEEP as usize
    );
};

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
    let (home, instance) = (h as usize, lock as usize);
    // SAFETY: It is only asked when `h` is the home of what is held, or the hierarchy of a lock that is: both
    // were found to be one when they became that.
    let plain = unsafe { Known::new(home) };
    let place = |held: &HeldLocks| held.place_fast(home, instance, packed, &plain);
    let put = |held: &mut HeldLocks, n| held.put_fast(n, home, instance, packed, site);
    // SAFETY: `ctx` is as `Current::new` asks for, by this function's contract, and `place_fast`
    // declines what stands for an absent context.
    unsafe { Current::new(ctx).with_held_fast(place, put) }
}

/// The usual unlock: of the lock taken last.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(always)]
unsafe fn unlock_fast(h: Handle, lock: *const c_void, how: impl Lock, ctx: ContextPtr) -> bool {
    let last = |held: &HeldLocks| held.last_fast(h as usize, lock as usize, how);
    // SAFETY: `ctx` is as `Current::new` asks for, by this function's contract, and `last_fast`
    // declines what stands for an absent context.
    unsafe { Current::new(ctx).with_held_fast(last, |held, n| held.take_fast(n)) }
}

entry_points! {
    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_find_context(task: c_ulong) -> ContextPtr {
        context::context_of(task)
    }

    /// # Safety
    ///
    /// In a soft irq that goes on as a thread does.
    fn reeve_rs_soft_irq_context() -> ContextPtr {
        context::context_of_soft_irq()
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_lock(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        if let Some(plain) = pack_plain(order, flags & !flags::TRYLOCK) {
            // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all that
            // `Current::new` asks for.
            let current = unsafe { Current::new(ctx) };
            // A trylock that is in order is a lock like any other, where it is known to be.
            let is_plain = flags & flags::TRYLOCK == 0 || !current.look_fast(HeldLocks::is_ignorant);
            // SAFETY: `ctx` is of this very call, which is all that `lock_fast` asks for.
            if is_plain && unsafe { lock_fast(h, lock, plain, ctx, site) } {
                return true;
            }
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        unsafe { record_lock_quick(h, lock, order, flags, ctx, site) }
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_unlock(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        if flags & flags::OUT_OF_ORDER != 0 {
            // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the
            // callee asks for.
            return unsafe { record_unlock_quick(h, lock, order, flags, ctx, site) };
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the
        // callee asks for.
        if unsafe { unlock_fast(h, lock, (order, flags), ctx) } {
            return true;
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
        unsafe { record_lock_plain_quick(h, lock, packed, ctx, site) }
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_trylock_plain(
        h: Handle, lock: *const c_void, packed: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all that
        // `Current::new` asks for.
        let current = unsafe { Current::new(ctx) };
        // A trylock that is in order is a lock like any other, where it is known to be.
        // SAFETY: `ctx` is of this very call, which is all that `lock_fast` asks for.
        if !current.look_fast(HeldLocks::is_ignorant) && unsafe { lock_fast(h, lock, packed, ctx, site) } {
            return true;
        }
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, which is all the callee
        // asks for.
        unsafe { record_trylock_plain_quick(h, lock, packed, ctx, site) }
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
        // SAFETY: C took `ctx` from `reeve_context()` in this very call.
        if unsafe { lock_usual(h, ctx, u) } {
            return true;
        }
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
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        let current = unsafe { Current::new(ctx) };
        let is_top =
            |held: &HeldLocks| held.check_locked_fast(h as usize, lock as usize, order, flags);
        if flags.wrapping_sub(1) < 3 && current.look_fast(is_top) {
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
    /// As [`context::enter`] wants it; a null `cookie` is refused. `task` must be the current one, or
    /// 0 in an interrupt.
    fn reeve_rs_thread_context_enter(cookie: CookiePtr, task: c_ulong, site: u32) -> bool {
        if let Some(cookie) = NonNull::new(cookie) {
            // SAFETY: `cookie` is as the callee wants it, by this entry point's contract.
            if let Some(entered) = unsafe { context::enter_fast(task, cookie, site) } {
                return entered;
            }
        }
        // SAFETY: It asks for what this entry point's contract says.
        unsafe { enter_complete(cookie, task, site) }
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call. A task that may sleep.
    fn reeve_rs_thread_context_deepen(ctx: ContextPtr, site: u32) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        let current = unsafe { Current::new(ctx) };
        current.deepen() || track::entered(site, Entered::Refused)
    }

    /// # Safety
    ///
    /// `task` must be the current one, or 0 in an interrupt, `cookie` valid for reads and writes; null
    /// is refused. `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_thread_context_leave(
        cookie: CookiePtr, task: c_ulong, ctx: ContextPtr, site: u32,
    ) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        let current = unsafe { Current::new(ctx) };
        if let Some(cookie) = NonNull::new(cookie) {
            if let Some(left) = context::leave_fast(task, cookie, current) {
                return left;
            }
        }
        // SAFETY: It asks for what this entry point's contract says of the same four arguments.
        unsafe { leave_complete(cookie, task, ctx, site) }
    }

    /// # Safety
    ///
    /// `cookie` must be valid for reads and writes; null is refused. `task` must be the current one,
    /// or 0 in an interrupt, and `ctx` come from `reeve_context()`, in this very call.
    fn reeve_rs_thread_context_save(
        cookie: CookiePtr, task: c_ulong, ctx: ContextPtr, site: u32,
    ) -> bool {
        match NonNull::new(cookie) {
            Some(cookie) => {
                // SAFETY: `cookie` and `task` are as asked for by this entry point's contract, and C
                // took `ctx` from `reeve_context()` in this very call.
                let saved = unsafe { context::save(Current::new(ctx), task, cookie) };
                saved || track::no_context(site, Operation::Saving)
            }
            None => track::bad_context(site, Operation::Saving),
        }
    }

    /// # Safety
    ///
    /// `cookie` must be valid for reads and writes; null is refused. `ctx` must come from
    /// `reeve_context()`, in this very call.
    fn reeve_rs_thread_context_restore(cookie: CookiePtr, ctx: ContextPtr, site: u32) -> bool {
        let Some(cookie) = NonNull::new(cookie) else {
            return track::bad_context(site, Operation::Restoring);
        };
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        let current = unsafe { Current::new(ctx) };
        let mut clean = true;
        // SAFETY: `cookie` is valid for reads and writes, by this entry point's contract.
        let restored = unsafe {
            context::restore(current, cookie, |current| {
                clean = track::nothing_held(site, current, Operation::Restoring);
            })
        };
        track::restored(site, restored, clean)
    }

    /// # Safety
    ///
    /// A task, not atomic.
    fn reeve_rs_sweep() {
        track::sweep()
    }

    /// # Safety
    ///
    /// `task` must be the current one.
    fn reeve_rs_task_ends(task: c_ulong) {
        track::task_ends(task)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_forget_all(ctx: ContextPtr) {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        unsafe { Current::new(ctx) }.forget_all()
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
    /// Process context.
    fn reeve_rs_module_goes(start: c_ulong, end: c_ulong) {
        track::module_goes(start, end)
    }

    /// # Safety
    ///
    /// `ctx` must be that of the interrupt level that runs.
    fn reeve_rs_level_anew(ctx: ContextPtr) {
        // SAFETY: `ctx` is that of the interrupt level that runs, by this entry point's contract.
        unsafe { context::level_anew(ctx, track::left_by_handler) }
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
        name: *const c_char, order_names: *const *const c_char, count: c_uint, flags: c_uint,
    ) -> Handle {
        // SAFETY: `name` is null or a string and `order_names` null or an array of `count` such, by
        // this entry point's contract.
        match unsafe { register(name, order_names, count, flags) } {
            Ok(slot) => core::ptr::with_exposed_provenance_mut(slot.handle()),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Must be called from process context.
    fn reeve_rs_hierarchy_unregister(h: Handle, forget: bool, site: u32) -> c_int {
        if h.is_null() {
            return 0;
        }
        status(track::unregister(h as usize, site, forget))
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
    fn reeve_rs_record_wait(
        h: Handle, what: *const c_void, order: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        let u = LockUse::new(what as usize, order, 0, site);
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::record_wait(unsafe { call(h, ctx, site) }, u)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_handover(
        h: Handle, lock: *const c_void, order: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        let u = LockUse::new(lock as usize, order, 0, site);
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::record_handover(unsafe { call(h, ctx, site) }, u)
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_record_adopt(
        h: Handle, lock: *const c_void, order: c_uint, ctx: ContextPtr, site: u32,
    ) -> bool {
        let u = LockUse::new(lock as usize, order, 0, site);
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::record_adopt(unsafe { call(h, ctx, site) }, u)
    }

    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_check_no_locks_freed(start: *const c_void, len: usize, site: u32) -> bool {
        track::check_no_locks_freed(start as usize, len, site)
    }

    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_hierarchy_set_attributes(h: Handle, order: c_uint, flags: c_uint) -> c_int {
        status(set_attributes(h, order, flags))
    }

    /// # Safety
    ///
    /// None: any arguments are accepted.
    fn reeve_rs_hierarchy_set_any_order(h: Handle, order: c_uint, while_held: c_uint) -> c_int {
        status(slot(h).and_then(|slot| slot.set_any_order(order, while_held)))
    }

    /// # Safety
    ///
    /// `other` must be null or a string. Must be called from process context.
    fn reeve_rs_hierarchy_set_before(h: Handle, other: *const c_char, order: c_uint) -> c_int {
        // SAFETY: `other` is null or a string, by this entry point's contract.
        status(unsafe { set_across(h, other, order, false) })
    }

    /// # Safety
    ///
    /// `other` must be null or a string. Must be called from process context.
    fn reeve_rs_hierarchy_set_after(h: Handle, order: c_uint, other: *const c_char) -> c_int {
        // SAFETY: `other` is null or a string, by this entry point's contract.
        status(unsafe { set_across(h, other, order, true) })
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_thread_has_context(ctx: ContextPtr) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::has_context(unsafe { call(core::ptr::null_mut(), ctx, 0) })
    }

    /// # Safety
    ///
    /// `ctx` must come from `reeve_context()`, in this very call.
    fn reeve_rs_thread_has_entered(ctx: ContextPtr) -> bool {
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks for.
        track::has_entered(unsafe { call(core::ptr::null_mut(), ctx, 0) })
    }
}
