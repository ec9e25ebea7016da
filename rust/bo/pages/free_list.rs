// SPDX-License-Identifier: GPL-2.0

//! A stack of blocks that needs no memory: each block's first page says which is below.

use super::block::Block;
use crate::{
    abstractions::bindings as shim,
    bo::rules::page_kind::PageKind, //
};
use core::ptr::NonNull;
use kernel::bindings;

/// Blocks of one kind and order, the last in first out. Dropping it frees them.
///
/// # Invariants
///
/// `top` is null or a block of order `order` and kind `kind` that the stack owns, and so is what
/// its private field holds, and so on.
pub(crate) struct BlockStack {
    top: *mut bindings::page,
    order: u32,
    kind: PageKind,
}

// SAFETY: Pages can be used and freed by any task.
unsafe impl Send for BlockStack {}

impl BlockStack {
    /// Makes an empty stack.
    pub(crate) const fn new(order: u32, kind: PageKind) -> Self {
        // INVARIANT: Nothing in it.
        Self {
            top: core::ptr::null_mut(),
            order,
            kind,
        }
    }

    /// Puts a block on top. One of another kind or order comes back. Any context.
    #[inline]
    pub(crate) fn push(&mut self, block: Block) -> Result<(), Block> {
        if block.order() != self.order || block.kind() != self.kind {
            return Err(block);
        }
        let first = block.into_raw().as_ptr();
        // SAFETY: The page is ours, and its private field is its owner's.
        unsafe { shim::reeve_shim_set_page_private(first, self.top as usize) };
        // INVARIANT: The block was owned by our caller, fits, and leads to the rest.
        self.top = first;
        Ok(())
    }

    /// Takes the top block, if there is one. Any context.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Block> {
        let first = NonNull::new(self.top)?;
        // SAFETY: By the type invariant the page is ours; `push` set its private field.
        unsafe {
            // INVARIANT: What is below the top is the rest of the stack.
            self.top = shim::reeve_shim_page_private(first.as_ptr()) as *mut bindings::page;
            shim::reeve_shim_set_page_private(first.as_ptr(), 0);
        }
        // SAFETY: By the type invariant it is of this order and kind, and the stack owned it.
        Some(unsafe { Block::from_raw(first, self.order, self.kind) })
    }
}

impl Drop for BlockStack {
    fn drop(&mut self) {
        while let Some(block) = self.pop() {
            drop(block);
        }
    }
}
