// SPDX-License-Identifier: GPL-2.0

//! Eviction: buffer objects leave memory, least recently used first.
//!
//! [`Reclaim::evict_one`] chooses an object by scope and tries to reserve it; what happens to the
//! object then is [`Reservation::evict`] or, if there is next to no memory, [`Reservation::shrink`].
//!
//! C original: `ttm_global_swapout()`, `ttm_device_swapout()` and `ttm_lru_walk_for_evict()`.
#![deny(unsafe_code)]

use super::{
    lru::{
        HasLru,
        Walk, //
    },
    manager::Manager,
    object::{
        Bo,
        Device, //
    },
    reclaim::{
        EvictScope,
        Reclaim, //
    },
    reservation::Reservation,
    rules::{
        limits::Amount,
        sequence::MAX_DEVICES,
        victims::Failed, //
    }, //
};
use crate::abstractions::{
    memcg::Memcg,
    shmem, //
};
use kernel::prelude::*;

impl Reclaim for Manager {
    /// Evicts buffer objects in `scope` until `enough`; see the trait. For [`EvictScope::Any`] and
    /// [`EvictScope::Dma32`] the pool is drained first: free pages go before used ones.
    ///
    /// Devices are asked in sequence, for one object at a time; the one that gave pages is asked last
    /// next time. All objects are looked at once at most, whether or not they can go.
    fn evict_until(&self, scope: EvictScope<'_>, enough: &mut dyn FnMut() -> bool) -> Result<u64> {
        if let EvictScope::Client(number) = scope {
            let Some(client) = self.clients().find(number) else {
                return Ok(0);
            };
            let (mut freed, mut failed) = (0, Failed::none());
            let mut walk = Walk::<_, 1, _>::new(&**client)?;
            loop {
                match evict_next(&mut walk, scope, &mut failed)? {
                    0 => return Ok(freed),
                    pages => freed += pages,
                }
                if enough() {
                    return Ok(freed);
                }
            }
        }
        let any = matches!(scope, EvictScope::Any | EvictScope::Dma32);
        if any {
            self.pool().drain();
        }
        let mut walks = [const { None }; MAX_DEVICES];
        // What failed on one device does not rule out objects of another.
        let mut failed = [Failed::none(); MAX_DEVICES];
        let mut freed = 0;
        let mut failure = Ok(());
        loop {
            // The lock is not held while a device evicts, which may take long.
            let sequence = *self.sequence().lock();
            let before = freed;
            for index in sequence.iter() {
                let (Some(device), Some(slot), Some(failed)) = (
                    self.devices().get(index),
                    walks.get_mut(index),
                    failed.get_mut(index),
                ) else {
                    continue;
                };
                let walk = match slot {
                    Some(walk) => walk,
                    None => match Walk::<Bo, 0, Device>::new(&**device) {
                        Ok(walk) => slot.insert(walk),
                        // Another device may have something all the same.
                        Err(e) => {
                            failure = Err(e);
                            continue;
                        }
                    },
                };
                let pages = evict_next(walk, scope, failed)?;
                if pages != 0 {
                    freed += pages;
                    if any {
                        self.sequence().lock().move_to_tail(index);
                    }
                    break;
                }
            }
            if freed == 0 && before == 0 {
                return failure.map(|()| 0);
            }
            if freed == before || enough() {
                return Ok(freed);
            }
        }
    }

    fn pinned(&self) -> Amount {
        let mut sum = Amount::default();
        for device in self.devices() {
            sum = sum.plus(device.pinned()).unwrap_or(sum);
        }
        sum
    }
}

impl Manager {
    /// Moves about `pages` pages of objects in `scope` out of memory and returns how many it moved. For
    /// reclaim: it waits for no lock. `writeback`: content is sent on to swap.
    pub(super) fn shrink(&self, scope: EvictScope<'_>, pages: u64, writeback: bool) -> u64 {
        let sequence = match self.sequence().try_lock() {
            Some(sequence) => *sequence,
            None => return 0,
        };
        let mut freed = 0;
        for index in sequence.iter() {
            if let (true, Some(device)) = (freed < pages, self.devices().get(index)) {
                // What was freed counts, whatever ended the walk.
                let _ = shrink(device, scope, pages, writeback, &mut freed);
            }
        }
        freed
    }
}

/// Evicts the next object of a walk in `scope` that can be evicted and returns the number of pages
/// freed; 0: there is none.
///
/// Reserved objects are passed over, and those whose eviction fails, which keep their place: for want of
/// memory or swap, mostly. Only what ends the caller, a fatal signal, ends the walk: `EINTR`. May sleep;
/// the caller holds at most reservations.
fn evict_next<const N: u64, O: HasLru<Bo, N>>(
    walk: &mut Walk<'_, Bo, N, O>,
    scope: EvictScope<'_>,
    failed: &mut Failed,
) -> Result<u64> {
    while let Some(bo) = walk.next(|bo| bo.is_in(scope))? {
        let (pages, memcg) = need(&bo);
        if failed.rules_out(pages, memcg) {
            continue;
        }
        // In the cgroup's search pages are moved a few at a time, so that their sum does not matter.
        let sparingly = matches!(scope, EvictScope::Memcg(_));
        if !sparingly && !shmem::may_have_room(pages) {
            failed.note(pages, memcg);
            continue;
        }
        // Only ever tried: the caller may hold another reservation.
        let Some(mut reservation) = Reservation::try_take(&bo) else {
            continue;
        };
        // It may have been pinned or unpopulated since it was found.
        if !bo.device().is_evictable(&bo) {
            continue;
        }
        let result = if sparingly {
            reservation.evict_sparingly()
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
    let mut walk = match Walk::<Bo, 0, Device>::new(device) {
        Ok(walk) => walk,
        Err(e) => return (0, Err(e)),
    };
    loop {
        let bo = match walk.next(|_| true) {
            Ok(Some(bo)) => bo,
            Ok(None) => return (freed, result),
            Err(e) => return (freed, Err(e)),
        };
        let mut reservation = match Reservation::take_killable(&bo) {
            Ok(reservation) => reservation,
            Err(e) => return (freed, Err(e)),
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

/// Moves the least recently used objects of `device` in `scope` out of memory until `freed`, to which their pages are
/// added, is about `pages`. Objects that are reserved, and those that fail, are passed over. Returns
/// `EINTR` if a fatal signal arrived: a task that is being killed does not reclaim for itself.
fn shrink(
    device: &Device,
    scope: EvictScope<'_>,
    pages: u64,
    writeback: bool,
    freed: &mut u64,
) -> Result {
    let mut failed = Failed::none();
    let mut walk = Walk::<Bo, 0, Device>::new(device)?;
    while *freed < pages {
        let Some(bo) = walk.next(|bo| bo.is_in(scope))? else {
            break;
        };
        let (copied, memcg) = need(&bo);
        // A few pages at a time are moved: when one fails, the others do.
        if failed.rules_out(copied.min(1), memcg) {
            continue;
        }
        if let Some(mut reservation) = Reservation::try_take(&bo) {
            if device.is_evictable(&bo) {
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
