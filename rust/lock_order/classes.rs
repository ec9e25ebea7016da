// SPDX-License-Identifier: GPL-2.0

//! What [`own_lock_orders!`](crate::own_lock_orders), the declaration of this module's own locks,
//! gives: the types that are the order parameters of `typed`'s locks, with a lock class each.
#![deny(unsafe_code)]

use super::{
    hierarchy::{
        Hierarchy,
        Registered, //
    },
    rules::order::Order, //
};
use kernel::{
    prelude::*,
    sync::LockClassKey, //
};

/// An order whose locks lockdep knows as one class.
pub(crate) trait Class: Order {
    /// The class's name in lockdep's reports.
    const CLASS_NAME: &'static CStr;

    /// The class.
    fn class() -> Pin<&'static LockClassKey>;
}

/// Makes the types and their lock classes.
macro_rules! module_hierarchy {
    ($name:literal {
        $($(#[$meta:meta])* $kind:ident $([$nestable:ident])? $order:ident,)*
    }) => {
        $crate::lock_orders!(pub(crate) hierarchy $name {
            $($(#[$meta])* $([$nestable])? $order,)*
        });

        $(
            impl Class for $order {
                const CLASS_NAME: &'static CStr =
                    kernel::c_str!(concat!($name, ".", stringify!($order)));

                fn class() -> Pin<&'static LockClassKey> {
                    kernel::static_lock_class!()
                }
            }
        )*
    };
}

crate::own_lock_orders!(module_hierarchy);

/// The slot the module's hierarchy is in, in its first generation: it is the first to be registered.
const SLOT: u8 = 0;

/// Registers the hierarchy. Once per load, before any lock of the module is used.
pub(super) fn register() -> Result<Registered> {
    let registered = Registered::new(NAME, ORDERS, false)?;
    let slot = registered.hierarchy();
    if slot.id() != SLOT || slot.handle() != core::ptr::from_ref(slot) as usize {
        return Err(EBUSY);
    }
    for (order, &nestable) in (1..).zip(NESTABLE) {
        if nestable {
            registered.hierarchy().set_nestable(order)?;
        }
    }
    Ok(registered)
}

/// The registered hierarchy.
#[inline(always)]
pub(crate) fn hierarchy() -> &'static Hierarchy {
    Hierarchy::first()
}
