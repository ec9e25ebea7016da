// SPDX-License-Identifier: GPL-2.0

//! A buffer object in the memory of user processes.
//!
//! A mapping does not hold pages: touching it populates the object, and pages leave only after all
//! mappings of them were removed, see [`crate::abstractions::vma`]. So mapped pages stay charged, and a
//! mapping of an object that was swapped out, or destroyed, is just one that will fault.
//!
//! Faults come with `mmap_lock` held, or the lock of the mapping alone, so these are outside of all of the module's, and no user
//! memory is touched while one of those is held.
//!
//! C original: `ttm_bo_vm.c`.
#![deny(unsafe_code)]

use super::{
    dirty::DirtyLog,
    driver::Wait,
    manager::Manager,
    object::{
        Bo,
        BoRef, //
    },
    reservation::Reservation,
    rules::sizes,
    trace, //
};
use crate::{
    abstractions::{
        gate::Gate,
        kmap::Protection,
        list::Linked,
        task,
        vma::{
            Access,
            Fault,
            FaultResult,
            Held,
            MapSpace,
            Mapped,
            Range,
            WriteFault,
            WriteLog, //
        }, //
    },
    lock_order::with_context, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        UniqueArc, //
    }, //
};

/// A range of an open file in which a buffer object is mapped. It does not count as a use of the
/// object, which may be destroyed meanwhile.
pub(crate) struct Mapping {
    bo: ARef<Linked<Bo>>,
    /// A use of the object, if it is a driver's: its driver's lock is waited for.
    user: Option<BoRef>,
    protection: Protection,
    manager: Arc<Manager>,
    range: Range,
}

