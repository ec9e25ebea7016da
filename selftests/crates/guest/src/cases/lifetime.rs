// SPDX-License-Identifier: GPL-2.0-or-later

//! Processes that end without a word: everything they had comes back.

use std::time::Duration;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;

use crate::process::Child;
use crate::process::Line;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::until;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("lifetime";
    killed_with_populated_objects,
    killed_with_pinned_and_swapped_objects,
    killed_while_it_works,
    killed_while_it_is_over_the_limit,
    killed_with_threads_inside,
    exits_without_closing,
);

/// Waits until the counters are those from before.
fn back_to(watcher: &Device, pages: u64, objects: u64) -> Outcome {
    let back = until(Duration::from_secs(20), || {
        let now = watcher.stats()?;
        Ok(now.pages_allocated == pages && now.buffer_objects == objects)
    })?;
    check!(back, "{:?}", watcher.stats()?);
    Ok(())
}

/// Kills a child once it says that it is where it should be.
fn killed(watcher: &Device, f: impl FnOnce(&mut Line) -> Outcome) -> Outcome {
    let before = watcher.stats()?;
    let mut child = Child::run(f)?;
    child.line.hear()?;
    check!(watcher.stats()?.buffer_objects > before.buffer_objects);
    child.kill()?;
    back_to(watcher, before.pages_allocated, before.buffer_objects)
}

fn killed_with_populated_objects() -> Outcome {
    killed(&open()?, |line| {
        let device = open()?;
        for pages in [1, 10, 512] {
            populated(&device, pages)?;
        }
        line.say(1)?;
        line.hear().map(drop)
    })
}

fn killed_with_pinned_and_swapped_objects() -> Outcome {
    killed(&open()?, |line| {
        let device = open()?;
        let pinned = populated(&device, 9)?;
        device.pin(pinned)?;
        let swapped = populated(&device, 30)?;
        device.swapout(swapped)?;
        let sg = device.create(Create::new(PAGE).kind(BoType::Sg))?;
        device.populate(sg)?;
        line.say(1)?;
        line.hear().map(drop)
    })
}

/// Changes state as fast as it can, for ever.
fn work(line: &mut Line, pages: u64) -> Outcome {
    let device = open()?;
    let handle = populated(&device, pages)?;
    let bytes = Pattern::new(1).bytes((pages * PAGE) as usize);
    line.say(1)?;
    loop {
        device.write(handle, 0, &bytes)?;
        device.swapout(handle)?;
        device.populate(handle)?;
        device.unpopulate(handle)?;
    }
}

fn killed_while_it_works() -> Outcome {
    let watcher = open()?;
    for round in 1..=6 {
        killed(&watcher, |line| work(line, 40 * round))?;
    }
    Ok(())
}

fn killed_while_it_is_over_the_limit() -> Outcome {
    let watcher = open()?;
    let _limit = Limit::pages(64)?;
    for _ in 0..3 {
        killed(&watcher, |line| {
            let device = open()?;
            for _ in 0..8 {
                populated(&device, 16)?;
            }
            work(line, 48)
        })?;
    }
    Ok(())
}

fn killed_with_threads_inside() -> Outcome {
    let watcher = open()?;
    for _ in 0..3 {
        killed(&watcher, |line| {
            let device = open()?;
            let handle = populated(&device, 128)?;
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    // Threads disturb each other: what the calls return does not matter.
                    scope.spawn(|| loop {
                        let _ = device.swapout(handle);
                        let _ = device.populate(handle);
                    });
                }
                line.say(1)
            })
        })?;
    }
    Ok(())
}

fn exits_without_closing() -> Outcome {
    let watcher = open()?;
    let before = watcher.stats()?;
    Child::run(|_| {
        let device = open()?;
        populated(&device, 77)?;
        std::mem::forget(device);
        Ok(())
    })?
    .join()?;
    check_eq!(watcher.stats()?.buffer_objects, before.buffer_objects);
    back_to(&watcher, before.pages_allocated, before.buffer_objects)
}
