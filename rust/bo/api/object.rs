// SPDX-License-Identifier: GPL-2.0

//! The buffer objects of drivers, and what is done with them.

use super::{
    device::DriverDevice,
    link::{
        Link,
        User, //
    },
    misuse::{
        Answer,
        Failure, //
    }, //
};
use crate::{
    abstractions::{
        bindings,
        dma::DmaAddresses,
        kmap::Protection,
        list::Linked,
        task::EndedBy,
        user_sized,
        vma, //
    },
    bo::{
        desc,
        driver::Wait,
        evict::Waiting,
        object::{
            BoRef,
            Client,
            OfDriver, //
        },
        reservation::Reservation,
        rules::object::flags,
        tt::{
            swapout::BackUp,
            Tt, //
        },
        vm::Mapping,
        Manager, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The flags of the API that are not the ABI's.
const OWN_FLAGS: u32 = bindings::REEVE_BO_CREATE_PURGEABLE | bindings::REEVE_BO_CREATE_UNCLEARED;

/// A buffer object of a driver, as its handle names it.
///
/// # Invariants
///
/// `bo` has a link. `held` is accessed by the task that has locked the object, as the link says, and before it says so
/// and after it says no more only by the owner of the reservation that it is to have, or had. What is in
/// it borrows from `bo`.
pub(super) struct Object {
    held: UnsafeCell<Option<Reservation<'static>>>,
    bo: BoRef,
    protection: Protection,
    /// Whether users may map it.
    mappable: bool,
    /// The DMA addresses that it has whenever it is populated, if its pages are external: addresses, and how
    /// many pages follow each.
    told: Option<KBox<KVVec<(u64, u64)>>>,
}

// SAFETY: By the type invariant only one task at a time accesses `held`, and it is the one that reserved
// the object, which also ends the reservation.
unsafe impl Send for Object {}
// SAFETY: By the type invariant only the task that reserved the object accesses `held`, also through a
// reference; all else is `Sync`.
unsafe impl Sync for Object {}

impl Object {
    /// Makes an object, which its driver knows by `handle`.
    pub(super) fn new(
        handle: u64,
        device: &DriverDevice,
        client: Option<&Arc<Linked<Client>>>,
        desc: &bindings::reeve_bo_desc,
        runs: Option<&[bindings::reeve_bo_dma_run]>,
    ) -> Answer<Self> {
        if desc.pad != 0 || desc.reserved.iter().any(|&word| word != 0) {
            let what = c"a reserved field of the descriptor is not 0";
            return Err(Failure::Misuse(EINVAL, what));
        }
        let given = desc::flags_of(desc.type_, desc.caching, desc.flags & !OWN_FLAGS);
        let (ty, flags) = given
            .map_err(|e| Failure::Misuse(e, c"a bad type, caching or flag in the descriptor"))?;
        let clear = desc.flags & bindings::REEVE_BO_CREATE_UNCLEARED == 0;
        let told = match runs {
            Some(_) if flags.owns_pages() || !flags.dma => {
                let what = c"an sg_table for what has pages of its own, or no DMA addresses";
                return Err(Failure::Misuse(EINVAL, what));
            }
            Some(runs) => Some(KBox::new(told(runs)?, GFP_KERNEL)?),
            None => None,
        };
        let bad_size = |e| Failure::Misuse(e, c"a bad size in the descriptor");
        let size = (desc.bytes, desc.extra_pages);
        if let Some(told) = &told {
            let pages = Tt::pages_for(size.0, size.1).map_err(bad_size)?;
            if DmaAddresses::told(told).map_err(bad_runs)?.pages() != pages {
                return Err(bad_runs(EINVAL));
            }
        }
        let private = desc.priv_.expose_provenance();
        let of = OfDriver {
            clear,
            purgeable: desc.flags & bindings::REEVE_BO_CREATE_PURGEABLE != 0,
            link: Link::new(device.driver().clone(), handle, private),
        };
        let bo = BoRef::of_driver(client, device.device(), size, ty, flags, of).map_err(
            |e| match e {
                EINVAL => bad_size(e),
                ENODEV => Failure::Misuse(e, c"the device is being removed"),
                e => e.into(),
            },
        )?;
        let protection = Tt::protection_of(Tt::flags_here(flags));
        // INVARIANT: Nothing is held, and `of` had a link.
        Ok(Self {
            held: UnsafeCell::new(None),
            bo,
            protection,
            mappable: clear && flags.owns_pages(),
            told,
        })
    }

    /// Returns what its driver knows it by.
    #[inline]
    pub(super) fn link(&self) -> &Link {
        // SAFETY: By the type invariant the object has one.
        unsafe { self.bo.driver().unwrap_unchecked() }
    }

    /// Returns how its mappings are protected.
    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    /// Locks the object for the current task. `wait`: until it can; else returns `EBUSY` if it can't.
    pub(super) fn lock(&self, wait: bool) -> Answer {
        if self.link().driver().has_lock() {
            let what = c"the driver has a lock of its own, to be taken instead";
            return Err(Failure::Misuse(EINVAL, what));
        }
        if self.link().user() != User::Other {
            return Err(Failure::Misuse(
                EDEADLK,
                c"the caller has locked it already",
            ));
        }
        let reservation = if wait {
            self.bo.reserve_locked()?
        } else {
            self.bo.try_reserve_locked().ok_or(EBUSY)?
        };
        let reservation =
            // SAFETY: What is borrowed is `self.bo`, which stays where it is, for what a handle names does, and lives
            // until `unlock` has ended this: the caller has a reference until then.
            unsafe { core::mem::transmute::<Reservation<'_>, Reservation<'static>>(reservation) };
        reservation.suspend();
        // SAFETY: By the type invariant nothing else accesses it, for the object is reserved now, and no
        // task has said that it has locked it.
        unsafe { *self.held.get() = Some(reservation) };
        self.link().locked();
        Ok(())
    }

    /// Checks that the current task may unlock the object. Any context.
    #[inline]
    pub(super) fn check_unlock(&self) -> Answer {
        if self.link().driver().has_lock() {
            let what = c"the driver has a lock of its own";
            return Err(Failure::Misuse(EINVAL, what));
        }
        self.check_caller()
    }

    /// Unlocks the object, if [`Object::check_unlock`] says that the current task may.
    #[inline]
    pub(super) fn unlock(&self) {
        if self.check_unlock().is_err() {
            return;
        }
        // SAFETY: By the type invariant nothing else accesses it: the current task has locked the object.
        let reservation = unsafe { (*self.held.get()).take() };
        self.link().unlocked();
        if let Some(reservation) = reservation {
            reservation.resume();
            drop(reservation);
        }
    }

    /// Checks that the current task has locked the object, and is in no op of it.
    fn check_caller(&self) -> Answer {
        match self.link().user() {
            User::Caller => Ok(()),
            User::Op => Err(Failure::Misuse(
                EDEADLK,
                c"called from its own evict_begin() or evict_abort()",
            )),
            User::Other => Err(Failure::Misuse(EPERM, c"the caller has not locked it")),
        }
    }

    /// Runs `f` with the reservation of the object, which the caller has locked.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Reservation<'_>) -> Answer<R>) -> Answer<R> {
        if self.link().driver().has_lock() {
            if self.link().user() == User::Op {
                self.check_caller()?;
            }
            if !self.link().is_held() {
                let what = c"the driver's lock for it is not held";
                return Err(Failure::Misuse(EPERM, what));
            }
            let mut reservation = self.bo.reserve_locked()?;
            return self.link().inside(|| f(&mut reservation));
        }
        self.check_caller()?;
        // SAFETY: By the type invariant nothing else accesses it: the current task has locked the object,
        // and `inside` makes `check_caller` fail until `f` has returned.
        let Some(reservation) = (unsafe { (*self.held.get()).as_mut() }) else {
            return Err(EPERM.into());
        };
        reservation.resume();
        let result = self.link().inside(|| f(reservation));
        reservation.settle();
        reservation.suspend();
        result
    }

    /// Populates the object, which `bo` is the reservation of.
    pub(super) fn populate(
        &self,
        bo: &mut Reservation<'_>,
        manager: &Manager,
        how: u64,
    ) -> Answer<u64> {
        if how & !u64::from(POPULATE_FLAGS) != 0 {
            return Err(Failure::Misuse(EINVAL, c"unknown flags"));
        }
        let is = |flag: u32| how & u64::from(flag) != 0;
        let waiting = Waiting {
            manager,
            wait: if is(bindings::REEVE_POPULATE_NOWAIT) {
                Wait::No
            } else {
                Wait::Yes
            },
            ended_by: if is(bindings::REEVE_POPULATE_INTERRUPTIBLE) {
                EndedBy::Any
            } else {
                EndedBy::Fatal
            },
        };
        let addresses = match &self.told {
            Some(told) if !bo.state().is_populated() => Some(DmaAddresses::told(told)?),
            _ => None,
        };
        let pages = bo.populate(&waiting)?;
        if let Some(addresses) = addresses {
            bo.set_dma_addresses(addresses)?;
        }
        if pages != 0 {
            self.link().prime_eviction();
        }
        Ok(pages)
    }

    /// Checks that the object is locked by the caller, or that this is an op of it.
    pub(super) fn check_locked_or_op(&self) -> Answer {
        match self.link().user() {
            User::Op | User::Caller => Ok(()),
            User::Other if self.link().is_held() => Ok(()),
            User::Other => self.check_caller(),
        }
    }

    /// Sets up a mapping of users.
    ///
    /// # Safety
    ///
    /// The contract of [`vma::map_for`].
    pub(super) unsafe fn mmap(
        &self,
        manager: &Arc<Manager>,
        vma: *mut kernel::bindings::vm_area_struct,
        first: u64,
    ) -> Answer {
        let Some(vma) = NonNull::new(vma) else {
            return Err(Failure::Misuse(EINVAL, c"there is no mapping"));
        };
        if !self.mappable {
            let what = c"its pages are external or not cleared";
            return Err(Failure::Misuse(EINVAL, what));
        }
        let pages = self.bo.size().div_ceil(kernel::page::PAGE_SIZE as u64);
        let protection = self.protection;
        let make = |space| Mapping::of_driver(&self.bo, manager, space, first, protection);
        // SAFETY: The contract of this function is that of `map_for`.
        Ok(unsafe { vma::map_for(vma, first, pages, make) }?)
    }
}

/// All flags of a populate. That of `__GFP_RETRY_MAYFAIL` says what is so anyway.
const POPULATE_FLAGS: u32 = bindings::REEVE_POPULATE_NOWAIT
    | bindings::REEVE_POPULATE_INTERRUPTIBLE
    | bindings::REEVE_POPULATE_RETRY_MAYFAIL;

/// What a populate's `EINTR` is called if any signal ends it: a system call that begins anew.
pub(super) fn interrupted(e: Error, how: u64) -> Error {
    if e == EINTR && how & u64::from(bindings::REEVE_POPULATE_INTERRUPTIBLE) != 0 {
        return ERESTARTSYS;
    }
    e
}

/// Backs an object up.
pub(super) fn back_up(bo: &mut Reservation<'_>, writeback: bool) -> Answer<u64> {
    let how = BackUp {
        writeback,
        ..BackUp::RELAXED
    };
    Ok(bo.back_up(how)?)
}

/// Sets whether content may be dropped. Returns whether there is any.
pub(super) fn set_purgeable(bo: &mut Reservation<'_>, purgeable: bool) -> Answer<u64> {
    bo.set_purgeable(purgeable);
    const SOMEWHERE: u32 = flags::POPULATED | flags::SWAPPED | flags::BACKED_UP;
    Ok((bo.info().flags & SOMEWHERE != 0).into())
}

/// Checks that an object has pages `first` to `first + pages`.
pub(super) fn check_pages(bo: &Reservation<'_>, first: u64, pages: u64) -> Answer {
    match first.checked_add(pages) {
        Some(end) if end <= bo.info().num_pages => Ok(()),
        _ => Err(Failure::Misuse(EINVAL, c"it has no such pages")),
    }
}

/// Returns what an object is like now.
pub(super) fn state(bo: &Reservation<'_>) -> bindings::reeve_bo_state {
    let info = bo.info();
    bindings::reeve_bo_state {
        pages: info.num_pages,
        resident: info.resident,
        charged: info.charged,
        flags: info.flags,
        pins: info.pins,
    }
}

/// Sets the DMA addresses of external pages.
pub(super) fn set_runs(bo: &mut Reservation<'_>, runs: &[bindings::reeve_bo_dma_run]) -> Answer {
    let addresses = DmaAddresses::told(&told(runs)?).map_err(bad_runs)?;
    bo.set_dma_addresses(addresses).map_err(bad_runs)
}

fn told(runs: &[bindings::reeve_bo_dma_run]) -> Result<KVVec<(u64, u64)>> {
    let mut told = KVVec::with_capacity(runs.len(), user_sized::flags())?;
    for run in runs {
        told.push((run.address, run.pages), user_sized::flags())?;
    }
    Ok(told)
}

fn bad_runs(e: Error) -> Failure {
    match e {
        EINVAL => Failure::Misuse(e, c"these are not the addresses of its pages"),
        e => Failure::Error(e),
    }
}
