// SPDX-License-Identifier: GPL-2.0

//! The hierarchy of this module's own locks.
//!
//! This is the one place where their order is written down. The types below are the order
//! parameters of [`super::typed`]'s locks; Documentation/locking.md carries the same table.

use super::Registered;
use crate::ffi::hierarchy::Hierarchy;
use kernel::prelude::*;

/// One order of the module's hierarchy, as a type.
pub(crate) trait Order {
    /// Its number; 1 is outermost.
    const ORDER: u32;
}

/// Writes down a hierarchy, outermost order first; each order becomes a type.
macro_rules! hierarchy {
    ($name:literal { $($(#[doc = $doc:literal])* $([$nestable:ident])? $order:ident,)* }) => {
        /// The orders as numbers.
        #[repr(u32)]
        #[allow(clippy::enum_variant_names)]
        enum Number {
            /// Orders start at 1.
            #[expect(dead_code, reason = "0 is no order")]
            None,
            $($order,)*
        }

        $(
            $(#[doc = $doc])*
            pub(crate) enum $order {}

            impl Order for $order {
                const ORDER: u32 = Number::$order as u32;
            }
        )*

        /// The hierarchy's name.
        pub(crate) const NAME: &str = $name;

        /// The orders' names, outermost first.
        pub(crate) const ORDERS: &[&str] = &[$(stringify!($order)),*];

        /// Whether an order may be held several times, by ascending address; order 1 first.
        const NESTABLE: &[bool] = &[$(hierarchy!(@is $($nestable)?)),*];
    };
    (@is nestable) => { true };
    (@is) => { false };
}

hierarchy!("reeve" {
    /// A file's table of handles.
    FileHandles,
    /// A buffer object's reservation: its TT, pages and pin count. Another object's may be
    /// try-locked meanwhile, to swap it out.
    [nestable] BoReservation,
    /// The list of devices and their turns.
    DeviceList,
    /// A device's lists of populated buffer objects, the LRU among them. Spinlock.
    DeviceLru,
    /// The turn to look at other threads' held locks. Spinlock.
    ContextReader,
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
