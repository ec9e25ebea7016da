// SPDX-License-Identifier: GPL-2.0-or-later

//! One user's objects, mappings and kills, and what others and the module notice of them.

use std::env;
use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::memory;
use crate::module;
use crate::process::run_when_idle;
use crate::process::Child;
use crate::process::OneCpu;
use crate::runner::scale;
use crate::seen::counter;
use crate::seen::meminfo;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::until;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::shortage::available;
use crate::shortage::open_files;
use crate::shortage::Strict;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("hostile_pages";
    the_module_stays_while_a_fault_runs,
    an_object_that_cannot_go_is_passed_over,
    nothing_is_evicted_in_vain,
    a_dma32_limit_takes_dma32_objects,
    a_killed_task_stops_to_reclaim,
    a_killed_task_stops_to_evict,
    backups_that_fail_take_no_time,
    a_backup_moves_the_part_that_fits,
    with_strict_overcommit_a_soft_limit_stays_soft,
    swapped_out_objects_take_no_files,
    who_waits_for_an_object_can_be_killed,
    meminfo_shows_pages_of_objects_and_of_the_pool,
    pinned_objects_are_not_where_pages_must_move,
);

fn patience() -> Duration {
    Duration::from_secs(20).mul_f64(scale())
}

/// Sets a parameter of the module until dropped.
struct Parameter(&'static str);

impl Parameter {
    fn set(name: &'static str, value: u64) -> Outcome<Self> {
        knobs::set_parameter(name, &value.to_string())?;
        Ok(Self(name))
    }
}

impl Drop for Parameter {
    fn drop(&mut self) {
        // When this fails, the runner's check before the next case says so.
        let _ = knobs::set_parameter(self.0, "0");
    }
}

/// A thread faults and gives its `mmap_lock` back, which takes as long as a large object takes to populate.
/// Another thread unmaps what is faulted on and closes the file: nothing but the fault uses the module any
/// more.
fn the_module_stays_while_a_fault_runs() -> Outcome {
    module::need_file()?;
    let bytes = (available()? / 3).min(256 << 20) & !(PAGE - 1);
    for _ in 0..5 {
        let mut child = Child::run(|line| {
            let device = open()?;
            let before = device.stats()?.pages_allocated;
            let handle = device.create(Create::new(bytes))?;
            let mapping = device.map(handle)?;
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let (mapping, done) = (&mapping, &done);
                // Ends this process by a signal when it is retried: then there is no mapping.
                scope.spawn(move || {
                    mapping.touch();
                    done.store(true, Ordering::Relaxed);
                });
                // The pages are counted before they are allocated.
                while device.stats()?.pages_allocated == before && !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                memory::unmap(mapping)?;
                drop(device);
                line.say(u8::from(done.load(Ordering::Relaxed)))
            })
        })?;
        let late = child.line.hear()? != 0;
        let first = module::remove();
        // Told before the fault ended, so the file was closed while it ran.
        if !late && child.is_running()? {
            check_eq!(first, Err(Errno::EWOULDBLOCK), "while a fault runs");
            let limit = patience();
            check!(until(limit, || Ok(!child.is_running()?))?, "the fault ends");
            check!(
                until(limit, || Ok(module::remove().is_ok()))?,
                "nothing is left"
            );
            return Ok(());
        }
        drop(child);
        if first.is_ok() {
            module::insert("enable_builtin_tests=1")??;
        }
    }
    Err(Stop::skipped("the fault was over each time".to_owned()))
}

/// Too large for free memory and swap: it stays, and what is behind it goes.
fn an_object_that_cannot_go_is_passed_over() -> Outcome {
    const SMALL: u64 = 256;
    knobs::drain_pool()?;
    let (device, other) = (open()?, open()?);
    let large = available()? / 100 * 60 / PAGE;
    let _limit = Limit::pages(large + 4 * SMALL)?;
    let big = populated(&device, large)?;
    let small = (0..4)
        .map(|_| populated(&other, SMALL))
        .collect::<Outcome<Vec<_>>>()?;
    let before = other.stats()?;
    let start = Instant::now();
    populated(&other, 2 * SMALL)?;
    let after = other.stats()?;
    check_eq!(after.swapouts - before.swapouts, 2);
    check_eq!(after.overcommits, before.overcommits);
    check_eq!(device.info(big)?.pages_resident, large);
    check_eq!(other.info(small[0])?.pages_resident, 0);
    check!(
        start.elapsed() < Duration::from_secs(1).mul_f64(scale()),
        "{:?}",
        start.elapsed()
    );
    // Nor does it stop the file that evicts one.
    check_eq!(knobs::tt_shrink()?, SMALL as i64);
    Ok(())
}

