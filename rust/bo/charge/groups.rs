// SPDX-License-Identifier: GPL-2.0

//! The objects that are charged to dmem cgroups, by cgroup: a cgroup at its limit finds its own, however many
//! others there are.
#![deny(unsafe_code)]

use crate::{
    abstractions::{
        dmem::{
            Charge,
            ChargeError,
            Search, //
        },
        list::{
            Housed,
            Linked,
            MemberList, //
        }, //
    },
    bo::lru::{
        HasLru,
        Lru,
        LruItem, //
    },
    lock_order::{
        classes::{
            DmemGroups,
            DmemLru, //
        },
        typed::SpinLock, //
    }, //
};
use core::ops::RangeInclusive;
use kernel::{
    alloc::{
        allocator::Kmalloc,
        flags::GFP_KERNEL_ACCOUNT, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The dmem cgroups to which objects are charged.
#[pin_data]
pub(crate) struct Groups<T: LruItem> {
    /// The last sequence number that was given to an object; they are those of all cgroups.
    last: Atomic<u64>,
    #[pin]
    list: SpinLock<MemberList<Group<T>>, DmemGroups>,
}

/// A dmem cgroup, and the objects that are charged to it and may be evicted.
#[pin_data]
pub(in crate::bo) struct Group<T: LruItem> {
    groups: Arc<Groups<T>>,
    /// A charge of no pages, by which the cgroup is known.
    cgroup: Charge,
    /// How many objects are charged to it; written with the list's lock held.
    charges: Atomic<u64>,
    /// The sequence number of the object that was used least recently, or [`NONE`]; written with the lock of the LRU
    /// held.
    oldest: Atomic<u64>,
    #[pin]
    lru: SpinLock<Lru<T, 2>, DmemLru>,
}

/// No object has this sequence number.
const NONE: u64 = u64::MAX;

/// Why an object was not charged.
pub(super) enum NotCharged {
    /// It would be above a limit, or charging failed.
    Because(ChargeError),
    /// The task was moved to another cgroup meanwhile: to be tried again.
    Moved,
}

impl From<ChargeError> for NotCharged {
    fn from(why: ChargeError) -> Self {
        Self::Because(why)
    }
}

impl<T: LruItem> Groups<T> {
    /// Makes an empty list.
    pub(in crate::bo) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            last: Atomic::new(0),
            list <- SpinLock::new(MemberList::new()),
        })
    }

    /// Charges an object of `pages` pages to the cgroup of the current task. `None`: there is no region that it
    /// could be charged to. May sleep.
    pub(super) fn charge(self: &Arc<Self>, pages: u64) -> Result<Option<Charged<T>>, NotCharged> {
        let Some(charge) = Charge::new(pages)? else {
            return Ok(None);
        };
        let group = match self.join(&charge, None) {
            Some(group) => group,
            None => {
                // It keeps the limit and the usage, from which the object's own charge goes first.
                let Some(cgroup) = Charge::new(0)? else {
                    return Ok(None);
                };
                let fresh = self.group(cgroup).map_err(ChargeError::Failed)?;
                self.join(&charge, Some(fresh)).ok_or(NotCharged::Moved)?
            }
        };
        Ok(Some(Charged { group, charge }))
    }

    /// Makes one without objects. Returns `ENOMEM` if there is no memory. May sleep.
    fn group(self: &Arc<Self>, cgroup: Charge) -> Result<ARef<Linked<Group<T>>>> {
        let groups = self.clone();
        Linked::make(
            pin_init!(Group {
                groups,
                cgroup,
                charges: Atomic::new(0),
                oldest: Atomic::new(NONE),
                lru <- SpinLock::new(Lru::new()),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Counts an object more of the cgroup that `charge` is to, and returns that; if it is not in the list, `fresh`
    /// is put there. `None`: neither is it.
    fn join(
        &self,
        charge: &Charge,
        fresh: Option<ARef<Linked<Group<T>>>>,
    ) -> Option<ARef<Linked<Group<T>>>> {
        let mut list = self.list.lock();
        let known = list
            .iter()
            .find(|group| group.cgroup.is_to_that_of(charge))
            .map(ARef::from);
        let group = match (known, fresh) {
            (Some(known), _) => known,
            (None, Some(fresh)) if fresh.cgroup.is_to_that_of(charge) => {
                list.push_back(fresh.clone());
                fresh
            }
            _ => return None,
        };
        group.charges.add(1u64, Relaxed);
        Some(group)
    }

    /// Returns the last sequence number that was given to an object.
    pub(in crate::bo) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// Returns the cgroup with the object that was used least recently of those which help with the limit that `search`
    /// is for, and the sequence number of that object, which is in `numbers`.
    pub(in crate::bo) fn next(
        &self,
        numbers: RangeInclusive<u64>,
        search: &Search<'_>,
    ) -> Option<(ARef<Linked<Group<T>>>, u64)> {
        let list = self.list.lock();
        let (mut found, mut oldest) = (None, NONE);
        for group in list.iter() {
            let number = group.oldest.load(Relaxed);
            if number < oldest && numbers.contains(&number) && search.includes(&group.cgroup) {
                (found, oldest) = (Some(group), number);
            }
        }
        Some((found?.into(), oldest))
    }
}

impl<T: LruItem> Housed for Group<T> {
    type Memory = Kmalloc;
}

impl<T: LruItem> Group<T> {
    /// Changes the LRU. What it gives a number gets a new one.
    fn change<R>(&self, f: impl FnOnce(&mut Lru<T, 2>) -> R) -> R {
        let mut lru = self.lru.lock();
        lru.go_on_at(self.groups.last.fetch_add(1u64, Relaxed) + 1);
        let result = f(&mut lru);
        self.oldest.store(lru.oldest().unwrap_or(NONE), Relaxed);
        result
    }
}

impl<T: LruItem> HasLru<T, 2> for Group<T> {
    fn with_lru<R>(&self, f: impl FnOnce(&mut Lru<T, 2>) -> R) -> R {
        f(&mut self.lru.lock())
    }
}

/// The charge of an object to a dmem cgroup; dropping it uncharges. It has left the list of the cgroup's objects
/// by then.
pub(in crate::bo) struct Charged<T: LruItem> {
    group: ARef<Linked<Group<T>>>,
    #[expect(dead_code, reason = "dropping it uncharges")]
    charge: Charge,
}

impl<T: LruItem> Charged<T> {
    /// Adds the object, which may be evicted from now on, as the most recently used.
    pub(in crate::bo) fn enlist(&self, bo: &Linked<T>) {
        self.group.change(|lru| lru.push(ARef::from(bo)));
    }

    /// Removes the object, which may not be evicted any more.
    pub(in crate::bo) fn delist(&self, bo: &Linked<T>) {
        let reference = self.group.change(|lru| lru.remove(bo));
        drop(reference);
    }

    /// Makes the object the most recently used.
    pub(in crate::bo) fn touch(&self, bo: &Linked<T>) {
        self.group.change(|lru| lru.touch(bo));
    }
}

impl<T: LruItem> Drop for Charged<T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T: LruItem> Charged<T> {
    /// Counts an object less of the cgroup.
    #[inline(never)]
    fn leave(&self) {
        let group = &self.group;
        let mut list = group.groups.list.lock();
        let reference = if group.charges.fetch_sub(1u64, Relaxed) == 1 {
            list.remove(group)
        } else {
            None
        };
        drop(list);
        drop(reference);
    }
}
