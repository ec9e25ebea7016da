// SPDX-License-Identifier: GPL-2.0

//! A device: the LRU of its populated buffer objects.
//!
//! C original: `struct ttm_device`, `ttm_device_swapout()` and `ttm_lru_walk_for_evict()`.

use super::{
    counters::Accounting,
    evict::EvictScope,
    lru::{
        self,
        Lru,
        Walk, //
    },
    object::Bo,
    pool::Pool,
    reservation::Reservation, //
};
use crate::{
    abstractions::{
        dma::DmaDevice,
        list::{
            Linked,
            ListName,
            MemberList, //
        }, //
    },
    lock_order::{
        classes::DeviceLru,
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
    accounting: Arc<Accounting>,
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
    /// What may be swapped out.
    evictable: Lru<0>,
    /// What is pinned.
    pinned: MemberList<Bo>,
}

impl Device {
    /// Makes device number `index`.
    pub(super) fn new(
        index: u32,
        accounting: Arc<Accounting>,
        pool: Arc<Pool>,
        dma: Arc<DmaDevice>,
    ) -> Result<Arc<Self>> {
        let first = Lru::new();
        Arc::pin_init(
            pin_init!(Self {
                index,
                accounting,
                pool,
                dma,
                evictable: first.name(),
                evictable_pages: Atomic::new(0),
                lists <- SpinLock::new(Lists {
                        evictable: first,
                        pinned: MemberList::new(),
                    }),
            }),
            GFP_KERNEL,
        )
    }

    /// Its number.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The accounting its pages are counted in.
    #[inline]
    pub(crate) fn accounting(&self) -> &Arc<Accounting> {
        &self.accounting
    }

    /// The pool its pages come from and go to.
    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
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
        self.accounting.change(|change| {
            let mut lists = self.lists.lock();
            let listed = if pinned {
                lists.pinned.push_back(bo.clone())
            } else {
                lists.evictable.push(bo.clone())
            };
            if listed && !pinned {
                self.evictable_pages.add(charged, Relaxed);
            }
            drop(lists);
            if listed {
                change.listed(charged);
            }
        });
        if !pinned {
            bo.charges().enlist(bo);
        }
    }

    /// Takes a buffer object off the lists, before its pages go. The reservation is held.
    pub(super) fn delist(&self, bo: &Linked<Bo>, charged: u64) {
        let reference = self.accounting.change(|change| {
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
        bo.charges().delist(bo);
    }

    /// A listed buffer object has got more or fewer pages; its place stays. What is more was in
    /// flight, what is less is from now on. The reservation is held.
    pub(super) fn resize(&self, bo: &Linked<Bo>, pages: u64) {
        self.accounting.change(|change| {
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
        self.lists.lock().evictable.touch(bo);
        bo.charges().touch(bo);
    }

    /// Keeps a buffer object from being swapped out. The reservation is held.
    pub(super) fn pin(&self, bo: &Linked<Bo>) {
        let mut lists = self.lists.lock();
        if let Some(reference) = lists.evictable.remove(bo) {
            self.evictable_pages.fetch_sub(bo.resident_pages(), Relaxed);
            lists.pinned.push_back(reference);
        }
        drop(lists);
        bo.charges().delist(bo);
    }

    /// Undoes [`Device::pin`]; the buffer object becomes the most recently used. The reservation is
    /// held.
    pub(super) fn unpin(&self, bo: &Arc<Linked<Bo>>) {
        let mut lists = self.lists.lock();
        let Some(reference) = lists.pinned.remove(bo) else {
            return;
        };
        self.evictable_pages.add(bo.resident_pages(), Relaxed);
        lists.evictable.push(reference);
        drop(lists);
        bo.charges().enlist(bo);
    }

    /// Pages held by all listed buffer objects.
    ///
    /// The lock is held while all of them are looked at.
    pub(super) fn listed_pages(&self) -> u64 {
        let lists = self.lists.lock();
        let pinned: u64 = lists.pinned.iter().map(|bo| bo.resident_pages()).sum();
        lists.evictable.pages() + pinned
    }

    /// Swaps out the least recently used buffer object that can be, of those asked for; answers the
    /// pages freed, 0: there is none.
    ///
    /// Objects that somebody has reserved are passed over. One whose swapout fails keeps its
    /// place, and the walk ends with its errno. The cost does not depend on how many objects there
    /// are, only on how many are busy and, unless anybody's are asked for, on how many of
    /// others were used before it. May sleep; the caller holds at most reservations.
    pub(crate) fn swap_out_one(&self, scope: EvictScope<'_>) -> Result<u64> {
        lru::swap_out_first(scope, |walk| self.step(walk, scope))
    }

    /// Moves every object of the LRU out of memory, waiting for those that somebody has reserved;
    /// answers the pages freed, and the first errno of those that failed and stay. Each is tried
    /// once. `EINTR` ends it. May sleep; the caller holds no reservation.
    pub(super) fn swap_out_all(&self) -> (u64, Result) {
        let (mut freed, mut result) = (0, Ok(()));
        let mut walk = Walk::default();
        while let Some(bo) = self.step(&mut walk, EvictScope::Any) {
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
        let mut walk = Walk::default();
        while freed < pages {
            let Some(bo) = self.step(&mut walk, EvictScope::Any) else {
                break;
            };
            if let Some(mut reservation) = Reservation::try_take(&bo) {
                if self.is_evictable(&bo) {
                    freed += reservation.shrink(pages - freed, writeback).unwrap_or(0);
                }
            };
        }
        freed
    }

    /// The next object of a walk through the LRU.
    fn step(&self, walk: &mut Walk, scope: EvictScope<'_>) -> Option<Arc<Linked<Bo>>> {
        self.lists.lock().evictable.step(walk, scope)
    }
}
