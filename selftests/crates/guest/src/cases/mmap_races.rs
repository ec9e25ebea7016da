// SPDX-License-Identifier: GPL-2.0-or-later

//! Mapped objects while others take their pages away.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::mix;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;

use crate::process::Child;
use crate::seen::open;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;

cases!("mmap_races";
    writers_against_swapout,
    writers_against_the_limit,
    processes_against_swapout,
    mapping_against_swapout,
    faults_against_destroy,
    fork_against_swapout,
    calls_against_each_other,
);

const PAGES: usize = 24;
const STEP: usize = PAGE as usize;

/// Sets the flag when it goes, so that loops end however the case does.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `others` until `f` is done.
fn while_others<const N: usize>(
    others: [&(dyn Fn() -> Outcome + Sync); N],
    f: impl FnOnce() -> Outcome,
) -> Outcome {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads = others.map(|other| {
            let stop = &stop;
            scope.spawn(move || -> Outcome {
                while !stop.load(Ordering::Relaxed) {
                    other()?;
                }
                Ok(())
            })
        });
        let stopper = Stopper(&stop);
        let mut outcome = f();
        drop(stopper);
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|_| panic!("a thread panicked"));
            outcome = outcome.and(ended);
        }
        outcome
    })
}

/// Every `stride`-th word from the `first` on is one of a sequence, which is checked and replaced
/// by the next in each round: a lost or a stale write shows in the next one.
fn write_rounds(mapping: &Mapping, first: usize, stride: usize, rounds: u64) -> Outcome {
    let value = |at: usize, round: u64| mix(at as u64 ^ round << 32).to_ne_bytes();
    for round in 0..rounds {
        for at in (first..mapping.len() / 8).step_by(stride) {
            if round != 0 {
                let mut found = [0; 8];
                mapping.read(at * 8, &mut found);
                check_eq!(found, value(at, round - 1), "word {at} in round {round}");
            }
            mapping.write(at * 8, &value(at, round));
        }
    }
    Ok(())
}

/// Several threads, each with words of its own in the same pages.
fn writers(mapping: &Mapping, rounds: u64) -> Outcome {
    const THREADS: usize = 3;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| scope.spawn(move || write_rounds(mapping, first * 13, 97, rounds)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| panic!("a thread panicked"))
        })
    })
}

fn mapped(device: &Device) -> Outcome<(Handle, Mapping)> {
    let handle = device.create(Create::new((PAGES * STEP) as u64))?;
    Ok((handle, device.map(handle)?))
}

fn counters_agree() -> Outcome {
    let accounting = knobs::accounting()?;
    let check = accounting.iter().find(|(name, _)| name == "self_check");
    let said = check.map(|(_, said)| said.as_str());
    check!(matches!(said, Some("ok" | "busy")), "{said:?}");
    Ok(())
}

fn writers_against_swapout() -> Outcome {
    let create = Create::new((PAGES * STEP) as u64);
    for create in [create, create.shmem()] {
        let device = open()?;
        let handle = device.create(create)?;
        writers_against(&device, handle)?;
    }
    Ok(())
}

fn writers_against(device: &Device, handle: Handle) -> Outcome {
    let mapping = device.map(handle)?;
    let before = taken_away(device)?;
    let swap = || -> Outcome {
        device.swapout(handle)?;
        Ok(())
    };
    let shrink = || -> Outcome {
        check!(knobs::tt_shrink()? >= 0);
        counters_agree()
    };
    let back_up = || -> Outcome {
        device.backup(handle)?;
        Ok(())
    };
    while_others([&swap, &shrink, &back_up], || {
        while taken_away(device)? < before + 20 {
            writers(&mapping, 20)?;
        }
        Ok(())
    })?;
    let charged = device.info(handle)?.pages_charged;
    check_eq!(device.stats()?.pages_allocated, charged);
    Ok(())
}

/// How often the pages of an object went, with its content kept.
fn taken_away(device: &Device) -> Outcome<u64> {
    let stats = device.stats()?;
    Ok(stats.swapouts + stats.backups)
}

fn writers_against_the_limit() -> Outcome {
    let device = open()?;
    let objects = [mapped(&device)?, mapped(&device)?, mapped(&device)?];
    let _limit = Limit::pages(PAGES as u64 * 3 / 2)?;
    thread::scope(|scope| {
        let threads: Vec<_> = objects
            .iter()
            .map(|(_, mapping)| scope.spawn(|| write_rounds(mapping, 0, 61, 40)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| panic!("a thread panicked"))
        })
    })?;
    check!(device.stats()?.swapouts > 3);
    counters_agree()
}

