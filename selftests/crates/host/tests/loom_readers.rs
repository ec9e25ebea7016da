// SPDX-License-Identifier: GPL-2.0

//! A reader that looks at contexts while their tasks enter and leave.

mod loom_model;

use loom::thread;
use loom_model::{caught, check, check_bounded, Fault, Faults, Scene};
use std::sync::Arc;

const HOME: usize = 0;

/// One task enters and leaves again and again, with the same memory, while a reader looks.
fn reader_and_owner<const BARRIER: bool>(faults: Faults, times: usize) {
    let scene = Arc::new(Scene::<2, BARRIER>::new(faults));
    let task = Scene::<2, BARRIER>::task(HOME, 0);
    let other = scene.clone();
    let thread = thread::spawn(move || {
        for _ in 0..times {
            assert!(other.live(task, 1));
        }
    });
    for seen in scene.read() {
        assert_eq!(seen, task);
    }
    thread.join().unwrap();
    assert_eq!(scene.read(), []);
}

#[test]
fn a_context_is_not_looked_at_after_its_leave() {
    check(|| reader_and_owner::<true>(Faults::default(), 1));
}

#[test]
fn nor_when_it_is_entered_again() {
    check_bounded(4, || reader_and_owner::<true>(Faults::default(), 2));
}

/// The memory goes from one task to another, which has another slot.
#[test]
fn nor_when_another_task_has_its_memory() {
    check_bounded(3, || {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let [first, second] = [Scene::<2>::task(0, 0), Scene::<2>::task(1, 0)];
        let other = scene.clone();
        let thread = thread::spawn(move || {
            assert!(other.live(first, 1));
            assert!(other.live(second, 1));
        });
        for seen in scene.read() {
            assert!(seen == first || seen == second);
        }
        thread.join().unwrap();
    });
}

#[test]
fn two_owners_leave_under_a_reader() {
    check_bounded(2, || {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let threads = [1, 2].map(|n| {
            let scene = scene.clone();
            thread::spawn(move || assert!(scene.live(Scene::<2>::task(HOME, n), n)))
        });
        scene.read();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A switch of tracking has to reach everyone who may hold locks from before.
#[test]
fn who_is_entered_throughout_is_seen() {
    check_bounded(3, || {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let [throughout, passing] = [0, 1].map(|n| Scene::<2>::task(HOME, n));
        assert!(scene.enter(throughout, 1));
        let other = scene.clone();
        let thread = thread::spawn(move || assert!(other.live(passing, 2)));
        let seen = scene.read();
        assert!(seen.contains(&throughout));
        thread.join().unwrap();
        scene.leave(throughout, 1);
    });
}

fn expect_caught<const BARRIER: bool>(faults: Faults) {
    let words = caught(move || reader_and_owner::<BARRIER>(faults, 2));
    let noticed = ["after its leave", "Causality violation", "Concurrent"];
    assert!(noticed.iter().any(|part| words.contains(part)), "{words}");
}

#[test]
fn a_left_out_barrier_is_caught() {
    expect_caught::<false>(Faults::default());
}

#[test]
fn a_leave_that_does_not_wait_is_caught() {
    expect_caught::<true>(Faults {
        hazard: Fault::Blind,
        ..Faults::default()
    });
}

#[test]
fn a_wait_that_does_not_order_is_caught() {
    for hazard in [Fault::NoAcquire, Fault::NoRelease] {
        expect_caught::<true>(Faults {
            hazard,
            ..Faults::default()
        });
    }
}

#[test]
fn a_publication_that_does_not_order_is_caught() {
    for context in [Fault::NoAcquire, Fault::NoRelease] {
        expect_caught::<true>(Faults {
            context,
            ..Faults::default()
        });
    }
}
