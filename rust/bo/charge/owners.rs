// SPDX-License-Identifier: GPL-2.0

//! What a buffer object's pages are charged to besides the accounting: the client that owns the
//! object, and the cgroups of the task that populated it.
//!
//! A populate first calls [`Charges::begin`] and [`PendingCharge::charge`], which makes room. The [`PendingCharge`] is
//! committed when the populate has succeeded; if the populate fails, dropping it uncharges.
#![deny(unsafe_code)]

use crate::{
    abstractions::{
        dmem,
        list::Linked,
        memcg::{
            self,
            GroupRef,
            Memcg, //
        },
        shrinker,
    },
    bo::{
        charge::{
            budget::Budget,
            groups::{
                Charged,
                Groups,
                NotCharged, //
            }, //
        },
        client::{
            Client,
            User, //
        },
        counters::Accounting,
        lru::LruItem,
        reclaim::{
            EvictScope,
            Reclaim, //
        },
        rules::client_limit::{
            self,
            Holdings,
            Verdict, //
        }, //
    },
    lock_order::with_context, //
};
use kernel::{
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

/// What a buffer object's pages are charged to. Dropping it uncharges what is left.
pub(crate) struct Charges<T: LruItem> {
    /// The client that owns the object.
    client: Option<ARef<Linked<Client<T>>>>,
    /// Pages charged to the client; written with the reservation held.
    pages: Atomic<u64>,
    /// The id of the memory cgroup whose task populated the object last; 0: none is charged.
    memcg: Atomic<u64>,
}

impl<T: LruItem> Charges<T> {
    /// Makes one that charges nothing yet. `None`: no client owns the object.
    ///
    /// Returns `ENOSPC` if the client has as many objects as a file may have.
    #[inline(always)]
    pub(in crate::bo) fn new(client: Option<ARef<Linked<Client<T>>>>) -> Result<Self> {
        if let Some(client) = &client {
            client.add_object()?;
        }
        Ok(Self {
            client,
            pages: Atomic::new(0),
            memcg: Atomic::new(0),
        })
    }

    /// Returns whether a client owns the object. Any context.
    pub(in crate::bo) fn have_client(&self) -> bool {
        self.client.is_some()
    }

    /// Shows with the client what the object holds. The reservation is held.
    pub(in crate::bo) fn replace(&self, before: &Holdings, after: &Holdings) {
        let Some(client) = &self.client else {
            return;
        };
        client.replace(before, after);
        let (before, after) = (before.pinned_charged(), after.pinned_charged());
        client.budget().repinned(before, after);
        if let Some(user) = client.user() {
            user.budget().repinned(before, after);
        }
    }

    /// The same as [`Charges::replace`] in a thread that need not have a context, for an object that begins or ends.
    #[inline(never)]
    pub(in crate::bo) fn replace_alone(&self, before: &Holdings, after: &Holdings) {
        with_context(|| self.replace(before, after));
    }

    /// Counts that the object has `after` pages in storage, and had `before`. The reservation is held.
    pub(in crate::bo) fn restored(&self, accounting: &Accounting, before: u64, after: u64) {
        accounting.limits.restored(before, after);
        if let Some(client) = &self.client {
            client.budget().restored(before, after);
            if let Some(user) = client.user() {
                user.budget().restored(before, after);
            }
        }
    }

    /// Returns the memory cgroup whose task populated the object last; `None`: its pages are charged
    /// to none. Any context.
    #[inline]
    pub(in crate::bo) fn memcg(&self) -> Option<Memcg> {
        Memcg::from_id(self.memcg.load(Relaxed))
    }

    /// Returns whether the client numbered `number` owns the object. Any context.
    #[inline]
    pub(in crate::bo) fn are_of(&self, number: u64) -> bool {
        let client = self.client.as_ref();
        client.is_some_and(|client| client.number() == number)
    }

    /// Begins to charge pages for a populate.
    #[inline(always)]
    pub(in crate::bo) fn begin<'a>(&'a self, accounting: &'a Accounting) -> PendingCharge<'a, T> {
        PendingCharge {
            charges: self,
            accounting,
            taken: None,
        }
    }

    /// Adds the object to the LRU of the client. The reservation is held.
    #[inline]
    pub(in crate::bo) fn enlist(&self, bo: &Linked<T>) {
        if let Some(client) = &self.client {
            client.enlist(bo);
        }
    }

    /// Removes the object from the LRU of the client. The reservation is held.
    #[inline]
    pub(in crate::bo) fn delist(&self, bo: &Linked<T>) {
        if let Some(client) = &self.client {
            client.delist(bo);
        }
    }

    /// Makes the object the most recently used of the client. The reservation is held.
    #[inline]
    pub(in crate::bo) fn touch(&self, bo: &Linked<T>) {
        if let Some(client) = &self.client {
            client.touch(bo);
        }
    }

    /// Uncharges all but `pages` pages, after the others were freed. The reservation is held, or
    /// there is no other reference to the object.
    #[inline]
    pub(in crate::bo) fn reduce_to(&self, pages: u64) {
        let Some(client) = &self.client else {
            return;
        };
        let before = self.pages.load(Relaxed);
        if pages < before {
            self.pages.store(pages, Relaxed);
            client.budget().release(before - pages);
            if let Some(user) = client.user() {
                user.budget().release(before - pages);
            }
        }
    }
}

impl<T: LruItem> Drop for Charges<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(client) = &self.client {
            self.reduce_to(0);
            client.remove_object();
        }
    }
}

