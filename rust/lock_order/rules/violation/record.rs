// SPDX-License-Identifier: GPL-2.0-or-later

//! What a report says, as plain values, and packed into words that can be stored without a lock.

#![deny(unsafe_code)]

use super::Violation;
use crate::lock_order::rules::{
    conflict::Rules,
    held::{
        Entry,
        HeldLocks,
        LockUse, //
    }, //
};

/// How many held locks a record keeps; those that conflict come first.
pub const MAX_SHOWN: usize = 12;

/// Bytes of a task's name.
pub const COMM: usize = 16;

/// Words of a packed record.
pub const WORDS: usize = HEAD + MAX_SHOWN * PER_HELD;
const HEAD: usize = 8;
const PER_HELD: usize = 2;

/// Who did it, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Nanoseconds on the clock of the kernel log.
    pub time: u64,
    /// The task's pid.
    pub pid: u32,
    /// The CPU it ran on.
    pub cpu: u32,
    /// 0: the task itself; otherwise an interrupt, see [`LEVELS`].
    pub level: u8,
    /// The task's name, ended by a 0.
    pub comm: [u8; COMM],
}

/// Names of the levels of interrupts, those that may interrupt others last.
pub const LEVELS: [&str; 3] = ["soft", "hard", "nmi"];

impl Who {
    /// The name of the interrupt's level; `None`: it was the task itself.
    pub fn level_name(&self) -> Option<&'static str> {
        let index = usize::from(self.level).checked_sub(1)?;
        LEVELS.get(index).copied()
    }

    /// The task's name.
    pub fn comm(&self) -> &[u8] {
        let end = self.comm.iter().position(|&byte| byte == 0);
        self.comm.get(..end.unwrap_or(COMM)).unwrap_or(&[])
    }
}

/// A lock that was held when the violation was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its order.
    pub order: u8,
    /// Whether it was held exclusively.
    pub exclusive: bool,
    /// Whether it is what makes the use incorrect.
    pub conflicts: bool,
    /// The slot of its hierarchy, plus 1; 0: it is of the one that the use is of.
    pub other: u8,
    /// Where it was taken.
    pub site: u32,
    /// Its address.
    pub instance: usize,
}

/// One violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who and when.
    pub who: Who,
    /// A small number for the operation.
    pub doing: u8,
    /// [`Violation::kind`].
    pub kind: u8,
    /// The order the operation was about; 0: none.
    pub order: u8,
    /// The flags it was called with, as far as they are modes and modifiers.
    pub flags: u8,
    /// The lock's address.
    pub lock: usize,
    /// Where the call came from.
    pub site: u32,
    /// How many of `held` are used.
    pub shown: u8,
    /// Locks held that there was no room for.
    pub left_out: u8,
    /// The locks of the hierarchy that were held: first those that conflict.
    pub held: [Shown; MAX_SHOWN],
}

impl Record {
    /// The record of a violation that no held lock has to do with.
    pub fn bare(who: Who, doing: u8, violation: Violation, u: LockUse) -> Self {
        Self {
            who,
            doing,
            kind: violation.kind() as u8,
            // An order that does not fit is none of the hierarchy's.
            order: u8::try_from(u.order).unwrap_or(0),
            flags: u.flags as u8,
            lock: u.instance,
            site: u.site,
            shown: 0,
            left_out: 0,
            held: [Shown::default(); MAX_SHOWN],
        }
    }

    /// The record of `violation`, found in the use `u` while `held` was held.
    pub fn new(
        who: Who,
        doing: u8,
        violation: Violation,
        u: LockUse,
        rules: &Rules<'_>,
        held: &HeldLocks,
    ) -> Self {
        let mut record = Self::bare(who, doing, violation, u);
        for conflicts in [true, false] {
            for (index, entry) in held.indexed() {
                let is_own = entry.hierarchy == rules.token;
                let is_conflict = held.is_conflict(rules, u, violation, index);
                if is_conflict == conflicts && (is_own || is_conflict) {
                    let other = if is_own {
                        0
                    } else {
                        (rules.slot_of)(entry.hierarchy) + 1
                    };
                    record.show(&entry, conflicts, other);
                }
            }
        }
        record
    }

