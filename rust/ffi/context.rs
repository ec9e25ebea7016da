// SPDX-License-Identifier: GPL-2.0

//! Thread contexts: where a thread's held locks are kept and how they are found.
//!
//! Contexts lie on their threads' stacks. A table of slots, hashed by task address, leads from a
//! task to its context; a per-CPU hint in lock_order_shim.c spares most look-ups. A slot is written
//! only by the task that claimed it, so finding needs no locks and no disabled preemption: if a slot
//! carries the address of the task that looks, that very task put it there.

use super::bindings;
use crate::pure::held::{
    Entry,
    HeldLocks, //
};
use core::ptr::{
    addr_of,
    addr_of_mut,
    NonNull, //
};
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
    }, //
};

/// Slots in the table; a power of two. More threads than this cannot have a context at once.
const SLOTS: usize = 2048;
const SLOTS_LOG2: u32 = SLOTS.trailing_zeros();

/// What `struct reeve_thread_context` really is.
///
/// # Invariants
///
/// While a slot of [`TABLE`] leads to a context, the context is initialised and only the slot's
/// task accesses it, or a reader that the task waits for in [`leave`].
#[repr(C)]
pub(crate) struct Context {
    held: HeldLocks,
    /// How often tracking had been switched when this was saved; only used by saved contexts.
    epoch: u32,
}

const _: () = {
    use core::mem::{
        align_of,
        offset_of,
        size_of, //
    };
    assert!(
        size_of::<Context>() <= size_of::<bindings::reeve_thread_context>(),
        "struct reeve_thread_context in reeve/lock_order.h is too small"
    );
    assert!(align_of::<Context>() <= 8);
    assert!(size_of::<Slot>() == size_of::<bindings::reeve_slot>());
    assert!(offset_of!(Slot, task) == offset_of!(bindings::reeve_slot, task));
    assert!(offset_of!(Slot, context) == offset_of!(bindings::reeve_slot, ctx));
};

/// Where a task's context is found; `struct reeve_slot` to C.
#[repr(C)]
struct Slot {
    /// The task that claimed the slot; 0: free.
    task: Atomic<usize>,
    /// Its context; null while it is being entered or left.
    context: Atomic<*mut Context>,
    /// Tasks that hash to this slot and had to claim another one.
    displaced: Atomic<u32>,
    _pad: u32,
}

impl Slot {
    const fn new(context: *mut Context) -> Self {
        Self {
            task: Atomic::new(0),
            context: Atomic::new(context),
            displaced: Atomic::new(0),
            _pad: 0,
        }
    }
}

static TABLE: [Slot; SLOTS] = [const { Slot::new(core::ptr::null_mut()) }; SLOTS];

/// Makes a context that is only ever read shareable.
struct ReadOnly(Context);

// SAFETY: Never written to: it is an immutable static, and the fast paths decline it.
unsafe impl Sync for ReadOnly {}

/// The context of those who have none.
static ABSENT: ReadOnly = ReadOnly(Context {
    held: HeldLocks::absent(),
    epoch: 0,
});

/// Leads to [`ABSENT`]; no task ever claims it.
static NO_SLOT: Slot = Slot::new(addr_of!(ABSENT.0).cast_mut());

/// How often tracking was switched on or off.
static EPOCH: Atomic<u32> = Atomic::new(0);

kernel::sync::global_lock! {
    // SAFETY: `init`, which module init calls before anything else, initialises it once.
    unsafe(uninit) static READER: SpinLock<()> = ();
}

/// Prepares the table.
///
/// # Safety
///
/// Must be called once, before any other function of this file and before any interrupt records.
pub(crate) unsafe fn init() {
    // SAFETY: By the contract.
    unsafe { READER.init() }
    for context in interrupt_contexts() {
        // SAFETY: The contexts are static, and by the contract nobody uses them yet.
        unsafe { (*context.as_ptr()).held.reset() };
    }
}

/// The context that [`with_context_of`] is looking at; its thread waits with leaving until it is
/// done.
static HAZARD: Atomic<*mut Context> = Atomic::new(core::ptr::null_mut());

/// The caller's context, as the C entry points found it.
///
/// # Invariants
///
/// It is [`ABSENT`], or the context of the task or interrupt level that is running, which nobody
/// else writes to, except for what [`mark_stale`] does.
#[derive(Clone, Copy)]
pub(crate) struct Current(NonNull<Context>);

impl Current {
    /// Wraps what `reeve_context()` in lock_order_shim.c found.
    ///
    /// # Safety
    ///
    /// `raw` must be the result of `reeve_context()` in this very call from C, and the value must
    /// not outlive that call.
    #[inline(always)]
    pub(crate) unsafe fn new(raw: *mut bindings::reeve_thread_context) -> Self {
        // SAFETY: By the contract never null: a slot that carries a task leads to its context
        // whenever the task itself looks, and an interrupt's is static.
        // INVARIANT: By the contract.
        Self(unsafe { NonNull::new_unchecked(raw.cast()) })
    }

