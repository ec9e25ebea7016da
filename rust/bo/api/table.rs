// SPDX-License-Identifier: GPL-2.0

//! Handles: numbers by which drivers name what the module has for them.
//!
//! A number is never used again, and nothing is read or written at it, so a stale or wrong one is found
//! out, and does no harm.
#![deny(unsafe_code)]

use crate::lock_order::{
    classes::DriverHandles,
    typed::SpinLock, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::Arc, //
};

/// What handles of one kind name. `KIND`, below [`KINDS`], is the lowest digit of them, so that no handle
/// is of two kinds.
#[pin_data]
pub(super) struct Table<T, const KIND: u64> {
    #[pin]
    entries: SpinLock<Entries<T>, DriverHandles>,
}

/// How many kinds of handles there may be.
const KINDS: u64 = 4;

struct Entries<T> {
    by_handle: RBTree<u64, Entry<T>>,
    /// The handles that were given out.
    given: u64,
}

struct Entry<T> {
    value: Arc<T>,
    /// References of the driver.
    references: u64,
    /// References of locks, which only unlocking drops: also one put too many leaves what is locked.
    locks: u64,
}

/// What is left after a reference was dropped.
pub(super) enum Left<T> {
    /// Other references.
    References,
    /// This.
    Nothing(Arc<T>),
}

impl<T, const KIND: u64> Table<T, KIND> {
    /// Makes an empty table.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            entries <- SpinLock::new(Entries {
                by_handle: RBTree::new(),
                given: 0,
            }),
        })
    }

    /// Gives a value a handle, with one reference. Returns `ENOMEM` if there is no memory. May sleep.
    ///
    /// `named` is told the handle before any other task can know it.
    pub(super) fn insert(&self, value: Arc<T>, named: impl FnOnce(u64)) -> Result<u64> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut entries = self.entries.lock();
        entries.given += 1;
        let handle = entries.given * KINDS + KIND;
        named(handle);
        let entry = Entry {
            value,
            references: 1,
            locks: 0,
        };
        entries.by_handle.insert(node.into_node(handle, entry));
        Ok(handle)
    }

    /// Returns what a handle names. Any context but interrupts.
    #[inline]
    pub(super) fn find(&self, handle: u64) -> Option<Arc<T>> {
        let entries = self.entries.lock();
        Some(entries.by_handle.get(&handle)?.value.clone())
    }

    /// Returns the value with the lowest handle above `after`, and its handle. Any context but interrupts.
    pub(super) fn next(&self, after: u64) -> Option<(u64, Arc<T>)> {
        let entries = self.entries.lock();
        let cursor = entries.by_handle.cursor_lower_bound(&(after + 1))?;
        let (&handle, entry) = cursor.current();
        Some((handle, entry.value.clone()))
    }

    /// Takes another reference, and returns what the handle names. Any context but interrupts.
    pub(super) fn get(&self, handle: u64) -> Option<Arc<T>> {
        let mut entries = self.entries.lock();
        let entry = entries.by_handle.get_mut(&handle)?;
        entry.references = entry.references.checked_add(1)?;
        Some(entry.value.clone())
    }

    /// Takes a reference for a lock, and returns what the handle names. Any context but interrupts.
    pub(super) fn get_for_lock(&self, handle: u64) -> Option<Arc<T>> {
        let mut entries = self.entries.lock();
        let entry = entries.by_handle.get_mut(&handle)?;
        entry.locks = entry.locks.checked_add(1)?;
        Some(entry.value.clone())
    }

    /// Drops a reference; with the last one the handle names nothing any more. `None`: there is none that is not a
    /// lock's.
    pub(super) fn put(&self, handle: u64) -> Option<Left<T>> {
        let mut entries = self.entries.lock();
        let entry = entries.by_handle.get_mut(&handle)?;
        entry.references = entry.references.checked_sub(1)?;
        if entry.references != 0 || entry.locks != 0 {
            return Some(Left::References);
        }
        let node = entries.by_handle.remove_node(&handle)?;
        drop(entries);
        let (_, entry) = node.to_key_value();
        Some(Left::Nothing(entry.value))
    }

    /// Drops a reference of a lock, if `may` allows it, which is called with the table locked, and returns what it was
    /// of. With the last one the handle names nothing any more. `None`: there is no such one.
    pub(super) fn put_of_lock<E>(
        &self,
        handle: u64,
        may: impl FnOnce(&T) -> Result<(), E>,
    ) -> Option<Result<Arc<T>, E>> {
        let mut entries = self.entries.lock();
        let entry = entries.by_handle.get_mut(&handle)?;
        if let Err(e) = may(&entry.value) {
            return Some(Err(e));
        }
        entry.locks = entry.locks.checked_sub(1)?;
        if entry.references != 0 || entry.locks != 0 {
            return Some(Ok(entry.value.clone()));
        }
        let node = entries.by_handle.remove_node(&handle)?;
        drop(entries);
        let (_, entry) = node.to_key_value();
        Some(Ok(entry.value))
    }
}
