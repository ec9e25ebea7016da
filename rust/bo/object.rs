// SPDX-License-Identifier: GPL-2.0

//! A buffer object.
//!
//! C original: `struct ttm_buffer_object`.

use super::{
    charge::owners::Charges,
    client::ClientRef,
    device::Device,
    reservation::Reservation,
    rules::object::{
        BoFlags, //
        BoType,
    },
    tt::Tt, //
};
use crate::{
    abstractions::{
        list::Linked,
        task, //
    },
    lock_order::{
        classes::BoReservation,
        typed::Mutex, //
    }, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// A buffer object.
///
/// Its device's lists refer to it while it holds pages. That does not keep it alive: it ends with
/// the last [`BoRef`].
#[pin_data]
pub(crate) struct Bo {
    device: Arc<Device>,
    size: u64,
    ty: BoType,
    /// How many [`BoRef`]s there are.
    users: Atomic<u64>,
    /// Its sequence in its device's LRU and its open file's; written with that one's lock held.
    sequence: [Atomic<u64>; 2],
    /// What `Tt::resident_pages` said last; written with the reservation held and, while it is
    /// listed, with the lists' lock held.
    resident: Atomic<u64>,
    charges: Charges,
    #[pin]
    reserved: Mutex<Reserved, BoReservation>,
}

/// What the reservation protects.
pub(super) struct Reserved {
    /// None only before [`Reservation::create_tt`], in tests.
    pub(super) tt: Option<Tt>,
    /// Pins in force.
    pub(super) pins: u32,
}

impl Bo {
    /// The device it belongs to.
    #[inline]
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Bytes asked for when it was made.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What it is for.
    pub(crate) fn ty(&self) -> BoType {
        self.ty
    }

    /// Whom its pages are charged to besides the accounting.
    #[inline]
    pub(super) fn charges(&self) -> &Charges {
        &self.charges
    }

    /// The lock that [`Reservation`] takes.
    #[inline]
    pub(super) fn reserved(&self) -> &Mutex<Reserved, BoReservation> {
        &self.reserved
    }

    /// Its turn in the LRU numbered `N`.
    #[inline]
    pub(super) fn turn<const N: u64>(&self) -> u64 {
        self.turn_of(N).load(Relaxed)
    }

    /// Sets its turn in the LRU numbered `N`, whose lock is held.
    #[inline]
    pub(super) fn set_turn<const N: u64>(&self, turn: u64) {
        self.turn_of(N).store(turn, Relaxed);
    }

    #[inline]
    fn turn_of(&self, number: u64) -> &Atomic<u64> {
        let [first, second] = &self.sequence;
        if number == 0 {
            first
        } else {
            second
        }
    }

    /// Pages it holds, while it is listed.
    #[inline]
    pub(super) fn resident_pages(&self) -> u64 {
        self.resident.load(Relaxed)
    }

    /// Sets the pages it holds; the reservation is held, and if it is listed the lists' lock.
    #[inline]
    pub(super) fn set_resident_pages(&self, pages: u64) {
        self.resident.store(pages, Relaxed);
    }
}

/// A use of a buffer object.
///
/// When the last one is dropped, the object's pages, storage and charge go, whatever its state and
/// pins. That may sleep and takes the reservation, so drop it with no reservation or inner lock
/// held.
pub(crate) struct BoRef(Arc<Linked<Bo>>);

impl BoRef {
    /// Makes a buffer object of `device` with an empty TT: `size` bytes, `extra` pages behind them.
    ///
    /// `EINVAL`: a zero or overflowing size. `ENOMEM`: no memory. May sleep.
    #[allow(dead_code, reason = "for objects of drivers, and of tests")]
    pub(crate) fn new(
        device: &Arc<Device>,
        size: u64,
        extra: u64,
        ty: BoType,
        flags: BoFlags,
    ) -> Result<Self> {
        let tt = Tt::new(size, extra, flags)?;
        Self::make(device, size, ty, Some(tt), Charges::new(None))
    }

    /// Makes one that belongs to an open file. Otherwise as [`BoRef::new`].
    pub(crate) fn of_file(
        client: &ClientRef,
        device: &Arc<Device>,
        size: u64,
        extra: u64,
        ty: BoType,
        flags: BoFlags,
    ) -> Result<Self> {
        let tt = Tt::new(size, extra, flags)?;
        let charges = Charges::new(Some(client.shared().clone()));
        Self::make(device, size, ty, Some(tt), charges)
    }

    /// Makes a buffer object with or without a TT. `ENOMEM`. May sleep.
    #[cfg(reeve_kunit)]
    pub(super) fn with_tt(
        device: &Arc<Device>,
        size: u64,
        ty: BoType,
        tt: Option<Tt>,
    ) -> Result<Self> {
        Self::make(device, size, ty, tt, Charges::new(None))
    }

    fn make(
        device: &Arc<Device>,
        size: u64,
        ty: BoType,
        tt: Option<Tt>,
        charges: Charges,
    ) -> Result<Self> {
        let bo = Arc::pin_init(
            Linked::new(pin_init!(Bo {
                device: device.clone(),
                size,
                ty,
                users: Atomic::new(1),
                sequence: [const { Atomic::new(0) }; 2],
                resident: Atomic::new(0),
                charges,
                reserved <- Mutex::new(Reserved { tt, pins: 0 }),
            }? Error)),
            GFP_KERNEL,
        )?;
        device.accounting().object_made();
        Ok(Self(bo))
    }

    /// Reserves it, waiting for whoever has it reserved. May sleep.
    #[inline]
    pub(crate) fn reserve(&self) -> Reservation<'_> {
        Reservation::take(&self.0)
    }

    /// The object without being a use of it.
    pub(super) fn unused(&self) -> Arc<Linked<Bo>> {
        self.0.clone()
    }

    /// Reserves it if nobody else has.
    #[cfg(reeve_kunit)]
    pub(crate) fn try_reserve(&self) -> Option<Reservation<'_>> {
        Reservation::try_take(&self.0)
    }
}

impl Deref for BoRef {
    type Target = Bo;

    fn deref(&self) -> &Bo {
        &self.0
    }
}

impl Clone for BoRef {
    fn clone(&self) -> Self {
        self.0.users.fetch_add(1u64, Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for BoRef {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1u64, Full) == 1 {
            self.reserve().retire();
            self.0.device.accounting().object_gone();
            task::cond_resched();
        }
    }
}