    fn is_absent(self) -> bool {
        core::ptr::eq(self.0.as_ptr(), addr_of!(ABSENT.0))
    }

    /// Runs `f`, a fast path, on the held locks.
    ///
    /// # Safety
    ///
    /// `f` must not write to an absent context's held locks, which have a flag set that makes the
    /// fast paths of [`HeldLocks`] decline. It must not call back into lock-order tracking.
    #[inline(always)]
    pub(crate) unsafe fn with_held_fast<R>(mut self, f: impl FnOnce(&mut HeldLocks) -> R) -> R {
        // SAFETY: By the invariant valid, initialised and the caller's own; an absent one is only
        // read, by the contract.
        f(unsafe { &mut self.0.as_mut().held })
    }

    /// Runs `f` on the held locks; `None` when there is no context.
    ///
    /// `f` must not call back into lock-order tracking.
    pub(crate) fn with_held<R>(self, f: impl FnOnce(&mut HeldLocks) -> R) -> Option<R> {
        if self.is_absent() {
            return None;
        }
        // SAFETY: It is not absent; see there.
        Some(unsafe { self.with_held_fast(f) })
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

/// Starts a context for `task`, the current one, at `memory`. `task` 0: an interrupt.
///
/// # Safety
///
/// `memory` must be valid for writes of a `reeve_thread_context`, and must stay so, untouched by
/// anyone else, until [`leave`] is called with it by the same task.
#[inline]
pub(crate) unsafe fn enter(
    task: usize,
    memory: NonNull<bindings::reeve_thread_context>,
) -> Result<Entered, EnterError> {
    if task == 0 {
        return Ok(Entered::Inner);
    }
    let context = memory.as_ptr().cast::<Context>();
    if let Some(slot) = find(task) {
        return if slot.context.load(Relaxed) == context {
            Err(EnterError::InUse)
        } else {
            Ok(Entered::Inner)
        };
    }
    let slot = claim(task).ok_or(EnterError::TableFull)?;
    // SAFETY: `memory` is valid for writes and large enough (asserted above). `reset` only writes
    // the header; the arrays behind it are plain integers, never read beyond `len`.
    unsafe { (*context).held.reset() };
    // INVARIANT: The context is initialised; the store publishes that to readers.
    slot.context.store(context, Release);
    // SAFETY: The table is static.
    unsafe { bindings::reeve_shim_set_hint(as_c(slot)) };
    Ok(Entered::Outer)
}

/// Ends the context of `task`, the current one, at `memory`; `last` sees what it holds before.
#[inline]
pub(crate) fn leave(
    task: usize,
    memory: *const bindings::reeve_thread_context,
    last: impl FnOnce(Current),
) -> Left {
    if task == 0 {
        return Left::Inner;
    }
    let Some(slot) = find(task) else {
        return Left::NotEntered;
    };
    let context = slot.context.load(Relaxed);
    let Some(present) = NonNull::new(context).filter(|_| core::ptr::eq(context.cast(), memory))
    else {
        return Left::Inner;
    };
    // INVARIANT: The slot is the current task's.
    last(Current(present));
    slot.context.store(core::ptr::null_mut(), Relaxed);
    // Pairs with the barrier in `with_context_of`: either the reader sees the null, or we see its
    // hazard and wait until it is done.
    barrier::smp_mb(barrier::Full);
    while HAZARD.load(Acquire) == context {
        cpu_relax();
    }
    slot.task.store(0, Release);
    let home = home(task);
    if !core::ptr::eq(home, slot) {
        home.displaced.fetch_sub(1, Relaxed);
    }
    Left::Outer
}

/// Moves what the caller holds into `to`; `false`: it has no context, and `to` holds nothing.
///
/// # Safety
///
/// `to` must be valid for writes and not be the caller's own context.
pub(crate) unsafe fn save(current: Current, to: NonNull<bindings::reeve_thread_context>) -> bool {
    // SAFETY: By the contract; as in `enter`, the reset makes it a valid empty context.
    let to = unsafe { &mut *to.as_ptr().cast::<Context>() };
    to.held.reset();
    to.epoch = EPOCH.load(Relaxed);
    current
        .with_held(|held| held.save_into(&mut to.held))
        .is_some()
}

/// Moves what `from` holds back to the caller, in place of what it holds now; `None`: no context.
///
/// # Safety
///
/// `from` must have been filled by [`save`] and not be the caller's own context.
pub(crate) unsafe fn restore(
    current: Current,
    from: NonNull<bindings::reeve_thread_context>,
) -> Option<()> {
    // SAFETY: By the contract it is an initialised context that nobody else uses.
    let from = unsafe { &mut *from.as_ptr().cast::<Context>() };
    if from.epoch != EPOCH.load(Relaxed) {
        from.held.stale = 1;
    }
    current.with_held(|held| from.held.save_into(held))
}

#[inline]
fn home(task: usize) -> &'static Slot {
    // Tasks are cache-line aligned: drop what is always 0, then Fibonacci hashing.
    let hash = ((task >> 6) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &TABLE[(hash >> (64 - SLOTS_LOG2)) as usize % SLOTS]
}

fn as_c(slot: &'static Slot) -> *mut bindings::reeve_slot {
    core::ptr::from_ref(slot).cast_mut().cast()
}

/// The slots after `task`'s home, all round the table.
fn others(task: usize) -> impl Iterator<Item = &'static Slot> {
    let from = (core::ptr::from_ref(home(task)) as usize - core::ptr::from_ref(&TABLE) as usize)
        / core::mem::size_of::<Slot>();
    (1..SLOTS).map(move |i| &TABLE[(from + i) % SLOTS])
}

/// The slot that `task`, which is the caller, has claimed.
#[inline]
fn find(task: usize) -> Option<&'static Slot> {
    let home = home(task);
    if home.task.load(Relaxed) == task {
        Some(home)
    } else if home.displaced.load(Relaxed) == 0 {
        None
    } else {
        find_displaced(task)
    }
}

