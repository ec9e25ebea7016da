// SPDX-License-Identifier: GPL-2.0

//! Contexts, and the words by which the table leads to them, as the kernel has them.

use crate::{
    abstractions::bindings,
    lock_order::rules::{
        context_table::{
            self,
            Others,
            Owner,
            Slot, //
        },
        held::HeldLocks, //
    }, //
};
use core::cell::UnsafeCell;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
};

/// What `struct reeve_context` of lock_order.h really is.
///
/// # Invariants
///
/// - It lies in memory of the tracker's that stays a context while the module is loaded.
/// - `next` is null or leads to another such context.
/// - The one that claimed it accesses `held`, and nothing else does, but for readers that copy it as
///   integers. With an interrupt level's, which nothing claims, that is the interrupt.
/// - While `owner` is a task, or `saver` is not 0, the tracker holds a reference to that task.
#[repr(C, align(64))]
pub(crate) struct Context {
    pub(super) owner: Atomic<usize>,
    next: Atomic<*mut Context>,
    /// How often it was claimed, or which interrupt it is of.
    pub(super) serial: Atomic<u32>,
    /// Where it was entered.
    pub(super) site: Atomic<u32>,
    /// Where the enter's cookie was; only compared. 0: nothing was entered. One more: it takes a complete leave
    /// to give back what it has.
    pub(super) cookie: Atomic<usize>,
    /// The task that put it aside, if it is put aside.
    pub(super) saver: Atomic<usize>,
    /// The chain that it is in, and 1; 0: it is the first one there.
    chain: Atomic<u32>,
    pub(super) held: UnsafeCell<HeldLocks>,
}

// SAFETY: All but `held` are atomics; `held` has one accessor at a time by the type's invariants.
unsafe impl Sync for Context {}

const _: () = {
    use core::mem::{
        align_of,
        offset_of,
        size_of, //
    };
    assert!(
        size_of::<Context>() == size_of::<bindings::reeve_context>(),
        "REEVE_CONTEXT_WORDS in lock_order.h"
    );
    assert!(align_of::<Context>() == align_of::<bindings::reeve_context>());
    assert!(offset_of!(Context, owner) == offset_of!(bindings::reeve_context, owner));
    assert!(offset_of!(Context, next) == offset_of!(bindings::reeve_context, next));
    assert!(offset_of!(Context, serial) == offset_of!(bindings::reeve_context, serial));
};

impl Context {
    /// One that stands for that of a task without any.
    pub(super) const fn absent() -> Self {
        Self {
            owner: Atomic::new(0),
            next: Atomic::new(core::ptr::null_mut()),
            cookie: Atomic::new(0),
            saver: Atomic::new(0),
            chain: Atomic::new(0),
            serial: Atomic::new(0),
            site: Atomic::new(0),
            held: UnsafeCell::new(HeldLocks::absent()),
        }
    }

    /// What its enter wrote to the cookie: no other enter has written it for long.
    pub(super) fn token(&self) -> u64 {
        (core::ptr::from_ref(self) as u64).rotate_left(20) ^ u64::from(self.serial.load(Relaxed))
    }
}

fn as_ref(context: *mut Context) -> Option<&'static Context> {
    // SAFETY: Null, or a context by the invariants of `next` and `Head`, which stays one.
    unsafe { context.as_ref() }
}

fn as_ptr(context: Option<&'static Context>) -> *mut Context {
    context.map_or(core::ptr::null_mut(), |context| {
        core::ptr::from_ref(context).cast_mut()
    })
}

impl Owner for Atomic<usize> {
    #[inline(always)]
    fn load(&self) -> usize {
        self.load(Relaxed)
    }

    #[inline(always)]
    fn claim(&self, key: usize) -> bool {
        self.cmpxchg(0, key, Full).is_ok()
    }

    fn set(&self, key: usize) {
        self.store(key, Relaxed);
    }

    #[inline(always)]
    fn free(&self) {
        self.store(0, Release);
    }
}

impl Others for Atomic<u32> {
    fn add(&self) {
        self.fetch_add(1, Relaxed);
    }

    fn sub(&self) {
        self.fetch_sub(1, Relaxed);
    }

    #[inline(always)]
    fn is_none(&self) -> bool {
        self.load(Relaxed) == 0
    }
}

impl Slot for Context {
    type Owner = Atomic<usize>;

    #[inline(always)]
    fn owner(&self) -> &Atomic<usize> {
        &self.owner
    }

    #[inline(always)]
    fn chain(&self) -> Option<usize> {
        self.chain.load(Relaxed).checked_sub(1).map(|n| n as usize)
    }

    fn set_chain(&self, chain: usize) {
        self.chain.store(chain as u32 + 1, Relaxed);
    }

    #[inline(always)]
    fn next(&self) -> Option<&'static Self> {
        as_ref(self.next.load(Acquire))
    }

    fn set_next(&self, next: Option<&'static Self>) {
        // INVARIANT: `next` is a context.
        self.next.store(as_ptr(next), Relaxed);
    }

    fn replace_next(&self, old: Option<&'static Self>, new: &'static Self) -> bool {
        // INVARIANT: `new` is a context.
        let result = self.next.cmpxchg(as_ptr(old), as_ptr(Some(new)), Full);
        result.is_ok()
    }
}

/// The start of a chain.
///
/// # Invariants
///
/// `first` is null or leads to a context.
pub(super) struct Head {
    first: Atomic<*mut Context>,
    others: Atomic<u32>,
}

impl Head {
    pub(super) const fn new() -> Self {
        // INVARIANT: Null.
        Self {
            first: Atomic::new(core::ptr::null_mut()),
            others: Atomic::new(0),
        }
    }
}

impl context_table::Head<Context> for Head {
    type Others = Atomic<u32>;

    #[inline(always)]
    fn others(&self) -> &Atomic<u32> {
        &self.others
    }

    #[inline(always)]
    fn first(&self) -> Option<&'static Context> {
        as_ref(self.first.load(Acquire))
    }

    fn set_first(&self, new: &'static Context) -> bool {
        // INVARIANT: `new` is a context.
        let null = core::ptr::null_mut();
        let result = self.first.cmpxchg(null, as_ptr(Some(new)), Full);
        result.is_ok()
    }
}
