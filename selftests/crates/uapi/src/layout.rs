// SPDX-License-Identifier: GPL-2.0-or-later

//! The published layout, asserted of the bindings at compile time.

#[path = "../../../../rust/uapi/layout.rs"]
mod table;

use std::mem::offset_of;

use crate::sys::*;

pub(crate) use table::abi_layout;

macro_rules! check {
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
                assert!(size_of::<$name>() == $size, concat!(stringify!($name), ": size"));
                assert!(align_of::<$name>() <= 8, concat!(stringify!($name), ": alignment"));
                $(
                    assert!(
                        offset_of!($name, $field) == $offset,
                        concat!(stringify!($name), ": offset of ", stringify!($field))
                    );
                )*
            };
        )*
        $(
            const _: () = assert!(
                nix::request_code_readwrite!(REEVE_IOC_MAGIC, $nr, size_of::<$argument>())
                    == $code,
                concat!(stringify!($request), ": not the published request code")
            );
        )*
    };
}

abi_layout!(check);
