// SPDX-License-Identifier: GPL-2.0

//! Reports in the kernel log, through printk's own symbol names and rate limits.

use super::bindings;
use crate::pure::held::Entry;

/// The first line of a report.
pub(crate) struct Head<'a> {
    /// The hierarchy's name.
    pub(crate) hierarchy: &'a [u8],
    /// What the thread was doing.
    pub(crate) doing: &'a [u8],
    /// The name of the order it was about.
    pub(crate) order_name: &'a [u8],
    /// That order.
    pub(crate) order: u32,
    /// The lock's address.
    pub(crate) lock: usize,
    /// What is wrong.
    pub(crate) fault: &'a [u8],
    /// Where the call came from.
    pub(crate) site: u32,
}

/// Whether one more report may go to the log now; one `true` is one report.
pub(crate) fn is_allowed() -> bool {
    // SAFETY: No requirements; any context.
    unsafe { bindings::reeve_shim_report_allowed() }
}

/// Logs the first line, with the current task's name and pid.
pub(crate) fn head(head: &Head<'_>) {
    // SAFETY: Each pointer is valid for reads of the length passed with it.
    unsafe {
        bindings::reeve_shim_report_head(
            head.hierarchy.as_ptr(),
            head.hierarchy.len(),
            head.doing.as_ptr(),
            head.doing.len(),
            head.order_name.as_ptr(),
            head.order_name.len(),
            head.order,
            head.lock,
            head.fault.as_ptr(),
            head.fault.len(),
            head.site,
        )
    }
}

/// Logs a report that is about no single order; `hierarchy` may be empty.
pub(crate) fn plain(hierarchy: &[u8], doing: &[u8], fault: &[u8], site: u32) {
    // SAFETY: Each pointer is valid for reads of the length passed with it.
    unsafe {
        bindings::reeve_shim_report_plain(
            hierarchy.as_ptr(),
            hierarchy.len(),
            doing.as_ptr(),
            doing.len(),
            fault.as_ptr(),
            fault.len(),
            site,
        )
    }
}

/// Logs one held lock.
pub(crate) fn held(order_name: &[u8], entry: &Entry, conflicts: bool) {
    // SAFETY: The pointer is valid for reads of the length passed with it.
    unsafe {
        bindings::reeve_shim_report_held(
            order_name.as_ptr(),
            order_name.len(),
            entry.order.into(),
            entry.instance,
            entry.exclusive,
            conflicts,
            entry.site,
        )
    }
}
