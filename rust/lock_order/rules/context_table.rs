// SPDX-License-Identifier: GPL-2.0

//! The table that leads from a task to its context: how slots are claimed, found and given back.
//!
//! A slot is written only by the task that claimed it, so finding needs no locks and no disabled
//! preemption: if a slot carries the address of the task that looks, that very task put it there.
//! Interrupts, as task 0, touch nothing here. Readers of other tasks' contexts announce what they
//! look at, and a task that leaves waits for them.
//!
//! Only the algorithm is here. Atomics, memory barriers and what a context is come from the
//! [`World`]: the kernel's is in `rust/lock_order/context.rs`, and the loom models have one that tries
//! every interleaving and every order in which memory may become visible.

#![deny(unsafe_code)]

/// An atomic word. Orderings mean what they do in the kernel.
pub trait Word<T> {
    /// Reads it, relaxed.
    fn load(&self) -> T;
    /// Reads it: what the writer did before is seen afterwards.
    fn load_acquire(&self) -> T;
    /// Writes it, relaxed.
    fn store(&self, value: T);
    /// Writes it: a thread that sees it sees what was done before.
    fn store_release(&self, value: T);
}

/// The word that says whose a slot is.
pub trait Owner: Word<usize> {
    /// Sets it to `task` if it is 0, fully ordered; `false`: it is not 0.
    fn claim(&self, task: usize) -> bool;
}

/// An atomic counter.
pub trait Counter {
    /// Reads it, relaxed.
    fn get(&self) -> u32;
    /// Adds 1, fully ordered.
    fn raise(&self);
    /// Subtracts 1, relaxed.
    fn lower(&self);
}

/// What the table is made of.
pub trait World {
    /// How a context is named; only compared.
    type Context: Copy + PartialEq;
    /// No context.
    const NONE: Self::Context;
    /// Holds a task's address.
    type Owner: Owner;
    /// Holds a context.
    type Link: Word<Self::Context>;
    /// Counts tasks.
    type Counter: Counter;
    /// A full memory barrier.
    fn barrier();
    /// One turn of a loop that waits for another CPU.
    fn relax();
}

/// Where a task's context is found; `struct reeve_slot` to C.
#[repr(C, align(32))]
pub struct Slot<W: World> {
    /// The task that claimed the slot; 0: free.
    pub task: W::Owner,
    /// Its context; none while it is being entered or left.
    pub context: W::Link,
    /// Tasks that hash to this slot and had to claim another one.
    displaced: W::Counter,
}

impl<W: World> Slot<W> {
    /// A slot made of these words: 0, the context that it leads to, and 0.
    pub const fn new(task: W::Owner, context: W::Link, displaced: W::Counter) -> Self {
        Self {
            task,
            context,
            displaced,
        }
    }
}

/// What an enter did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered<S> {
    /// The task has a context now; it is found through this slot.
    Outer(S),
    /// It had another one already, or is an interrupt: nothing was done.
    Inner,
}

/// Why an enter failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnterError {
    /// This very context is in use by the task.
    InUse,
    /// The table has no room.
    TableFull,
}

/// What a leave did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The task has no context any more.
    Outer,
    /// The context was an inner one: nothing was done.
    Inner,
    /// The task has no context.
    NotEntered,
}

/// On cache lines of its own: reading it costs nothing while others write beside it.
#[repr(align(64))]
struct Apart<T>(T);

/// `N` slots, a power of two.
///
/// # Invariants
///
/// - A slot's task is that of the task that claimed it, until that task frees it.
/// - A task has claimed one slot at the most; if that is not its home, its home's count of
///   displaced tasks includes it.
/// - A slot leads to a context only between the end of its initialisation and its leave.
#[repr(C)]
pub struct Table<W: World, const N: usize> {
    slots: [Slot<W>; N],
    /// The context that a reader is looking at; its task waits with leaving until it is done.
    hazard: Apart<W::Link>,
}

impl<W: World, const N: usize> Table<W, N> {
    /// A table of these slots, free ones; `hazard` has to hold none.
    pub const fn new(slots: [Slot<W>; N], hazard: W::Link) -> Self {
        const { assert!(N.is_power_of_two() && N >= 2) };
        Self {
            slots,
            hazard: Apart(hazard),
        }
    }

    /// Which slot `task` tries first.
    #[inline]
    pub const fn home_index(task: usize) -> usize {
        // Tasks are cache-line aligned: drop what is always 0, then Fibonacci hashing.
        let hash = ((task >> 6) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (u64::BITS - N.trailing_zeros())) as usize % N
    }

    #[inline]
    fn home(&self, task: usize) -> &Slot<W> {
        &self.slots[Self::home_index(task)]
    }

    /// The slots after `task`'s home, all round the table.
    fn others(&self, task: usize) -> impl Iterator<Item = &Slot<W>> {
        let from = Self::home_index(task);
        (1..N).map(move |i| &self.slots[(from + i) % N])
    }

    /// The slot that `task`, which is the caller and not 0, has claimed.
    #[inline]
    pub fn find(&self, task: usize) -> Option<&Slot<W>> {
        let home = self.home(task);
        if home.task.load() == task {
            Some(home)
        } else if home.displaced.get() == 0 {
            None
        } else {
            self.find_displaced(task)
        }
    }

    #[cold]
    fn find_displaced(&self, task: usize) -> Option<&Slot<W>> {
        self.others(task).find(|slot| slot.task.load() == task)
    }

