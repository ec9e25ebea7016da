// SPDX-License-Identifier: GPL-2.0-or-later

//! The steps by which handles of drivers are found, kept, put, and their slots used again, in every order: what a call
//! has found stays until it is done, and what is in a slot is dropped once.
//!
//! The words and the rules are those of `rust/bo/rules/handles.rs`; the steps are those of `rust/bo/api/table.rs`, in
//! the same memory orders. The value is in a cell that loom watches: to read it while it is written to is an error.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering;
use loom::sync::atomic::Ordering::AcqRel;
use loom::sync::atomic::Ordering::Acquire;
use loom::sync::atomic::Ordering::Relaxed;
use loom::sync::atomic::Ordering::Release;
use loom::thread;
use reeve_host::bo::rules::handles::Counts;
use reeve_host::bo::rules::handles::Handle;
use reeve_host::bo::rules::handles::Head;
use reeve_host::bo::rules::handles::State;
use reeve_host::bo::rules::handles::FIRST;

/// One deliberate mistake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// The state is looked at, and then counted up, whatever it is by then.
    KeptLate,
    /// Any generation is found.
    AnyGeneration,
    /// A generation comes again.
    GenerationAgain,
    /// What is found is not looked at for references.
    CountsIgnored,
    /// The slot can be found before the value is there.
    PublishedEarly,
    /// The slot is free before the value is dropped.
    FreedEarly,
    /// The last put drops the value, whichever thread that is in.
    PutDrops,
    /// A put looks at the counts, and then counts down.
    PutLate,
    /// What was done with the value does not come before what is done when it is left.
    LeftRelaxed,
    /// A list of free slots that is the same again is taken for one that has not changed.
    Unchanged,
    /// The same, and a slot that is lost by that is no mistake: no slot is taken twice.
    SlotsLost,
    /// The same, but what is popped is taken for free.
    NotClaimed,
}

struct Slot {
    state: AtomicU64,
    counts: AtomicU64,
    next: AtomicU64,
    value: UnsafeCell<u64>,
    dropped: AtomicUsize,
}

struct Table {
    mistake: Mistake,
    slots: Vec<Slot>,
    free: AtomicU64,
}

// SAFETY: All is atomic but the values, whose accesses loom watches: one that must not be ends the test.
unsafe impl Sync for Table {}
// SAFETY: As above.
unsafe impl Send for Table {}

impl Table {
    /// Makes one of `count` slots that are free.
    fn new(mistake: Mistake, count: usize) -> Arc<Self> {
        let slot = |_| Slot {
            state: AtomicU64::new(0),
            counts: AtomicU64::new(0),
            next: AtomicU64::new(0),
            value: UnsafeCell::new(0),
            dropped: AtomicUsize::new(0),
        };
        let this = Self {
            mistake,
            slots: (0..count).map(slot).collect(),
            free: AtomicU64::new(Head::EMPTY.0),
        };
        for number in (0..count).rev() {
            this.push(FIRST + number as u64);
        }
        Arc::new(this)
    }

    fn slot(&self, number: u64) -> Option<&Slot> {
        self.slots
            .get(usize::try_from(number.checked_sub(FIRST)?).unwrap())
    }

    fn changed(&self, head: u64, first: u64) -> u64 {
        match self.mistake {
            Mistake::Unchanged | Mistake::SlotsLost | Mistake::NotClaimed => first,
            _ => Head(head).changed_to(first).0,
        }
    }

