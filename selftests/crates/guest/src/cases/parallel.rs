// SPDX-License-Identifier: GPL-2.0-or-later

//! Several processes and threads at once, each of which checks its own content.

use std::thread;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::process::Child;
use crate::random::Random;
use crate::seen::open;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("parallel";
    two_processes,
    two_processes_over_the_limit,
    threads_on_one_file,
    threads_on_one_object,
    shrinking_meanwhile,
    limit_changes_meanwhile,
);

const OBJECTS: u64 = 4;
const PAGES: u64 = 8;
const SIZE: usize = (PAGES * PAGE) as usize;
const STEPS: u64 = 80;

/// Works on objects of its own and checks what it reads.
fn hammer(device: &Device, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let mut objects: Vec<(Handle, u64)> = Vec::new();
    for index in 0..OBJECTS {
        let handle = device.create(Create::new(SIZE as u64))?;
        let seed = seed << 32 | index;
        device.write(handle, 0, &Pattern::new(seed).bytes(SIZE))?;
        objects.push((handle, seed));
    }
    for step in 0..STEPS {
        let index = random.below(OBJECTS) as usize;
        let (handle, content) = objects[index];
        match random.below(6) {
            0 => device.swapout(handle).map(|_| ())?,
            1 => device.populate(handle).map(|_| ())?,
            2 => {
                let content = random.next();
                device.write(handle, 0, &Pattern::new(content).bytes(SIZE))?;
                objects[index].1 = content;
            }
            3 => {
                device.destroy(handle)?;
                let handle = device.create(Create::new(SIZE as u64))?;
                device.write(handle, 0, &Pattern::new(content).bytes(SIZE))?;
                objects[index].0 = handle;
            }
            _ => {
                let mut found = vec![0; SIZE];
                device.read(handle, 0, &mut found)?;
                check_eq!(
                    Pattern::new(content).mismatch(0, &found),
                    None,
                    "step {step}"
                );
            }
        }
    }
    for (handle, content) in objects {
        let mut found = vec![0; SIZE];
        device.read(handle, 0, &mut found)?;
        check_eq!(
            Pattern::new(content).mismatch(0, &found),
            None,
            "at the end"
        );
        device.destroy(handle)?;
    }
    Ok(())
}

/// Two processes that start at the same time.
fn in_two_processes(f: impl Fn(u64) -> Outcome) -> Outcome {
    let mut children = Vec::new();
    for seed in [1, 2] {
        children.push(Child::run(|line| {
            line.hear()?;
            f(seed)
        })?);
    }
    for child in &mut children {
        child.line.say(1)?;
    }
    for child in children {
        child.join()?;
    }
    Ok(())
}

/// Runs `f` in so many threads and collects what they say.
fn in_threads(count: u64, f: impl Fn(u64) -> Outcome + Sync) -> Outcome {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                scope.spawn({
                    let f = &f;
                    move || f(index)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| panic!("a thread panicked"))
        })
    })
}

fn two_processes() -> Outcome {
    in_two_processes(|seed| hammer(&open()?, seed))
}

fn two_processes_over_the_limit() -> Outcome {
    let _limit = Limit::pages(3 * PAGES)?;
    in_two_processes(|seed| hammer(&open()?, seed))
}

fn threads_on_one_file() -> Outcome {
    let device = open()?;
    in_threads(4, |index| hammer(&device, index))?;
    check!(device.list()?.is_empty());
    check_eq!(device.stats()?.pages_allocated, 0);
    Ok(())
}

/// Each thread owns some bytes of every page; some only swap the object in and out.
fn threads_on_one_object() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(SIZE as u64))?;
    in_threads(4, |index| {
        let mut random = Random::new(index);
        for step in 0..STEPS {
            if index == 3 {
                device.swapout(handle)?;
                device.populate(handle)?;
                continue;
            }
            let offset = random.below(PAGES) * PAGE + index * 1000;
            let bytes = Pattern::new(random.next()).bytes(1000);
            device.write(handle, offset, &bytes)?;
            let mut found = vec![0; 1000];
            device.read(handle, offset, &mut found)?;
            check!(found == bytes, "thread {index}, step {step}");
        }
        Ok(())
    })
}

fn shrinking_meanwhile() -> Outcome {
    let mut child = Child::run(|line| {
        line.hear()?;
        while !line.heard()? {
            check!(knobs::tt_shrink()? >= 0);
        }
        Ok(())
    })?;
    child.line.say(1)?;
    in_two_processes(|seed| hammer(&open()?, seed))?;
    child.line.say(1)?;
    child.join()
}

fn limit_changes_meanwhile() -> Outcome {
    let mut child = Child::run(|line| {
        line.hear()?;
        let mut random = Random::new(5);
        while !line.heard()? {
            Limit::pages(1 + random.below(8 * PAGES))?;
        }
        Ok(())
    })?;
    child.line.say(1)?;
    in_two_processes(|seed| hammer(&open()?, seed))?;
    child.line.say(1)?;
    child.join()
}
