// SPDX-License-Identifier: GPL-2.0-or-later

//! The machine goes to sleep: what can leave memory leaves it before it hibernates, and nothing before it is
//! suspended to RAM.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;

use crate::content::filled;
use crate::content::holds;
use crate::fail_nth::expected;
use crate::fail_nth::Faults;
use crate::runner::scale;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("sleep";
    suspending_leaves_everything_in_memory,
    the_file_does_what_hibernating_does,
    an_empty_machine_has_nothing_to_do,
    mapped_objects_go_and_come_back,
    users_of_objects_meanwhile_wait_for_nothing,
    failures_leave_the_others_swapped_out,
);

/// A counter that only debugfs has.
fn counter(name: &str) -> Outcome<u64> {
    let all: BTreeMap<_, _> = knobs::accounting()?.into_iter().collect();
    let value = all.get(name).and_then(|text| text.parse().ok());
    value.ok_or_else(|| Stop::failed(format!("accounting has no {name}")))
}

/// Goes to sleep as far as the kernel's own test of it goes: everybody is told, all processes are
/// stopped, and then all go on.
fn suspend() -> Outcome {
    let tests = Path::new("/sys/power/pm_test");
    if !tests.exists() {
        return Err(Stop::skipped("the kernel has no pm_test (CONFIG_PM_DEBUG)"));
    }
    fs::write("/sys/module/suspend/parameters/pm_test_delay", "0")?;
    fs::write(tests, "freezer")?;
    let slept = fs::write("/sys/power/state", "freeze");
    fs::write(tests, "none")?;
    Ok(slept?)
}

fn prepare() -> Outcome<i64> {
    Ok(knobs::triggered("prepare_hibernation")?)
}

/// Has objects of every kind swapped out by `sleep`, and looks whether they were.
fn everything_goes(sleep: impl FnOnce() -> Outcome) -> Outcome {
    let device = open()?;
    let create = Create::new(30 * PAGE + 5);
    let mappable = create.kind(BoType::Sg).mappable();
    let going = [
        create,
        create.kind(BoType::Kernel),
        create.caching(Caching::WriteCombined),
        create.caching(Caching::Uncached).dma32(),
        create.shmem(),
        create.extra(9),
        Create::new(3 << 20),
    ]
    .into_iter()
    .zip(1..)
    .map(|(create, seed)| Ok((filled(&device, create, seed)?, seed)))
    .collect::<Outcome<Vec<_>>>()?;
    let pinned = filled(&device, create, 100)?;
    device.pin(pinned)?;
    let external = filled(&device, mappable, 101)?;
    let empty = device.create(create)?;

    let before = device.stats()?;
    let pages = counter("hibernation_pages")?;
    let prepares = counter("hibernation_prepares")?;
    sleep()?;

    let after = device.stats()?;
    check_eq!(after.swapouts, before.swapouts + going.len() as u64);
    check_eq!(after.pages_allocated, 31);
    check_eq!(after.dma32_pages_allocated, 0);
    check_eq!(counter("hibernation_prepares")?, prepares + 1);
    check_eq!(
        counter("hibernation_pages")?,
        pages + before.pages_allocated - 31
    );
    for &(handle, _) in &going {
        let info = device.info(handle)?;
        check!(info.is(REEVE_BO_SWAPPED) && !info.is(REEVE_BO_POPULATED));
        check_eq!((info.pages_resident, info.pages_charged), (0, 0));
    }
    for handle in [pinned, external] {
        check!(device.info(handle)?.is(REEVE_BO_POPULATED));
    }
    check!(!device.info(empty)?.is(REEVE_BO_POPULATED));

    // Each comes back when it is needed, and no other.
    for &(handle, seed) in &going {
        let before = device.stats()?;
        holds(&device, handle, seed)?;
        let after = device.stats()?;
        check_eq!(after.swapins, before.swapins + 1);
        let info = device.info(handle)?;
        check_eq!(
            after.pages_allocated,
            before.pages_allocated + info.num_pages
        );
    }
    holds(&device, pinned, 100)?;
    holds(&device, external, 101)
}

/// Memory keeps its power, so there is no reason to wait for the swap device.
fn suspending_leaves_everything_in_memory() -> Outcome {
    let device = open()?;
    let handle = filled(&device, Create::new(30 * PAGE), 1)?;
    let prepares = counter("hibernation_prepares")?;
    unchanged(&device, suspend)?;
    check_eq!(counter("hibernation_prepares")?, prepares);
    holds(&device, handle, 1)
}

fn the_file_does_what_hibernating_does() -> Outcome {
    everything_goes(|| {
        check!(prepare()? > 0);
        Ok(())
    })
}

