// SPDX-License-Identifier: GPL-2.0

//! The pool, and pages that are not plain memory.

#![deny(unsafe_code)]

use super::support::*;
use crate::{
    abstractions::{
        page::local_node,
        shrinker::{
            Allowed,
            Shrink, //
        }, //
    },
    bo::{
        limits::PoolCap,
        pages::{
            block::Block,
            free_list::FreeLists,
            PageBlocks, //
        },
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
            page_runs::MAX_ORDER,
            pool::FreeListId, //
        },
        shrinker, //
    },
    lock_order::with_context, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

const WC: PageKind = PageKind {
    caching: Caching::WriteCombined,
    dma32: false,
};

/// Runs `test` with a pool of its own that keeps at most `cap` pages.
fn with_pool(cap: u64, test: impl FnOnce(&Arc<Pool>) -> Result) -> Result {
    with_context(|| test(&Pool::new(PoolCap::own(cap))?))
}

/// A directory of `pages` pages of a kind.
fn directory(pages: u64, kind: PageKind, pool: Option<&Pool>) -> Result<PageBlocks> {
    let mut directory = PageBlocks::new(kind);
    alloc::fill(&mut directory, pages, false, pool)?;
    Ok(directory)
}

fn is_zero(directory: &PageBlocks) -> Result<bool> {
    let mut found = [1u8; 64];
    for page in directory.iter() {
        for offset in [0, 2000, PAGE_SIZE - 64] {
            page.read(offset, &mut found)?;
            if found != [0; 64] {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn scribble(directory: &mut PageBlocks) -> Result {
    for mut page in directory.iter_mut() {
        for offset in [0, 2000, PAGE_SIZE - 64] {
            page.write(offset, &[0xa5; 64])?;
        }
    }
    Ok(())
}

#[kunit_tests(reeve_tt_pool)]
mod tests {
    use super::*;

    #[test]
    fn mappings_have_the_caching_and_lose_it_again() -> Result {
        for kind in PageKind::ALL {
            // Many small blocks and a large one.
            for pages in [1, 7, 127, 512 + 3] {
                let directory = directory(pages, kind, None)?;
                expect!(directory.has_caching_applied() && directory.len() == pages);
                let plain = kind.caching == Caching::Cached || !cfg!(CONFIG_X86);
                expect!(directory
                    .iter()
                    .all(|page| (page.cache_bits() == 0) == plain));
            }
        }
        // Whatever pages we get now, some of them those, must be plain memory.
        let plain = directory(2048, PageKind::CACHED, None)?;
        expect!(plain.iter().all(|page| page.cache_bits() == 0));
        Ok(())
    }

    #[test]
    fn free_lists_give_back_the_last_first() -> Result {
        let mut lists = FreeLists::new();
        expect!(lists.pop(PageKind::CACHED, 1).is_none());
        let mut frames = [0; 3];
        for frame in &mut frames {
            let block = Block::allocate(1, false, false).ok_or(ENOMEM)?;
            *frame = block.first().addr().get();
            expect!(lists.push(block).is_ok());
        }
        let other = Block::allocate(0, false, false).ok_or(ENOMEM)?;
        expect!(lists.push(other).is_ok());
        if let Some(large) = Block::allocate(MAX_ORDER + 1, false, false) {
            expect!(lists.push(large).is_err());
        }
        expect!(lists.counts().pages() == 7);
        expect!(lists.pop(WC, 1).is_none() && lists.pop(PageKind::CACHED, 2).is_none());
        for frame in frames.iter().skip(1).rev() {
            let block = lists.pop(PageKind::CACHED, 1).ok_or(EINVAL)?;
            expect!(block.order() == 1 && block.pages() == 2);
            expect!(block.first().addr().get() == *frame);
        }
        expect!(lists.pop(PageKind::CACHED, 0).is_some());
        expect!(lists.counts().pages() == 2);
        // One is left, for the lists to free.
        Ok(())
    }

    #[test]
    fn directories_take_only_what_fits() -> Result {
        let mut directory = PageBlocks::new(WC);
        let block = |order, dma32| Block::allocate(order, dma32, false).ok_or(ENOMEM);
        directory.push(block(1, false)?)?;
        expect!(!directory.has_caching_applied());
        // Too large an order, and other memory.
        expect!(directory.push(block(2, false)?) == Err(EINVAL));
        expect!(directory.push(block(0, true)?) == Err(EINVAL));
        expect!(directory.len() == 2);
        let last = directory.pop().ok_or(EINVAL)?;
        expect!(last.kind() == PageKind::CACHED);
        expect!(directory.pop().is_none() && directory.has_caching_applied());
        Ok(())
    }

    #[test]
    fn what_is_kept_is_cleared_and_given_again() -> Result {
        with_pool(u64::MAX, |pool| {
            for kind in PageKind::ALL {
                let mut first = directory(37, kind, Some(pool))?;
                scribble(&mut first)?;
                alloc::give_back(&mut first, true, Some(pool));
                expect!(first.len() == 0);
                expect!(pool.kept() == 37);
                // All of it was of this node, unless that was short of memory.
                let second = directory(37, kind, Some(pool))?;
                expect!(pool.kept() == 0 || pool.nodes() > 1);
                expect!(is_zero(&second)? || pool.nodes() > 1);
                let plain = kind.caching == Caching::Cached || !cfg!(CONFIG_X86);
                expect!(second.iter().all(|page| (page.cache_bits() == 0) == plain));
                drop(second);
                pool.drain();
                expect!(pool.kept() == 0);
            }
            Ok(())
        })
    }

    #[test]
    fn plain_pages_that_were_not_cleared_are_not_kept() -> Result {
        with_pool(u64::MAX, |pool| {
            let mut plain = directory(5, PageKind::CACHED, Some(pool))?;
            alloc::give_back(&mut plain, false, Some(pool));
            expect!(pool.kept() == 0);
            let mut wc = directory(5, WC, Some(pool))?;
            alloc::give_back(&mut wc, false, Some(pool));
            expect!(pool.kept() == 5);
            Ok(())
        })
    }

    #[test]
    fn kept_and_fresh_pages_mix() -> Result {
        with_pool(u64::MAX, |pool| {
            let mut few = directory(3, WC, Some(pool))?;
            scribble(&mut few)?;
            alloc::give_back(&mut few, false, Some(pool));
            // 64 + 2 + 1: the two small blocks are at hand, the large one is not.
            let many = directory(67, WC, Some(pool))?;
            expect!(many.len() == 67 && many.has_caching_applied());
            expect!(pool.kept() == 0 || pool.nodes() > 1);
            Ok(())
        })
    }

    #[test]
    fn the_cap_holds_and_can_change() -> Result {
        with_pool(20, |pool| {
            let mut pages = directory(37, WC, Some(pool))?;
            alloc::give_back(&mut pages, false, Some(pool));
            // 32 + 4 + 1, last first; the large one does not fit.
            expect!(pool.kept() == 5);
            pool.set_cap(3);
            expect!(pool.kept() == 5);
            pool.trim();
            expect!(pool.kept() <= 3);
            pool.set_cap(0);
            pool.trim();
            expect!(pool.kept() == 0);
            Ok(())
        })
    }

    #[test]
    fn the_stock_is_by_node_kind_and_order() -> Result {
        with_pool(u64::MAX, |pool| {
            let mut pages = directory(6, WC, Some(pool))?;
            alloc::give_back(&mut pages, false, Some(pool));
            let on = |kind: PageKind, order| -> u64 {
                let kind = kind.index();
                (0..pool.nodes())
                    .map(|node| pool.free_counts(node).blocks(FreeListId { kind, order }))
                    .sum()
            };
            expect!(on(WC, 2) == 1 && on(WC, 1) == 1 && on(WC, 0) == 0);
            expect!(on(PageKind::CACHED, 2) == 0);
            expect!(
                (0..pool.nodes())
                    .map(|node| pool.free_counts(node).pages())
                    .sum::<u64>()
                    == 6
            );
            Ok(())
        })
    }

    #[test]
    fn the_shrinker_counts_and_scans_by_node() -> Result {
        with_pool(u64::MAX, |pool| {
            let allowed = Allowed {
                fs: false,
                io: false,
            };
            expect!(pool.count(local_node(), None) == 0);
            expect!(pool.scan(local_node(), None, 100, allowed) == 0);
            expect!(pool.scan(usize::MAX, None, 100, allowed) == 0);
            let mut pages = directory(37, WC, Some(pool))?;
            alloc::give_back(&mut pages, false, Some(pool));
            let counted: u64 = (0..pool.nodes()).map(|node| pool.count(node, None)).sum();
            expect!(counted == 37);
            // At least what is asked for, and not all at once.
            let node = (0..pool.nodes())
                .find(|&n| pool.count(n, None) >= 5)
                .ok_or(EINVAL)?;
            let before = pool.kept();
            let freed = pool.scan(node, None, 5, allowed);
            expect!(freed == 5);
            expect!(pool.kept() == before - freed);
            expect!(shrinker::scan_pool(pool) == 32);
            expect!(shrinker::scan_pool(pool) == 0);
            Ok(())
        })
    }

    #[test]
    fn an_allocation_of_a_file_system_gets_nothing() -> Result {
        Bench::run(1, |bench| {
            let scan = |fs| bench.manager.scan(0, None, 512, Allowed { fs, io: true });
            let flags = BoFlags::of(BoType::Device, false)
                .of_kind(WC)
                .ok_or(EINVAL)?;
            let bo = bench.object_with(BoType::Device, 37, flags)?;
            bo.reserve().populate(&*bench.manager)?;
            bo.reserve().unpopulate()?;
            expect!(scan(false) == 0);
            expect!(bench.manager.pool().kept() == 37);
            expect!(scan(true) == 37);
            expect!(bench.manager.pool().kept() == 0);
            Ok(())
        })
    }

    #[test]
    fn objects_of_every_kind_keep_their_content() -> Result {
        Bench::run(1, |bench| {
            for (seed, kind) in (0u8..).zip(PageKind::ALL) {
                let flags = BoFlags::of(BoType::Device, false)
                    .of_kind(kind)
                    .ok_or(EINVAL)?;
                let bo = bench.object_with(BoType::Device, 37, flags)?;
                fill(&bo, seed, &*bench.manager)?;
                let dma32 = if kind.dma32 { 37 } else { 0 };
                expect!(bench.manager.accounting().counted().dma32 == dma32);
                expect!(bo.reserve().info().kind == kind);
                expect!(bo.reserve().swap_out()? == 37);
                expect!(bench.manager.accounting().counted().dma32 == 0);
                expect!(is_filled(&bo, seed, &*bench.manager)?);
                bo.reserve().unpopulate()?;
                expect!(bench.manager.pool().kept() == 37);
                expect!(bench.evict_one()? == 0);
                // Even with no object to evict, the pool was drained.
                expect!(bench.manager.pool().kept() == 0);
            }
            Ok(())
        })
    }
}
