// SPDX-License-Identifier: GPL-2.0

//! What the tests have in common.

#![deny(unsafe_code)]

use crate::{
    bo::{
        limits::{
            Limits,
            PoolCap, //
        },
        manager::Manager,
        object::{
            BoRef,
            Device, //
        },
        reclaim::{
            EvictScope,
            Reclaim, //
        },
        rules::{
            limits::{
                Amount,
                Verdict, //
            },
            object::{
                BoFlags, //
                BoType,
            }, //
        }, //
    },
    lock_order::with_context, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Bytes of a page.
pub(super) const PAGE: u64 = PAGE_SIZE as u64;

/// Devices of a test's own, without limits unless it sets one.
pub(super) struct Bench {
    pub(super) manager: Arc<Manager>,
}

impl Bench {
    /// Runs `test` with `devices` devices; afterwards everything must be released.
    pub(super) fn run(devices: usize, test: impl FnOnce(&Self) -> Result) -> Result {
        with_context(|| {
            let bench = Self {
                manager: Manager::new(Limits::own(u64::MAX), PoolCap::own(u64::MAX), devices)?,
            };
            test(&bench)?;
            let accounting = bench.manager.accounting();
            let statistics = &accounting.statistics;
            expect!(accounting.counted().pages == 0);
            expect!(accounting.counted().dma32 == 0);
            expect!(accounting.objects() == 0);
            expect!(
                statistics.populates.get()
                    == statistics.unpopulates.get()
                        + statistics.swapouts.get()
                        + statistics.backups.get()
            );
            expect!(bench.manager.self_check() == Verdict::Ok);
            Ok(())
        })
    }

    /// Device `index`.
    pub(super) fn device(&self, index: usize) -> Result<&Arc<Device>> {
        self.manager.devices().get(index).ok_or(EINVAL)
    }

    /// An object of `pages` pages on device 0.
    pub(super) fn object(&self, pages: u64) -> Result<BoRef> {
        self.object_on(0, pages)
    }

    /// An object of `pages` pages on device `index`.
    pub(super) fn object_on(&self, index: usize, pages: u64) -> Result<BoRef> {
        BoRef::new(
            self.device(index)?,
            pages * PAGE,
            0,
            BoType::Device,
            BoFlags::of(BoType::Device, false),
        )
    }

    /// An object of `size` bytes and `extra` pages behind them, of type `ty`, on device 0.
    pub(super) fn object_of(&self, ty: BoType, size: u64, extra: u64) -> Result<BoRef> {
        BoRef::new(self.device(0)?, size, extra, ty, BoFlags::of(ty, false))
    }

    /// An object of `pages` pages, of type `ty` and with `flags`, on device 0.
    pub(super) fn object_with(&self, ty: BoType, pages: u64, flags: BoFlags) -> Result<BoRef> {
        BoRef::new(self.device(0)?, pages * PAGE, 0, ty, flags)
    }

    /// A populated object of `pages` pages on device 0.
    pub(super) fn populated(&self, pages: u64) -> Result<BoRef> {
        let bo = self.object(pages)?;
        expect!(bo.reserve().populate(&*self.manager)? == pages);
        Ok(bo)
    }

    /// Evicts one object of any.
    pub(super) fn evict_one(&self) -> Result<u64> {
        self.manager.evict_one(EvictScope::Any)
    }

    /// Pages counted now.
    pub(super) fn counted(&self) -> u64 {
        self.manager.accounting().counted().pages
    }

    /// Sets the limit.
    pub(super) fn limit(&self, pages: u64) {
        self.manager.accounting().limits.set(pages);
    }
}

/// Fills an object with a pattern of `seed`'s, a different one on every page.
pub(super) fn fill(bo: &BoRef, seed: u8, reclaim: &impl Reclaim) -> Result {
    let mut page = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
    for offset in (0..bo.size()).step_by(PAGE_SIZE) {
        pattern(&mut page, seed, offset);
        bo.reserve().write(offset, &page, reclaim)?;
    }
    Ok(())
}

/// Whether an object has the content that [`fill`] gave it.
pub(super) fn is_filled(bo: &BoRef, seed: u8, reclaim: &impl Reclaim) -> Result<bool> {
    let mut expected = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
    let mut found = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
    for offset in (0..bo.size()).step_by(PAGE_SIZE) {
        pattern(&mut expected, seed, offset);
        bo.reserve().read(offset, &mut found, reclaim)?;
        if *expected != *found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn pattern(page: &mut [u8], seed: u8, offset: u64) {
    let start = (offset / PAGE_SIZE as u64) as u8;
    for (i, byte) in page.iter_mut().enumerate() {
        *byte = seed
            .wrapping_mul(31)
            .wrapping_add(start)
            .wrapping_add((i % 251) as u8);
    }
}

/// Returns what it is told to, and counts how often it is called.
pub(super) struct Scripted {
    result: Result<u64>,
    asked: Atomic<u64>,
}

impl Scripted {
    pub(super) fn new(result: Result<u64>) -> Self {
        Self {
            result,
            asked: Atomic::new(0),
        }
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

impl Reclaim for Scripted {
    fn evict_until(&self, _: EvictScope<'_>, _: &mut dyn FnMut() -> bool) -> Result<u64> {
        self.asked.add(1u64, Relaxed);
        self.result
    }

    fn pinned(&self) -> Amount {
        Amount::default()
    }
}
