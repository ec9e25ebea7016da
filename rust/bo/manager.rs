// SPDX-License-Identifier: GPL-2.0

//! The manager: the devices, and what they share.
//!
//! C original: `struct ttm_global`.
#![deny(unsafe_code)]

use super::{
    backing::Backing,
    charge::{
        groups::Groups,
        owners, //
    },
    client::Clients,
    counters::{
        Accounting,
        Event, //
    },
    limits::{
        Limits,
        PoolCap, //
    },
    object::{
        Bo,
        ClientRef,
        Device, //
    },
    pool::Pool,
    reclaim::{
        EvictScope,
        Reclaim, //
    },
    rules::{
        limits::{
            self,
            Amount,
            Verdict, //
        },
        sequence::{
            move_to_tail,
            MAX_DEVICES, //
        },
        victims::{
            self,
            Victims, //
        }, //
    },
    trace::Histogram, //
};
use crate::{
    abstractions::{
        dma::DmaDevice,
        dmem,
        params::Watcher,
        task, //
    },
    lock_order::{
        classes::DeviceList,
        typed::Mutex,
        with_context, //
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

/// How often the self-check looks again before it gives up.
const SELF_CHECK_ATTEMPTS: u32 = 1000;

/// All devices, and what they share.
#[pin_data]
pub(crate) struct Manager {
    accounting: Arc<Accounting>,
    pool: Arc<Pool>,
    /// The device for which pages are mapped of devices that have none of their own.
    dma: Arc<DmaDevice>,
    /// Those of `/dev/reeve`, by number.
    fixed: KVec<Arc<Device>>,
    /// The number of the next device.
    next: Atomic<u32>,
    /// What happened before the machine slept.
    pub(super) hibernation: HibernationStatistics,
    /// All devices, in the order in which they are asked to evict. Nothing is allocated while it is locked.
    #[pin]
    devices: Mutex<KVec<Arc<Device>>, DeviceList>,
    clients: Arc<Clients<Bo>>,
    /// The dmem cgroups to which objects are charged.
    groups: Arc<Groups<Bo>>,
}

/// What happened before the machine slept.
pub(crate) struct HibernationStatistics {
    /// Preparations for sleep.
    pub(crate) prepares: Event,
    /// Pages that left memory then.
    pub(crate) pages: Event,
    /// Preparations that left something in memory that should have left it.
    pub(crate) failures: Event,
}

impl Manager {
    /// Makes the manager, with `count` devices for `/dev/reeve`.
    ///
    /// Returns `EINVAL` if that is none, or more than
    /// [`MAX_DEVICES`], and `ENOMEM` if there is no memory.
    /// May sleep.
    pub(crate) fn new(limits: Limits, cap: PoolCap, count: usize) -> Result<Arc<Self>> {
        if count == 0 || count > MAX_DEVICES {
            return Err(EINVAL);
        }
        let accounting = Arc::new(Accounting::new(limits), GFP_KERNEL)?;
        let pool = Pool::new(cap)?;
        let dma = DmaDevice::new()?;
        let clients = Arc::pin_init(Clients::new(), GFP_KERNEL)?;
        let groups = Arc::pin_init(Groups::new(), GFP_KERNEL)?;
        let mut fixed = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut devices = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in 0..count as u32 {
            let backing = Backing::new(index, accounting.clone(), pool.clone(), dma.clone())?;
            let device = Device::new(index, backing, groups.clone())?;
            fixed.push(device.clone(), GFP_KERNEL)?;
            devices.push(device, GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                accounting,
                pool,
                dma,
                fixed,
                next: Atomic::new(count as u32),
                hibernation: HibernationStatistics {
                    prepares: Event::new(),
                    pages: Event::new(),
                    failures: Event::new(),
                },
                devices <- Mutex::new(devices),
                clients,
                groups,
            }),
            GFP_KERNEL,
        )
    }

    /// Adds a device, which global swapout and reclaim ask from now on. Its objects' pages are mapped for
    /// `dma`; `None`: for the module's own device.
    ///
    /// Returns `ENOMEM` if there is no memory, `ENFILE` if there are too many open files. May sleep.
    ///
    /// C original: `ttm_device_init()`.
    pub(crate) fn register(&self, dma: Option<Arc<DmaDevice>>) -> Result<Arc<Device>> {
        let index = self.next.fetch_add(1u32, Relaxed);
        let dma = dma.unwrap_or_else(|| self.dma.clone());
        let backing = Backing::new(index, self.accounting.clone(), self.pool.clone(), dma)?;
        let device = Device::new(index, backing, self.groups.clone())?;
        let mut wanted = self.devices.lock().len() + 1;
        loop {
            let mut longer = KVec::with_capacity(wanted, GFP_KERNEL)?;
            let mut devices = self.devices.lock();
            wanted = devices.len() + 1;
            if longer.capacity() >= wanted {
                for known in devices.drain_all() {
                    longer.push_within_capacity(known)?;
                }
                longer.push_within_capacity(device.clone())?;
                core::mem::swap(&mut *devices, &mut longer);
                drop(devices);
                return Ok(device);
            }
        }
    }

    /// Removes a device. Returns `EBUSY` if it has objects, `ENOENT` if it is none, or was removed. May
    /// sleep.
    ///
    /// When it succeeds no object of the device is left, so no reclaim, eviction or fault is going to call
    /// its driver.
    ///
    /// C original: `ttm_device_fini()`.
    pub(crate) fn unregister(&self, device: &Arc<Device>) -> Result {
        let is_it = |known: &Arc<Device>| Arc::ptr_eq(known, device);
        let mut devices = self.devices.lock();
        let at = devices.iter().position(is_it).ok_or(ENOENT)?;
        device.close()?;
        let reference = devices.remove(at);
        drop(devices);
        drop(reference);
        Ok(())
    }

    /// Returns the accounting that all devices share.
    pub(crate) fn accounting(&self) -> &Arc<Accounting> {
        &self.accounting
    }

    /// Returns the pool that all devices share.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Returns the devices of `/dev/reeve`, by number.
    pub(crate) fn devices(&self) -> &[Arc<Device>] {
        &self.fixed
    }

    /// Returns the device that is asked first, of those that `is` picks.
    pub(super) fn first_device(&self, is: impl Fn(&Device) -> bool) -> Option<Arc<Device>> {
        let devices = self.devices.lock();
        let first = devices.iter().find(|device| is(device));
        first.cloned()
    }

    /// Returns the device that is asked after `at` others; `None`: there is none, or the list is locked.
    pub(super) fn try_device(&self, at: usize) -> Option<Arc<Device>> {
        self.devices.try_lock()?.get(at).cloned()
    }

    /// Returns the device with the lowest number above `after`.
    pub(super) fn next_device(&self, after: Option<u32>) -> Option<Arc<Device>> {
        let devices = self.devices.lock();
        let later = devices.iter().filter(|device| Some(device.index()) > after);
        later.min_by_key(|device| device.index()).cloned()
    }

    /// Has a device asked after all others from now on.
    pub(super) fn ask_last(&self, index: u32) {
        move_to_tail(&mut self.devices.lock(), |device| device.index() == index);
    }

    /// Returns the sum of what `of` returns for each device, at a moment when none comes or goes.
    pub(super) fn sum(&self, of: impl Fn(&Device) -> u64) -> u64 {
        self.devices.lock().iter().map(|device| of(device)).sum()
    }

    /// Returns the clients.
    pub(super) fn clients(&self) -> &Clients<Bo> {
        &self.clients
    }

    /// Returns the dmem cgroups to which objects are charged.
    pub(super) fn groups(&self) -> &Groups<Bo> {
        &self.groups
    }

    /// Adds a client for an open file. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn open_file(&self) -> Result<ClientRef> {
        ClientRef::new(&self.clients, &self.accounting)
    }

    /// Returns the number of open files.
    pub(crate) fn open_files(&self) -> u64 {
        self.clients.count()
    }

    /// Returns every histogram, with the name of its operation.
    pub(super) fn histograms(&self) -> [(&'static str, &Histogram); 7] {
        let times = &self.accounting.statistics.times;
        [
            ("populate", &times.populate),
            ("swapout", &times.swapout),
            ("swapin", &times.swapin),
            ("backup", &times.backup),
            ("restore", &times.restore),
            ("bo_shrink", &times.bo_shrink),
            ("pool_shrink", &self.pool.statistics.shrink_times),
        ]
    }

    /// Returns the number of pages of objects that could be evicted.
    pub(super) fn evictable_pages(&self) -> u64 {
        self.sum(|device| device.evictable_pages())
    }

    /// Compares the counter with the pages that all TTs hold; invariant I1.
    ///
    /// Exact also while TTs are populated and unpopulated: it looks again until nothing changed
    /// meanwhile. Returns [`Verdict::Retry`] if it gave up on that. May sleep.
    pub(crate) fn self_check(&self) -> Verdict {
        for _ in 0..SELF_CHECK_ATTEMPTS {
            let before = self.accounting.sample();
            let listed = self.sum(|device| device.listed_pages());
            let verdict = limits::verdict(before, listed, self.accounting.sample());
            if verdict != Verdict::Retry {
                return verdict;
            }
            task::cond_resched();
        }
        Verdict::Retry
    }
}

impl Watcher for Manager {
    fn is_over(&self) -> bool {
        let over = self.pool.is_over() || self.accounting.over_limit();
        over || with_context(|| self.clients.next_over(0).is_some())
    }

    fn limits_written(&self) {
        with_context(|| self.keep_limits());
    }
}

impl Manager {
    /// Frees what is above limits that were lowered.
    fn keep_limits(&self) {
        self.pool.trim();
        // What is over a limit that became smaller is evicted now, not at the next populate.
        for _ in 0..2 {
            if !self.accounting.stable_over_limit() {
                break;
            }
            let (counted, limit) = (self.accounting.counted(), self.accounting.limits.get());
            // What can go does, also where pinned pages keep the limit from being kept: it was asked for.
            let none = Amount::default();
            let scope = match victims::victims(counted, limit, none, none) {
                Some(Victims::Any) => EvictScope::Any,
                Some(Victims::Dma32) => EvictScope::Dma32,
                None => break,
            };
            let enough = &mut || !self.accounting.stable_over_limit();
            if !matches!(self.evict_until(scope, enough), Ok(1..)) {
                break;
            }
        }
        let mut after = 0;
        while let Some(number) = self.clients.next_over(after) {
            match self.evict_one(EvictScope::Client(number)) {
                Ok(1..) => task::cond_resched(),
                // It has no more to give.
                _ => after = number,
            }
        }
    }
}

impl dmem::Evict for Manager {
    fn evict(&self, search: &dmem::Search<'_>, pages: u64) -> Result<u64> {
        with_context(|| self.evict_dmem(search, pages))
    }
}

impl Manager {
    /// Swaps out about `pages` pages of those that `search` asks for. Returns how many.
    fn evict_dmem(&self, search: &dmem::Search<'_>, pages: u64) -> Result<u64> {
        let mut freed = 0;
        while freed < pages {
            task::cond_resched_killable()?;
            match owners::evict_for_dmem(search, self) {
                Ok(0) => break,
                Ok(more) => freed += more,
                Err(e) if freed == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(freed)
    }
}