    fn push(&self, number: u64) {
        let slot = self.slot(number).unwrap();
        let mut head = self.free.load(Relaxed);
        loop {
            slot.next.store(Head(head).first(), Relaxed);
            let pushed = self.changed(head, number);
            match self.free.compare_exchange(head, pushed, AcqRel, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes a free slot; 0: there is none.
    fn pop(&self) -> u64 {
        loop {
            let head = self.free.load(Acquire);
            let number = Head(head).first();
            let Some(slot) = self.slot(number) else {
                return 0;
            };
            let popped = self.changed(head, slot.next.load(Relaxed));
            if self
                .free
                .compare_exchange(head, popped, Acquire, Relaxed)
                .is_err()
            {
                continue;
            }
            let state = slot.state.load(Relaxed);
            if self.mistake == Mistake::NotClaimed {
                let generation = State(state).generation();
                slot.state.store((generation | 1) << 32, Relaxed);
                return number;
            }
            let Some(claimed) = State(state).claim() else {
                return 0;
            };
            let claim = slot
                .state
                .compare_exchange(state, claimed.0, Acquire, Relaxed);
            return if claim.is_ok() { number } else { 0 };
        }
    }

    /// Returns a handle of `value`.
    fn insert(&self, value: u64) -> Option<u64> {
        let number = self.pop();
        let slot = self.slot(number)?;
        let claimed = State(slot.state.load(Relaxed));
        slot.counts.store(Counts::NEW.0, Relaxed);
        if self.mistake == Mistake::PublishedEarly {
            slot.state.store(claimed.published().0, Release);
        }
        // SAFETY: Loom finds out if it is not ours.
        slot.value.with_mut(|it| unsafe { *it = value });
        slot.state.store(claimed.published().0, Release);
        let handle = Handle {
            kind: 0,
            slot: number,
            generation: claimed.generation(),
        };
        Some(handle.number())
    }

    /// Keeps what a handle names.
    fn find(&self, handle: u64) -> Option<&Slot> {
        let handle = Handle::of(handle);
        let slot = self.slot(handle.slot)?;
        let mut state = slot.state.load(Relaxed);
        loop {
            let generation = match self.mistake {
                Mistake::AnyGeneration => State(state).generation(),
                _ => handle.generation,
            };
            let kept = State(state).keep(generation)?;
            if self.mistake == Mistake::KeptLate {
                slot.state.fetch_add(1, Acquire);
                break;
            }
            match slot.state.compare_exchange(state, kept.0, Acquire, Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        let counts = Counts(slot.counts.load(Relaxed));
        if counts.are_none() && self.mistake != Mistake::CountsIgnored {
            self.leave(slot, 1);
            return None;
        }
        Some(slot)
    }

    /// Looks at what a handle names, in one call.
    fn look(&self, handle: u64) -> Option<u64> {
        let slot = self.find(handle)?;
        // SAFETY: Loom finds out if it is written to.
        let value = slot.value.with(|it| unsafe { *it });
        self.leave(slot, 1);
        Some(value)
    }

    fn count(&self, slot: &Slot, step: impl Fn(Counts) -> Option<Counts>) -> Option<bool> {
        let mut counts = slot.counts.load(Relaxed);
        loop {
            let next = step(Counts(counts))?;
            if self.mistake == Mistake::PutLate {
                slot.counts.store(next.0, Relaxed);
                return Some(!next.are_none());
            }
            match slot
                .counts
                .compare_exchange(counts, next.0, AcqRel, Relaxed)
            {
                Ok(_) => return Some(!next.are_none()),
                Err(now) => counts = now,
            }
        }
    }

    fn count_less(&self, handle: u64, step: impl Fn(Counts) -> Option<Counts>) -> Option<()> {
        let slot = self.find(handle)?;
        match self.count(slot, step) {
            None => {
                self.leave(slot, 1);
                return None;
            }
            Some(true) => self.leave(slot, 1),
            Some(false) if self.mistake == Mistake::PutDrops => self.vacate(slot),
            Some(false) => self.leave(slot, 2),
        }
        Some(())
    }

    fn put(&self, handle: u64) -> Option<()> {
        self.count_less(handle, Counts::put)
    }

    fn unlock(&self, handle: u64) -> Option<()> {
        self.count_less(handle, Counts::unlock)
    }

    fn lock(&self, handle: u64) -> Option<()> {
        let slot = self.find(handle)?;
        let locked = self.count(slot, Counts::lock);
        self.leave(slot, 1);
        locked.map(|_| ())
    }

    fn leave(&self, slot: &Slot, keeps: u64) {
        let order: Ordering = match self.mistake {
            Mistake::LeftRelaxed => Relaxed,
            _ => AcqRel,
        };
        let before = State(slot.state.fetch_sub(keeps, order));
        if before.is_left_by(keeps) {
            self.vacate(slot);
        }
    }

    fn vacate(&self, slot: &Slot) {
        let number = self.slots.iter().position(|it| std::ptr::eq(it, slot));
        let number = FIRST + number.unwrap() as u64;
        let drop_value = || {
            // SAFETY: Loom finds out if it is not ours.
            slot.value.with_mut(|it| unsafe { *it = 0 });
            slot.dropped.fetch_add(1, Relaxed);
        };
        let state = State(slot.state.load(Relaxed));
        let free = match self.mistake {
            Mistake::GenerationAgain => State((state.generation() - 1) << 32),
            _ => state.freed(),
        };
        if self.mistake != Mistake::FreedEarly {
            drop_value();
        }
        slot.state.store(free.0, Release);
        self.push(number);
        if self.mistake == Mistake::FreedEarly {
            drop_value();
        }
    }

    fn dropped(&self) -> usize {
        let each = self.slots.iter().map(|slot| slot.dropped.load(Relaxed));
        each.sum()
    }
}

/// A call about an object, on another processor than its last put, after which the slot is used again.
fn found_and_put(mistake: Mistake) {
    let table = Table::new(mistake, 1);
    let handle = table.insert(1).unwrap();
    let caller = {
        let table = table.clone();
        thread::spawn(move || {
            let found = table.look(handle);
            assert!(
                matches!(found, None | Some(1)),
                "it is another's: {found:?}"
            );
        })
    };
    assert_eq!(table.put(handle), Some(()));
    assert_eq!(table.look(handle), None, "it is found after the last put");
    // As long as the other one uses it, the slot is not free.
    let second = table.insert(2);
    if let Some(second) = second {
        assert_ne!(second, handle);
        assert_eq!(table.look(second), Some(2));
        assert_eq!(table.look(handle), None, "it is found again");
    }
    caller.join().unwrap();
    assert_eq!(table.dropped(), 1);
    if let Some(second) = second {
        assert_eq!(table.put(second), Some(()));
    }
    assert_eq!(table.look(handle), None);
}

/// A reference is put twice, on two processors.
fn put_twice(mistake: Mistake) {
    let table = Table::new(mistake, 1);
    let handle = table.insert(1).unwrap();
    let other = {
        let table = table.clone();
        thread::spawn(move || table.put(handle).is_some())
    };
    let first = table.put(handle).is_some();
    let second = other.join().unwrap();
    assert!(
        first != second,
        "it is put {}",
        first as u32 + second as u32
    );
    assert_eq!(table.dropped(), 1);
    assert!(table.insert(2).is_some(), "the slot is lost");
}

/// An object is locked and unlocked, on another processor than its last put.
fn locked_and_put(mistake: Mistake) {
    let table = Table::new(mistake, 1);
    let handle = table.insert(1).unwrap();
    let other = {
        let table = table.clone();
        thread::spawn(move || {
            if table.lock(handle).is_some() {
                assert_eq!(table.look(handle), Some(1), "what is locked is gone");
                assert_eq!(table.unlock(handle), Some(()));
            }
        })
    };
    assert_eq!(table.put(handle), Some(()));
    assert_eq!(table.put(handle), None, "it is put twice");
    other.join().unwrap();
    assert_eq!(table.look(handle), None);
    assert_eq!(table.dropped(), 1);
}

/// A number is tried before it was given out.
fn guessed(mistake: Mistake) {
    let table = Table::new(mistake, 1);
    let other = {
        let table = table.clone();
        let handle = Handle {
            kind: 0,
            slot: FIRST,
            generation: 1,
        };
        thread::spawn(move || {
            let found = table.look(handle.number());
            assert!(matches!(found, None | Some(1)), "it is not there yet");
        })
    };
    assert!(table.insert(1).is_some());
    other.join().unwrap();
}

/// Slots are taken and freed on two processors.
fn taken_by_two(mistake: Mistake) {
    let table = Table::new(mistake, 3);
    let other = {
        let table = table.clone();
        thread::spawn(move || table.insert(1))
    };
    let first = table.insert(2);
    let second = table.insert(3);
    // What the other one has seen as the first free slot becomes that again, with another one behind it.
    if let Some(first) = first {
        assert_eq!(table.look(first), Some(2), "a slot is taken twice");
        assert_eq!(table.put(first), Some(()));
    }
    let others = other.join().unwrap();
    let third = table.insert(4);
    let all = [(others, 1), (second, 3), (third, 4)];
    if !matches!(mistake, Mistake::SlotsLost | Mistake::NotClaimed) {
        assert!(all.iter().all(|(it, _)| it.is_some()), "a slot is lost");
    }
    for (handle, value) in all {
        if let Some(handle) = handle {
            assert_eq!(table.look(handle), Some(value), "a slot is taken twice");
        }
    }
    if all.iter().all(|(it, _)| it.is_some()) {
        assert_eq!(table.insert(5), None, "a slot is taken twice");
    }
}

fn check(mistake: Mistake) {
    for case in [
        found_and_put,
        put_twice,
        locked_and_put,
        guessed,
        taken_by_two,
    ] {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || case(mistake));
    }
}

fn caught(mistake: Mistake) {
    let result = std::panic::catch_unwind(|| check(mistake));
    assert!(result.is_err(), "the model does not see it");
}

#[test]
fn what_is_found_stays_and_is_dropped_once() {
    check(Mistake::None);
}

#[test]
fn what_is_kept_in_two_steps_is_caught() {
    caught(Mistake::KeptLate);
}

#[test]
fn generations_that_are_not_told_apart_are_caught() {
    caught(Mistake::AnyGeneration);
    caught(Mistake::GenerationAgain);
}

#[test]
fn what_is_found_after_the_last_put_is_caught() {
    caught(Mistake::CountsIgnored);
}

#[test]
fn what_is_found_before_it_is_there_is_caught() {
    caught(Mistake::PublishedEarly);
}

#[test]
fn what_is_dropped_in_a_slot_that_is_free_is_caught() {
    caught(Mistake::FreedEarly);
}

#[test]
fn what_is_dropped_while_it_is_used_is_caught() {
    caught(Mistake::PutDrops);
    caught(Mistake::LeftRelaxed);
}

#[test]
fn a_put_in_two_steps_is_caught() {
    caught(Mistake::PutLate);
}

#[test]
fn a_list_that_is_the_same_again_is_caught() {
    caught(Mistake::Unchanged);
}

#[test]
fn what_is_claimed_is_taken_once_whatever_the_list_says() {
    loom::model(|| taken_by_two(Mistake::SlotsLost));
    caught(Mistake::NotClaimed);
}
