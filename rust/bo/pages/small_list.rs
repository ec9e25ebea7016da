// SPDX-License-Identifier: GPL-2.0

//! A list that keeps its first few entries in place.
//!
//! Most TTs have few blocks; for them this saves a heap allocation each time they are populated.

use crate::abstractions::user_sized;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*, //
};

/// How many entries are kept in place.
const INLINE: usize = 4;

/// A list of small values.
///
/// # Invariants
///
/// Without `heap` the first `len` entries of `inline` are the list; otherwise `len` is 0 and `heap`
/// is the list.
pub(crate) struct SmallList<T: Copy> {
    inline: [T; INLINE],
    len: usize,
    /// Not just empty: dropping that is a call.
    heap: Option<KVVec<T>>,
}

impl<T: Copy> SmallList<T> {
    /// Makes an empty list; `filler` is what unused entries are.
    #[inline]
    pub(crate) const fn new(filler: T) -> Self {
        Self {
            inline: [filler; INLINE],
            len: 0,
            heap: None,
        }
    }

    /// Returns the entries.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        match &self.heap {
            None => self.inline.get(..self.len).unwrap_or_default(),
            Some(heap) => heap,
        }
    }

    /// Returns the bytes that it takes on the heap.
    #[cfg(any(reeve_bench, reeve_kunit))]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap.as_ref().map_or(0, |heap| heap.capacity()) * core::mem::size_of::<T>()
    }

    /// Makes room for one more entry and returns it.
    ///
    /// Returns `ENOMEM` if there is no memory; nothing has changed then. May sleep.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Result<Slot<'_, T>> {
        match &self.heap {
            None if self.len < INLINE => {}
            Some(heap) if heap.len() < heap.capacity() => {}
            _ => self.grow()?,
        }
        Ok(Slot(self))
    }

    /// Makes room for one more entry on the heap, to which all others move.
    #[cold]
    fn grow(&mut self) -> Result {
        match &mut self.heap {
            Some(heap) => heap.reserve(1, user_sized::flags())?,
            None => {
                let mut heap = KVVec::with_capacity(4 * INLINE, GFP_KERNEL_ACCOUNT)?;
                heap.extend_from_slice(&self.inline, GFP_KERNEL_ACCOUNT)?;
                // INVARIANT: All entries moved there.
                self.heap = Some(heap);
                self.len = 0;
            }
        }
        Ok(())
    }

    /// Removes the last entry and returns it. Memory on the heap stays until the list is dropped.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if let Some(heap) = &mut self.heap {
            return heap.pop();
        }
        self.len = self.len.checked_sub(1)?;
        self.inline.get(self.len).copied()
    }
}

/// Room for one entry at the end of a list.
#[must_use]
pub(crate) struct Slot<'a, T: Copy>(&'a mut SmallList<T>);

impl<T: Copy> Slot<'_, T> {
    /// Puts the entry in the slot.
    #[inline(always)]
    pub(crate) fn fill(self, entry: T) {
        let list = self.0;
        match &mut list.heap {
            // `reserve` has made room.
            Some(heap) => {
                let _ = heap.push_within_capacity(entry);
            }
            None => {
                if let Some(free) = list.inline.get_mut(list.len) {
                    *free = entry;
                    list.len += 1;
                }
            }
        }
    }
}
