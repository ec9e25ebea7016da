// SPDX-License-Identifier: GPL-2.0-or-later

//! The hierarchy of this module's own locks: the one place where their order is written down.
//!
//! The order types and lockdep classes, the run-time rules, the priming of lockdep and what debugfs
//! shows are made of this declaration (`lock_order/declared.rs`); a test compares it with the table
//! in Documentation/locking.md.

#![deny(unsafe_code)]

/// Hands the declaration to the macro named: the hierarchy's name, then its orders, outermost
/// first, each with what it protects and its kind.
///
/// A `turn` is a spinlock that is not one of the typed ones, because they need it themselves.
#[macro_export]
macro_rules! own_lock_orders {
    ($declare:ident) => {
        $declare! { "reeve" {
            /// An open file's table of handles.
            mutex FileHandles,
            /// A buffer object's reservation: its TT, pages and pin count. Another object's may be
            /// try-locked meanwhile, to swap it out.
            mutex [nestable] BoReservation,
            /// The list of devices and their turns in global swapout.
            mutex DeviceList,
            /// A device's lists of populated buffer objects, the LRU among them.
            spinlock DeviceLru,
            /// An open file's objects that may be swapped out.
            spinlock FileLru,
            /// A dmem cgroup's objects that may be swapped out.
            spinlock DmemLru,
            /// A memory node's free pages in the pool.
            spinlock PoolNode,
            /// The list of open files, each with what its objects hold.
            spinlock OpenFiles,
            /// The list of dmem cgroups to which objects are charged.
            spinlock DmemGroups,
            /// The turn to look at other threads' held locks.
            turn ContextReader,
        } }
    };
}
