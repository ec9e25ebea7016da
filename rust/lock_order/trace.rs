// SPDX-License-Identifier: GPL-2.0

//! Tracepoints of records: `reeve:lock_record` and `reeve:lock_unrecord`.
//!
//! While one of them is enabled the C entry points divert every record to here, so they cost
//! nothing otherwise. Their fields are documented in Documentation/lock-order.md.
#![deny(unsafe_code)]

use super::{
    hierarchy::Hierarchy,
    print,
    rules::held::LockUse, //
};

/// Traces a use of a lock that is about to be recorded; also one that is not correct. Any context.
pub(crate) fn recorded(hierarchy: usize, u: LockUse, unlock: bool) {
    match Hierarchy::at(hierarchy) {
        Some(slot) => slot.with_names(|names| print::recorded(names, u, unlock)),
        None => print::recorded(None, u, unlock),
    }
}
