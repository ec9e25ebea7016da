// SPDX-License-Identifier: GPL-2.0

//! Thread contexts: where a thread's held locks are kept and how they are found.
//!
//! Contexts lie on their threads' stacks. A table of slots, hashed by task address, leads from a
//! task to its context; a per-CPU hint in lock_order/api.c spares most look-ups. The algorithm is in
//! [`super::rules::context_table`]; here are the kernel's
//! atomics for it, and every access to a context.

mod look;
mod table;
mod words;

pub(crate) use super::rules::context_table::{
    EnterError,
    Left, //
};
use super::rules::{
    context_table::{
        self,
        Slot, //
    },
    held::HeldLocks, //
};
use crate::abstractions::bindings;
use core::ptr::{
    addr_of,
    NonNull, //
};
use kernel::{
    prelude::*,
    sync::atomic::Full, //
};
pub(crate) use look::{
    any_held,
    is_occupied,
    look_at,
    places,
    Holder, //
};
use look::{
    interrupt_contexts,
    LEVELS, //
};
use table::{
    epoch,
    ABSENT,
    EPOCH,
    NO_SLOT,
    TABLE, //
};
use words::{
    Context,
    Kernel, //
};

/// Makes the contexts of one CPU's interrupts empty ones, of this epoch.
///
/// # Safety
///
/// `contexts` must be those of the CPU that runs this, with interrupts off, in a task: so that none
/// of them is in use. (An NMI uses its own for a moment and leaves it empty.)
pub(crate) unsafe fn reset_interrupts(contexts: *mut bindings::reeve_thread_context) {
    for level in 0..LEVELS.len() {
        // SAFETY: By this function's contract `contexts` is one CPU's array, which has a context for
        // each level, and none of them is in use, so `level` is in bounds and nothing else accesses it.
        unsafe { init_context(contexts.add(level).cast()) };
    }
}

/// Prepares the table.
///
/// # Safety
///
/// Must be called once, before any other function of this file and before any interrupt records.
pub(crate) unsafe fn init() {
    // SAFETY: This function is called once and before any other of this file, by its contract; that
    // is what `look::init` asks for.
    unsafe { look::init() }
    for (_, _, context) in interrupt_contexts() {
        // SAFETY: The contexts are static, and by the contract nothing uses them yet.
        unsafe { (*context.as_ptr()).held.reset(0) };
    }
}

/// The caller's context, as the C entry points found it.
///
/// # Invariants
///
/// It is [`ABSENT`], or the context of the task or interrupt level that is running; nothing else
/// writes to it.
#[derive(Clone, Copy)]
pub(crate) struct Current(NonNull<Context>);

impl Current {
    /// Wraps what `reeve_context()` in lock_order/api.c found.
    ///
    /// # Safety
    ///
    /// `raw` must be the result of `reeve_context()` in this very call from C, and the value must
    /// not outlive that call.
    #[inline(always)]
    pub(crate) unsafe fn new(raw: *mut bindings::reeve_thread_context) -> Self {
        // SAFETY: Never null: `reeve_context()`, whose result `raw` is by the contract, follows a
        // slot that carries the task, which leads to its context whenever the task itself looks, or
        // returns an interrupt's, which is static.
        // INVARIANT: `reeve_context()` returns the context of the task or level that runs, or the
        // absent one, and the value does not outlive the call, by the contract.
        Self(unsafe { NonNull::new_unchecked(raw.cast()) })
    }

    fn is_absent(self) -> bool {
        core::ptr::eq(self.0.as_ptr(), addr_of!(ABSENT.0))
    }

    /// Runs `f`, a fast path, on the held locks.
    ///
    /// # Safety
    ///
    /// `f` must not write to an absent context's held locks, which have a flag set that makes the
    /// fast paths of [`HeldLocks`] decline. It must not call back into lock-order tracking.
    #[inline(always)]
    pub(crate) unsafe fn with_held_fast<R>(mut self, f: impl FnOnce(&mut HeldLocks) -> R) -> R {
        // SAFETY: The context is valid, initialised and the caller's own, by the invariant of
        // `Current`; an absent one is only read, for `f` does not write to it by this function's
        // contract.
        f(unsafe { &mut self.0.as_mut().held })
    }

    /// Runs `f` on the held locks as far as they are known; `None` when there is no context, and
    /// `unknown` while tracking is being switched.
    ///
    /// `f` must not call back into lock-order tracking.
    pub(crate) fn with_known<R>(
        self,
        unknown: R,
        f: impl FnOnce(&mut HeldLocks) -> R,
    ) -> Option<R> {
        self.with_held(|held| {
            if held.catch_up(epoch()) {
                f(held)
            } else {
                unknown
            }
        })
    }

    /// Runs `f` on the held locks; `None` when there is no context.
    ///
    /// `f` must not call back into lock-order tracking.
    pub(crate) fn with_held<R>(self, f: impl FnOnce(&mut HeldLocks) -> R) -> Option<R> {
        if self.is_absent() {
            return None;
        }
        // SAFETY: It is not absent; see there.
        Some(unsafe { self.with_held_fast(f) })
    }
}

/// What an enter did.
#[derive(PartialEq, Eq)]
pub(crate) enum Entered {
    /// The task has a context now.
    Outer,
    /// It had one already, or is an interrupt: nothing was done.
    Inner,
}

