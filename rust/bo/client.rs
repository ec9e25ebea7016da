// SPDX-License-Identifier: GPL-2.0

//! An open file as somebody who holds pages: what its objects have charged, and how much that may
//! be.

use super::{
    counters::{
        Accounting,
        Event, //
    },
    evict::EvictScope,
    lru::{
        self,
        Lru, //
    },
    object::Bo,
    rules::client_limit::{
        self,
        Use, //
    }, //
};
use crate::{
    abstractions::list::{
        Linked,
        MemberList, //
    },
    lock_order::{
        classes::{
            FileLru,
            OpenFiles, //
        },
        typed::SpinLock,
        with_context, //
    }, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// What the objects of an open file hold.
///
/// Any context; nothing here sleeps but [`Client::swap_out_one`]. Only [`super::owners::Charges`] changes
/// the counters and the LRU.
#[pin_data]
pub(crate) struct Client {
    accounting: Arc<Accounting>,
    /// Its number among the open files; written when it is listed, with the list's lock held.
    number: Atomic<u64>,
    /// The limit that was set for it, in pages; 0: the module's.
    own_limit: Atomic<u64>,
    /// Pages charged.
    charged: Atomic<u64>,
    /// Of these, those of populates that go on.
    in_flight: Atomic<u64>,
    /// Populates that went on over its limit.
    overcommits: Event,
    /// Its objects that are in the LRU of their device. They are put in and taken out with their
    /// reservation held.
    #[pin]
    lru: SpinLock<Lru<1>, FileLru>,
}

impl Client {
    /// Its number among the open files, from 1; never used again.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Relaxed)
    }

    /// The limit in force, in pages; `None`: there is none.
    #[inline]
    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit_with(self.own_limit.load(Relaxed))
    }

    /// The limit that would be in force with this one of its own; 0: none of its own.
    #[inline]
    pub(crate) fn limit_with(&self, own: u64) -> Option<u64> {
        client_limit::in_force(own, self.accounting.limits.of_a_file())
    }

    /// Sets a limit of its own, in pages; 0: the module's is to hold.
    ///
    /// Nothing is swapped out by this: tell [`crate::abstractions::params::limit_changed`].
    pub(crate) fn set_limit(&self, pages: u64) {
        self.own_limit.store(pages, Relaxed);
    }

    /// Pages charged, with those that are being populated.
    #[inline]
    pub(crate) fn charged(&self) -> u64 {
        self.charged.load(Relaxed)
    }

    /// Populates that went on over its limit.
    pub(crate) fn overcommits(&self) -> u64 {
        self.overcommits.get()
    }

    /// Whether it is over its limit, without what is being populated.
    fn is_over(&self) -> bool {
        // In this order: what stops to be in flight meanwhile was charged before.
        let charged = self.charged.load(Acquire);
        let in_flight = self.in_flight.load(Relaxed);
        Use { charged, in_flight }.is_over(self.limit())
    }

    /// Charges pages for a populate that begins.
    #[inline]
    pub(super) fn begin(&self, pages: u64) {
        self.in_flight.add(pages, Relaxed);
        self.charged.fetch_add(pages, Full);
    }

    /// The populate succeeded: its pages stay charged. `over`: the limit was not kept.
    #[inline]
    pub(super) fn finish(&self, pages: u64, over: bool) {
        self.in_flight.fetch_sub(pages, Full);
        if over {
            self.overcommits.count();
            self.accounting.statistics.file_overcommits.count();
        }
    }

    /// The populate failed.
    pub(super) fn abort(&self, pages: u64) {
        self.charged.fetch_sub(pages, Full);
        self.in_flight.fetch_sub(pages, Relaxed);
    }

    /// An object of the file may be swapped out from now on.
    pub(super) fn enlist(&self, bo: &Arc<Linked<Bo>>) {
        self.lru.lock().push(bo.clone());
    }

    /// It may not any more.
    pub(super) fn delist(&self, bo: &Linked<Bo>) {
        let reference = self.lru.lock().remove(bo);
        drop(reference);
    }

    /// It was used.
    pub(super) fn touch(&self, bo: &Linked<Bo>) {
        self.lru.lock().touch(bo);
    }

    /// Swaps out the file's least recently used object that can be, of whatever device; answers the
    /// pages freed, 0: there is none. The cost does not depend on how many objects there are.
    /// Otherwise as [`lru::swap_out_first`].
    pub(super) fn swap_out_one(&self) -> Result<u64> {
        let scope = EvictScope::Any;
        lru::swap_out_first(scope, |walk| self.lru.lock().step(walk, scope))
    }

    /// Pages that had stayed charged are gone.
    #[inline]
    pub(super) fn release(&self, pages: u64) {
        self.charged.fetch_sub(pages, Relaxed);
    }
}

/// The open files.
#[pin_data]
pub(super) struct Clients {
    #[pin]
    list: SpinLock<List, OpenFiles>,
}

struct List {
    /// By ascending number.
    members: MemberList<Client>,
    /// The last number given out.
    last: u64,
}

impl Clients {
    /// Makes an empty list.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- SpinLock::new(List {
                    members: MemberList::new(),
                    last: 0,
                }),
        })
    }

    /// Lists a new one that holds nothing. `ENOMEM`. May sleep.
    pub(super) fn add(&self, accounting: &Arc<Accounting>) -> Result<Arc<Linked<Client>>> {
        let client = Arc::pin_init(
            Linked::new(pin_init!(Client {
                accounting: accounting.clone(),
                number: Atomic::new(0),
                own_limit: Atomic::new(0),
                charged: Atomic::new(0),
                in_flight: Atomic::new(0),
                overcommits: Event::new(),
                lru <- SpinLock::new(Lru::new()),
            }? Error)),
            GFP_KERNEL,
        )?;
        let mut list = self.list.lock();
        list.last += 1;
        client.number.store(list.last, Relaxed);
        list.members.push_back(client.clone());
        drop(list);
        Ok(client)
    }

    /// Takes one off the list; it lives on as long as its objects do.
    pub(super) fn remove(&self, client: &Linked<Client>) {
        let reference = self.list.lock().members.remove(client);
        drop(reference);
    }

    /// The first one after the one numbered `after` that is over its limit, and its number.
    pub(super) fn next_over(&self, after: u64) -> Option<(u64, Arc<Linked<Client>>)> {
        let list = self.list.lock();
        let mut rest = list.members.iter();
        let client = rest.find(|client| client.number.load(Relaxed) > after && client.is_over())?;
        Some((client.number.load(Relaxed), Arc::from(client)))
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.list.lock().members.iter().count() as u64
    }
}

/// An open file's [`Client`]; dropping it takes it off the list.
pub(crate) struct ClientRef {
    pub(super) manager: Arc<super::Manager>,
    pub(super) client: Arc<Linked<Client>>,
}

impl ClientRef {
    /// The client, to be shared with its objects.
    pub(super) fn shared(&self) -> &Arc<Linked<Client>> {
        &self.client
    }
}

impl Deref for ClientRef {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for ClientRef {
    fn drop(&mut self) {
        // An open that fails half-way drops it outside of any.
        with_context(|| self.manager.clients().remove(&self.client));
    }
}
