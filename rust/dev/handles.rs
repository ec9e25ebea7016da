// SPDX-License-Identifier: GPL-2.0

//! The handles of an open file.

use crate::{
    lock_order::{
        declared::FileHandles,
        typed::Mutex, //
    },
    tt::bo::BoRef, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
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
    objects: RBTree<u32, BoRef>,
    /// How many there are.
    len: u32,
    /// The last number given out.
    last: u32,
}

impl Handles {
    /// Makes an empty table.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- Mutex::new(Table {
                    objects: RBTree::new(),
                    len: 0,
                    last: 0,
                }),
        })
    }

    /// Gives `bo` a handle. `ENOMEM`: no memory, or no number left. May sleep.
    pub(super) fn insert(&self, bo: BoRef) -> Result<u32> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut table = self.table.lock();
        if table.len == u32::MAX {
            // Unlocked before `bo` is dropped, which takes its reservation: fine either way, for
            // that comes after this lock in the order.
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
        table.objects.insert(node.into_node(handle, bo));
        Ok(handle)
    }

    /// The buffer object that `handle` names. `ENOENT`: none.
    pub(super) fn get(&self, handle: u32) -> Result<BoRef> {
        self.table
            .lock()
            .objects
            .get(&handle)
            .cloned()
            .ok_or(ENOENT)
    }

    /// The lowest handle above `handle`, and what it names. `ENOENT`: none.
    pub(super) fn next(&self, handle: u32) -> Result<(u32, BoRef)> {
        let from = handle.checked_add(1).ok_or(ENOENT)?;
        let table = self.table.lock();
        let cursor = table.objects.cursor_lower_bound(&from).ok_or(ENOENT)?;
        let (&handle, bo) = cursor.current();
        Ok((handle, bo.clone()))
    }

    /// Takes the handle away; the object lives on in the answer. `ENOENT`: none.
    pub(super) fn remove(&self, handle: u32) -> Result<BoRef> {
        let mut table = self.table.lock();
        let bo = table.objects.remove(&handle).ok_or(ENOENT)?;
        table.len -= 1;
        Ok(bo)
    }
}
