// SPDX-License-Identifier: GPL-2.0

//! Looking at what other threads, and interrupts, hold.

use super::{
    handed::all_handed,
    life::TAKEN,
    table::{
        epoch,
        TABLE, //
    },
    words::Context, //
};
use crate::{
    abstractions::bindings,
    lock_order::{
        hierarchy::Hierarchy,
        print,
        rules::{
            held::{
                room::More,
                Entry,
                HeldLocks, //
            },
            violation::record::{
                Who,
                LEVELS, //
            }, //
        }, //
    }, //
};
use core::cell::UnsafeCell;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Relaxed, //
        },
        barrier, //
    },
};

/// A copy of what is held, to look at while its owner goes on.
struct Copied(HeldLocks);

// SAFETY: What keeps held locks from going to another thread is the room for more of them: that is `MORE`
// here, which only a thread that has the one copy accesses.
unsafe impl Send for Copied {}

/// Where the locks are copied that are in the room for more.
struct CopiedMore(UnsafeCell<More>);

// SAFETY: Only a thread that has the one copy, for which there is a lock, accesses it.
unsafe impl Sync for CopiedMore {}

static MORE: CopiedMore = CopiedMore(UnsafeCell::new(More::new()));

kernel::sync::global_lock! {
    // SAFETY: `init`, which module init calls before anything else, initialises it once.
    unsafe(uninit) static READER: SpinLock<Copied> = Copied(HeldLocks::new());
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

/// Returns whether a held lock of any task or interrupt, or one that was put aside or handed over,
/// satisfies `wanted`.
///
/// Other threads go on meanwhile; the result is exact for locks held throughout. `wanted` must not
/// sleep. May be preempted between one context and the next.
pub(crate) fn any_held(mut wanted: impl FnMut(&Entry) -> bool) -> bool {
    if all_handed().any(|(_, entry)| wanted(&entry)) {
        return true;
    }
    places().any(|place| {
        with_copy(place, |held| {
            held.is_some_and(|held| held.iter().any(|entry| wanted(&entry)))
        })
    })
}

/// Finds a held lock, as [`any_held`], in any context: one that is held when it is looked at twice. `None`
/// also where all cannot be looked at: in an NMI, and with PREEMPT_RT where nothing may sleep.
pub(crate) fn find_held(wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
    if !print::may_look() {
        return None;
    }
    if let Some((_, entry)) = all_handed().find(|(_, entry)| wanted(entry)) {
        return Some(entry);
    }
    let find = |place| with_copy(place, |held| held?.iter().find(|entry| wanted(entry)));
    places().find_map(|place| find(place).filter(|&entry| find(place) == Some(entry)))
}

/// Lets `f` see a copy of what is held at `place`.
fn with_copy<R>(place: Place, f: impl FnOnce(Option<&HeldLocks>) -> R) -> R {
    with_reader(|copy| f(copy.take(place.context())))
}

/// Takes the turn to look. Interrupts are off meanwhile, for handlers may look, too; not with
/// PREEMPT_RT, where they may not.
fn with_reader<R>(f: impl FnOnce(&mut Copied) -> R) -> R {
    let look = || f(&mut READER.lock());
    if cfg!(CONFIG_PREEMPT_RT) {
        look()
    } else {
        print::without_interrupts(look)
    }
}

/// Runs `f` in the turn to look: one thread at a time.
pub(crate) fn exclusively<R>(f: impl FnOnce() -> R) -> R {
    with_reader(|_| f())
}

/// Whether the last lock of a task or an interrupt, or one that it is recorded to hold, was of a hierarchy in
/// this slot.
pub(crate) fn is_home(slot: &Hierarchy) -> bool {
    let is_of = |handle| slot.is_slot_of(handle);
    places().any(|place| {
        with_reader(|copy| copy.copy(place.context()) && copy.0.takes_for_known(is_of))
    })
}

/// Whose held locks they are.
#[derive(Clone, Copy)]
pub(crate) enum Holder {
    /// The task with this name and pid.
    Task(Who),
    /// An interrupt of this CPU and level.
    Interrupt(u32, &'static str),
}

/// Where something may be held.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// A context of a task, or one that was put aside.
    Task(&'static Context),
    /// The context of this CPU's level.
    Interrupt(u32, &'static str, &'static Context),
}

impl Place {
    fn context(self) -> &'static Context {
        match self {
            Self::Task(context) | Self::Interrupt(_, _, context) => context,
        }
    }
}

/// The places where it may be worth it to look.
fn places() -> impl Iterator<Item = Place> {
    let interrupts = interrupt_contexts().map(|(cpu, level, at)| Place::Interrupt(cpu, level, at));
    let claimed = |context: &&'static Context| context.owner.load(Relaxed) != 0;
    let tasks = TABLE.all().filter(claimed).map(Place::Task);
    Iterator::chain(tasks, interrupts)
}

/// The places where another thread than the caller, or an interrupt, may hold something.
pub(crate) fn holders() -> impl Iterator<Item = Place> {
    places().filter(|place| !is_current(place.context().owner.load(Relaxed)))
}

/// Lets `f` look at a copy of what is held at `place`, if anything is. `f` must not sleep.
pub(crate) fn look_at(place: Place, f: impl FnOnce(Holder, &HeldLocks)) {
    with_copy(place, |held| {
        if let Some(held) = held.filter(|held| !held.is_empty()) {
            show(place, held, f);
        }
    });
}

/// Lets `f` look at a lock that `who` handed over. `f` must not sleep.
pub(crate) fn look_at_handed(who: Who, entry: &Entry, f: impl FnOnce(Holder, &HeldLocks)) {
    with_reader(|copy| {
        copy.0.reset(epoch());
        copy.0.put_alone(entry);
        f(Holder::Task(who), &copy.0);
    });
}

fn show(place: Place, held: &HeldLocks, f: impl FnOnce(Holder, &HeldLocks)) {
    let holder = match place {
        Place::Interrupt(cpu, level, _) => Some(Holder::Interrupt(cpu, level)),
        Place::Task(context) => match context.owner.load(Relaxed) {
            // What an interrupt put aside is no task's.
            aside if aside & 1 != 0 => {
                print::task(context.saver.load(Relaxed)).or(Some(Who::default()))
            }
            task => print::task(task),
        }
        .map(Holder::Task),
    };
    if let Some(holder) = holder {
        f(holder, held);
    }
}

fn is_current(task: usize) -> bool {
    // SAFETY: `get_current()` reads a per-CPU variable that is always valid for the running task.
    task == unsafe { kernel::bindings::get_current() } as usize
}

impl Copied {
    /// Copies what is held in `context`, as far as it is known; `None`, if it changes hands meanwhile.
    fn take(&mut self, context: &'static Context) -> Option<&HeldLocks> {
        // What was recorded before a switch is not known to be held any more.
        let known = self.copy(context) && self.0.catch_up(epoch());
        self.0.drop_gone(|handle| Hierarchy::live(handle).is_some());
        known.then_some(&self.0)
    }

    /// Copies what `context` says; `false`: it changes hands meanwhile.
    ///
    /// The owner may record meanwhile: the copy is of integers only, none of which is used as an
    /// address or an unchecked index, and torn at worst for locks that come and go.
    fn copy(&mut self, context: &'static Context) -> bool {
        let of = || (context.owner.load(Acquire), context.serial.load(Relaxed));
        let before = of();
        if before.0 == TAKEN {
            return false;
        }
        let copy = |to: &mut HeldLocks, size| {
            // SAFETY: The destination is valid for writes of held locks, of which `size` is no more than the
            // size, any bytes are some, and the source stays a context while the module is loaded.
            unsafe {
                bindings::reeve_helper_copy_context(
                    core::ptr::from_mut(to).cast(),
                    context.held.get().cast(),
                    size,
                )
            }
        };
        // Most hold nothing, and interrupts are off meanwhile.
        let head = copy(&mut self.0, HeldLocks::HEAD);
        if head && self.0.is_empty() {
            self.0.take_more();
            barrier::smp_mb(barrier::Full);
            return of() == before;
        }
        let copied = head && copy(&mut self.0, core::mem::size_of::<HeldLocks>());
        let more = self.0.more().is_none_or(|more| {
            // SAFETY: The destination is valid for writes, of `CopiedMore`'s one accessor; the source, which
            // the context led to, stays such room while the module is loaded, and is read as integers.
            let copied = unsafe {
                bindings::reeve_helper_copy_context(
                    MORE.0.get().cast(),
                    core::ptr::from_ref(more).cast(),
                    core::mem::size_of::<More>(),
                )
            };
            // SAFETY: It stays, and nothing writes to it while it is looked at through the copy.
            self.0.set_more(unsafe { &*MORE.0.get() });
            copied
        });
        let copied = copied && more;
        barrier::smp_mb(barrier::Full);
        copied && of() == before
    }
}

/// How many contexts each CPU has for its interrupts; the last ones are of NMIs within NMIs.
pub(super) const CONTEXTS: u32 = bindings::REEVE_IRQ_LEVELS;
const NMI: u32 = bindings::REEVE_IRQ_NMI;
const _: () = {
    assert!(NMI as usize == LEVELS.len() - 1);
    assert!(CONTEXTS == NMI + bindings::REEVE_NMI_DEPTH);
};

/// The contexts of all interrupt levels of all possible CPUs; they live as long as the module.
pub(super) fn interrupt_contexts() -> impl Iterator<Item = (u32, &'static str, &'static Context)> {
    // SAFETY: The helper reads a variable that is set before modules are loaded.
    let cpus = unsafe { bindings::reeve_helper_nr_cpu_ids() };
    (0..cpus).flat_map(|cpu| {
        (0..CONTEXTS).filter_map(move |level| {
            let name = LEVELS.get(level.min(NMI) as usize)?;
            // SAFETY: `level` is in range, and the helper checks `cpu`.
            let context = unsafe { bindings::reeve_helper_irq_context(cpu, level) };
            // SAFETY: Null or a context, which stays one while the module is loaded.
            let context = unsafe { context.cast::<Context>().as_ref() }?;
            Some((cpu, *name, context))
        })
    })
}
