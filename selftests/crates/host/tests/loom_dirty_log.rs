// SPDX-License-Identifier: GPL-2.0-or-later

//! The step from a clean page to a writable entry, against clears, gets and swapouts on other
//! processors: in no order is a write lost.
//!
//! A page has a bit, which is cleared with the reservation held, and an entry, which the processors look at
//! without a lock. A fault of a page that is not mapped sets both with the reservation held, a write fault
//! with the lock of the entry held. A processor may go on to write by what it has seen of the entry until it is told that the entry
//! has changed, so a change that takes the permission away waits for the writes that have begun.
//!
//! A fence is put like a log: with the reservation held it is said that it is there, and then the entry is protected.
//! From then on no store changes the content, in no order.
//!
//! Bits are counted before they are set and after they were cleared, and a reader of bits first looks at
//! that count, alone: a count of 0 must not hide a bit.

use std::sync::Arc;

use loom::sync::atomic::AtomicBool;
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
    /// A clear protects, and then clears the bit.
    ProtectedFirst,
    /// The write fault looks for a log before it has the lock of the entry.
    LogFoundEarly,
    /// A swapout drops the bit.
    SwapoutDropsTheBit,
    /// A bit is counted after it was set.
    CountedLate,
    /// A clear makes the count 0, instead of taking its bit from it.
    CountReset,
    /// A fence does not protect.
    FenceNotProtected,
    /// A fence protects, and then says that it is there.
    FenceProtectsFirst,
    /// A fence protects only a page whose bit is set.
    FenceOfDirtyPages,
    /// The write fault looks for a fence before it has the lock of the entry.
    FenceFoundEarly,
    /// A fault of a page that is not mapped looks for no fence.
    FaultPassesFence,
}

const NONE: u32 = 0;
const READ_ONLY: u32 = 1;
const WRITABLE: u32 = 2;

/// An object of one page.
struct Page {
    mistake: Mistake,
    reservation: Mutex<()>,
    /// Whether there is a log.
    logs: AtomicBool,
    bit: AtomicBool,
    /// Whether there is a fence.
    fenced: AtomicBool,
    /// That of another page of the same part of the log.
    neighbour: AtomicBool,
    /// The bits of the part that are set.
    count: AtomicU32,
    entry: Mutex<u32>,
    /// What the page holds.
    content: AtomicU32,
}

impl Page {
    fn new(mistake: Mistake, entry: u32, logs: bool) -> Arc<Self> {
        let set = logs && entry == WRITABLE;
        Arc::new(Self {
            mistake,
            reservation: Mutex::new(()),
            logs: AtomicBool::new(logs),
            bit: AtomicBool::new(set),
            fenced: AtomicBool::new(false),
            neighbour: AtomicBool::new(false),
            count: AtomicU32::new(u32::from(set)),
            entry: Mutex::new(entry),
            content: AtomicU32::new(0),
        })
    }

    /// Logs a write, if there is a log.
    fn log(&self) {
        if self.logs.load(SeqCst) {
            self.set(&self.bit);
        }
    }

    /// Sets the bit of a page.
    fn set(&self, bit: &AtomicBool) {
        if self.mistake == Mistake::CountedLate {
            if !bit.swap(true, SeqCst) {
                self.count.fetch_add(1, SeqCst);
            }
            return;
        }
        if bit.load(SeqCst) {
            return;
        }
        self.count.fetch_add(1, SeqCst);
        if bit.swap(true, SeqCst) {
            self.count.fetch_sub(1, SeqCst);
        }
    }

    /// A get: returns whether the bit of a page is set, as far as the count says that one may be.
    fn get(&self, bit: &AtomicBool) -> bool {
        self.count.load(SeqCst) != 0 && bit.load(SeqCst)
    }

    /// Clears the bit. Returns whether it was set.
    fn take(&self) -> bool {
        if self.count.load(SeqCst) == 0 {
            return false;
        }
        let was_set = self.bit.swap(false, SeqCst);
        if was_set {
            match self.mistake {
                Mistake::CountReset => self.count.store(0, SeqCst),
                _ => _ = self.count.fetch_sub(1, SeqCst),
            }
        }
        was_set
    }

