// SPDX-License-Identifier: GPL-2.0

//! Tasks that enter, look and leave: each finds its own context and no other.

mod loom_model;

use loom::{
    sync::atomic::{AtomicPtr, Ordering},
    thread,
};
use loom_model::{caught, check, check_bounded, Fault, Faults, Loom, Scene};
use reeve_host::lock_order::rules::context_table::{EnterError, Entered, Left, Slot, Word};
use std::sync::Arc;

/// Two tasks with one home, in a table with room for both.
fn two_of_one_home(faults: Faults) {
    let scene = Arc::new(Scene::<2>::new(faults));
    let other = scene.clone();
    let thread = thread::spawn(move || assert!(other.live(Scene::<2>::task(0, 0), 1)));
    assert!(scene.live(Scene::<2>::task(0, 1), 2));
    thread.join().unwrap();
}

#[test]
fn each_task_finds_its_own_context() {
    check(|| two_of_one_home(Faults::default()));
}

#[test]
fn claims_that_are_not_atomic_are_caught() {
    caught(|| {
        two_of_one_home(Faults {
            owner: Fault::NotAtomic,
            ..Faults::default()
        })
    });
}

#[test]
fn displaced_tasks_that_are_not_counted_are_caught() {
    for displaced in [Fault::Blind, Fault::NotAtomic] {
        let faults = Faults {
            displaced,
            ..Faults::default()
        };
        let words = caught(move || {
            let scene = Arc::new(Scene::<4>::new(faults));
            let first = Scene::<4>::task(0, 0);
            assert!(scene.enter(first, 1));
            let other = scene.clone();
            let thread = thread::spawn(move || other.live(Scene::<4>::task(0, 1), 2));
            scene.live(Scene::<4>::task(0, 2), 3);
            thread.join().unwrap();
        });
        let noticed = ["not found", "NotEntered"];
        assert!(noticed.iter().any(|part| words.contains(part)), "{words}");
    }
}

