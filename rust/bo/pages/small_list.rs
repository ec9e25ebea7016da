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
/// Its entries are the first `len` of `entries`, which has no others on the heap.
pub(crate) struct SmallList<T: Copy> {
    len: usize,
    entries: Entries<T>,
}

/// Where entries are.
enum Entries<T: Copy> {
    InPlace([T; INLINE]),
    OnHeap(KVVec<T>),
}

impl<T: Copy> SmallList<T> {
    /// Makes an empty list; `filler` is what unused entries are.
    #[inline]
    pub(crate) const fn new(filler: T) -> Self {
        // INVARIANT: There are no entries.
        Self {
            len: 0,
            entries: Entries::InPlace([filler; INLINE]),
        }
    }

    /// Returns the number of entries.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the entries.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        match &self.entries {
            Entries::InPlace(entries) => entries.get(..self.len).unwrap_or_default(),
            Entries::OnHeap(entries) => entries,
        }
    }

    /// Returns the bytes that it takes on the heap.
    #[cfg(any(reeve_bench, reeve_kunit))]
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.entries {
            Entries::InPlace(_) => 0,
            Entries::OnHeap(entries) => entries.capacity() * core::mem::size_of::<T>(),
        }
    }

    /// Appends an entry.
    ///
    /// Returns `ENOMEM` if there is no memory; nothing has changed then. May sleep.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: T) -> Result {
        match &mut self.entries {
            Entries::InPlace(entries) if self.len < INLINE => {
                if let Some(free) = entries.get_mut(self.len) {
                    *free = entry;
                }
            }
            _ => self.push_to_heap(entry)?,
        }
        // INVARIANT: There is one more. All of them are in memory, so their number fits.
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    /// Appends an entry to those on the heap, to which all others move first.
    #[inline(never)]
    fn push_to_heap(&mut self, entry: T) -> Result {
        match &mut self.entries {
            Entries::OnHeap(entries) => entries.push(entry, user_sized::flags())?,
            Entries::InPlace(entries) => {
                let mut heap = KVVec::with_capacity(4 * INLINE, GFP_KERNEL_ACCOUNT)?;
                heap.extend_from_slice(entries, GFP_KERNEL_ACCOUNT)?;
                heap.push(entry, GFP_KERNEL_ACCOUNT)?;
                self.entries = Entries::OnHeap(heap);
            }
        }
        Ok(())
    }

    /// Removes the last entry and returns it. Memory on the heap stays until the list is dropped.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let entry = match &mut self.entries {
            Entries::InPlace(entries) => *entries.get(last)?,
            Entries::OnHeap(entries) => Self::pop_from_heap(entries)?,
        };
        // INVARIANT: There is one less.
        self.len = last;
        Some(entry)
    }

    /// Not inlined, so that lists without memory on the heap look at none of its fields.
    #[inline(never)]
    fn pop_from_heap(entries: &mut KVVec<T>) -> Option<T> {
        entries.pop()
    }
}