    /// The record of a violation that just this held lock has to do with.
    pub fn of_held(who: Who, doing: u8, violation: Violation, u: LockUse, held: &Entry) -> Self {
        let mut record = Self::bare(who, doing, violation, u);
        record.show(held, true, 0);
        record
    }

    fn show(&mut self, entry: &Entry, conflicts: bool, other: u8) {
        match self.held.get_mut(usize::from(self.shown)) {
            Some(place) => {
                *place = Shown {
                    order: entry.order,
                    exclusive: entry.exclusive,
                    conflicts,
                    other,
                    site: entry.site,
                    instance: entry.instance,
                };
                self.shown += 1;
            }
            None => self.left_out = self.left_out.saturating_add(1),
        }
    }

    /// The held locks that are kept.
    pub fn held(&self) -> &[Shown] {
        let used = usize::from(self.shown).min(MAX_SHOWN);
        self.held.get(..used).unwrap_or(&[])
    }

    /// The order of the first lock that conflicts; 0: none does.
    pub fn against(&self) -> u8 {
        let first = self.held().first();
        first
            .filter(|held| held.conflicts)
            .map_or(0, |held| held.order)
    }

    /// The slot of that lock's hierarchy, plus 1; 0: it is of the one that the use is of.
    pub fn against_other(&self) -> u8 {
        let first = self.held().first();
        first
            .filter(|held| held.conflicts)
            .map_or(0, |held| held.other)
    }

    /// The record as words.
    pub fn pack(&self) -> [u64; WORDS] {
        let small = [
            self.doing,
            self.kind,
            self.order,
            self.flags,
            self.shown,
            self.left_out,
            self.who.level,
            0,
        ];
        let head: [u64; HEAD] = [
            u64::from_le_bytes(small),
            self.who.time,
            join(self.who.pid, self.who.cpu),
            eight_bytes(&self.who.comm, 0),
            eight_bytes(&self.who.comm, 8),
            self.lock as u64,
            self.site.into(),
            0,
        ];
        let held = self.held().iter().flat_map(|held| {
            let how = u32::from_le_bytes([
                held.order,
                held.exclusive.into(),
                held.conflicts.into(),
                held.other,
            ]);
            [join(how, held.site), held.instance as u64]
        });
        let mut words = [0; WORDS];
        for (place, word) in words.iter_mut().zip(head.into_iter().chain(held)) {
            *place = word;
        }
        words
    }

    /// The inverse of [`pack`](Self::pack).
    pub fn unpack(words: &[u64; WORDS]) -> Self {
        let [doing, kind, order, flags, shown, left_out, level, _] = words[0].to_le_bytes();
        let (pid, cpu) = split(words[2]);
        let mut comm = [0; COMM];
        let bytes = [words[3], words[4]].map(u64::to_le_bytes);
        for (place, byte) in comm.iter_mut().zip(bytes.into_iter().flatten()) {
            *place = byte;
        }
        let mut held = [Shown::default(); MAX_SHOWN];
        let mut rest = words.iter().skip(HEAD);
        for held in &mut held {
            let (Some(&word), Some(&instance)) = (rest.next(), rest.next()) else {
                break;
            };
            let (how, site) = split(word);
            let [order, exclusive, conflicts, other] = how.to_le_bytes();
            *held = Shown {
                order,
                exclusive: exclusive != 0,
                conflicts: conflicts != 0,
                other,
                site,
                instance: instance as usize,
            };
        }
        Self {
            who: Who {
                time: words[1],
                pid,
                cpu,
                level,
                comm,
            },
            doing,
            kind,
            order,
            flags,
            lock: words[5] as usize,
            site: words[6] as u32,
            shown,
            left_out,
            held,
        }
    }
}

fn eight_bytes(bytes: &[u8; COMM], from: usize) -> u64 {
    let bytes = bytes.iter().skip(from).take(8).rev();
    bytes.fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn split(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}
