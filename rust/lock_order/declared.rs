// SPDX-License-Identifier: GPL-2.0

//! The hierarchy of this module's own locks.
//!
//! This is the one place where their order is written down. The types below are the order
//! parameters of [`super::typed`]'s locks; Documentation/locking.md has the same table.

use super::Registered;
use crate::{
    ffi::hierarchy::Hierarchy,
    pure::order::{
        Before,
        Nothing,
        Order, //
    }, //
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

/// Declares the hierarchy, and a lock class for each order.
macro_rules! module_hierarchy {
    ($name:literal { $($(#[$meta:meta])* $([$nestable:ident])? $order:ident as $class:literal,)* }) => {
        $crate::lock_orders!(pub(crate) hierarchy $name {
            $($(#[$meta])* $([$nestable])? $order,)*
        });

        $(
            impl Class for $order {
                const CLASS_NAME: &'static CStr = $class;

                fn class() -> Pin<&'static LockClassKey> {
                    kernel::static_lock_class!()
                }
            }
        )*
    };
}

module_hierarchy!("reeve" {
    /// A file's table of handles.
    FileHandles as c"reeve.FileHandles",
    /// A buffer object's reservation: its TT, pages and pin count. Another object's may be
    /// try-locked meanwhile, to swap it out.
    [nestable] BoReservation as c"reeve.BoReservation",
    /// The list of devices and their turns.
    DeviceList as c"reeve.DeviceList",
    /// A device's lists of populated buffer objects, the LRU among them. Spinlock.
    DeviceLru as c"reeve.DeviceLru",
    /// The turn to look at other threads' held locks. Spinlock.
    ContextReader as c"reeve.ContextReader",
});

/// The slot the module's hierarchy is in: it is the first to be registered.
const SLOT: u8 = 0;

/// Registers the hierarchy. Once per load, before any lock of the module is used.
pub(super) fn register() -> Result<Registered> {
    let registered = Registered::new(NAME, ORDERS, false)?;
    if registered.0.id() != SLOT {
        return Err(EBUSY);
    }
    for (order, &nestable) in (1..).zip(NESTABLE) {
        if nestable {
            registered.0.set_nestable(order)?;
        }
    }
    Ok(registered)
}

/// The registered hierarchy.
#[inline(always)]
pub(crate) fn hierarchy() -> &'static Hierarchy {
    Hierarchy::first()
}
