// SPDX-License-Identifier: GPL-2.0-or-later

//! The step from a clean page to a writable entry, against clears, gets and swapouts on other
//! processors: in no order is a write lost.
//!
//! A page has a bit, which the reservation protects, and an entry, which the processors look at without
//! it. A processor may go on to write by what it has seen of the entry until it is told that the entry
//! has changed, so a change that takes the permission away waits for the writes that have begun.

use std::sync::Arc;

use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::SeqCst;
use loom::sync::Mutex;
use loom::thread;

/// One deliberate mistake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// The fault sets the bit and leaves the entry to the kernel, which makes it writable later.
    EntryLater,
    /// A clear does not protect.
    NotProtected,
    /// A clear does not wait for the processors that may still use the old entry.
    NotFlushed,
    /// A swapout drops the bit.
    SwapoutDropsTheBit,
}

const NONE: u32 = 0;
const READ_ONLY: u32 = 1;
const WRITABLE: u32 = 2;

/// An object of one page with a log.
struct Page {
    mistake: Mistake,
    /// The bit; the mutex is the reservation.
    bit: Mutex<bool>,
    entry: Mutex<u32>,
    /// What the page holds.
    content: AtomicU32,
}

impl Page {
    fn new(mistake: Mistake, entry: u32, bit: bool) -> Arc<Self> {
        Arc::new(Self {
            mistake,
            bit: Mutex::new(bit),
            entry: Mutex::new(entry),
            content: AtomicU32::new(0),
        })
    }

    /// A store, with the faults that it takes.
    fn write(&self, value: u32) {
        for _ in 0..4 {
            let entry = self.entry.lock().unwrap();
            if *entry == WRITABLE {
                // The processor holds on to the entry until the store is done: a flush waits.
                if self.mistake == Mistake::NotFlushed {
                    drop(entry);
                }
                self.content.store(value, SeqCst);
                return;
            }
            let was = *entry;
            drop(entry);
            self.fault(was);
        }
        panic!("the store does not get through");
    }

    /// `fault` or `pfn_mkwrite`, by what the entry was.
    fn fault(&self, was: u32) {
        let mut bit = self.bit.lock().unwrap();
        if self.mistake == Mistake::EntryLater && was == READ_ONLY {
            *bit = true;
            drop(bit);
            let mut entry = self.entry.lock().unwrap();
            if *entry == READ_ONLY {
                *entry = WRITABLE;
            }
            return;
        }
        let mut entry = self.entry.lock().unwrap();
        // As the kernel does: one that is there stays, unless it is asked to make it writable.
        if *entry == was {
            *entry = WRITABLE;
            drop(entry);
            *bit = true;
        }
    }

    /// Clears the bit and protects the page. Returns the content, if the bit was set.
    fn clear(&self) -> Option<u32> {
        let mut bit = self.bit.lock().unwrap();
        let was_set = std::mem::take(&mut *bit);
        if was_set && self.mistake != Mistake::NotProtected {
            let mut entry = self.entry.lock().unwrap();
            if *entry == WRITABLE {
                *entry = READ_ONLY;
            }
        }
        drop(bit);
        was_set.then(|| self.content.load(SeqCst))
    }

    fn swap_out(&self) {
        let mut bit = self.bit.lock().unwrap();
        *self.entry.lock().unwrap() = NONE;
        if self.mistake == Mistake::SwapoutDropsTheBit {
            *bit = false;
        }
    }
}

/// A writer on one processor, another with an entry from before, and a reader who clears or gets and
/// clears as one, and copies what it is told; perhaps a swapout.
fn race(mistake: Mistake, entry: u32, second_writer: bool, swap: bool) {
    let page = Page::new(mistake, entry, entry == WRITABLE);
    let writer = {
        let page = page.clone();
        thread::spawn(move || page.write(1))
    };
    let other = second_writer.then(|| {
        let page = page.clone();
        thread::spawn(move || page.write(2))
    });
    let swapper = swap.then(|| {
        let page = page.clone();
        thread::spawn(move || page.swap_out())
    });
    let mut copy = page.clear().unwrap_or(0);
    writer.join().unwrap();
    for thread in [other, swapper].into_iter().flatten() {
        thread.join().unwrap();
    }
    // With nobody writing, the last get brings what is missing.
    if let Some(content) = page.clear() {
        copy = content;
    }
    assert_eq!(copy, page.content.load(SeqCst), "a write is lost");
}

fn check(mistake: Mistake) {
    for entry in [NONE, READ_ONLY, WRITABLE] {
        for (second, swap) in [(false, false), (true, false), (false, true)] {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(3);
            model.check(move || race(mistake, entry, second, swap));
        }
    }
}

fn caught(mistake: Mistake) {
    let result = std::panic::catch_unwind(|| check(mistake));
    assert!(result.is_err(), "the model does not see it");
}

#[test]
fn no_write_is_lost() {
    check(Mistake::None);
}

#[test]
fn an_entry_that_becomes_writable_later_is_caught() {
    caught(Mistake::EntryLater);
}

#[test]
fn a_clear_without_protection_is_caught() {
    caught(Mistake::NotProtected);
}

#[test]
fn an_old_entry_is_caught() {
    caught(Mistake::NotFlushed);
}

#[test]
fn a_bit_that_a_swapout_drops_is_caught() {
    caught(Mistake::SwapoutDropsTheBit);
}