/// A client's pinned objects are over the limit: no other object is evicted for that.
fn nothing_is_evicted_in_vain() -> Outcome {
    let (hostile, device) = (open()?, open()?);
    let objects = (0..8)
        .map(|_| populated(&device, 4))
        .collect::<Outcome<Vec<_>>>()?;
    let _limit = Limit::pages(100)?;
    let pinned = populated(&hostile, 101)?;
    hostile.pin(pinned)?;
    // The worker that the limit woke may run once more, when it is over it.
    let quiet = until(Duration::from_secs(20), || {
        let before = device.stats()?;
        for _ in 0..4 {
            for handle in &objects {
                device.unpopulate(*handle)?;
                device.populate(*handle)?;
            }
        }
        let after = device.stats()?;
        check_eq!(after.overcommits - before.overcommits, 32);
        Ok(after.swapouts == before.swapouts)
    })?;
    check!(quiet, "populates evict in vain");
    hostile.unpin(pinned)?;
    // Now it can be kept.
    device.unpopulate(objects[0])?;
    device.populate(objects[0])?;
    check!(device.stats()?.pages_allocated <= 100);
    check_eq!(hostile.info(pinned)?.pages_resident, 0);
    Ok(())
}

/// A limit on DMA32 pages is not kept by evicting others.
fn a_dma32_limit_takes_dma32_objects() -> Outcome {
    let device = open()?;
    let mut others = Vec::new();
    let mut low = Vec::new();
    for _ in 0..6 {
        others.push(populated(&device, 4)?);
        let handle = device.create(Create::new(4 * PAGE).dma32())?;
        device.populate(handle)?;
        low.push(handle);
    }
    let before = device.stats()?;
    let _limit = Parameter::set("dma32_pages_limit", 28)?;
    let handle = device.create(Create::new(12 * PAGE).dma32())?;
    device.populate(handle)?;
    let after = device.stats()?;
    check_eq!(after.swapouts - before.swapouts, 2);
    check_eq!(after.dma32_pages_allocated, 28);
    for handle in others {
        check_eq!(device.info(handle)?.pages_resident, 4);
    }
    // The least recently used of them.
    check_eq!(device.info(low[1])?.pages_resident, 0);
    check_eq!(device.info(low[2])?.pages_resident, 4);
    Ok(())
}

/// So many objects of one page each.
fn many(device: &Device, count: u64) -> Outcome<Vec<Handle>> {
    (0..count).map(|_| populated(device, 1)).collect()
}

/// How many objects a killed task might go on with, if it is said.
fn wanted_objects() -> Option<u64> {
    env::var("REEVE_OBJECTS").ok()?.parse().ok()
}

/// How many there are.
fn objects_to_go() -> u64 {
    wanted_objects().unwrap_or(6000)
}

/// Kills a process and says how long it takes to die.
fn time_to_die(child: Child) -> Outcome<Duration> {
    let start = Instant::now();
    child.kill()?;
    Ok(start.elapsed())
}

/// All of these were short.
fn are_short(times: &[Duration]) -> Outcome {
    println!("# dead after {times:?}");
    let longest = times.iter().max().copied().unwrap_or_default();
    // Making many objects may take long, dying may not.
    let scale = wanted_objects().map_or(scale(), |_| 1.0);
    let limit = Duration::from_millis(200).mul_f64(scale);
    check!(longest < limit, "{times:?}");
    Ok(())
}