    /// A store, with the faults that it takes. Returns whether it was made: behind a fence it waits, for ever here.
    fn write(&self, value: u32) -> bool {
        for _ in 0..4 {
            let entry = self.entry.lock().unwrap();
            if *entry == WRITABLE {
                // The processor holds on to the entry until the store is done: a flush waits.
                if self.mistake == Mistake::NotFlushed {
                    drop(entry);
                }
                self.content.store(value, SeqCst);
                return true;
            }
            let was = *entry;
            drop(entry);
            if !self.fault(was) {
                return false;
            }
        }
        panic!("the store does not get through");
    }

    /// `fault` or `pfn_mkwrite`, by what the entry was. Returns false if it has to wait for a fence.
    fn fault(&self, was: u32) -> bool {
        let reservation = (was == NONE).then(|| self.reservation.lock().unwrap());
        let mut held = self.fenced.load(SeqCst);
        if was == NONE && held && self.mistake != Mistake::FaultPassesFence {
            return false;
        }
        let early = self.mistake == Mistake::LogFoundEarly && self.logs.load(SeqCst);
        if self.mistake == Mistake::EntryLater && was == READ_ONLY {
            self.log();
            let mut entry = self.entry.lock().unwrap();
            if *entry == READ_ONLY {
                *entry = WRITABLE;
            }
            return true;
        }
        let mut entry = self.entry.lock().unwrap();
        // As the kernel does: one that is there stays, unless it is asked to make it writable.
        if self.mistake != Mistake::FenceFoundEarly {
            held = self.fenced.load(SeqCst);
        }
        if *entry == was {
            if was == READ_ONLY && held {
                return false;
            }
            if self.mistake == Mistake::LogFoundEarly {
                if early {
                    self.set(&self.bit);
                }
            } else {
                self.log();
            }
            *entry = WRITABLE;
        }
        drop(entry);
        drop(reservation);
        true
    }

    /// Puts a fence. Returns what the page holds behind it.
    fn fence(&self) -> u32 {
        let _reservation = self.reservation.lock().unwrap();
        if self.mistake == Mistake::FenceProtectsFirst {
            self.protect();
        }
        self.fenced.store(true, SeqCst);
        match self.mistake {
            Mistake::FenceNotProtected | Mistake::FenceProtectsFirst => {}
            Mistake::FenceOfDirtyPages if !self.bit.load(SeqCst) => {}
            _ => self.protect(),
        }
        self.content.load(SeqCst)
    }

    fn protect(&self) {
        if self.mistake != Mistake::NotProtected {
            let mut entry = self.entry.lock().unwrap();
            if *entry == WRITABLE {
                *entry = READ_ONLY;
            }
        }
    }

    /// Begins a log, all clear.
    fn start(&self) {
        let _reservation = self.reservation.lock().unwrap();
        self.logs.store(true, SeqCst);
        self.protect();
    }

    /// Clears the bit and protects the page. Returns the content, if the bit was set.
    fn clear(&self) -> Option<u32> {
        let reservation = self.reservation.lock().unwrap();
        if self.mistake == Mistake::ProtectedFirst {
            self.protect();
        }
        let was_set = self.take();
        if was_set && self.mistake != Mistake::ProtectedFirst {
            self.protect();
        }
        drop(reservation);
        was_set.then(|| self.content.load(SeqCst))
    }

    fn swap_out(&self) {
        let _reservation = self.reservation.lock().unwrap();
        *self.entry.lock().unwrap() = NONE;
        if self.mistake == Mistake::SwapoutDropsTheBit {
            self.take();
        }
    }
}

