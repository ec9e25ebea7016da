// SPDX-License-Identifier: GPL-2.0

//! A client: an open file, the pages that its buffer objects have charged, and its limit; and the user
//! who opened it, whose files share a budget.
#![deny(unsafe_code)]

use super::{
    charge::budget::Budget,
    counters::{
        Accounting,
        Event, //
    },
    dirty::LogSums,
    lru::{
        HasLru,
        Lru,
        LruItem, //
    },
    rules::client_limit::{
        self,
        Holdings, //
    }, //
};
use crate::{
    abstractions::{
        cred::{
            self,
            Capability, //
        },
        list::{
            Housed,
            Linked,
            MemberList, //
        },
        params, //
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
    alloc::{
        allocator::Kmalloc,
        flags::GFP_KERNEL_ACCOUNT, //
    },
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

/// How many objects an open file may have, unless the parameter says otherwise.
const MAX_OBJECTS: u64 = 1 << 17;

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
    budget: Budget,
    /// The user who opened the file, unless privileged.
    user: Option<ARef<Linked<User<T>>>>,
    /// Objects whose memory is not freed yet.
    objects: Atomic<u64>,
    /// Populates that went on over its limit.
    overcommits: Event,
    /// What the dirty logs of its objects hold.
    logs: Arc<LogSums>,
    #[pin]
    owned: SpinLock<Owned<T>, FileLru>,
}

/// The objects of a client.
struct Owned<T: LruItem> {
    /// Those that are in the LRU of their device. They are added and removed with their reservation
    /// held.
    lru: Lru<T, 1>,
    /// What all of them hold.
    holdings: Holdings,
}

/// A user without `CAP_SYS_RESOURCE` who has files open. Their objects together are charged to a
/// budget with the same limit as that of one file.
pub(crate) struct User<T: LruItem> {
    uid: u32,
    /// The number of files; changed with the lock of the list of clients held.
    files: Atomic<u64>,
    budget: Budget,
    accounting: Arc<Accounting>,
    clients: Arc<Clients<T>>,
}

impl<T: LruItem> Housed for User<T> {
    type Memory = Kmalloc;
}

impl<T: LruItem> Housed for Client<T> {
    type Memory = Kmalloc;
}

impl<T: LruItem> User<T> {
    /// Returns what the user's files have charged.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the limit in force, in pages; `None`: there is none.
    pub(super) fn limit(&self) -> Option<u64> {
        client_limit::in_force(0, self.accounting.limits.of_a_file())
    }

    /// Returns the number of the user's first client after the one numbered `after`.
    pub(super) fn next_client(&self, after: u64) -> Option<u64> {
        let list = self.clients.list.lock();
        let mut rest = list.members.iter();
        let client = rest.find(|client| {
            let user = client.user.as_ref();
            client.number() > after && user.is_some_and(|user| user.uid == self.uid)
        })?;
        Some(client.number())
    }
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
    /// If it is over that now, what is too much is swapped out soon; this does not wait for it. May
    /// sleep.
    pub(crate) fn set_limit(&self, pages: u64) {
        self.own_limit.xchg(pages, Full);
        // Who populates charges first and reads the limit then, so one of the two sees that it is too
        // much. Where nothing is, a later look would only undo what a populate was allowed meanwhile.
        if self.is_over() {
            params::limit_changed();
        }
    }

    /// Returns the number of pages charged, including those that are being populated.
    #[inline]
    pub(crate) fn charged(&self) -> u64 {
        self.budget.charged()
    }

    /// Returns what its objects have charged.
    #[inline]
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the user to whom its objects are charged, too.
    #[inline]
    pub(super) fn user(&self) -> Option<&User<T>> {
        self.user.as_deref().map(|user| &**user)
    }

    /// Returns what all its objects hold at this moment.
    pub(crate) fn holdings(&self) -> Holdings {
        self.owned.lock().holdings
    }

    /// Returns what the dirty logs of its objects hold at this moment.
    pub(crate) fn logs(&self) -> &Arc<LogSums> {
        &self.logs
    }

    /// Replaces what one of its objects holds.
    pub(super) fn replace(&self, before: &Holdings, after: &Holdings) {
        self.owned.lock().holdings.replace(before, after);
    }

    /// Counts one object more. Returns `ENOSPC` if it has as many as a file may have.
    pub(super) fn add_object(&self) -> Result {
        let most = match params::file_objects_limit() {
            0 => MAX_OBJECTS,
            most => most,
        };
        if self.objects.fetch_add(1u64, Relaxed) >= most {
            self.remove_object();
            return Err(ENOSPC);
        }
        Ok(())
    }

    /// Counts one object less.
    pub(super) fn remove_object(&self) {
        self.objects.fetch_sub(1u64, Relaxed);
    }

    /// Returns how many populates went on over the limit.
    pub(crate) fn overcommits(&self) -> u64 {
        self.overcommits.get()
    }

    /// Returns whether it is over its limit, without what is being populated.
    fn is_over(&self) -> bool {
        let user_is_over = |user: &User<T>| user.budget.in_use().is_over(user.limit());
        self.budget.in_use().is_over(self.limit()) || self.user().is_some_and(user_is_over)
    }

    /// Counts that a populate went on over its limit.
    pub(super) fn count_overcommit(&self) {
        self.overcommits.count();
        self.accounting.statistics.file_overcommits.count();
    }

    /// Adds an object, which may be evicted from now on.
    pub(super) fn enlist(&self, bo: &Linked<T>) {
        self.owned.lock().lru.push(ARef::from(bo));
    }

    /// Removes an object, which may not be evicted any more.
    pub(super) fn delist(&self, bo: &Linked<T>) {
        let reference = self.owned.lock().lru.remove(bo);
        drop(reference);
    }

    /// Makes an object the most recently used.
    pub(super) fn touch(&self, bo: &Linked<T>) {
        self.owned.lock().lru.touch(bo);
    }
}

impl<T: LruItem> HasLru<T, 1> for Client<T> {
    fn with_lru<R>(&self, f: impl FnOnce(&mut Lru<T, 1>) -> R) -> R {
        f(&mut self.owned.lock().lru)
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
    /// The users of the members.
    users: MemberList<User<T>>,
    /// The last number given out.
    last: u64,
}

impl<T: LruItem> Clients<T> {
    /// Makes an empty list.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- SpinLock::new(List {
                    members: MemberList::new(),
                    users: MemberList::new(),
                    last: 0,
                }),
        })
    }

    /// Returns the user `uid`, who has one file more from now on. Returns `ENOMEM` if there is no
    /// memory. May sleep.
    fn add_file_of(
        self: &Arc<Self>,
        uid: u32,
        accounting: &Arc<Accounting>,
    ) -> Result<ARef<Linked<User<T>>>> {
        let fresh = Linked::make(
            init!(User {
                uid,
                files: Atomic::new(0),
                budget: Budget::new(),
                accounting: accounting.clone(),
                clients: self.clone(),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )?;
        let mut list = self.list.lock();
        let known = list.users.iter().find(|user| user.uid == uid);
        let user = match known.map(ARef::from) {
            Some(user) => user,
            None => {
                list.users.push_back(fresh.clone());
                fresh.clone()
            }
        };
        user.files.add(1u64, Relaxed);
        drop(list);
        Ok(user)
    }

    /// Takes back [`Clients::add_file_of`].
    fn remove_file_of(&self, user: &Linked<User<T>>) {
        let mut list = self.list.lock();
        let reference = if user.files.fetch_sub(1u64, Relaxed) == 1 {
            list.users.remove(user)
        } else {
            None
        };
        drop(list);
        drop(reference);
    }

    /// Adds a new client of the current task that holds nothing. Returns `ENOMEM` if there is no
    /// memory. May sleep.
    fn add(self: &Arc<Self>, accounting: &Arc<Accounting>) -> Result<ARef<Linked<Client<T>>>> {
        let user = if cred::capable(Capability::SysResource) {
            None
        } else {
            Some(self.add_file_of(cred::current_uid(), accounting)?)
        };
        let result = self.add_client(accounting, user.clone());
        if let (Err(_), Some(user)) = (&result, &user) {
            self.remove_file_of(user);
        }
        result
    }

    fn add_client(
        &self,
        accounting: &Arc<Accounting>,
        user: Option<ARef<Linked<User<T>>>>,
    ) -> Result<ARef<Linked<Client<T>>>> {
        let logs = Arc::new(LogSums::new(), GFP_KERNEL_ACCOUNT)?;
        let client = Linked::make(
            pin_init!(Client {
                accounting: accounting.clone(),
                number: Atomic::new(0),
                own_limit: Atomic::new(0),
                budget: Budget::new(),
                user,
                objects: Atomic::new(0),
                overcommits: Event::new(),
                logs,
                owned <- SpinLock::new(Owned {
                        lru: Lru::new(),
                        holdings: Holdings::default(),
                    }),
            }? Error),
            GFP_KERNEL_ACCOUNT,
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
        if let Some(user) = &client.user {
            self.remove_file_of(user);
        }
    }

    /// Returns the client numbered `number`; `None`: it is not in the list any more.
    pub(super) fn find(&self, number: u64) -> Option<ARef<Linked<Client<T>>>> {
        let list = self.list.lock();
        let client = list.members.iter().find(|client| client.number() == number);
        client.map(ARef::from)
    }

    /// Returns the client with the lowest number above `after`.
    pub(super) fn next(&self, after: u64) -> Option<ARef<Linked<Client<T>>>> {
        let list = self.list.lock();
        let client = list.members.iter().find(|client| client.number() > after);
        client.map(ARef::from)
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
    client: ARef<Linked<Client<T>>>,
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
    pub(super) fn shared(&self) -> &ARef<Linked<Client<T>>> {
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
