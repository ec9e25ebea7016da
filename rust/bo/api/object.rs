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
            Made,
            OfDriver, //
        },
        reservation::Reservation,
        rules::object::{
            flags,
            BoFlags, //
        },
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
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
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
    flags: BoFlags,
    /// The DMA addresses that it has whenever it is populated, if its pages are external: addresses, and how
    /// many pages follow each.
    told: Option<KBox<KVVec<(u64, u64)>>>,
}

/// An object that was just made, before it is put where a handle names it.
///
/// # Invariants
///
/// `bo` has a link.
pub(super) struct Fresh {
    bo: BoRef,
    flags: BoFlags,
    told: Option<KBox<KVVec<(u64, u64)>>>,
}

impl From<Fresh> for Object {
    #[inline(always)]
    fn from(Fresh { bo, flags, told }: Fresh) -> Self {
        // INVARIANT: Nothing is held, and `bo` has a link.
        Self {
            held: UnsafeCell::new(None),
            bo,
            flags,
            told,
        }
    }
}

// SAFETY: By the type invariant only one task at a time accesses `held`, and it is the one that reserved
// the object, which also ends the reservation.
unsafe impl Send for Object {}
// SAFETY: By the type invariant only the task that reserved the object accesses `held`, also through a
// reference; all else is `Sync`.
unsafe impl Sync for Object {}

impl Object {
    /// Makes an object, which its driver knows by `handle`.
    #[inline(always)]
    pub(super) fn make(
        handle: u64,
        device: &DriverDevice,
        client: Option<&ARef<Linked<Client>>>,
        desc: &bindings::reeve_bo_desc,
        runs: Option<&[bindings::reeve_bo_dma_run]>,
    ) -> Answer<Fresh> {
        let reserved = desc.reserved.iter().fold(0, |all, &word| all | word);
        if desc.pad != 0 || reserved != 0 {
            let what = c"a reserved field of the descriptor is not 0";
            return Err(Failure::misuse(EINVAL, what));
        }
        let given = desc::flags_of(desc.type_, desc.caching, desc.flags & !OWN_FLAGS);
        let (ty, flags) = given
            .map_err(|e| Failure::misuse(e, c"a bad type, caching or flag in the descriptor"))?;
        let clear = desc.flags & bindings::REEVE_BO_CREATE_UNCLEARED == 0;
        let told = match runs {
            Some(_) if flags.owns_pages() || !flags.has_dma() => {
                let what = c"an sg_table for what has pages of its own, or no DMA addresses";
                return Err(Failure::misuse(EINVAL, what));
            }
            Some(runs) => Some(KBox::new(told(runs)?, GFP_KERNEL)?),
            None => None,
        };
        let bad_size = |e| Failure::misuse(e, c"a bad size in the descriptor");
        let size = (desc.bytes, desc.extra_pages);
        if let Some(told) = &told {
            let pages = Tt::pages_for(size.0, size.1).map_err(bad_size)?;
            if DmaAddresses::told(told).map_err(bad_runs)?.pages() != pages {
                return Err(bad_runs(EINVAL));
            }
        }
        let made = Made {
            client,
            size: desc.bytes,
            extra: desc.extra_pages,
            ty,
            flags,
            of: Some(OfDriver {
                clear,
                purgeable: desc.flags & bindings::REEVE_BO_CREATE_PURGEABLE != 0,
                driver: device.driver(),
                handle,
                private: desc.priv_.expose_provenance(),
            }),
        };
        let bo = BoRef::make(device.device(), &made).map_err(|e| match e {
            EINVAL => bad_size(e),
            ENODEV => Failure::misuse(e, c"the device is being removed"),
            e => e.into(),
        })?;
        // INVARIANT: `of` had a link.
        Ok(Fresh { bo, flags, told })
    }

    /// Returns what its driver knows it by.
    #[inline]
    pub(super) fn link(&self) -> &Link {
        // SAFETY: By the type invariant the object has one.
        unsafe { self.bo.driver().unwrap_unchecked() }
    }

    /// Returns how its mappings are protected.
    pub(super) fn protection(&self) -> Protection {
        Tt::protection_of(Tt::flags_here(self.flags))
    }

