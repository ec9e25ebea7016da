// SPDX-License-Identifier: GPL-2.0-or-later

//! The rules of one hierarchy, as plain values.

#![deny(unsafe_code)]

use super::flags;

/// The largest order a hierarchy may have; orders run from 1 to its count.
pub const MAX_ORDERS: u32 = 64;

/// The most conflict rules one hierarchy may carry.
pub const MAX_RULES: usize = 32;

/// The bit of `order` in a set of orders; 0 for an order that cannot exist.
#[inline(always)]
pub const fn order_bit(order: u32) -> u64 {
    if order == 0 || order > MAX_ORDERS {
        0
    } else {
        1 << (order - 1)
    }
}

/// *`order` may not be taken while `while_held` is held in `mode`, unless `unless_held` is.*
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The order being taken.
    pub order: u8,
    /// The order that must not be held then.
    pub while_held: u8,
    /// The modes of `while_held` that conflict: any mix of the mode flags.
    pub mode: u8,
    /// The order that makes it legal all the same; 0: none.
    pub unless_held: u8,
}

impl Rule {
    /// Checks that the rule speaks of orders of a hierarchy of `count` orders and of real modes.
    pub const fn is_valid(&self, count: u32) -> bool {
        self.order as u32 >= 1
            && self.order as u32 <= count
            && self.while_held as u32 >= 1
            && self.while_held as u32 <= count
            && self.unless_held as u32 <= count
            && self.order != self.while_held
            && self.mode as u32 & flags::MODE_MASK != 0
            && self.mode as u32 & !flags::MODE_MASK == 0
    }

    /// One word, so that a rule can be published in an atomic.
    pub const fn pack(self) -> u32 {
        u32::from_le_bytes([self.order, self.while_held, self.mode, self.unless_held])
    }

    /// The inverse of [`Rule::pack`].
    pub const fn unpack(word: u32) -> Self {
        let [order, while_held, mode, unless_held] = word.to_le_bytes();
        Self {
            order,
            while_held,
            mode,
            unless_held,
        }
    }
}

/// How many groups of orders a hierarchy may have, see [`Group`].
pub const MAX_GROUPS: usize = 4;

/// Orders whose locks may be taken in any order, and several of each, while one is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Set of the orders.
    pub orders: u64,
    /// The order that has to be held exclusively meanwhile; 0: there is no group.
    pub under: u8,
}

/// What a hierarchy says of its orders beyond their sequence. All but `groups` are sets of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Waiting for such a lock may sleep.
    pub sleeps: u64,
    /// Nothing may sleep while such a lock is held.
    pub spins: u64,
    /// Handlers of interrupts take such a lock, so it is taken with interrupts off.
    pub irq_safe: u64,
    /// A reader of such a lock may take it once more.
    pub recursive: u64,
    /// Orders without a sequence of their own.
    pub groups: [Group; MAX_GROUPS],
}

impl Attributes {
    /// Says nothing.
    pub const NONE: Self = Self {
        sleeps: 0,
        spins: 0,
        irq_safe: 0,
        recursive: 0,
        groups: [Group {
            orders: 0,
            under: 0,
        }; MAX_GROUPS],
    };

    /// Whether it depends on more than what is held whether `order` may be taken.
    pub const fn speaks_of(&self, order: u32) -> bool {
        (self.sleeps | self.spins | self.irq_safe | self.recursive) & order_bit(order) != 0
    }
}

/// How many hierarchies there are at once.
pub const SLOTS: u8 = 64;

/// Locks of no other hierarchy forbid taking one of this, see [`Rules::barred_from`].
pub fn not_barred(_: usize, _: usize) -> u8 {
    0
}

/// All hierarchies are in the first slot, see [`Rules::slot_of`].
pub fn first_slot(_: usize) -> u8 {
    0
}

/// What an operation needs to know of its hierarchy.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Which hierarchy it is, of all that were ever registered, nearly; held locks are told apart by it.
    /// Not 0 or 1.
    pub token: usize,
    /// How many orders it has; at most [`MAX_ORDERS`].
    pub count: u32,
    /// Set of the orders that may be nested by key (the instance's address).
    pub nestable: u64,
    /// The conflict rules.
    pub conflicts: &'a [Rule],
    /// What else it says of its orders.
    pub attributes: Attributes,
    /// Locks of other hierarchies may forbid taking one of this.
    pub is_barred: bool,
    /// From which order on held locks of another hierarchy, whose token comes second, forbid taking one of
    /// this; 0: none does.
    pub barred_from: fn(usize, usize) -> u8,
    /// The slot of the hierarchy with this token.
    pub slot_of: fn(usize) -> u8,
}

impl Rules<'_> {
    /// Returns whether `order` exists here.
    #[inline(always)]
    pub const fn has(&self, order: u32) -> bool {
        order.wrapping_sub(1) < self.count
    }

    /// Returns whether several locks of `order` may be held at once.
    #[inline(always)]
    pub const fn is_nestable(&self, order: u32) -> bool {
        self.nestable & order_bit(order) != 0
    }
}
