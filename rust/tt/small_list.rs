// SPDX-License-Identifier: GPL-2.0

//! A list that keeps its first few entries in place.
//!
//! Most TTs have few blocks; for them this saves a heap allocation each time they are populated.

use kernel::prelude::*;

/// Entries kept in place.
const INLINE: usize = 4;

/// A list of small values.
///
/// # Invariants
///
/// While `heap` is empty the first `len` entries of `inline` are the list; otherwise `len` is 0 and
/// `heap` is the list.
pub(crate) struct SmallList<T: Copy> {
    inline: [T; INLINE],
    len: usize,
    heap: KVVec<T>,
}

impl<T: Copy> SmallList<T> {
    /// Makes an empty list; `filler` is what unused entries are.
    #[inline]
    pub(crate) const fn new(filler: T) -> Self {
        Self {
            inline: [filler; INLINE],
            len: 0,
            heap: KVVec::new(),
        }
    }

    /// The entries.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        if self.heap.is_empty() {
            self.inline.get(..self.len).unwrap_or_default()
        } else {
            &self.heap
        }
    }

    /// Bytes it takes on the heap.
    #[cfg(any(reeve_bench, reeve_kunit))]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap.capacity() * core::mem::size_of::<T>()
    }

    /// Makes room for one more entry.
    ///
    /// `ENOMEM`: no memory, nothing changed. May sleep.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Result<Slot<'_, T>> {
        if self.heap.is_empty() {
            if self.len < INLINE {
                return Ok(Slot(self));
            }
            let mut heap = KVVec::with_capacity(4 * INLINE, GFP_KERNEL)?;
            heap.extend_from_slice(&self.inline, GFP_KERNEL)?;
            self.heap = heap;
            self.len = 0;
        }
        self.heap.reserve(1, GFP_KERNEL)?;
        Ok(Slot(self))
    }
}

impl<T: Copy> SmallList<T> {
    /// Takes the last entry off. Memory on the heap stays until the list is dropped.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if let Some(entry) = self.heap.pop() {
            return Some(entry);
        }
        self.len = self.len.checked_sub(1)?;
        self.inline.get(self.len).copied()
    }
}

/// Room for one entry at the end of a list.
#[must_use]
pub(crate) struct Slot<'a, T: Copy>(&'a mut SmallList<T>);

impl<T: Copy> Slot<'_, T> {
    /// Puts the entry there.
    #[inline]
    pub(crate) fn fill(self, entry: T) {
        let list = self.0;
        if list.heap.is_empty() {
            if let Some(free) = list.inline.get_mut(list.len) {
                *free = entry;
                list.len += 1;
            }
        } else {
            // There is room: `reserve` saw to it.
            let _ = list.heap.push_within_capacity(entry);
        }
    }
}
