// SPDX-License-Identifier: GPL-2.0

//! Locks that one thread took and another is to release: between the two nothing holds them but this
//! table.
#![deny(unsafe_code)]

use super::table::epoch;
use crate::lock_order::rules::{
    held::Entry,
    violation::record::Who, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
};

/// How many locks can be on their way at once.
const PLACES: usize = 64;

const FREE: u32 = 0;
const BUSY: u32 = 1;
const FULL: u32 = 2;

/// One lock that was handed over.
///
/// # Invariants
///
/// While `state` is `BUSY`, only what made it so accesses the rest for writing.
struct Place {
    state: Atomic<u32>,
    /// The epoch of tracking that it was handed over in; of an earlier one nothing is known.
    epoch: Atomic<u32>,
    /// Its hierarchy's handle.
    hierarchy: Atomic<usize>,
    /// Its order, and whether it is exclusive.
    what: Atomic<u32>,
    site: Atomic<u32>,
    pid: Atomic<u32>,
    instance: Atomic<usize>,
    key: Atomic<u64>,
    comm: [Atomic<u64>; 2],
}

impl Place {
    const fn new() -> Self {
        Self {
            state: Atomic::new(FREE),
            epoch: Atomic::new(0),
            hierarchy: Atomic::new(0),
            what: Atomic::new(0),
            site: Atomic::new(0),
            pid: Atomic::new(0),
            instance: Atomic::new(0),
            key: Atomic::new(0),
            comm: [const { Atomic::new(0) }; 2],
        }
    }

    /// Makes it busy, if it is in this state.
    fn claim(&self, state: u32) -> bool {
        self.state.cmpxchg(state, BUSY, Full).is_ok()
    }

    fn is_stale(&self) -> bool {
        self.epoch.load(Relaxed) != epoch()
    }

    fn entry(&self) -> Entry {
        let [order, exclusive, ..] = self.what.load(Relaxed).to_le_bytes();
        Entry {
            hierarchy: self.hierarchy.load(Relaxed),
            order,
            exclusive: exclusive != 0,
            out_of_order: true,
            waiting: false,
            site: self.site.load(Relaxed),
            instance: self.instance.load(Relaxed),
            key: self.key.load(Relaxed),
        }
    }

    fn who(&self) -> Who {
        let mut comm = [0; 16];
        let words = self
            .comm
            .iter()
            .map(|word| word.load(Relaxed).to_le_bytes());
        for (place, byte) in comm.iter_mut().zip(words.flatten()) {
            *place = byte;
        }
        Who {
            pid: self.pid.load(Relaxed),
            comm,
            ..Who::default()
        }
    }

    fn store(&self, who: &Who, entry: &Entry) {
        let what = u32::from_le_bytes([entry.order, entry.exclusive.into(), 0, 0]);
        self.hierarchy.store(entry.hierarchy, Relaxed);
        self.what.store(what, Relaxed);
        self.site.store(entry.site, Relaxed);
        self.instance.store(entry.instance, Relaxed);
        self.key.store(entry.key, Relaxed);
        self.pid.store(who.pid, Relaxed);
        for (word, bytes) in self.comm.iter().zip(who.comm.chunks(8)) {
            let bytes = bytes.iter().rev();
            word.store(
                bytes.fold(0, |word, &byte| word << 8 | u64::from(byte)),
                Relaxed,
            );
        }
        self.epoch.store(epoch(), Relaxed);
    }
}

static HANDED: [Place; PLACES] = [const { Place::new() }; PLACES];

/// Whether locks may be on their way that are not in the table: it was full, or tracking was switched.
static IS_UNSURE: Atomic<u32> = Atomic::new(0);

/// A lock was handed over by `who`. Any context.
pub(crate) fn hand_over(who: &Who, entry: &Entry) {
    for place in &HANDED {
        let is_free = place.claim(FREE) || place.is_stale() && place.claim(FULL);
        if is_free {
            place.store(who, entry);
            place.state.store(FULL, Release);
            return;
        }
    }
    forget_handed();
}

/// What is handed over from now on may be so without being in the table.
pub(crate) fn forget_handed() {
    IS_UNSURE.store(1, Relaxed);
}

/// Whether locks may be on their way that are not in the table.
pub(crate) fn may_be_handed() -> bool {
    IS_UNSURE.load(Relaxed) != 0
}

/// Takes a lock that was handed over out of the table. Any context.
pub(crate) fn adopt(hierarchy: usize, order: u32, instance: usize) -> Option<Entry> {
    let is_it = |entry: &Entry| {
        entry.hierarchy == hierarchy
            && u32::from(entry.order) == order
            && entry.instance == instance
    };
    take_out(is_it)
}

/// Forgets what was handed over of this hierarchy.
pub(crate) fn forget_handed_of(hierarchy: usize) {
    while take_out(|entry| entry.hierarchy == hierarchy).is_some() {}
}

fn take_out(wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
    for place in &HANDED {
        if place.state.load(Acquire) != FULL || !wanted(&place.entry()) || !place.claim(FULL) {
            continue;
        }
        let entry = place.entry();
        // It may be another one by now.
        if wanted(&entry) && !place.is_stale() {
            place.state.store(FREE, Release);
            return Some(entry);
        }
        place.state.store(FULL, Release);
    }
    None
}

/// What is on its way, and who handed it over. Exact for what is so throughout.
pub(crate) fn all_handed() -> impl Iterator<Item = (Who, Entry)> {
    let places = HANDED
        .iter()
        .filter(|place| place.state.load(Acquire) == FULL && !place.is_stale());
    places.map(|place| (place.who(), place.entry()))
}
