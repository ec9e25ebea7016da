// SPDX-License-Identifier: GPL-2.0

//! Handles: numbers by which drivers name what the module has for them.
//!
//! A number is never used again, and nothing is read or written at it, so a stale or wrong one is found
//! out, and does no harm. What is looked at is a slot of a table, which is used again, and freed with the module only.
//! No lock is taken to find something; the steps, and why they do, are in [`rules::handles`](crate::bo::rules::handles).

use crate::bo::rules::handles::{
    self,
    Counts,
    Handle,
    Head,
    State,
    CHUNKS,
    END,
    FIRST, //
};
use core::{
    cell::UnsafeCell,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ops::{
        Deref,
        Range, //
    },
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};
use pin_init::Zeroable;

/// A slot of a table.
///
/// # Invariants
///
/// `value` is initialised exactly while `state` says that the slot is kept. It is written, and taken, by the owner of the
/// slot only: the one that [`State::claim`] has made it until it publishes the slot, and the one that left nothing that
/// keeps it until it frees the slot. `counts` are none exactly if what they keep is given up, or is about to be.
struct Slot<T> {
    state: Atomic<u64>,
    counts: Atomic<u64>,
    /// The number of the slot that is behind this one in the list of free ones; 0: none.
    next: Atomic<u64>,
    /// Its own number.
    number: Atomic<u64>,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: Atomics of 0 and an uninitialised value are what a free slot is made of.
unsafe impl<T> Zeroable for Slot<T> {}

/// What handles of one kind name. `KIND`, below [`handles::KINDS`], is the lowest digit of them, so that no handle
/// is of two kinds.
///
/// # Invariants
///
/// A chunk is null, or came from [`KVVec::into_raw_parts`], with as many slots as [`handles::first_of`] says, and is kept less so
/// many, so that these are found by their numbers. What is not null stays as it is, until [`Table::clear`]. Those of all
/// slots from [`FIRST`] to `fresh` are there.
pub(super) struct Table<T: Send + Sync, const KIND: u64> {
    chunks: [Atomic<*mut Slot<T>>; CHUNKS],
    /// Where they are, for kmemleak, which would not find them otherwise.
    memory: [Atomic<*mut Slot<T>>; CHUNKS],
    /// The number behind those of the slots that were used.
    fresh: Atomic<u64>,
    /// The list of those that are free again: a [`Head`].
    free: Atomic<u64>,
}

// SAFETY: The table owns its values, which may be sent.
unsafe impl<T: Send + Sync, const KIND: u64> Send for Table<T, KIND> {}
// SAFETY: By the type invariants of `Slot` only the owner of a slot writes to its value, which others share as `&T`.
unsafe impl<T: Send + Sync, const KIND: u64> Sync for Table<T, KIND> {}

/// A slot that is owned, with its state.
struct Claimed<'a, T> {
    slot: &'a Slot<T>,
    state: State,
}

impl<T: Send + Sync, const KIND: u64> Table<T, KIND> {
    /// Makes an empty table.
    pub(super) const fn new() -> Self {
        // INVARIANT: There is no chunk, and no slot was used.
        Self {
            chunks: [const { Atomic::new(ptr::null_mut()) }; CHUNKS],
            memory: [const { Atomic::new(ptr::null_mut()) }; CHUNKS],
            fresh: Atomic::new(FIRST),
            free: Atomic::new(Head::EMPTY.0),
        }
    }

    /// Returns a slot, which may be any number below [`END`].
    #[inline]
    fn slot(&self, number: u64) -> Option<&Slot<T>> {
        let chunk = handles::chunk_of(number);
        let slots = self.chunks.get(chunk)?.load(Acquire);
        if slots.is_null() {
            return None;
        }
        // SAFETY: The chunk has the slots from `first_of(chunk)` on, as many as that, and `chunk_of` says that this is one
        // of them. By the type invariant they are so far behind `slots`, and stay until the table is cleared.
        Some(unsafe { NonNull::new_unchecked(slots.wrapping_add(number as usize)).as_ref() })
    }

    /// Gives what `make` makes a handle, which `make` is told, with one reference. Returns `ENOMEM` if there is no memory,
    /// or the error of `make`. May sleep.
    #[inline(always)]
    pub(super) fn insert<M: Into<T>, E: From<Error>>(
        &self,
        make: impl FnOnce(u64) -> core::result::Result<M, E>,
    ) -> core::result::Result<u64, E> {
        let claimed = self.claim()?;
        let handle = Handle {
            kind: KIND,
            slot: claimed.slot.number.load(Relaxed),
            generation: claimed.state.generation(),
        };
        let slot = claimed.slot;
        match make(handle.number()) {
            Ok(made) => {
                // SAFETY: By the type invariant the owner of the slot may write to it, which this is.
                unsafe { (*slot.value.get()).write(made.into()) };
                slot.counts.store(Counts::NEW.0, Relaxed);
                // INVARIANT: The value was initialised, and what keeps it is there. Release: what was written before is
                // seen by what finds it.
                slot.state.store(claimed.state.published().0, Release);
                Ok(handle.number())
            }
            Err(e) => {
                self.free(claimed);
                Err(e)
            }
        }
    }

