// SPDX-License-Identifier: GPL-2.0

//! What threads have put aside: contexts that no task has, until they are restored.

use super::{
    life::{
        end_complete,
        give,
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
    lock_order::rules::{
        context_table::Found,
        held::Origin, //
    }, //
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
        current.settle();
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
    current.with_held(|held| {
        held.save_into(to);
        to.set_origin(held.origin());
    });
    // INVARIANT: The reference was taken.
    aside.saver.store(task, Relaxed);
    set_token(cookie, key as u64);
    // Nothing is held in it any more.
    current.settle();
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
    mut current: Current,
    cookie: Cookie,
    replaced: impl FnOnce(Current),
) -> Restored {
    let key = token(cookie);
    set_token(cookie, 0);
    if key == NOTHING || key == LOST {
        replaced(current);
        let done = current.with_held(|held| {
            held.reset(epoch());
            if key == LOST {
                held.forget();
            }
        });
        current.settle();
        return match done {
            // What was lost is reported as nothing that is held.
            None if key == NOTHING => Restored::NoContext,
            _ => Restored::Done,
        };
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
    // SAFETY: It was put aside, and is claimed from there: nothing else accesses it.
    let from = unsafe { &mut *aside.held.get() };
    if current.is_absent() && from.origin() != Origin::Entered {
        current = give().unwrap_or(current);
    }
    let is_kept = current.keep();
    replaced(current);
    let done = current.with_held(|held| from.save_into(held));
    current.note_unusual();
    if is_kept {
        current.finished();
    }
    let was_given = from.origin() != Origin::Entered;
    let saver = aside.saver.load(Relaxed);
    aside.saver.store(0, Relaxed);
    end_complete(aside, saver);
    if done.is_some() || was_given {
        Restored::Done
    } else {
        Restored::NoContext
    }
}
