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
/// While `heap` is empty the first `len` entries of `inline` are the list; afterwards `heap` is.
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

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Bytes it takes on the heap.
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
        }
        self.heap.reserve(1, GFP_KERNEL)?;
        Ok(Slot(self))
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
