// SPDX-License-Identifier: GPL-2.0

//! The CPU's time stamp counter.

/// Returns the counter; how long a tick is depends on the machine.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    // SAFETY: `rdtsc` exists on every x86-64 CPU and changes nothing but registers; CR4.TSD forbids
    // it to user space at most.
    unsafe { core::arch::x86_64::_rdtsc() }
}