    /// Reserves the object. `wait`: until it can; else returns `EBUSY` if it can't.
    #[inline(always)]
    fn reserve(&self, wait: bool) -> Result<Reservation<'static>> {
        let reservation = if wait {
            self.bo.reserve_locked()?
        } else {
            self.bo.try_reserve_locked().ok_or(EBUSY)?
        };
        // SAFETY: What is borrowed is `self.bo`, which stays where it is, for what a handle names does, and lives
        // until this has ended: it is kept in `held`, which is gone before `self.bo` is, or `self` is borrowed as long.
        Ok(unsafe { core::mem::transmute::<Reservation<'_>, Reservation<'static>>(reservation) })
    }

    /// Locks the object for `task`, the current one. `wait`: until it can; else returns `EBUSY` if it can't.
    #[inline(always)]
    pub(super) fn lock(&self, task: usize, wait: bool) -> Answer {
        let link = self.link();
        if link.driver().has_lock() {
            let what = c"the driver has a lock of its own, to be taken instead";
            return Err(Failure::misuse(EINVAL, what));
        }
        if link.user(task) != User::Other {
            return Err(Failure::misuse(
                EDEADLK,
                c"the caller has locked it already",
            ));
        }
        let reservation = self.reserve(wait)?;
        // SAFETY: By the type invariant nothing else accesses it, for the object is reserved now, and no
        // task has said that it has locked it.
        let held = unsafe { &mut *self.held.get() };
        held.insert(reservation).suspend();
        link.set_user(task);
        Ok(())
    }

    /// Unlocks the object, if `task`, the current one, has locked it.
    #[inline(always)]
    pub(super) fn unlock(&self, task: usize) -> Answer {
        let link = self.link();
        if link.driver().has_lock() {
            let what = c"the driver has a lock of its own";
            return Err(Failure::misuse(EINVAL, what));
        }
        self.check_caller(task)?;
        // SAFETY: By the type invariant nothing else accesses it: the current task has locked the object.
        let reservation = unsafe { (*self.held.get()).take() };
        link.set_user(0);
        if let Some(reservation) = reservation {
            end(reservation);
        }
        Ok(())
    }

    /// Checks that `task`, the current one, has locked the object, and is in no op of it.
    #[inline(always)]
    fn check_caller(&self, task: usize) -> Answer {
        match self.link().user(task) {
            User::Caller => Ok(()),
            user => Err(Self::not_locked(user)),
        }
    }

    #[cold]
    fn not_locked(user: User) -> Failure {
        match user {
            User::Op => Failure::misuse(
                EDEADLK,
                c"called from its own evict_begin() or evict_abort()",
            ),
            _ => Failure::misuse(EPERM, c"the caller has not locked it"),
        }
    }

    /// Runs `f` with the reservation of the object, which `task`, the current one, has locked. The driver's ops may be
    /// called in it, and find that they are.
    #[inline(always)]
    pub(super) fn with<R>(
        &self,
        task: usize,
        f: impl FnOnce(&mut Reservation<'_>) -> Answer<R>,
    ) -> Answer<R> {
        let link = self.link();
        if link.driver().has_lock() {
            let mut own = self.reserve_for_driver(task)?;
            let before = link.enter(task);
            let result = f(&mut own);
            link.leave(before);
            return result;
        }
        self.check_caller(task)?;
        // SAFETY: By the type invariant nothing else accesses it: the current task has locked the object, and in an op
        // `check_caller` fails.
        let Some(held) = (unsafe { (*self.held.get()).as_mut() }) else {
            return Err(EPERM.into());
        };
        held.resume();
        link.begin(task);
        let result = f(held);
        link.leave(task);
        held.settle();
        held.suspend();
        result
    }

    /// Reserves the object, which the driver has locked with a lock of its own.
    #[cold]
    fn reserve_for_driver(&self, task: usize) -> Answer<Reservation<'static>> {
        if self.link().user(task) == User::Op {
            self.check_caller(task)?;
        }
        if !self.link().is_held() {
            let what = c"the driver's lock for it is not held";
            return Err(Failure::misuse(EPERM, what));
        }
        Ok(self.reserve(true)?)
    }

    /// Populates the object, which `bo` is the reservation of.
    #[inline(always)]
    pub(super) fn populate(
        &self,
        bo: &mut Reservation<'_>,
        manager: &Manager,
        how: u32,
    ) -> Answer<u64> {
        if how & !POPULATE_FLAGS != 0 {
            return Err(Failure::misuse(EINVAL, c"unknown flags"));
        }
        let is = |flag: u32| how & flag != 0;
        let is_interruptible = is(bindings::REEVE_POPULATE_INTERRUPTIBLE);
        let waiting = Waiting {
            manager,
            wait: if is(bindings::REEVE_POPULATE_NOWAIT) {
                Wait::No
            } else {
                Wait::Yes
            },
            ended_by: if is_interruptible {
                EndedBy::Any
            } else {
                EndedBy::Fatal
            },
        };
        let pages = match &self.told {
            None => bo.populate(&waiting),
            Some(told) => populate_told(bo, told, &waiting),
        };
        // A system call that begins anew, if any signal ends it.
        let pages = pages.map_err(|e| match e {
            EINTR if is_interruptible => ERESTARTSYS,
            e => e,
        })?;
        if pages != 0 {
            self.link().prime_eviction();
        }
        Ok(pages)
    }

    /// Checks that the object is locked by the caller, or that this is an op of it.
    pub(super) fn check_locked_or_op(&self, task: usize) -> Answer {
        match self.link().user(task) {
            User::Op | User::Caller => Ok(()),
            User::Other if self.link().is_held() => Ok(()),
            User::Other => self.check_caller(task),
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
            return Err(Failure::misuse(EINVAL, c"there is no mapping"));
        };
        if !self.bo.clears() || !self.flags.owns_pages() {
            let what = c"its pages are external or not cleared";
            return Err(Failure::misuse(EINVAL, what));
        }
        let pages = self.bo.size().div_ceil(kernel::page::PAGE_SIZE as u64);
        let protection = self.protection();
        let make = |space| Mapping::of_driver(&self.bo, manager, space, first, protection);
        // SAFETY: The contract of this function is that of `map_for`.
        Ok(unsafe { vma::map_for(vma, first, pages, make) }?)
    }
}

