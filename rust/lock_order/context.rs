// SPDX-License-Identifier: GPL-2.0

//! Thread contexts: where a thread's held locks are kept and how they are found.
//!
//! Contexts are memory of the tracker's own, which stays what it is while the module is loaded; a
//! caller's `struct reeve_thread_context` only pairs an enter with its leave. A table, hashed by
//! task address, leads from a task to its context; a per-CPU hint in lock_order/api.c spares most
//! look-ups. The algorithm is in [`super::rules::context_table`]; here are the kernel's atomics for
//! it, and every access to a context.
//!
//! While a task has a context the tracker holds a reference to it, so that no other task gets its
//! address: who ended without leaving is found by [`sweep`], or at once where there are tracepoints.

mod handed;
mod life;
mod look;
mod saved;
mod table;
mod words;

use super::rules::{
    context_table::Found,
    held::{
        HeldLocks,
        Origin, //
    }, //
};
use crate::abstractions::bindings;
use core::ptr::NonNull;
pub(crate) use handed::{
    adopt,
    all_handed,
    forget_handed,
    forget_handed_of,
    hand_over,
    may_be_handed, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu, //
    },
};
use life::{
    as_c,
    begin,
    begun,
    end_complete,
    end_of,
    forget_task,
    set_token,
    start,
    take,
    token,
    Cookie,
    IS_UNUSUAL,
    TAKEN, //
};
pub(crate) use life::{
    give,
    Current, //
};
pub(crate) use look::{
    any_held,
    exclusively,
    find_held,
    holders,
    is_home,
    look_at,
    look_at_handed,
    Holder, //
};
use look::{
    interrupt_contexts,
    CONTEXTS, //
};
pub(crate) use saved::{
    restore,
    save,
    Restored, //
};
use table::{
    epoch,
    ABSENT,
    EPOCH,
    TABLE, //
};
use words::Context;

/// How many threads go on without a context, because there was no memory for one.
static REFUSED: Atomic<u32> = Atomic::new(0);

/// Makes the contexts of one CPU's interrupts empty ones, of this epoch.
///
/// # Safety
///
/// `contexts` must be those of the CPU that runs this, with interrupts off, in a task: so that none
/// of them is in use. (An NMI uses its own for a moment and leaves it empty.)
pub(crate) unsafe fn reset_interrupts(contexts: *mut bindings::reeve_context) {
    for level in 0..CONTEXTS as usize {
        // SAFETY: By this function's contract `contexts` is one CPU's array, which has a context for
        // each level, and none of them is in use, so `level` is in bounds and nothing else accesses it.
        unsafe { (*(*contexts.add(level).cast::<Context>()).held.get()).reset(epoch()) };
    }
}

/// Prepares the table. ENOMEM. May sleep.
///
/// # Safety
///
/// Must be called once, before any other function of this file and before any interrupt records.
pub(crate) unsafe fn init() -> Result<Stock> {
    // SAFETY: This function is called once and before any other of this file, by its contract; that
    // is what `look::init` asks for.
    unsafe { look::init() }
    // SAFETY: Nothing records yet, by this function's contract.
    kernel::error::to_result(unsafe { bindings::reeve_helper_irq_init() })?;
    let stock = Stock(());
    for (_, _, context) in interrupt_contexts() {
        // SAFETY: The contexts were just allocated, and by the contract nothing uses them yet.
        unsafe { (*context.held.get()).reset(0) };
    }
    // SAFETY: Called once and before anything enters, by this function's contract.
    kernel::error::to_result(unsafe { bindings::reeve_helper_stock_init() })?;
    Ok(stock)
}

/// The memory of all contexts; dropping it frees it.
pub(crate) struct Stock(());

impl Drop for Stock {
    fn drop(&mut self) {
        for context in TABLE.all() {
            let task = match context.owner.load(Relaxed) {
                owner if owner & 1 == 0 => owner,
                _ => context.saver.load(Relaxed),
            };
            forget_task(task);
        }
        // SAFETY: The module is about to go: what could enter a context, or has left one, uses its
        // functions, and so keeps it from going.
        unsafe {
            bindings::reeve_helper_stock_exit();
            bindings::reeve_helper_irq_exit();
        }
    }
}

/// What an enter did.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// The task has a context now.
    Outer,
    /// It had one already, or is an interrupt: nothing was done.
    Inner,
    /// It has one that was entered with this very cookie, which is in use.
    InUse,
    /// There is no memory for another context.
    Refused,
}

/// Marks a cookie whose enter was refused.
fn refused_token(cookie: Cookie) -> u64 {
    cookie.as_ptr() as u64 + 6
}

/// Marks a cookie that was entered with while an operation went on, in a context that was given.
fn busy_token(cookie: Cookie) -> u64 {
    cookie.as_ptr() as u64 + 4
}

