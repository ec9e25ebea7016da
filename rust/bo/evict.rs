// SPDX-License-Identifier: GPL-2.0

//! Eviction: buffer objects leave memory, least recently used first.
//!
//! [`Reclaim::evict_one`] chooses an object by scope and tries to reserve it; what happens to the
//! object then is [`Reservation::evict`] or, if there is next to no memory, [`Reservation::shrink`].
//!
//! C original: `ttm_global_swapout()`, `ttm_device_swapout()` and `ttm_lru_walk_for_evict()`.
#![deny(unsafe_code)]

use super::{
    driver::Wait,
    lru::{
        HasLru,
        Walk, //
    },
    manager::Manager,
    object::{
        Bo,
        BoRef,
        Device, //
    },
    reclaim::{
        EvictScope,
        Reclaim, //
    },
    reservation::Reservation,
    rules::{
        limits::Amount,
        victims::Failed, //
    }, //
};
use crate::abstractions::{
    dmem,
    list::Linked,
    memcg::{
        Group,
        Memcg, //
    },
    page,
    shmem,
    task::{
        self,
        EndedBy, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// The devices that one eviction has asked, with the place in the LRU of each.
struct Asked {
    /// The first one, which mostly is the only one.
    first: Option<Asking>,
    /// The next ones, which take no memory.
    next: Option<[Option<Asking>; FEW - 1]>,
    /// Not just empty: dropping that is a call.
    more: Option<KVec<Asking>>,
}

/// How many devices are asked without memory for the list of them.
const FEW: usize = 8;

/// A device that is being asked.
struct Asking {
    device: u32,
    /// The last round in which it was asked.
    round: u64,
    walk: Walk<Bo, 0, Arc<Device>>,
    /// What failed on this device. That does not rule out objects of another.
    failed: Failed,
}

impl Asked {
    const fn new() -> Self {
        Self {
            first: None,
            next: None,
            more: None,
        }
    }

    /// Returns whether `device` was asked in this round.
    #[inline]
    fn has_asked(&self, device: &Device, round: u64) -> bool {
        let is_it = |asking: &Asking| asking.device == device.index() && asking.round == round;
        match &self.first {
            None => false,
            Some(first) => is_it(first) || self.has_asked_later(device, round),
        }
    }

    #[cold]
    #[inline(never)]
    fn has_asked_later(&self, device: &Device, round: u64) -> bool {
        let is_it = |asking: &Asking| asking.device == device.index() && asking.round == round;
        let mut next = self.next.iter().flatten().flatten();
        next.any(is_it) || self.more.iter().flatten().any(is_it)
    }

    /// Returns what is known of `device`, which is asked in this round. Returns `ENOMEM` if there is no
    /// memory.
    #[inline]
    fn ask(&mut self, device: Arc<Device>, round: u64) -> Result<&mut Asking> {
        let asking = |device: Arc<Device>| Asking {
            device: device.index(),
            round,
            walk: Walk::new(device),
            failed: Failed::none(),
        };
        if self.first.is_none() {
            return Ok(self.first.insert(asking(device)));
        }
        let asking = self.ask_known(asking, device)?;
        asking.round = round;
        Ok(asking)
    }

    #[cold]
    #[inline(never)]
    fn ask_known(
        &mut self,
        asking: impl FnOnce(Arc<Device>) -> Asking,
        device: Arc<Device>,
    ) -> Result<&mut Asking> {
        let index = device.index();
        let next = self
            .next
            .get_or_insert_with(|| core::array::from_fn(|_| None));
        let is_first = self
            .first
            .as_ref()
            .is_some_and(|first| first.device == index);
        if is_first {
            return self.first.as_mut().ok_or(EINVAL);
        }
        let at = next
            .iter()
            .flatten()
            .position(|asking| asking.device == index);
        let free = next.iter().position(Option::is_none);
        if let Some(at) = at.or(free) {
            let slot = next.get_mut(at).ok_or(EINVAL)?;
            return Ok(slot.get_or_insert_with(|| asking(device)));
        }
        let more = self.more.get_or_insert_with(KVec::new);
        match more.iter().position(|asking| asking.device == index) {
            Some(at) => more.get_mut(at).ok_or(EINVAL),
            None => {
                more.push(asking(device), GFP_KERNEL)?;
                more.last_mut().ok_or(EINVAL)
            }
        }
    }
}

impl Reclaim for Manager {
    fn evict_until(&self, scope: EvictScope<'_>, enough: &mut dyn FnMut() -> bool) -> Result<u64> {
        self.evict(scope, enough, Wait::Yes, EndedBy::Fatal)
    }

    fn pinned(&self) -> Amount {
        self.pinned_amount()
    }
}

/// A manager for a populate that says how it waits.
pub(super) struct Waiting<'a> {
    pub(super) manager: &'a Manager,
    /// Whether drivers may wait that are asked for pages.
    pub(super) wait: Wait,
    pub(super) ended_by: EndedBy,
}

impl Reclaim for Waiting<'_> {
    fn evict_until(&self, scope: EvictScope<'_>, enough: &mut dyn FnMut() -> bool) -> Result<u64> {
        self.manager.evict(scope, enough, self.wait, self.ended_by)
    }

    fn pinned(&self) -> Amount {
        self.manager.pinned_amount()
    }

    fn ended_by(&self) -> EndedBy {
        self.ended_by
    }
}

