// SPDX-License-Identifier: GPL-2.0

//! Tracepoints of records: `reeve:lock_record` and `reeve:lock_unrecord`.
//!
//! While one of them is enabled the C entry points divert every record to here, so they cost
//! nothing otherwise. Their fields are documented in Documentation/lock-order.md.

use crate::{
    ffi::{
        hierarchy::Hierarchy,
        report, //
    },
    pure::held::LockUse, //
};

/// Traces a use of a lock that is about to be recorded; also one that is not correct. Any context.
pub(crate) fn recorded(hierarchy: usize, u: LockUse, unlock: bool) {
    match Hierarchy::at(hierarchy) {
        Some((slot, _)) => slot.with_names(|names| report::recorded(names, u, unlock)),
        None => report::recorded(None, u, unlock),
    }
}
