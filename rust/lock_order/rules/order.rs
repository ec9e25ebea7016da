// SPDX-License-Identifier: GPL-2.0

//! Lock orders as types, and tokens that turn a wrong order into a compile error.
//!
//! A hierarchy is declared once with [`lock_orders!`](crate::lock_orders). Where a function takes
//! locks in a sequence that is known statically, it threads a [`Token`] through: a token of order
//! `A` gives out one of order `B` only if `A` was declared before `B`, and while that one is in use
//! the first cannot be used.

#![deny(unsafe_code)]

use core::marker::PhantomData;

/// One order of a hierarchy, as a type.
pub trait Order {
    /// Its number; 1 is outermost.
    const ORDER: u32;
    /// Its name.
    const NAME: &'static str;
    /// Whether several locks of it may be held, by ascending address.
    const NESTABLE: bool;
}

/// `Self` comes before `Inner`: a lock of order `Inner` may be taken while one of `Self` is held.
#[diagnostic::on_unimplemented(
    message = "wrong lock order: `{Inner}` cannot be taken while `{Self}` is held",
    label = "this lock comes before, or is of the same order as, one that is held",
    note = "locks are taken in the order in which their hierarchy declares them"
)]
pub trait Before<Inner: Order> {}

/// What a thread that holds nothing of a hierarchy has the [`Token`] of.
pub enum Nothing {}

/// Proof that the innermost lock held, of those taken through tokens, is of order `Held`.
///
/// A token is nothing at run time. It is neither `Clone` nor `Copy`; see [`Token::inner`].
pub struct Token<'a, Held>(PhantomData<&'a mut ()>, PhantomData<Held>);

impl Token<'static, Nothing> {
    /// The first token of a sequence. Whether the thread really holds nothing is the tracker's
    /// business, which checks every lock at run time as well.
    pub const fn nothing_held() -> Self {
        Self(PhantomData, PhantomData)
    }
}

impl<Held> Token<'_, Held> {
    /// The token to take further locks with while a lock of order `Inner` is held.
    ///
    /// It borrows this one, so that locks are also released in order.
    pub fn inner<Inner: Order>(&mut self) -> Token<'_, Inner>
    where
        Held: Before<Inner>,
    {
        Token(PhantomData, PhantomData)
    }
}

/// Declares a hierarchy: its name, then its orders, outermost first; each becomes a type.
///
/// `[nestable]` before a name allows several locks of the order, by ascending address. Also declares
/// `NAME`, `ORDERS` and `NESTABLE`: the hierarchy's name, its orders' and whether they are nestable,
/// outermost first. [`Order`], [`Before`] and [`Nothing`] have to be in scope.
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

            impl Before<$order> for Nothing {}
        )*

        $crate::lock_orders!(@before { $($order)* });

        /// The hierarchy's name.
        $vis const NAME: &str = $name;

        /// The orders' names, outermost first.
        $vis const ORDERS: &[&str] = &[$(<$order as Order>::NAME),*];

        /// Whether each order may be held several times, outermost first.
        $vis const NESTABLE: &[bool] = &[$(<$order as Order>::NESTABLE),*];
    };
    (@is nestable) => { true };
    (@is) => { false };
    (@before { $first:ident $($rest:ident)* }) => {
        $(impl Before<$rest> for $first {})*
        $crate::lock_orders!(@before { $($rest)* });
    };
    (@before {}) => {};
}
