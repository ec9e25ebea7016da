// SPDX-License-Identifier: GPL-2.0

//! Eviction: buffer objects leave memory, least recently used first.
//!
//! [`Reclaim::evict_one`] chooses an object by scope and tries to reserve it; what happens to the
//! object then is [`Reservation::evict`] or, if there is next to no memory, [`Reservation::shrink`].
//!
//! C original: `ttm_global_swapout()`, `ttm_device_swapout()` and `ttm_lru_walk_for_evict()`.
#![deny(unsafe_code)]

use super::{
    lru::Walk,
    manager::Manager,
    object::{
        Bo,
        Device, //
    },
    reclaim::{
        EvictScope,
        Reclaim, //
    },
    reservation::Reservation, //
};
use crate::abstractions::list::Linked;
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl Reclaim for Manager {
    /// Evicts one buffer object in `scope` and returns the number of pages freed; 0: there is none
    /// left. For [`EvictScope::Any`] the pool is drained first: free pages go before used ones.
    ///
    /// Devices are asked in sequence; the one that gave pages is asked last next time. A device that
    /// fails doesn't keep others from being asked; if none gives pages, the first errno is returned.
    /// Returns `EINTR` if a fatal signal arrived. May sleep; the caller holds at most reservations.
    fn evict_one(&self, scope: EvictScope<'_>) -> Result<u64> {
        if let EvictScope::Client(number) = scope {
            let client = self.clients().find(number);
            return client.map_or(Ok(0), |client| evict_first(scope, |walk| client.step(walk)));
        }
        if matches!(scope, EvictScope::Any) {
            self.pool().drain();
        }
        // The lock is not held while a device evicts, which may take long.
        let sequence = *self.sequence().lock();
        let mut result = Ok(0);
        for index in sequence.iter() {
            let Some(device) = self.devices().get(index) else {
                continue;
            };
            match evict_from(device, scope) {
                Ok(0) => {}
                Ok(pages) => {
                    if matches!(scope, EvictScope::Any) {
                        self.sequence().lock().move_to_tail(index);
                    }
                    return Ok(pages);
                }
                Err(EINTR) => return Err(EINTR),
                Err(e) => result = result.and(Err(e)),
            }
        }
        result
    }
}

impl Manager {
    /// Moves about `pages` pages of objects out of memory and returns how many it moved. For
    /// reclaim: it waits for no lock. `writeback`: content is sent on to swap.
    pub(super) fn shrink(&self, pages: u64, writeback: bool) -> u64 {
        let sequence = match self.sequence().try_lock() {
            Some(sequence) => *sequence,
            None => return 0,
        };
        let mut freed = 0;
        for index in sequence.iter() {
            if let (true, Some(device)) = (freed < pages, self.devices().get(index)) {
                freed += shrink(device, pages - freed, writeback);
            }
        }
        freed
    }
}

/// Evicts the least recently used object of `device` in `scope` that can be evicted and returns the
/// number of pages freed; 0: there is none.
///
/// The cost does not depend on how many objects there are, only on how many are reserved and, unless
/// the scope is [`EvictScope::Any`], on how many outside of the scope were used before. Otherwise as
/// [`evict_first`].
pub(super) fn evict_from(device: &Device, scope: EvictScope<'_>) -> Result<u64> {
    evict_first(scope, |walk| device.step(walk, |bo| bo.is_in(scope)))
}

/// Evicts the first object of a walk that can be evicted and returns the number of pages freed; 0:
/// there is none.
///
/// Reserved objects are passed over. One whose eviction fails keeps its place, and the walk ends
/// with its errno. May sleep; the caller holds at most reservations.
fn evict_first(
    scope: EvictScope<'_>,
    mut step: impl FnMut(&mut Walk) -> Option<Arc<Linked<Bo>>>,
) -> Result<u64> {
    let mut walk = Walk::default();
    while let Some(bo) = step(&mut walk) {
        // Only ever tried: the caller may hold another reservation.
        if let Some(mut reservation) = Reservation::try_take(&bo) {
            // It may have been pinned or unpopulated since it was found.
            if bo.device().is_evictable(&bo) {
                return match scope {
                    EvictScope::Memcg(_) => reservation.evict_sparingly(),
                    _ => reservation.evict(),
                };
            }
        };
    }
    Ok(0)
}

/// Evicts every object in the LRU of `device`, waiting for those that are reserved. Returns the
/// number of pages freed, and the first errno of those that failed and stay.
///
/// Each object is tried once. `EINTR` ends the walk. May sleep; the caller holds no reservation.
pub(super) fn evict_all(device: &Device) -> (u64, Result) {
    let (mut freed, mut result) = (0, Ok(()));
    let mut walk = Walk::default();
    while let Some(bo) = device.step(&mut walk, |_| true) {
        let mut reservation = Reservation::take(&bo);
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
    (freed, result)
}

/// Moves about `pages` pages of the least recently used objects of `device` out of memory and
/// returns how many it moved. Objects that are reserved, and those that fail, are passed over.
fn shrink(device: &Device, pages: u64, writeback: bool) -> u64 {
    let mut freed = 0;
    let mut walk = Walk::default();
    while freed < pages {
        let Some(bo) = device.step(&mut walk, |_| true) else {
            break;
        };
        if let Some(mut reservation) = Reservation::try_take(&bo) {
            if device.is_evictable(&bo) {
                freed += reservation.shrink(pages - freed, writeback).unwrap_or(0);
            }
        };
    }
    freed
}
