// SPDX-License-Identifier: GPL-2.0

//! Allocates a TT's pages and frees them.
//!
//! C original: `ttm_pool_alloc()` and `ttm_pool_free()`.
#![deny(unsafe_code)]

use super::Pool;
use crate::{
    abstractions::{
        memcg::Memcg,
        task::EndedBy, //
    },
    bo::{
        pages::{
            block::Block,
            caching::Batch,
            PageBlocks, //
        },
        rules::{
            page_kind::{
                Caching,
                PageKind, //
            },
            page_runs::{
                self,
                MAX_ORDER, //
            },
            pool as rules, //
        }, //
    }, //
};
use kernel::prelude::*;

/// Does what [`fill_until`] does until a fatal signal arrives.
#[cfg(any(reeve_kunit, reeve_bench))]
pub(crate) fn fill(
    pages: &mut PageBlocks,
    missing: u64,
    clear: bool,
    pool: Option<&Pool>,
) -> Result {
    fill_until(pages, missing, clear, pool, EndedBy::Fatal)
}

/// Adds `missing` pages to `pages`, cleared if `clear`; otherwise they may show what was in them last.
///
/// Pages that are charged to a memory cgroup come from the system, since pages of the pool can't be
/// charged. Otherwise, of each order, the largest first, the pool's blocks are taken first and then
/// the system's. The caching is applied to what comes from the system, many pages at a time.
///
/// Returns `ENOMEM` if there is not that much memory, `EINTR` if a signal arrived that ends the wait. In both cases
/// `pages` is as it was. May sleep; reclaim may run, so hold no lock that it waits for.
#[inline(always)]
pub(crate) fn fill_until(
    pages: &mut PageBlocks,
    missing: u64,
    clear: bool,
    pool: Option<&Pool>,
    ended_by: EndedBy,
) -> Result {
    // A second path, because `make bench` shows that the loop over blocks makes a populate of one
    // cleared page (`tt.populate.1`) 12 % more expensive: 1208 instructions instead of 1080.
    if let Some(order) = order_of_whole(pages, missing, pool) {
        match Block::allocate_for(order, pages.kind().dma32, clear, false) {
            Some(block) => return pages.push(block),
            None if order == 0 => return Err(ENOMEM),
            None => {}
        }
    }
    fill_in_parts(pages, missing, clear, pool, ended_by)
}

/// Returns the order of a block that is all the missing pages, if the system can provide it as it is.
#[inline]
fn order_of_whole(pages: &PageBlocks, missing: u64, pool: Option<&Pool>) -> Option<u32> {
    let kind = pages.kind();
    if kind.caching != Caching::Cached
        || pages.last_order().is_some()
        || Memcg::of_current().is_some()
    {
        return None;
    }
    match pool {
        Some(pool) if pool.has(kind) => None,
        _ => page_runs::one_block(missing),
    }
}

/// Adds the pages block by block.
#[inline(never)]
fn fill_in_parts(
    pages: &mut PageBlocks,
    missing: u64,
    clear: bool,
    pool: Option<&Pool>,
    ended_by: EndedBy,
) -> Result {
    let before = pages.blocks();
    let result = add(pages, missing, clear, pool, ended_by);
    if result.is_err() {
        take_back(pages, before);
    }
    result
}

/// Gives blocks back to the system until only `blocks` are left.
pub(in crate::bo) fn take_back(pages: &mut PageBlocks, blocks: usize) {
    while pages.blocks() > blocks {
        drop(pages.pop());
    }
}

#[inline]
fn add(
    pages: &mut PageBlocks,
    mut missing: u64,
    clear: bool,
    pool: Option<&Pool>,
    ended_by: EndedBy,
) -> Result {
    let kind = pages.kind();
    let charged = Memcg::of_current().is_some();
    let pool = pool.filter(|_| !charged);
    let mut fresh = Fresh {
        kind,
        clear,
        charged,
        batch: None,
        pending: 0,
    };
    let mut order = pages.last_order().unwrap_or(MAX_ORDER);
    let mut first = true;

    while missing != 0 {
        if !core::mem::take(&mut first) {
            ended_by.cond_resched()?;
        }
        order = page_runs::order_for(missing, order);
        let block = match pool.and_then(|pool| pool.take(kind, order)) {
            Some(kept) => {
                fresh.apply_caching_from(1, pages)?;
                kept
            }
            None => match fresh.allocate(order, missing)? {
                Some(block) => block,
                None => {
                    order = order.checked_sub(1).ok_or(ENOMEM)?;
                    continue;
                }
            },
        };
        missing -= block.pages();
        pages.push(block)?;
        fresh.apply_caching_from(PageBlocks::CACHING_BATCH, pages)?;
    }
    fresh.apply_caching_from(1, pages)
}

/// Blocks that come from the system while pages are added.
struct Fresh {
    kind: PageKind,
    clear: bool,
    charged: bool,
    /// Made with the first block whose caching is to change.
    batch: Option<Batch>,
    /// How many pages wait for their caching.
    pending: u64,
}

impl Fresh {
    /// Allocates a block, of `missing` pages that are still to come. Returns `None` if the system has none
    /// of this order.
    #[inline(always)]
    fn allocate(&mut self, order: u32, missing: u64) -> Result<Option<Block>> {
        let block = Block::allocate_for(order, self.kind.dma32, self.clear, self.charged);
        if block.is_some() && self.kind.caching != Caching::Cached {
            self.collect(1 << order, missing)?;
        }
        Ok(block)
    }

    /// Has the caching of `pages` more pages change later. Not inlined, to prepare nothing for it where
    /// the pool has all blocks.
    #[inline(never)]
    fn collect(&mut self, pages: u64, missing: u64) -> Result {
        if self.batch.is_none() {
            self.batch = Some(Batch::new(missing)?);
        }
        self.pending += pages;
        Ok(())
    }

    /// Applies the caching to the pages that wait for it, if they are as many as `enough`.
    #[inline(always)]
    fn apply_caching_from(&mut self, enough: u64, pages: &mut PageBlocks) -> Result {
        if self.pending < enough {
            return Ok(());
        }
        self.apply_caching(pages)
    }

    #[inline(never)]
    fn apply_caching(&mut self, pages: &mut PageBlocks) -> Result {
        self.pending = 0;
        match &mut self.batch {
            Some(batch) => pages.apply_caching(batch),
            None => Ok(()),
        }
    }
}

/// Frees all pages: to the pool what is worth keeping there and not charged to a memory cgroup, the rest
/// to the system. `cleared`: the owner got them cleared. May sleep.
#[inline]
pub(crate) fn give_back(pages: &mut PageBlocks, cleared: bool, pool: Option<&Pool>) {
    match pool {
        Some(pool) if rules::worth_keeping(pages.kind(), cleared) && !pages.is_charged() => {
            keep(pages, pool);
        }
        _ => pages.release(),
    }
}

/// Gives all blocks to the pool. Not inlined, to save no registers where nothing is kept.
#[inline(never)]
fn keep(pages: &mut PageBlocks, pool: &Pool) {
    pages.release_to(|block| pool.keep(block));
}
