// SPDX-License-Identifier: GPL-2.0-or-later

//! The context table in loom: `rust/lock_order/rules/context_table.rs` as the kernel compiles it, over atomics
//! of which loom tries every interleaving and every value that a load may see.
//!
//! The orderings are no stronger than the kernel's. Each kind of word can be made faulty, to show
//! that the models notice.
#![allow(unreachable_pub, reason = "a module of a test, which exports nothing")]

use loom::{
    cell::Cell,
    model::Builder,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};
use reeve_host::lock_order::rules::context_table::{Found, Head, Others, Owner, Slot, Table};
use std::{
    array,
    panic::{catch_unwind, AssertUnwindSafe},
};

/// What is wrong with the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// A claim reads and then writes, in two steps.
    ClaimNotAtomic,
    /// Adding to a chain reads and then writes, in two steps.
    AddNotAtomic,
    /// The first of a chain is set where there may be one.
    FirstNotAtomic,
    /// A context is given back without a release.
    NoRelease,
    /// That another context than the first is in use is not counted.
    NotCounted,
    /// It is counted in two steps.
    CountNotAtomic,
}

/// Says whose a context is.
pub struct LoomOwner(AtomicUsize, Fault);

impl Owner for LoomOwner {
    fn load(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    // The kernel's is fully ordered; nothing relies on more than this.
    fn claim(&self, key: usize) -> bool {
        if self.1 == Fault::ClaimNotAtomic {
            let free = self.load() == 0;
            if free {
                self.0.store(key, Ordering::Relaxed);
            }
            return free;
        }
        let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
        self.0.compare_exchange(0, key, success, failure).is_ok()
    }

    fn set(&self, key: usize) {
        self.0.store(key, Ordering::Relaxed);
    }

    fn free(&self) {
        let ordering = match self.1 {
            Fault::NoRelease => Ordering::Relaxed,
            _ => Ordering::Release,
        };
        self.0.store(0, ordering);
    }
}

/// How many contexts besides the first are in use.
pub struct LoomOthers(AtomicUsize, Fault);

impl LoomOthers {
    fn change(&self, by: usize) {
        match self.1 {
            Fault::NotCounted => {}
            Fault::CountNotAtomic => {
                let old = self.0.load(Ordering::Relaxed);
                self.0.store(old.wrapping_add(by), Ordering::Relaxed);
            }
            _ => drop(self.0.fetch_add(by, Ordering::Relaxed)),
        }
    }
}

impl Others for LoomOthers {
    fn add(&self) {
        self.change(1);
    }

    fn sub(&self) {
        self.change(usize::MAX);
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A context, in which loom sees accesses that nothing orders.
pub struct Context {
    owner: LoomOwner,
    chain: AtomicUsize,
    next: AtomicPtr<Context>,
    fault: Fault,
    /// Whose locks are in it.
    pub held: Cell<usize>,
}

// SAFETY: Loom runs one thread at a time, and ends the run at accesses that nothing orders.
unsafe impl Sync for Context {}

fn as_ref(context: *mut Context) -> Option<&'static Context> {
    // SAFETY: Null or a context, and they are leaked.
    unsafe { context.as_ref() }
}

fn as_ptr(context: Option<&'static Context>) -> *mut Context {
    context.map_or(std::ptr::null_mut(), |context| {
        std::ptr::from_ref(context).cast_mut()
    })
}

/// Puts `new` in the place of `old`, if that is there still.
fn replace(
    place: &AtomicPtr<Context>,
    old: Option<&'static Context>,
    new: &'static Context,
    is_atomic: bool,
) -> bool {
    let (old, new) = (as_ptr(old), as_ptr(Some(new)));
    if !is_atomic {
        let same = place.load(Ordering::Acquire) == old;
        if same {
            place.store(new, Ordering::Release);
        }
        return same;
    }
    let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
    place.compare_exchange(old, new, success, failure).is_ok()
}

impl Slot for Context {
    type Owner = LoomOwner;

    fn owner(&self) -> &LoomOwner {
        &self.owner
    }

    fn chain(&self) -> Option<usize> {
        self.chain.load(Ordering::Relaxed).checked_sub(1)
    }

    fn set_chain(&self, chain: usize) {
        self.chain.store(chain + 1, Ordering::Relaxed);
    }

