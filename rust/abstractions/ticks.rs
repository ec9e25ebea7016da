// SPDX-License-Identifier: GPL-2.0

//! The CPU's time stamp counter.

/// Reads the counter. What a tick is depends on the machine.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    // SAFETY: Every x86-64 CPU has the instruction, and the kernel may always use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}