fn an_empty_machine_has_nothing_to_do() -> Outcome {
    let device = open()?;
    device.create(Create::new(PAGE))?;
    let handle = populated(&device, 3)?;
    check_eq!(prepare()?, 3);
    unchanged(&device, || {
        check_eq!(prepare()?, 0);
        Ok(())
    })?;
    device.unpopulate(handle)?;
    check_eq!(counter("hibernation_failures")?, 0);
    // What the pool keeps would only have to be saved.
    knobs::drain_pool()?;
    let handle = populated(&device, 64)?;
    device.unpopulate(handle)?;
    let zeroed = device.create(Create::new(64 * PAGE).caching(Caching::WriteCombined))?;
    device.populate(zeroed)?;
    device.unpopulate(zeroed)?;
    check!(device.stats()?.pool_pages >= 64);
    check_eq!(prepare()?, 0);
    check_eq!(device.stats()?.pool_pages, 0);
    Ok(())
}

fn mapped_objects_go_and_come_back() -> Outcome {
    let device = open()?;
    let handle = filled(&device, Create::new(5 * PAGE), 1)?;
    let mapping = device.map(handle)?;
    check_eq!(Pattern::new(1).mismatch(0, &mapping.bytes()), None);
    mapping.write(0, &Pattern::new(2).bytes(5 * PAGE as usize));
    check_eq!(prepare()?, 5);
    check!(device.info(handle)?.is(REEVE_BO_SWAPPED));
    check_eq!(Pattern::new(2).mismatch(0, &mapping.bytes()), None);
    check!(device.info(handle)?.is(REEVE_BO_POPULATED));
    Ok(())
}

/// Processes still run when the machine is about to sleep.
fn users_of_objects_meanwhile_wait_for_nothing() -> Outcome {
    const ROUNDS: u64 = 20;
    let device = open()?;
    let handles = (0..4)
        .map(|seed| filled(&device, Create::new(20 * PAGE), seed))
        .collect::<Outcome<Vec<_>>>()?;
    let over = AtomicBool::new(false);
    let used = [const { AtomicU64::new(0) }; 4];
    thread::scope(|scope| -> Outcome {
        let users: Vec<_> = (0..)
            .zip(&handles)
            .zip(&used)
            .map(|((seed, &handle), used)| {
                let (device, over) = (&device, &over);
                scope.spawn(move || -> Outcome {
                    while !over.load(Ordering::Relaxed) {
                        holds(device, handle, seed)?;
                        used.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        let mut rounds = 0;
        // So often, and until each of them has got something done meanwhile.
        let slept = until(Duration::from_secs(20).mul_f64(scale()), || {
            let pages = prepare()?;
            check!(pages >= 0 && pages % 20 == 0, "{pages}");
            // No more than each of them once.
            check!(pages <= 80, "{pages}");
            rounds += 1;
            Ok(rounds >= ROUNDS && used.iter().all(|used| used.load(Ordering::Relaxed) > 0))
        });
        over.store(true, Ordering::Relaxed);
        for user in users {
            user.join().map_err(|_| Stop::failed("a thread ended"))??;
        }
        check!(slept?, "{used:?}");
        Ok(())
    })?;
    check_eq!(counter("hibernation_failures")?, 0);
    check_eq!(knobs::debugfs("accounting")?.contains("drift"), false);
    Ok(())
}

fn failures_leave_the_others_swapped_out() -> Outcome {
    let mut faults = Faults::new()?;
    let device = open()?;
    let handles = (0..3)
        .map(|seed| filled(&device, Create::new(4 * PAGE), seed))
        .collect::<Outcome<Vec<_>>>()?;
    let failures = counter("hibernation_failures")?;
    let mut failed = 0;
    let prepare = || {
        for &handle in &handles {
            device.populate(handle)?;
        }
        Ok(())
    };
    faults.each(
        prepare,
        || knobs::trigger("prepare_hibernation"),
        |(), result, reached| {
            let swapped = handles
                .iter()
                .map(|&handle| Ok(device.info(handle)?.is(REEVE_BO_SWAPPED)))
                .collect::<Outcome<Vec<_>>>()?;
            let gone = swapped.iter().filter(|&&swapped| swapped).count() as u64;
            check_eq!(device.stats()?.pages_allocated, 12 - 4 * gone);
            match result {
                Ok(()) => check_eq!(gone, 3),
                // One could not go; the other two went all the same. Or there was no memory to look
                // for them, or to open the file.
                Err(err) => {
                    expected(&err, reached)?;
                    check!(gone == 2 || gone == 0, "{gone}");
                    let counted = counter("hibernation_failures")? - failures - failed;
                    check!(
                        counted == 1 || (counted == 0 && gone == 0),
                        "{counted}, {gone}"
                    );
                    failed += counted;
                }
            }
            for (seed, &handle) in (0..).zip(&handles) {
                holds(&device, handle, seed)?;
            }
            Ok(())
        },
    )?;
    check!(failed > 0, "nothing could fail");
    check_eq!(counter("hibernation_failures")?, failures + failed);
    Ok(())
}
