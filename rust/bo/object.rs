// SPDX-License-Identifier: GPL-2.0

//! A buffer object.
//!
//! C original: `struct ttm_buffer_object`.
#![deny(unsafe_code)]

use super::{
    api::link::{
        DriverOps,
        Link, //
    },
    charge::{
        groups,
        owners::Charges,
        pins::PinCharge, //
    },
    client,
    device,
    dirty::DirtyLog,
    lru::LruItem,
    reclaim::EvictScope,
    rules::{
        client_limit::Holdings,
        object::{
            BoFlags,
            BoType, //
        },
        state::State, //
    },
    trace::ObjectId,
    tt::Tt, //
};
use crate::{
    abstractions::{
        list::{
            Housed,
            Linked, //
        },
        memcg::{
            Marked,
            Marker, //
        },
        published::Published,
        slab::Slab, //
    },
    lock_order::{
        classes::BoReservation,
        typed::Mutex, //
    }, //
};
use core::{
    mem::size_of,
    ops::Deref, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The device of a buffer object.
pub(crate) type Device = device::Device<Bo>;

/// The client that owns buffer objects.
pub(crate) type Client = client::Client<Bo>;

/// An open file's client.
pub(crate) type ClientRef = client::ClientRef<Bo>;

/// A buffer object.
///
/// Its device's lists refer to it while it holds pages. That does not keep it alive: it is destroyed
/// with the last [`BoRef`].
#[pin_data]
pub(crate) struct Bo {
    device: Arc<Device>,
    size: u64,
    ty: BoType,
    /// Whether its pages are from a DMA32 pool.
    dma32: bool,
    /// Whether its pages live in a file, from which swapping out needs no copy.
    in_file: bool,
    /// How many [`BoRef`]s there are.
    users: Atomic<u64>,
    /// Its sequence numbers in the LRUs of its device, its client and its dmem cgroup.
    sequence: [Atomic<u64>; 3],
    /// What [`Tt::resident_pages`] returned last; written with the reservation held and, while it is
    /// listed, with the lists' lock held.
    resident: Atomic<u64>,
    charges: Charges<Bo>,
    /// Whether its pages are cleared, so that user space may see them.
    clear: bool,
    /// What its driver has of it, if it is a driver's.
    link: Option<Link>,
    /// The log that its TT has, for write faults; changed with the reservation held.
    log: Published<DirtyLog>,
    #[pin]
    reserved: Mutex<Reserved, BoReservation>,
}

/// What the reservation protects.
pub(super) struct Reserved {
    /// None only before `Reservation::create_tt`, in tests.
    pub(super) tt: Option<Tt>,
    /// Pins in force.
    pub(super) pins: u32,
    /// Whether eviction drops its content rather than keeping it.
    pub(super) purgeable: bool,
    /// What these are charged to, if a client owns the object.
    pub(super) pin_charge: Option<PinCharge>,
    /// What its client shows that it holds.
    pub(super) shown: Holdings,
    /// The pages that are counted as being in storage.
    pub(super) stored: u64,
    /// Its place among the objects of the memory cgroup that populated it, in which it is while it is in the
    /// LRU of its device; `None`: there is no such cgroup.
    pub(super) marker: Option<Marker<Linked<Bo>>>,
    /// Its charge to the dmem cgroup that populated it: for all its pages, until none is left.
    pub(super) dmem: Option<groups::Charged<Bo>>,
}

impl Reserved {
    /// Returns whether it holds nothing but its place among the objects, and so may just go.
    #[inline]
    fn is_idle(&self) -> bool {
        self.tt.as_ref().is_none_or(Tt::holds_nothing) && self.stored == 0 && self.dmem.is_none()
    }

    /// Returns the number of pages whose content is in storage now.
    #[inline]
    pub(super) fn stored_pages(&self) -> u64 {
        match &self.tt {
            Some(tt) if tt.state() == State::Swapped || tt.state().is_backed_up() => {
                tt.num_pages() - tt.resident_pages()
            }
            _ => 0,
        }
    }

    /// Returns what the object holds now.
    #[inline]
    pub(super) fn holdings(&self) -> Holdings {
        let Some(tt) = &self.tt else {
            return Holdings::default();
        };
        let (total, resident, state) = (tt.num_pages(), tt.resident_pages(), tt.state());
        let outside = total - resident;
        Holdings {
            objects: 1,
            total,
            resident,
            charged: tt.charged_pages(),
            pinned: if self.pins != 0 { resident } else { 0 },
            swapped: if state == State::Swapped { outside } else { 0 },
            backed_up: if state.is_backed_up() { outside } else { 0 },
            logging: tt.log().is_some().into(),
        }
    }
}

impl Bo {
    /// The bytes of one.
    pub(crate) const BYTES: usize = size_of::<Linked<Self>>();

    /// Returns the device it belongs to.
    #[inline]
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Returns the size in bytes with which it was made.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns how many pages have to be copied to evict it, as far as can be told without the
    /// reservation.
    #[inline]
    pub(super) fn copied_pages(&self) -> u64 {
        if self.in_file {
            0
        } else {
            self.resident.load(Relaxed)
        }
    }

    /// Returns its type.
    pub(crate) fn ty(&self) -> BoType {
        self.ty
    }

    /// Returns whether its pages are cleared, so that user space may see them.
    #[inline]
    pub(crate) fn clears(&self) -> bool {
        self.clear
    }

    /// Returns what is asked before its pages go.
    #[inline]
    pub(super) fn driver(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Returns what its pages are charged to besides the accounting.
    #[inline]
    pub(super) fn charges(&self) -> &Charges<Bo> {
        &self.charges
    }

    /// Returns the log that write faults find.
    #[inline]
    pub(super) fn log(&self) -> &Published<DirtyLog> {
        &self.log
    }

    /// Returns the lock that a reservation holds.
    #[inline]
    pub(super) fn reserved(&self) -> &Mutex<Reserved, BoReservation> {
        &self.reserved
    }

    /// Returns what names it in traces.
    #[inline]
    pub(super) fn id(&self) -> ObjectId {
        ObjectId {
            device: self.device.index(),
            address: core::ptr::from_ref(self).addr(),
        }
    }

    /// Ends the object, which nothing else refers to, if it holds nothing: only what it shows is left. Returns whether
    /// that is so.
    #[inline(always)]
    pub(super) fn end(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        let charges = this.charges;
        let ended = this.reserved.alone(|reserved| {
            let is_idle = reserved.is_idle();
            if is_idle && charges.have_client() {
                charges.replace_alone(&reserved.shown, &Holdings::default());
            }
            is_idle
        });
        ended == Some(true)
    }

    /// Removes one use and returns whether it was the last.
    pub(super) fn drop_use(&self) -> bool {
        self.users.fetch_sub(1u64, Full) == 1
    }

    /// Returns whether it is one of the objects in `scope`. Any context.
    #[inline]
    pub(super) fn is_in(&self, scope: EvictScope<'_>) -> bool {
        match scope {
            EvictScope::Any => true,
            EvictScope::Dma32 => self.dma32,
            EvictScope::Client(number) => self.charges.are_of(number),
            // They have lists of their own.
            EvictScope::Dmem(_) => true,
            EvictScope::Memcg(_) => false,
        }
    }
}

impl Housed for Bo {
    type Memory = Slab<{ Bo::BYTES }>;
}

impl Marked for Linked<Bo> {
    fn pages(&self) -> u64 {
        self.resident.load(Relaxed)
    }
}

impl LruItem for Bo {
    #[inline]
    fn sequence(&self, list: u64) -> &Atomic<u64> {
        let [device, client, cgroup] = &self.sequence;
        match list {
            0 => device,
            1 => client,
            _ => cgroup,
        }
    }

    #[inline]
    fn resident(&self) -> &Atomic<u64> {
        &self.resident
    }

    #[inline]
    fn is_dma32(&self) -> bool {
        self.dma32
    }
}

/// A counted use of a buffer object.
///
/// Dropping the last one destroys the object: it frees the pages, the storage and the charge,
/// whatever the state and the pins. That may sleep and takes the reservation, so drop it with no
/// reservation or inner lock held.
pub(crate) struct BoRef(pub(super) ARef<Linked<Bo>>);

/// What an object is to be like.
pub(super) struct Made<'a> {
    /// The client that owns it, if one does.
    pub(super) client: Option<&'a ARef<Linked<Client>>>,
    /// Its bytes, and the pages behind them.
    pub(super) size: u64,
    pub(super) extra: u64,
    pub(super) ty: BoType,
    /// Those of its TT.
    pub(super) flags: BoFlags,
    /// What one of a driver has besides.
    pub(super) of: Option<OfDriver<'a>>,
}

/// What an object of a driver has besides.
pub(super) struct OfDriver<'a> {
    /// Whether pages without content are cleared.
    pub(super) clear: bool,
    /// Whether eviction drops the content rather than keeping it.
    pub(super) purgeable: bool,
    pub(super) driver: &'a Arc<DriverOps>,
    /// What it is called by the driver, and what that has given for it.
    pub(super) handle: u64,
    pub(super) private: usize,
}