/// What a populate in progress has charged; dropping it uncharges.
#[must_use]
pub(in crate::bo) struct PendingCharge<'a, T: LruItem> {
    charges: &'a Charges<T>,
    accounting: &'a Accounting,
    /// None as long as nothing was charged, which mostly is all the time.
    taken: Option<Taken<'a, T>>,
}

/// What was charged to owners.
struct Taken<'a, T: LruItem> {
    /// That to which it was charged; not in an `Option`, so that it says whether there is a `Taken`.
    charges: &'a Charges<T>,
    client: Option<OwnerCharge<'a>>,
    user: Option<OwnerCharge<'a>>,
    dmem: Option<Charged<T>>,
}

impl<'a, T: LruItem> PendingCharge<'a, T> {
    /// Charges; `wanted` returns how many pages the object has in all and how many are missing. `groups`: where the
    /// object is to be charged, if it is charged to no dmem cgroup.
    ///
    /// Over a limit, `reclaim` is asked to evict other objects that are charged to the same owner.
    /// When there is none left, the populate goes on over a soft limit.
    ///
    /// Returns `ENOMEM` if a hard limit, such as that of a cgroup, can't be kept; `EINTR` if a fatal
    /// signal arrived; or the error of an eviction. May sleep. The reservation is held.
    #[inline(always)]
    pub(in crate::bo) fn charge(
        &mut self,
        groups: Option<&Arc<Groups<T>>>,
        wanted: impl FnOnce() -> (u64, u64),
        reclaim: &impl Reclaim,
    ) -> Result {
        let groups = groups.filter(|_| dmem::charges());
        if self.charges.client.is_none() && groups.is_none() {
            return Ok(());
        }
        let (total, missing) = wanted();
        self.charge_owners(groups, total, missing, reclaim)
    }

    #[inline(never)]
    fn charge_owners(
        &mut self,
        groups: Option<&Arc<Groups<T>>>,
        total: u64,
        missing: u64,
        reclaim: &impl Reclaim,
    ) -> Result {
        let (charges, accounting) = (self.charges, self.accounting);
        let taken = self.taken.insert(Taken {
            charges,
            client: None,
            user: None,
            dmem: None,
        });
        if let Some(client) = charges.client.as_deref() {
            let owner: &Client<T> = client;
            let charge = make_room(accounting, owner, client.budget(), total, missing, reclaim)?;
            taken.client = Some(charge);
            if let Some(user) = client.user() {
                let owner = (user, owner);
                let charge = make_room(accounting, &owner, user.budget(), total, missing, reclaim)?;
                taken.user = Some(charge);
            }
        }
        if let (Some(groups), 1..) = (groups, total) {
            taken.dmem = charge_dmem(accounting, groups, total, reclaim)?;
        }
        Ok(())
    }

