// SPDX-License-Identifier: GPL-2.0

//! What a buffer object's pages are charged to besides the accounting: the client that owns the
//! object, and the cgroups of the task that populated it.
//!
//! A populate first calls [`Charges::try_charge`], which makes room. The [`PendingCharge`] is
//! committed when the populate has succeeded; if the populate fails, dropping it uncharges.
#![deny(unsafe_code)]

use crate::{
    abstractions::{
        dmem,
        list::Linked,
        memcg::{
            self,
            Memcg, //
        },
        shrinker,
        task, //
    },
    bo::{
        client::Client,
        counters::Accounting,
        lru::LruItem,
        reclaim::{
            EvictScope,
            Reclaim, //
        },
        rules::client_limit::{
            self,
            Verdict, //
        }, //
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

/// What a buffer object's pages are charged to. Dropping it uncharges what is left.
pub(crate) struct Charges<T: LruItem> {
    /// The client that owns the object.
    client: Option<Arc<Linked<Client<T>>>>,
    /// Pages charged to the client; written with the reservation held.
    pages: Atomic<u64>,
    /// The charge to a dmem cgroup: for all pages of the object, until none is left. Changed with
    /// the reservation held.
    dmem: dmem::Slot,
    /// The id of the memory cgroup whose task populated the object last; 0: none is charged.
    memcg: Atomic<u64>,
}

impl<T: LruItem> Charges<T> {
    /// Makes one that charges nothing yet. `None`: no client owns the object.
    pub(in crate::bo) fn new(client: Option<Arc<Linked<Client<T>>>>) -> Self {
        Self {
            client,
            pages: Atomic::new(0),
            dmem: dmem::Slot::new(),
            memcg: Atomic::new(0),
        }
    }

    /// Returns the memory cgroup whose task populated the object last; `None`: its pages are charged
    /// to none. Any context.
    #[inline]
    pub(in crate::bo) fn memcg(&self) -> Option<Memcg> {
        Memcg::from_id(self.memcg.load(Relaxed))
    }

    /// Returns whether evicting the object helps a dmem cgroup to keep its limit. Any context.
    pub(in crate::bo) fn help(&self, search: &dmem::Search<'_>) -> bool {
        self.dmem.helps(search)
    }

    /// Returns whether the client numbered `number` owns the object. Any context.
    #[inline]
    pub(in crate::bo) fn are_of(&self, number: u64) -> bool {
        let client = self.client.as_ref();
        client.is_some_and(|client| client.number() == number)
    }

    /// Charges pages for a populate that begins; `wanted` returns how many pages the object has in
    /// all and how many are missing.
    ///
    /// Over a limit, `reclaim` is asked to evict other objects that are charged to the same owner.
    /// When there is none left, the populate goes on over a soft limit.
    ///
    /// Returns `ENOMEM` if a hard limit, such as that of a cgroup, can't be kept; `EINTR` if a fatal
    /// signal arrived; or the error of an eviction. May sleep. The reservation is held.
    #[inline]
    pub(in crate::bo) fn try_charge(
        &self,
        accounting: &Accounting,
        wanted: impl FnOnce() -> (u64, u64),
        reclaim: &impl Reclaim,
    ) -> Result<PendingCharge<'_, T>> {
        let charges = dmem::charges() && self.dmem.is_empty();
        if self.client.is_none() && !charges {
            return Ok(PendingCharge::nothing(self));
        }
        let (total, missing) = wanted();
        let mut pending = PendingCharge::nothing(self);
        if let Some(client) = self.client.as_deref() {
            client.begin(missing);
            let charge = pending.client.insert(ClientCharge {
                client,
                pages: missing,
                over: false,
            });
            charge.over = make_room(accounting, client, total, reclaim)?;
        }
        if charges && total != 0 {
            pending.dmem = charge_dmem(accounting, total, reclaim)?;
        }
        Ok(pending)
    }

    /// Adds the object to the LRU of the client. The reservation is held.
    #[inline]
    pub(in crate::bo) fn enlist(&self, bo: &Arc<Linked<T>>) {
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
        if pages == 0 {
            drop(self.dmem.take());
        }
        let Some(client) = &self.client else {
            return;
        };
        let before = self.pages.load(Relaxed);
        if pages < before {
            self.pages.store(pages, Relaxed);
            client.release(before - pages);
        }
    }
}

impl<T: LruItem> Drop for Charges<T> {
    fn drop(&mut self) {
        self.reduce_to(0);
    }
}

/// What a populate in progress has charged; dropping it uncharges.
#[must_use]
pub(in crate::bo) struct PendingCharge<'a, T: LruItem> {
    charges: &'a Charges<T>,
    client: Option<ClientCharge<'a, T>>,
    dmem: Option<dmem::Charge>,
}

