// SPDX-License-Identifier: GPL-2.0

//! Loom's atomics with the orderings of the kernel's, and faulty ones.

use loom::sync::atomic::{fence, AtomicU32, AtomicUsize, Ordering};
use reeve_host::lock_order::rules::context_table::{Counter, Owner, Word, World};

/// What is wrong with a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Acquiring loads are relaxed ones.
    NoAcquire,
    /// Releasing stores are relaxed ones.
    NoRelease,
    /// Reading and then writing are two steps.
    NotAtomic,
    /// It always reads as 0.
    Blind,
    /// Any access panics.
    Untouchable,
}

/// Holds the number of a task or of a context, or 0.
#[derive(Debug)]
pub struct LoomWord {
    value: AtomicUsize,
    fault: Fault,
}

impl LoomWord {
    /// A word that holds 0.
    pub fn new(fault: Fault) -> Self {
        Self {
            value: AtomicUsize::new(0),
            fault,
        }
    }

    fn touch(&self) {
        assert_ne!(self.fault, Fault::Untouchable, "the table is touched");
    }

    fn read(&self, ordering: Ordering) -> usize {
        self.touch();
        if self.fault == Fault::Blind {
            0
        } else {
            self.value.load(ordering)
        }
    }

    fn write(&self, value: usize, ordering: Ordering) {
        self.touch();
        self.value.store(value, ordering);
    }
}

impl Word<usize> for LoomWord {
    fn load(&self) -> usize {
        self.read(Ordering::Relaxed)
    }

    fn load_acquire(&self) -> usize {
        self.read(match self.fault {
            Fault::NoAcquire => Ordering::Relaxed,
            _ => Ordering::Acquire,
        })
    }

    fn store(&self, value: usize) {
        self.write(value, Ordering::Relaxed);
    }

    fn store_release(&self, value: usize) {
        let ordering = match self.fault {
            Fault::NoRelease => Ordering::Relaxed,
            _ => Ordering::Release,
        };
        self.write(value, ordering);
    }
}

impl Owner for LoomWord {
    // The kernel's is fully ordered; nothing relies on more than this.
    fn claim(&self, task: usize) -> bool {
        if self.fault == Fault::NotAtomic {
            let free = self.load() == 0;
            if free {
                self.store(task);
            }
            return free;
        }
        self.touch();
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        self.value
            .compare_exchange(0, task, success, failure)
            .is_ok()
    }
}

/// Counts tasks.
#[derive(Debug)]
pub struct LoomCounter {
    value: AtomicU32,
    fault: Fault,
}

impl LoomCounter {
    /// A counter at 0.
    pub fn new(fault: Fault) -> Self {
        Self {
            value: AtomicU32::new(0),
            fault,
        }
    }
}

impl Counter for LoomCounter {
    fn get(&self) -> u32 {
        if self.fault == Fault::Blind {
            0
        } else {
            self.value.load(Ordering::Relaxed)
        }
    }

    // As for a claim.
    fn raise(&self) {
        if self.fault == Fault::NotAtomic {
            let n = self.value.load(Ordering::Relaxed);
            self.value.store(n + 1, Ordering::Relaxed);
        } else {
            self.value.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn lower(&self) {
        self.value.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Loom's world; without `BARRIER` its full barriers do nothing.
#[derive(Debug)]
pub struct Loom<const BARRIER: bool>;

impl<const BARRIER: bool> World for Loom<BARRIER> {
    type Context = usize;
    const NONE: usize = 0;
    type Owner = LoomWord;
    type Link = LoomWord;
    type Counter = LoomCounter;

    fn barrier() {
        if BARRIER {
            fence(Ordering::SeqCst);
        }
    }

    fn relax() {
        loom::thread::yield_now();
    }
}
