// SPDX-License-Identifier: GPL-2.0-or-later

//! Plain uses of locks: those whose correctness the order alone decides, as the fast paths know them.
#![deny(unsafe_code)]

use super::conflict::{
    Rule,
    Rules,
    MAX_ORDERS, //
};

/// Packs a use if it is one that the fast paths know: an order that may exist, and just a mode.
#[inline(always)]
pub const fn pack_plain(order: u32, flags: u32) -> Option<u32> {
    if order.wrapping_sub(1) < MAX_ORDERS && flags.wrapping_sub(1) < 2 {
        Some(order | flags << 8)
    } else {
        None
    }
}

/// The mark of `order` in what [`HeldLocks::lock_fast`](super::held::HeldLocks::lock_fast) asks for: the bit of the order's number, 64
/// being 0, which is no order.
#[inline(always)]
pub const fn order_mark(order: u8) -> u64 {
    1u64.wrapping_shl(order as u32)
}

/// Returns whether `order`, taken right after `previous` (0: nothing of its hierarchy) with nothing unusual
/// held, is correct by the order alone. Where nothing is held no rule forbids it. Where locks of other hierarchies
/// may forbid it, the order alone never decides: they may come to do so while all of them are held.
pub fn is_plain(rules: &Rules<'_>, previous: u8, order: u32) -> bool {
    u32::from(previous) < order
        && (previous == 0 || !is_ruled(rules, order))
        && is_free(rules, order)
}

/// Returns whether `order`, taken right after another lock of itself with nothing unusual held, is correct if
/// its key is the higher one.
pub fn nests_plainly(rules: &Rules<'_>, order: u32) -> bool {
    rules.is_nestable(order) && !is_ruled(rules, order) && is_free(rules, order)
}

fn is_ruled(rules: &Rules<'_>, order: u32) -> bool {
    let speaks_of = |rule: &Rule| u32::from(rule.order) == order;
    rules.conflicts.iter().any(speaks_of)
}

fn is_free(rules: &Rules<'_>, order: u32) -> bool {
    rules.has(order) && !rules.is_barred && !rules.attributes.speaks_of(order)
}
