// SPDX-License-Identifier: GPL-2.0

//! A gate that is closed at first and opened once, with tasks that wait for that.
//!
//! `kernel::sync::Completion` has no wait that signals end.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use super::task::EndedBy;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A gate that is closed until [`Gate::open`].
///
/// # Invariants
///
/// `inner` is an initialised completion.
#[pin_data]
pub(crate) struct Gate {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A completion belongs to no task: any task may use and free it.
unsafe impl Send for Gate {}
// SAFETY: `&self` methods only call functions of the completion, which do their own locking.
unsafe impl Sync for Gate {}

impl Gate {
    /// Makes a closed gate. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                // INVARIANT: It is initialised here.
                // SAFETY: `init_completion()` wants a place to write to that stays where it is, as
                // `slot` does for it is pinned.
                inner <- Opaque::ffi_init(|slot| unsafe { bindings::init_completion(slot) }),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Opens it for ever. Any context.
    pub(crate) fn open(&self) {
        // SAFETY: `complete_all()` wants an initialised completion, which it is by the type invariant.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// Waits until it is open. Returns `EINTR` if such a signal arrived before. May sleep.
    pub(crate) fn wait(&self, ended_by: EndedBy) -> Result {
        let completion = self.inner.get();
        let waited = match ended_by {
            // SAFETY: Waiting wants an initialised completion that stays, which it is by the type
            // invariant and for the borrow, and a context that may sleep, which this function asks of
            // its callers.
            EndedBy::Fatal => unsafe { bindings::wait_for_completion_killable(completion) },
            // SAFETY: This one wants the same: the completion is initialised and stays, by the type invariant
            // and for the borrow, and this function asks its callers for a context that may sleep.
            EndedBy::Any => unsafe { bindings::wait_for_completion_interruptible(completion) },
        };
        // It is `ERESTARTSYS`, which no call that waits here is to return.
        to_result(waited).map_err(|_| EINTR)
    }
}
