// SPDX-License-Identifier: GPL-2.0

//! How a context begins and ends, and what its owner may do with it meanwhile.

use super::{
    table::{
        epoch,
        ABSENT,
        TABLE, //
    },
    words::Context, //
};
use crate::{
    abstractions::bindings,
    lock_order::{
        hierarchy::Hierarchy,
        rules::{
            context_table::{
                Found,
                Owner,
                Slot, //
            },
            held::{
                room::More,
                HeldLocks,
                Origin, //
            }, //
        }, //
    }, //
};
use core::ptr::NonNull;
use kernel::sync::atomic::Relaxed;

/// What a caller passes to pair calls.
pub(super) type Cookie = NonNull<bindings::reeve_thread_context>;

/// The owner of a context that is being taken from a task that has ended; no task's address.
pub(super) const TAKEN: usize = 1;

/// Set in a context's cookie where [`HeldLocks::more`] has to be given back, or the table told: where
/// [`end_of`] does not do.
pub(super) const IS_UNUSUAL: usize = 1;

/// The caller's context, as the C entry points found it.
///
/// # Invariants
///
/// It is [`ABSENT`], or the context of the task or interrupt level that is running; nothing else
/// writes to it.
#[derive(Clone, Copy)]
pub(crate) struct Current(pub(super) &'static Context);

impl Current {
    /// Wraps what `reeve_context()` in lock_order/api.c found.
    ///
    /// # Safety
    ///
    /// `raw` must be the result of `reeve_context()` in this very call from C, and the value must
    /// not outlive that call.
    #[inline(always)]
    pub(crate) unsafe fn new(raw: *mut bindings::reeve_context) -> Self {
        // SAFETY: `reeve_context()`, whose result `raw` is by the contract, returns a context that
        // carries the task, the absent one, or an interrupt's: none is null, and all stay contexts
        // while the module is loaded.
        // INVARIANT: `reeve_context()` returns the context of the task or level that runs, or the
        // absent one, and the value does not outlive the call, by the contract.
        Self(unsafe { &*raw.cast::<Context>() })
    }

    pub(crate) fn is_absent(self) -> bool {
        core::ptr::eq(self.0, &raw const ABSENT)
    }

    /// Lets `look` see the held locks, those of an absent context too.
    ///
    /// `look` must not call back into lock-order tracking.
    #[inline(always)]
    pub(crate) fn look_fast<R>(self, look: impl FnOnce(&HeldLocks) -> R) -> R {
        // SAFETY: The context is valid and initialised. It is the caller's own, so nothing writes to it
        // meanwhile, or the absent one, to which nothing ever does, by the invariant of `Current`.
        look(unsafe { &*self.0.held.get() })
    }

    /// A fast path: lets `decide` see the held locks, and if it decides something, `act` change them.
    /// `false`: declined, nothing was changed.
    ///
    /// # Safety
    ///
    /// `decide` must decline held locks that stand for an absent context. Neither may call back into
    /// lock-order tracking.
    #[inline(always)]
    pub(crate) unsafe fn with_held_fast<D>(
        self,
        decide: impl FnOnce(&HeldLocks) -> Option<D>,
        act: impl FnOnce(&mut HeldLocks, D),
    ) -> bool {
        let Some(decided) = self.look_fast(decide) else {
            return false;
        };
        // SAFETY: The context is not the absent one, which `decide` declines by this function's
        // contract; so it is valid, initialised and the caller's own, by the invariant of `Current`, and
        // the reference that `decide` had is gone.
        act(unsafe { &mut *self.0.held.get() }, decided);
        true
    }

    /// Runs `f` on the held locks as far as they are known; `None` when there is no context, and
    /// `unknown` while tracking is being switched.
    ///
    /// `f` must not call back into lock-order tracking.
    pub(crate) fn with_known<R>(
        self,
        unknown: R,
        f: impl FnOnce(&mut HeldLocks) -> R,
    ) -> Option<R> {
        self.with_held(|held| {
            if held.catch_up(epoch()) {
                held.drop_gone(|handle| Hierarchy::live(handle).is_some());
                f(held)
            } else {
                unknown
            }
        })
    }

    /// Runs `f` on the held locks and the epoch of tracking; `false` when there is no context.
    ///
    /// `f` must not call back into lock-order tracking.
    #[inline(always)]
    pub(crate) fn with_held_usual(self, f: impl FnOnce(&mut HeldLocks, u32) -> bool) -> bool {
        if self.look_fast(HeldLocks::is_absent) {
            return false;
        }
        // SAFETY: Not absent, so valid, initialised and the caller's own, by the invariant of `Current`.
        f(unsafe { &mut *self.0.held.get() }, epoch())
    }

    /// Forgets what is held, if there is a context.
    pub(crate) fn forget_all(self) {
        self.with_held(|held| held.reset(epoch()));
        self.settle();
    }

    /// Ends the context if a record gave it and nothing is held any more. It must not be used
    /// afterwards.
    #[inline]
    pub(crate) fn settle(self) {
        if self.look_fast(HeldLocks::may_go) {
            end_complete(self.0, self.0.owner.load(Relaxed));
        }
    }

    /// Keeps the context while an operation goes on that may run others of the same thread, in a
    /// console; [`finished`](Self::finished) is to follow if the result is `true`.
    pub(crate) fn keep(self) -> bool {
        let is_given = self.origin() == Origin::Given;
        if is_given {
            self.set_origin(Origin::Busy);
        }
        is_given
    }

    /// The operation that the context was kept for is over; it must not be used afterwards.
    pub(crate) fn finished(self) {
        self.set_origin(Origin::Given);
        self.settle();
    }

    /// How the thread came to the context.
    pub(crate) fn origin(self) -> Origin {
        self.look_fast(HeldLocks::origin)
    }

    pub(super) fn set_origin(self, origin: Origin) {
        self.with_held(|held| held.set_origin(origin));
    }

    /// Runs `f` on the held locks; `None` when there is no context.
    ///
    /// `f` must not call back into lock-order tracking.
    pub(crate) fn with_held<R>(self, f: impl FnOnce(&mut HeldLocks) -> R) -> Option<R> {
        if self.is_absent() {
            return None;
        }
        // SAFETY: Not absent, so valid, initialised and the caller's own, by the invariant of `Current`.
        Some(f(unsafe { &mut *self.0.held.get() }))
    }
}

pub(super) fn set_token(cookie: Cookie, token: u64) {
    // SAFETY: A cookie is valid for writes by the contract of what it is passed to, and starts with a
    // word.
    unsafe { cookie.cast::<u64>().as_ptr().write(token) };
}

pub(super) fn token(cookie: Cookie) -> u64 {
    // SAFETY: A cookie is valid for reads by the contract of what it is passed to, and starts with a
    // word; any bits are one.
    unsafe { cookie.cast::<u64>().as_ptr().read_volatile() }
}

/// Another context, claimed with `key`; `None`: no memory.
#[cold]
pub(super) fn take(key: usize) -> Option<&'static Context> {
    // SAFETY: Any context but an NMI, where nothing is entered, may take one.
    let raw = unsafe { bindings::reeve_helper_stock_take() };
    // SAFETY: Null or all 0, of the size of a context, and it stays one; bits of 0 are a valid one.
    let context = unsafe { raw.cast::<Context>().as_ref() }?;
    // SAFETY: It is not in the table yet, so nothing else accesses it.
    unsafe { (*context.held.get()).reset(0) };
    TABLE.add(key, context);
    Some(context)
}

