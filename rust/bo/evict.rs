// SPDX-License-Identifier: GPL-2.0

//! Whose buffer objects are to make room.

use super::{
    client::Holder,
    object::Bo, //
};
use crate::abstractions::{
    dmem,
    list::Linked,
    memcg::Memcg, //
};

/// Whose buffer objects are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// Any.
    Anybodys,
    /// Those of an open file.
    Files(&'a Linked<Holder>),
    /// Those that help a dmem cgroup to keep its limit.
    Dmem(&'a dmem::Search<'a>),
    /// Those that were populated in a memory cgroup.
    Memcgs(Memcg),
}

impl Whose<'_> {
    /// Whether `bo` is among them. Any context.
    #[inline]
    pub(super) fn includes(&self, bo: &Bo) -> bool {
        match self {
            Self::Anybodys => true,
            Self::Files(holder) => bo.shares().are_of(holder),
            Self::Dmem(search) => bo.shares().help(search),
            Self::Memcgs(memcg) => bo.shares().memcg() == Some(*memcg),
        }
    }
}
