// SPDX-License-Identifier: GPL-2.0

//! What lockdep is told when a device is registered, before there is an object.
//!
//! What is taken inside of a reservation it knows since the module was loaded. Of reclaim it has to know one thing:
//! that memory is allocated while an object is reserved, so that a driver whose own shrinker waits for one is reported.
//! The other way round there is no order, as reclaim only tries reservations and the list of devices; and what it does
//! wait for are spinlocks, under which nothing is allocated.
//!
//! What the driver takes in `evict_begin()`, and a lock of its own that is no `dma_resv`, show when they are taken: in
//! the first populate, see [`prime_eviction`](super::link::Link::prime_eviction). Not before: while an object is being
//! made, what the driver gave for it need not be ready for its ops.
#![deny(unsafe_code)]

use super::link::as_reclaim;
use crate::{
    abstractions::{
        dma_resv,
        task, //
    },
    lock_order::{
        classes::BoReservation,
        typed::Mutex,
        with_context, //
    }, //
};
use kernel::prelude::*;

/// Tells lockdep what is allowed under a reservation, and, with `dma_resv`, that it is taken under a `dma_resv`.
///
/// It is done by a thread that holds nothing else: what the caller holds gets no place in the order, as it would by none
/// of these locks. Returns `ENOMEM` if there is no memory for that, `EINTR` if a fatal signal arrived. Does nothing
/// without lockdep. May sleep.
pub(super) fn prime(dma_resv: bool) -> Result {
    if !cfg!(CONFIG_LOCKDEP) {
        return Ok(());
    }
    let reservation = KBox::pin_init(Mutex::<(), BoReservation>::new(()), GFP_KERNEL)?;
    task::in_thread(|| {
        let reserve = || {
            with_context(|| {
                let _reserved = reservation.lock();
                as_reclaim(|| {});
            });
        };
        if dma_resv {
            dma_resv::with_any_locked(reserve);
        }
        reserve();
    })
}
