// SPDX-License-Identifier: GPL-2.0

//! A device: the LRU of its populated buffer objects.
//!
//! C original: `struct ttm_device`, `ttm_device_swapout()` and `ttm_lru_walk_for_evict()`.

use super::{
    bo::Bo,
    books::Books,
    pool::Pool,
    reservation::Reservation,
    whose::Whose, //
};
use crate::{
    ffi::{
        dma::DmaDevice,
        member_list::{
            Linked,
            ListName,
            MemberList, //
        }, //
    },
    lock_order::{
        declared::DeviceLru,
        typed::SpinLock, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// One device.
#[pin_data]
pub(crate) struct Device {
    index: u32,
    books: Arc<Books>,
    pool: Arc<Pool>,
    dma: Arc<DmaDevice>,
    evictable: ListName<Bo>,
    /// Pages of the objects in the LRU; written with the lists' lock held.
    evictable_pages: Atomic<u64>,
    #[pin]
    lists: SpinLock<Lists, DeviceLru>,
}

/// The device's populated buffer objects, but for those whose pages are somebody else's.
///
/// They are put in and taken out with their reservation held, so while somebody holds a
/// reservation the object stays where it is.
struct Lists {
    /// What may be swapped out, least recently used first, by ascending turn.
    evictable: MemberList<Bo>,
    /// What is pinned.
    pinned: MemberList<Bo>,
    /// The turn of the next object to be used; the first is 1.
    next_turn: u64,
}

impl Lists {
    fn take_turn(&mut self, bo: &Bo) {
        bo.set_turn(self.next_turn);
        self.next_turn += 1;
    }
}

impl Device {
    /// Makes device number `index`.
    pub(super) fn new(
        index: u32,
        books: Arc<Books>,
        pool: Arc<Pool>,
        dma: Arc<DmaDevice>,
    ) -> Result<Arc<Self>> {
        let first = MemberList::new();
        Arc::pin_init(
            pin_init!(Self {
                index,
                books,
                pool,
                dma,
                evictable: first.name(),
                evictable_pages: Atomic::new(0),
                lists <- SpinLock::new(Lists {
                        evictable: first,
                        pinned: MemberList::new(),
                        next_turn: 1,
                    }),
            }),
            GFP_KERNEL,
        )
    }

    /// Its number.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The books its pages are counted in.
    #[inline]
    pub(super) fn books(&self) -> &Arc<Books> {
        &self.books
    }

    /// The pool its pages come from and go to.
    #[inline]
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What its pages are mapped for.
    pub(crate) fn dma(&self) -> &Arc<DmaDevice> {
        &self.dma
    }

    /// Whether global swapout may take `bo`, as far as can be told without the lock.
    pub(super) fn is_evictable(&self, bo: &Linked<Bo>) -> bool {
        self.evictable.has(bo)
    }

    /// Lists a buffer object that was just populated: most recently used, or pinned.
    ///
    /// `charged` are the pages it was counted for. The reservation is held.
    pub(super) fn enlist(&self, bo: &Arc<Linked<Bo>>, pinned: bool, charged: u64) {
        self.books.change(|change| {
            let mut lists = self.lists.lock();
            let listed = if pinned {
                lists.pinned.push_back(bo.clone())
            } else {
                lists.take_turn(bo);
                lists.evictable.push_back(bo.clone())
            };
            if listed && !pinned {
                self.evictable_pages.add(charged, Relaxed);
            }
            drop(lists);
            if listed {
                change.listed(charged);
            }
        });
    }

    /// Takes a buffer object off the lists, before its pages go. The reservation is held.
    pub(super) fn delist(&self, bo: &Linked<Bo>, charged: u64) {
        let reference = self.books.change(|change| {
            let mut lists = self.lists.lock();
            let reference = match lists.evictable.remove(bo) {
                None => lists.pinned.remove(bo),
                found => {
                    self.evictable_pages.fetch_sub(charged, Relaxed);
                    found
                }
            };
            drop(lists);
            if reference.is_some() {
                change.unlisted(charged);
            }
            reference
        });
        drop(reference);
    }

    /// A listed buffer object has got more or fewer pages; its place stays. What is more was in
    /// flight, what is less is from now on. The reservation is held.
    pub(super) fn resize(&self, bo: &Linked<Bo>, pages: u64) {
        self.books.change(|change| {
            let lists = self.lists.lock();
            let before = bo.resident_pages();
            bo.set_resident_pages(pages);
            if lists.evictable.contains(bo) {
                self.evictable_pages
                    .add(pages.wrapping_sub(before), Relaxed);
            }
            drop(lists);
            change.listed(pages.saturating_sub(before));
            change.unlisted(before.saturating_sub(pages));
        });
    }

    /// Makes a buffer object the most recently used, if it may be swapped out.
    pub(super) fn touch(&self, bo: &Linked<Bo>) {
        let mut lists = self.lists.lock();
        if lists.evictable.move_to_back(bo) {
            lists.take_turn(bo);
        }
    }

    /// Keeps a buffer object from being swapped out. The reservation is held.
    pub(super) fn pin(&self, bo: &Linked<Bo>) {
        let mut lists = self.lists.lock();
        if let Some(reference) = lists.evictable.remove(bo) {
            self.evictable_pages.fetch_sub(bo.resident_pages(), Relaxed);
            lists.pinned.push_back(reference);
        }
    }

    /// Undoes [`Device::pin`]; the buffer object becomes the most recently used. The reservation is
    /// held.
    pub(super) fn unpin(&self, bo: &Linked<Bo>) {
        let mut lists = self.lists.lock();
        if let Some(reference) = lists.pinned.remove(bo) {
            lists.take_turn(bo);
            self.evictable_pages.add(bo.resident_pages(), Relaxed);
            lists.evictable.push_back(reference);
        }
    }

    /// Pages held by all listed buffer objects.
    ///
    /// The lock is held while all of them are looked at.
    pub(super) fn listed_pages(&self) -> u64 {
        let lists = self.lists.lock();
        let both = [&lists.evictable, &lists.pinned];
        both.iter()
            .flat_map(|list| list.iter())
            .map(|bo| bo.resident_pages())
            .sum()
    }

    /// Swaps out the least recently used buffer object that can be, of those asked for; answers the
    /// pages freed, 0: there is none.
    ///
    /// Objects that somebody has reserved are passed over. One whose swapout fails keeps its
    /// place, and the walk ends with its errno. The cost does not depend on how many objects there
    /// are, only on how many are busy and, unless anybody's are asked for, on how many of
    /// others were used before it. May sleep; the caller holds at most reservations.
    pub(crate) fn swap_out_one(&self, whose: Whose<'_>) -> Result<u64> {
        let mut after = 0;
        let mut until = None;
        loop {
            let found = self.next_evictable(whose, after, &mut until);
            let Some((turn, bo)) = found else {
                return Ok(0);
            };
            after = turn;
            // Only ever tried: the caller may hold another reservation.
            if let Some(mut reservation) = Reservation::try_take(&bo) {
                // It may have been pinned or emptied since it was found.
                if self.is_evictable(&bo) {
                    return match whose {
                        Whose::Memcgs(_) => reservation.squeeze_out(),
                        _ => reservation.push_out(),
                    };
                }
            };
        }
    }

    /// Moves every object of the LRU out of memory, waiting for those that somebody has reserved;
    /// answers the pages freed, and the first errno of those that failed and stay. Each is tried
    /// once. `EINTR` ends it. May sleep; the caller holds no reservation.
    pub(super) fn swap_out_all(&self) -> (u64, Result) {
        let (mut freed, mut result) = (0, Ok(()));
        let (mut after, mut until) = (0, None);
        while let Some((turn, bo)) = self.next_evictable(Whose::Anybodys, after, &mut until) {
            after = turn;
            let mut reservation = Reservation::take(&bo);
            // It may have been pinned or emptied since it was found.
            if !self.is_evictable(&bo) {
                continue;
            }
            let moved = reservation.push_out();
            freed += moved.unwrap_or(0);
            let outcome = match moved {
                // A backup that ended half-way.
                Ok(_) if self.is_evictable(&bo) => Err(ENOMEM),
                moved => moved.map(|_| ()),
            };
            result = result.and(outcome);
            if outcome == Err(EINTR) {
                return (freed, outcome);
            }
        }
        (freed, result)
    }

    /// Pages of the objects in the LRU.
    pub(super) fn evictable_pages(&self) -> u64 {
        self.evictable_pages.load(Relaxed)
    }

    /// Moves about `pages` pages out of memory, of the least recently used objects; answers how
    /// many. Objects that somebody has reserved, and those that fail, are passed over.
    pub(super) fn shrink(&self, pages: u64, writeback: bool) -> u64 {
        let mut freed = 0;
        let mut after = 0;
        let mut until = None;
        while freed < pages {
            let Some((turn, bo)) = self.next_evictable(Whose::Anybodys, after, &mut until) else {
                break;
            };
            after = turn;
            if let Some(mut reservation) = Reservation::try_take(&bo) {
                if self.is_evictable(&bo) {
                    freed += reservation.shrink(pages - freed, writeback).unwrap_or(0);
                }
            };
        }
        freed
    }

    /// The first buffer object of those asked for with a turn after `after` but before `until`,
    /// which is set to the next turn to be given out if it is none: so a walk ends though others
    /// take turns.
    fn next_evictable(
        &self,
        whose: Whose<'_>,
        after: u64,
        until: &mut Option<u64>,
    ) -> Option<(u64, Arc<Linked<Bo>>)> {
        let lists = self.lists.lock();
        let until = *until.get_or_insert(lists.next_turn);
        let mut rest = lists.evictable.iter();
        let bo = rest.find(|bo| bo.turn() > after && whose.includes(bo))?;
        let turn = bo.turn();
        (turn < until).then(|| (turn, Arc::from(bo)))
    }
}
