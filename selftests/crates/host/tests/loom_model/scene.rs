// SPDX-License-Identifier: GPL-2.0

//! A table, the memory of its contexts, and what threads do with them.

use super::{Fault, Loom, LoomCounter, LoomWord, Memory};
use reeve_host::lock_order::rules::context_table::{Entered, Left, Slot, Table};
use std::array;

/// What is wrong with each kind of word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The slots' tasks.
    pub owner: Fault,
    /// The slots' contexts.
    pub context: Fault,
    /// The slots' counts of displaced tasks.
    pub displaced: Fault,
    /// What a reader is looking at.
    pub hazard: Fault,
}

/// A table of `N` slots, with full barriers if `BARRIER`, and memory for contexts 1 to 4.
pub struct Scene<const N: usize, const BARRIER: bool = true> {
    /// The table.
    pub table: Table<Loom<BARRIER>, N>,
    /// The contexts.
    pub memory: Memory,
}

impl<const N: usize, const BARRIER: bool> Scene<N, BARRIER> {
    /// Everything free.
    pub fn new(faults: Faults) -> Self {
        let slot = |_| {
            Slot::new(
                LoomWord::new(faults.owner),
                LoomWord::new(faults.context),
                LoomCounter::new(faults.displaced),
            )
        };
        Self {
            table: Table::new(array::from_fn(slot), LoomWord::new(faults.hazard)),
            memory: Memory::new(4),
        }
    }

    /// The `n`-th task, counted from 0, whose home is the slot `home`.
    pub fn task(home: usize, n: usize) -> usize {
        (1..)
            .map(|i| i << 6)
            .filter(|&task| Table::<Loom<BARRIER>, N>::home_index(task) == home)
            .nth(n)
            .expect("the hash reaches every slot")
    }

    /// Enters as `task`; `false`: the table is full.
    pub fn enter(&self, task: usize, context: usize) -> bool {
        let init = || self.memory.init(context, task);
        match self.table.enter(task, context, init) {
            Ok(Entered::Outer(_)) => {
                self.expect_own(task, context);
                true
            }
            Ok(Entered::Inner) => panic!("task {task:#x} has a context that it did not enter"),
            Err(_) => {
                assert!(self.table.find(task).is_none(), "not entered, but found");
                false
            }
        }
    }

    /// Ends `context` as `task`, and frees its memory.
    pub fn leave(&self, task: usize, context: usize) {
        self.expect_own(task, context);
        // As the module does: the usual way first.
        if !self.table.leave_home(task, context, || true) {
            assert_eq!(self.table.leave(task, context, || ()), Left::Outer);
        }
        self.memory.free(context);
        assert!(self.table.find(task).is_none(), "left, but still found");
    }

    /// Enters and leaves, if there is room.
    pub fn live(&self, task: usize, context: usize) -> bool {
        let entered = self.enter(task, context);
        if entered {
            self.leave(task, context);
        }
        entered
    }

    /// Looks as `task` for its context, which has to be this one.
    pub fn expect_own(&self, task: usize, context: usize) {
        use reeve_host::lock_order::rules::context_table::Word;
        let slot = self.table.find(task).expect("the task's slot is not found");
        assert_eq!(slot.context.load(), context, "another task's context");
        assert_eq!(self.memory.task_of(context), task);
    }

    /// Looks at all contexts, as a reader whose turn it is; gives the tasks they are of.
    pub fn read(&self) -> Vec<usize> {
        let mut tasks = Vec::new();
        self.table
            .look_at_all(|context| tasks.push(self.memory.task_of(context)));
        tasks
    }
}
