// SPDX-License-Identifier: GPL-2.0

//! Whom a buffer object's pages are charged to besides the accounting: its open file, and the cgroup of
//! who populated it.
//!
//! A populate first makes a [`Claim`], which makes room. What becomes of it is decided when the
//! populate ends; so whatever way it fails, nobody is charged for it.

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
        evict::EvictScope,
        object::Bo,
        rules::client_limit::{
            self,
            Verdict, //
        },
        tt::Reclaim, //
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

/// Whom a buffer object's pages are charged to. What is left is given back when it is dropped.
pub(crate) struct Charges {
    /// The open file it belongs to.
    client: Option<Arc<Linked<Client>>>,
    /// Pages charged to it; written with the reservation held.
    pages: Atomic<u64>,
    /// What is charged to a dmem cgroup: all its pages, until none is left. Changed with the
    /// reservation held.
    dmem: dmem::Slot,
    /// The id of the memory cgroup whose task populated it last; 0: its pages are charged to none.
    memcg: Atomic<u64>,
}

impl Charges {
    /// Nothing is charged to anybody yet. `None`: it is no file's.
    pub(in crate::bo) fn new(client: Option<Arc<Linked<Client>>>) -> Self {
        Self {
            client,
            pages: Atomic::new(0),
            dmem: dmem::Slot::new(),
            memcg: Atomic::new(0),
        }
    }

    /// The memory cgroup whose task populated it last; `None`: its pages are charged to none. Any
    /// context.
    #[inline]
    pub(in crate::bo) fn memcg(&self) -> Option<Memcg> {
        Memcg::from_id(self.memcg.load(Relaxed))
    }

    /// Whether swapping the object out helps to keep a dmem cgroup's limit. Any context.
    pub(in crate::bo) fn help(&self, search: &dmem::Search<'_>) -> bool {
        self.dmem.helps(search)
    }

    /// Whether the object is this open file's.
    #[inline]
    pub(in crate::bo) fn are_of(&self, client: &Linked<Client>) -> bool {
        let own = self.client.as_deref();
        own.is_some_and(|own| core::ptr::eq(own, client))
    }

    /// Charges pages for a populate that begins; `wanted` says how many the object has in all and
    /// how many are missing. Over a limit, `reclaim` is asked to swap out others of who is; when
    /// there is none left, the populate goes on over a soft limit.
    ///
    /// `ENOMEM`: a limit that is hard can't be kept, as those of cgroups are; `EINTR`: a fatal
    /// signal; or what swapping out failed with. May sleep. The reservation is held.
    #[inline]
    pub(in crate::bo) fn claim(
        &self,
        accounting: &Accounting,
        wanted: impl FnOnce() -> (u64, u64),
        reclaim: &impl Reclaim,
    ) -> Result<Claim<'_>> {
        let charges = dmem::charges() && self.dmem.is_empty();
        if self.client.is_none() && !charges {
            return Ok(Claim::nothing(self));
        }
        let (total, missing) = wanted();
        let mut claim = Claim::nothing(self);
        if let Some(client) = self.client.as_deref() {
            client.begin(missing);
            let claimed = claim.file.insert(Claimed {
                client,
                pages: missing,
                over: false,
            });
            claimed.over = make_room(accounting, client, total, reclaim)?;
        }
        if charges && total != 0 {
            claim.dmem = charge_dmem(accounting, total, reclaim)?;
        }
        Ok(claim)
    }

    /// The object is in its device's LRU from now on. The reservation is held.
    #[inline]
    pub(in crate::bo) fn enlist(&self, bo: &Arc<Linked<Bo>>) {
        if let Some(client) = &self.client {
            client.enlist(bo);
        }
    }

    /// It is not any more. The reservation is held.
    #[inline]
    pub(in crate::bo) fn delist(&self, bo: &Linked<Bo>) {
        if let Some(client) = &self.client {
            client.delist(bo);
        }
    }

    /// It was used. The reservation is held.
    #[inline]
    pub(in crate::bo) fn touch(&self, bo: &Linked<Bo>) {
        if let Some(client) = &self.client {
            client.touch(bo);
        }
    }

    /// Gives back what is charged for more than `pages` pages: the object has lost the others. The
    /// reservation is held, or nobody else knows the object.
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

