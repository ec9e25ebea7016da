// SPDX-License-Identifier: GPL-2.0

//! How a populate that is over a limit asks for pages to be freed.
#![deny(unsafe_code)]

use super::rules::limits::Amount;
use crate::abstractions::{
    dmem,
    memcg::Group,
    task::EndedBy, //
};
use kernel::prelude::*;

/// The buffer objects that may be evicted.
#[derive(Clone, Copy)]
pub(crate) enum EvictScope<'a> {
    /// Any object.
    Any,
    /// The objects with pages of DMA32 pools.
    Dma32,
    /// The objects of the client with this number.
    Client(u64),
    /// The objects whose eviction helps a dmem cgroup to keep its limit.
    Dmem(&'a dmem::Search<'a>),
    /// The objects whose pages are charged to this memory cgroup.
    Memcg(Group<'a>),
}

/// Frees pages when a limit is exceeded.
pub(crate) trait Reclaim {
    /// Evicts buffer objects in `scope` until `enough` after one, and returns the number of pages freed;
    /// 0: there is none left that can go.
    ///
    /// An object that can't be evicted is passed over. Returns `EINTR` if a fatal signal arrived, `ENOMEM`
    /// if there is no memory to look for objects. May sleep; the caller holds at most reservations.
    fn evict_until(&self, scope: EvictScope<'_>, enough: &mut dyn FnMut() -> bool) -> Result<u64>;

    /// Returns the number of pages of pinned objects, which evicting all others does not free.
    fn pinned(&self) -> Amount;

    /// Returns which signals end the populate.
    #[inline]
    fn ended_by(&self) -> EndedBy {
        EndedBy::Fatal
    }

    /// Evicts one buffer object in `scope`. Otherwise as [`Reclaim::evict_until`].
    fn evict_one(&self, scope: EvictScope<'_>) -> Result<u64> {
        self.evict_until(scope, &mut || true)
    }
}
