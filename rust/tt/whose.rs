// SPDX-License-Identifier: GPL-2.0

//! Whose buffer objects are to make room.

use super::{
    bo::Bo,
    holder::Holder, //
};
use crate::ffi::member_list::Linked;

/// Whose buffer objects are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// Any.
    Anybodys,
    /// Those of an open file.
    Files(&'a Linked<Holder>),
}

impl Whose<'_> {
    /// Whether `bo` is among them. Any context.
    #[inline]
    pub(super) fn includes(&self, bo: &Bo) -> bool {
        match self {
            Self::Anybodys => true,
            Self::Files(holder) => bo.shares().are_of(holder),
        }
    }
}
