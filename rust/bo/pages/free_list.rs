// SPDX-License-Identifier: GPL-2.0

//! Free lists of blocks that need no memory of their own: each block's first page leads to the next.

use super::block::Block;
use crate::{
    abstractions::bindings as helpers,
    bo::rules::{
        page_kind::PageKind,
        page_runs::ORDERS,
        pool::{
            FreeCounts,
            FreeListId,
            KINDS, //
        }, //
    }, //
};
use core::ptr::NonNull;
use kernel::bindings;

/// Free blocks, in a list for each kind and order; the last one in is the first one out. Dropping it
/// frees them.
///
/// # Invariants
///
/// Each of `tops` is null or the first page of a block that came from [`Block::into_raw`] and that the
/// list owns; and so is what that page's private field holds, and so on. Those of one list are of the
/// kind whose [`PageKind::index`] is the list's first index, and of the order that is its second.
pub(crate) struct FreeLists {
    tops: [[*mut bindings::page; ORDERS]; KINDS],
    counts: FreeCounts,
}

// SAFETY: A page belongs to no task: any task may use and free it.
unsafe impl Send for FreeLists {}

impl FreeLists {
    /// Makes empty lists.
    pub(crate) const fn new() -> Self {
        // INVARIANT: All are null.
        Self {
            tops: [[core::ptr::null_mut(); ORDERS]; KINDS],
            counts: FreeCounts::new(),
        }
    }

    /// Returns how many blocks there are.
    pub(crate) fn counts(&self) -> FreeCounts {
        self.counts
    }

    #[inline]
    fn id(kind: PageKind, order: u32) -> FreeListId {
        FreeListId {
            kind: kind.index(),
            order: order as usize,
        }
    }

    #[inline]
    fn top(&mut self, id: FreeListId) -> Option<&mut *mut bindings::page> {
        self.tops.get_mut(id.kind)?.get_mut(id.order)
    }

    /// Adds a block. Returns it if there is no list for blocks of its order. Any context.
    #[inline]
    pub(crate) fn push(&mut self, block: Block) -> Result<(), Block> {
        let id = Self::id(block.kind(), block.order());
        let Some(top) = self.top(id) else {
            return Err(block);
        };
        block.count_reclaimable(true);
        let first = block.into_raw().as_ptr();
        // SAFETY: The helper writes the private field of a valid page that the caller owns, which
        // is for the owner to use; ownership came to us by `into_raw`.
        unsafe { helpers::reeve_helper_set_page_private(first, *top as usize) };
        // INVARIANT: The block is ours now, of the kind and order of this list, and its private field
        // leads to what was the list.
        *top = first;
        self.counts.add(id);
        Ok(())
    }

    /// Removes the block of this kind and order that was added last and returns it, if there is one. Any
    /// context.
    #[inline(always)]
    pub(crate) fn pop(&mut self, kind: PageKind, order: u32) -> Option<Block> {
        let id = Self::id(kind, order);
        let top = self.top(id)?;
        let first = NonNull::new(*top)?;
        // SAFETY: The helpers read and write the private field of a valid page that the caller
        // owns: by the type invariant `top` is the first page of a block of ours.
        unsafe {
            // INVARIANT: By the type invariant the field holds the rest of the list.
            *top = helpers::reeve_helper_page_private(first.as_ptr()) as *mut bindings::page;
            helpers::reeve_helper_set_page_private(first.as_ptr(), 0);
        }
        self.counts.remove(id);
        // SAFETY: By the type invariant it came from `Block::into_raw` of a block that only the list
        // owned, which has just lost it, and it is of this kind and order, whose list it was in.
        let block = unsafe { Block::from_raw(first, order, kind) };
        block.count_reclaimable(false);
        Some(block)
    }

    /// Removes a block with which to give about `want` pages back to the system.
    pub(crate) fn pop_victim(&mut self, want: u64) -> Option<Block> {
        let id = self.counts.victim(want)?;
        self.pop(*PageKind::ALL.get(id.kind)?, id.order as u32)
    }
}

impl Drop for FreeLists {
    fn drop(&mut self) {
        while let Some(block) = self.pop_victim(u64::MAX) {
            drop(block);
        }
    }
}
