// SPDX-License-Identifier: GPL-2.0

//! How a populate that is over a limit asks for pages to be freed.
#![deny(unsafe_code)]

use crate::abstractions::{
    dmem,
    memcg::Memcg, //
};
use kernel::prelude::*;

/// The buffer objects that may be evicted.
#[derive(Clone, Copy)]
pub(crate) enum EvictScope<'a> {
    /// Any object.
    Any,
    /// The objects of the client with this number.
    Client(u64),
    /// The objects whose eviction helps a dmem cgroup to keep its limit.
    Dmem(&'a dmem::Search<'a>),
    /// The objects that were populated in this memory cgroup.
    Memcg(Memcg),
}

/// Frees pages when a limit is exceeded.
pub(crate) trait Reclaim {
    /// Evicts one buffer object in `scope` and returns the number of pages freed; 0: there is none
    /// left.
    ///
    /// May sleep; the caller holds at most reservations.
    fn evict_one(&self, scope: EvictScope<'_>) -> Result<u64>;
}
