// SPDX-License-Identifier: GPL-2.0

//! A device: the LRU of its populated buffer objects.
//!
//! C original: `struct ttm_device`.
#![deny(unsafe_code)]

use super::{
    backing::Backing,
    charge::groups::Groups,
    counters::Accounting,
    lru::{
        HasLru,
        Lru,
        LruItem, //
    },
    rules::limits::Amount, //
};
use crate::{
    abstractions::list::{
        Linked,
        ListName,
        MemberList, //
    },
    lock_order::{
        classes::DeviceLru,
        typed::SpinLock, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Set in the number of a device's objects when it takes no more.
const CLOSED: u64 = 1 << 63;

/// A device.
#[pin_data]
pub(crate) struct Device<T: LruItem> {
    index: u32,
    backing: Backing,
    /// The dmem cgroups to which objects of all devices are charged.
    groups: Arc<Groups<T>>,
    /// Objects that were made and are not destroyed, and [`CLOSED`].
    objects: Atomic<u64>,
    evictable: ListName<T, 0>,
    /// Pages of the objects in the LRU; written with the lists' lock held.
    evictable_pages: Atomic<u64>,
    /// Pages of the objects that are pinned; written with the lists' lock held.
    pinned_pages: Atomic<u64>,
    /// Of these, those of DMA32 pools.
    pinned_dma32: Atomic<u64>,
    #[pin]
    lists: SpinLock<Lists<T>, DeviceLru>,
}

/// The device's populated buffer objects, except those with external pages.
///
/// They are added and removed with their reservation held, so an object stays where it is while its
/// reservation is held.
struct Lists<T: LruItem> {
    /// The objects that may be evicted.
    evictable: Lru<T, 0>,
    /// The objects that are pinned.
    pinned: MemberList<T, 0>,
}

impl<T: LruItem> Device<T> {
    /// Makes the device numbered `index`. Returns `ENOMEM` if there is no memory. May sleep.
    pub(super) fn new(index: u32, backing: Backing, groups: Arc<Groups<T>>) -> Result<Arc<Self>> {
        let lru = Lru::new();
        Arc::pin_init(
            pin_init!(Self {
                index,
                backing,
                groups,
                objects: Atomic::new(0),
                evictable: lru.name(),
                evictable_pages: Atomic::new(0),
                pinned_pages: Atomic::new(0),
                pinned_dma32: Atomic::new(0),
                lists <- SpinLock::new(Lists {
                        evictable: lru,
                        pinned: MemberList::new(),
                    }),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the number of the device.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Returns the backing of the TTs of the device's objects.
    #[inline]
    pub(crate) fn backing(&self) -> &Backing {
        &self.backing
    }

    /// Returns the dmem cgroups to which objects are charged.
    #[inline]
    pub(super) fn groups(&self) -> &Arc<Groups<T>> {
        &self.groups
    }

    /// Returns the accounting in which the device's pages are counted.
    #[inline]
    pub(crate) fn accounting(&self) -> &Arc<Accounting> {
        self.backing.accounting()
    }

    /// Counts an object that is being made. Returns `ENODEV` if the device takes no more. Any context.
    pub(super) fn add_object(&self) -> Result {
        if self.objects.fetch_add(1u64, Full) & CLOSED != 0 {
            self.remove_object();
            return Err(ENODEV);
        }
        Ok(())
    }

    /// Counts an object less, after it was destroyed. Any context.
    pub(super) fn remove_object(&self) {
        self.objects.fetch_sub(1u64, Full);
    }

    /// Ends the making of objects. Returns `EBUSY` if there are any. Any context.
    pub(super) fn close(&self) -> Result {
        self.objects
            .cmpxchg(0, CLOSED, Full)
            .map(|_| ())
            .map_err(|_| EBUSY)
    }

    /// Returns the number of objects. Any context.
    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Relaxed) & !CLOSED
    }

    /// Returns whether `bo` may be evicted, as far as can be told without the lock.
    pub(super) fn is_evictable(&self, bo: &Linked<T>) -> bool {
        self.evictable.has(bo)
    }

    /// Adds a buffer object that was just populated: as the most recently used, or pinned.
    ///
    /// `charged` is the number of pages it is charged for. The reservation is held.
    pub(super) fn enlist(&self, bo: &Linked<T>, pinned: bool, charged: u64) {
        self.accounting().change(|change| {
            let mut lists = self.lists.lock();
            let listed = if pinned {
                lists.pinned.push_back(ARef::from(bo))
            } else {
                lists.evictable.push(ARef::from(bo))
            };
            if listed {
                self.count(bo, pinned, charged);
            }
            drop(lists);
            if listed {
                change.listed(charged);
            }
        });
    }

    /// Removes a buffer object, before its pages are freed. The reservation is held.
    pub(super) fn delist(&self, bo: &Linked<T>, charged: u64) {
        let reference = self.accounting().change(|change| {
            let mut lists = self.lists.lock();
            let (reference, pinned) = match lists.evictable.remove(bo) {
                None => (lists.pinned.remove(bo), true),
                found => (found, false),
            };
            if reference.is_some() {
                self.count(bo, pinned, charged.wrapping_neg());
            }
            drop(lists);
            if reference.is_some() {
                change.unlisted(charged);
            }
            reference
        });
        drop(reference);
    }

    /// Sets the number of pages that a listed buffer object holds; its place stays.
    ///
    /// Additional pages were in flight before, removed pages are in flight from now on. The
    /// reservation is held.
    pub(super) fn resize(&self, bo: &Linked<T>, pages: u64) {
        self.accounting().change(|change| {
            let lists = self.lists.lock();
            let before = bo.resident().load(Relaxed);
            bo.resident().store(pages, Relaxed);
            let more = pages.wrapping_sub(before);
            if lists.evictable.contains(bo) {
                self.count(bo, false, more);
            } else if lists.pinned.contains(bo) {
                self.count(bo, true, more);
            }
            drop(lists);
            change.listed(pages.saturating_sub(before));
            change.unlisted(before.saturating_sub(pages));
        });
    }

    /// Makes a buffer object the most recently used, if it may be evicted.
    pub(super) fn touch(&self, bo: &Linked<T>) {
        self.lists.lock().evictable.touch(bo);
    }

    /// Keeps a buffer object from being evicted. The reservation is held.
    pub(super) fn pin(&self, bo: &Linked<T>) {
        let mut lists = self.lists.lock();
        if let Some(reference) = lists.evictable.remove(bo) {
            let pages = bo.resident().load(Relaxed);
            self.count(bo, false, pages.wrapping_neg());
            self.count(bo, true, pages);
            lists.pinned.push_back(reference);
        }
    }

    /// Undoes [`Device::pin`] and makes the buffer object the most recently used; `false`: it was
    /// not pinned. The reservation is held.
    pub(super) fn unpin(&self, bo: &Linked<T>) -> bool {
        let mut lists = self.lists.lock();
        let Some(reference) = lists.pinned.remove(bo) else {
            return false;
        };
        let pages = bo.resident().load(Relaxed);
        self.count(bo, true, pages.wrapping_neg());
        self.count(bo, false, pages);
        lists.evictable.push(reference);
        true
    }

    /// Counts `more` pages of a listed buffer object, or fewer, as a number that wraps. The lists' lock is
    /// held.
    #[inline]
    fn count(&self, bo: &T, pinned: bool, more: u64) {
        if !pinned {
            self.evictable_pages.add(more, Relaxed);
            return;
        }
        self.pinned_pages.add(more, Relaxed);
        if bo.is_dma32() {
            self.pinned_dma32.add(more, Relaxed);
        }
    }

    /// Returns the number of pages that all listed buffer objects hold.
    pub(super) fn listed_pages(&self) -> u64 {
        // The lock, so that no object is being moved from one list to the other.
        let _lists = self.lists.lock();
        self.evictable_pages.load(Relaxed) + self.pinned_pages.load(Relaxed)
    }

    /// Returns the number of pages of the objects in the LRU.
    pub(super) fn evictable_pages(&self) -> u64 {
        self.evictable_pages.load(Relaxed)
    }

    /// Returns the number of pages of the objects that are pinned.
    pub(super) fn pinned(&self) -> Amount {
        Amount {
            pages: self.pinned_pages.load(Relaxed),
            dma32: self.pinned_dma32.load(Relaxed),
        }
    }

    /// Counts a page that no object holds, or takes it back: the accounting must notice.
    #[cfg(reeve_kunit)]
    pub(super) fn miscount(&self, more: u64) {
        self.evictable_pages.add(more, Relaxed);
    }
}

impl<T: LruItem> HasLru<T, 0> for Device<T> {
    fn with_lru<R>(&self, f: impl FnOnce(&mut Lru<T, 0>) -> R) -> R {
        f(&mut self.lists.lock().evictable)
    }
}
