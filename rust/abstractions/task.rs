// SPDX-License-Identifier: GPL-2.0

//! What long loops have to do: reschedule, and stop when the task is being killed.

use super::bindings;
use kernel::prelude::*;

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