impl Manager {
    fn pinned_amount(&self) -> Amount {
        Amount {
            pages: self.sum(|device| device.pinned().pages),
            dma32: self.sum(|device| device.pinned().dma32),
        }
    }

    /// Evicts buffer objects in `scope` until `enough`; see [`Reclaim`]. For [`EvictScope::Any`] and
    /// [`EvictScope::Dma32`] the pool is drained first: free pages go before used ones.
    ///
    /// Devices are asked in sequence, for one object at a time; the one that gave pages is asked last
    /// next time. All objects are looked at once at most, whether or not they can go. `ended_by`: which signals
    /// end it, with `EINTR`, between two objects.
    fn evict(
        &self,
        scope: EvictScope<'_>,
        enough: &mut dyn FnMut() -> bool,
        wait: Wait,
        ended_by: EndedBy,
    ) -> Result<u64> {
        if let EvictScope::Client(number) = scope {
            let Some(client) = self.clients().find(number) else {
                return Ok(0);
            };
            let walk = Walk::<_, 1, _>::new(&**client);
            return evict_of_one(walk, scope, enough, wait, ended_by);
        }
        if let EvictScope::Memcg(group) = scope {
            return evict_of_one(GroupWalk::new(group), scope, enough, wait, ended_by);
        }
        if let EvictScope::Dmem(search) = scope {
            return self.evict_of_groups(search, enough, wait, ended_by);
        }
        let any = matches!(scope, EvictScope::Any | EvictScope::Dma32);
        if any {
            self.pool().drain();
        }
        let mut asked = Asked::new();
        let (mut freed, mut round) = (0, 0);
        let mut failure = Ok(());
        loop {
            round += 1;
            let before = freed;
            // One without objects in its LRU is not asked.
            let is_next = |asked: &Asked, device: &Device| {
                device.evictable_pages() != 0 && !asked.has_asked(device, round)
            };
            // The list is not locked while a device evicts, which may take long.
            while let Some(device) = self.first_device(|device| is_next(&asked, device)) {
                let index = device.index();
                let asking = match asked.ask(device, round) {
                    Ok(asking) => asking,
                    Err(e) => {
                        failure = Err(e);
                        break;
                    }
                };
                ended_by.cond_resched()?;
                let pages = match evict_next(&mut asking.walk, scope, wait, &mut asking.failed) {
                    Err(ENOMEM) => {
                        // Another device may have something all the same.
                        failure = Err(ENOMEM);
                        continue;
                    }
                    pages => pages?,
                };
                if pages != 0 {
                    freed += pages;
                    if any {
                        self.ask_last(index);
                    }
                    break;
                }
            }
            if freed == 0 {
                return failure.map(|()| 0);
            }
            if freed == before || enough() {
                return Ok(freed);
            }
        }
    }

    /// Evicts objects of dmem cgroups that help with the limit `search` is for; see [`Manager::evict`].
    ///
    /// The cgroup is asked first whose object was used least recently.
    fn evict_of_groups(
        &self,
        search: &dmem::Search<'_>,
        enough: &mut dyn FnMut() -> bool,
        wait: Wait,
        ended_by: EndedBy,
    ) -> Result<u64> {
        let groups = self.groups();
        let (mut after, last) = (0, groups.last());
        let mut failure = Ok(0);
        while let Some((group, oldest)) = groups.next(after + 1..=last, search) {
            after = oldest;
            let walk = Walk::<_, 2, _>::new(&**group);
            match evict_of_one(walk, EvictScope::Dmem(search), enough, wait, ended_by) {
                Ok(0) => {}
                Ok(freed) => return Ok(freed),
                // Another cgroup may have something all the same.
                Err(ENOMEM) => failure = Err(ENOMEM),
                Err(e) => return Err(e),
            }
        }
        failure
    }

