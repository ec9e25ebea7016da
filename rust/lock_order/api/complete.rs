// SPDX-License-Identifier: GPL-2.0

//! What the fast paths of the C API decline: the next tries, and the complete operations, with their reports.

use super::register::Handle;
use crate::{
    abstractions::bindings,
    lock_order::{
        across,
        context::{
            self,
            Current,
            Entered, //
        },
        hierarchy::Hierarchy,
        rules::{
            flags,
            held::{
                HeldLocks,
                LockUse, //
            },
            operation::Operation,
            plain::pack_plain, //
        },
        track::{
            self,
            Call, //
        }, //
    }, //
};
use core::ptr::NonNull;
use kernel::ffi::{
    c_uint,
    c_ulong,
    c_void, //
};

pub(super) type ContextPtr = *mut bindings::reeve_context;
pub(super) type CookiePtr = *mut bindings::reeve_thread_context;

/// Packs the arguments every operation on a lock has.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(always)]
pub(super) unsafe fn call(h: Handle, ctx: ContextPtr, site: u32) -> Call {
    Call {
        hierarchy: h as usize,
        // SAFETY: C took `ctx` from `reeve_context()` in this very call, as this function's
        // contract says.
        current: unsafe { Current::new(ctx) },
        site,
    }
}

/// The usual lock while locks of other hierarchies are held, or none.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(always)]
unsafe fn lock_quick(
    h: Handle,
    lock: *const c_void,
    packed: u32,
    ctx: ContextPtr,
    site: u32,
) -> bool {
    let (token, instance) = (h as usize, lock as usize);
    let Some(plain) = Hierarchy::unbarred(token) else {
        return false;
    };
    let epoch = context::current_epoch();
    let place = |held: &HeldLocks| held.place_quick(epoch, token, instance, packed, &plain);
    let put = |held: &mut HeldLocks, n| held.put_quick(n, token, instance, packed, site);
    // SAFETY: `ctx` is as `Current::new` asks for, by this function's contract, and `place_quick`
    // declines what stands for an absent context.
    unsafe { Current::new(ctx).with_held_fast(place, put) }
}

/// The release of a lock out of order.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(always)]
unsafe fn unlock_quick(
    h: Handle,
    lock: *const c_void,
    order: c_uint,
    flags: c_uint,
    ctx: ContextPtr,
) -> bool {
    let find = |held: &HeldLocks| held.find_quick(h as usize, lock as usize, order, flags);
    // SAFETY: `ctx` is as `Current::new` asks for, by this function's contract, and `find_quick`
    // declines what stands for an absent context.
    unsafe { Current::new(ctx).with_held_fast(find, HeldLocks::take_quick) }
}

/// Defines the complete operation behind a fast path, out of line and with the same arguments, so
/// that it is reached by a jump and the fast path needs no stack frame.
macro_rules! complete {
    ($($name:ident($($arg:ident),*) => $usual:path, $operation:path, $order:expr, $flags:expr;)*) => {
        $(
            /// # Safety
            ///
            /// `ctx` must be as [`Current::new`] wants it.
            #[inline(never)]
            pub(super) unsafe extern "C" fn $name(
                h: Handle,
                lock: *const c_void,
                $($arg: c_uint,)*
                ctx: ContextPtr,
                site: u32,
            ) -> bool {
                let u = LockUse::new(lock as usize, $order, $flags, site);
                // SAFETY: C took `ctx` from `reeve_context()` in this very call.
                if unsafe { $usual(h, ctx, u) } {
                    return true;
                }
                // SAFETY: C took `ctx` from `reeve_context()` in this very call, as `call` asks
                // for.
                $operation(unsafe { call(h, ctx, site) }, u)
            }
        )*
    };
}

complete! {
    record_lock_complete(order, flags) => lock_usual, track::record_lock, order, flags;
    record_unlock_complete(order, flags) => unlock_usual, track::record_unlock, order, flags;
    check_locked_complete(order, flags) => declined, track::check_locked, order, flags;
    record_lock_plain_complete(packed) =>
        lock_usual, track::record_lock, packed & 0xff, packed >> 8;
    record_unlock_plain_complete(packed) =>
        unlock_usual, track::record_unlock, packed & 0xff, packed >> 8;
}

/// The second try, out of line as well: for a lock of another hierarchy than the last one's.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(never)]
pub(super) unsafe extern "C" fn record_lock_plain_quick(
    h: Handle,
    lock: *const c_void,
    packed: c_uint,
    ctx: ContextPtr,
    site: u32,
) -> bool {
    // SAFETY: `ctx` is as the callees want it, by this function's contract.
    unsafe {
        lock_quick(h, lock, packed, ctx, site)
            || record_lock_plain_complete(h, lock, packed, ctx, site)
    }
}

/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(never)]
pub(super) unsafe extern "C" fn record_trylock_plain_quick(
    h: Handle,
    lock: *const c_void,
    packed: c_uint,
    ctx: ContextPtr,
    site: u32,
) -> bool {
    let (order, flags) = (packed & 0xff, packed >> 8 | flags::TRYLOCK);
    // SAFETY: `ctx` is as the callee wants it, by this function's contract.
    unsafe { record_lock_quick(h, lock, order, flags, ctx, site) }
}