/// Makes `context`, which the current task has claimed, its own, entered with `cookie` at `site`.
#[inline(always)]
pub(super) fn begin(context: &'static Context, cookie: usize, site: u32) {
    start(context, cookie, site, epoch());
    begun(context);
}

/// The last step of [`begin`]: returns `true`.
#[inline(always)]
pub(super) fn begun(context: &'static Context) -> bool {
    // SAFETY: The context carries the current task; the helper takes the reference that goes with it.
    unsafe { bindings::reeve_helper_begun(as_c(context)) }
}

#[inline(always)]
pub(super) fn start(context: &'static Context, cookie: usize, site: u32, epoch: u32) {
    let serial = context.serial.load(Relaxed).wrapping_add(1);
    context.serial.store(serial, Relaxed);
    context.cookie.store(cookie, Relaxed);
    context.site.store(site, Relaxed);
    // SAFETY: The current task has claimed it, so nothing else accesses it, see `Context`.
    unsafe { (*context.held.get()).begin(epoch) };
}

/// Gives `context`, which the caller has claimed and which `task` had, back. It is the first of its chain, and `task`
/// not 0. Returns `true`.
#[inline(always)]
pub(super) fn end_of(context: &'static Context, task: usize) -> bool {
    context.owner.free();
    // SAFETY: The context that carried the task is free now, so the reference that went with it is to be
    // dropped.
    unsafe { bindings::reeve_helper_ended(task) }
}