/// A task in the objects' shrinker, as one that wants memory, is killed: it does not go on for itself.
fn a_killed_task_stops_to_reclaim() -> Outcome {
    let _swap = Swap::on()?;
    let device = open()?;
    many(&device, objects_to_go())?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let shrunk = counter("backed_up_pages")?;
        let child = Child::run(|_| loop {
            knobs::trigger("bo_shrink")?;
        })?;
        check!(until(patience(), || Ok(
            counter("backed_up_pages")? > shrunk
        ))?);
        times.push(time_to_die(child)?);
    }
    check!(device.stats()?.pages_allocated > 0, "some are left");
    are_short(&times)
}

/// A populate is over the limit and evicts many others: so does one with strict overcommit, when none of them
/// can go.
fn a_killed_task_stops_to_evict() -> Outcome {
    let objects = objects_to_go();
    let device = open()?;
    many(&device, objects)?;
    knobs::drain_pool()?;
    let large = objects / 8;
    let mut times = Vec::new();
    for round in 0..5 {
        let _limit = Limit::pages(device.stats()?.pages_allocated)?;
        let handle = device.create(Create::new(large * PAGE))?;
        let before = device.stats()?.swapouts;
        let child = Child::run(|_| {
            device.populate(handle)?;
            Ok(())
        })?;
        while device.stats()?.swapouts == before && child.is_running()? {
            std::hint::spin_loop();
        }
        let running = child.is_running()?;
        times.push(time_to_die(child)?);
        device.destroy(handle)?;
        if running {
            let gone = device.stats()?.swapouts - before;
            println!("# round {round}: {gone} of {large} were evicted");
        }
    }
    let handle = device.create(Create::new(PAGE))?;
    let _limit = Limit::pages(1)?;
    // Nothing can be forked any more with strict overcommit.
    let mut child = Child::run(|line| {
        line.hear()?;
        line.say(0)?;
        loop {
            device.populate(handle)?;
            device.unpopulate(handle)?;
        }
    })?;
    let _strict = Strict::set()?;
    child.line.say(0)?;
    child.line.hear()?;
    times.push(time_to_die(child)?);
    are_short(&times)
}

/// Every backup fails: a scan of the shrinker, and the search of a populate over the limit, take time for
/// each object once, and next to none.
fn backups_that_fail_take_no_time() -> Outcome {
    let device = open()?;
    many(&device, 8000)?;
    knobs::drain_pool()?;
    let handle = device.create(Create::new(PAGE))?;
    let _strict = Strict::set()?;
    let start = Instant::now();
    check_eq!(knobs::triggered("bo_shrink")?, 0);
    check_eq!(knobs::tt_shrink()?, 0);
    let _limit = Limit::pages(100)?;
    device.populate(handle)?;
    let took = start.elapsed();
    check!(
        took < Duration::from_millis(500).mul_f64(scale()),
        "{took:?}"
    );
    Ok(())
}

/// With strict overcommit there is room for a part of the content, and that part goes.
fn a_backup_moves_the_part_that_fits() -> Outcome {
    const PAGES: u64 = 8192;
    let device = open()?;
    let handle = populated(&device, PAGES)?;
    let strict = Strict::set()?;
    strict.leave(PAGES / 2)?;
    let moved = device.backup(handle);
    drop(strict);
    let moved = moved?;
    check!(moved > 0 && moved < PAGES, "{moved}");
    check_eq!(device.info(handle)?.pages_resident, PAGES - moved);
    check_eq!(device.restore(handle)?, moved);
    Ok(())
}

/// Nothing can be copied out, so that a populate goes on over a soft limit, as it does when all are pinned.
fn with_strict_overcommit_a_soft_limit_stays_soft() -> Outcome {
    let device = open()?;
    let handles = many(&device, 50)?;
    knobs::drain_pool()?;
    let handle = device.create(Create::new(4 * PAGE))?;
    let before = device.stats()?;
    let populated = {
        let _strict = Strict::set()?;
        let _limit = Limit::pages(50)?;
        device.populate(handle)
    };
    check_eq!(populated?, 4);
    let after = device.stats()?;
    check_eq!(after.overcommits, before.overcommits + 1);
    check_eq!(after.swapouts, before.swapouts);
    for handle in handles {
        check_eq!(device.info(handle)?.pages_resident, 1);
    }
    Ok(())
}

