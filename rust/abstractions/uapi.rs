// SPDX-License-Identifier: GPL-2.0

//! The user ABI's structs as plain bytes, so that they can be copied from and to user space, and its
//! request codes.
//!
//! The layout is checked against the published one.

#[path = "../uapi/layout.rs"]
mod layout;

use self::layout::abi_layout;
use super::bindings;
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::transmute::{
    AsBytes,
    FromBytes, //
};

/// Returns the size of the field that `_field` projects to.
const fn size_of_field<T, F>(_field: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! declare {
    (
        structs {
            $($name:ident: $size:literal { $($field:ident @ $offset:literal),* $(,)? })*
        }
        requests {
            $($call:ident = $request:ident: $nr:ident($argument:ident) = $code:literal;)*
        }
    ) => {
        $(
            const _: () = {
                let mut end = 0;
                $(
                    assert!(offset_of!(bindings::$name, $field) == $offset);
                    assert!($offset == end);
                    end += size_of_field(|value: &bindings::$name| &value.$field);
                )*
                assert!(size_of::<bindings::$name>() == $size && $size == end);
            };

            // SAFETY: The struct consists of integers, arrays of them, and in one case an array of
            // another struct of this table, so any bytes are a value of it.
            unsafe impl FromBytes for bindings::$name {}
            // SAFETY: The assertions above show that each field starts where the one before it ends
            // and that the last one ends where the struct does, so there is no padding, in an array
            // of another struct of this table neither. Integers have no interior mutability.
            unsafe impl AsBytes for bindings::$name {}
        )*

        /// The codes of the ABI's requests, under their names in `reeve.h`.
        pub(crate) mod requests {
            use super::bindings;
            use kernel::ioctl::_IOWR;

            $(
                pub(crate) const $request: u32 =
                    _IOWR::<bindings::$argument>(bindings::REEVE_IOC_MAGIC, bindings::$nr);
                const _: () = assert!($request == $code);
            )*
        }
    };
}

abi_layout!(declare);