/// Starts a context for `task`, the current one, entered with `cookie` at `site`. `task` 0: an
/// interrupt. `forgotten` is told a context of the task's whose leave is known never to come.
///
/// # Safety
///
/// `cookie` must be valid for reads and writes during the call.
#[inline]
pub(crate) unsafe fn enter(
    task: usize,
    cookie: Cookie,
    site: u32,
    forgotten: impl FnOnce(Current, u32),
) -> Entered {
    if task == 0 {
        set_token(cookie, 0);
        return Entered::Inner;
    }
    match TABLE.find_or_claim(task) {
        Found::Claimed(context) => {
            begin_entered(context, cookie, site);
            set_token(cookie, context.token());
            Entered::Outer
        }
        found => enter_again(found, task, cookie, site, forgotten),
    }
}

/// Makes `context`, which the current task has claimed, its own, entered with `cookie` at `site`.
fn begin_entered(context: &'static Context, cookie: Cookie, site: u32) {
    begin(context, cookie.as_ptr() as usize, site);
    // INVARIANT: It is the context of the current task.
    Current(context).note_unusual();
}

/// The usual [`enter`], of a task that has no context, with one that is at hand: returns `true`. `None`: it
/// is not that, nothing was done.
///
/// # Safety
///
/// As [`enter`].
#[inline(always)]
pub(crate) unsafe fn enter_fast(task: usize, cookie: Cookie, site: u32) -> Option<bool> {
    let epoch = epoch();
    if epoch & 1 != 0 {
        return None;
    }
    let context = TABLE.try_claim(task)?;
    start(context, cookie.as_ptr() as usize, site, epoch);
    set_token(cookie, context.token());
    // The last step, so that it is a jump.
    Some(begun(context))
}

#[cold]
fn enter_again(
    found: Found<Context>,
    task: usize,
    cookie: Cookie,
    site: u32,
    forgotten: impl FnOnce(Current, u32),
) -> Entered {
    let context = match found {
        Found::Own(context) => {
            // INVARIANT: It is the context of the current task.
            let current = Current(context);
            match is_entered(context, cookie, site) {
                Some(inner) => {
                    if inner == Entered::Inner {
                        set_token(cookie, 0);
                    }
                    return inner;
                }
                None if context.cookie.load(Relaxed) != 0 => {
                    forgotten(current, context.site.load(Relaxed));
                }
                None if current.origin() == Origin::Busy => {
                    set_token(cookie, busy_token(cookie));
                    return Entered::Inner;
                }
                // One that it was given by a record, which it goes on with.
                None => (),
            }
            if current.origin() != Origin::Entered && !current.look_fast(HeldLocks::is_empty) {
                context.cookie.store(cookie.as_ptr() as usize, Relaxed);
                context.site.store(site, Relaxed);
                current.set_origin(Origin::Within);
            } else {
                start(context, cookie.as_ptr() as usize, site, epoch());
            }
            current.note_unusual();
            context
        }
        _ => match take(task) {
            Some(context) => {
                begin_entered(context, cookie, site);
                context
            }
            None => {
                REFUSED.fetch_add(1, Relaxed);
                set_token(cookie, refused_token(cookie));
                return Entered::Refused;
            }
        },
    };
    set_token(cookie, context.token());
    Entered::Outer
}

/// Whether the current task is one of the kernel's own, which runs handlers, too.
pub(crate) fn is_kernel_thread() -> bool {
    // SAFETY: Reads the flags of the current task.
    unsafe { bindings::reeve_helper_is_kernel_thread() }
}

/// An interrupt's level is entered anew, in this context of its CPU's: what an earlier handler left
/// there, `left` is told.
///
/// # Safety
///
/// `raw` must be the context of the level that runs.
pub(crate) unsafe fn level_anew(raw: *mut bindings::reeve_context, left: impl FnOnce(Current)) {
    // SAFETY: It is a context, by this function's contract.
    let context = unsafe { &*raw.cast::<Context>() };
    // INVARIANT: It is the one of the level that runs, by this function's contract.
    let current = Current(context);
    if current.with_known(false, |held| !held.is_empty()) == Some(true) {
        left(current);
    }
    current.forget_all();
}

/// Whether the task, which enters with `cookie` now, is still inside of its `context`; `None`: it is
/// not, the leave was forgotten or the context was not entered at all.
fn is_entered(context: &Context, cookie: Cookie, site: u32) -> Option<Entered> {
    let old = context.cookie.load(Relaxed) & !IS_UNUSUAL;
    let entered = NonNull::new(core::ptr::with_exposed_provenance_mut(old))?;
    // SAFETY: `cookie` is valid for reads, and the helper reads another one only if it lies on the
    // stack of the current task.
    let is_over = unsafe {
        bindings::reeve_helper_is_over(entered.as_ptr(), cookie.as_ptr(), context.token())
    };
    match is_over {
        true => None,
        false if entered != cookie => Some(Entered::Inner),
        // The same call again: its frame is another one, although it looks the same.
        false if context.site.load(Relaxed) == site => None,
        false => Some(Entered::InUse),
    }
}