/// Starts a context for `task`, the current one, at `memory`. `task` 0: an interrupt.
///
/// # Safety
///
/// `memory` must be valid for writes of a `reeve_thread_context`, and must stay so, untouched by
/// anyone else, until [`leave`] is called with it by the same task.
pub(crate) unsafe fn enter(
    task: usize,
    memory: NonNull<bindings::reeve_thread_context>,
) -> Result<Entered, EnterError> {
    let context = memory.as_ptr().cast();
    // INVARIANT: The table leads to the context after `init`, and only until `leave`.
    // SAFETY: `memory` is valid for writes of a context until `leave`, by this function's contract.
    match TABLE.enter(task, context, || unsafe { init_context(context) })? {
        context_table::Entered::Outer(slot) => {
            set_hint(slot);
            Ok(Entered::Outer)
        }
        context_table::Entered::Inner => Ok(Entered::Inner),
    }
}

/// The usual [`enter`]; `false`: it is not that, nothing was done.
///
/// # Safety
///
/// As for [`enter`].
#[inline(always)]
pub(crate) unsafe fn enter_fast(
    task: usize,
    memory: NonNull<bindings::reeve_thread_context>,
) -> bool {
    let context = memory.as_ptr().cast();
    // INVARIANT: The table leads to the context after `init_context`, and only until `leave`.
    // SAFETY: `memory` is valid for writes of a context until `leave`, by this function's contract,
    // which is that of `enter`.
    match TABLE.enter_home(task, context, || unsafe { init_context(context) }) {
        Some(slot) => {
            set_hint(slot);
            true
        }
        None => false,
    }
}

/// # Safety
///
/// `context` must be valid for writes, and large enough (asserted above).
#[inline(always)]
unsafe fn init_context(context: *mut Context) {
    // SAFETY: `context` is valid for writes and large enough, by this function's contract. `reset`
    // only writes the header; the arrays behind it are plain integers, never read beyond what is in
    // use.
    unsafe { (*context).held.reset(epoch()) }
}

#[inline(always)]
fn set_hint(slot: &'static Slot<Kernel>) {
    // SAFETY: The table is static.
    unsafe { bindings::reeve_helper_set_hint(as_c(slot)) };
}

/// Ends the context of `task`, the current one, at `memory`; `last` sees what it holds before, unless
/// that is nothing.
pub(crate) fn leave(
    task: usize,
    memory: NonNull<bindings::reeve_thread_context>,
    last: impl FnOnce(Current),
) -> Left {
    let context = memory.cast::<Context>();
    TABLE.leave(task, context.as_ptr(), || {
        // SAFETY: The table runs this only for the context that the task, the current one, has.
        let held = unsafe { &mut (*context.as_ptr()).held };
        if !held.is_empty() && held.catch_up(epoch()) && !held.is_empty() {
            // INVARIANT: It is the context of the current task, by what the table promises here.
            last(Current(context));
        }
    })
}

/// The usual [`leave`], with nothing held; `false`: it is not that, nothing was done.
#[inline(always)]
pub(crate) fn leave_fast(task: usize, memory: NonNull<bindings::reeve_thread_context>) -> bool {
    let context = memory.as_ptr().cast::<Context>();
    // SAFETY: The table runs this only for the context that the task, the current one, has.
    TABLE.leave_home(task, context, || unsafe { (*context).held.is_empty() })
}

/// Moves what the caller holds into `to`; `false`: it has no context, and `to` holds nothing.
///
/// # Safety
///
/// `to` must be valid for writes and not be the caller's own context.
pub(crate) unsafe fn save(current: Current, to: NonNull<bindings::reeve_thread_context>) -> bool {
    // SAFETY: `to` is valid for writes and no task's context, by this function's contract; the reset
    // makes it a valid empty one.
    let to = unsafe { &mut *to.as_ptr().cast::<Context>() };
    to.held.reset(epoch());
    current
        .with_held(|held| held.save_into(&mut to.held))
        .is_some()
}

/// Moves what `from` holds back to the caller, in place of what it holds now; `None`: no context.
///
/// # Safety
///
/// `from` must have been filled by [`save`] and not be the caller's own context.
pub(crate) unsafe fn restore(
    current: Current,
    from: NonNull<bindings::reeve_thread_context>,
) -> Option<()> {
    // SAFETY: `save` filled it, by this function's contract, so it is an initialised context, and one
    // that no slot leads to: nothing else accesses it.
    let from = unsafe { &mut *from.as_ptr().cast::<Context>() };
    current.with_held(|held| from.held.save_into(held))
}

fn as_c(slot: &'static Slot<Kernel>) -> *mut bindings::reeve_slot {
    core::ptr::from_ref(slot).cast_mut().cast()
}

/// Returns what `reeve_rs_find_slot` gives to C; see lock_order.h.
pub(crate) fn slot_of(task: usize) -> *mut bindings::reeve_slot {
    as_c(TABLE.find(task).unwrap_or(&NO_SLOT))
}

/// Tracking starts, or ends, being switched. The caller has taken care that it is the only one.
pub(crate) fn next_epoch() {
    EPOCH.fetch_add(1, Full);
}

/// Which epoch of tracking it is; odd while it is being switched.
pub(crate) fn current_epoch() -> u32 {
    epoch()
}
