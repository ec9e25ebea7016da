// SPDX-License-Identifier: GPL-2.0

//! What becomes of faults: how they end, and how they wait with their lock released.

use crate::{
    abstractions::{
        bindings as helpers,
        task::EndedBy, //
    },
    bo::rules::dirty::{
        self,
        Hold, //
    }, //
};
use core::ptr::NonNull;
use kernel::bindings;

/// The result of a fault, `vm_fault_t` in C.
#[must_use]
pub(crate) struct FaultResult(pub(super) bindings::vm_fault_t);

impl FaultResult {
    /// Whether the page is mapped now.
    pub(crate) fn is_mapped(&self) -> bool {
        self.0
            & (helpers::REEVE_FAULT_ERROR
                | helpers::REEVE_FAULT_FALLBACK
                | helpers::REEVE_FAULT_RETRY)
            == 0
    }
}

/// A fault whose lock was released: all that can be done is to retry it.
///
/// The mapping may go away meanwhile, and with it what keeps the module. So this holds the file that
/// was mapped, which keeps the module, until the fault is retried. If that reference is the last one,
/// the kernel releases the file when the task returns to user space: then no code of the fault runs any
/// more.
///
/// # Invariants
///
/// `file` is a reference of ours to a file, unless the lock was not released because the fault can't be
/// retried. The current task is no kernel thread then.
pub(crate) struct Unlocked {
    file: Option<NonNull<bindings::file>>,
    /// What tells the kernel to retry it.
    answer: bindings::vm_fault_t,
}

impl Unlocked {
    /// Makes a value for a fault whose lock was not released.
    pub(super) fn not() -> Self {
        // INVARIANT: There is no file.
        Self {
            file: None,
            answer: helpers::REEVE_FAULT_RETRY,
        }
    }

    /// Releases the lock of a fault, and keeps its file.
    ///
    /// # Safety
    ///
    /// `vmf` must be a valid fault of a mapping made by [`map`](super::map), of a task that is no kernel
    /// thread, with its lock held, and be answered by [`Unlocked::retry`].
    pub(super) unsafe fn new(vmf: NonNull<bindings::vm_fault>) -> Self {
        // SAFETY: The helper takes a reference to the file of a mapping, which has one while the fault's
        // lock is held, as it is by the contract.
        // INVARIANT: The reference becomes ours. By the contract the task is no kernel thread.
        let file = NonNull::new(unsafe { helpers::reeve_helper_fault_file(vmf.as_ptr()) });
        // SAFETY: `release_fault_lock()` wants a fault whose lock is held, and that it is not released
        // again: by the contract the kernel is told that it was.
        unsafe { helpers::reeve_helper_fault_unlock(vmf.as_ptr()) };
        Self {
            file,
            answer: helpers::REEVE_FAULT_RETRY,
        }
    }

    /// Makes the kernel retry the fault.
    pub(crate) fn retry(self) -> FaultResult {
        FaultResult(self.answer)
    }
}

/// A fault that can't go on before something has happened.
#[must_use]
pub(crate) enum Held {
    /// It can be waited for, until such a signal arrives; then the fault is retried.
    Waits(Unlocked, EndedBy),
    /// It can't.
    Ends(FaultResult),
}

/// What makes the kernel retry a fault, also one that was for `pfn_mkwrite`, where a retry alone is a yes:
/// who asks for an access looks for the retry, and who asks `pfn_mkwrite` for the other one.
const AGAIN: bindings::vm_fault_t = helpers::REEVE_FAULT_RETRY | helpers::REEVE_FAULT_NOPAGE;

impl Held {
    /// Holds a fault back.
    ///
    /// # Safety
    ///
    /// `vmf` must be a valid fault of a mapping made by [`map`](super::map), with its lock held. It must
    /// be answered with what this says.
    pub(super) unsafe fn new(vmf: NonNull<bindings::vm_fault>) -> Self {
        let mut patience = helpers::reeve_fault_patience::default();
        // SAFETY: The helper reads a valid fault and the current task, as it is by the contract.
        unsafe { helpers::reeve_helper_fault_patience(vmf.as_ptr(), &mut patience) };
        let hold = dirty::hold(patience.retry, patience.nowait, patience.interruptible);
        let ended_by = match hold {
            Hold::Refuse => return Self::Ends(FaultResult(helpers::REEVE_FAULT_SIGBUS)),
            Hold::Later => return Self::Ends(FaultResult(AGAIN)),
            Hold::Killable => EndedBy::Fatal,
            Hold::Interruptible => EndedBy::Any,
        };
        // SAFETY: By the contract the fault is valid and its lock held, and the kernel is told that it was
        // released: what waits ends as a retry. Only faults of tasks that are no kernel threads may be
        // retried, says the helper, and others are not held.
        let mut unlocked = unsafe { Unlocked::new(vmf) };
        unlocked.answer = AGAIN;
        Self::Waits(unlocked, ended_by)
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        if let Some(file) = self.file {
            // SAFETY: `fput()` drops a reference that the caller owns: by the type invariant we own
            // one, and it is not used again. In a task that is no kernel thread, the last one is
            // released on the return to user space, after the code of this module has returned.
            unsafe { bindings::fput(file.as_ptr()) };
        }
    }
}
