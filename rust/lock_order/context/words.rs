// SPDX-License-Identifier: GPL-2.0

//! The words of the context table as the kernel has them, and the contexts they lead to.

use crate::lock_order::rules::{
    context_table::{
        Counter,
        Owner,
        Word,
        World, //
    },
    held::HeldLocks, //
};
use core::sync::atomic::{
    compiler_fence,
    Ordering, //
};
use kernel::{
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

/// What `struct reeve_thread_context` really is.
///
/// # Invariants
///
/// While a slot of the table leads to a context, the context is initialised and only the slot's
/// task accesses it, or a reader that the task waits for in
/// [`Table::leave`](crate::lock_order::rules::context_table::Table::leave).
#[repr(C)]
pub(crate) struct Context {
    pub(super) held: HeldLocks,
}

/// The table's words as the kernel has them.
pub(crate) struct Kernel;

impl World for Kernel {
    type Context = *mut Context;
    const NONE: *mut Context = core::ptr::null_mut();
    type Owner = Atomic<usize>;
    type Link = Atomic<*mut Context>;
    type Counter = Atomic<u32>;

    #[inline]
    fn barrier() {
        barrier::smp_mb(barrier::Full);
    }

    #[inline]
    fn relax() {
        cpu_relax();
    }
}

/// The kernel's READ_ONCE and WRITE_ONCE: an `Atomic`'s own loads and stores are calls of C helpers,
/// which is most of what an enter or a leave would cost.
macro_rules! impl_word {
    ($($ty:ty),*) => {$(
        impl Word<$ty> for Atomic<$ty> {
            #[inline(always)]
            fn load(&self) -> $ty {
                // SAFETY: Valid and aligned; the LKMM lets volatile accesses of a machine word
                // race with atomic ones.
                unsafe { self.as_ptr().read_volatile() }
            }

            #[inline(always)]
            fn load_acquire(&self) -> $ty {
                if !cfg!(CONFIG_X86_64) {
                    return self.load(Acquire);
                }
                let value = Word::load(self);
                compiler_fence(Ordering::Acquire);
                value
            }

            #[inline(always)]
            fn store(&self, value: $ty) {
                // SAFETY: `as_ptr` is valid and aligned; the LKMM lets volatile accesses of a machine
                // word race with atomic ones.
                unsafe { self.as_ptr().write_volatile(value) }
            }

            #[inline(always)]
            fn store_release(&self, value: $ty) {
                if !cfg!(CONFIG_X86_64) {
                    return self.store(value, Release);
                }
                // All stores of this processor are releases, and its loads acquires.
                compiler_fence(Ordering::Release);
                Word::store(self, value);
            }
        }
    )*};
}

impl_word!(usize, *mut Context);

impl Owner for Atomic<usize> {
    #[inline]
    fn claim(&self, task: usize) -> bool {
        self.cmpxchg(0, task, Full).is_ok()
    }
}

impl Counter for Atomic<u32> {
    #[inline]
    fn get(&self) -> u32 {
        // SAFETY: `as_ptr` is valid and aligned; the LKMM lets volatile accesses of a machine word
        // race with atomic ones.
        unsafe { self.as_ptr().read_volatile() }
    }

    #[inline]
    fn raise(&self) {
        self.fetch_add(1, Full);
    }

    #[inline]
    fn lower(&self) {
        self.fetch_sub(1, Relaxed);
    }
}