    /// Moves about `pages` pages of objects out of memory and returns how many it moved. For reclaim: it
    /// waits for no lock, and for no driver. `writeback`: content is sent on to swap.
    pub(super) fn shrink(&self, pages: u64, writeback: bool) -> u64 {
        let (mut freed, mut at) = (0, 0);
        while freed < pages {
            let Some(device) = self.try_device(at) else {
                break;
            };
            // What was freed counts, whatever ended the walk.
            let walk = Walk::<Bo, 0, _>::new(&*device);
            let _ = shrink(walk, pages, writeback, &mut freed);
            at += 1;
        }
        freed
    }
}

/// Moves about `pages` pages out of memory, of objects that are charged to a memory cgroup, of those that are
/// asked for on this node. Otherwise as [`Manager::shrink`].
pub(super) fn shrink_group(group: Group<'_>, node: usize, pages: u64, writeback: bool) -> u64 {
    let mut freed = 0;
    let _ = shrink(GroupWalk::on(group, node), pages, writeback, &mut freed);
    freed
}

/// Goes through objects that may be evicted, each once at most.
trait Victims {
    /// Returns the next one in `scope`; `None`: there is no other one. Returns `EINTR` if a fatal signal
    /// arrived, `ENOMEM` if there is no memory to keep the place. May sleep.
    fn next(&mut self, scope: EvictScope<'_>) -> Result<Option<ARef<Linked<Bo>>>>;
}

impl<const N: u64, O: HasLru<Bo, N>> Victims for Walk<Bo, N, O> {
    fn next(&mut self, scope: EvictScope<'_>) -> Result<Option<ARef<Linked<Bo>>>> {
        Walk::next(self, |bo| bo.is_in(scope))
    }
}

/// A walk through the objects that are charged to a memory cgroup, least recently used first. One that was
/// passed over is the most recently used then, so that the next walk begins with others.
struct GroupWalk<'a> {
    group: Group<'a>,
    node: usize,
    /// The node behind the last one.
    end: usize,
    /// How many objects of `node` were not looked at.
    left: u64,
}

impl<'a> GroupWalk<'a> {
    /// Begins one through all.
    fn new(group: Group<'a>) -> Self {
        Self::through(group, 0, page::nodes())
    }

    /// Begins one through those that are asked for on this node.
    fn on(group: Group<'a>, node: usize) -> Self {
        Self::through(group, node, node + 1)
    }

    fn through(group: Group<'a>, node: usize, end: usize) -> Self {
        Self {
            group,
            node,
            end,
            left: group.marked(node),
        }
    }
}

impl Victims for GroupWalk<'_> {
    fn next(&mut self, _: EvictScope<'_>) -> Result<Option<ARef<Linked<Bo>>>> {
        loop {
            task::cond_resched_killable()?;
            if self.left == 0 {
                self.node += 1;
                if self.node >= self.end {
                    return Ok(None);
                }
                self.left = self.group.marked(self.node);
                continue;
            }
            match self.group.next(self.node) {
                Some(bo) => {
                    self.left -= 1;
                    return Ok(Some(bo));
                }
                None => self.left = 0,
            }
        }
    }
}

/// Evicts objects of a walk until `enough`; see [`Manager::evict`].
fn evict_of_one(
    mut walk: impl Victims,
    scope: EvictScope<'_>,
    enough: &mut dyn FnMut() -> bool,
    wait: Wait,
    ended_by: EndedBy,
) -> Result<u64> {
    let (mut freed, mut failed) = (0, Failed::none());
    loop {
        ended_by.cond_resched()?;
        match evict_next(&mut walk, scope, wait, &mut failed) {
            Ok(0) => return Ok(freed),
            Ok(pages) => freed += pages,
            Err(ENOMEM) if freed != 0 => return Ok(freed),
            Err(e) => return Err(e),
        }
        if enough() {
            return Ok(freed);
        }
    }
}

