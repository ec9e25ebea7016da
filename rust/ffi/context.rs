// SPDX-License-Identifier: GPL-2.0

//! Thread contexts: where a thread's held locks are kept and how they are found.
//!
//! Contexts lie on their threads' stacks. A table of slots, hashed by task address, leads from a
//! task to its context. A slot is written only by the task that claimed it, so a lookup is a few
//! loads, without locks or disabled preemption: if a slot carries the address of the task that
//! looks, that very task put it there.

use super::bindings;
use crate::pure::held::HeldLocks;
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    processor::cpu_relax,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        barrier, //
    },
};

/// Slots in the table; a power of two. More threads than this cannot have a context at once.
const SLOTS: usize = 2048;
const SLOTS_LOG2: u32 = SLOTS.trailing_zeros();

/// How many slots from its hash a task looks in, before it falls back to all of them.
const WINDOW: usize = 8;

/// What `struct reeve_thread_context` really is.
///
/// # Invariants
///
/// While a slot of [`TABLE`] leads to a context, the context is initialised and only the slot's
/// task (or, briefly, a reader holding [`HAZARD`]) accesses it.
#[repr(C)]
pub(crate) struct Context {
    held: HeldLocks,
}

const _: () = assert!(
    core::mem::size_of::<Context>() <= core::mem::size_of::<bindings::reeve_thread_context>(),
    "struct reeve_thread_context in reeve/lock_order.h is too small"
);
const _: () = assert!(core::mem::align_of::<Context>() <= 8);

struct Slot {
    /// The task that claimed the slot; 0: free.
    task: Atomic<usize>,
    /// Its context; null while it is being entered or left.
    context: Atomic<*mut Context>,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        task: Atomic::new(0),
        context: Atomic::new(core::ptr::null_mut()),
    }
}; SLOTS];

/// Claims made outside their window; while it is not 0, a lookup has to search the whole table.
static SPILLED: Atomic<usize> = Atomic::new(0);

kernel::sync::global_lock! {
    // SAFETY: `init`, which module init calls before anything else, initialises it once.
    unsafe(uninit) static READER: SpinLock<()> = ();
}

/// Prepares the table.
///
/// # Safety
///
/// Must be called once, before any other function of this file.
pub(crate) unsafe fn init() {
    // SAFETY: By the contract.
    unsafe { READER.init() }
}

/// The context that [`snapshot`] is copying; its thread waits with leaving until it is done.
static HAZARD: Atomic<*mut Context> = Atomic::new(core::ptr::null_mut());

/// Who uses a context, as the C entry points pass it.
#[derive(Clone, Copy)]
pub(crate) struct Owner(usize);

impl Owner {
    /// Wraps what `reeve_owner()` in lock_order_shim.c computed.
    ///
    /// # Safety
    ///
    /// `raw` must be the current task's address, or the address of the context of the interrupt
    /// level that is running on this CPU with `REEVE_OWNER_IRQ` set. The value must not outlive
    /// the call it was computed for.
    #[inline(always)]
    pub(crate) unsafe fn new(raw: usize) -> Self {
        Self(raw)
    }

    /// Whether it is an interrupt handler rather than a task.
    #[inline(always)]
    pub(crate) fn is_interrupt(self) -> bool {
        self.0 & bindings::REEVE_OWNER_IRQ as usize != 0
    }

    /// The owner's context, if it has one.
    #[inline(always)]
    fn context(self) -> Option<NonNull<Context>> {
        if self.is_interrupt() {
            NonNull::new((self.0 & !(bindings::REEVE_OWNER_IRQ as usize)) as *mut Context)
        } else {
            let slot = find(self.0)?;
            // SAFETY: `as_ptr` is valid for reads. Only this task writes to the slot that it
            // claimed, so nothing races.
            NonNull::new(unsafe { slot.context.as_ptr().read_volatile() })
        }
    }

    /// Runs `f` on the owner's held locks; `None` when it has no context.
    ///
    /// `f` must not call back into lock-order tracking.
    #[inline(always)]
    pub(crate) fn with_held<R>(self, f: impl FnOnce(&mut HeldLocks) -> R) -> Option<R> {
        let mut context = self.context()?;
        // SAFETY: By the invariants the context is valid, initialised (a zeroed interrupt context
        // is a valid empty one), and only its owner accesses it; the owner is the caller, and is
        // in no other `with_held`: an interrupt of the task would use its own.
        Some(f(unsafe { &mut context.as_mut().held }))
    }

