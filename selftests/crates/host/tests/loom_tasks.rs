// SPDX-License-Identifier: GPL-2.0-or-later

//! Tasks that enter, look and leave: each finds its own context and no other.

mod loom_model;

use loom::thread;
use loom_model::{caught, check_bounded, Fault, Scene};
use reeve_host::lock_order::rules::context_table::Found;
use std::sync::Arc;

/// Two tasks of one chain, which has a context from before.
fn two_of_one_chain(fault: Fault) {
    let scene = Arc::new(Scene::new(fault));
    scene.live(Scene::task(0));
    let other = scene.clone();
    let thread = thread::spawn(move || other.live(Scene::task(0)));
    scene.live(Scene::task(1));
    thread.join().unwrap();
    assert!(scene.made() <= 2, "a context is lost");
}

#[test]
fn each_task_finds_its_own_context() {
    check_bounded(3, || two_of_one_chain(Fault::None));
}

#[test]
fn claims_that_are_not_atomic_are_caught() {
    caught(|| two_of_one_chain(Fault::ClaimNotAtomic));
}

#[test]
fn a_context_that_is_not_released_is_caught() {
    caught(|| two_of_one_chain(Fault::NoRelease));
}

/// Two tasks that both find an empty chain.
fn two_of_an_empty_chain(fault: Fault) {
    let scene = Arc::new(Scene::new(fault));
    let other = scene.clone();
    let thread = thread::spawn(move || {
        let task = Scene::task(0);
        let context = other.enter(task);
        other.expect_own(task, context);
        other.leave(task, context);
    });
    let task = Scene::task(1);
    let context = scene.enter(task);
    scene.expect_own(task, context);
    scene.leave(task, context);
    thread.join().unwrap();
}

#[test]
fn two_tasks_add_to_one_chain() {
    check_bounded(3, || two_of_an_empty_chain(Fault::None));
}

/// The same, where the first context is in use.
fn two_behind_the_first(fault: Fault) {
    let scene = Arc::new(Scene::new(fault));
    scene.enter(Scene::task(2));
    let other = scene.clone();
    let thread = thread::spawn(move || other.live(Scene::task(0)));
    scene.live(Scene::task(1));
    thread.join().unwrap();
    assert!((2..=3).contains(&scene.made()), "a context is lost");
}

#[test]
fn two_tasks_add_behind_the_first() {
    check_bounded(3, || two_behind_the_first(Fault::None));
}

#[test]
fn contexts_that_are_lost_from_their_chain_are_caught() {
    caught(|| two_behind_the_first(Fault::AddNotAtomic));
}

#[test]
fn a_chain_with_two_beginnings_is_caught() {
    caught(|| two_of_an_empty_chain(Fault::FirstNotAtomic));
}

/// Two tasks of a chain that has three contexts, the first of which is about to become free.
fn two_besides_the_first(fault: Fault) {
    let scene = Arc::new(Scene::new(fault));
    let tasks = [0, 1, 2].map(Scene::task);
    let contexts = tasks.map(|task| scene.enter(task));
    for n in [1, 2] {
        scene.leave(tasks[n], contexts[n]);
    }
    let other = scene.clone();
    let thread = thread::spawn(move || other.live(tasks[1]));
    let context = scene.enter(tasks[2]);
    scene.leave(tasks[0], contexts[0]);
    scene.expect_no_second(tasks[2]);
    scene.leave(tasks[2], context);
    thread.join().unwrap();
    assert_eq!(scene.made(), 3);
    // None is in use: the next one takes the first.
    let context = scene.enter(tasks[2]);
    assert!(std::ptr::eq(context, contexts[0]));
    scene.leave(tasks[2], context);
}

#[test]
fn a_task_has_one_context_when_the_first_becomes_free() {
    check_bounded(3, || two_besides_the_first(Fault::None));
}

#[test]
fn contexts_in_use_that_are_not_counted_are_caught() {
    caught(|| two_besides_the_first(Fault::NotCounted));
}

#[test]
fn contexts_in_use_that_are_counted_in_two_steps_are_caught() {
    caught(|| two_besides_the_first(Fault::CountNotAtomic));
}

#[test]
fn three_tasks_share_what_is_there_and_make_no_more_than_they_need() {
    check_bounded(2, || {
        let scene = Arc::new(Scene::new(Fault::None));
        let threads = [1, 2].map(|n| {
            let scene = scene.clone();
            thread::spawn(move || scene.live(Scene::task(n)))
        });
        scene.live(Scene::task(0));
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(scene.made() <= 3);
        let made = scene.made();
        scene.live(Scene::task(3));
        assert_eq!(scene.made(), made, "a free context was not found");
    });
}

#[test]
fn a_task_that_enters_again_finds_its_own() {
    check_bounded(3, || {
        let scene = Arc::new(Scene::new(Fault::None));
        let other = scene.clone();
        let thread = thread::spawn(move || other.live(Scene::task(0)));
        let task = Scene::task(1);
        let context = scene.enter(task);
        match scene.table.find_or_claim::<loom_model::Context>(task) {
            Found::Own(own) => assert!(std::ptr::eq(own, context)),
            _ => panic!("its own context is not found"),
        }
        scene.expect_no_second(task);
        scene.leave(task, context);
        thread.join().unwrap();
    });
}