/// Ends a reservation in which nothing has changed since it was settled, as it is after each call, and with which no lock
/// of the driver's was taken: what dropping it would look for is not there.
#[inline(always)]
fn end(reservation: Reservation<'_>) {
    let reservation = ManuallyDrop::new(reservation);
    // SAFETY: It is not dropped, nor used again, so its guard is read once.
    let guard = unsafe { ptr::read(&reservation.guard) };
    // SAFETY: Likewise.
    let busy = unsafe { ptr::read(&reservation.busy) };
    drop(guard);
    drop(busy);
}

/// All flags of a populate. That of `__GFP_RETRY_MAYFAIL` says what is so anyway.
const POPULATE_FLAGS: u32 = bindings::REEVE_POPULATE_NOWAIT
    | bindings::REEVE_POPULATE_INTERRUPTIBLE
    | bindings::REEVE_POPULATE_RETRY_MAYFAIL;

/// Populates an object with external pages, which have DMA addresses.
#[cold]
fn populate_told(
    bo: &mut Reservation<'_>,
    told: &[(u64, u64)],
    waiting: &Waiting<'_>,
) -> Result<u64> {
    if bo.state().is_populated() {
        return bo.populate(waiting);
    }
    let addresses = DmaAddresses::told(told)?;
    let pages = bo.populate(waiting)?;
    bo.set_dma_addresses(addresses)?;
    Ok(pages)
}

/// Does one of the calls about an object that is locked.
#[inline(never)]
pub(super) fn act(
    bo: &mut Reservation<'_>,
    manager: &Manager,
    which: u32,
    first: u64,
    second: u64,
) -> Answer<u64> {
    use bindings::*;

    let pinned = |e| match e {
        EBUSY => Failure::Error(EBUSY),
        EINVAL => Failure::misuse(EINVAL, c"its state does not allow that"),
        e => Failure::Error(e),
    };
    match which {
        REEVE_CALL_PIN => bo.pin().map(|()| 0).map_err(pinned),
        REEVE_CALL_UNPIN => bo.unpin().map(|()| 0).map_err(pinned),
        REEVE_CALL_SWAP_OUT => bo.swap_out().map_err(pinned),
        REEVE_CALL_BACK_UP => back_up(bo, first != 0),
        REEVE_CALL_RESTORE => bo.restore(manager).map_err(pinned),
        REEVE_CALL_PURGE => bo.purge().map_err(pinned),
        REEVE_CALL_SET_PURGEABLE => set_purgeable(bo, first != 0),
        REEVE_CALL_TOUCH => {
            bo.touch();
            Ok(0)
        }
        REEVE_CALL_SYNC_FOR_CPU => {
            check_pages(bo, first, second)?;
            bo.sync_for_cpu(first, second)?;
            Ok(0)
        }
        REEVE_CALL_SYNC_FOR_DEVICE => {
            check_pages(bo, first, second)?;
            bo.sync_for_device(first, second)?;
            Ok(0)
        }
        REEVE_CALL_UNMAP => {
            bo.unmap()?;
            Ok(0)
        }
        _ => Err(EINVAL.into()),
    }
}

/// Backs an object up.
fn back_up(bo: &mut Reservation<'_>, writeback: bool) -> Answer<u64> {
    let how = BackUp {
        writeback,
        ..BackUp::RELAXED
    };
    Ok(bo.back_up(how)?)
}

/// Sets whether content may be dropped. Returns whether there is any.
fn set_purgeable(bo: &mut Reservation<'_>, purgeable: bool) -> Answer<u64> {
    bo.set_purgeable(purgeable);
    const SOMEWHERE: u32 = flags::POPULATED | flags::SWAPPED | flags::BACKED_UP;
    Ok((bo.info().flags & SOMEWHERE != 0).into())
}

/// Checks that an object has pages `first` to `first + pages`.
fn check_pages(bo: &Reservation<'_>, first: u64, pages: u64) -> Answer {
    match first.checked_add(pages) {
        Some(end) if end <= bo.info().num_pages => Ok(()),
        _ => Err(Failure::misuse(EINVAL, c"it has no such pages")),
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
        EINVAL => Failure::misuse(e, c"these are not the addresses of its pages"),
        e => Failure::Error(e),
    }
}