    /// What the owner's slot leads to already, if it has one.
    fn entered(self) -> Option<*mut Context> {
        self.context().map(NonNull::as_ptr)
    }

    /// Whether the owner's context is the one at `memory`.
    pub(crate) fn is_context(self, memory: *const bindings::reeve_thread_context) -> bool {
        self.entered()
            .is_some_and(|context| core::ptr::eq(context, memory.cast()))
    }

    /// Starts a context for this task at `memory`.
    ///
    /// # Safety
    ///
    /// `memory` must be valid for writes of a `reeve_thread_context`, and must stay so, untouched
    /// by anyone else, until [`leave`](Self::leave) is called with it on the same task.
    pub(crate) unsafe fn enter(
        self,
        memory: NonNull<bindings::reeve_thread_context>,
    ) -> Result<Entered, EnterError> {
        if self.is_interrupt() {
            return Ok(Entered::Inner);
        }
        let context = memory.as_ptr().cast::<Context>();
        match self.entered() {
            Some(present) if present == context => return Err(EnterError::InUse),
            Some(_) => return Ok(Entered::Inner),
            None => {}
        }
        let slot = claim(self.0).ok_or(EnterError::TableFull)?;
        // SAFETY: `memory` is valid for writes and large enough (asserted above). `reset` only
        // writes the header; the arrays behind it are plain integers, never read beyond `len`.
        unsafe { (*context).held.reset() };
        // INVARIANT: The context is initialised; the store publishes that to readers.
        slot.context.store(context, Release);
        Ok(Entered::Outer)
    }

    /// Ends the context at `memory`; answers what it was.
    pub(crate) fn leave(self, memory: *const bindings::reeve_thread_context) -> Left {
        if self.is_interrupt() {
            return Left::Inner;
        }
        let Some(slot) = find(self.0) else {
            return Left::NotEntered;
        };
        let context = memory.cast::<Context>().cast_mut();
        if slot.context.load(Relaxed) != context {
            return Left::Inner;
        }
        slot.context.store(core::ptr::null_mut(), Relaxed);
        // Pairs with the barrier in `snapshot`: either the reader sees the null, or we see its
        // hazard and wait until it has copied.
        barrier::smp_mb(barrier::Full);
        while HAZARD.load(Acquire) == context {
            cpu_relax();
        }
        let index = index_of(slot);
        slot.task.store(0, Release);
        if index.wrapping_sub(hash(self.0)) & (SLOTS - 1) >= WINDOW {
            SPILLED.fetch_sub(1, Relaxed);
        }
        Left::Outer
    }
}

/// What an enter did.
#[derive(PartialEq, Eq)]
pub(crate) enum Entered {
    /// The task has a context now.
    Outer,
    /// It had one already (or is an interrupt): nothing was done.
    Inner,
}

/// Why an enter failed.
pub(crate) enum EnterError {
    /// This very context is in use by the task.
    InUse,
    /// The table has no room.
    TableFull,
}

/// What a leave did.
pub(crate) enum Left {
    /// The task has no context any more.
    Outer,
    /// The context was an inner one: nothing was done.
    Inner,
    /// The task has no context.
    NotEntered,
}

/// Moves what the owner holds into `to`; `false`: it has no context, and `to` holds nothing.
///
/// # Safety
///
/// `to` must be valid for writes and not be the owner's own context.
pub(crate) unsafe fn save(owner: Owner, to: NonNull<bindings::reeve_thread_context>) -> bool {
    // SAFETY: By the contract; as in `enter`, the reset makes it a valid empty context.
    let to = unsafe { &mut (*to.as_ptr().cast::<Context>()).held };
    to.reset();
    owner.with_held(|held| held.save_into(to)).is_some()
}

/// Moves what `from` holds back to the owner, in place of what it holds now; `None`: no context.
///
/// # Safety
///
/// `from` must have been filled by [`save`] and not be the owner's own context.
pub(crate) unsafe fn restore(
    owner: Owner,
    from: NonNull<bindings::reeve_thread_context>,
) -> Option<()> {
    // SAFETY: By the contract it is an initialised context that nobody else uses.
    let from = unsafe { &mut (*from.as_ptr().cast::<Context>()).held };
    owner.with_held(|held| from.save_into(held))
}

