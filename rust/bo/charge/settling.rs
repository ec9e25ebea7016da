// SPDX-License-Identifier: GPL-2.0

//! How a charge that finds no room under a hard limit waits for operations that are in flight.
//!
//! An object that is being populated can't be evicted, and one that is reserved is passed over. So
//! two populates that fit one after the other could refuse each other. Here the later one waits: it
//! takes its charge back, and looks again whenever a reservation has ended, until there is room, or
//! nothing but tasks that wait as well is in flight.
//!
//! A task that waits has nothing charged at the limit for which it waits, and limits are charged in
//! the same order by all: client, user, dmem, module. So there is always one that goes on.
#![deny(unsafe_code)]

use crate::abstractions::page_counters;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        barrier::smp_mb, //
    }, //
};

/// The lower half of [`Settling::word`].
const SLEEPERS: u64 = u32::MAX as u64;

/// What is in flight, and who waits for it.
pub(crate) struct Settling {
    /// Reservations that are held. Only counted while a limit is hard.
    busy: Atomic<u64>,
    /// Tasks in [`Settling::retry`].
    interested: Atomic<u64>,
    /// Upper half: how often a reservation ended while there were such tasks. Lower half: how many
    /// of these sleep since it did so last.
    word: Atomic<u64>,
}

/// A reservation that is in flight; to be dropped after the reservation has ended.
pub(in crate::bo) struct Busy<'a>(&'a Settling);

/// A task that has to be told when a reservation ends.
struct Interest<'a>(&'a Settling);

impl Settling {
    pub(in crate::bo) const fn new() -> Self {
        Self {
            busy: Atomic::new(0),
            interested: Atomic::new(0),
            word: Atomic::new(0),
        }
    }

    /// Counts a reservation that was taken. Any context.
    #[inline]
    pub(in crate::bo) fn begin(&self) -> Busy<'_> {
        self.busy.add(1u64, Relaxed);
        Busy(self)
    }

    /// Calls `attempt` until it returns a value, an error, or `None` while nothing else is in
    /// flight that could make room. Waits in between, with the caller's reservation held.
    ///
    /// Returns `EINTR` if a fatal signal arrived. May sleep.
    pub(in crate::bo) fn retry<T>(
        &self,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.interested.fetch_add(1u64, Full);
        let _interest = Interest(self);
        loop {
            let seen = generation(self.word.load(Acquire));
            if let Some(value) = attempt()? {
                return Ok(Some(value));
            }
            if !self.wait(seen)? {
                return Ok(None);
            }
        }
    }

    /// Returns how many tasks sleep.
    #[cfg(reeve_kunit)]
    pub(in crate::bo) fn sleepers(&self) -> u64 {
        self.word.load(Relaxed) & SLEEPERS
    }

    /// Waits until a reservation has ended since the generation was `seen`. Returns `false` if there
    /// is nothing to wait for, `EINTR` if a fatal signal arrived.
    fn wait(&self, seen: u32) -> Result<bool> {
        let mut word = self.word.load(Acquire);
        loop {
            if generation(word) != seen {
                return Ok(true);
            }
            // The caller's reservation is counted, too.
            let alone = self.busy.load(Acquire) <= (word & SLEEPERS) + 1;
            // If it is alone, this only looks whether the word is still the same.
            let next = if alone { word } else { word + 1 };
            match self.word.cmpxchg(word, next, Full) {
                Ok(_) if alone => return Ok(false),
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        let result = page_counters::wait_until_settled(&self.word, seen);
        if result.is_err() {
            self.wake_up_alone(seen);
        }
        result.map(|()| true)
    }

    /// Ends the sleep of a task that was not woken by [`Settling::settle`].
    fn wake_up_alone(&self, seen: u32) {
        let mut word = self.word.load(Relaxed);
        while generation(word) == seen {
            match self.word.cmpxchg(word, word - 1, Full) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Has all that sleep look again.
    #[cold]
    fn settle(&self) {
        let mut word = self.word.load(Relaxed);
        loop {
            let next = u64::from(generation(word).wrapping_add(1)) << 32;
            match self.word.cmpxchg(word, next, Full) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        page_counters::wake_settled();
    }
}

/// Returns the upper half of the word.
const fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}

impl Drop for Busy<'_> {
    #[inline]
    fn drop(&mut self) {
        // Once before and once after: a task that looks in between finds that something has ended,
        // or that this is still in flight and is going to end.
        smp_mb(Full);
        if self.0.interested.load(Relaxed) != 0 {
            self.0.settle();
        }
        self.0.busy.fetch_sub(1u64, Full);
        if self.0.interested.load(Relaxed) != 0 {
            self.0.settle();
        }
    }
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        self.0.interested.fetch_sub(1u64, Full);
    }
}