/// One storage serves all objects, however they leave memory.
fn swapped_out_objects_take_no_files() -> Outcome {
    let device = open()?;
    let handles = many(&device, 1000)?;
    let before = open_files()?;
    for (index, handle) in handles.iter().enumerate() {
        match index % 2 {
            0 => device.swapout(*handle)?,
            _ => device.backup(*handle)?,
        };
    }
    // The counter of files is only exact to some per processor.
    check!(
        open_files()? < before + 300,
        "{before} before, {} now",
        open_files()?
    );
    for handle in handles {
        check_eq!(device.populate(handle)?, 1);
    }
    Ok(())
}

/// The state of a process, as `ps` shows it.
fn state(child: &Child) -> Outcome<char> {
    let text = fs::read_to_string(format!("/proc/{}/stat", child.pid()))?;
    let state = text
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.ok_or_else(|| Stop::failed(format!("no state in {text}")))
}

/// A populate takes long; another task wants to know something about the object, and is killed.
fn who_waits_for_an_object_can_be_killed() -> Outcome {
    let bytes = (available()? / 3).min(256 << 20) & !(PAGE - 1);
    let device = open()?;
    let before = device.stats()?;
    let handle = device.create(Create::new(bytes))?;
    // The populate goes on only while all others sleep, so that it lasts as long as they need.
    let _here = OneCpu::stay()?;
    let populate = Child::run(|_| {
        run_when_idle()?;
        device.populate(handle).map(drop).map_err(Stop::from)
    })?;
    let mut waiting = Child::run(|line| {
        line.hear()?;
        device.info(handle).map(drop).map_err(Stop::from)
    })?;
    while device.stats()?.pages_allocated == before.pages_allocated {
        check!(populate.is_running()?, "it was over at once");
        thread::sleep(Duration::from_millis(1));
    }
    waiting.line.say(0)?;
    while state(&waiting)? != 'D' {
        check!(waiting.is_running()?, "it did not wait");
        std::hint::spin_loop();
    }
    waiting.kill()?;
    // A populate is counted before the object can be reserved again.
    check_eq!(device.stats()?.populates, before.populates);
    populate.join()
}

/// As C TTM's pages.
fn meminfo_shows_pages_of_objects_and_of_the_pool() -> Outcome {
    const PAGES: u64 = 2048;
    let kib = PAGES * PAGE / 1024;
    knobs::drain_pool()?;
    let device = open()?;
    let active = meminfo("GPUActive")?;
    let reclaim = meminfo("GPUReclaim")?;
    let handle = populated(&device, PAGES)?;
    // The counters are only exact to some pages per processor.
    let near = |found: u64, expected: u64| found.abs_diff(expected) <= 2048;
    let now = meminfo("GPUActive")?;
    check!(near(now, active + kib), "{active} and {kib}: {now}");
    device.unpopulate(handle)?;
    let (a, r) = (meminfo("GPUActive")?, meminfo("GPUReclaim")?);
    check!(near(a, active), "{a}");
    check!(near(r, reclaim + kib), "{reclaim} and {kib}: {r}");
    knobs::drain_pool()?;
    check!(near(meminfo("GPUReclaim")?, reclaim));
    Ok(())
}

/// Free pages of a zone.
fn free_of(zone: &str) -> Outcome<Option<u64>> {
    let text = fs::read_to_string("/proc/zoneinfo")?;
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("Node") {
            inside = line.ends_with(zone);
        } else if let (true, Some(number)) = (inside, line.trim().strip_prefix("nr_free_pages")) {
            return Ok(number.trim().parse().ok());
        }
    }
    Ok(None)
}

/// Neither the pages of the pool nor those in a file are from the zone for movable ones.
fn pinned_objects_are_not_where_pages_must_move() -> Outcome {
    const PAGES: u64 = 8192;
    let Some(before @ PAGES..) = free_of("Movable")? else {
        return Err(Stop::skipped(
            "no zone for movable pages (movablecore=)".to_owned(),
        ));
    };
    let device = open()?;
    for create in [Create::new(PAGES * PAGE), Create::new(PAGES * PAGE).shmem()] {
        let handle = device.create(create)?;
        device.populate(handle)?;
        device.pin(handle)?;
        let after = free_of("Movable")?.unwrap_or(0);
        check!(after + PAGES / 4 > before, "{before} before, {after} after");
    }
    Ok(())
}