fn processes_against_swapout() -> Outcome {
    let device = open()?;
    let (handle, mapping) = mapped(&device)?;
    let mut children = Vec::new();
    for first in 0..3 {
        children.push(Child::run(|line| {
            while !line.heard()? {
                write_rounds(&mapping, first * 7, 101, 10)?;
            }
            Ok(())
        })?);
    }
    let before = taken_away(&device)?;
    while taken_away(&device)? < before + 20 {
        device.swapout(handle)?;
        knobs::tt_shrink()?;
        counters_agree()?;
    }
    for mut child in children {
        child.line.say(0)?;
        child.join()?;
    }
    Ok(())
}

/// Mapping and unmapping, also in parts, while pages go.
fn mapping_against_swapout() -> Outcome {
    let device = open()?;
    let (handle, keeper) = mapped(&device)?;
    let size = PAGES * STEP;
    keeper.write(0, &Pattern::new(1).bytes(size));
    let swap = || -> Outcome {
        device.swapout(handle)?;
        Ok(())
    };
    let holds = |part: &Mapping, from: usize| -> Outcome {
        check_eq!(Pattern::new(1).mismatch(from as u64, &part.bytes()), None);
        Ok(())
    };
    while_others([&swap], || {
        for round in 1..60 {
            let cut = round % (PAGES - 2) + 1;
            let mapping = device.map(handle)?.moved()?;
            mapping.touch();
            let mapping = mapping.moved()?;
            let (before, after) = mapping.cut(cut * STEP, STEP)?;
            holds(&before, 0)?;
            let after = after.moved()?;
            drop(before);
            holds(&after, (cut + 1) * STEP)?;
        }
        Ok(())
    })?;
    holds(&keeper, 0)
}

/// The calls of the faulting side fail, or copy the whole content; nothing in between.
fn faults_against_destroy() -> Outcome {
    let device = open()?;
    let target = device.create(Create::new((PAGES * STEP) as u64))?;
    for round in 0..40 {
        let (handle, mapping) = mapped(&device)?;
        mapping.write(0, &Pattern::new(round).bytes(PAGES * STEP));
        if round % 2 == 0 {
            device.swapout(handle)?;
        }
        thread::scope(|scope| {
            let ender = scope.spawn(|| -> Outcome { Ok(device.destroy(handle)?) });
            let (result, done) = mapping.send(0, PAGES * STEP, &device, target, 0);
            match result {
                Ok(()) => check_eq!(done, (PAGES * STEP) as u64),
                Err(err) => check_eq!(errno(&err), Errno::EFAULT),
            }
            let mut found = vec![0; done as usize];
            device.read(target, 0, &mut found)?;
            check_eq!(Pattern::new(round).mismatch(0, &found), None);
            ender.join().unwrap_or_else(|_| panic!("a thread panicked"))
        })?;
        check_eq!(device.stats()?.buffer_objects, 1);
    }
    Ok(())
}

/// Memory is copied, page tables included, while the pages go.
fn fork_against_swapout() -> Outcome {
    let device = open()?;
    let (handle, mapping) = mapped(&device)?;
    let size = PAGES * STEP;
    mapping.write(0, &Pattern::new(1).bytes(size));
    // In a process of its own, because only processes without threads fork here.
    let mut swapper = Child::run(|line| {
        while !line.heard()? {
            device.swapout(handle)?;
            device.populate(handle)?;
        }
        Ok(())
    })?;
    for round in 1..40 {
        mapping.touch();
        Child::run(|_| {
            check_eq!(Pattern::new(round).mismatch(0, &mapping.bytes()), None);
            mapping.write(0, &Pattern::new(round + 1).bytes(size));
            Ok(())
        })?
        .join()?;
        check_eq!(Pattern::new(round + 1).mismatch(0, &mapping.bytes()), None);
    }
    swapper.line.say(0)?;
    swapper.join()
}

/// Calls whose user memory is each other's object, with pages going: no order of locks to get wrong.
fn calls_against_each_other() -> Outcome {
    let device = open()?;
    let objects = [mapped(&device)?, mapped(&device)?];
    let bytes = Pattern::new(1).bytes(PAGES * STEP);
    for (_, mapping) in &objects {
        mapping.write(0, &bytes);
    }
    let copy = |from: usize, to: usize| -> Outcome {
        let (result, _) = objects[from]
            .1
            .send(0, PAGES * STEP, &device, objects[to].0, 0);
        result?;
        let (result, _) = objects[from]
            .1
            .receive(0, PAGES * STEP, &device, objects[to].0, 0);
        Ok(result?)
    };
    let forth = || copy(0, 1);
    let own = || copy(1, 1);
    let swap = || -> Outcome {
        check!(knobs::tt_shrink()? >= 0);
        Ok(())
    };
    while_others([&forth, &own, &swap], || {
        (0..60).try_for_each(|_| copy(1, 0))
    })?;
    for (_, mapping) in &objects {
        check_eq!(Pattern::new(1).mismatch(0, &mapping.bytes()), None);
    }
    Ok(())
}
