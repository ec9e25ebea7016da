// SPDX-License-Identifier: GPL-2.0

//! What typed locks could do besides, of which the module makes no use yet: spinlocks that keep
//! interrupts off, and assertions.
#![deny(unsafe_code)]

use crate::lock_order::{
    classes::{
        self,
        Class, //
    },
    record,
    rules::flags::EXCLUSIVE,
    typed::Tracked, //
};
use kernel::sync::lock::{
    spinlock::SpinLockIrqBackend,
    Backend, //
};

/// A spinning lock of order `O` that keeps interrupts off while held. See
/// [`kernel::sync::SpinLockIrq`].
pub(super) type SpinLockIrq<T, O> = Tracked<T, SpinLockIrqBackend, O>;

impl<T, B: Backend, O: Class> Tracked<T, B, O> {
    /// Returns whether the calling thread holds the lock; if not, that is a violation.
    pub(super) fn assert_held(&self) -> bool {
        record::check_locked(classes::hierarchy(), self.address(), O::ORDER, EXCLUSIVE)
    }
}