/// The same, of any one, which may have room for more locks.
pub(super) fn end_complete(context: &'static Context, task: usize) {
    // SAFETY: The caller has claimed it, so nothing else accesses it, see `Context`.
    let more = unsafe { (*context.held.get()).take_more() };
    if let Some(more) = more {
        // SAFETY: It is room that the helper below gave, and the context led to it alone.
        unsafe { bindings::reeve_helper_more_put(core::ptr::from_ref(more).cast_mut().cast()) };
    }
    TABLE.free(context);
    forget_task(task);
}

/// Room for more locks than every context has; `None`: no memory. May sleep.
pub(super) fn more() -> Option<&'static More> {
    // SAFETY: May sleep, as the caller may.
    let raw = unsafe { bindings::reeve_helper_more_take() };
    // SAFETY: Null, or memory of that size, all 0 or what was such room before, which nothing else uses and
    // which stays such room while the module is loaded.
    unsafe { raw.cast::<More>().as_ref() }
}

const _: () = assert!(
    core::mem::size_of::<More>() == bindings::REEVE_MORE_WORDS as usize * 8,
    "REEVE_MORE_WORDS in lock_order.h"
);

impl Current {
    /// Makes room for more locks, if there is a context that has none. `false`: no memory. May sleep.
    pub(crate) fn deepen(self) -> bool {
        if self.is_absent() || self.look_fast(HeldLocks::more).is_some() {
            return true;
        }
        let Some(more) = more() else {
            return false;
        };
        self.with_held(|held| held.set_more(more));
        self.note_unusual();
        true
    }

    /// Makes sure that all that it has is given back.
    pub(super) fn note_unusual(self) {
        let cookie = self.0.cookie.load(Relaxed);
        let has_more = self.look_fast(HeldLocks::more).is_some();
        if cookie != 0 && (has_more || self.0.chain().is_some()) {
            self.0.cookie.store(cookie | IS_UNUSUAL, Relaxed);
        }
    }
}

/// A context for the current task, which has none: a record gives it one, which goes when nothing is
/// held any more. `None`: no memory.
#[inline(never)]
pub(crate) fn give() -> Option<Current> {
    // SAFETY: Looks at the running task only.
    let task = unsafe { bindings::reeve_helper_thread() } as usize;
    if task == 0 {
        // An interrupt, which has its CPU's.
        return None;
    }
    let context = match TABLE.find_or_claim(task) {
        // It has one after all.
        Found::Own(context) => return Some(Current(context)),
        Found::Claimed(context) => context,
        Found::Full => take(task)?,
    };
    begin(context, 0, 0);
    // INVARIANT: It is the context of the current task.
    let current = Current(context);
    current.set_origin(Origin::Given);
    // SAFETY: The helper looks at the current task.
    if epoch() != 0 && unsafe { bindings::reeve_helper_is_older_than_switch() } {
        current.with_held(HeldLocks::forget);
    }
    Some(current)
}

/// Gives the reference to `task` back; 0: none.
#[inline(always)]
pub(super) fn forget_task(task: usize) {
    if task != 0 {
        // SAFETY: The context that carried the task is free now, so the reference that went with
        // it is to be dropped.
        unsafe { bindings::reeve_helper_ended(task) };
    }
}

pub(super) fn as_c(context: &'static Context) -> *mut bindings::reeve_context {
    core::ptr::from_ref(context).cast_mut().cast()
}
