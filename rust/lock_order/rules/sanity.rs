// SPDX-License-Identifier: GPL-2.0-or-later

//! The lock sanity suite: what it drives, and how one run goes.
//!
//! The cases are in [`cases`]. They speak to a [`Tracker`], so that the same table
//! runs on a bare [`HeldLocks`](super::held::HeldLocks) in host tests and on a thread's real context
//! in the kernel. After the suite of NVIDIA UVM's `uvm_lock_test.c`.

#![deny(unsafe_code)]

pub mod cases;

use super::{
    conflict::Rule,
    flags::{
        EXCLUSIVE,
        SHARED, //
    }, //
};

/// The operations under test, on one hierarchy and the calling thread.
///
/// The lock object's address is the suite's own invention; nothing is really locked.
pub trait Tracker {
    /// See [`HeldLocks::record_lock`](super::held::HeldLocks::record_lock).
    fn record_lock(&mut self, instance: usize, order: u32, flags: u32) -> bool;
    /// See [`HeldLocks::record_unlock`](super::held::HeldLocks::record_unlock).
    fn record_unlock(&mut self, instance: usize, order: u32, flags: u32) -> bool;
    /// See [`HeldLocks::record_downgrade`](super::held::HeldLocks::record_downgrade).
    fn record_downgrade(&mut self, instance: usize, order: u32) -> bool;
    /// See [`HeldLocks::check_locked`](super::held::HeldLocks::check_locked).
    fn check_locked(&mut self, instance: usize, order: u32, flags: u32) -> bool;
    /// See [`HeldLocks::check_lockable_order`](super::held::HeldLocks::check_lockable_order).
    fn check_lockable_order(&mut self, order: u32, flags: u32) -> bool;
    /// See [`HeldLocks::check_unlocked_order`](super::held::HeldLocks::check_unlocked_order).
    fn check_unlocked_order(&mut self, order: u32) -> bool;
    /// See [`HeldLocks::check_all_unlocked`](super::held::HeldLocks::check_all_unlocked).
    fn check_all_unlocked(&mut self) -> bool;
    /// Forgets all held locks, so that a failed case does not fail the next one.
    fn forget_all(&mut self);
}

/// A check that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Source file of the check.
    pub file: &'static str,
    /// Line of the check.
    pub line: u32,
    /// The expectation, as written.
    pub expectation: &'static str,
}

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, as in the original without `test_`.
    pub name: &'static str,
    /// What it does; returns at the first failed check.
    pub run: fn(&mut dyn Tracker) -> Result<(), Failure>,
}

/// Runs each of `cases` and hands its result to `done`. Returns how many failed.
///
/// Nothing may be held in the hierarchy when it starts; nothing is held after each case.
pub fn run_all(
    cases: &[Case],
    tracker: &mut dyn Tracker,
    mut done: impl FnMut(&Case, Result<(), Failure>),
) -> u32 {
    let mut failed = 0;
    for case in cases {
        let result = (case.run)(tracker).and_then(|()| {
            if tracker.check_all_unlocked() {
                Ok(())
            } else {
                Err(Failure {
                    file: file!(),
                    line: line!(),
                    expectation: "nothing is held after the case",
                })
            }
        });
        if result.is_err() {
            failed += 1;
            tracker.forget_all();
        }
        done(case, result);
    }
    failed
}

/// Orders of the suite's hierarchy that its rules speak of.
pub mod orders {
    /// The process's memory map lock.
    pub const MMAP_LOCK: u32 = 5;
    /// Serializes writers of a VA space.
    pub const VA_SPACE_SERIALIZE_WRITERS: u32 = 7;
    /// The VA space itself.
    pub const VA_SPACE: u32 = 9;
    /// The resource manager's GPU locks.
    pub const RM_GPUS: u32 = 13;
    /// How many there are.
    pub const COUNT: u32 = 37;
}

/// Names of the orders of the suite's hierarchy, order 1 first.
pub const ORDER_NAMES: [&str; orders::COUNT as usize] = [
    "GLOBAL_PM",
    "GLOBAL",
    "ACCESS_COUNTERS",
    "ISR",
    "MMAP_LOCK",
    "VA_SPACES_LIST",
    "VA_SPACE_SERIALIZE_WRITERS",
    "VA_SPACE_READ_ACQUIRE_WRITE_RELEASE_LOCK",
    "VA_SPACE",
    "EXT_RANGE_TREE",
    "GPU_SEMAPHORE_POOL",
    "RM_API",
    "RM_GPUS",
    "VA_BLOCK_MIGRATE",
    "VA_BLOCK",
    "CONF_COMPUTING_DMA_BUFFER_POOL",
    "CHUNK_MAPPING",
    "PAGE_TREE",
    "KEY_ROTATION",
    "CSL_PUSH",
    "KEY_ROTATION_WLC",
    "CSL_WLC_PUSH",
    "CSL_SEC2_PUSH",
    "PUSH",
    "PMM",
    "PMM_PMA",
    "PMM_ROOT_CHUNK",
    "CHANNEL",
    "WLC_CHANNEL",
    "TOOLS_VA_SPACE_LIST",
    "VA_SPACE_EVENTS",
    "VA_SPACE_TOOLS",
    "SEMA_POOL_TRACKER",
    "SECURE_SEMAPHORE",
    "CSL_CTX",
    "ACCESS_COUNTERS_OPS",
    "LEAF",
];

/// The conflict rules of the suite's hierarchy, beyond its order.
pub const RULES: [Rule; 3] = [
    Rule {
        order: orders::RM_GPUS as u8,
        while_held: orders::MMAP_LOCK as u8,
        mode: (EXCLUSIVE | SHARED) as u8,
        unless_held: 0,
    },
    Rule {
        order: orders::RM_GPUS as u8,
        while_held: orders::VA_SPACE as u8,
        mode: EXCLUSIVE as u8,
        unless_held: 0,
    },
    Rule {
        order: orders::RM_GPUS as u8,
        while_held: orders::VA_SPACE as u8,
        mode: SHARED as u8,
        unless_held: orders::VA_SPACE_SERIALIZE_WRITERS as u8,
    },
];
