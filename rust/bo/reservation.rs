// SPDX-License-Identifier: GPL-2.0

//! A buffer object's reservation, and what can be done with the object while it is reserved.
//!
//! Each method does what [`rules`](super::rules) allow, keeps the lists of the device and of the
//! client in step with the TT, and leaves everything as it was when it fails. All may sleep.
#![deny(unsafe_code)]

mod end;
mod evict;
mod log;

use super::{
    charge::{
        owners,
        pins::PinCharge,
        settling::Busy, //
    },
    counters::Accounting,
    dirty::DirtyLog,
    driver::{
        Leaving,
        Wait, //
    },
    lru::LruItem,
    object::{
        Bo,
        BoRef,
        Device,
        Reserved, //
    },
    reclaim::Reclaim,
    rules::{
        dma_runs::Place,
        object::{
            flags,
            BoFlags, //
        },
        page_kind::PageKind,
        sizes,
        state::{
            self,
            Decision,
            Info,
            Refusal,
            Request,
            State, //
        }, //
    },
    trace,
    tt::Tt, //
};
use crate::{
    abstractions::{
        dma::DmaAddresses,
        dmem,
        kmap::Protection,
        list::Linked,
        memcg::{
            Marker,
            Memcg, //
        },
        page::PageRef,
        vma::{
            Fault,
            FaultResult,
            Range, //
        }, //
    },
    lock_order::{
        classes::BoReservation,
        typed::MutexGuard, //
    }, //
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// A reserved buffer object; dropping it ends the reservation.
pub(crate) struct Reservation<'a> {
    bo: &'a Linked<Bo>,
    /// Whether the driver's own lock was taken, to be released with this.
    driver_locked: bool,
    /// Whether the driver may wait when it is asked for the pages.
    wait: Wait,
    pub(super) guard: MutexGuard<'a, Reserved, BoReservation>,
    /// Behind the guard, for it is dropped in this order. None if no limit is hard.
    pub(super) busy: Option<Busy<'a>>,
}

/// What a buffer object is like at one moment.
pub(crate) struct BoInfo {
    /// Pages it has when populated.
    pub(crate) num_pages: u64,
    /// Pages it holds in memory.
    pub(crate) resident: u64,
    /// Pages it has added to the counters.
    pub(crate) charged: u64,
    /// Flags as in [`flags`].
    pub(crate) flags: u32,
    /// What kind of pages it has or would have.
    pub(crate) kind: PageKind,
    /// How all mappings of these are protected.
    pub(crate) protection: Protection,
    /// Pins in force.
    pub(crate) pins: u32,
}

impl BoRef {
    /// Reserves the object, waiting until it is not reserved any more. May sleep.
    #[inline]
    pub(crate) fn reserve(&self) -> Reservation<'_> {
        Reservation::take(&self.0)
    }

    /// Reserves the object for its driver, which holds its own lock if it has one. Otherwise as
    /// [`BoRef::reserve_killable`].
    #[inline(always)]
    pub(super) fn reserve_locked(&self) -> Result<Reservation<'_>> {
        Ok(Reservation::new(
            &self.0,
            self.0.reserved().lock_killable()?,
        ))
    }

    /// Reserves the object for its driver, if it is not reserved; see [`BoRef::reserve_locked`].
    pub(super) fn try_reserve_locked(&self) -> Option<Reservation<'_>> {
        Some(Reservation::new(&self.0, self.0.reserved().try_lock()?))
    }

    /// Reserves the object, waiting until it is not reserved any more. Returns `EINTR` if a fatal signal
    /// arrived before, or `EBUSY` if its driver is gone. May sleep.
    #[inline]
    pub(crate) fn reserve_killable(&self) -> Result<Reservation<'_>> {
        Reservation::take_killable(&self.0)
    }

    /// Reserves the object if it is not reserved.
    #[cfg(reeve_kunit)]
    pub(crate) fn try_reserve(&self) -> Option<Reservation<'_>> {
        Reservation::try_take(&self.0, Wait::Yes)
    }
}

impl Drop for Reservation<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.settle();
        if let (true, Some(driver)) = (self.driver_locked, self.bo.driver()) {
            driver.unlock();
        }
    }
}