/// A writer on one processor, another with an entry from before, and a reader who clears or gets and
/// clears as one, and copies what it is told; perhaps a swapout. The reader may begin the log.
fn race(mistake: Mistake, entry: u32, begin: bool, second_writer: bool, swap: bool) {
    let page = Page::new(mistake, entry, !begin);
    let writer = {
        let page = page.clone();
        thread::spawn(move || {
            page.write(1);
        })
    };
    let other = second_writer.then(|| {
        let page = page.clone();
        thread::spawn(move || {
            page.write(2);
        })
    });
    let swapper = swap.then(|| {
        let page = page.clone();
        thread::spawn(move || page.swap_out())
    });
    let mut copy = 0;
    if begin {
        page.start();
        copy = page.content.load(SeqCst);
    }
    if let Some(content) = page.clear() {
        copy = content;
    }
    writer.join().unwrap();
    for thread in [other, swapper].into_iter().flatten() {
        thread.join().unwrap();
    }
    // Without writers, the last get brings what is missing.
    if let Some(content) = page.clear() {
        copy = content;
    }
    assert_eq!(copy, page.content.load(SeqCst), "a write is lost");
}

/// Writers on two processors, and a fence between two looks; perhaps a swapout or a clear meanwhile.
fn fenced(mistake: Mistake, entry: u32, swap: bool, clear: bool) {
    let page = Page::new(mistake, entry, true);
    let writers = [1, 2].map(|value| {
        let page = page.clone();
        thread::spawn(move || page.write(value))
    });
    let other = (swap || clear).then(|| {
        let page = page.clone();
        thread::spawn(move || {
            if swap {
                page.swap_out();
            } else {
                page.clear();
            }
        })
    });
    let first = page.fence();
    for writer in writers {
        writer.join().unwrap();
    }
    if let Some(other) = other {
        other.join().unwrap();
    }
    assert_eq!(
        page.content.load(SeqCst),
        first,
        "it changed behind the fence"
    );
}

/// Two processors set the bit, each by an entry of its own, and find it: nothing clears it.
fn found_by_both(mistake: Mistake) {
    let page = Page::new(mistake, READ_ONLY, true);
    let other = {
        let page = page.clone();
        thread::spawn(move || {
            page.set(&page.bit);
            assert!(page.get(&page.bit), "the bit is not found");
        })
    };
    page.set(&page.bit);
    assert!(page.get(&page.bit), "the bit is not found");
    other.join().unwrap();
}

/// A bit is set and found, while a neighbour of it is cleared that was set before.
fn found_beside_a_clear(mistake: Mistake) {
    let page = Page::new(mistake, WRITABLE, true);
    let other = {
        let page = page.clone();
        thread::spawn(move || assert!(page.take()))
    };
    page.set(&page.neighbour);
    assert!(page.get(&page.neighbour), "the bit is not found");
    other.join().unwrap();
    assert!(page.get(&page.neighbour), "the bit is not found");
    assert_eq!(page.count.load(SeqCst), 1);
}

fn check(mistake: Mistake) {
    loom::model(move || found_by_both(mistake));
    loom::model(move || found_beside_a_clear(mistake));
    for entry in [NONE, READ_ONLY, WRITABLE] {
        for (begin, second, swap) in [
            (false, false, false),
            (false, true, false),
            (false, false, true),
            (true, false, false),
            (true, false, true),
        ] {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(3);
            model.check(move || race(mistake, entry, begin, second, swap));
        }
        for (swap, clear) in [(false, false), (true, false), (false, true)] {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(2);
            model.check(move || fenced(mistake, entry, swap, clear));
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
fn a_bit_that_is_cleared_after_the_protection_is_caught() {
    caught(Mistake::ProtectedFirst);
}

#[test]
fn a_log_that_is_found_before_the_lock_is_caught() {
    caught(Mistake::LogFoundEarly);
}

#[test]
fn a_fence_that_lets_writers_pass_is_caught() {
    caught(Mistake::FenceNotProtected);
    caught(Mistake::FenceProtectsFirst);
    caught(Mistake::FenceOfDirtyPages);
    caught(Mistake::FenceFoundEarly);
    caught(Mistake::FaultPassesFence);
}

#[test]
fn a_bit_that_a_swapout_drops_is_caught() {
    caught(Mistake::SwapoutDropsTheBit);
}

#[test]
fn a_bit_that_is_counted_late_is_caught() {
    caught(Mistake::CountedLate);
}

#[test]
fn a_count_that_a_clear_resets_is_caught() {
    caught(Mistake::CountReset);
}
