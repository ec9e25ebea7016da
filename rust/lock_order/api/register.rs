// SPDX-License-Identifier: GPL-2.0

//! Registering hierarchies, from what C passes.

use crate::{
    abstractions::bindings,
    lock_order::{
        hierarchy::{
            Hierarchy,
            Names,
            AUTOMATIC,
            STRICT, //
        },
        rules::conflict::{
            Attributes,
            Rule,
            MAX_GROUPS, //
        },
        track, //
    }, //
};
use kernel::{
    ffi::{
        c_char,
        c_int,
        c_uint, //
    },
    prelude::*,
    str::CStr, //
};

/// What C calls a hierarchy: the address of a slot.
pub(super) type Handle = *mut bindings::reeve_hierarchy;

const _: () = assert!(MAX_GROUPS == bindings::REEVE_MAX_GROUPS as usize);

pub(super) fn status(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

pub(super) fn slot(h: Handle) -> Result<&'static Hierarchy> {
    Hierarchy::at(h as usize).ok_or(EINVAL)
}

/// # Safety
///
/// As `reeve_rs_hierarchy_register`.
pub(super) unsafe fn register(
    name: *const c_char,
    order_names: *const *const c_char,
    count: c_uint,
    flags: c_uint,
) -> Result<&'static Hierarchy> {
    let options = match flags {
        0 => 0,
        bindings::REEVE_HIERARCHY_AUTOMATIC => AUTOMATIC,
        bindings::REEVE_HIERARCHY_STRICT => STRICT,
        _ => return Err(EINVAL),
    };
    if name.is_null() || order_names.is_null() || count == 0 || count > bindings::REEVE_MAX_ORDERS {
        return Err(EINVAL);
    }
    // SAFETY: Not null, so an array of `count` pointers, by this function's contract.
    let order_names = unsafe { core::slice::from_raw_parts(order_names, count as usize) };
    if order_names.iter().any(|name| name.is_null()) {
        return Err(EINVAL);
    }
    let orders = order_names.iter().map(|&name| {
        // SAFETY: Every element that is not null is a string, by this function's contract, and none
        // was found to be null above.
        unsafe { CStr::from_char_ptr(name) }.to_bytes()
    });
    // SAFETY: `name` was found not to be null above, so it is a string, by this function's contract.
    let name = unsafe { CStr::from_char_ptr(name) }.to_bytes();
    let names = KBox::new(Names::new(name, orders)?, GFP_KERNEL)?;
    Hierarchy::register(names, options, track::is_home)
}

pub(super) fn add_rule(h: Handle, fields: [c_uint; 4]) -> Result {
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

pub(super) fn set_attributes(h: Handle, order: c_uint, flags: c_uint) -> Result {
    let all = bindings::REEVE_ORDER_SLEEPS
        | bindings::REEVE_ORDER_SPINS
        | bindings::REEVE_ORDER_IRQ_SAFE
        | bindings::REEVE_ORDER_RECURSIVE;
    if flags == 0 || flags & !all != 0 {
        return Err(EINVAL);
    }
    let set = |flag| if flags & flag != 0 { u64::MAX } else { 0 };
    let wanted = Attributes {
        sleeps: set(bindings::REEVE_ORDER_SLEEPS),
        spins: set(bindings::REEVE_ORDER_SPINS),
        irq_safe: set(bindings::REEVE_ORDER_IRQ_SAFE),
        recursive: set(bindings::REEVE_ORDER_RECURSIVE),
        ..Attributes::NONE
    };
    slot(h)?.set_attributes(order, wanted)
}

/// All of `h` before `order` of the hierarchy named `other`; `after`: all of that one before `order` of `h`.
///
/// # Safety
///
/// `other` must be null or a string.
pub(super) unsafe fn set_across(
    h: Handle,
    other: *const c_char,
    order: c_uint,
    after: bool,
) -> Result {
    slot(h)?;
    if other.is_null() {
        return Err(EINVAL);
    }
    // SAFETY: Not null, so a string, by this function's contract.
    let name = unsafe { CStr::from_char_ptr(other) }.to_bytes();
    let other = Hierarchy::named(name)?;
    let (outer, inner) = if after {
        (other, h as usize)
    } else {
        (h as usize, other)
    };
    track::set_across(outer, inner, order)
}
