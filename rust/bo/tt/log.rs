// SPDX-License-Identifier: GPL-2.0

//! The dirty log of a TT. What clears a bit protects the page, before the reservation ends.
#![deny(unsafe_code)]

use super::Tt;
use crate::{
    abstractions::{
        gate::Gate,
        mistake,
        task,
        vma::Pages, //
    },
    bo::{
        dirty::{
            DirtyLog,
            Parts, //
        },
        rules::dirty::runs, //
    }, //
};
use kernel::sync::Arc;

/// The most pages that are protected before others may run.
const AT_ONCE: u64 = 512;

/// Goes over what was copied of a log, each piece with its first page.
fn copied(parts: &Parts) -> impl Iterator<Item = (u64, &[u64])> {
    let pieces = parts.pieces(usize::MAX);
    pieces.filter_map(|piece| Some((piece.first_page(), piece.words?)))
}

impl Tt {
    /// Returns its log.
    #[inline]
    pub(in crate::bo) fn log(&self) -> Option<&DirtyLog> {
        self.log.as_deref()
    }

    /// Begins to log writes, which write faults do from before this on. Replaces a log that it has. May
    /// sleep.
    pub(in crate::bo) fn start_log(&mut self, log: Arc<DirtyLog>) {
        let (pages, begins_set) = (log.pages(), log.mode().begins_set());
        self.log = Some(log);
        if !begins_set {
            self.protect(0, pages);
        }
    }

    /// Ends the log.
    pub(in crate::bo) fn stop_log(&mut self) -> Option<Arc<DirtyLog>> {
        self.log.take()
    }

    /// Moves the bits to `to` and protects those pages. Returns how many were set. `None`: there is no
    /// room for them, and nothing has changed. May sleep.
    pub(in crate::bo) fn take_log(&mut self, to: &mut Parts) -> Option<u64> {
        let taken = self.log.as_ref().map_or(Some(0), |log| log.get(true, to))?;
        for (first, words) in copied(to) {
            self.protect_all(first, words);
        }
        Some(taken)
    }

    /// Sets the bits of `from` again, if the log has this number.
    pub(in crate::bo) fn put_back_log(&mut self, number: u64, from: &Parts) {
        for (first, words) in copied(from) {
            self.put_back_words(number, first, words);
        }
    }

    /// Sets the bits of `from`, which begins at page `first`, again, if the log has this number.
    pub(in crate::bo) fn put_back_words(&mut self, number: u64, first: u64, from: &[u64]) {
        if let Some(log) = self.log.as_ref().filter(|log| log.number() == number) {
            log.put_back(first, from);
        }
    }

    /// Clears the bits of `mask`, which becomes those that were set, and protects those pages. Returns
    /// how many there are. May sleep.
    pub(in crate::bo) fn clear_log(&mut self, first: u64, pages: u64, mask: &mut [u64]) -> u64 {
        let log = self.log.as_ref();
        let cleared = log.map_or(0, |log| log.clear(first, pages, mask));
        if cleared != 0 {
            self.protect_all(first, mask);
        }
        cleared
    }

    /// Puts a fence, which opens `gate` when no writers are held back any more. When it returns no user
    /// can write to the pages. May sleep.
    pub(in crate::bo) fn put_fence(&mut self, gate: Arc<Gate>) {
        let Some(log) = &self.log else {
            return;
        };
        let pages = log.pages();
        // Those that are clear are protected already, unless a write fault has just found no fence: it
        // sets its bit before it gives the lock of the entry back.
        if log.put_fence(gate) && !mistake::is_made(c"log_fence") {
            self.protect(0, pages);
        }
    }

    /// Protects the pages whose bits are set in `words`, of which the first is page `first`.
    fn protect_all(&mut self, first: u64, words: &[u64]) {
        for (at, pages) in runs(words) {
            self.protect(first + at, pages);
        }
    }

    /// Makes users fault when they write to these pages the next time. Those that are not in memory are
    /// not mapped.
    fn protect(&mut self, first: u64, pages: u64) {
        if mistake::is_made(c"log_unprotected") || !self.state().is_populated() {
            return;
        }
        let end = first + pages;
        let (mut at, mut entries) = (first, 0);
        while at < end {
            let count = AT_ONCE.min(end - at);
            entries += match &mut self.shmem {
                None => self.pages.protect(at, count),
                Some(shmem) => shmem.protect(at, count),
            };
            at += count;
            task::cond_resched();
        }
        if let Some(log) = &self.log {
            log.count_protections(entries);
        }
    }
}
