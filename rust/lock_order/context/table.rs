// SPDX-License-Identifier: GPL-2.0

//! The table that leads from a task to its context, and the epoch of tracking.

use super::words::{
    Context,
    Kernel, //
};
use crate::{
    abstractions::bindings,
    lock_order::rules::{
        context_table::{
            Slot,
            Table, //
        },
        held::HeldLocks, //
    }, //
};
use core::ptr::addr_of;
use kernel::sync::atomic::Atomic;

/// Slots in the table; a power of two. More threads than this cannot have a context at once.
pub(super) const SLOTS: usize = 2048;

const _: () = {
    use core::mem::{
        align_of,
        offset_of,
        size_of, //
    };
    assert!(
        size_of::<Context>() <= size_of::<bindings::reeve_thread_context>(),
        "struct reeve_thread_context in reeve/lock_order.h is too small"
    );
    assert!(align_of::<Context>() <= 8);
    assert!(size_of::<Slot<Kernel>>() == size_of::<bindings::reeve_slot>());
    assert!(offset_of!(Slot<Kernel>, task) == offset_of!(bindings::reeve_slot, task));
    assert!(offset_of!(Slot<Kernel>, context) == offset_of!(bindings::reeve_slot, ctx));
};

const fn slot(context: *mut Context) -> Slot<Kernel> {
    Slot::new(Atomic::new(0), Atomic::new(context), Atomic::new(0))
}

pub(super) static TABLE: Table<Kernel, SLOTS> = Table::new(
    [const { slot(core::ptr::null_mut()) }; SLOTS],
    Atomic::new(core::ptr::null_mut()),
);

/// Makes a context that is only ever read shareable.
pub(super) struct ReadOnly(pub(super) Context);

// SAFETY: Shared references to it are all there is, and nothing writes through them: it is an immutable static, and the fast paths decline it.
unsafe impl Sync for ReadOnly {}

/// The context of those who have none.
pub(super) static ABSENT: ReadOnly = ReadOnly(Context {
    held: HeldLocks::absent(),
});

/// Leads to [`ABSENT`]; no task ever claims it.
pub(super) static NO_SLOT: Slot<Kernel> = slot(addr_of!(ABSENT.0).cast_mut());

/// The epoch of tracking: two more for each time it was switched; odd while it is being switched.
pub(super) static EPOCH: Atomic<u32> = Atomic::new(0);

#[inline(always)]
pub(super) fn epoch() -> u32 {
    // SAFETY: `as_ptr` is valid and aligned; the LKMM lets a volatile read of a machine word race
    // with atomic operations.
    unsafe { EPOCH.as_ptr().read_volatile() }
}
