// SPDX-License-Identifier: GPL-2.0

//! A free list of blocks that needs no memory of its own: each block's first page leads to the
//! next.

use super::block::Block;
use crate::{
    abstractions::bindings as helpers,
    bo::rules::page_kind::PageKind, //
};
use core::ptr::NonNull;
use kernel::bindings;

/// Free blocks of one kind and order; the last one in is the first one out. Dropping it frees them.
///
/// # Invariants
///
/// `top` is null or the first page of a block of order `order` and kind `kind` that came from
/// [`Block::into_raw`] and that the list owns; and so is what that page's private field holds, and
/// so on.
pub(crate) struct BlockStack {
    top: *mut bindings::page,
    order: u32,
    kind: PageKind,
}

// SAFETY: A page belongs to no task: any task may use and free it.
unsafe impl Send for BlockStack {}

impl BlockStack {
    /// Makes an empty list.
    pub(crate) const fn new(order: u32, kind: PageKind) -> Self {
        // INVARIANT: `top` is null.
        Self {
            top: core::ptr::null_mut(),
            order,
            kind,
        }
    }

    /// Adds a block. Returns it if it is of another kind or order. Any context.
    #[inline]
    pub(crate) fn push(&mut self, block: Block) -> Result<(), Block> {
        if block.order() != self.order || block.kind() != self.kind {
            return Err(block);
        }
        block.count_reclaimable(true);
        let first = block.into_raw().as_ptr();
        // SAFETY: The helper writes the private field of a valid page that the caller owns, which
        // is for the owner to use; ownership came to us by `into_raw`.
        unsafe { helpers::reeve_helper_set_page_private(first, self.top as usize) };
        // INVARIANT: The block is ours now, of this order and kind, and its private field leads to
        // what was the list.
        self.top = first;
        Ok(())
    }

    /// Removes the block that was added last and returns it, if there is one. Any context.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Block> {
        let first = NonNull::new(self.top)?;
        // SAFETY: The helpers read and write the private field of a valid page that the caller
        // owns: by the type invariant `top` is the first page of a block of ours.
        unsafe {
            // INVARIANT: By the type invariant the field holds the rest of the list.
            self.top = helpers::reeve_helper_page_private(first.as_ptr()) as *mut bindings::page;
            helpers::reeve_helper_set_page_private(first.as_ptr(), 0);
        }
        // SAFETY: By the type invariant it came from `Block::into_raw` of a block of this order and
        // kind that only the list owned, and the list has just lost it.
        let block = unsafe { Block::from_raw(first, self.order, self.kind) };
        block.count_reclaimable(false);
        Some(block)
    }
}

impl Drop for BlockStack {
    fn drop(&mut self) {
        while let Some(block) = self.pop() {
            drop(block);
        }
    }
}
