// SPDX-License-Identifier: GPL-2.0

//! A fence before a buffer object, which holds its writers back.
//!
//! What they meet is in [`dirty`](super::dirty): a fence is a part of the log. Here is what stands for one, and
//! lifts it.
#![deny(unsafe_code)]

use super::{
    object::{
        Bo,
        BoRef, //
    },
    reservation::Reservation, //
};
use crate::{
    abstractions::{
        anon_file::Kept,
        gate::Gate,
        list::Linked, //
    },
    lock_order::with_context, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// A fence: while it is there no content of the object changes. Dropping it lifts it. It does not count
/// as a use of the object, and goes with its log.
pub(crate) struct LogFence {
    bo: ARef<Linked<Bo>>,
    /// The number of the log; 0: it was not put.
    number: Atomic<u64>,
}

impl LogFence {
    /// Makes a fence that is not put yet. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(bo: &BoRef) -> Result<Arc<Self>> {
        let fence = Self {
            bo: bo.unused(),
            number: Atomic::new(0),
        };
        Ok(Arc::new(fence, GFP_KERNEL_ACCOUNT)?)
    }

    /// Puts it, once. When it returns nothing changes the content any more. `gate` is what those wait at
    /// who want to, if there is no other fence.
    ///
    /// Returns `ENOENT` if the object does not log, `EINTR` if a fatal signal arrived. May sleep and takes
    /// the reservation.
    pub(crate) fn put(&self, gate: Arc<Gate>) -> Result {
        let number = Reservation::take_killable(&self.bo)?.put_fence(gate)?;
        self.number.store(number, Relaxed);
        Ok(())
    }
}

impl Drop for LogFence {
    fn drop(&mut self) {
        let number = self.number.load(Relaxed);
        if number != 0 {
            // A file is released outside of any context.
            with_context(|| Reservation::take(&self.bo).lift_fence(number));
        }
    }
}

#[vtable]
impl Kept for LogFence {
    const NAME: &'static CStr = c"[reeve-fence]";
}
