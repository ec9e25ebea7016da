// SPDX-License-Identifier: GPL-2.0

//! The handles of an open file, and the offsets at which their objects can be mapped.
#![deny(unsafe_code)]

use crate::{
    bo::{
        object::BoRef,
        rules::mappings::Offsets,
        vm::Mapping, //
    },
    lock_order::{
        classes::FileHandles,
        typed::Mutex, //
    }, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

/// Names buffer objects by numbers from 1 up.
///
/// A number is not used again until all others were, so that a stale handle hits nothing rather
/// than something else.
#[pin_data]
pub(super) struct Handles {
    #[pin]
    table: Mutex<Table, FileHandles>,
}

struct Table {
    objects: RBTree<u32, Object>,
    /// The mappings that objects were given offsets for, by their last page.
    mappings: RBTree<u64, Arc<Mapping>>,
    /// The allocator of offsets.
    offsets: Offsets,
    /// The number of objects.
    len: u32,
    /// The last number given out.
    last: u32,
}

/// The object that a handle names.
struct Object {
    bo: BoRef,
    /// The last page of its mapping, if it was given one.
    mapped_to: Option<u64>,
}

impl Handles {
    /// Creates an empty table.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- Mutex::new(Table {
                    objects: RBTree::new(),
                    mappings: RBTree::new(),
                    offsets: Offsets::new(),
                    len: 0,
                    last: 0,
                }),
        })
    }

    /// Gives `bo` a handle. Returns `ENOMEM` if there is no memory or no number left. May sleep.
    pub(super) fn insert(&self, bo: BoRef) -> Result<u32> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let mut table = self.table.lock();
        if table.len == u32::MAX {
            // Dropping `bo` reserves it. That is allowed with and without this lock, which comes
            // before reservations in the lock order.
            return Err(ENOMEM);
        }
        let mut handle = table.last;
        loop {
            handle = handle.checked_add(1).unwrap_or(1);
            if table.objects.get(&handle).is_none() {
                break;
            }
        }
        table.last = handle;
        table.len += 1;
        let object = Object {
            bo,
            mapped_to: None,
        };
        table.objects.insert(node.into_node(handle, object));
        Ok(handle)
    }

    /// Returns the buffer object that `handle` names, or `ENOENT` if there is none.
    pub(super) fn get(&self, handle: u32) -> Result<BoRef> {
        self.table
            .lock()
            .objects
            .get(&handle)
            .map(|object| object.bo.clone())
            .ok_or(ENOENT)
    }

    /// Returns the lowest handle above `handle` and its object, or `ENOENT` if there is none.
    pub(super) fn next(&self, handle: u32) -> Result<(u32, BoRef)> {
        let from = handle.checked_add(1).ok_or(ENOENT)?;
        let table = self.table.lock();
        let cursor = table.objects.cursor_lower_bound(&from).ok_or(ENOENT)?;
        let (&handle, object) = cursor.current();
        Ok((handle, object.bo.clone()))
    }

    /// Gives `mapping`, which is of the object that `handle` names, pages of the file to be mapped
    /// at. Returns the first page. An object that was given pages before keeps them.
    ///
    /// Returns `ENOENT` if there is no such object, `ENOSPC` if the file has too few pages left, and
    /// `ENOMEM` if there is no memory. May sleep.
    pub(super) fn place(&self, handle: u32, mut mapping: UniqueArc<Mapping>) -> Result<u64> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let mut guard = self.table.lock();
        let table = &mut *guard;
        let object = table.objects.get_mut(&handle).ok_or(ENOENT)?;
        if !mapping.is_of(&object.bo) {
            return Err(ENOENT);
        }
        if let Some(last) = object.mapped_to {
            return Ok(last - (mapping.pages() - 1));
        }
        let mappings = &table.mappings;
        let first = table
            .offsets
            .give(mapping.pages(), |from| {
                let cursor = mappings.cursor_lower_bound(&from)?;
                let (last, mapping) = cursor.current();
                Some((mapping.first(), last + 1))
            })
            .ok_or(ENOSPC)?;
        let last = first + (mapping.pages() - 1);
        mapping.place(first);
        object.mapped_to = Some(last);
        table.mappings.insert(node.into_node(last, mapping.into()));
        Ok(first)
    }

    /// Returns the mapping that has all of the `pages` pages from `first` on, or `EINVAL` if there is
    /// none.
    pub(super) fn find(&self, first: u64, pages: u64) -> Result<Arc<Mapping>> {
        let end = first.checked_add(pages).ok_or(EINVAL)?;
        let table = self.table.lock();
        let cursor = table.mappings.cursor_lower_bound(&first).ok_or(EINVAL)?;
        let (&last, mapping) = cursor.current();
        if mapping.first() > first || end > last + 1 {
            return Err(EINVAL);
        }
        Ok(mapping.clone())
    }

    /// Removes the handle. Returns its object, or `ENOENT` if there is none.
    pub(super) fn remove(&self, handle: u32) -> Result<BoRef> {
        let mut table = self.table.lock();
        let object = table.objects.remove(&handle).ok_or(ENOENT)?;
        table.len -= 1;
        let mapping = object
            .mapped_to
            .and_then(|last| table.mappings.remove(&last));
        drop(table);
        drop(mapping);
        Ok(object.bo)
    }
}