/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(never)]
pub(super) unsafe extern "C" fn record_lock_quick(
    h: Handle,
    lock: *const c_void,
    order: c_uint,
    flags: c_uint,
    ctx: ContextPtr,
    site: u32,
) -> bool {
    // SAFETY: `ctx` is as asked for, by this function's contract.
    let current = unsafe { Current::new(ctx) };
    let tries = flags & flags::TRYLOCK != 0;
    let is_plain = !(tries && current.look_fast(HeldLocks::is_ignorant));
    let mode = flags & !(flags::TRYLOCK | flags::WAITING | flags::OUT_OF_ORDER);
    if let Some(packed) = pack_plain(order, mode).filter(|_| is_plain) {
        let packed = packed | (flags & flags::WAITING) << 8;
        // SAFETY: `ctx` is as the callee wants it, by this function's contract.
        if unsafe { lock_quick(h, lock, packed, ctx, site) } {
            return true;
        }
    }
    // SAFETY: `ctx` is as the callee wants it, by this function's contract.
    unsafe { record_lock_complete(h, lock, order, flags, ctx, site) }
}

/// A release of a lock that need not be the last one.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline(never)]
pub(super) unsafe extern "C" fn record_unlock_quick(
    h: Handle,
    lock: *const c_void,
    order: c_uint,
    flags: c_uint,
    ctx: ContextPtr,
    site: u32,
) -> bool {
    // SAFETY: `ctx` is as the callees want it, by this function's contract.
    unsafe {
        unlock_quick(h, lock, order, flags, ctx)
            || record_unlock_complete(h, lock, order, flags, ctx, site)
    }
}

/// # Safety
///
/// As [`lock_usual`].
#[inline(always)]
unsafe fn declined(_: Handle, _: ContextPtr, _: LockUse) -> bool {
    false
}

/// A lock that is correct, as far as that is told with little ado.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline]
pub(super) unsafe fn lock_usual(h: Handle, ctx: ContextPtr, u: LockUse) -> bool {
    let Some(slot) = Hierarchy::at(h as usize) else {
        return false;
    };
    if u.order.wrapping_sub(1) >= slot.count() || !flags::is_one_mode(u.flags) {
        return false;
    }
    // SAFETY: `ctx` is as asked for, by this function's contract.
    let mut current = unsafe { Current::new(ctx) };
    if current.is_absent() && slot.gives_contexts(context::is_kernel_thread) {
        match context::give() {
            Some(given) => current = given,
            None => return false,
        }
    }
    let is_ruled = slot.is_ruled(u.order);
    if is_ruled && slot.has_attributes(u.order) {
        return false;
    }
    let obeys = is_ruled.then_some(|held, exclusive| slot.obeys(u.order, held, exclusive));
    let nests = (slot.is_nestable(u.order), across::speaks_of(slot.id()));
    let is_known = |previous| slot.was_taken(previous, u.order);
    current.with_held_usual(|held, epoch| {
        held.lock_usual(epoch, h as usize, u, nests, is_known, obeys)
    })
}

/// An unlock that is correct, as far as that is told with little ado.
///
/// # Safety
///
/// `ctx` must be as [`Current::new`] wants it.
#[inline]
unsafe fn unlock_usual(h: Handle, ctx: ContextPtr, u: LockUse) -> bool {
    if Hierarchy::at(h as usize).is_none() || !flags::is_one_mode(u.flags) {
        return false;
    }
    // SAFETY: `ctx` is as asked for, by this function's contract.
    let current = unsafe { Current::new(ctx) };
    let done = current.with_held_usual(|held, epoch| held.unlock_usual(epoch, h as usize, u));
    if done {
        current.settle();
    }
    done
}

/// # Safety
///
/// As `reeve_rs_thread_context_enter`.
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn enter_complete(
    cookie: CookiePtr,
    task: c_ulong,
    site: u32,
) -> bool {
    let Some(cookie) = NonNull::new(cookie) else {
        return track::bad_context(site, Operation::Entering);
    };
    // SAFETY: `cookie` is as `context::enter` asks for, by this function's contract.
    match unsafe { context::enter(task, cookie, site, track::forgotten) } {
        Entered::Outer => true,
        other => track::entered(site, other),
    }
}

/// # Safety
///
/// As `reeve_rs_thread_context_leave`.
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn leave_complete(
    cookie: CookiePtr,
    task: c_ulong,
    ctx: ContextPtr,
    site: u32,
) -> bool {
    let Some(cookie) = NonNull::new(cookie) else {
        return track::bad_context(site, Operation::Leaving);
    };
    let mut clean = true;
    // SAFETY: C took `ctx` from `reeve_context()` in this very call, and `cookie` is valid for reads
    // and writes, by this function's contract.
    let left = unsafe {
        context::leave(task, cookie, Current::new(ctx), |current| {
            clean = track::nothing_left(site, current);
        })
    };
    track::left(site, left, clean)
}