impl BoRef {
    /// Returns a counted use of `bo`; `None`: it is being destroyed. Any context.
    pub(super) fn of(bo: &Linked<Bo>) -> Option<Self> {
        let mut users = bo.users.load(Relaxed);
        while users != 0 {
            match bo.users.cmpxchg(users, users + 1, Full) {
                Ok(_) => return Some(Self(ARef::from(bo))),
                Err(now) => users = now,
            }
        }
        None
    }

    /// Makes a buffer object of `device` with an empty TT: `size` bytes, `extra` pages behind them.
    ///
    /// Returns `EINVAL` if the size is zero or overflows, `ENOMEM` if there is no memory. May sleep.
    #[allow(dead_code, reason = "for objects of drivers, and of tests")]
    pub(crate) fn new(
        device: &Arc<Device>,
        size: u64,
        extra: u64,
        ty: BoType,
        flags: BoFlags,
    ) -> Result<Self> {
        Self::make(
            device,
            &Made {
                client: None,
                size,
                extra,
                ty,
                flags,
                of: None,
            },
        )
    }

    /// Makes one that a client owns. Returns `ENOSPC` if the client has as many objects as a file may
    /// have. Otherwise as [`BoRef::new`].
    pub(crate) fn of_file(
        client: &ClientRef,
        device: &Arc<Device>,
        size: u64,
        extra: u64,
        ty: BoType,
        flags: BoFlags,
    ) -> Result<Self> {
        let client = Some(client.shared());
        Self::make(
            device,
            &Made {
                client,
                size,
                extra,
                ty,
                flags,
                of: None,
            },
        )
    }

