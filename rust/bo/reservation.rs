// SPDX-License-Identifier: GPL-2.0

//! What can be done with a buffer object while it is reserved.
//!
//! Each method does what [`bo_rules`] allows, keeps the device's lists in step with the TT, and
//! leaves everything as it was when it fails. All may sleep.

use super::{
    charge::owners,
    counters::Accounting,
    object::{
        Bo,
        Reserved, //
    },
    rules::{
        dma_runs::Place,
        object::{
            self,
            flags,
            Answer,
            BoFlags,
            Info, //
            Refusal,
            Request,
        },
        page_kind::PageKind,
        sizes,
        state::State, //
    },
    trace,
    tt::{
        BackUp,
        Reclaim,
        Tt, //
    }, //
};
use crate::{
    abstractions::{
        dma::DmaAddresses,
        kmap::Protection,
        list::Linked,
        shrinker,
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
    sync::Arc, //
};

/// A buffer object that nobody else can reserve meanwhile.
pub(crate) struct Reservation<'a> {
    bo: &'a Arc<Linked<Bo>>,
    guard: MutexGuard<'a, Reserved, BoReservation>,
}

/// Facts about a buffer object at one moment.
pub(crate) struct Facts {
    /// Pages it has when populated.
    pub(crate) num_pages: u64,
    /// Pages it holds in memory.
    pub(crate) resident: u64,
    /// Pages it has added to the counters.
    pub(crate) charged: u64,
    /// Flags as in [`object::flags`].
    pub(crate) flags: u32,
    /// What kind of pages it has or would have.
    pub(crate) kind: PageKind,
    /// How these are mapped, by everybody.
    pub(crate) protection: Protection,
    /// Pins in force.
    pub(crate) pins: u32,
}

impl<'a> Reservation<'a> {
    #[inline]
    pub(super) fn take(bo: &'a Arc<Linked<Bo>>) -> Self {
        Self {
            bo,
            guard: bo.reserved().lock(),
        }
    }

    #[inline]
    pub(super) fn try_take(bo: &'a Arc<Linked<Bo>>) -> Option<Self> {
        let guard = bo.reserved().try_lock()?;
        Some(Self { bo, guard })
    }