impl<'a> Reservation<'a> {
    /// Reserves the object, waiting until it is not reserved any more, without its driver's lock: for one
    /// that has none, or that is being destroyed. May sleep.
    #[inline]
    pub(super) fn take(bo: &'a Linked<Bo>) -> Self {
        Self::new(bo, bo.reserved().lock())
    }

    /// Wraps the guard of a wait that is over.
    #[inline(always)]
    fn new(bo: &'a Linked<Bo>, guard: MutexGuard<'a, Reserved, BoReservation>) -> Self {
        let accounting = bo.device().accounting();
        // Others only wait for room below hard limits, of which that of a dmem cgroup is always one.
        let counts = accounting.limits.are_hard() || dmem::charges();
        Self {
            bo,
            driver_locked: false,
            wait: Wait::Yes,
            guard,
            busy: counts.then(|| accounting.settling.begin()),
        }
    }

    /// Reserves the object, waiting until it is not reserved any more. Returns `EINTR` if a fatal signal
    /// arrived before. May sleep. If the object has a driver, there must be a [`BoRef`] meanwhile.
    #[inline]
    pub(super) fn take_killable(bo: &'a Linked<Bo>) -> Result<Self> {
        let Some(driver) = bo.driver() else {
            return Ok(Self::new(bo, bo.reserved().lock_killable()?));
        };
        driver.lock()?;
        match bo.reserved().lock_killable() {
            Ok(guard) => {
                let mut this = Self::new(bo, guard);
                this.driver_locked = true;
                Ok(this)
            }
            Err(e) => {
                driver.unlock();
                Err(e)
            }
        }
    }

    /// Reserves the object if it is not reserved. `wait`: whether its driver may wait when it is asked for
    /// the pages.
    #[inline]
    pub(super) fn try_take(bo: &'a Linked<Bo>, wait: Wait) -> Option<Self> {
        let guard = bo.reserved().try_lock()?;
        // In this order: while the object is reserved it is not destroyed, and what is behind its driver's
        // lock stays. Both are only tried, so there is no deadlock.
        let driver_locked = match bo.driver() {
            Some(driver) if guard.tt.is_some() => {
                if !driver.try_lock() {
                    return None;
                }
                true
            }
            _ => false,
        };
        // It is only tried by those that look for room, so none waits for it.
        Some(Self {
            bo,
            driver_locked,
            wait,
            guard,
            busy: None,
        })
    }

    /// Asks the driver for the pages, before they go.
    ///
    /// Returns `EBUSY` if it needs them still, `EINTR` if it waited and a fatal signal arrived.
    #[inline(always)]
    fn ask_driver(&self, leaving: Leaving) -> Result {
        let Some(driver) = self.bo.driver() else {
            return Ok(());
        };
        driver
            .evict_begin(leaving, self.wait)
            .map_err(|e| if e == EINTR { EINTR } else { EBUSY })
    }

    /// Does `act`, which takes the pages, after the driver was asked; if it fails the driver is told that
    /// they stay.
    fn asked<R>(
        &mut self,
        leaving: Leaving,
        act: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        self.ask_driver(leaving)?;
        let result = act(self);
        if let (Err(_), Some(driver)) = (&result, self.bo.driver()) {
            driver.evict_abort();
        }
        result
    }

    /// Shows what the object holds now, if that has changed.
    #[inline(always)]
    pub(super) fn settle(&mut self) {
        let stored = self.guard.stored_pages();
        if stored != self.guard.stored {
            self.count_stored(stored);
        }
        // Only a client shows it.
        if self.bo.charges().have_client() {
            self.show();
        }
    }

    #[inline(never)]
    fn count_stored(&mut self, stored: u64) {
        let before = core::mem::replace(&mut self.guard.stored, stored);
        self.bo
            .charges()
            .restored(self.accounting(), before, stored);
    }

    /// Takes the reservation out of what the thread is recorded to hold, until [`Reservation::resume`] or its end: it
    /// outlasts the thread's context.
    #[inline]
    pub(super) fn suspend(&mut self) {
        self.guard.forget();
    }

    /// Undoes [`Reservation::suspend`], in the same thread.
    #[inline]
    pub(super) fn resume(&mut self) {
        self.guard.remember();
    }