/// The home is given back while others look elsewhere, and one of them lives in another's home.
#[test]
fn displaced_tasks_are_found_by_themselves_only() {
    check_bounded(3, || {
        let scene = Arc::new(Scene::<4>::new(Faults::default()));
        let first = Scene::<4>::task(3, 0);
        assert!(scene.enter(first, 1));
        let threads = [Scene::<4>::task(3, 1), Scene::<4>::task(0, 0)].map(|task| {
            let scene = scene.clone();
            let context = if task == Scene::<4>::task(3, 1) { 2 } else { 3 };
            thread::spawn(move || assert!(scene.live(task, context)))
        });
        scene.leave(first, 1);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn three_tasks_contend_for_two_slots() {
    check_bounded(2, || {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let threads = [1, 2].map(|n| {
            let scene = scene.clone();
            thread::spawn(move || scene.live(Scene::<2>::task(0, n), n))
        });
        scene.live(Scene::<2>::task(0, 0), 3);
        for thread in threads {
            thread.join().unwrap();
        }

        // Nothing is left behind: the table has all its room again, and no more.
        assert!(scene.enter(Scene::<2>::task(1, 0), 1));
        assert!(scene.enter(Scene::<2>::task(1, 1), 2));
        assert!(!scene.enter(Scene::<2>::task(1, 2), 3));
        scene.leave(Scene::<2>::task(1, 0), 1);
        assert!(scene.enter(Scene::<2>::task(1, 2), 3));
    });
}

#[test]
fn a_full_table_has_room_again_after_a_leave() {
    check(|| {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let [first, second, third] = [0, 1, 2].map(|n| Scene::<2>::task(1, n));
        assert!(scene.enter(first, 1));
        assert!(scene.enter(second, 2));
        let other = scene.clone();
        let thread = thread::spawn(move || {
            let entered = other.enter(third, 3);
            (0..entered as usize).for_each(|_| other.leave(third, 3));
        });
        scene.leave(first, 1);
        thread.join().unwrap();
        assert!(scene.live(third, 3));
        scene.leave(second, 2);
    });
}

#[test]
fn inner_contexts_change_nothing() {
    check(|| {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let other = scene.clone();
        let thread = thread::spawn(move || assert!(other.live(Scene::<2>::task(0, 0), 1)));
        let task = Scene::<2>::task(0, 1);
        assert!(scene.enter(task, 2));
        let unused = || panic!("an inner context is touched");
        assert!(matches!(
            scene.table.enter(task, 3, unused),
            Ok(Entered::Inner)
        ));
        assert!(matches!(
            scene.table.enter(task, 2, unused),
            Err(EnterError::InUse)
        ));
        assert_eq!(scene.table.leave(task, 3, unused), Left::Inner);
        scene.leave(task, 2);
        assert_eq!(scene.table.leave(task, 2, unused), Left::NotEntered);
        thread.join().unwrap();
    });
}

/// Loom has no interrupts, but one that touches no word cannot disturb what it interrupts.
#[test]
fn interrupts_touch_nothing() {
    check(|| {
        let scene = Scene::<2>::new(Faults {
            owner: Fault::Untouchable,
            context: Fault::Untouchable,
            displaced: Fault::Untouchable,
            hazard: Fault::Untouchable,
        });
        let unused = || panic!("an interrupt's context is touched");
        assert!(matches!(
            scene.table.enter(0, 1, unused),
            Ok(Entered::Inner)
        ));
        assert_eq!(scene.table.leave(0, 1, unused), Left::Inner);
    });
    caught(|| {
        let scene = Scene::<2>::new(Faults {
            owner: Fault::Untouchable,
            ..Faults::default()
        });
        scene.live(Scene::<2>::task(0, 0), 1);
    });
}

type Hint = AtomicPtr<Slot<Loom<true>>>;

/// What `reeve_context()` in lock_order/api.c does: the CPU's hint first, then the table.
fn context_by_hint(scene: &Scene<2>, hint: &Hint, task: usize) -> Option<usize> {
    let hinted = hint.load(Ordering::Relaxed);
    // SAFETY: Null, or a slot of the table, which `scene` keeps.
    match unsafe { hinted.as_ref() } {
        Some(slot) if slot.task.load() == task => Some(slot.context.load()),
        _ => {
            let slot = scene.table.find(task)?;
            hint.store(std::ptr::from_ref(slot).cast_mut(), Ordering::Relaxed);
            Some(slot.context.load())
        }
    }
}

fn live_by_hint(scene: &Scene<2>, hint: &Hint, task: usize, context: usize) {
    assert!(scene.enter(task, context));
    assert_eq!(context_by_hint(scene, hint, task), Some(context));
    scene.leave(task, context);
    assert_eq!(context_by_hint(scene, hint, task), None);
}

/// Tasks move between CPUs at any time, so all they see of the hint is a word that both write.
#[test]
fn a_hint_never_leads_to_the_context_of_another_task() {
    check_bounded(2, || {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let hint = Arc::new(Hint::new(std::ptr::null_mut()));
        let [first, second] = [0, 1].map(|n| Scene::<2>::task(0, n));
        let (other, others_hint) = (scene.clone(), hint.clone());
        let thread = thread::spawn(move || live_by_hint(&other, &others_hint, first, 1));
        live_by_hint(&scene, &hint, second, 2);
        thread.join().unwrap();
    });
}

#[test]
fn a_hint_never_leads_to_a_context_of_before() {
    check_bounded(3, || {
        let scene = Arc::new(Scene::<2>::new(Faults::default()));
        let hint = Arc::new(Hint::new(std::ptr::null_mut()));
        let [first, second] = [0, 1].map(|n| Scene::<2>::task(0, n));
        let (other, others_hint) = (scene.clone(), hint.clone());
        let thread = thread::spawn(move || {
            assert_eq!(context_by_hint(&other, &others_hint, first), None);
        });
        live_by_hint(&scene, &hint, second, 1);
        live_by_hint(&scene, &hint, second, 2);
        thread.join().unwrap();
    });
}
