// SPDX-License-Identifier: GPL-2.0

//! Being a good citizen in long loops.

use super::bindings;
use kernel::prelude::*;

/// Lets others run, and fails with `EINTR` once the current task is being killed.
///
/// May sleep.
#[inline]
pub(crate) fn cond_resched_killable() -> Result {
    // SAFETY: We are in task context and may sleep; no other requirements.
    unsafe { bindings::reeve_shim_cond_resched() };
    // SAFETY: Looks at the current task only; no requirements.
    if unsafe { bindings::reeve_shim_fatal_signal_pending() } {
        Err(EINTR)
    } else {
        Ok(())
    }
}

/// Lets others run. May sleep.
#[inline]
pub(crate) fn cond_resched() {
    // SAFETY: We are in task context and may sleep; no other requirements.
    unsafe { bindings::reeve_shim_cond_resched() };
}
