// SPDX-License-Identifier: GPL-2.0

//! Functions that C calls.

/// Defines functions that C calls, whose types must agree with their C prototypes in the `bindings` of
/// the module that uses this.
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
pub(crate) use entry_points;