    /// Takes a slot that is free.
    fn claim(&self) -> Result<Claimed<'_, T>> {
        loop {
            // Acquire: what is written to the slot comes after what was done with it before.
            let head = Head(self.free.load(Acquire));
            let Some(slot) = self.slot(head.first()) else {
                return self.claim_fresh();
            };
            let popped = head.changed_to(slot.next.load(Relaxed));
            if self.free.cmpxchg(head.0, popped.0, Acquire).is_err() {
                continue;
            }
            return match slot.claim() {
                Some(state) => Ok(Claimed { slot, state }),
                // See `Head`: the list is no help any more.
                None => self.claim_fresh(),
            };
        }
    }

    /// Takes a slot that was never used.
    #[cold]
    fn claim_fresh(&self) -> Result<Claimed<'_, T>> {
        let mut number = self.fresh.load(Acquire);
        loop {
            if number >= END {
                return Err(ENOMEM);
            }
            self.grow(handles::chunk_of(number))?;
            // INVARIANT: Its chunk is there.
            match self.fresh.cmpxchg(number, number + 1, Full) {
                Err(now) => number = now,
                Ok(_) => {
                    let slot = self.slot(number).ok_or(ENOMEM)?;
                    slot.number.store(number, Relaxed);
                    let state = slot.claim().ok_or(ENOMEM)?;
                    return Ok(Claimed { slot, state });
                }
            }
        }
    }

    /// Makes a chunk, if it is not there. Returns `ENOMEM` if there is no memory.
    fn grow(&self, chunk: usize) -> Result {
        let place = self.chunks.get(chunk).ok_or(ENOMEM)?;
        let memory = self.memory.get(chunk).ok_or(ENOMEM)?;
        if !place.load(Acquire).is_null() {
            return Ok(());
        }
        let count = handles::first_of(chunk) as usize;
        let mut slots = KVVec::<Slot<T>>::zeroed(count, GFP_KERNEL | __GFP_NOWARN)?;
        let kept = slots.as_mut_ptr().wrapping_sub(count);
        if place.cmpxchg(ptr::null_mut(), kept, Full).is_ok() {
            // INVARIANT: It is from `into_raw_parts`, and nothing else has made this chunk.
            memory.store(slots.into_raw_parts().0, Relaxed);
        }
        Ok(())
    }

    /// Drops all values, and frees the chunks.
    ///
    /// # Safety
    ///
    /// Nothing may use the table meanwhile, nor anything that it gave out.
    pub(super) unsafe fn clear(&self) {
        for number in self.slots() {
            // What is left is dropped with its last reference.
            if let Some(kept) = self.at(number) {
                kept.slot.counts.store(0, Relaxed);
                kept.leave(2);
            }
        }
        // INVARIANT: There is no chunk, and no slot was used.
        self.fresh.store(FIRST, Relaxed);
        self.free.store(Head::EMPTY.0, Relaxed);
        for (chunk, (place, memory)) in self.chunks.iter().zip(&self.memory).enumerate() {
            place.store(ptr::null_mut(), Relaxed);
            let slots = memory.xchg(ptr::null_mut(), Full);
            if !slots.is_null() {
                let count = handles::first_of(chunk) as usize;
                // SAFETY: By the type invariant it came from `into_raw_parts` of a vector that was made with so many
                // elements, and by the contract it is not used any more. What is in it needs no drop.
                drop(unsafe { KVVec::from_raw_parts(slots, count, count) });
            }
        }
    }

    /// Takes away so many of what keeps a slot, which must be the caller's; with the last, what is in it goes.
    #[inline(always)]
    fn leave(&self, slot: &Slot<T>, keeps: u64) {
        // INVARIANT: If this leaves nothing that keeps it, the slot is the caller's. Full: what others did with the value
        // comes before what is done with it then.
        let before = State(slot.state.fetch_sub(keeps, Full));
        if before.is_left_by(keeps) {
            self.vacate(slot, before);
        }
    }

    /// Drops what is in a slot, which nothing keeps any more, and frees it.
    #[inline(never)]
    fn vacate(&self, slot: &Slot<T>, state: State) {
        // SAFETY: By the type invariant of `Slot` it is initialised, and the owner of the slot, which this is, may take it.
        unsafe { (*slot.value.get()).assume_init_drop() };
        self.free(Claimed { slot, state });
    }

    /// Gives a slot that is owned, without a value, to be used again.
    fn free(&self, claimed: Claimed<'_, T>) {
        let Claimed { slot, state } = claimed;
        let state = state.freed();
        // INVARIANT: The value was moved out, or never written.
        slot.state.store(state.0, Release);
        if !state.is_usable() {
            return;
        }
        let number = slot.number.load(Relaxed);
        let mut head = self.free.load(Relaxed);
        loop {
            slot.next.store(Head(head).first(), Relaxed);
            // Release: what was done with the slot comes before what is done when it is used again.
            match self
                .free
                .cmpxchg(head, Head(head).changed_to(number).0, Full)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Returns what a handle names. Any context but interrupts.
    #[inline(always)]
    pub(super) fn find(&self, handle: u64) -> Option<Kept<'_, T, KIND>> {
        let handle = Handle::of(handle);
        if handle.kind != KIND {
            return None;
        }
        self.keep(handle.slot, handle.generation)
    }

    #[inline(always)]
    fn keep(&self, number: u64, generation: u64) -> Option<Kept<'_, T, KIND>> {
        let slot = self.slot(number)?;
        let mut state = slot.state.load(Relaxed);
        loop {
            let kept = State(state).keep(generation)?;
            // Acquire: what is read of it comes after what made it wrote.
            match slot.state.cmpxchg(state, kept.0, Acquire) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // INVARIANT: It is kept, just now.
        let kept = Kept { table: self, slot };
        if Counts(slot.counts.load(Relaxed)).are_none() {
            return None;
        }
        Some(kept)
    }

    /// Returns the numbers of the slots that were used.
    pub(super) fn slots(&self) -> Range<u64> {
        FIRST..self.fresh.load(Acquire)
    }

    /// Returns what is in a slot. Any context but interrupts.
    pub(super) fn at(&self, number: u64) -> Option<Kept<'_, T, KIND>> {
        let generation = State(self.slot(number)?.state.load(Relaxed)).generation();
        self.keep(number, generation)
    }
}

