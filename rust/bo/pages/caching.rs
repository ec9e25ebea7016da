// SPDX-License-Identifier: GPL-2.0

//! How the kernel's own mapping of pages is cached.
//!
//! On x86 all mappings of a page must agree, and changing one makes every CPU flush its caches; so
//! pages are collected and changed many at a time. On other architectures there is nothing to do.
//!
//! C header: [`include/asm-generic/set_memory.h`](srctree/include/asm-generic/set_memory.h)

use crate::{
    abstractions::bindings as helpers,
    bo::rules::page_kind::Caching, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// How many pages are changed at once, at most.
pub(crate) const BATCH: usize = 512;

/// Collects pages whose caching is to change.
pub(crate) struct Batch {
    pages: KVec<*mut bindings::page>,
}

impl Batch {
    /// Makes a batch with room for `pages` pages, or for [`BATCH`] if that is less.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(pages: u64) -> Result<Self> {
        let room = usize::try_from(pages).unwrap_or(BATCH).min(BATCH);
        Ok(Self {
            pages: KVec::with_capacity(room, GFP_KERNEL)?,
        })
    }

    /// Gives the pages of these blocks, which are given as first page and order and are cached, the
    /// caching `caching`.
    ///
    /// Returns `ENOMEM` if there is no memory; all pages are cached then. May sleep.
    ///
    /// # Safety
    ///
    /// The blocks must be valid, of these orders, and owned by the caller, and nothing may access
    /// them during the call.
    pub(crate) unsafe fn change(
        &mut self,
        blocks: impl Iterator<Item = (NonNull<bindings::page>, u32)> + Clone,
        caching: Caching,
    ) -> Result {
        let number = match caching {
            Caching::Cached => return Ok(()),
            Caching::WriteCombined => helpers::REEVE_CACHING_WRITE_COMBINED,
            Caching::Uncached => helpers::REEVE_CACHING_UNCACHED,
        };
        for (first, order) in blocks.clone() {
            for i in 0..1usize << order {
                // SAFETY: By the contract the block has `2^order` pages; their `struct page`s lie
                // side by side, and `i` is less than that.
                let page = unsafe { first.as_ptr().add(i) };
                if self.pages.push_within_capacity(page).is_ok() {
                    continue;
                }
                let changed = self.apply(number);
                if changed.is_err() || self.pages.push_within_capacity(page).is_err() {
                    return Self::undo(changed, blocks);
                }
            }
        }
        let changed = self.apply(number);
        Self::undo(changed, blocks)
    }

    /// Changes the pages that were collected, and forgets them.
    fn apply(&mut self, number: u32) -> Result {
        let count = self.pages.len() as i32;
        if count == 0 {
            return Ok(());
        }
        // SAFETY: The helper wants an array of `count` valid pages that nothing accesses. The pages
        // in it were all put there by `change` since the last call, so its contract says that of
        // them.
        let result = to_result(unsafe {
            helpers::reeve_helper_set_pages_array(self.pages.as_mut_ptr(), count, number)
        });
        self.pages.clear();
        // The architecture fails only for lack of memory, for page tables or to note the memory
        // types, but not always with this errno.
        result.map_err(|_| ENOMEM)
    }

    /// Makes all pages cached again if changing them failed, for some may have been changed.
    /// Returns `changed`.
    fn undo(
        changed: Result,
        blocks: impl Iterator<Item = (NonNull<bindings::page>, u32)>,
    ) -> Result {
        if changed.is_err() {
            blocks.for_each(|(first, order)| make_cached(first, order));
        }
        changed
    }
}

/// Makes the pages of a block, which the caller owns, cached again.
///
/// Never fails, because it needs no memory: the kernel's mapping of these pages was split into
/// small pages when they became something else. May sleep.
pub(super) fn make_cached(first: NonNull<bindings::page>, order: u32) {
    make_all_cached(first, 1 << order);
}

/// Makes `count` pages side by side, which the caller owns, cached again, like [`make_cached`].
pub(super) fn make_all_cached(first: NonNull<bindings::page>, count: i32) {
    // SAFETY: The helper wants `count` valid pages side by side, which callers, all of them in this
    // folder, own. Cached is how the kernel has any page mapped by default, so no other use of the
    // pages can break by it.
    unsafe { helpers::reeve_helper_set_pages_wb(first.as_ptr(), count) };
}