impl Drop for Charges {
    fn drop(&mut self) {
        self.reduce_to(0);
    }
}

/// What a populate charged beforehand; dropping it gives it back.
#[must_use]
pub(in crate::bo) struct Claim<'a> {
    charges: &'a Charges,
    file: Option<Claimed<'a>>,
    dmem: Option<dmem::Charge>,
}

impl<'a> Claim<'a> {
    #[inline]
    fn nothing(charges: &'a Charges) -> Self {
        Self {
            charges,
            file: None,
            dmem: None,
        }
    }

    /// The populate succeeded: the pages stay charged until [`Charges::reduce_to`].
    #[inline]
    pub(in crate::bo) fn keep(self) {
        let memcg = Memcg::of_current().map_or(0, Memcg::id);
        self.charges.memcg.store(memcg, Relaxed);
        if let Some(charge) = self.dmem {
            self.charges.dmem.put(charge);
        }
        if let Some(mut claimed) = self.file {
            let pages = core::mem::take(&mut claimed.pages);
            let held = &self.charges.pages;
            held.store(held.load(Relaxed) + pages, Relaxed);
            claimed.client.finish(pages, claimed.over);
        }
    }
}

/// What was charged to an open file.
struct Claimed<'a> {
    client: &'a Client,
    pages: u64,
    /// The file's limit is not kept.
    over: bool,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if self.pages != 0 {
            self.client.abort(self.pages);
        }
    }
}

/// Charges the dmem cgroup of the current task for `pages` pages. Over a limit, others that are
/// charged to who it is of are swapped out. `ENOMEM`: there was none left.
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
        if swap_out_dmem(&dmem::Search::new(limit.as_ref()), reclaim)? == 0 {
            accounting.statistics.refusals.count();
            return Err(ENOMEM);
        }
    }
}

/// Swaps out one object that helps a dmem cgroup to keep its limit; answers the pages freed, 0:
/// there is none. As [`Reclaim::swap_out_one_of`].
pub(in crate::bo) fn swap_out_dmem(
    search: &dmem::Search<'_>,
    reclaim: &impl Reclaim,
) -> Result<u64> {
    loop {
        let freed = reclaim.swap_out_one_of(EvictScope::Dmem(search))?;
        if freed != 0 || !search.goes_on() {
            return Ok(freed);
        }
    }
}

/// Moves an object out of memory that was populated in the memory cgroup of the current task, when
/// that has no room for `pages` more pages. To be called when these could not be had.
///
/// `ENOMEM`: it does have room, or never will have, or there is no such object, or no swap; `EINTR`:
/// a fatal signal; or what moving it failed with. May sleep.
#[cold]
pub(in crate::bo) fn make_room_in_memcg(pages: u64, reclaim: &impl Reclaim) -> Result {
    let Some(own) = Memcg::of_current() else {
        return Err(ENOMEM);
    };
    // What goes is charged until the kernel has written it to swap.
    if memcg::has_room(pages) || !memcg::could_have_room(pages) || shrinker::free_swap() == 0 {
        return Err(ENOMEM);
    }
    task::cond_resched_killable()?;
    match reclaim.swap_out_one_of(EvictScope::Memcg(own))? {
        0 => Err(ENOMEM),
        _ => Ok(()),
    }
}

/// Swaps out others of the client's until it is in its limit. `true`: there was none left, and it
/// still is not. `ENOMEM`: likewise, but the limits are hard; or `total` by itself is more.
fn make_room(
    accounting: &Accounting,
    client: &Linked<Client>,
    total: u64,
    reclaim: &impl Reclaim,
) -> Result<bool> {
    loop {
        let hard = accounting.limits.are_hard();
        match client_limit::judge(client.charged(), total, client.limit(), hard) {
            Verdict::Fits => return Ok(false),
            Verdict::MakeRoom => {
                task::cond_resched_killable()?;
                if reclaim.swap_out_one_of(EvictScope::Client(client))? != 0 {
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