    /// Sets whether eviction drops the content rather than keeping it.
    pub(super) fn set_purgeable(&mut self, purgeable: bool) {
        self.guard.purgeable = purgeable;
    }

    fn device(&self) -> &'a Arc<Device> {
        self.bo.device()
    }

    fn accounting(&self) -> &'a Arc<Accounting> {
        self.device().accounting()
    }

    /// Adds the object to the lists, after it was populated. `charged` is the number of pages it is
    /// charged for.
    #[inline(always)]
    fn enlist(&mut self, charged: u64) {
        let pinned = self.guard.pins != 0;
        self.bo.resident().store(charged, Relaxed);
        self.device().enlist(self.bo, pinned, charged);
        if !pinned {
            self.bo.charges().enlist(self.bo);
            self.list_for_cgroups();
        }
    }

    /// Removes the object from the lists, before its pages are freed. It is in none if it is charged for no page.
    #[inline(always)]
    fn delist(&mut self, charged: u64) {
        if charged != 0 {
            self.device().delist(self.bo, charged);
            self.bo.charges().delist(self.bo);
            self.unlist_for_cgroups();
        }
    }

    /// Uncharges all but `pages` pages from the client and the dmem cgroup, after the others were freed.
    #[inline]
    fn uncharge_to(&mut self, pages: u64) {
        if pages == 0 && self.guard.dmem.is_some() {
            self.guard.dmem = None;
        }
        self.bo.charges().reduce_to(pages);
    }

    /// Makes the object the most recently used.
    pub(super) fn touch(&mut self) {
        self.device().touch(self.bo);
        self.bo.charges().touch(self.bo);
        if let Some(marker) = &mut self.guard.marker {
            marker.touch();
        }
        if let Some(charged) = &self.guard.dmem {
            charged.touch(self.bo);
        }
    }

    /// Returns the TT. Returns `EINVAL` if there is none.
    pub(super) fn tt(&mut self) -> Result<&mut Tt> {
        self.guard.tt.as_mut().ok_or(EINVAL)
    }

    /// Decides about `request`. Returns `true` if it is to be done, `false` if there is nothing to do.
    fn decide(&self, request: Request) -> Result<bool> {
        let tt = self.guard.tt.as_ref().ok_or(EINVAL)?;
        let info = Info {
            state: tt.state(),
            external: tt.is_external(),
            owns_pages: tt.flags().owns_pages(),
            pins: self.guard.pins,
        };
        match state::decide(info, request) {
            Decision::Do => Ok(true),
            Decision::Nothing => Ok(false),
            Decision::Refuse(why) => Err(match why {
                Refusal::Pinned => EBUSY,
                Refusal::NotPopulated | Refusal::NotPinned | Refusal::External => EINVAL,
                Refusal::TooManyPins => EOVERFLOW,
            }),
        }
    }

    /// Returns the number of pages that `request` would give or take now, or the errno with which it
    /// would be refused.
    pub(crate) fn forecast(&self, request: Request) -> Result<u64> {
        let doing = self.decide(request)?;
        let tt = self.guard.tt.as_ref().ok_or(EINVAL)?;
        Ok(match request {
            Request::Populate | Request::Restore if doing && tt.flags().owns_pages() => {
                tt.num_pages() - tt.resident_pages()
            }
            Request::Unpopulate | Request::SwapOut | Request::BackUp | Request::Purge if doing => {
                tt.resident_pages()
            }
            _ => 0,
        })
    }

    /// Gives the object a TT; one that has a TT keeps it.
    ///
    /// Returns `EINVAL` if the size is zero or overflows.
    ///
    /// C original: `ttm_tt_create()`.
    #[cfg_attr(not(reeve_kunit), expect(dead_code, reason = "for in-kernel creators"))]
    pub(crate) fn create_tt(&mut self, extra: u64, zero_alloc: bool) -> Result {
        if self.guard.tt.is_none() {
            let flags = BoFlags::of(self.bo.ty(), zero_alloc);
            let tt = Tt::new(self.bo.size(), extra, flags)?;
            self.guard.tt = Some(tt);
        }
        Ok(())
    }

    /// Gives the object its pages, and its content back if it was swapped out; makes it the most
    /// recently used. Returns the number of pages gained.
    ///
    /// Returns `EINVAL` if it has no TT; else as [`Tt::populate`]. Pages are cleared, whatever the object was
    /// made for, but those of a driver's object that user space can't map.
    pub(crate) fn populate(&mut self, reclaim: &impl Reclaim) -> Result<u64> {
        if !self.decide(Request::Populate)? {
            self.touch();
            return Ok(0);
        }
        let (bo, device) = (self.bo, self.device());
        let times = &device.accounting().statistics.times;
        let clear = bo.clears();
        let tt = self.tt()?;
        let listed = tt.charged_pages() != 0;
        let marker = self.marker_for_current(reclaim)?;
        self.leave_storage();
        let Reserved { tt, dmem, .. } = &mut *self.guard;
        let tt = tt.as_mut().ok_or(EINVAL)?;
        let groups = dmem.is_none().then(|| device.groups());
        let (from, missing) = (tt.state(), tt.num_pages() - tt.resident_pages());
        let gained = trace::populate(bo.id(), times, from, missing, || {
            let wanted = || tt.to_be_charged();
            let mut charge = bo.charges().begin(device.accounting());
            charge.charge(groups, wanted, reclaim)?;
            let gained = loop {
                match tt.populate(device.backing(), reclaim, clear) {
                    Err(ENOMEM) => owners::make_room_in_memcg(tt.to_be_charged().1, reclaim)?,
                    result => break result?,
                }
            };
            charge.commit(dmem);
            Ok(gained)
        })?;
        let charged = tt.charged_pages();
        if let Some(marker) = marker {
            self.guard.marker = marker;
        }
        if listed {
            device.resize(bo, charged);
            if self.guard.pins == 0 {
                self.list_for_cgroups();
            }
            self.touch();
        } else if charged != 0 {
            self.enlist(charged);
        }
        Ok(gained)
    }

    /// Uncounts the content in storage, which becomes that of its pages or is counted again when the
    /// reservation ends.
    fn leave_storage(&mut self) {
        let before = core::mem::take(&mut self.guard.stored);
        if before != 0 {
            self.bo.charges().restored(self.accounting(), before, 0);
        }
    }

    /// Shows with the client what the object holds now, if that has changed.
    #[inline(never)]
    fn show(&mut self) {
        let now = self.guard.holdings();
        if now != self.guard.shown {
            let before = core::mem::replace(&mut self.guard.shown, now);
            self.bo.charges().replace(&before, &now);
        }
    }

    /// Makes a place among the objects of the memory cgroup of the current task, which is going to populate
    /// it: without one it would not be found when the cgroup is at its limit. `None`: it has the right one.
    ///
    /// Returns `ENOMEM` if there is no memory; `EINTR` if a fatal signal arrived; or the error of an
    /// eviction for room in the cgroup. May sleep.
    #[inline]
    fn marker_for_current(
        &self,
        reclaim: &impl Reclaim,
    ) -> Result<Option<Option<Marker<Linked<Bo>>>>> {
        if self.guard.marker.as_ref().map(Marker::of) == Memcg::of_current() {
            return Ok(None);
        }
        loop {
            match Marker::new() {
                Err(ENOMEM) => owners::make_room_in_memcg(1, reclaim)?,
                result => return result.map(Some),
            }
        }
    }

    /// Has the object found for its cgroups from now on.
    #[inline]
    fn list_for_cgroups(&mut self) {
        if self.guard.marker.is_some() || self.guard.dmem.is_some() {
            self.list_for_its_cgroups();
        }
    }

    #[inline(never)]
    fn list_for_its_cgroups(&mut self) {
        let bo = self.bo;
        if let Some(marker) = &mut self.guard.marker {
            marker.list(bo);
        }
        if let Some(charged) = &self.guard.dmem {
            charged.enlist(bo);
        }
    }

    /// Undoes [`Reservation::list_for_cgroups`].
    #[inline]
    fn unlist_for_cgroups(&mut self) {
        if self.guard.marker.is_some() || self.guard.dmem.is_some() {
            self.unlist_for_its_cgroups();
        }
    }

    #[inline(never)]
    fn unlist_for_its_cgroups(&mut self) {
        let reference = self.guard.marker.as_mut().and_then(Marker::unlist);
        drop(reference);
        if let Some(charged) = &self.guard.dmem {
            charged.delist(self.bo);
        }
    }

    /// Drops pages and content, if it is populated, and returns the number of pages freed.
    ///
    /// Returns `EBUSY` if it is pinned.
    pub(crate) fn unpopulate(&mut self) -> Result<u64> {
        if !self.decide(Request::Unpopulate)? {
            return Ok(0);
        }
        self.asked(Leaving::Dropped, |this| Ok(this.empty()))
    }

    /// Removes the object from the lists, and drops all pages and content but swapped out content.
    fn empty(&mut self) -> u64 {
        let (bo, device) = (self.bo, self.device());
        let Some(charged) = self.guard.tt.as_ref().map(Tt::charged_pages) else {
            return 0;
        };
        self.delist(charged);
        let Some(tt) = self.guard.tt.as_mut() else {
            return 0;
        };
        let lost = trace::unpopulate(bo.id(), || match tt.state() {
            State::Populated => tt.unpopulate(device.backing()),
            _ => tt.purge(device.accounting()),
        });
        self.uncharge_to(0);
        lost
    }

    /// Keeps the object in memory until [`Reservation::unpin`] was called as often.
    ///
    /// Returns `EINVAL` if it is not populated, `EOVERFLOW` if there are too many pins; if a client owns
    /// it, also as [`PinCharge::new`].
    pub(crate) fn pin(&mut self) -> Result {
        if self.decide(Request::Pin)? {
            if self.guard.pins == 0 && self.bo.charges().have_client() {
                let pages = self.tt()?.resident_pages();
                self.guard.pin_charge = Some(PinCharge::new(self.accounting(), pages)?);
            }
            self.guard.pins += 1;
            self.device().pin(self.bo);
            self.bo.charges().delist(self.bo);
            self.unlist_for_cgroups();
        }
        Ok(())
    }

    /// Undoes one pin. Returns `EINVAL` if there is none.
    pub(crate) fn unpin(&mut self) -> Result {
        if self.decide(Request::Unpin)? {
            self.guard.pins -= 1;
            if self.guard.pins == 0 {
                self.guard.pin_charge = None;
            }
            if self.guard.pins == 0 && self.device().unpin(self.bo) {
                self.bo.charges().enlist(self.bo);
                self.list_for_cgroups();
            }
        }
        Ok(())
    }

    /// Copies content from `offset` on to `to`, after populating the object.
    ///
    /// Returns `EINVAL` if that is outside of the object or its pages are external; else as
    /// [`Reservation::populate`].
    pub(crate) fn read(&mut self, offset: u64, to: &mut [u8], reclaim: &impl Reclaim) -> Result {
        self.prepare_copy(offset, to.len(), reclaim)?;
        let tt = self.tt()?;
        let mut pages = tt.kmap(offset >> PAGE_SHIFT);
        let mut rest = to;
        for piece in sizes::pieces(offset, rest.len() as u64, PAGE_SHIFT as u32) {
            let (part, after) = rest.split_at_mut_checked(piece.length).ok_or(EINVAL)?;
            pages.next().ok_or(EINVAL)?.read(piece.offset, part)?;
            rest = after;
        }
        Ok(())
    }

    /// Copies `from` to the content from `offset` on, after populating the object.
    ///
    /// Errors as [`Reservation::read`].
    pub(crate) fn write(&mut self, offset: u64, from: &[u8], reclaim: &impl Reclaim) -> Result {
        self.prepare_copy(offset, from.len(), reclaim)?;
        let tt = self.tt()?;
        let (first, length) = (offset >> PAGE_SHIFT, from.len() as u64);
        let mut pages = tt.kmap_mut(first);
        let mut rest = from;
        for piece in sizes::pieces(offset, rest.len() as u64, PAGE_SHIFT as u32) {
            let (part, after) = rest.split_at_checked(piece.length).ok_or(EINVAL)?;
            pages.advance().ok_or(EINVAL)?.write(piece.offset, part)?;
            rest = after;
        }
        if tt.flags().has_dma() {
            let end = (offset + length).div_ceil(PAGE_SIZE as u64);
            tt.sync_for_device(first, end - first);
        }
        Ok(())
    }

    fn prepare_copy(&mut self, offset: u64, length: usize, reclaim: &impl Reclaim) -> Result {
        self.check_copy(offset, length as u64)?;
        self.populate(reclaim)?;
        Ok(())
    }

    /// Checks that these bytes can be copied. Returns `EINVAL` if not.
    pub(crate) fn check_copy(&self, offset: u64, length: u64) -> Result {
        self.decide(Request::Copy)?;
        if sizes::contains(self.bo.size(), offset, length) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Returns the DMA address of the page `index`, and how many pages from there on are contiguous.
    ///
    /// The address is valid while the object is pinned or reserved. Returns `EINVAL` if there is no
    /// such page, it is not in memory, or the object was made without addresses.
    ///
    /// C original: `dma_address[index]` of `struct ttm_tt`.
    pub(crate) fn dma_address(&self, index: u64) -> Result<Place> {
        let tt = self.guard.tt.as_ref().ok_or(EINVAL)?;
        tt.dma_address(index)
    }

    /// Lets the processor see what the device wrote to these pages. What is moved out of memory is
    /// what the processor sees, so a driver does this before an object may be evicted.
    pub(crate) fn sync_for_cpu(&mut self, first: u64, pages: u64) -> Result {
        self.tt()?.sync_for_cpu(first, pages);
        Ok(())
    }

    /// Lets the device see what the processor wrote to these pages.
    pub(super) fn sync_for_device(&mut self, first: u64, pages: u64) -> Result {
        self.tt()?.sync_for_device(first, pages);
        Ok(())
    }

    /// Returns the page `index`, if it is in memory.
    pub(super) fn page(&self, index: u64) -> Option<PageRef<'_>> {
        self.guard.tt.as_ref()?.page(index)
    }

    /// Removes all mappings of users. May sleep.
    pub(super) fn unmap(&mut self) -> Result {
        self.tt()?.unmap();
        Ok(())
    }

    /// Keeps the DMA addresses of external pages; see [`Tt::set_dma_addresses`].
    pub(crate) fn set_dma_addresses(&mut self, addresses: KBox<DmaAddresses>) -> Result {
        self.tt()?.set_dma_addresses(addresses)
    }

    /// Returns what the object is like now.
    pub(crate) fn info(&self) -> BoInfo {
        let tt = self.guard.tt.as_ref();
        let on_lru = if self.device().is_evictable(self.bo) {
            flags::ON_LRU
        } else {
            0
        };
        BoInfo {
            num_pages: tt.map_or(0, Tt::num_pages),
            resident: tt.map_or(0, Tt::resident_pages),
            charged: tt.map_or(0, Tt::charged_pages),
            flags: tt.map_or(0, Tt::user_flags) | on_lru,
            kind: tt.map_or(PageKind::CACHED, |tt| tt.flags().kind()),
            protection: tt.map_or(Protection::PLAIN, Tt::protection),
            pins: self.guard.pins,
        }
    }

    /// Serves the fault at page `index`, if it is populated.
    pub(super) fn map(&mut self, fault: Fault<'_>, index: u64, range: &Range) -> FaultResult {
        match self.guard.tt.as_mut() {
            Some(tt) if tt.flags().owns_pages() => {
                let before = tt.log().map(DirtyLog::write_faults);
                let result = tt.map(fault, index, range);
                if let Some((log, before)) = tt.log().zip(before) {
                    if log.write_faults() != before {
                        trace::log_write_fault(self.bo.id(), log.mode().bits(), index);
                    }
                }
                result
            }
            _ => fault.sigbus(),
        }
    }

    /// Returns where the content is.
    pub(crate) fn state(&self) -> State {
        self.guard.tt.as_ref().map_or(State::Empty, Tt::state)
    }

    /// Takes its TT away, which has no pages.
    #[cfg(reeve_kunit)]
    pub(super) fn take_tt(&mut self) {
        self.guard.tt = None;
    }

    /// Returns the frame of page `index`, if it is populated and has that many.
    #[cfg(reeve_kunit)]
    pub(super) fn page_frame(&self, index: u64) -> Option<u64> {
        let tt = self.guard.tt.as_ref()?;
        Some(tt.page(index)?.frame())
    }

    /// See [`Tt::truncate_storage`].
    #[cfg(reeve_kunit)]
    pub(super) fn truncate_storage(&mut self) -> Result {
        self.tt()?.truncate_storage()
    }
}
