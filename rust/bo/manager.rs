// SPDX-License-Identifier: GPL-2.0

//! The devices and their books; global swapout.
//!
//! C original: `struct ttm_global`, `ttm_global_swapout()`.

use super::{
    charge::owners,
    client::{
        HolderRef,
        Holders, //
    },
    counters::Books,
    device::Device,
    evict::Whose,
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
        sequence::Rotation, //
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
        typed::Mutex, //
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
    books: Arc<Books>,
    pool: Arc<Pool>,
    devices: KVec<Arc<Device>>,
    /// What was done before the machine slept.
    pub(super) hibernation: pm::Statistics,
    /// Whose turn it is to swap something out.
    #[pin]
    turns: Mutex<Rotation, DeviceList>,
    /// The open files.
    #[pin]
    holders: Holders,
}

impl Manager {
    /// Makes `count` devices.
    ///
    /// `EINVAL`: none, or more than [`MAX_DEVICES`](crate::bo::rules::sequence::MAX_DEVICES).
    /// `ENOMEM`. May sleep.
    pub(crate) fn new(limits: Limits, cap: PoolCap, count: usize) -> Result<Arc<Self>> {
        let turns = Rotation::new(count).ok_or(EINVAL)?;
        if count == 0 {
            return Err(EINVAL);
        }
        let books = Arc::new(Books::new(limits), GFP_KERNEL)?;
        let pool = Pool::new(cap)?;
        let dma = DmaDevice::new()?;
        let mut devices = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in turns.iter() {
            let device = Device::new(index as u32, books.clone(), pool.clone(), dma.clone())?;
            devices.push(device, GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                books,
                pool,
                devices,
                hibernation: pm::Statistics::new(),
                turns <- Mutex::new(turns),
                holders <- Holders::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The counters.
    pub(crate) fn books(&self) -> &Arc<Books> {
        &self.books
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
    pub(super) fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Makes a place for what the objects of an open file hold. `ENOMEM`. May sleep.
    pub(crate) fn open_file(self: &Arc<Self>) -> Result<HolderRef> {
        Ok(HolderRef {
            holder: self.holders.add(&self.books)?,
            manager: self.clone(),
        })
    }

    /// Open files.
    pub(crate) fn open_files(&self) -> u64 {
        self.holders.count()
    }

    /// Swaps out one buffer object and answers the pages freed; 0: nothing is left.
    ///
    /// The pool is drained first. Errors as [`Manager::swap_out_one_of`]. May sleep; the caller
    /// holds at most reservations.
    pub(crate) fn swap_out_one(&self) -> Result<u64> {
        // What nobody uses goes first.
        self.pool.drain();
        self.swap_out_one_of(Whose::Anybodys)
    }

    /// Swaps out one buffer object of those asked for, and nothing of the pool.
    ///
    /// Devices are asked in turn; the one that gave pages is asked last next time. A device that
    /// fails doesn't keep others from being asked; if none gives pages, its errno is the answer.
    /// `EINTR`: a fatal signal arrived. May sleep; the caller holds at most reservations.
    fn swap_out_one_of(&self, whose: Whose<'_>) -> Result<u64> {
        if let Whose::Files(holder) = whose {
            return holder.swap_out_one();
        }
        // The lock is not held while a device is at it, which may take long.
        let turns = *self.turns.lock();
        let mut answer = Ok(0);
        for index in turns.iter() {
            let Some(device) = self.devices.get(index) else {
                continue;
            };
            match device.swap_out_one(whose) {
                Ok(0) => {}
                Ok(pages) => {
                    if matches!(whose, Whose::Anybodys) {
                        self.turns.lock().move_to_tail(index);
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
        let turns = match self.turns.try_lock() {
            Some(turns) => *turns,
            None => return 0,
        };
        let mut freed = 0;
        for index in turns.iter() {
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
            let before = self.books.sample();
            let listed = self.devices.iter().map(|d| d.listed_pages()).sum();
            let verdict = limits::verdict(before, listed, self.books.sample());
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
        self.pool.trim();
        // Whoever is over a limit that became smaller goes now, not when somebody populates.
        while self.books.settled_over_limit() && matches!(self.swap_out_one(), Ok(1..)) {
            task::cond_resched();
        }
        let mut after = 0;
        while let Some((number, holder)) = self.holders.next_over(after) {
            match self.swap_out_one_of(Whose::Files(&holder)) {
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

    fn swap_out_one_of(&self, whose: Whose<'_>) -> Result<u64> {
        self.swap_out_one_of(whose)
    }
}

impl dmem::Evict for Manager {
    fn evict(&self, search: &dmem::Search<'_>, pages: u64) -> Result<u64> {
        let mut freed = 0;
        while freed < pages {
            task::breathe()?;
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