    fn next(&self) -> Option<&'static Self> {
        as_ref(self.next.load(Ordering::Acquire))
    }

    fn set_next(&self, next: Option<&'static Self>) {
        self.next.store(as_ptr(next), Ordering::Relaxed);
    }

    fn replace_next(&self, old: Option<&'static Self>, new: &'static Self) -> bool {
        replace(&self.next, old, new, self.fault != Fault::AddNotAtomic)
    }
}

/// The start of a chain.
pub struct LoomHead(AtomicPtr<Context>, LoomOthers, Fault);

impl Head<Context> for LoomHead {
    type Others = LoomOthers;

    fn others(&self) -> &LoomOthers {
        &self.1
    }

    fn first(&self) -> Option<&'static Context> {
        as_ref(self.0.load(Ordering::Acquire))
    }

    fn set_first(&self, new: &'static Context) -> bool {
        replace(&self.0, None, new, self.2 != Fault::FirstNotAtomic)
    }
}

/// Two chains, and what threads do with them.
pub struct Scene {
    /// The table.
    pub table: Table<LoomHead, 2>,
    fault: Fault,
}

impl Scene {
    /// No contexts yet.
    pub fn new(fault: Fault) -> Self {
        let head = |_| {
            let others = LoomOthers(AtomicUsize::new(0), fault);
            LoomHead(AtomicPtr::new(std::ptr::null_mut()), others, fault)
        };
        Self {
            table: Table::new(array::from_fn(head)),
            fault,
        }
    }

    /// The `n`-th task, counted from 0, whose chain is the first.
    pub fn task(n: usize) -> usize {
        (1..)
            .map(|i| i << 6)
            .filter(|&task| Table::<LoomHead, 2>::home_index(task) == 0)
            .nth(n)
            .expect("the hash reaches every chain")
    }

    /// Enters as `task`, with a new context if no other is free.
    pub fn enter(&self, task: usize) -> &'static Context {
        let claimed = self.table.try_claim(task);
        let found = claimed.map_or_else(|| self.table.find_or_claim(task), Found::Claimed);
        let context = match found {
            Found::Claimed(context) => context,
            Found::Own(_) => panic!("task {task:#x} has a context that it did not enter"),
            Found::Full => {
                let context: &'static Context = Box::leak(Box::new(Context {
                    owner: LoomOwner(AtomicUsize::new(0), self.fault),
                    chain: AtomicUsize::new(0),
                    next: AtomicPtr::new(std::ptr::null_mut()),
                    fault: self.fault,
                    held: Cell::new(0),
                }));
                self.table.add(task, context);
                context
            }
        };
        context.held.set(task);
        self.expect_own(task, context);
        context
    }

    /// Leaves as `task`.
    pub fn leave(&self, task: usize, context: &'static Context) {
        self.expect_own(task, context);
        self.table.free(context);
        assert!(
            self.table.find::<Context>(task).is_none(),
            "left, but still found"
        );
    }

    /// Enters and leaves.
    pub fn live(&self, task: usize) {
        let context = self.enter(task);
        self.leave(task, context);
    }

    /// Looks as `task` for its context, which has to be this one.
    pub fn expect_own(&self, task: usize, context: &'static Context) {
        let found = self.table.find::<Context>(task);
        let found = found.expect("the task's context is not found");
        assert!(std::ptr::eq(found, context), "another context");
        assert_eq!(found.held.get(), task, "another task's locks");
    }

    /// Tries as `task`, which has a context, to enter on the fast path.
    pub fn expect_no_second(&self, task: usize) {
        let second = self.table.try_claim::<Context>(task);
        assert!(second.is_none(), "a second context");
    }

    /// How many contexts were made.
    pub fn made(&self) -> usize {
        self.table.all::<Context>().count()
    }
}

/// Tries every interleaving of `model` in which threads are interrupted at most so many times
/// where they could have gone on.
pub fn check_bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Expects that some interleaving of `model`, with three preemptions at most, panics.
pub fn caught(model: impl Fn() + Sync + Send + 'static) {
    let result = catch_unwind(AssertUnwindSafe(|| check_bounded(3, model)));
    assert!(result.is_err(), "the fault was not noticed");
}
