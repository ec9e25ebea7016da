// SPDX-License-Identifier: GPL-2.0

//! The manager: the devices, and what they share.
//!
//! C original: `struct ttm_global`.
#![deny(unsafe_code)]

use super::{
    backing::Backing,
    charge::owners,
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
        sequence::Sequence,
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
    sync::Arc, //
};

/// How often the self-check looks again before it gives up.
const SELF_CHECK_ATTEMPTS: u32 = 1000;

/// All devices, and what they share.
#[pin_data]
pub(crate) struct Manager {
    accounting: Arc<Accounting>,
    pool: Arc<Pool>,
    devices: KVec<Arc<Device>>,
    /// What happened before the machine slept.
    pub(super) hibernation: HibernationStatistics,
    /// The order in which devices are asked to evict.
    #[pin]
    sequence: Mutex<Sequence, DeviceList>,
    clients: Arc<Clients<Bo>>,
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
    /// Makes `count` devices.
    ///
    /// Returns `EINVAL` if that is none, or more than
    /// [`MAX_DEVICES`](crate::bo::rules::sequence::MAX_DEVICES), and `ENOMEM` if there is no memory.
    /// May sleep.
    pub(crate) fn new(limits: Limits, cap: PoolCap, count: usize) -> Result<Arc<Self>> {
        let sequence = Sequence::new(count).ok_or(EINVAL)?;
        if count == 0 {
            return Err(EINVAL);
        }
        let accounting = Arc::new(Accounting::new(limits), GFP_KERNEL)?;
        let pool = Pool::new(cap)?;
        let dma = DmaDevice::new()?;
        let mut devices = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in sequence.iter() {
            let index = index as u32;
            let backing = Backing::new(index, accounting.clone(), pool.clone(), dma.clone())?;
            devices.push(Device::new(index, backing)?, GFP_KERNEL)?;
        }
        let clients = Arc::pin_init(Clients::new(), GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                accounting,
                pool,
                devices,
                hibernation: HibernationStatistics {
                    prepares: Event::new(),
                    pages: Event::new(),
                    failures: Event::new(),
                },
                sequence <- Mutex::new(sequence),
                clients,
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the accounting that all devices share.
    pub(crate) fn accounting(&self) -> &Arc<Accounting> {
        &self.accounting
    }

    /// Returns the pool that all devices share.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Returns the devices, by number.
    pub(crate) fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// Returns the clients.
    pub(super) fn clients(&self) -> &Clients<Bo> {
        &self.clients
    }

    /// Adds a client for an open file. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn open_file(&self) -> Result<ClientRef> {
        ClientRef::new(&self.clients, &self.accounting)
    }

    /// Returns the number of open files.
    pub(crate) fn open_files(&self) -> u64 {
        self.clients.count()
    }

    /// Returns the order in which devices are asked to evict.
    pub(super) fn sequence(&self) -> &Mutex<Sequence, DeviceList> {
        &self.sequence
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
        self.devices
            .iter()
            .map(|device| device.evictable_pages())
            .sum()
    }

    /// Compares the counter with the pages that all TTs hold; invariant I1.
    ///
    /// Exact also while TTs are populated and unpopulated: it looks again until nothing changed
    /// meanwhile. Returns [`Verdict::Retry`] if it gave up on that. May sleep.
    pub(crate) fn self_check(&self) -> Verdict {
        for _ in 0..SELF_CHECK_ATTEMPTS {
            let before = self.accounting.sample();
            let listed = self.devices.iter().map(|d| d.listed_pages()).sum();
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
