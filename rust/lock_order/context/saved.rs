// SPDX-License-Identifier: GPL-2.0

//! What threads have put aside: contexts that no task has, until they are restored.

use super::{
    life::{
        end,
        set_token,
        take,
        token,
        Cookie,
        Current,
        TAKEN, //
    },
    table::{
        epoch,
        TABLE, //
    },
    words::Context, //
};
use crate::{
    abstractions::bindings,
    lock_order::rules::context_table::Found, //
};
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// The next key to put something aside with: odd, so no task's address, and not `TAKEN`.
static NEXT: Atomic<usize> = Atomic::new(TAKEN + 2);

/// Token of a save that had nothing to put aside.
const NOTHING: u64 = 2;
/// Token of a save that had no memory: what was held is forgotten.
const LOST: u64 = 4;

/// Moves what the caller holds aside, to be restored with `cookie`; `false`: it has no context.
///
/// # Safety
///
/// `cookie` must be valid for reads and writes during the call, and `task` be the current one, or 0
/// in an interrupt.
pub(crate) unsafe fn save(current: Current, task: usize, cookie: Cookie) -> bool {
    if current.is_absent() {
        set_token(cookie, NOTHING);
        return false;
    }
    let key = NEXT.fetch_add(2, Relaxed);
    let aside = match TABLE.find_or_claim(key) {
        Found::Claimed(aside) => Some(aside),
        _ => take(key),
    };
    let Some(aside) = aside else {
        current.with_held(|held| held.reset(epoch()));
        set_token(cookie, LOST);
        return true;
    };
    aside.cookie.store(0, Relaxed);
    aside.site.store(0, Relaxed);
    if task != 0 {
        // SAFETY: The current task is valid; the reference goes with `saver`.
        unsafe { bindings::reeve_helper_hold_task(task) };
    }
    // SAFETY: The context was just claimed, with a key that nothing else knows: nothing else
    // accesses it.
    let to = unsafe { &mut *aside.held.get() };
    to.reset(epoch());
    current.with_held(|held| held.save_into(to));
    // INVARIANT: The reference was taken.
    aside.saver.store(task, Relaxed);
    set_token(cookie, key as u64);
    true
}

/// What a restore did.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// The caller holds what was put aside.
    Done,
    /// It has no context.
    NoContext,
    /// Nothing was put aside with this cookie, or it was restored already.
    NotSaved,
}

/// Moves what was put aside with `cookie` back to the caller, in place of what it holds now, which
/// `replaced` sees before.
///
/// # Safety
///
/// `cookie` must be valid for reads and writes during the call.
pub(crate) unsafe fn restore(
    current: Current,
    cookie: Cookie,
    replaced: impl FnOnce(Current),
) -> Restored {
    let key = token(cookie);
    set_token(cookie, 0);
    let without = if current.is_absent() {
        Restored::NoContext
    } else {
        Restored::Done
    };
    if key == NOTHING || key == LOST {
        replaced(current);
        current.with_held(|held| {
            held.reset(epoch());
            if key == LOST {
                held.forget();
            }
        });
        return without;
    }
    let key = key as usize;
    if key & 1 == 0 || key == TAKEN {
        return Restored::NotSaved;
    }
    let Some(aside) = TABLE.find::<Context>(key) else {
        return Restored::NotSaved;
    };
    if aside.owner.cmpxchg(key, TAKEN, Full).is_err() {
        return Restored::NotSaved;
    }
    replaced(current);
    // SAFETY: It was put aside, and is claimed from there: nothing else accesses it.
    let from = unsafe { &mut *aside.held.get() };
    current.with_held(|held| from.save_into(held));
    let saver = aside.saver.load(Relaxed);
    aside.saver.store(0, Relaxed);
    end(aside, saver);
    without
}
