// SPDX-License-Identifier: GPL-2.0-or-later

//! Flags of the lock-order operations, with the values of the C API.

#![deny(unsafe_code)]

/// The lock is, or must be, held exclusively.
pub const EXCLUSIVE: u32 = 1 << 0;
/// The lock is, or must be, held shared.
pub const SHARED: u32 = 1 << 1;
/// Checks only: held in whichever mode.
pub const ANY: u32 = EXCLUSIVE | SHARED;
/// The lock was, or would be, taken without waiting, so its order cannot deadlock.
pub const TRYLOCK: u32 = 1 << 2;
/// Unlock only: deeper locks may still be held. Other operations ignore it.
pub const OUT_OF_ORDER: u32 = 1 << 3;
/// Lock only: it is about to be waited for; until it was acquired it counts as held, and is shown as
/// waited for.
pub const WAITING: u32 = 1 << 4;

/// The bits that name a mode.
pub const MODE_MASK: u32 = ANY;
/// All bits that have a meaning.
pub const ALL: u32 = ANY | TRYLOCK | OUT_OF_ORDER | WAITING;

/// Returns whether `flags` names exactly one mode and has no unknown bit.
///
/// `ANY` does not: a lock is held either exclusively or shared.
#[inline(always)]
pub const fn is_one_mode(flags: u32) -> bool {
    // Modes are the values 1 and 2; subtracting 1 maps them to 0 and 1 and all others above.
    flags & !ALL == 0 && (flags & MODE_MASK).wrapping_sub(1) < 2
}

/// Returns whether `flags` names a mode, `ANY` included, and has no unknown bit.
#[inline(always)]
pub const fn is_mode_or_any(flags: u32) -> bool {
    flags & !ALL == 0 && flags & MODE_MASK != 0
}

/// The name of the mode in `flags`, for messages.
pub const fn mode_name(flags: u32) -> &'static str {
    match flags & MODE_MASK {
        EXCLUSIVE => "exclusive",
        SHARED => "shared",
        ANY => "in any mode",
        _ => "no mode",
    }
}