    fn accounting(&self) -> &'a Arc<Accounting> {
        self.bo.device().accounting()
    }

    /// The TT. `EINVAL`: it has none.
    pub(super) fn tt(&mut self) -> Result<&mut Tt> {
        self.guard.tt.as_mut().ok_or(EINVAL)
    }

    /// Decides about `request`: `Ok(true)`: do it, `Ok(false)`: nothing to do.
    fn decide(&self, request: Request) -> Result<bool> {
        let tt = self.guard.tt.as_ref().ok_or(EINVAL)?;
        let view = Info {
            state: tt.state(),
            external: tt.is_external(),
            owns_pages: tt.flags().owns_pages(),
            pins: self.guard.pins,
        };
        match object::decide(view, request) {
            Answer::Do => Ok(true),
            Answer::Nothing => Ok(false),
            Answer::Refuse(why) => Err(match why {
                Refusal::Pinned => EBUSY,
                Refusal::NotPopulated | Refusal::NotPinned | Refusal::External => EINVAL,
                Refusal::TooManyPins => EOVERFLOW,
            }),
        }
    }

    /// The pages that `request` would give or take now, or the errno it would be refused with.
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
    /// `EINVAL`: a zero or overflowing size.
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
    /// recently used. Answers the pages gained.
    ///
    /// `EINVAL`: it has no TT; else as [`Tt::populate`]. Pages that user space can read are
    /// cleared, whatever the object was made for: user space can read device and kernel objects.
    pub(crate) fn populate(&mut self, reclaim: &impl Reclaim) -> Result<u64> {
        if !self.decide(Request::Populate)? {
            self.bo.device().touch(self.bo);
            return Ok(0);
        }
        let bo = self.bo;
        let device = bo.device();
        let tt = self.tt()?;
        let listed = tt.charged_pages() != 0;
        let gained = trace::populate(bo, tt, |tt| {
            let wanted = || tt.to_be_charged();
            let claim = bo.charges().claim(device.accounting(), wanted, reclaim)?;
            let gained = loop {
                match tt.populate(device, reclaim, true) {
                    Err(ENOMEM) => owners::make_room_in_memcg(tt.to_be_charged().1, reclaim)?,
                    result => break result?,
                }
            };
            claim.keep();
            Ok(gained)
        })?;
        let charged = tt.charged_pages();
        if listed {
            device.resize(self.bo, charged);
            device.touch(self.bo);
        } else if charged != 0 {
            self.bo.set_resident_pages(charged);
            device.enlist(self.bo, self.guard.pins != 0, charged);
        }
        Ok(gained)
    }

    /// Drops pages and content, if it is populated; answers the pages lost.
    ///
    /// `EBUSY`: it is pinned.
    pub(crate) fn unpopulate(&mut self) -> Result<u64> {
        if !self.decide(Request::Unpopulate)? {
            return Ok(0);
        }
        Ok(self.empty())
    }

    /// Delists, and drops what content and pages there are but for swapped out content.
    fn empty(&mut self) -> u64 {
        let device = self.bo.device();
        let Some(tt) = self.guard.tt.as_mut() else {
            return 0;
        };
        device.delist(self.bo, tt.charged_pages());
        let lost = trace::unpopulate(self.bo, || match tt.state() {
            State::Populated => tt.unpopulate(device),
            _ => tt.purge(device),
        });
        self.bo.charges().reduce_to(0);
        lost
    }

    /// Moves the content to swap storage, if it is populated; answers the pages freed.
    ///
    /// `EINVAL`: its pages are somebody else's; `EBUSY`: it is pinned; `ENOMEM`; `EINTR`. A swapout
    /// that fails leaves the object's place in the LRU as it was.
    pub(crate) fn swap_out(&mut self) -> Result<u64> {
        if !self.decide(Request::SwapOut)? {
            return Ok(0);
        }
        let pages = self.guard.tt.as_ref().map_or(0, Tt::charged_pages);
        let bo = self.bo;
        trace::swap_out(bo, pages, || self.move_out())
    }

    /// What [`Reservation::swap_out`] does once it was decided.
    fn move_out(&mut self) -> Result<u64> {
        let accounting = self.accounting();
        let tt = self.guard.tt.as_mut().ok_or(EINVAL)?;
        let Some(saved) = tt.save()? else {
            return Ok(0);
        };
        self.bo.device().delist(self.bo, tt.charged_pages());
        let freed = tt.let_go(saved, accounting);
        self.bo.charges().reduce_to(0);
        Ok(freed)
    }

    /// Moves the object out of memory for global swapout: what is partly backed up goes the same
    /// way to its end. As [`Reservation::swap_out`].
    ///
    /// Content is charged to the memory cgroup that the pages are charged to. One that has no room
    /// for it must not keep others from getting memory; so then it goes bit by bit.
    pub(super) fn push_out(&mut self) -> Result<u64> {
        let result = if self.state() == State::PartlyBackedUp {
            self.back_up(BackUp::RELAXED)
        } else {
            self.swap_out()
        };
        match result {
            Err(ENOMEM) if self.bo.charges().memcg().is_some() => self.squeeze_out(),
            result => result,
        }
    }

    /// Moves the object out of memory with next to no more memory, as reclaim does: at no time it
    /// takes more than a few pages more, which are not refused. As [`Reservation::back_up`].
    pub(super) fn squeeze_out(&mut self) -> Result<u64> {
        shrinker::as_reclaim(|| self.shrink(u64::MAX, true))
    }

    /// Moves about `pages` pages out of memory, for reclaim; answers how many. As
    /// [`Reservation::back_up`].
    pub(super) fn shrink(&mut self, pages: u64, writeback: bool) -> Result<u64> {
        let resident = self.guard.tt.as_ref().map_or(0, Tt::resident_pages);
        self.back_up(BackUp {
            writeback,
            granule: BackUp::SPARING,
            until: resident.saturating_sub(pages),
        })
    }

    /// Makes the place for a backup beforehand; see [`Tt::set_up_backup`].
    #[cfg_attr(not(reeve_kunit), expect(dead_code, reason = "for in-kernel users"))]
    pub(crate) fn set_up_backup(&mut self) -> Result {
        self.tt()?.set_up_backup()
    }

    /// Moves content to the backup, as far as memory goes, and frees its pages; answers how many.
    ///
    /// What is left keeps its place in the LRU; going on later starts there. `EINVAL`: its pages
    /// are somebody else's; `EBUSY`: it is pinned; `ENOMEM`, `EINTR`: nothing was moved.
    pub(crate) fn back_up(&mut self, how: BackUp) -> Result<u64> {
        if !self.decide(Request::BackUp)? {
            return Ok(0);
        }
        let pages = self.guard.tt.as_ref().map_or(0, Tt::resident_pages);
        let bo = self.bo;
        trace::back_up(bo, pages, || self.move_to_backup(how))
    }

    /// What [`Reservation::back_up`] does once it was decided.
    fn move_to_backup(&mut self, how: BackUp) -> Result<u64> {
        let (device, accounting) = (self.bo.device(), self.accounting());
        let tt = self.guard.tt.as_mut().ok_or(EINVAL)?;
        let charged = tt.charged_pages();
        let moved = tt.back_up(how)?;
        accounting.statistics.backed_up_pages.count_many(moved);
        if charged != 0 {
            let left = tt.resident_pages();
            if left == 0 {
                accounting.statistics.backups.count();
                device.delist(self.bo, charged);
            } else {
                device.resize(self.bo, left);
            }
            tt.uncharge_moved();
            self.bo.charges().reduce_to(left);
        }
        Ok(moved)
    }

    /// Gives the object its pages and content back, if they are in a backup; answers the pages
    /// gained. As [`Reservation::populate`].
    pub(crate) fn restore(&mut self, reclaim: &impl Reclaim) -> Result<u64> {
        if self.decide(Request::Restore)? {
            self.populate(reclaim)
        } else {
            Ok(0)
        }
    }

    /// Drops content, from pages and backup, and the pages; answers how many. What is swapped out
    /// stays.
    ///
    /// `EINVAL`: its pages are somebody else's; `EBUSY`: it is pinned.
    pub(crate) fn purge(&mut self) -> Result<u64> {
        if !self.decide(Request::Purge)? {
            return Ok(0);
        }
        let device = self.bo.device();
        let tt = self.guard.tt.as_mut().ok_or(EINVAL)?;
        device.delist(self.bo, tt.charged_pages());
        let lost = trace::unpopulate(self.bo, || tt.purge(device));
        self.bo.charges().reduce_to(0);
        Ok(lost)
    }

    /// Keeps the object in memory until as many [`Reservation::unpin`].
    ///
    /// `EINVAL`: it is not populated; `EOVERFLOW`: too many pins.
    pub(crate) fn pin(&mut self) -> Result {
        if self.decide(Request::Pin)? {
            self.guard.pins += 1;
            self.bo.device().pin(self.bo);
        }
        Ok(())
    }

    /// Undoes one pin. `EINVAL`: there is none.
    pub(crate) fn unpin(&mut self) -> Result {
        if self.decide(Request::Unpin)? {
            self.guard.pins -= 1;
            if self.guard.pins == 0 {
                self.bo.device().unpin(self.bo);
            }
        }
        Ok(())
    }

    /// Copies content from `offset` on to `to`, after populating the object.
    ///
    /// `EINVAL`: outside of the object, or its pages are somebody else's; else as
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
        if tt.flags().dma {
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

    /// Whether these bytes can be copied. `EINVAL`: no.
    pub(crate) fn check_copy(&self, offset: u64, length: u64) -> Result {
        self.decide(Request::Copy)?;
        if sizes::contains(self.bo.size(), offset, length) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Where the page `index` is for the device, and how many pages from there on are side by side.
    ///
    /// It stays true while the object is pinned, or as long as the reservation. `EINVAL`: there is
    /// no such page, it is not in memory, or the object was made without addresses.
    ///
    /// C original: `dma_address[index]` of `struct ttm_tt`.
    pub(crate) fn dma_address(&self, index: u64) -> Result<Place> {
        let tt = self.guard.tt.as_ref().ok_or(EINVAL)?;
        tt.dma_address(index)
    }

    /// Lets the processor see what the device wrote to these pages. What moves out of memory is what
    /// the processor sees, so a driver does this before it lets an object go.
    #[cfg_attr(not(reeve_kunit), expect(dead_code, reason = "for in-kernel users"))]
    pub(crate) fn sync_for_cpu(&mut self, first: u64, pages: u64) -> Result {
        self.tt()?.sync_for_cpu(first, pages);
        Ok(())
    }

    /// Keeps the addresses of somebody else's pages; see [`Tt::set_dma_addresses`].
    #[cfg_attr(
        not(reeve_kunit),
        expect(dead_code, reason = "for in-kernel importers")
    )]
    pub(crate) fn set_dma_addresses(&mut self, addresses: KBox<DmaAddresses>) -> Result {
        self.tt()?.set_dma_addresses(addresses)
    }

    /// How it is now.
    pub(crate) fn facts(&self) -> Facts {
        let tt = self.guard.tt.as_ref();
        let on_lru = if self.bo.device().is_evictable(self.bo) {
            flags::ON_LRU
        } else {
            0
        };
        Facts {
            num_pages: tt.map_or(0, Tt::num_pages),
            resident: tt.map_or(0, Tt::resident_pages),
            charged: tt.map_or(0, Tt::charged_pages),
            flags: tt.map_or(0, Tt::user_flags) | on_lru,
            kind: tt.map_or(PageKind::CACHED, |tt| tt.flags().kind),
            protection: tt.map_or(Protection::PLAIN, Tt::protection),
            pins: self.guard.pins,
        }
    }

    /// Serves the fault at page `index`, if it is populated.
    pub(super) fn map(&mut self, fault: Fault<'_>, index: u64, range: &Range) -> FaultResult {
        match self.guard.tt.as_mut() {
            Some(tt) if tt.flags().owns_pages() => tt.map(fault, index, range),
            _ => fault.sigbus(),
        }
    }

    /// Where the content is.
    pub(crate) fn state(&self) -> State {
        self.guard.tt.as_ref().map_or(State::Empty, Tt::state)
    }

    /// The end of the object: everything goes, pins or not.
    pub(super) fn retire(mut self) {
        self.empty();
        self.guard.pins = 0;
        self.guard.tt = None;
    }

    /// The frame of page `index`, if it is populated and has that many.
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
