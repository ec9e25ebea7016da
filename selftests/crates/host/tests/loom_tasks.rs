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

#[test]
fn contexts_that_are_lost_from_their_chain_are_caught() {
    caught(|| two_of_an_empty_chain(Fault::AddNotAtomic));
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
        scene.leave(task, context);
        thread.join().unwrap();
    });
}