    /// Ends a populate that succeeded: the pages stay charged until [`Charges::reduce_to`]. The charge to a dmem
    /// cgroup, if there is one, is kept in `dmem`, as long as it is to stay.
    #[inline(always)]
    pub(in crate::bo) fn commit(self, dmem: &mut Option<Charged<T>>) {
        let memcg = Memcg::of_current().map_or(0, Memcg::id);
        self.charges.memcg.store(memcg, Relaxed);
        if let Some(taken) = self.taken {
            taken.commit(self.accounting, dmem);
        }
    }
}

impl<T: LruItem> Taken<'_, T> {
    #[inline(never)]
    fn commit(self, accounting: &Accounting, dmem: &mut Option<Charged<T>>) {
        if let (Some(charge), Some(client)) = (self.client, &self.charges.client) {
            let held = &self.charges.pages;
            held.store(held.load(Relaxed) + charge.pages, Relaxed);
            if charge.commit() {
                client.count_overcommit();
            }
        }
        if let Some(charge) = self.user {
            if charge.commit() {
                accounting.statistics.user_overcommits.count();
            }
        }
        if self.dmem.is_some() {
            *dmem = self.dmem;
        }
    }
}

/// Pages charged to an owner for a populate in progress; dropping it uncharges them.
struct OwnerCharge<'a> {
    budget: &'a Budget,
    pages: u64,
    /// The limit of the owner is not kept.
    over: bool,
}

impl OwnerCharge<'_> {
    /// The pages stay charged. Returns whether the limit is not kept.
    #[inline]
    fn commit(mut self) -> bool {
        self.budget.finish(core::mem::take(&mut self.pages));
        self.over
    }
}

impl Drop for OwnerCharge<'_> {
    fn drop(&mut self) {
        if self.pages != 0 {
            self.budget.abort(self.pages);
        }
    }
}

/// One to whom the pages of objects are charged, up to a limit.
trait Owner {
    /// Returns the limit in force; `None`: there is none.
    fn limit(&self) -> Option<u64>;

    /// Evicts one object of the owner; otherwise as [`Reclaim::evict_one`].
    fn evict_one(&self, reclaim: &impl Reclaim) -> Result<u64>;
}

impl<T: LruItem> Owner for Client<T> {
    fn limit(&self) -> Option<u64> {
        self.limit()
    }

    fn evict_one(&self, reclaim: &impl Reclaim) -> Result<u64> {
        reclaim.evict_one(EvictScope::Client(self.number()))
    }
}

/// A user, and the client that populates: its objects go first, then those of other files.
impl<T: LruItem> Owner for (&User<T>, &Client<T>) {
    fn limit(&self) -> Option<u64> {
        self.0.limit()
    }

    fn evict_one(&self, reclaim: &impl Reclaim) -> Result<u64> {
        let (user, client) = *self;
        let mut freed = client.evict_one(reclaim)?;
        let mut after = 0;
        while freed == 0 {
            let Some(number) = user.next_client(after) else {
                break;
            };
            freed = reclaim.evict_one(EvictScope::Client(number))?;
            after = number;
        }
        Ok(freed)
    }
}

/// Charges `pages` pages to the dmem cgroup of the current task. Over a limit, objects that are
/// charged to the cgroup with that limit are evicted. Returns `ENOMEM` if there is none left.
fn charge_dmem<T: LruItem>(
    accounting: &Accounting,
    groups: &Arc<Groups<T>>,
    pages: u64,
    reclaim: &impl Reclaim,
) -> Result<Option<Charged<T>>> {
    let attempt = || loop {
        let limit = match groups.charge(pages) {
            Ok(charge) => return Ok(Some(charge)),
            Err(NotCharged::Because(dmem::ChargeError::Over(limit))) => Some(limit),
            Err(NotCharged::Because(dmem::ChargeError::Failed(e))) => return Err(e),
            Err(NotCharged::Moved) => None,
        };
        reclaim.ended_by().cond_resched()?;
        let Some(limit) = limit else {
            continue;
        };
        if evict_for_dmem(&dmem::Search::new(limit.as_ref()), reclaim)? == 0 {
            return Ok(None);
        }
    };
    accounting.settling.retry(attempt)?.ok_or_else(|| {
        accounting.statistics.refusals.count();
        ENOMEM
    })
}