impl<T> Slot<T> {
    /// Takes the slot, if it is free.
    #[inline]
    fn claim(&self) -> Option<State> {
        let state = self.state.load(Relaxed);
        let claimed = State(state).claim()?;
        // INVARIANT: The slot is not kept, and belongs to the caller.
        self.state.cmpxchg(state, claimed.0, Acquire).ok()?;
        Some(claimed)
    }
}

/// What a handle names; it stays, and where it is, as long as this is there.
///
/// # Invariants
///
/// It is one of what keeps the slot.
pub(super) struct Kept<'a, T: Send + Sync, const KIND: u64> {
    table: &'a Table<T, KIND>,
    slot: &'a Slot<T>,
}

impl<T: Send + Sync, const KIND: u64> Kept<'_, T, KIND> {
    /// Takes one step with the counts. Returns whether there are any afterwards. `None`: the step was not allowed.
    #[inline(always)]
    fn count(&self, step: impl Fn(Counts) -> Option<Counts>) -> Option<bool> {
        let mut counts = self.slot.counts.load(Relaxed);
        loop {
            let next = step(Counts(counts))?;
            match self.slot.counts.cmpxchg(counts, next.0, Full) {
                Ok(_) => return Some(!next.are_none()),
                Err(now) => counts = now,
            }
        }
    }

    /// Takes one away, with what the counts keep if it was the last.
    #[inline(always)]
    fn count_less(self, step: impl Fn(Counts) -> Option<Counts>) -> Option<()> {
        let keeps = match self.count(step)? {
            true => 1,
            // There are none any more, and never will be again.
            false => 2,
        };
        self.leave(keeps);
        Some(())
    }

    /// Takes another reference. `None`: there are none any more, or too many.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<()> {
        self.count(Counts::get).map(|_| ())
    }

    /// Drops a reference; with the last one the handle names nothing any more. `None`: there is none that is not a
    /// lock's.
    #[inline(always)]
    pub(super) fn put(self) -> Option<()> {
        self.count_less(Counts::put)
    }

    /// Takes a reference for a lock. Otherwise as [`Kept::get`].
    #[inline(always)]
    pub(super) fn get_for_lock(&self) -> Option<()> {
        self.count(Counts::lock).map(|_| ())
    }

    /// Drops a reference of a lock; with the last one the handle names nothing any more. `None`: there is no such one.
    #[inline(always)]
    pub(super) fn put_of_lock(self) -> Option<()> {
        self.count_less(Counts::unlock)
    }

    /// Takes away so many of what keeps the slot, this one among them; 2: that of the counts, of which there are none,
    /// too.
    #[inline(always)]
    fn leave(self, keeps: u64) {
        let this = ManuallyDrop::new(self);
        this.table.leave(this.slot, keeps);
    }
}

impl<T: Send + Sync, const KIND: u64> Deref for Kept<'_, T, KIND> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariants the slot is kept by this, so the value is initialised, and not written to.
        unsafe { (*self.slot.value.get()).assume_init_ref() }
    }
}

impl<T: Send + Sync, const KIND: u64> Drop for Kept<'_, T, KIND> {
    #[inline(always)]
    fn drop(&mut self) {
        self.table.leave(self.slot, 1);
    }
}