impl<'a, T: LruItem> PendingCharge<'a, T> {
    #[inline]
    fn nothing(charges: &'a Charges<T>) -> Self {
        Self {
            charges,
            client: None,
            dmem: None,
        }
    }

    /// Ends a populate that succeeded: the pages stay charged until [`Charges::reduce_to`].
    #[inline]
    pub(in crate::bo) fn commit(self) {
        let memcg = Memcg::of_current().map_or(0, Memcg::id);
        self.charges.memcg.store(memcg, Relaxed);
        if let Some(charge) = self.dmem {
            self.charges.dmem.put(charge);
        }
        if let Some(mut charge) = self.client {
            let pages = core::mem::take(&mut charge.pages);
            let held = &self.charges.pages;
            held.store(held.load(Relaxed) + pages, Relaxed);
            charge.client.finish(pages, charge.over);
        }
    }
}

/// Pages charged to a client.
struct ClientCharge<'a, T: LruItem> {
    client: &'a Client<T>,
    pages: u64,
    /// The limit of the client is not kept.
    over: bool,
}

impl<T: LruItem> Drop for ClientCharge<'_, T> {
    fn drop(&mut self) {
        if self.pages != 0 {
            self.client.abort(self.pages);
        }
    }
}

/// Charges `pages` pages to the dmem cgroup of the current task. Over a limit, objects that are
/// charged to the cgroup with that limit are evicted. Returns `ENOMEM` if there is none left.
fn charge_dmem(
    accounting: &Accounting,
    pages: u64,
    reclaim: &impl Reclaim,
) -> Result<Option<dmem::Charge>> {
    loop {
        let limit = match dmem::Charge::new(pages) {
            Ok(charge) => return Ok(charge),
            Err(dmem::ChargeError::Over(limit)) => limit,
            Err(dmem::ChargeError::Failed(e)) => return Err(e),
        };
        task::cond_resched_killable()?;
        if evict_for_dmem(&dmem::Search::new(limit.as_ref()), reclaim)? == 0 {
            accounting.statistics.refusals.count();
            return Err(ENOMEM);
        }
    }
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

/// Evicts an object that was populated in the memory cgroup of the current task, if the cgroup has no
/// room for `pages` more pages. To be called when these could not be allocated.
///
/// Returns `ENOMEM` if the cgroup does have room, or never will have, or there is no such object, or
/// no swap; `EINTR` if a fatal signal arrived; or the error of the eviction. May sleep.
#[cold]
pub(in crate::bo) fn make_room_in_memcg(pages: u64, reclaim: &impl Reclaim) -> Result {
    let Some(own) = Memcg::of_current() else {
        return Err(ENOMEM);
    };
    // Evicted content is charged until the kernel has written it to swap.
    if memcg::has_room(pages) || !memcg::could_have_room(pages) || shrinker::free_swap() == 0 {
        return Err(ENOMEM);
    }
    task::cond_resched_killable()?;
    match reclaim.evict_one(EvictScope::Memcg(own))? {
        0 => Err(ENOMEM),
        _ => Ok(()),
    }
}

/// Evicts other objects of the client until it is within its limit. `true`: there is none left, and
/// the client still is over it. Returns `ENOMEM` in that case if the limits are hard, or if `total` by
/// itself is over the limit.
fn make_room<T: LruItem>(
    accounting: &Accounting,
    client: &Client<T>,
    total: u64,
    reclaim: &impl Reclaim,
) -> Result<bool> {
    loop {
        let hard = accounting.limits.are_hard();
        match client_limit::judge(client.charged(), total, client.limit(), hard) {
            Verdict::Fits => return Ok(false),
            Verdict::MakeRoom => {
                task::cond_resched_killable()?;
                if reclaim.evict_one(EvictScope::Client(client.number()))? != 0 {
                    continue;
                }
                if !hard {
                    return Ok(true);
                }
            }
            Verdict::Refuse => {}
        }
        accounting.statistics.refusals.count();
        return Err(ENOMEM);
    }
}
