// SPDX-License-Identifier: GPL-2.0

//! What long loops have to do, reschedule and stop when the task is being killed; and what is not to be done by the
//! current task.

use super::bindings;
use kernel::{
    error::to_result,
    ffi::c_void,
    prelude::*, //
};

/// Which signals end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// Those that kill the task.
    Fatal,
    /// All.
    Any,
}

impl EndedBy {
    /// Reschedules if needed. Returns `EINTR` if such a signal arrived. May sleep.
    #[inline]
    pub(crate) fn cond_resched(self) -> Result {
        cond_resched_killable()?;
        // SAFETY: `signal_pending()` reads fields of the current task, which is valid and needs no lock
        // for this.
        if self == Self::Any && unsafe { bindings::reeve_helper_signal_pending() } {
            return Err(EINTR);
        }
        Ok(())
    }
}

/// Reschedules if needed. Returns `EINTR` if the current task is being killed.
///
/// May sleep.
#[inline]
pub(crate) fn cond_resched_killable() -> Result {
    cond_resched();
    if is_being_killed() {
        Err(EINTR)
    } else {
        Ok(())
    }
}

/// Returns whether the current task has a fatal signal. Any context of a task.
#[inline]
pub(crate) fn is_being_killed() -> bool {
    // SAFETY: `fatal_signal_pending()` reads fields of the current task, which is valid and needs
    // no lock for this.
    unsafe { bindings::reeve_helper_fatal_signal_pending() }
}

/// Reschedules if needed. May sleep.
#[inline]
pub(crate) fn cond_resched() {
    // SAFETY: `cond_resched()` must be called where sleeping is allowed, which this function asks
    // of its callers.
    unsafe { bindings::reeve_helper_cond_resched() };
}

/// Runs `f` in a thread of its own, which holds no locks, and waits for it.
///
/// Returns `ENOMEM` if there can't be such a thread, `EINTR` if a fatal signal arrived before it was made; `f` was not
/// run then. May sleep.
pub(crate) fn in_thread<F: FnOnce() + Send>(f: F) -> Result {
    let mut f = Some(f);
    // SAFETY: The helper may be called where sleeping is allowed, which is asked of the caller. It wants a function that
    // may be called with the pointer once, by another thread, before it returns: `run::<F>` wants one to an `Option<F>`
    // that nothing else uses meanwhile, which this local is, and `F` may be sent to that thread.
    let ran = unsafe { bindings::reeve_helper_run_in_thread(Some(run::<F>), (&raw mut f).cast()) };
    to_result(ran).map_err(|e| if e == EINTR { e } else { ENOMEM })
}

/// Runs an `F`, once.
///
/// # Safety
///
/// `data` must point to an `Option<F>` that is valid during the call, and that nothing else uses.
unsafe extern "C" fn run<F: FnOnce()>(data: *mut c_void) {
    // SAFETY: By the contract it points to a valid `Option<F>`, and there is no other reference to it.
    let f = unsafe { &mut *data.cast::<Option<F>>() };
    if let Some(f) = f.take() {
        f();
    }
}
