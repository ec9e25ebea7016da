// SPDX-License-Identifier: GPL-2.0-or-later

//! Handles of drivers, and the words of the slots that they name.

use reeve_host::bo::rules::handles::chunk_of;
use reeve_host::bo::rules::handles::first_of;
use reeve_host::bo::rules::handles::Counts;
use reeve_host::bo::rules::handles::Handle;
use reeve_host::bo::rules::handles::Head;
use reeve_host::bo::rules::handles::State;
use reeve_host::bo::rules::handles::CHUNKS;
use reeve_host::bo::rules::handles::END;
use reeve_host::bo::rules::handles::FIRST;
use reeve_host::bo::rules::handles::KINDS;

/// The generation that a slot has when it is taken first.
fn first_generation() -> u64 {
    State(0).claim().unwrap().generation()
}

/// A free slot with no generation left, and the last that it had.
fn used_up() -> (State, u64) {
    let mut almost = (0..8).map(|less| State(((1 << 32) - 2 - 2 * less) << 32));
    let free = almost.find(|state| state.is_usable()).unwrap();
    let taken = free.claim().unwrap();
    (taken.freed(), taken.generation())
}

#[test]
fn a_number_says_what_it_was_made_of() {
    for kind in 0..KINDS {
        for slot in [FIRST, FIRST + 1, 1000, END - 1] {
            for generation in [first_generation(), 3, used_up().1] {
                let handle = Handle {
                    kind,
                    slot,
                    generation,
                };
                assert_eq!(Handle::of(handle.number()), handle);
                assert_ne!(handle.number(), 0);
                // None is what C takes for an error.
                assert!(handle.number() < u64::MAX - 4095, "{handle:?}");
            }
        }
    }
}

#[test]
fn each_slot_is_in_the_chunk_that_begins_before_it() {
    let mut number = FIRST;
    for chunk in (CHUNKS - 8..CHUNKS).rev() {
        let (first, slots) = (first_of(chunk), first_of(chunk));
        assert_eq!(number, first);
        for at in first..first + slots {
            assert_eq!(chunk_of(at), chunk);
        }
        number += slots;
    }
    let last = first_of(0);
    assert_eq!(last + last, END);
    assert_eq!(
        [chunk_of(last - 1), chunk_of(last), chunk_of(END - 1)],
        [1, 0, 0]
    );
}

#[test]
fn a_number_of_no_slot_has_no_chunk() {
    for number in (0..FIRST).chain([END, END + 1, u64::MAX]) {
        assert!(chunk_of(number) >= CHUNKS, "{number}");
    }
}

#[test]
fn only_what_is_free_is_taken_and_only_what_is_published_is_found() {
    let claimed = State(0).claim().unwrap();
    let generation = claimed.generation();
    assert_eq!(claimed.claim(), None);
    assert_eq!(claimed.keep(generation), None);
    let published = claimed.published();
    assert_eq!(published.claim(), None);
    let kept = published.keep(generation).unwrap();
    assert_eq!(kept.claim(), None);
    assert!(!kept.is_left_by(1));
    assert!(kept.is_left_by(2));
    // A free slot is found by no generation.
    for free in [State(0), claimed.freed()] {
        for generation in 0..8 {
            assert_eq!(free.keep(generation), None);
        }
    }
}

#[test]
fn no_other_generation_is_found() {
    for taken in [first_generation(), 77, used_up().1] {
        let state = State(taken << 32).published();
        for generation in [0, 1, 2, taken - 1, taken + 1, taken + 2, (1 << 32) - 1] {
            if generation != taken {
                assert_eq!(state.keep(generation), None, "{taken} {generation}");
            }
        }
        assert!(state.keep(taken).is_some());
    }
}

#[test]
fn what_is_kept_too_often_is_not_kept_once_more() {
    let most = State((1 << 32) + u32::MAX as u64);
    assert_eq!(most.keep(1), None);
    assert_eq!(State(most.0 - 1).keep(1), Some(most));
    assert_eq!(most.generation(), 1);
}

#[test]
fn a_generation_comes_once() {
    let mut state = State(0);
    let mut seen = Vec::new();
    for _ in 0..1000 {
        let claimed = state.claim().unwrap();
        assert!(!seen.contains(&claimed.generation()));
        seen.push(claimed.generation());
        state = claimed.freed();
    }
}

#[test]
fn a_slot_whose_generations_are_used_up_is_taken_no_more() {
    let (free, last) = used_up();
    assert!(!free.is_usable());
    assert_eq!(free.claim(), None);
    assert!(last > (1 << 32) - 8, "few are left unused");
    for generation in [0, 1, last, last + 1, (1 << 32) - 1] {
        assert_eq!(free.keep(generation), None);
    }
}

#[test]
fn references_and_locks_are_counted_apart() {
    let new = Counts::NEW;
    assert_eq!(new.unlock(), None);
    assert!(new.put().unwrap().are_none());
    assert_eq!(new.get().unwrap().put(), Some(new));
    let locked = new.lock().unwrap();
    // One put too many leaves what is locked.
    let put = locked.put().unwrap();
    assert!(!put.are_none());
    assert_eq!(put.put(), None);
    assert!(put.unlock().unwrap().are_none());
    // As long as it is locked, it can be had again.
    assert_eq!(put.get(), Some(locked));
}

#[test]
fn what_is_gone_is_not_had_again() {
    let none = Counts::NEW.put().unwrap();
    assert_eq!(none.get(), None);
    assert_eq!(none.lock(), None);
    assert_eq!(none.put(), None);
    assert_eq!(none.unlock(), None);
}

#[test]
fn counts_do_not_run_over() {
    let most = Counts(u64::MAX);
    assert_eq!(most.get(), None);
    assert_eq!(most.lock(), None);
    assert_eq!(Counts(Counts::NEW.0 | u32::MAX as u64).lock(), None);
    assert!(Counts(Counts::NEW.0 | u32::MAX as u64).get().is_some());
}

#[test]
fn the_list_of_free_slots_is_never_the_same_again() {
    let one = Head::EMPTY.changed_to(FIRST);
    assert_eq!(one.first(), FIRST);
    let two = one.changed_to(END - 1);
    assert_eq!(two.first(), END - 1);
    let back = two.changed_to(FIRST);
    assert_eq!(back.first(), FIRST);
    assert_ne!(back, one);
    assert_eq!(back.changed_to(0).first(), 0);
    // Its count begins anew after many changes.
    assert_eq!(Head(u64::MAX).changed_to(FIRST).first(), FIRST);
}
