// SPDX-License-Identifier: GPL-2.0

//! Buffer objects in the order of their last use.

use super::{
    evict::EvictScope,
    object::Bo,
    reservation::Reservation, //
};
use crate::abstractions::list::{
    Linked,
    ListName,
    Lists,
    MemberList, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Buffer objects, least recently used first, by ascending turn; in their lists numbered `N`.
pub(super) struct Lru<const N: u64>
where
    Linked<Bo>: Lists<N>,
{
    list: MemberList<Bo, N>,
    /// The turn of the next object to be used; the first is 1.
    next_turn: u64,
}

impl<const N: u64> Lru<N>
where
    Linked<Bo>: Lists<N>,
{
    /// Makes an empty one.
    pub(super) fn new() -> Self {
        Self {
            list: MemberList::new(),
            next_turn: 1,
        }
    }

    /// A name to ask whether an object is in it without having it borrowed.
    pub(super) fn name(&self) -> ListName<Bo, N> {
        self.list.name()
    }

    /// Whether `bo` is in it.
    #[inline]
    pub(super) fn contains(&self, bo: &Linked<Bo>) -> bool {
        self.list.contains(bo)
    }

    /// Puts `bo` in as the most recently used; `false`: it is in a list already.
    #[inline]
    pub(super) fn push(&mut self, bo: Arc<Linked<Bo>>) -> bool {
        self.take_turn(&bo);
        self.list.push_back(bo)
    }

    /// Takes `bo` out, if it is in; drop what is answered without a lock.
    #[inline]
    pub(super) fn remove(&mut self, bo: &Linked<Bo>) -> Option<Arc<Linked<Bo>>> {
        self.list.remove(bo)
    }

    /// Makes `bo` the most recently used, if it is in.
    #[inline]
    pub(super) fn touch(&mut self, bo: &Linked<Bo>) {
        if self.list.move_to_back(bo) {
            self.take_turn(bo);
        }
    }

    fn take_turn(&mut self, bo: &Bo) {
        bo.set_turn::<N>(self.next_turn);
        self.next_turn += 1;
    }

    /// Pages that its objects hold.
    pub(super) fn pages(&self) -> u64 {
        self.list.iter().map(|bo| bo.resident_pages()).sum()
    }

    /// Goes on with a walk to the next object of those asked for.
    pub(super) fn step(&self, walk: &mut Walk, scope: EvictScope<'_>) -> Option<Arc<Linked<Bo>>> {
        let until = *walk.until.get_or_insert(self.next_turn);
        let mut rest = self.list.iter();
        let bo = rest.find(|bo| bo.turn::<N>() > walk.after && scope.includes(bo))?;
        let turn = bo.turn::<N>();
        walk.after = turn;
        (turn < until).then(|| Arc::from(bo))
    }
}

/// A walk through an [`Lru`] that is not locked all the time. It ends though others take sequence.
#[derive(Default)]
pub(super) struct Walk {
    /// The turn of the object that was looked at last.
    after: u64,
    /// The first turn that was not given out yet when the walk began.
    until: Option<u64>,
}

/// Swaps out the first object of a walk that can be; answers the pages freed, 0: there is none.
///
/// Objects that somebody has reserved are passed over. One whose swapout fails keeps its place, and
/// the walk ends with its errno. May sleep; the caller holds at most reservations.
pub(super) fn swap_out_first(
    scope: EvictScope<'_>,
    mut step: impl FnMut(&mut Walk) -> Option<Arc<Linked<Bo>>>,
) -> Result<u64> {
    let mut walk = Walk::default();
    while let Some(bo) = step(&mut walk) {
        // Only ever tried: the caller may hold another reservation.
        if let Some(mut reservation) = Reservation::try_take(&bo) {
            // It may have been pinned or emptied since it was found.
            if bo.device().is_evictable(&bo) {
                return match scope {
                    EvictScope::Memcg(_) => reservation.squeeze_out(),
                    _ => reservation.push_out(),
                };
            }
        };
    }
    Ok(0)
}
