// SPDX-License-Identifier: GPL-2.0

//! Orders across hierarchies: all locks of one come before some of another.
//!
//! A declaration is an edge between two slots of the table of hierarchies, with the order of the inner
//! one from which on its locks come after all of the outer one. What follows from several of them is
//! kept in a table, so that a record asks for one byte. Edges in a circle contradict each other.
#![deny(unsafe_code)]

use super::rules::conflict::SLOTS;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// How many declarations there may be.
pub(super) const MAX_EDGES: usize = 128;

const HIERARCHIES: usize = SLOTS as usize;

type Row = [Atomic<u32>; HIERARCHIES];

/// Of each outer hierarchy and each inner one the order from which on locks of the inner one forbid
/// taking any of the outer one; 0: none does. Also what follows.
static BARRED: [Row; HIERARCHIES] =
    [const { [const { Atomic::new(0) }; HIERARCHIES] }; HIERARCHIES];

/// The outer hierarchies of which there is something in [`BARRED`]; for a moment others as well.
static OUTER: Atomic<u64> = Atomic::new(0);

/// What was declared, packed; 0: free.
static EDGES: [Atomic<u32>; MAX_EDGES] = [const { Atomic::new(0) }; MAX_EDGES];

/// All locks of the hierarchy in the slot `outer` come before those of `order` and deeper ones of `inner`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) outer: u8,
    pub(super) inner: u8,
    /// Not 0.
    pub(super) order: u8,
}

impl Edge {
    fn pack(self) -> u32 {
        u32::from_le_bytes([self.outer, self.inner, self.order, 0])
    }

    fn unpack(word: u32) -> Option<Self> {
        let [outer, inner, order, _] = word.to_le_bytes();
        (order != 0).then_some(Self {
            outer,
            inner,
            order,
        })
    }
}

/// What was declared.
pub(super) fn edges() -> impl Iterator<Item = Edge> {
    EDGES
        .iter()
        .filter_map(|word| Edge::unpack(word.load(Relaxed)))
}

/// Whether locks of other hierarchies may forbid taking one of the hierarchy in this slot.
#[inline(always)]
pub(super) fn speaks_of(slot: u8) -> bool {
    OUTER.load(Relaxed) >> (slot & 63) & 1 != 0
}

fn place(outer: u8, inner: u8) -> Option<&'static Atomic<u32>> {
    BARRED.get(usize::from(outer))?.get(usize::from(inner))
}

/// From which order on held locks of the hierarchy in the slot `inner` forbid taking one of `outer`; 0: none
/// does.
pub(super) fn barred_from(outer: u8, inner: u8) -> u8 {
    place(outer, inner).map_or(0, |place| place.load(Relaxed) as u8)
}

/// Takes up a declaration. ELOOP: another one says the contrary, or it does itself. ENOSPC: there are
/// [`MAX_EDGES`]. One caller at a time.
pub(super) fn declare(edge: Edge) -> Result {
    if edge.outer == edge.inner || barred_from(edge.inner, edge.outer) != 0 {
        return Err(ELOOP);
    }
    let same = |word: &&Atomic<u32>| {
        Edge::unpack(word.load(Relaxed))
            .is_some_and(|old| (old.outer, old.inner) == (edge.outer, edge.inner))
    };
    let free = |word: &&Atomic<u32>| word.load(Relaxed) == 0;
    match EDGES.iter().find(same).or_else(|| EDGES.iter().find(free)) {
        Some(word) => {
            let old = Edge::unpack(word.load(Relaxed)).map_or(u8::MAX, |old| old.order);
            let order = edge.order.min(old);
            word.store(Edge { order, ..edge }.pack(), Relaxed);
            follow(edge);
            Ok(())
        }
        None => Err(ENOSPC),
    }
}

/// Forgets what was declared of the hierarchy in this slot. One caller at a time.
pub(super) fn forget(slot: u8) {
    let mut forgot = false;
    for word in &EDGES {
        let edge = Edge::unpack(word.load(Relaxed));
        if edge.is_some_and(|edge| edge.outer == slot || edge.inner == slot) {
            word.store(0, Relaxed);
            forgot = true;
        }
    }
    if !forgot {
        return;
    }
    for place in BARRED.iter().flatten() {
        place.store(0, Relaxed);
    }
    edges().for_each(follow);
    // Last: an outer hierarchy is one throughout.
    let is_outer = |row: &Row| row.iter().any(|place| place.load(Relaxed) != 0);
    let set = BARRED.iter().enumerate().filter(|(_, row)| is_outer(row));
    OUTER.store(
        set.fold(0, |set, (outer, _)| set | 1 << (outer & 63)),
        Relaxed,
    );
}

/// Notes what follows from a declaration and those before it: whatever comes before its outer hierarchy
/// comes before its inner one, and before what that comes before.
fn follow(edge: Edge) {
    let all = 0..HIERARCHIES as u8;
    for outer in all.clone() {
        if outer != edge.outer && barred_from(outer, edge.outer) == 0 {
            continue;
        }
        lower(outer, edge.inner, edge.order);
        for inner in all.clone() {
            lower(outer, inner, barred_from(edge.inner, inner));
        }
    }
}

fn lower(outer: u8, inner: u8, order: u8) {
    let Some(place) = place(outer, inner).filter(|_| order != 0) else {
        return;
    };
    let old = place.load(Relaxed) as u8;
    if old == 0 || order < old {
        place.store(order.into(), Relaxed);
        OUTER.store(OUTER.load(Relaxed) | 1 << (outer & 63), Relaxed);
    }
}
