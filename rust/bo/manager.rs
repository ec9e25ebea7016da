// SPDX-License-Identifier: GPL-2.0

//! The devices and their accounting; global swapout.
//!
//! C original: `struct ttm_global`, `ttm_global_swapout()`.

use super::{
    charge::owners,
    client::{
        ClientRef,
        Clients, //
    },
    counters::Accounting,
    device::Device,
    evict::EvictScope,
    limits::{
        Limits,
        PoolCap, //
    },
    pm,
    pool::Pool,
    rules::{
        limits::{
            self,
            Verdict, //
        },
        sequence::Sequence, //
    },
    tt::Reclaim, //
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

/// How often the self-check looks again before it says that it could not.
const SELF_CHECK_ATTEMPTS: u32 = 1000;

/// All devices, and what they share.
#[pin_data]
pub(crate) struct Manager {
    accounting: Arc<Accounting>,
    pool: Arc<Pool>,
    devices: KVec<Arc<Device>>,
    /// What was done before the machine slept.
    pub(super) hibernation: pm::Statistics,
    /// EvictScope turn it is to swap something out.
    #[pin]
    sequence: Mutex<Sequence, DeviceList>,
    /// The open files.
    #[pin]
    clients: Clients,
}

impl Manager {
    /// Makes `count` devices.
    ///
    /// `EINVAL`: none, or more than [`MAX_DEVICES`](crate::bo::rules::sequence::MAX_DEVICES).
    /// `ENOMEM`. May sleep.
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
            let device = Device::new(index as u32, accounting.clone(), pool.clone(), dma.clone())?;
            devices.push(device, GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                accounting,
                pool,
                devices,
                hibernation: pm::Statistics::new(),
                sequence <- Mutex::new(sequence),
                clients <- Clients::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The counters.
    pub(crate) fn accounting(&self) -> &Arc<Accounting> {
        &self.accounting
    }

    /// The free pages that are kept.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The devices, by number.
    pub(crate) fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// The open files.
    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Makes a place for what the objects of an open file hold. `ENOMEM`. May sleep.
    pub(crate) fn open_file(self: &Arc<Self>) -> Result<ClientRef> {
        Ok(ClientRef {
            client: self.clients.add(&self.accounting)?,
            manager: self.clone(),
        })
    }

    /// Open files.
    pub(crate) fn open_files(&self) -> u64 {
        self.clients.count()
    }

    /// Swaps out one buffer object and answers the pages freed; 0: nothing is left.
    ///
    /// The pool is drained first. Errors as [`Manager::swap_out_one_of`]. May sleep; the caller
    /// holds at most reservations.
    pub(crate) fn swap_out_one(&self) -> Result<u64> {
        // What nobody uses goes first.
        self.pool.drain();
        self.swap_out_one_of(EvictScope::Any)
    }

    /// Swaps out one buffer object of those asked for, and nothing of the pool.
    ///
    /// Devices are asked in turn; the one that gave pages is asked last next time. A device that
    /// fails doesn't keep others from being asked; if none gives pages, its errno is the answer.
    /// `EINTR`: a fatal signal arrived. May sleep; the caller holds at most reservations.
    fn swap_out_one_of(&self, scope: EvictScope<'_>) -> Result<u64> {
        if let EvictScope::Client(client) = scope {
            return client.swap_out_one();
        }
        // The lock is not held while a device is at it, which may take long.
        let sequence = *self.sequence.lock();
        let mut answer = Ok(0);
        for index in sequence.iter() {
            let Some(device) = self.devices.get(index) else {
                continue;
            };
            match device.swap_out_one(scope) {
                Ok(0) => {}
                Ok(pages) => {
                    if matches!(scope, EvictScope::Any) {
                        self.sequence.lock().move_to_tail(index);
                    }
                    return Ok(pages);
                }
                Err(EINTR) => return Err(EINTR),
                Err(e) => answer = answer.and(Err(e)),
            }
        }
        answer
    }

    /// Pages of objects that could be swapped out.
    pub(super) fn evictable_pages(&self) -> u64 {
        self.devices
            .iter()
            .map(|device| device.evictable_pages())
            .sum()
    }

    /// Moves about `pages` pages of objects out of memory; answers how many. For reclaim: nothing
    /// is waited for. `writeback`: content is sent on to swap.
    pub(super) fn shrink(&self, pages: u64, writeback: bool) -> u64 {
        let sequence = match self.sequence.try_lock() {
            Some(sequence) => *sequence,
            None => return 0,
        };
        let mut freed = 0;
        for index in sequence.iter() {
            if let (true, Some(device)) = (freed < pages, self.devices.get(index)) {
                freed += device.shrink(pages - freed, writeback);
            }
        }
        freed
    }

    /// Compares the counter with the pages that all TTs hold; invariant I1.
    ///
    /// Exact also while others populate and empty TTs: it looks again until nothing changed
    /// meanwhile. [`Verdict::Retry`]: it gave up on that. May sleep.
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
        // Whoever is over a limit that became smaller goes now, not when somebody populates.
        while self.accounting.settled_over_limit() && matches!(self.swap_out_one(), Ok(1..)) {
            task::cond_resched();
        }
        let mut after = 0;
        while let Some((number, client)) = self.clients.next_over(after) {
            match self.swap_out_one_of(EvictScope::Client(&client)) {
                Ok(1..) => task::cond_resched(),
                // It has no more to give.
                _ => after = number,
            }
        }
    }
}

impl Reclaim for Manager {
    fn swap_out_one(&self) -> Result<u64> {
        self.swap_out_one()
    }

    fn swap_out_one_of(&self, scope: EvictScope<'_>) -> Result<u64> {
        self.swap_out_one_of(scope)
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
            match owners::swap_out_dmem(search, self) {
                Ok(0) => break,
                Ok(more) => freed += more,
                Err(e) if freed == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(freed)
    }
}