/// What a leave did.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// The task has no context any more.
    Outer,
    /// The context was an inner one, or refused: nothing was done.
    Inner,
    /// The task has not entered a context.
    NotEntered,
}

/// Ends the context that `task`, the current one, entered with `cookie`; `last` sees what it holds
/// before, unless that is nothing and tracking is enabled. `task` 0: an interrupt.
///
/// # Safety
///
/// `cookie` must be valid for reads and writes during the call, and `current` be the caller's.
pub(crate) unsafe fn leave(
    task: usize,
    cookie: Cookie,
    current: Current,
    last: impl FnOnce(Current),
) -> Left {
    if task == 0 {
        return Left::Inner;
    }
    let context = current.0;
    if current.is_absent() || context.cookie.load(Relaxed) == 0 {
        if token(cookie) == busy_token(cookie) {
            set_token(cookie, 0);
            return Left::Inner;
        }
        if token(cookie) != refused_token(cookie) {
            return Left::NotEntered;
        }
        set_token(cookie, 0);
        REFUSED.fetch_sub(1, Relaxed);
        return Left::Inner;
    }
    if context.cookie.load(Relaxed) & !IS_UNUSUAL != cookie.as_ptr() as usize {
        return Left::Inner;
    }
    if current.with_held(|held| held.is_clean()) != Some(true) {
        last(current);
    }
    if current.origin() == Origin::Within {
        context.cookie.store(0, Relaxed);
        context.site.store(0, Relaxed);
        current.with_held(HeldLocks::enable_all);
        // It holds what it held before the enter, or goes.
        current.finished();
    } else {
        end_complete(context, task);
    }
    Left::Outer
}

/// The usual [`leave`], with nothing held and tracking enabled: returns `true`. `None`: it is not that, nothing
/// was done.
#[inline(always)]
pub(crate) fn leave_fast(task: usize, cookie: Cookie, current: Current) -> Option<bool> {
    let context = current.0;
    // An interrupt's, and the absent one, were entered with no cookie. So there is a task.
    if context.cookie.load(Relaxed) != cookie.as_ptr() as usize {
        return None;
    }
    if !current.look_fast(HeldLocks::is_clean) {
        return None;
    }
    Some(end_of(context, task))
}

/// Whether some thread goes on without the context that it asked for.
pub(crate) fn are_some_refused() -> bool {
    REFUSED.load(Relaxed) != 0
}

/// Frees the contexts of tasks that have ended. `ended` is told each, with the task's address, which
/// is valid, and where it was entered. A task; `ended` must not sleep.
pub(crate) fn sweep(mut ended: impl FnMut(Current, usize, u32)) {
    for context in TABLE.all() {
        if context.owner.load(Relaxed) == 0 {
            continue;
        }
        let Some(task) = take_from_ended(context) else {
            continue;
        };
        // INVARIANT: It was claimed in the place of the task, which runs no more.
        ended(Current(context), task, context.site.load(Relaxed));
        context.saver.store(0, Relaxed);
        end_complete(context, task);
    }
}

/// Claims a context of a task that has ended; gives the task.
fn take_from_ended(context: &Context) -> Option<usize> {
    let _guard = rcu::read_lock();
    let owner = context.owner.load(kernel::sync::atomic::Acquire);
    let task = match owner {
        0 | TAKEN => return None,
        aside if aside & 1 != 0 => context.saver.load(Relaxed),
        task => task,
    };
    // SAFETY: The context led to the task in this read-side section, so there was a reference to it
    // then, see `Context`. If the task was alive, its last reference outlives the section; if it
    // was not, only what takes the context from it drops the reference, which fails below for all
    // but one.
    if task == 0 || !unsafe { bindings::reeve_helper_task_has_ended(task) } {
        return None;
    }
    context.owner.cmpxchg(owner, TAKEN, Full).ok().map(|_| task)
}

/// The current task, `task`, is about to end: frees its context. `ended` as for [`sweep`].
pub(crate) fn task_ends(task: usize, ended: impl FnOnce(Current, usize, u32)) {
    if let Some(context) = TABLE.find::<Context>(task) {
        // INVARIANT: It is the context of the current task.
        ended(Current(context), task, context.site.load(Relaxed));
        end_complete(context, task);
    }
}

/// Returns what `reeve_rs_find_context` gives to C; see lock_order.h.
pub(crate) fn context_of(task: usize) -> *mut bindings::reeve_context {
    as_c(TABLE.find(task).unwrap_or(&ABSENT))
}

/// Returns what `reeve_rs_soft_irq_context` gives to C: as an interrupt it has a context without being
/// given one by a record.
pub(crate) fn context_of_soft_irq() -> *mut bindings::reeve_context {
    as_c(give().map_or(&ABSENT, |given| given.0))
}

/// Tracking starts, or ends, being switched. The caller has taken care that it is the only one.
pub(crate) fn next_epoch() {
    forget_handed();
    EPOCH.fetch_add(1, Full);
}

/// Which epoch of tracking it is; odd while it is being switched.
pub(crate) fn current_epoch() -> u32 {
    epoch()
}