impl Mapping {
    /// Makes a mapping of all pages in which the object's own bytes are; [`Mapping::place`] puts it
    /// somewhere.
    ///
    /// Returns `EINVAL` if the pages are external, `ENOMEM` if there is no memory, `EINTR` if a fatal
    /// signal arrived. May sleep and takes the reservation.
    pub(crate) fn new(
        bo: &BoRef,
        manager: &Arc<Manager>,
        space: &Arc<MapSpace>,
    ) -> Result<UniqueArc<Self>> {
        let pages = sizes::pages_for(bo.size(), 0, PAGE_SHIFT as u32).map_err(|_| EINVAL)?;
        let reservation = bo.reserve_killable()?;
        reservation.check_copy(0, 0)?;
        let protection = reservation.info().protection;
        drop(reservation);
        Ok(UniqueArc::new(
            Self {
                bo: bo.unused(),
                user: None,
                protection,
                manager: manager.clone(),
                range: Range::new(space.clone(), 0, pages),
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Makes a mapping of a driver's object, from page `first` of `space` on. It counts as a use of the
    /// object. Otherwise as [`Mapping::new`].
    pub(super) fn of_driver(
        bo: &BoRef,
        manager: &Arc<Manager>,
        space: Arc<MapSpace>,
        first: u64,
        protection: Protection,
    ) -> Result<Arc<Self>> {
        let pages = sizes::pages_for(bo.size(), 0, PAGE_SHIFT as u32).map_err(|_| EINVAL)?;
        first.checked_add(pages).ok_or(EINVAL)?;
        let mapping = Self {
            bo: bo.unused(),
            user: Some(bo.clone()),
            protection,
            manager: manager.clone(),
            range: Range::new(space, first, pages),
        };
        Ok(Arc::new(mapping, GFP_KERNEL_ACCOUNT)?)
    }

    /// Puts it at page `first` of the file.
    pub(crate) fn place(&mut self, first: u64) {
        self.range.set_first(first);
    }

    /// Returns its first page in the file.
    pub(crate) fn first(&self) -> u64 {
        self.range.first()
    }

    /// Returns the number of its pages.
    pub(crate) fn pages(&self) -> u64 {
        self.range.pages()
    }

    /// Returns whether it is a mapping of this object.
    pub(crate) fn is_of(&self, bo: &BoRef) -> bool {
        core::ptr::eq::<Bo>(&**self.bo, &**bo)
    }

    /// Populates the object and maps the page that was touched.
    ///
    /// What takes long is done with `mmap_lock` released, if the fault can be retried: its error shows
    /// then. So does a write wait that a fence holds back.
    fn serve(&self, fault: Fault<'_>) -> FaultResult {
        if fault.is_huge() && !fault.has_room_for_huge() {
            return fault.fall_back();
        }
        let Some(index) = fault.page().checked_sub(self.first()) else {
            return fault.sigbus();
        };
        if index >= self.pages() {
            return fault.sigbus();
        }

        let mut reservation = match Reservation::try_take(&self.bo, Wait::Yes) {
            Some(reservation) => reservation,
            None if fault.retry_nowait() => return fault.retry_later(),
            None if fault.allow_retry() => {
                let unlocked = fault.unlock();
                // A task that is being killed does not come back.
                drop(Reservation::take_killable(&self.bo));
                return unlocked.retry();
            }
            None => match Reservation::take_killable(&self.bo) {
                Ok(reservation) => reservation,
                // A driver's lock may be waited for until any signal, which is for after the fault.
                Err(EINTR) if !task::is_being_killed() => return fault.ask_again(),
                Err(_) => return fault.sigbus(),
            },
        };
        if fault.is_write() {
            if let Some(gate) = reservation.fence() {
                drop(reservation);
                return self.wait(fault.hold(), index, &gate);
            }
        }
        if !reservation.state().is_populated() {
            if fault.retry_nowait() {
                return fault.retry_later();
            }
            if fault.allow_retry() {
                let unlocked = fault.unlock();
                let _ = reservation.populate(&*self.manager);
                drop(reservation);
                return unlocked.retry();
            }
        }
        // This fails also if the object was destroyed: then it has no TT any more.
        if reservation.populate(&*self.manager).is_err() {
            return fault.sigbus();
        }

        let huge = fault.is_huge();
        let result = reservation.map(fault, index, &self.range);
        if result.is_mapped() {
            let statistics = &self.manager.accounting().statistics;
            statistics.faults.count();
            if huge {
                statistics.huge_faults.count();
            }
        }
        result
    }

    /// Waits until `gate` is open, if the fault of page `index` can wait.
    fn wait(&self, held: Held, index: u64, gate: &Gate) -> FaultResult {
        match held {
            Held::Ends(result) => result,
            Held::Waits(unlocked, ended_by) => {
                if let Some(mode) = self.bo.log().with(DirtyLog::mode) {
                    trace::log_held(self.bo.id(), mode.bits(), Some(index));
                }
                // A signal is looked for where the fault came from, too.
                let _ = gate.wait(ended_by);
                unlocked.retry()
            }
        }
    }

    /// Copies from or to the object, as its reads and writes do; not behind its last byte.
    fn copy(&self, offset: u64, access: Access<'_>) -> Result<usize> {
        let start = self.first() << PAGE_SHIFT;
        let offset = offset.checked_sub(start).ok_or(EFAULT)?;
        let most = self.bo.size().checked_sub(offset).ok_or(EFAULT)?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut reservation = Reservation::take_killable(&self.bo)?;
        match access {
            Access::Read(to) => {
                let length = to.len().min(most);
                let to = to.get_mut(..length).ok_or(EFAULT)?;
                reservation.read(offset, to, &*self.manager)?;
                Ok(length)
            }
            Access::Write(from) => {
                let length = from.len().min(most);
                let from = from.get(..length).ok_or(EFAULT)?;
                // The lock of the process that maps it is held, so this can't wait.
                if reservation.fence().is_some() {
                    return Err(EBUSY);
                }
                reservation.write(offset, from, &*self.manager)?;
                Ok(length)
            }
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // The kernel closes mappings outside of any context.
        if let Some(user) = self.user.take() {
            with_context(|| drop(user));
        }
    }
}

impl Mapped for Mapping {
    fn protection(&self) -> Protection {
        self.protection
    }

    fn fault(&self, fault: Fault<'_>) -> FaultResult {
        with_context(|| self.serve(fault))
    }

    /// Logs the write, and makes the entry writable. Where there is an entry the page is the object's,
    /// and its log is found without the reservation: a guest or a device's process that is being migrated
    /// does this for every page it writes to, in every round, and taking the reservation costs more than
    /// all the rest of the fault.
    fn write_fault<'a>(
        &self,
        fault: WriteFault<'a>,
    ) -> core::result::Result<FaultResult, WriteFault<'a>> {
        let Some(index) = fault.page().checked_sub(self.first()) else {
            return Ok(fault.sigbus());
        };
        let mut mode = None;
        let result = fault.make_writable(|| {
            let logged = self.bo.log().with(|log| {
                if log.is_fenced() {
                    return None;
                }
                Some(log.write_fault(index).then(|| log.mode()))
            });
            match logged {
                None => true,
                Some(None) => false,
                Some(Some(logged)) => {
                    mode = logged;
                    true
                }
            }
        });
        if let Some(mode) = mode {
            trace::log_write_fault(self.bo.id(), mode.bits(), index);
        }
        result
    }

    fn held(&self, fault: WriteFault<'_>) -> FaultResult {
        with_context(|| {
            let index = fault.page().saturating_sub(self.first());
            match self.bo.log().with(DirtyLog::fence).flatten() {
                Some(gate) => self.wait(fault.hold(), index, &gate),
                // It was lifted meanwhile.
                None => fault.ask_again(),
            }
        })
    }

    fn access(&self, offset: u64, access: Access<'_>) -> Result<usize> {
        with_context(|| self.copy(offset, access))
    }
}