/// Evicts the next object of a walk in `scope` that can be evicted and returns the number of pages
/// freed; 0: there is none.
///
/// Reserved objects are passed over, and those whose eviction fails, which keep their place: for want of
/// memory or swap, mostly. What ends the walk is what ends the caller, a fatal signal: `EINTR`; and that there is
/// no memory to keep the place of the walk: `ENOMEM`. May sleep; the caller holds at most reservations.
fn evict_next(
    walk: &mut impl Victims,
    scope: EvictScope<'_>,
    wait: Wait,
    failed: &mut Failed,
) -> Result<u64> {
    while let Some(bo) = walk.next(scope)? {
        let (pages, memcg) = need(&bo);
        if failed.rules_out(pages, memcg) {
            continue;
        }
        // In the cgroup's search pages are moved a few at a time, so that their sum does not matter.
        let in_parts = matches!(scope, EvictScope::Memcg(_));
        if !in_parts && !shmem::may_have_room(pages) {
            failed.note(pages, memcg);
            continue;
        }
        // Only ever tried: the caller may hold another reservation.
        let Some(mut reservation) = Reservation::try_take(&bo, wait) else {
            continue;
        };
        // It may have been pinned or unpopulated since it was found.
        if !bo.device().is_evictable(&bo) {
            continue;
        }
        let result = if in_parts {
            reservation.evict_in_parts()
        } else {
            reservation.evict()
        };
        match result {
            Ok(0) => {}
            Ok(freed) => {
                *failed = Failed::none();
                return Ok(freed);
            }
            Err(EINTR) => return Err(EINTR),
            Err(ENOMEM) => failed.note(pages, memcg),
            Err(_) => {}
        }
    }
    Ok(0)
}

/// Returns how many pages have to be copied to evict `bo`, and the number of the cgroup to which the copy
/// is charged, or 0.
fn need(bo: &Bo) -> (u64, u64) {
    (bo.copied_pages(), bo.charges().memcg().map_or(0, Memcg::id))
}

/// Evicts every object in the LRU of `device`, waiting for those that are reserved. Returns the
/// number of pages freed, and the first errno of those that failed and stay.
///
/// Each object is tried once. `EINTR` ends the walk. May sleep; the caller holds no reservation.
pub(super) fn evict_all(device: &Device) -> (u64, Result) {
    let (mut freed, mut result) = (0, Ok(()));
    let mut walk = Walk::<Bo, 0, _>::new(device);
    loop {
        let bo = match walk.next(|_| true) {
            Ok(Some(bo)) => bo,
            Ok(None) => return (freed, result),
            Err(e) => return (freed, Err(e)),
        };
        // Its driver's lock is waited for, so what is that lock's must stay.
        let Some(user) = BoRef::of(&bo) else {
            continue;
        };
        let mut reservation = match user.reserve_killable() {
            Ok(reservation) => reservation,
            Err(EINTR) => return (freed, Err(EINTR)),
            Err(e) => {
                result = result.and(Err(e));
                continue;
            }
        };
        // It may have been pinned or unpopulated since it was found.
        if !device.is_evictable(&bo) {
            continue;
        }
        let moved = reservation.evict();
        freed += moved.unwrap_or(0);
        let outcome = match moved {
            // A backup that ended half-way.
            Ok(_) if device.is_evictable(&bo) => Err(ENOMEM),
            moved => moved.map(|_| ()),
        };
        result = result.and(outcome);
        if outcome == Err(EINTR) {
            return (freed, outcome);
        }
    }
}

/// Moves the objects of a walk out of memory until `freed`, to which their pages are added, is about `pages`.
/// Objects that are reserved, and those that fail, are passed over. Returns `EINTR` if a fatal signal arrived:
/// a task that is being killed does not reclaim for itself.
fn shrink(mut walk: impl Victims, pages: u64, writeback: bool, freed: &mut u64) -> Result {
    let mut failed = Failed::none();
    while *freed < pages {
        let Some(bo) = walk.next(EvictScope::Any)? else {
            break;
        };
        let (copied, memcg) = need(&bo);
        // A few pages at a time are moved: when one fails, the others do.
        if failed.rules_out(copied.min(1), memcg) {
            continue;
        }
        if let Some(mut reservation) = Reservation::try_take(&bo, Wait::No) {
            if bo.device().is_evictable(&bo) {
                match reservation.shrink(pages - *freed, writeback) {
                    Ok(0) => {}
                    Ok(moved) => {
                        *freed += moved;
                        failed = Failed::none();
                    }
                    Err(EINTR) => return Err(EINTR),
                    Err(ENOMEM) => failed.note(copied.min(1), memcg),
                    Err(_) => {}
                }
            }
        };
    }
    Ok(())
}
