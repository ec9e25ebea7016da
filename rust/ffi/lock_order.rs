// SPDX-License-Identifier: GPL-2.0

//! The Rust half of the C API: what lock_order_shim.c hands over to.
//!
//! The fast path of a record is inline here; the complete one, with its reports, is
//! [`crate::lock_order::track`]. Each function's contract is documented with its C prototype in
//! `rust/include/reeve/lock_order.h`.

use super::{
    bindings,
    context::Owner,
    hierarchy::{
        Hierarchy,
        Names, //
    },
};
use crate::{
    lock_order::track::{
        self,
        Call,
        Doing, //
    },
    pure::{
        held::LockUse,
        lock_flags,
        rules::{
            order_bit,
            Rule, //
        }, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    ffi::{
        c_char,
        c_int,
        c_uint,
        c_ulong,
        c_void, //
    },
    prelude::*,
    str::CStr, //
};

type Handle = *mut bindings::reeve_hierarchy;
type ContextPtr = *mut bindings::reeve_thread_context;

const _: () = {
    assert!(lock_flags::EXCLUSIVE == bindings::REEVE_LOCK_EXCLUSIVE);
    assert!(lock_flags::SHARED == bindings::REEVE_LOCK_SHARED);
    assert!(lock_flags::ANY == bindings::REEVE_LOCK_ANY);
    assert!(lock_flags::TRYLOCK == bindings::REEVE_LOCK_TRYLOCK);
    assert!(lock_flags::OUT_OF_ORDER == bindings::REEVE_LOCK_OUT_OF_ORDER);
    assert!(crate::pure::rules::MAX_ORDERS == bindings::REEVE_MAX_ORDERS);
    assert!(crate::pure::rules::MAX_RULES == bindings::REEVE_MAX_RULES as usize);
    assert!(super::hierarchy::MAX_HIERARCHIES == bindings::REEVE_MAX_HIERARCHIES as usize);
    assert!(crate::pure::held::MAX_HELD == bindings::REEVE_MAX_HELD as usize);
};

/// Defines entry points whose types must agree with their C prototypes in shim.h.
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
/// `owner` must be as [`Owner::new`] wants it.
#[inline(always)]
unsafe fn call(h: Handle, owner: c_ulong, site: u32) -> Call {
    Call {
        hierarchy: h as usize,
        // SAFETY: By the contract.
        owner: unsafe { Owner::new(owner) },
        site,
    }
}

entry_points! {
    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_record_lock(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, owner: c_ulong, site: u32,
    ) -> bool {
        let u = LockUse { instance: lock as usize, order, flags, site };
        // SAFETY: By the contract.
        let call = unsafe { call(h, owner, site) };
        if let Some((slot, id)) = Hierarchy::at(h as usize) {
            let plain = order.wrapping_sub(1) < slot.count()
                && slot.careful() & order_bit(order) == 0
                && lock_flags::is_one_mode(flags);
            if plain && call.owner.with_held(|held| held.lock_fast(id, u)) == Some(true) {
                return true;
            }
        }
        track::record_lock(call, u)
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_record_unlock(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, owner: c_ulong, site: u32,
    ) -> bool {
        let u = LockUse { instance: lock as usize, order, flags, site };
        // SAFETY: By the contract.
        let call = unsafe { call(h, owner, site) };
        if let Some((_, id)) = Hierarchy::at(h as usize) {
            if lock_flags::is_one_mode(flags)
                && call.owner.with_held(|held| held.unlock_fast(id, u)) == Some(true)
            {
                return true;
            }
        }
        track::record_unlock(call, u)
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_record_downgrade(
        h: Handle, lock: *const c_void, order: c_uint, owner: c_ulong, site: u32,
    ) -> bool {
        let u = LockUse { instance: lock as usize, order, flags: 0, site };
        // SAFETY: By the contract.
        track::record_downgrade(unsafe { call(h, owner, site) }, u)
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_check_locked(
        h: Handle, lock: *const c_void, order: c_uint, flags: c_uint, owner: c_ulong, site: u32,
    ) -> bool {
        let u = LockUse { instance: lock as usize, order, flags, site };
        // SAFETY: By the contract.
        let call = unsafe { call(h, owner, site) };
        if let Some((_, id)) = Hierarchy::at(h as usize) {
            if lock_flags::is_mode_or_any(flags)
                && call.owner.with_held(|held| held.check_locked_fast(id, u)) == Some(true)
            {
                return true;
            }
        }
        track::check_locked(call, u)
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_check_lockable_order(
        h: Handle, order: c_uint, flags: c_uint, owner: c_ulong, site: u32,
    ) -> bool {
        // SAFETY: By the contract.
        track::check_lockable_order(unsafe { call(h, owner, site) }, order, flags)
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_check_unlocked_order(
        h: Handle, order: c_uint, owner: c_ulong, site: u32,
    ) -> bool {
        // SAFETY: By the contract.
        track::check_unlocked_order(unsafe { call(h, owner, site) }, order)
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_check_all_unlocked(h: Handle, owner: c_ulong, site: u32) -> bool {
        // SAFETY: By the contract.
        track::check_all_unlocked(unsafe { call(h, owner, site) })
    }

    /// # Safety
    ///
    /// As [`Owner::enter`] wants it; a null `ctx` is refused.
    fn reeve_rs_thread_context_enter(ctx: ContextPtr, owner: c_ulong, site: u32) -> bool {
        // SAFETY: By the contract.
        let call = unsafe { call(core::ptr::null_mut(), owner, site) };
        let Some(memory) = NonNull::new(ctx) else {
            return track::null_context(call, Doing::Entering);
        };
        // SAFETY: By the contract.
        track::entered(call, unsafe { call.owner.enter(memory) })
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_thread_context_leave(ctx: ContextPtr, owner: c_ulong, site: u32) -> bool {
        // SAFETY: By the contract.
        track::leave(unsafe { call(core::ptr::null_mut(), owner, site) }, ctx)
    }

    /// # Safety
    ///
    /// `ctx` must be valid for writes and not be the thread's own; null is refused.
    fn reeve_rs_thread_context_save(ctx: ContextPtr, owner: c_ulong, site: u32) -> bool {
        // SAFETY: By the contract.
        let call = unsafe { call(core::ptr::null_mut(), owner, site) };
        match NonNull::new(ctx) {
            // SAFETY: By the contract.
            Some(to) => unsafe { super::context::save(call.owner, to) },
            None => track::null_context(call, Doing::Saving),
        }
    }

    /// # Safety
    ///
    /// `ctx` must have been filled by a save; null is refused.
    fn reeve_rs_thread_context_restore(ctx: ContextPtr, owner: c_ulong, site: u32) -> bool {
        // SAFETY: By the contract.
        let call = unsafe { call(core::ptr::null_mut(), owner, site) };
        let Some(from) = NonNull::new(ctx) else {
            return track::null_context(call, Doing::Restoring);
        };
        let clean = track::nothing_held(call, Doing::Restoring);
        // SAFETY: By the contract.
        unsafe { super::context::restore(call.owner, from) }.is_some() && clean
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_tracking_disable(owner: c_ulong, site: u32) -> bool {
        // SAFETY: By the contract.
        track::disable(unsafe { call(core::ptr::null_mut(), owner, site) })
    }

    /// # Safety
    ///
    /// `owner` must come from `reeve_owner()`, in this very call.
    fn reeve_rs_tracking_enable(owner: c_ulong, site: u32) -> bool {
        // SAFETY: By the contract.
        track::enable(unsafe { call(core::ptr::null_mut(), owner, site) })
    }

    /// # Safety
    ///
    /// `name` must be null or a string, `order_names` null or an array of `count` such.
    fn reeve_rs_hierarchy_register(
        name: *const c_char, order_names: *const *const c_char, count: c_uint,
    ) -> Handle {
        // SAFETY: By the contract.
        match unsafe { register(name, order_names, count) } {
            Ok(slot) => core::ptr::from_ref(slot).cast::<bindings::reeve_hierarchy>().cast_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Must be called from process context.
    fn reeve_rs_hierarchy_unregister(h: Handle) -> c_int {
        if h.is_null() {
            return 0;
        }
        status(track::unregister(h as usize))
    }

    /// # Safety
    ///
    /// No requirements.
    fn reeve_rs_hierarchy_add_rule(
        h: Handle, order: c_uint, while_held: c_uint, mode_flags: c_uint, unless_held: c_uint,
    ) -> c_int {
        status(add_rule(h, [order, while_held, mode_flags, unless_held]))
    }

    /// # Safety
    ///
    /// No requirements.
    fn reeve_rs_hierarchy_set_nestable(h: Handle, order: c_uint) -> c_int {
        status(slot(h).and_then(|slot| slot.set_nestable(order)))
    }
}

fn status(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

fn slot(h: Handle) -> Result<&'static Hierarchy> {
    Hierarchy::at(h as usize)
        .map(|(slot, _)| slot)
        .ok_or(EINVAL)
}

/// # Safety
///
/// As `reeve_rs_hierarchy_register`.
unsafe fn register(
    name: *const c_char,
    order_names: *const *const c_char,
    count: c_uint,
) -> Result<&'static Hierarchy> {
    if name.is_null() || order_names.is_null() || count == 0 || count > bindings::REEVE_MAX_ORDERS {
        return Err(EINVAL);
    }
    // SAFETY: By the contract, an array of `count` pointers.
    let order_names = unsafe { core::slice::from_raw_parts(order_names, count as usize) };
    if order_names.iter().any(|name| name.is_null()) {
        return Err(EINVAL);
    }
    let orders = order_names.iter().map(|&name| {
        // SAFETY: By the contract a string, and it was found not to be null.
        unsafe { CStr::from_char_ptr(name) }.to_bytes()
    });
    // SAFETY: As above.
    let name = unsafe { CStr::from_char_ptr(name) }.to_bytes();
    Hierarchy::register(KBox::new(Names::new(name, orders)?, GFP_KERNEL)?, false)
}

fn add_rule(h: Handle, fields: [c_uint; 4]) -> Result {
    let [order, while_held, mode, unless_held] = fields.map(|field| u8::try_from(field).ok());
    match (order, while_held, mode, unless_held) {
        (Some(order), Some(while_held), Some(mode), Some(unless_held)) => slot(h)?.add_rule(Rule {
            order,
            while_held,
            mode,
            unless_held,
        }),
        _ => Err(EINVAL),
    }
}
