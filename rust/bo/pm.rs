// SPDX-License-Identifier: GPL-2.0

//! Before the machine hibernates: content leaves the objects' pages, because the image should be small.
//! When the machine is suspended to RAM, pages keep their content.
//!
//! C original: `ttm_device_prepare_hibernation()`, which drivers have to call.
#![deny(unsafe_code)]

use super::{
    evict,
    manager::Manager, //
};
use crate::{
    abstractions::pm::Sleeper,
    lock_order::with_context, //
};
use kernel::prelude::*;

impl Manager {
    /// Drains the pool, evicts every object that can be evicted, and returns the number of pages of
    /// objects freed. Content comes back when the objects are populated.
    ///
    /// Pinned and external objects stay. Unlike global swapout it waits for reserved objects. Every
    /// object is tried once, so this ends whatever fails and whatever is populated meanwhile.
    /// Returns the first errno of what failed, after all others were tried; `EINTR` if a fatal
    /// signal arrived, and no more were tried. May sleep; the caller holds no lock.
    pub(crate) fn prepare_hibernation(&self) -> Result<u64> {
        let statistics = &self.hibernation;
        statistics.prepares.count();
        self.pool().drain();
        let (mut freed, mut result) = (0, Ok(()));
        let mut after = None;
        while let Some(device) = self.next_device(after) {
            after = Some(device.index());
            let (pages, outcome) = evict::evict_all(&device);
            freed += pages;
            result = result.and(outcome);
            if outcome == Err(EINTR) {
                break;
            }
        }
        statistics.pages.count_many(freed);
        if result.is_err() {
            statistics.failures.count();
        }
        result.map(|()| freed)
    }
}

/// The machine hibernates also when something stays in memory: its content is part of the image then.
impl Sleeper for Manager {
    fn prepare_to_sleep(&self) {
        if let Err(e) = with_context(|| self.prepare_hibernation()) {
            pr_notice!("not everything was swapped out before hibernation: {e:?}\n");
        }
    }
}
