// SPDX-License-Identifier: GPL-2.0-or-later

//! Which objects to evict when a limit is exceeded, and which not even to try.
#![deny(unsafe_code)]

use super::limits::Amount;

/// Objects whose eviction helps to keep a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victims {
    /// Any.
    Any,
    /// Those with pages of DMA32 pools: others don't help.
    Dma32,
}

/// Returns which objects to evict so that `wanted` more fits beside what is pinned; `None`: the limits are
/// kept, or evicting everything would not keep them.
///
/// What is counted includes `wanted`. A limit that can't be kept is given up, the other one is not.
pub const fn victims(
    counted: Amount,
    limit: Amount,
    pinned: Amount,
    wanted: Amount,
) -> Option<Victims> {
    if counted.dma32 > limit.dma32 && fits(pinned.dma32, wanted.dma32, limit.dma32) {
        Some(Victims::Dma32)
    } else if counted.pages > limit.pages && fits(pinned.pages, wanted.pages, limit.pages) {
        Some(Victims::Any)
    } else {
        None
    }
}

const fn fits(pinned: u64, wanted: u64, limit: u64) -> bool {
    match pinned.checked_add(wanted) {
        Some(sum) => sum <= limit,
        None => false,
    }
}

/// The smallest eviction of a walk that failed for want of memory: what needs as much is not tried, so that
/// the walk takes next to no time for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    smallest: Option<(u64, u64)>,
}

impl Failed {
    /// Makes one for a walk in which nothing failed yet.
    pub const fn none() -> Self {
        Self { smallest: None }
    }

    /// Notes that copying `pages` pages failed, with the copy charged to the cgroup numbered `memcg`.
    pub const fn note(&mut self, pages: u64, memcg: u64) {
        self.smallest = Some((pages, memcg));
    }

    /// Returns whether copying `pages` pages would fail, too. What needs no copy is always tried.
    pub const fn rules_out(self, pages: u64, memcg: u64) -> bool {
        match self.smallest {
            Some((failed, of)) => pages != 0 && pages >= failed && memcg == of,
            None => false,
        }
    }
}
