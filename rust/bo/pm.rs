// SPDX-License-Identifier: GPL-2.0

//! Before the machine sleeps: content leaves the objects' pages, because devices lose power and
//! what is hibernated should be small.
//!
//! C original: `ttm_device_prepare_hibernation()`, which drivers have to call.

use super::{
    counters::Event,
    Manager, //
};
use crate::{
    abstractions::pm::Sleeper,
    lock_order::with_context, //
};
use kernel::prelude::*;

/// What was done before the machine slept.
pub(crate) struct Statistics {
    /// How often it was asked for.
    pub(crate) prepares: Event,
    /// Pages that left memory then.
    pub(crate) pages: Event,
    /// How often something that should have gone could not.
    pub(crate) failures: Event,
}

impl Statistics {
    pub(super) const fn new() -> Self {
        Self {
            prepares: Event::new(),
            pages: Event::new(),
            failures: Event::new(),
        }
    }
}

impl Manager {
    /// Swaps out everything that can be, and gives back what the pool keeps; answers the pages of
    /// objects that this freed. They come back when they are populated.
    ///
    /// Pinned and external objects stay. Unlike global swapout it waits for objects that somebody
    /// has reserved. Every object is tried once, so this ends whatever fails and whoever populates
    /// meanwhile. The first errno of what failed is the answer, after all others were tried;
    /// `EINTR`: a fatal signal arrived, and no more were tried. May sleep; the caller holds no
    /// lock.
    pub(crate) fn prepare_hibernation(&self) -> Result<u64> {
        let statistics = &self.hibernation;
        statistics.prepares.count();
        self.pool().drain();
        let (mut freed, mut result) = (0, Ok(()));
        for device in self.devices() {
            let (pages, outcome) = device.swap_out_all();
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

/// The machine sleeps also when something stays in memory: its content is kept there, or is part of
/// the image.
impl Sleeper for Manager {
    fn prepare_to_sleep(&self) {
        if let Err(e) = with_context(|| self.prepare_hibernation()) {
            pr_notice!("not everything was swapped out before sleep: {e:?}\n");
        }
    }
}
