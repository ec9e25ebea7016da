// SPDX-License-Identifier: GPL-2.0

//! Looking at what other threads, and interrupts, hold.

use super::{
    table::{
        epoch,
        SLOTS,
        TABLE, //
    },
    words::Context, //
};
use crate::{
    abstractions::bindings,
    lock_order::{
        print,
        rules::{
            held::{
                Entry,
                HeldLocks, //
            },
            violation::record::Who, //
        }, //
    }, //
};
use core::ptr::{
    addr_of_mut,
    NonNull, //
};
use kernel::prelude::*;

/// A copy of a context, to look at while its owner goes on.
struct Copied(Context);

kernel::sync::global_lock! {
    // SAFETY: `init`, which module init calls before anything else, initialises it once.
    unsafe(uninit) static READER: SpinLock<Copied> = Copied(Context {
        held: HeldLocks::new(),
    });
}

/// Prepares the turns of readers.
///
/// # Safety
///
/// Must be called once, before any other function of this file.
pub(super) unsafe fn init() {
    // SAFETY: Called once and before any use of `READER`, by this function's contract.
    unsafe { READER.init() }
}

/// Returns whether a held lock of any task or interrupt satisfies `wanted`.
///
/// Other threads go on meanwhile; the result is exact for locks held throughout. Readers take
/// turns, with preemption off, because leaving threads spin while their context is looked at.
/// `wanted` must not sleep.
pub(crate) fn any_held(mut wanted: impl FnMut(&Entry) -> bool) -> bool {
    let mut copy = READER.lock();
    let mut found = false;
    let mut look = |context| {
        found |= copy.take(context).iter().any(|entry| wanted(&entry));
    };
    look_at_all(&mut look);
    interrupt_contexts().for_each(|(_, _, context)| look(context));
    found
}

/// Whose held locks they are.
#[derive(Clone, Copy)]
pub(crate) enum Holder {
    /// The task with this name and pid.
    Task(Who),
    /// An interrupt of this CPU and level.
    Interrupt(u32, &'static str),
}

/// How many places there are to look at with [`look_at`].
pub(crate) fn places() -> usize {
    SLOTS + interrupt_contexts().count()
}

/// Whether it may be worth it to look at `place`; cheap.
pub(crate) fn is_occupied(place: usize) -> bool {
    place >= SLOTS || TABLE.is_claimed(place)
}

/// Lets `f` look at a copy of what is held at `place`, if anything is, by other threads than the
/// calling one. As for [`any_held`]; `f` must not sleep.
pub(crate) fn look_at(place: usize, f: impl FnOnce(Holder, &HeldLocks)) {
    let mut copy = READER.lock();
    if place < SLOTS {
        let mut holder = None;
        TABLE.look_at(place, |task, context| {
            if let (Some(context), false) = (NonNull::new(context), is_current(task)) {
                copy.take(context);
                holder = print::task(task);
            }
        });
        if let Some(who) = holder.filter(|_| !copy.0.held.is_empty()) {
            f(Holder::Task(who), &copy.0.held);
        }
    } else if let Some((cpu, level, context)) = interrupt_contexts().nth(place - SLOTS) {
        if !copy.take(context).is_empty() {
            f(Holder::Interrupt(cpu, level), &copy.0.held);
        }
    }
}

fn is_current(task: usize) -> bool {
    // SAFETY: `get_current()` reads a per-CPU variable that is always valid for the running task.
    task == unsafe { kernel::bindings::get_current() } as usize
}

impl Copied {
    /// Copies what is held in `context`; nothing, if it has gone away without a leave.
    ///
    /// The owner may record meanwhile: the copy is of integers only, none of which is used as an
    /// address or an unchecked index, and torn at worst for locks that come and go.
    fn take(&mut self, context: NonNull<Context>) -> &HeldLocks {
        // SAFETY: The destination is valid for writes of a context, any bytes are one, and the
        // source is read in a way that may fault.
        let copied = unsafe {
            bindings::reeve_helper_copy_context(
                addr_of_mut!(self.0).cast(),
                context.as_ptr().cast(),
                core::mem::size_of::<Context>(),
            )
        };
        // What was recorded before a switch is not known to be held any more.
        if !copied || !self.0.held.catch_up(epoch()) {
            self.0.held.reset(epoch());
        }
        &self.0.held
    }
}

/// Lets `f` look at the contexts of all tasks. The caller has taken its turn as reader.
fn look_at_all(mut f: impl FnMut(NonNull<Context>)) {
    TABLE.look_at_all(|context| {
        if let Some(context) = NonNull::new(context) {
            f(context);
        }
    });
}

pub(super) const LEVELS: [&str; bindings::REEVE_IRQ_LEVELS as usize] = ["soft", "hard", "nmi"];

/// The contexts of all interrupt levels of all CPUs; they live as long as the module.
pub(super) fn interrupt_contexts() -> impl Iterator<Item = (u32, &'static str, NonNull<Context>)> {
    // SAFETY: The helper reads a variable that is set before modules are loaded.
    let cpus = unsafe { bindings::reeve_helper_nr_cpu_ids() };
    (0..cpus).flat_map(|cpu| {
        (0..).zip(LEVELS).filter_map(move |(level, name)| {
            // SAFETY: `cpu` and `level` are in range.
            let context = unsafe { bindings::reeve_helper_irq_context(cpu, level) };
            Some((cpu, name, NonNull::new(context.cast())?))
        })
    })
}
