// SPDX-License-Identifier: GPL-2.0

//! How content comes back from swap storage or a backup.
#![deny(unsafe_code)]

use super::dma;
use crate::{
    abstractions::{
        dma::DmaDevice,
        mistake,
        shmem::Slot,
        task::EndedBy, //
    },
    bo::{
        pages::{
            block::Partial,
            PageBlocks, //
        },
        pool::{
            alloc,
            Pool, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Adds the pages that are missing to `num_pages`, with their content from `storage`. When it fails
/// the pages are as they were.
#[inline(never)]
pub(super) fn swap_in(
    pages: &mut PageBlocks,
    num_pages: u64,
    storage: &Slot,
    pool: Option<&Pool>,
    (dma, decrypted): (Option<&Arc<DmaDevice>>, bool),
    ended_by: EndedBy,
) -> Result {
    let partial = pages.take_partial();
    let before = pages.blocks();
    let missing = num_pages - pages.len();
    // Every page is overwritten: no need to clear any.
    let mut result = alloc::fill_until(pages, missing, false, pool, ended_by);
    if decrypted && result.is_ok() {
        result = pages.decrypt();
        if result.is_err() {
            alloc::take_back(pages, before);
        }
    }
    if result.is_ok() {
        result = read_back(pages, before, partial.as_ref(), storage, ended_by);
        if result.is_err() {
            alloc::take_back(pages, before);
        } else if let Some(dma) = dma {
            // Now that the content is there: mapping shows it to the device.
            result = dma::map_or_take_back(pages, dma, before);
        }
    }
    if result.is_err() {
        pages.put_partial(partial);
    }
    result
}

/// Fills the blocks from the `from`-th on: the first pages with what is left of a partial block, the
/// others from `storage`.
///
/// C original: `ttm_tt_swapin()`.
fn read_back(
    pages: &mut PageBlocks,
    from: usize,
    partial: Option<&Partial>,
    storage: &Slot,
    ended_by: EndedBy,
) -> Result {
    let mut begin = None;
    pages.runs_mut(from).try_for_each(|(index, run)| {
        let offset = match begin {
            None => 0,
            Some(begin) => {
                ended_by.cond_resched()?;
                index - begin
            }
        };
        begin.get_or_insert(index);
        let Some(partial) = partial else {
            return storage.read(index, run);
        };
        let (first, rest) = run.split(partial.len().saturating_sub(offset));
        let index = index + first.len();
        if first.len() != 0 {
            partial.copy_to(offset, first)?;
        }
        if rest.len() != 0 {
            storage.read(index, rest)?;
        }
        Ok(())
    })?;
    if mistake::is_made(c"content") {
        corrupt_one_byte(pages)?;
    }
    Ok(())
}

/// Corrupts content in a build that is made to fail: the tests must notice.
#[cold]
fn corrupt_one_byte(pages: &mut PageBlocks) -> Result {
    let mut byte = [0];
    pages.page(0).ok_or(EINVAL)?.read(0, &mut byte)?;
    pages.page_mut(0).ok_or(EINVAL)?.write(0, &byte.map(|b| !b))
}
