// SPDX-License-Identifier: GPL-2.0

//! The table that leads from a task to its context, and the epoch of tracking.

use super::words::{
    Context,
    Head, //
};
use crate::lock_order::rules::context_table::Table;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Chains in the table; a power of two. With half as many threads in contexts, most are alone in theirs.
pub(super) const CHAINS: usize = 4096;

pub(super) static TABLE: Table<Head, CHAINS> = Table::new([const { Head::new() }; CHAINS]);

/// The context of those who have none: the fast paths decline it, so nothing writes to it.
pub(super) static ABSENT: Context = Context::absent();

/// The epoch of tracking: two more for each time it was switched; odd while it is being switched.
pub(super) static EPOCH: Atomic<u32> = Atomic::new(0);

#[inline(always)]
pub(super) fn epoch() -> u32 {
    EPOCH.load(Relaxed)
}
