// SPDX-License-Identifier: GPL-2.0

//! The registered hierarchies with their names.
#![deny(unsafe_code)]

use crate::lock_order::hierarchy::{
    Hierarchy,
    Names, //
};

/// Runs `f`, which must not sleep, for each hierarchy that is registered.
pub(super) fn for_each_named(mut f: impl FnMut(&Hierarchy, &Names)) {
    for (_, slot) in Hierarchy::all() {
        slot.with_names(|names| {
            if let Some(names) = names {
                f(slot, names);
            }
        });
    }
}
