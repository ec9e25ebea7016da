// SPDX-License-Identifier: GPL-2.0

//! What the kernel's own suites for C TTM expect of TTs, pools and devices, as far as no other test
//! here does; Documentation/ttm-tests.md is the whole table. And sizes that C TTM can't count.

#![deny(unsafe_code)]

use super::support::*;
use crate::{
    abstractions::{
        dma::DmaAddresses,
        shmem::ShmemFile, //
    },
    bo::{
        evict,
        limits::PoolCap,
        object::BoRef,
        pages::PageBlocks,
        pool::{
            alloc,
            Pool, //
        },
        rules::{
            object::{
                BoFlags, //
                BoType,
            },
            page_kind::{
                Caching,
                PageKind, //
            },
            page_runs,
            pool::FreeListId, //
        }, //
    },
    lock_order::with_context, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

const UNCACHED: PageKind = PageKind {
    caching: Caching::Uncached,
    dma32: false,
};

/// More pages than an `int` can count, in C TTM's loops as well as in `num_pages`.
const MANY: u64 = 1 << 33;

/// Runs `test` with a pool that has kept one object's pages: so many, of this kind.
fn with_kept(pages: u64, kind: PageKind, test: impl FnOnce(&Arc<Pool>) -> Result) -> Result {
    with_context(|| {
        let pool = Pool::new(PoolCap::own(u64::MAX))?;
        let mut kept = allocate(pages, kind, &pool)?;
        alloc::give_back(&mut kept, true, Some(&*pool));
        expect!(pool.kept() == pages);
        test(&pool)?;
        expect!(pool.drain() != 0);
        expect!(pool.kept() == 0);
        Ok(())
    })
}

fn allocate(pages: u64, kind: PageKind, pool: &Pool) -> Result<PageBlocks> {
    let mut directory = PageBlocks::new(kind);
    alloc::fill(&mut directory, pages, true, Some(pool))?;
    Ok(directory)
}

/// Blocks that are kept of this kind and order.
fn kept(pool: &Pool, kind: PageKind, order: usize) -> u64 {
    let kind = kind.index();
    (0..pool.nodes())
        .map(|node| pool.free_counts(node).blocks(FreeListId { kind, order }))
        .sum()
}

#[kunit_tests(reeve_tt_reference)]
mod tests {
    use super::*;

    /// ttm_pool_alloc_basic.
    #[test]
    fn blocks_are_the_largest_that_fit() -> Result {
        for (pages, orders) in page_runs::SHAPES {
            let mut directory = PageBlocks::new(UNCACHED);
            alloc::fill(&mut directory, pages, false, None)?;
            expect!(directory.len() == pages);
            let found = directory.runs(0).map(|(_, run)| run.len().ilog2());
            expect!(found.eq(orders.iter().copied()));
        }
        Ok(())
    }

    /// ttm_tt_populate_populated_ttm.
    #[test]
    fn populating_twice_keeps_the_pages() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(3)?;
            let frames = [0, 1, 2].map(|index| bo.reserve().page_frame(index));
            expect!(frames.iter().all(Option::is_some));
            expect!(bo.reserve().populate(&*bench.manager)? == 0);
            expect!([0, 1, 2].map(|index| bo.reserve().page_frame(index)) == frames);
            Ok(())
        })
    }

    /// ttm_pool_alloc_order_caching_match.
    #[test]
    fn what_matches_is_taken_from_the_pool() -> Result {
        with_kept(1, UNCACHED, |pool| {
            expect!(kept(pool, UNCACHED, 0) == 1);
            let mut taken = allocate(1, UNCACHED, pool)?;
            // Only the local node's free list is looked at.
            expect!(kept(pool, UNCACHED, 0) == 0 || pool.nodes() > 1);
            alloc::give_back(&mut taken, true, Some(&**pool));
            expect!(kept(pool, UNCACHED, 0) != 0);
            Ok(())
        })
    }

    /// ttm_pool_alloc_caching_mismatch.
    #[test]
    fn kept_pages_of_other_caching_stay_where_they_are() -> Result {
        with_kept(1, PageKind::CACHED, |pool| {
            expect!(kept(pool, PageKind::CACHED, 0) == 1);
            let mut other = allocate(1, UNCACHED, pool)?;
            expect!(kept(pool, PageKind::CACHED, 0) == 1);
            alloc::give_back(&mut other, true, Some(&**pool));
            expect!(kept(pool, PageKind::CACHED, 0) == 1);
            expect!(kept(pool, UNCACHED, 0) == 1);
            Ok(())
        })
    }

    /// ttm_pool_alloc_order_mismatch.
    #[test]
    fn kept_blocks_of_other_order_stay_where_they_are() -> Result {
        with_kept(4, UNCACHED, |pool| {
            expect!(kept(pool, UNCACHED, 2) == 1);
            let mut small = allocate(1, UNCACHED, pool)?;
            expect!(kept(pool, UNCACHED, 2) == 1 && kept(pool, UNCACHED, 0) == 0);
            alloc::give_back(&mut small, true, Some(&**pool));
            expect!(kept(pool, UNCACHED, 2) == 1 && kept(pool, UNCACHED, 0) == 1);
            Ok(())
        })
    }

    /// ttm_device_init_pools.
    #[test]
    fn a_new_pool_has_every_shelf_and_nothing_on_it() -> Result {
        with_context(|| {
            let pool = Pool::new(PoolCap::own(u64::MAX))?;
            for kind in PageKind::ALL {
                for order in 0..page_runs::ORDERS {
                    expect!(kept(&pool, kind, order) == 0);
                    let mut pages = allocate(1 << order, kind, &pool)?;
                    alloc::give_back(&mut pages, true, Some(&*pool));
                    expect!(kept(&pool, kind, order) == 1);
                    expect!(pool.drain() == 1 << order);
                }
            }
            Ok(())
        })
    }

    /// ttm_device_init_basic, ttm_device_init_multiple.
    #[test]
    fn devices_begin_with_nothing_and_share_the_rest() -> Result {
        Bench::run(3, |bench| {
            for index in 0..3 {
                let device = bench.device(index)?;
                expect!(device.index() as usize == index);
                expect!(device.listed_pages() == 0 && device.evictable_pages() == 0);
                expect!(evict::evict_all(device) == (0, Ok(())));
                expect!(Arc::ptr_eq(device.accounting(), bench.manager.accounting()));
                expect!(core::ptr::eq(
                    device.backing().pool(),
                    &**bench.manager.pool()
                ));
            }
            let bo = bench.object_on(1, 2)?;
            bo.reserve().populate(&*bench.manager)?;
            let listed = [0, 1, 2].map(|index| bench.device(index).map(|d| d.listed_pages()));
            expect!(listed == [Ok(0), Ok(2), Ok(0)]);
            Ok(())
        })
    }

    /// ttm_tt_fini_sg.
    #[test]
    fn addresses_that_were_told_end_with_the_object() -> Result {
        Bench::run(1, |bench| {
            let flags = BoFlags::of(BoType::Sg, false).with_dma();
            let bo = bench.object_with(BoType::Sg, 1, flags)?;
            bo.reserve().populate(&*bench.manager)?;
            let told = DmaAddresses::told(&[(PAGE, 1)])?;
            bo.reserve().set_dma_addresses(told)?;
            drop(bo);
            expect!(bench.manager.accounting().objects() == 0);
            Ok(())
        })
    }

    /// In C TTM `num_pages` has 32 bits: this object would have no pages.
    #[test]
    fn objects_can_have_more_pages_than_31_bits_count() -> Result {
        Bench::run(1, |bench| {
            let flags = BoFlags::of(BoType::Sg, false).with_dma();
            let bo = BoRef::new(bench.device(0)?, MANY * PAGE, 3, BoType::Sg, flags)?;
            expect!(bo.reserve().info().num_pages == MANY + 3);
            expect!(bo.reserve().populate(&*bench.manager)? == 0);
            let told = DmaAddresses::told(&[(PAGE, MANY + 3)])?;
            bo.reserve().set_dma_addresses(told)?;
            let last = bo.reserve().dma_address(MANY + 2)?;
            expect!(last.address == (MANY + 3) * PAGE && last.pages == 1);
            expect!(bo.reserve().dma_address(0)?.pages == MANY + 3);
            expect!(bo.reserve().dma_address(MANY + 3) == Err(EINVAL));
            Ok(())
        })
    }

    /// The copy loops of C TTM count in `int`, so the pages behind 2^31 are never copied.
    #[test]
    fn content_behind_page_2_to_the_31_is_copied() -> Result {
        with_context(|| {
            let storage = ShmemFile::sparse(c"reeve test", MANY)?;
            let places = [0, (1 << 31) - 1, 1 << 31, (1 << 32) + 5, MANY - 1];
            let mut page = PageBlocks::new(PageKind::CACHED);
            alloc::fill(&mut page, 1, true, None)?;
            for (index, value) in places.into_iter().zip(1u8..) {
                page.page_mut(0).ok_or(EINVAL)?.write(9, &[value; 5])?;
                let (_, run) = page.runs(0).next().ok_or(EINVAL)?;
                storage.write(index, run, false)?;
            }
            for (index, value) in places.into_iter().zip(1u8..) {
                let (_, run) = page.runs_mut(0).next().ok_or(EINVAL)?;
                storage.read(index, run)?;
                let mut found = [0; 5];
                page.page(0).ok_or(EINVAL)?.read(9, &mut found)?;
                expect!(found == [value; 5]);
            }
            // Nothing went where the index would have been cut off.
            let (_, run) = page.runs_mut(0).next().ok_or(EINVAL)?;
            storage.read(5, run)?;
            let mut found = [1; 5];
            page.page(0).ok_or(EINVAL)?.read(9, &mut found)?;
            expect!(found == [0; 5]);
            Ok(())
        })
    }
}