#[inline(always)]
fn hash(task: usize) -> usize {
    // Tasks are cache-line aligned: drop what is always 0, then Fibonacci hashing.
    ((task >> 6) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (64 - SLOTS_LOG2)
}

#[inline(always)]
fn slot_at(index: usize) -> &'static Slot {
    &TABLE[index % SLOTS]
}

fn index_of(slot: &'static Slot) -> usize {
    (core::ptr::from_ref(slot) as usize - &raw const TABLE as usize) / core::mem::size_of::<Slot>()
}

/// The slot that `task`, which is the caller, has claimed.
#[inline(always)]
fn find(task: usize) -> Option<&'static Slot> {
    let base = hash(task);
    for i in 0..WINDOW {
        let slot = slot_at(base + i);
        // SAFETY: `as_ptr` is valid for reads. Other tasks may claim or free the slot meanwhile,
        // so this is READ_ONCE; the value compared equal can only be our own store.
        if unsafe { slot.task.as_ptr().read_volatile() } == task {
            return Some(slot);
        }
    }
    find_spilled(task, base)
}

#[cold]
fn find_spilled(task: usize, base: usize) -> Option<&'static Slot> {
    if SPILLED.load(Relaxed) == 0 {
        return None;
    }
    (WINDOW..SLOTS)
        .map(|i| slot_at(base + i))
        .find(|slot| slot.task.load(Relaxed) == task)
}

/// Claims a slot for `task`, which has none.
fn claim(task: usize) -> Option<&'static Slot> {
    let base = hash(task);
    let try_claim = |i: usize| {
        let slot = slot_at(base + i);
        (slot.task.load(Relaxed) == 0 && slot.task.cmpxchg(0, task, Full).is_ok()).then_some(slot)
    };
    if let Some(slot) = (0..WINDOW).find_map(try_claim) {
        return Some(slot);
    }
    // Counted before the claim, so that our own lookups never miss it.
    SPILLED.fetch_add(1, Full);
    let slot = (WINDOW..SLOTS).find_map(try_claim);
    if slot.is_none() {
        SPILLED.fetch_sub(1, Relaxed);
    }
    slot
}

/// Answers whether a held lock of any task or interrupt satisfies `wanted`.
///
/// Other threads go on meanwhile; the answer is exact for locks held throughout. Readers take
/// turns, with preemption off, because leaving threads spin while their context is looked at.
/// `wanted` must not sleep.
pub(crate) fn any_held(mut wanted: impl FnMut(&crate::pure::held::Entry) -> bool) -> bool {
    let _turn = READER.lock();
    let mut found = false;
    for slot in &TABLE {
        if slot.task.load(Acquire) != 0 {
            snapshot(slot, |held| {
                found |= held.iter().any(|entry| wanted(&entry))
            });
        }
        if found {
            return true;
        }
    }
    // SAFETY: No requirements.
    let cpus = unsafe { bindings::reeve_shim_nr_cpu_ids() };
    (0..cpus).any(|cpu| {
        (0..bindings::REEVE_IRQ_LEVELS).any(|level| {
            // SAFETY: `cpu` and `level` are in range. Per-CPU contexts live as long as the module.
            let context = unsafe { bindings::reeve_shim_irq_context(cpu, level) };
            // SAFETY: Valid as above. The interrupt may change it while it is read: the copy is
            // of integers only, and a torn one is a wrong answer at worst for locks that come
            // and go.
            let held = unsafe { &(*context.cast::<Context>()).held };
            held.iter().any(|entry| wanted(&entry))
        })
    })
}

/// Lets `f` look at the context that `slot` leads to, if there is one.
fn snapshot(slot: &Slot, f: impl FnOnce(&HeldLocks)) {
    let context = slot.context.load(Acquire);
    HAZARD.store(context, Relaxed);
    // Pairs with the barrier in `leave`.
    barrier::smp_mb(barrier::Full);
    if !context.is_null() && slot.context.load(Acquire) == context {
        // SAFETY: The slot led to the context after the hazard was visible, so the owner waits in
        // `leave` until the hazard is gone; until then the context is valid. The owner may record
        // meanwhile: only integers are read, none is used as an address or unchecked index.
        f(unsafe { &(*context).held });
    }
    HAZARD.store(core::ptr::null_mut(), Release);
}
