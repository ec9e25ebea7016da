// SPDX-License-Identifier: GPL-2.0

//! The memory of contexts, in which loom sees accesses that nothing orders.

use loom::cell::Cell;

const FREED: usize = usize::MAX;

/// Memory for contexts that are named by their index plus 1. Each holds its task's number while it
/// is a context.
#[derive(Debug)]
pub struct Memory(Vec<Cell<usize>>);

// SAFETY: Loom runs one thread at a time, and ends the run at accesses that nothing orders.
unsafe impl Sync for Memory {}

impl Memory {
    /// Room for so many contexts, all of them free.
    pub fn new(contexts: usize) -> Self {
        Self((0..contexts).map(|_| Cell::new(FREED)).collect())
    }

    /// Makes `context` one of `task`, as the start of an enter does.
    pub fn init(&self, context: usize, task: usize) {
        self.0[context - 1].set(task);
    }

    /// Lets others have the memory of `context`, as the return of a function does.
    pub fn free(&self, context: usize) {
        self.0[context - 1].set(FREED);
    }

    /// The task that `context` is of; panics if it was freed.
    pub fn task_of(&self, context: usize) -> usize {
        let task = self.0[context - 1].get();
        assert_ne!(task, FREED, "a context is looked at after its leave");
        task
    }
}
