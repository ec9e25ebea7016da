// SPDX-License-Identifier: GPL-2.0

//! Teaches lockdep the declared order, by taking one lock of each order once, outermost first.
//!
//! Lockdep by itself only knows the orders that have run, and reports an inversion when both have.
//! Primed, it reports the first inversion, even if the right order never ran. After
//! `dma_resv_lockdep()`.

use super::{
    declared::{
        BoReservation,
        ContextReader,
        DeviceList,
        DeviceLru,
        FileHandles, //
    },
    typed::{
        recorded,
        Mutex,
        SpinLock, //
    },
    with_context, //
};
use crate::ffi::context;
use kernel::prelude::*;

fn boxed<T>(lock: impl PinInit<T>) -> Result<Pin<KBox<T>>> {
    KBox::pin_init(lock, GFP_KERNEL)
}

/// Takes the locks. Process context, may sleep; nothing held. Does nothing without lockdep.
pub(super) fn prime() -> Result {
    if !cfg!(CONFIG_LOCKDEP) {
        return Ok(());
    }
    let file_handles = boxed(Mutex::<(), FileHandles>::new(()))?;
    let reservation = boxed(Mutex::<(), BoReservation>::new(()))?;
    let device_list = boxed(Mutex::<(), DeviceList>::new(()))?;
    let device_lru = boxed(SpinLock::<(), DeviceLru>::new(()))?;
    with_context(|| {
        let _file_handles = file_handles.lock();
        let _reservation = reservation.lock();
        let _device_list = device_list.lock();
        let _device_lru = device_lru.lock();
        recorded::<ContextReader, _>(|| context::any_held(|_| false));
    });
    // In a build that is broken on purpose: the first inversion, for lockdep to find.
    #[cfg(reeve_break_lockdep)]
    with_context(|| {
        let _device_list = device_list.lock();
        let _reservation = reservation.lock();
    });
    Ok(())
}