#[cold]
fn find_displaced(task: usize) -> Option<&'static Slot> {
    others(task).find(|slot| slot.task.load(Relaxed) == task)
}

/// Claims a slot for `task`, which is the caller and has none.
#[inline]
fn claim(task: usize) -> Option<&'static Slot> {
    let home = home(task);
    if home.task.cmpxchg(0, task, Full).is_ok() {
        Some(home)
    } else {
        claim_other(task, home)
    }
}

#[cold]
fn claim_other(task: usize, home: &'static Slot) -> Option<&'static Slot> {
    // Before the claim, so that our own look-ups never miss it.
    home.displaced.fetch_add(1, Full);
    let slot = others(task)
        .find(|slot| slot.task.load(Relaxed) == 0 && slot.task.cmpxchg(0, task, Full).is_ok());
    if slot.is_none() {
        home.displaced.fetch_sub(1, Relaxed);
    }
    slot
}

/// What `reeve_rs_find_slot` answers; see shim.h.
pub(super) fn slot_of(task: usize) -> *mut bindings::reeve_slot {
    as_c(find(task).unwrap_or(&NO_SLOT))
}

/// Notes in every task's context that tracking is being switched, so that what it holds may be out
/// of date. Process context. (Interrupts hold nothing for that long.)
pub(crate) fn mark_all_stale() {
    let _turn = READER.lock();
    EPOCH.fetch_add(1, Relaxed);
    for slot in &TABLE {
        with_context_of(slot, mark_stale);
    }
}

fn mark_stale(context: NonNull<Context>) {
    // SAFETY: The context is valid while a reader looks at it, and `stale` is a byte of its own
    // that the owner only ever clears; volatile, because the owner reads it meanwhile.
    unsafe { addr_of_mut!((*context.as_ptr()).held.stale).write_volatile(1) };
}

/// Answers whether a held lock of any task or interrupt satisfies `wanted`.
///
/// Other threads go on meanwhile; the answer is exact for locks held throughout. Readers take
/// turns, with preemption off, because leaving threads spin while their context is looked at.
/// `wanted` must not sleep.
pub(crate) fn any_held(mut wanted: impl FnMut(&Entry) -> bool) -> bool {
    let _turn = READER.lock();
    let mut found = false;
    let mut look = |context: NonNull<Context>| {
        // SAFETY: Valid while a reader looks at it. The owner may record meanwhile: only integers
        // are read, none is used as an address or an unchecked index, and a torn copy is a wrong
        // answer at worst for locks that come and go.
        found |= unsafe { &context.as_ref().held }
            .iter()
            .any(|entry| wanted(&entry));
    };
    for slot in &TABLE {
        with_context_of(slot, &mut look);
    }
    interrupt_contexts().for_each(look);
    found
}

/// Lets `f` look at the context that `slot` leads to, if there is one. Readers take turns.
fn with_context_of(slot: &Slot, f: impl FnOnce(NonNull<Context>)) {
    let context = slot.context.load(Acquire);
    if context.is_null() {
        return;
    }
    HAZARD.store(context, Relaxed);
    // Pairs with the barrier in `leave`.
    barrier::smp_mb(barrier::Full);
    // The slot led to the context after the hazard was visible, so the owner waits in `leave`
    // until the hazard is gone; until then the context is valid.
    if let Some(context) =
        NonNull::new(slot.context.load(Acquire)).filter(|c| c.as_ptr() == context)
    {
        f(context);
    }
    HAZARD.store(core::ptr::null_mut(), Release);
}

/// The contexts of all interrupt levels of all CPUs; they live as long as the module.
fn interrupt_contexts() -> impl Iterator<Item = NonNull<Context>> {
    // SAFETY: No requirements.
    let cpus = unsafe { bindings::reeve_shim_nr_cpu_ids() };
    (0..cpus).flat_map(|cpu| {
        (0..bindings::REEVE_IRQ_LEVELS).filter_map(move |level| {
            // SAFETY: `cpu` and `level` are in range.
            NonNull::new(unsafe { bindings::reeve_shim_irq_context(cpu, level) }.cast())
        })
    })
}