    /// Claims a slot for `task`, which is the caller and has none.
    #[inline]
    fn claim(&self, task: usize) -> Option<&Slot<W>> {
        let home = self.home(task);
        if home.task.claim(task) {
            Some(home)
        } else {
            self.claim_other(task, home)
        }
    }

    #[cold]
    fn claim_other(&self, task: usize, home: &Slot<W>) -> Option<&Slot<W>> {
        // Before the claim, so that our own look-ups never miss it.
        home.displaced.raise();
        let slot = self
            .others(task)
            .find(|slot| slot.task.load() == 0 && slot.task.claim(task));
        if slot.is_none() {
            home.displaced.lower();
        }
        slot
    }

    /// Starts `context` for `task`, which is the caller; 0: an interrupt. `init` makes it ready to
    /// be looked at.
    pub fn enter(
        &self,
        task: usize,
        context: W::Context,
        init: impl Fn(),
    ) -> Result<Entered<&Slot<W>>, EnterError> {
        if task == 0 {
            return Ok(Entered::Inner);
        }
        if let Some(slot) = self.enter_home(task, context, &init) {
            return Ok(Entered::Outer(slot));
        }
        if let Some(slot) = self.find(task) {
            return if slot.context.load() == context {
                Err(EnterError::InUse)
            } else {
                Ok(Entered::Inner)
            };
        }
        let slot = self.claim(task).ok_or(EnterError::TableFull)?;
        init();
        // INVARIANT: The context is initialised; the store publishes that to readers.
        slot.context.store_release(context);
        Ok(Entered::Outer(slot))
    }

    /// The usual [`enter`](Self::enter): of a task that has no context, and whose home is free.
    /// `None`: it is not that, nothing changed.
    #[inline(always)]
    pub fn enter_home(
        &self,
        task: usize,
        context: W::Context,
        init: impl Fn(),
    ) -> Option<&Slot<W>> {
        let home = self.home(task);
        // If the task had a slot, it would be its home, or counted as displaced from there.
        if task == 0 || home.displaced.get() != 0 || !home.task.claim(task) {
            return None;
        }
        init();
        // INVARIANT: As in `enter`.
        home.context.store_release(context);
        Some(home)
    }

    /// Ends `context` of `task`, which is the caller; 0: an interrupt. If it is the one that was
    /// entered, `last` runs before. The context is not looked at afterwards.
    pub fn leave(&self, task: usize, context: W::Context, last: impl FnOnce()) -> Left {
        if task == 0 {
            return Left::Inner;
        }
        let Some(slot) = self.find(task) else {
            return Left::NotEntered;
        };
        if slot.context.load() != context {
            return Left::Inner;
        }
        last();
        self.end(slot, context);
        let home = self.home(task);
        if !core::ptr::eq(home, slot) {
            home.displaced.lower();
        }
        Left::Outer
    }

    /// The usual [`leave`](Self::leave): of the context that was entered, from the home, when it
    /// `may` end without further ado. `false`: it is not that, nothing changed.
    #[inline(always)]
    pub fn leave_home(&self, task: usize, context: W::Context, may: impl FnOnce() -> bool) -> bool {
        let home = self.home(task);
        // A free slot leads to no context, so an interrupt's task, which is 0, finds none.
        if home.task.load() != task || home.context.load() != context || !may() {
            return false;
        }
        self.end(home, context);
        true
    }

    /// Frees the slot, of the caller's, that leads to `context`.
    #[inline(always)]
    fn end(&self, slot: &Slot<W>, context: W::Context) {
        slot.context.store(W::NONE);
        // Pairs with the barrier in `look`: either the reader sees that there is none, or we see
        // its hazard and wait until it is done.
        W::barrier();
        while self.hazard.0.load_acquire() == context {
            W::relax();
        }
        slot.task.store_release(0);
    }

    /// Lets `f` look at every context that is entered. Readers have to take turns, and must not be
    /// preempted: tasks that leave spin while their context is looked at.
    #[inline]
    pub fn look_at_all(&self, mut f: impl FnMut(W::Context)) {
        for slot in &self.slots {
            self.look(slot, &mut f);
        }
    }

    /// Whether a task has claimed the slot at `index`; it may free it right after.
    pub fn is_claimed(&self, index: usize) -> bool {
        self.slots
            .get(index)
            .is_some_and(|slot| slot.task.load() != 0)
    }

    /// Lets `f` look at the context that the slot at `index` leads to, if any, and at the address of
    /// its task. As for [`look_at_all`](Self::look_at_all).
    pub fn look_at(&self, index: usize, f: impl FnOnce(usize, W::Context)) {
        if let Some(slot) = self.slots.get(index) {
            // The task cannot free the slot while its context is looked at.
            self.look(slot, |context| f(slot.task.load(), context));
        }
    }

    #[inline]
    fn look(&self, slot: &Slot<W>, f: impl FnOnce(W::Context)) {
        let context = slot.context.load_acquire();
        if context == W::NONE {
            return;
        }
        self.hazard.0.store(context);
        // Pairs with the barrier in `leave`.
        W::barrier();
        // The slot led to the context after the hazard was visible, so the owner waits in `leave`
        // until the hazard is gone; until then the context is valid.
        if slot.context.load_acquire() == context {
            f(context);
        }
        self.hazard.0.store_release(W::NONE);
    }
}
