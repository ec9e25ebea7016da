// SPDX-License-Identifier: GPL-2.0-or-later

//! Lock orders as types: a hierarchy is declared once with [`lock_orders!`](crate::lock_orders).

#![deny(unsafe_code)]

/// One order of a hierarchy, as a type.
pub trait Order {
    /// Its number; 1 is outermost.
    const ORDER: u32;
    /// Its name.
    const NAME: &'static str;
    /// Whether several locks of it may be held, by ascending address.
    const NESTABLE: bool;
}

/// Declares a hierarchy: its name, then its orders, outermost first; each becomes a type.
///
/// `[nestable]` before a name allows several locks of the order, by ascending address. Also declares
/// `NAME`, `ORDERS` and `NESTABLE`: the hierarchy's name, its orders' and whether they are nestable,
/// outermost first. [`Order`] has to be in scope.
#[macro_export]
macro_rules! lock_orders {
    ($vis:vis hierarchy $name:literal { $($(#[$meta:meta])* $([$nestable:ident])? $order:ident,)* }) => {
        /// The orders as numbers.
        #[repr(u32)]
        #[allow(dead_code, clippy::enum_variant_names, reason = "0 is no order")]
        enum Number {
            None,
            $($order,)*
        }

        $(
            $(#[$meta])*
            $vis enum $order {}

            impl Order for $order {
                const ORDER: u32 = Number::$order as u32;
                const NAME: &'static str = stringify!($order);
                const NESTABLE: bool = $crate::lock_orders!(@is $($nestable)?);
            }
        )*

        /// The hierarchy's name.
        $vis const NAME: &str = $name;

        /// The orders' names, outermost first.
        $vis const ORDERS: &[&str] = &[$(<$order as Order>::NAME),*];

        /// Whether each order may be held several times, outermost first.
        $vis const NESTABLE: &[bool] = &[$(<$order as Order>::NESTABLE),*];
    };
    (@is nestable) => { true };
    (@is) => { false };
}