/// Evicts one object that helps a dmem cgroup to keep its limit and returns the number of pages
/// freed; 0: there is none. Otherwise as [`Reclaim::evict_one`].
pub(in crate::bo) fn evict_for_dmem(
    search: &dmem::Search<'_>,
    reclaim: &impl Reclaim,
) -> Result<u64> {
    loop {
        let freed = reclaim.evict_one(EvictScope::Dmem(search))?;
        if freed != 0 || !search.goes_on() {
            return Ok(freed);
        }
    }
}

/// Evicts an object whose pages are charged to the memory cgroup of the current task, if the cgroup has no
/// room for `pages` more pages. To be called when these could not be allocated.
///
/// Returns `ENOMEM` if the cgroup does have room, or never will have, or there is no such object, or
/// no swap; `EINTR` if a fatal signal arrived; or the error of the eviction. May sleep.
#[cold]
pub(in crate::bo) fn make_room_in_memcg(pages: u64, reclaim: &impl Reclaim) -> Result {
    if Memcg::of_current().is_none() {
        return Err(ENOMEM);
    }
    let own = GroupRef::of_current().ok_or(ENOMEM)?;
    // Evicted content is charged until the kernel has written it to swap.
    if memcg::has_room(pages) || !memcg::could_have_room(pages) || shrinker::free_swap() == 0 {
        return Err(ENOMEM);
    }
    reclaim.ended_by().cond_resched()?;
    match reclaim.evict_one(EvictScope::Memcg(own.as_group()))? {
        0 => Err(ENOMEM),
        _ => Ok(()),
    }
}

/// Charges `missing` pages of an object of `total` to the `budget` of an owner, and evicts other objects of the owner
/// until it is within its limit. If none is left a soft limit is exceeded.
///
/// Returns `ENOMEM` if a hard limit can't be kept: before anything is charged, if `total` by itself is
/// over it; after waiting for the owner's populates that are in flight, if there are such. Returns
/// `EINTR` if a fatal signal arrived, or the error of an eviction. May sleep.
fn make_room<'a>(
    accounting: &Accounting,
    owner: &impl Owner,
    budget: &'a Budget,
    total: u64,
    missing: u64,
    reclaim: &impl Reclaim,
) -> Result<OwnerCharge<'a>> {
    let limits = &accounting.limits;
    let refuse = || {
        accounting.statistics.refusals.count();
        ENOMEM
    };
    // Nothing is evicted for a limit that would be exceeded without any other object that can go.
    let helps = |limit| {
        limits.eviction_helps(budget.stored())
            && client_limit::eviction_helps(budget.pinned(), total, limit)
    };
    let hard = limits.are_hard();
    if hard && owner.limit().is_some_and(|limit| total > limit) {
        return Err(refuse());
    }
    budget.begin(missing);
    let mut charge = OwnerCharge {
        budget,
        pages: missing,
        over: false,
    };
    loop {
        let limit = limits.left_of(owner.limit(), budget.stored());
        match client_limit::judge(budget.charged(), total, limit, hard) {
            Verdict::Fits => return Ok(charge),
            Verdict::Refuse => break,
            Verdict::MakeRoom => {}
        }
        reclaim.ended_by().cond_resched()?;
        if helps(limit) && owner.evict_one(reclaim)? != 0 {
            continue;
        }
        if !hard {
            charge.over = true;
            return Ok(charge);
        }
        break;
    }
    // What two populates have charged before they fit may be all that keeps both from fitting.
    drop(charge);
    let room = accounting.settling.retry(|| loop {
        let limit = limits.left_of(owner.limit(), budget.stored());
        if budget.begin_within(missing, limit) {
            return Ok(Some(()));
        }
        reclaim.ended_by().cond_resched()?;
        if !helps(limit) || owner.evict_one(reclaim)? == 0 {
            return Ok(None);
        }
    })?;
    room.ok_or_else(refuse)?;
    Ok(OwnerCharge {
        budget,
        pages: missing,
        over: false,
    })
}
