// SPDX-License-Identifier: GPL-2.0

//! EvictScope buffer objects are to make room.

use super::{
    client::Client,
    object::Bo, //
};
use crate::abstractions::{
    dmem,
    list::Linked,
    memcg::Memcg, //
};

/// EvictScope buffer objects are looked at.
#[derive(Clone, Copy)]
pub(crate) enum EvictScope<'a> {
    /// Any.
    Any,
    /// Those of an open file.
    Client(&'a Linked<Client>),
    /// Those that help a dmem cgroup to keep its limit.
    Dmem(&'a dmem::Search<'a>),
    /// Those that were populated in a memory cgroup.
    Memcg(Memcg),
}

impl EvictScope<'_> {
    /// Whether `bo` is among them. Any context.
    #[inline]
    pub(super) fn includes(&self, bo: &Bo) -> bool {
        match self {
            Self::Any => true,
            Self::Client(client) => bo.charges().are_of(client),
            Self::Dmem(search) => bo.charges().help(search),
            Self::Memcg(memcg) => bo.charges().memcg() == Some(*memcg),
        }
    }
}
