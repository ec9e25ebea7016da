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
            page_kind::Caching,
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
    // cleared page (`tt.populate.1`) 11 % more expensive: 1266 instructions instead of 1143.
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
    // Made when the first block comes from the system.
    let mut batch = None;
    let charged = Memcg::of_current().is_some();
    let pool = pool.filter(|_| !charged);
    let mut order = pages.last_order().unwrap_or(MAX_ORDER);
    let mut pending = 0;
    let mut first = true;

    while missing != 0 {
        if !core::mem::take(&mut first) {
            ended_by.cond_resched()?;
        }
        order = page_runs::order_for(missing, order);
        let block = match pool.and_then(|pool| pool.take(kind, order)) {
            Some(kept) => {
                if pending != 0 {
                    apply_caching(pages, &mut batch)?;
                    pending = 0;
                }
                kept
            }
            None => match Block::allocate_for(order, kind.dma32, clear, charged) {
                Some(fresh) => {
                    if kind.caching != Caching::Cached && batch.is_none() {
                        batch = Some(Batch::new(missing)?);
                    }
                    pending += fresh.pages();
                    fresh
                }
                None => {
                    order = order.checked_sub(1).ok_or(ENOMEM)?;
                    continue;
                }
            },
        };
        missing -= block.pages();
        pages.push(block)?;
        if pending >= PageBlocks::CACHING_BATCH {
            apply_caching(pages, &mut batch)?;
            pending = 0;
        }
    }
    apply_caching(pages, &mut batch)
}

fn apply_caching(pages: &mut PageBlocks, batch: &mut Option<Batch>) -> Result {
    match batch {
        Some(batch) if !pages.has_caching_applied() => pages.apply_caching(batch),
        _ => Ok(()),
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
