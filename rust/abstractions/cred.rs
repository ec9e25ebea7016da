// SPDX-License-Identifier: GPL-2.0

//! What the current task may do, and the pages that its user has locked in memory.
//!
//! C headers: [`include/linux/capability.h`](srctree/include/linux/capability.h),
//! [`include/linux/sched/user.h`](srctree/include/linux/sched/user.h)

use super::bindings as helpers;
use core::ptr::NonNull;
use kernel::{
    bindings,
    page::PAGE_SHIFT,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    }, //
};

/// A capability in the initial user namespace.
#[derive(Clone, Copy)]
pub(crate) enum Capability {
    /// To lock any number of pages.
    IpcLock,
    /// To administrate the machine.
    SysAdmin,
    /// To exceed what a user may have.
    SysResource,
}

/// Returns whether the current task has a capability. Any context of a task.
pub(crate) fn capable(capability: Capability) -> bool {
    let number = match capability {
        Capability::IpcLock => helpers::REEVE_CAP_IPC_LOCK,
        Capability::SysAdmin => helpers::REEVE_CAP_SYS_ADMIN,
        Capability::SysResource => helpers::REEVE_CAP_SYS_RESOURCE,
    };
    // SAFETY: `capable()` wants a valid number, which these are, and reads the credentials of the
    // current task.
    unsafe { helpers::reeve_helper_capable(number) }
}

/// Returns the real user id of the current task, in the initial user namespace.
pub(crate) fn current_uid() -> u32 {
    // SAFETY: `current_uid()` reads the credentials of the current task.
    unsafe { helpers::reeve_helper_current_uid() }
}

/// Pages that count as locked by a user; dropping it ends that.
///
/// # Invariants
///
/// `user` is valid and this has a reference to it; its `locked_vm` has the pages.
pub(crate) struct LockedPages {
    user: NonNull<bindings::user_struct>,
    pages: usize,
}

// SAFETY: A `user_struct` is counted and its `locked_vm` is atomic: any task may change both.
unsafe impl Send for LockedPages {}
// SAFETY: There are no methods on shared references.
unsafe impl Sync for LockedPages {}

impl LockedPages {
    /// Counts `pages` pages against the `RLIMIT_MEMLOCK` of the current task's user, together with all
    /// that this user has locked elsewhere. `None`: the task has `CAP_IPC_LOCK`, so nothing is counted.
    ///
    /// Returns, as `mlock()` does, `EPERM` if the limit is 0 and `ENOMEM` if it is exceeded.
    pub(crate) fn new(pages: u64) -> Result<Option<Self>> {
        if capable(Capability::IpcLock) {
            return Ok(None);
        }
        // SAFETY: `rlimit()` reads a limit of the current task.
        let limit = unsafe { helpers::reeve_helper_memlock_limit() } >> PAGE_SHIFT;
        if limit == 0 {
            return Err(EPERM);
        }
        let pages = usize::try_from(pages).map_err(|_| ENOMEM)?;
        // SAFETY: The helper takes a reference to the user of the current task.
        let user = unsafe { helpers::reeve_helper_get_current_user() };
        let user = NonNull::new(user).ok_or(ENOMEM)?;
        // INVARIANT: The reference was taken just now. No pages are counted yet, and there are none.
        let mut locked = Self { user, pages: 0 };
        let counter = locked.counter();
        let mut before = counter.load(Relaxed);
        loop {
            let sum = before.checked_add(pages).filter(|&sum| sum <= limit);
            match counter.cmpxchg(before, sum.ok_or(ENOMEM)?, Full) {
                Ok(_) => break,
                Err(now) => before = now,
            }
        }
        // INVARIANT: The pages were added to the counter.
        locked.pages = pages;
        Ok(Some(locked))
    }

    /// Returns the number of pages that the user has locked.
    fn counter(&self) -> &Atomic<usize> {
        // SAFETY: By the type invariant the user is valid as long as `self`, and so is its field. An
        // `atomic_long_t` is laid out like an `Atomic<usize>`, and is changed by atomic operations only.
        unsafe {
            let counter = helpers::reeve_helper_locked_vm(self.user.as_ptr());
            Atomic::from_ptr(counter.cast())
        }
    }
}

impl Drop for LockedPages {
    fn drop(&mut self) {
        self.counter().fetch_sub(self.pages, Full);
        // SAFETY: By the type invariant this has a reference, which it does not use any more.
        unsafe { helpers::reeve_helper_put_user(self.user.as_ptr()) };
    }
}
