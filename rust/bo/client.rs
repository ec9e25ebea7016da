// SPDX-License-Identifier: GPL-2.0

//! A client: an open file, the pages that its buffer objects have charged, and its limit.
#![deny(unsafe_code)]

use super::{
    counters::{
        Accounting,
        Event, //
    },
    lru::{
        HasLru,
        Lru,
        LruItem, //
    },
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
/// Any context; nothing here sleeps. Only [`Charges`](super::charge::owners::Charges) changes the
/// counters and the LRU.
#[pin_data]
pub(crate) struct Client<T: LruItem> {
    accounting: Arc<Accounting>,
    /// The number of the client; written when it is listed, with the list's lock held.
    number: Atomic<u64>,
    /// The limit that was set for this client, in pages; 0: the module's.
    own_limit: Atomic<u64>,
    /// Pages charged.
    charged: Atomic<u64>,
    /// Of these, the pages of populates that are in progress.
    in_flight: Atomic<u64>,
    /// Populates that went on over its limit.
    overcommits: Event,
    /// The objects of the client that are in the LRU of their device. They are added and removed
    /// with their reservation held.
    #[pin]
    lru: SpinLock<Lru<T, 1>, FileLru>,
}

impl<T: LruItem> Client<T> {
    /// Returns the number of the client, from 1; it is never used again.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Relaxed)
    }

    /// Returns the limit in force, in pages; `None`: there is none.
    #[inline]
    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit_with(self.own_limit.load(Relaxed))
    }

    /// Returns the limit that would be in force if `own` was set; 0: none is set.
    #[inline]
    pub(crate) fn limit_with(&self, own: u64) -> Option<u64> {
        client_limit::in_force(own, self.accounting.limits.of_a_file())
    }

    /// Sets the limit of this client, in pages; 0: the module's applies.
    ///
    /// Nothing is swapped out by this: tell [`crate::abstractions::params::limit_changed`].
    pub(crate) fn set_limit(&self, pages: u64) {
        self.own_limit.store(pages, Relaxed);
    }

    /// Returns the number of pages charged, including those that are being populated.
    #[inline]
    pub(crate) fn charged(&self) -> u64 {
        self.charged.load(Relaxed)
    }

    /// Returns how many populates went on over the limit.
    pub(crate) fn overcommits(&self) -> u64 {
        self.overcommits.get()
    }

    /// Returns whether it is over its limit, without what is being populated.
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

    /// Ends a populate that succeeded: its pages stay charged. `over`: the limit was not kept.
    #[inline]
    pub(super) fn finish(&self, pages: u64, over: bool) {
        self.in_flight.fetch_sub(pages, Full);
        if over {
            self.overcommits.count();
            self.accounting.statistics.file_overcommits.count();
        }
    }

    /// Ends a populate that failed.
    pub(super) fn abort(&self, pages: u64) {
        self.charged.fetch_sub(pages, Full);
        self.in_flight.fetch_sub(pages, Relaxed);
    }

    /// Adds an object, which may be evicted from now on.
    pub(super) fn enlist(&self, bo: &Arc<Linked<T>>) {
        self.lru.lock().push(bo.clone());
    }

    /// Removes an object, which may not be evicted any more.
    pub(super) fn delist(&self, bo: &Linked<T>) {
        let reference = self.lru.lock().remove(bo);
        drop(reference);
    }

    /// Makes an object the most recently used.
    pub(super) fn touch(&self, bo: &Linked<T>) {
        self.lru.lock().touch(bo);
    }

    /// Uncharges pages that had stayed charged.
    #[inline]
    pub(super) fn release(&self, pages: u64) {
        self.charged.fetch_sub(pages, Relaxed);
    }
}

impl<T: LruItem> HasLru<T, 1> for Client<T> {
    fn with_lru<R>(&self, f: impl FnOnce(&mut Lru<T, 1>) -> R) -> R {
        f(&mut self.lru.lock())
    }
}

/// All clients.
#[pin_data]
pub(super) struct Clients<T: LruItem> {
    #[pin]
    list: SpinLock<List<T>, OpenFiles>,
}

struct List<T: LruItem> {
    /// By ascending number.
    members: MemberList<Client<T>>,
    /// The last number given out.
    last: u64,
}

impl<T: LruItem> Clients<T> {
    /// Makes an empty list.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- SpinLock::new(List {
                    members: MemberList::new(),
                    last: 0,
                }),
        })
    }

    /// Adds a new client that holds nothing. Returns `ENOMEM` if there is no memory. May sleep.
    fn add(&self, accounting: &Arc<Accounting>) -> Result<Arc<Linked<Client<T>>>> {
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

    /// Removes a client from the list; it lives on as long as its objects do.
    fn remove(&self, client: &Linked<Client<T>>) {
        let reference = self.list.lock().members.remove(client);
        drop(reference);
    }

    /// Returns the client numbered `number`; `None`: it is not in the list any more.
    pub(super) fn find(&self, number: u64) -> Option<Arc<Linked<Client<T>>>> {
        let list = self.list.lock();
        let client = list.members.iter().find(|client| client.number() == number);
        client.map(Arc::from)
    }

    /// Returns the number of the first client after the one numbered `after` that is over its limit.
    pub(super) fn next_over(&self, after: u64) -> Option<u64> {
        let list = self.list.lock();
        let mut rest = list.members.iter();
        let client = rest.find(|client| client.number() > after && client.is_over())?;
        Some(client.number())
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> u64 {
        self.list.lock().members.iter().count() as u64
    }
}

/// The [`Client`] of an open file; dropping it removes the client from the list.
pub(crate) struct ClientRef<T: LruItem> {
    clients: Arc<Clients<T>>,
    client: Arc<Linked<Client<T>>>,
}

impl<T: LruItem> ClientRef<T> {
    /// Adds a new client to `clients`. Returns `ENOMEM` if there is no memory. May sleep.
    pub(super) fn new(clients: &Arc<Clients<T>>, accounting: &Arc<Accounting>) -> Result<Self> {
        Ok(Self {
            client: clients.add(accounting)?,
            clients: clients.clone(),
        })
    }

    /// Returns the client, to be shared with its objects.
    pub(super) fn shared(&self) -> &Arc<Linked<Client<T>>> {
        &self.client
    }
}

impl<T: LruItem> Deref for ClientRef<T> {
    type Target = Client<T>;

    fn deref(&self) -> &Client<T> {
        &self.client
    }
}

impl<T: LruItem> Drop for ClientRef<T> {
    fn drop(&mut self) {
        // An open that fails half-way drops it outside of any context.
        with_context(|| self.clients.remove(&self.client));
    }
}