    /// Makes a buffer object, and takes its TT away. Returns `ENOMEM` if there is no memory. May sleep.
    #[cfg(reeve_kunit)]
    pub(super) fn without_tt(device: &Arc<Device>, size: u64, ty: BoType) -> Result<Self> {
        let bo = Self::new(device, size, 0, ty, BoFlags::of(ty, false))?;
        bo.reserve().take_tt();
        Ok(bo)
    }

    /// Makes one. Returns `ENODEV` if the device takes no objects any more. Otherwise as [`BoRef::of_file`].
    pub(super) fn make(device: &Arc<Device>, made: &Made<'_>) -> Result<Self> {
        let flags = Tt::flags_here(made.flags);
        let num_pages = Tt::pages_for(made.size, made.extra)?;
        let shown = || Holdings {
            objects: 1,
            total: num_pages,
            ..Holdings::default()
        };
        let of = made.of.as_ref();
        // What is large is made where it stays.
        let reserved = init!(Reserved {
            tt: Some(Tt::with_pages(num_pages, flags)),
            pins: 0,
            purgeable: of.is_some_and(|of| of.purgeable),
            pin_charge: None,
            shown: shown(),
            stored: 0,
            marker: None,
            dmem: None,
        });
        device.add_object()?;
        let bo = Linked::make(
            pin_init!(Bo {
                device: device.clone(),
                size: made.size,
                ty: made.ty,
                dma32: flags.kind().dma32,
                in_file: flags.is_shmem(),
                users: Atomic::new(1),
                sequence: [const { Atomic::new(0) }; 3],
                resident: Atomic::new(0),
                charges: Charges::new(made.client.cloned())?,
                clear: of.is_none_or(|of| of.clear),
                link: of.map(|of| Link::new(of.driver.clone(), of.handle, of.private)),
                log: Published::none(),
                reserved <- Mutex::new(reserved),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
        .inspect_err(|_| device.remove_object())?;
        if bo.charges.have_client() {
            bo.charges.replace_alone(&Holdings::default(), &shown());
        }
        device.accounting().object_made();
        Ok(Self(bo))
    }

    /// Returns the object without counting a use of it.
    pub(super) fn unused(&self) -> ARef<Linked<Bo>> {
        self.0.clone()
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
