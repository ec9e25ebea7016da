// SPDX-License-Identifier: GPL-2.0-or-later

//! The kernel runs short of memory: its reclaim, in the background or in the thread that wants memory, takes
//! objects, and who would have been killed lives.
//!
//! Needs a disk to swap to and a small machine: `make vm KERNEL=debug MEM=384 DISK=1024`.

use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::mman::mlockall;
use nix::sys::mman::MlockAllFlags;
use nix::sys::signal::Signal;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::cgroup::Group;
use crate::process::least_until;
use crate::process::time_in_kernel;
use crate::process::Child;
use crate::runner::scale;
use crate::seen::counter;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::until;
use crate::seen::PAGE;
use crate::shortage::available;
use crate::shortage::swappable;
use crate::shortage::Hog;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;
use crate::tracing::Tracing;

cases!("reclaim";
    in_the_background_takes_objects,
    direct_takes_objects,
    drop_caches_takes_objects,
    a_hog_dies_when_objects_are_pinned,
    a_hog_lives_when_they_are_not,
    idle_objects_of_a_cgroup_go_before_a_task_is_killed,
    more_objects_than_fit_into_a_cgroup_are_filled,
    a_lower_limit_of_a_cgroup_takes_objects,
    objects_of_a_removed_cgroup_go_for_the_one_above,
    a_cgroup_finds_its_objects_among_those_of_others,
    a_cgroup_full_of_pins_is_as_one_full_of_mlock,
);

const EACH: u64 = 1 << 20;
const MIB: u64 = 1 << 20;

/// The controller of memory cgroups.
const MEMORY: &str = "memory";

/// How long it may take until the kernel has noticed.
fn patience() -> Duration {
    Duration::from_secs(60).mul_f64(scale())
}

/// Objects with content.
struct Objects {
    device: Device,
    handles: Vec<Handle>,
}

impl Objects {
    /// So many hundredths of the memory that is there, which the pool has no part of.
    fn filling(hundredths: u64) -> Outcome<Self> {
        knobs::drain_pool()?;
        Self::of(available()? / 100 * hundredths / EACH)
    }

    /// So many.
    fn of(count: u64) -> Outcome<Self> {
        let device = open()?;
        let mut handles = Vec::new();
        for seed in 0..count {
            let handle = device.create(Create::new(EACH))?;
            device.write(handle, 0, &Pattern::new(seed).bytes(EACH as usize))?;
            handles.push(handle);
        }
        Ok(Self { device, handles })
    }

    /// Pages that they hold now.
    fn resident(&self) -> Outcome<u64> {
        let all = self.device.list()?;
        Ok(all.iter().map(|info| info.pages_resident).sum())
    }

    /// Everything is as it was written.
    fn check(&self) -> Outcome {
        let mut found = vec![0; EACH as usize];
        for (seed, handle) in (0..).zip(&self.handles) {
            self.device.read(*handle, 0, &mut found)?;
            check_eq!(
                Pattern::new(seed).mismatch(0, &found),
                None,
                "object {seed}"
            );
        }
        Ok(())
    }
}

/// A knob of `/proc/sys/vm`, set until dropped.
struct Knob {
    path: std::path::PathBuf,
    before: String,
}

impl Knob {
    fn set(name: &str, value: &str) -> Outcome<Self> {
        let path = Path::new("/proc/sys/vm").join(name);
        let before = fs::read_to_string(&path)?;
        fs::write(&path, value)?;
        Ok(Self { path, before })
    }
}

impl Drop for Knob {
    fn drop(&mut self) {
        // When this fails, other cases find less memory than they could.
        let _ = fs::write(&self.path, self.before.trim());
    }
}

/// Keeps all memory of this process, that to come included, out of swap.
fn stay_in_memory() -> Outcome {
    Ok(mlockall(
        MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE,
    )?)
}

/// The name of the background's tasks begins like this.
const KSWAPD: &str = "kswapd";

/// Pages that backups took, by the background and by others.
fn taken(tracing: &Tracing) -> Outcome<(u64, u64)> {
    let (mut background, mut others) = (0, 0);
    for event in tracing.seen()? {
        if event.number("result")? != 0 {
            continue;
        }
        let pages = event.number("pages")? as u64;
        match event.task.starts_with(KSWAPD) {
            true => background += pages,
            false => others += pages,
        }
    }
    Ok((background, others))
}

/// Memory gets short slowly, with room between where the background begins and where it must not
/// get to: no other thread has to reclaim.
fn in_the_background_takes_objects() -> Outcome {
    let _swap = Swap::on_disk()?;
    let _room = Knob::set("watermark_scale_factor", "300")?;
    // Or fragmentation would move the marks.
    let _same = Knob::set("watermark_boost_factor", "0")?;
    let objects = Objects::filling(15)?;
    let before = (objects.resident()?, counter("direct_scans")?);
    let scans = counter("background_scans")?;
    let tracing = Tracing::of(&["tt_backup"])?;
    stay_in_memory()?;
    let mut hog = Hog::new();
    let start = Instant::now();
    // A little at a time: kswapd runs before memory is out.
    while counter("background_scans")? == scans {
        check!(start.elapsed() < patience(), "{} bytes wanted", hog.bytes());
        hog.take(512 << 10);
    }
    let scanned = hog.bytes();
    check!(
        until(patience(), || Ok(taken(&tracing)?.0 > 0))?,
        "asked after {scanned} bytes"
    );
    let (background, others) = taken(&tracing)?;
    check_eq!(others, 0, "and {background} in the background");
    check_eq!(counter("direct_scans")?, before.1);
    check!(objects.resident()? <= before.0 - background);
    drop(hog);
    objects.check()
}

/// A task allocates much at once and reclaims by itself before kswapd is done.
fn direct_takes_objects() -> Outcome {
    let _swap = Swap::on_disk()?;
    let objects = Objects::filling(15)?;
    let resident = objects.resident()?;
    let scans = counter("direct_scans")?;
    let tracing = Tracing::of(&["tt_backup"])?;
    let wanted = available()? + resident * PAGE / 2;
    stay_in_memory()?;
    let mut hog = Hog::new();
    while hog.bytes() < wanted && taken(&tracing)?.1 == 0 {
        hog.take(4 << 20);
    }
    let (_, others) = taken(&tracing)?;
    check!(others > 0, "{} bytes were allocated", hog.bytes());
    check!(counter("direct_scans")? > scans);
    check!(counter("shrunk_pages")? > 0);
    check!(objects.resident()? <= resident - others);
    drop(hog);
    objects.check()
}

/// The kernel's own way to ask every shrinker for everything.
fn drop_caches_takes_objects() -> Outcome {
    let _swap = Swap::on_disk()?;
    let objects = Objects::filling(5)?;
    let tracing = Tracing::of(&["tt_backup"])?;
    fs::write("/proc/sys/vm/drop_caches", "2")?;
    let (background, others) = taken(&tracing)?;
    check!(others > 0, "{background} in the background");
    objects.check()
}

/// Starts a process that wants so much memory, out of swap, and is the first to be killed.
fn hog(bytes: u64) -> Outcome<Child> {
    Child::run(|_| {
        fs::write("/proc/self/oom_score_adj", "1000")?;
        stay_in_memory()?;
        let mut hog = Hog::new();
        while hog.bytes() < bytes {
            hog.take(1 << 20);
        }
        Ok(())
    })
}

/// Objects, and what a hog wants then: it does not fit beside them.
fn half_and_more() -> Outcome<(Objects, u64)> {
    let objects = Objects::filling(25)?;
    Ok((objects, available()? / 100 * 115 + swappable()?))
}

/// What it would be like without our shrinkers.
fn a_hog_dies_when_objects_are_pinned() -> Outcome {
    let _swap = Swap::on_disk()?;
    let (objects, wanted) = half_and_more()?;
    for handle in &objects.handles {
        objects.device.populate(*handle)?;
        objects.device.pin(*handle)?;
    }
    let resident = objects.resident()?;
    hog(wanted)?.join_killed_by(Signal::SIGKILL)?;
    check_eq!(objects.resident()?, resident);
    objects.check()
}

fn a_hog_lives_when_they_are_not() -> Outcome {
    let _swap = Swap::on_disk()?;
    let (objects, wanted) = half_and_more()?;
    let resident = objects.resident()?;
    hog(wanted)?
        .join_within(patience())
        .map_err(|stop: Stop| stop.during(format!("{wanted} bytes wanted")))?;
    check!(objects.resident()? < resident);
    objects.check()
}

/// Three quarters of a cgroup are objects that are not used, and a task of it wants half of it for itself, in
/// memory that can't be swapped: no populate is there to make room.
fn idle_objects_of_a_cgroup_go_before_a_task_is_killed() -> Outcome {
    const LIMIT: u64 = 24 * MIB;
    let _swap = Swap::on_disk()?;
    let group = Group::new(MEMORY)?;
    group.write("memory.max", &LIMIT.to_string())?;
    let device = open()?;
    let before = counter("backed_up_pages")?;
    let child = Child::run(|_| {
        let _inside = group.enter()?;
        for _ in 0..18 {
            populated(&device, MIB / PAGE)?;
        }
        mlockall(MlockAllFlags::MCL_FUTURE)?;
        let mut hog = Hog::new();
        while hog.bytes() < LIMIT / 2 {
            hog.take(MIB as usize);
        }
        Ok(())
    })?;
    child.join()?;
    check_eq!(group.memory_event("oom_kill")?, 0);
    check!(counter("backed_up_pages")? > before);
    drop(device);
    Ok(())
}

/// A cgroup was filled with objects that are not used, and is removed while they live on. They are charged to
/// the one above, and go when a task below that needs memory which can't be swapped.
fn objects_of_a_removed_cgroup_go_for_the_one_above() -> Outcome {
    const LIMIT: u64 = 24 * MIB;
    let _swap = Swap::on_disk()?;
    for shmem in [false, true] {
        let above = Group::new(MEMORY)?;
        above.write("memory.max", &LIMIT.to_string())?;
        let removed = above.child(MEMORY, "removed")?;
        let other = above.child(MEMORY, "other")?;
        let device = open()?;
        let filler = Child::run(|_| {
            let _inside = removed.enter()?;
            for _ in 0..18 {
                let create = Create::new(MIB);
                let handle = device.create(if shmem { create.shmem() } else { create })?;
                device.populate(handle)?;
            }
            Ok(())
        })?;
        filler.join()?;
        removed.remove()?;
        let resident = || {
            let all = device.list()?;
            Ok::<_, Stop>(all.iter().map(|info| info.pages_resident).sum::<u64>())
        };
        check_eq!(resident()?, 18 * MIB / PAGE);
        check!(above.memory_pages()? > 18 * MIB / PAGE);
        let hog = Child::run(|_| {
            let _inside = other.enter()?;
            mlockall(MlockAllFlags::MCL_FUTURE)?;
            let mut hog = Hog::new();
            while hog.bytes() < LIMIT / 2 {
                hog.take(MIB as usize);
            }
            Ok(())
        })?;
        hog.join()
            .map_err(|stop| stop.during(format!("shmem: {shmem}")))?;
        check_eq!(above.memory_event("oom_kill")?, 0);
        check!(resident()? < 18 * MIB / PAGE);
        drop(device);
        drop((other, above));
    }
    Ok(())
}

/// The processor's time that this process takes to fill small objects, far more than fit into its cgroup.
fn time_of_filling() -> Outcome<Duration> {
    const SIZE: u64 = 16 * PAGE;
    let device = open()?;
    let before = time_in_kernel()?;
    for _ in 0..400 {
        populated(&device, SIZE / PAGE)?;
    }
    Ok(time_in_kernel()? - before)
}

/// The others' are used less recently, and a search in the order of use would go over all of them.
fn a_cgroup_finds_its_objects_among_those_of_others() -> Outcome {
    const OTHERS: u64 = 8000;
    let _swap = Swap::on_disk()?;
    let group = Group::new(MEMORY)?;
    group.write("memory.max", &(4 * MIB).to_string())?;
    let mut child = Child::run(|line| {
        let _inside = group.enter()?;
        let alone = time_of_filling()?;
        line.say(0)?;
        line.hear()?;
        let among = least_until(alone * 2, time_of_filling)?;
        println!("# {alone:?} alone, {among:?} among {OTHERS}");
        check!(among < alone * 2, "{alone:?} alone, {among:?} among others");
        Ok(())
    })?;
    child.line.hear()?;
    let device = open()?;
    for _ in 0..OTHERS {
        populated(&device, 1)?;
    }
    child.line.say(0)?;
    child.join()?;
    check_eq!(group.memory_event("oom_kill")?, 0);
    Ok(())
}

/// Nothing of either can be reclaimed: a populate by a call is refused, and a task that wants memory is killed.
fn a_cgroup_full_of_pins_is_as_one_full_of_mlock() -> Outcome {
    const LIMIT: u64 = 24 * MIB;
    let _swap = Swap::on_disk()?;
    for pins in [true, false] {
        let group = Group::new(MEMORY)?;
        group.write("memory.max", &LIMIT.to_string())?;
        let device = open()?;
        let child = Child::run(|_| {
            let _inside = group.enter()?;
            if pins {
                for _ in 0..18 {
                    let handle = populated(&device, MIB / PAGE)?;
                    device.pin(handle)?;
                }
                let more = device.create(Create::new(LIMIT / 2))?;
                refused(device.populate(more), Errno::ENOMEM)?;
                check_eq!(group.memory_event("oom_kill")?, 0);
            }
            mlockall(MlockAllFlags::MCL_FUTURE)?;
            let mut hog = Hog::new();
            while hog.bytes() < if pins { LIMIT / 2 } else { LIMIT } {
                hog.take(MIB as usize);
            }
            Ok(())
        })?;
        child
            .join_killed_by(Signal::SIGKILL)
            .map_err(|stop| stop.during(format!("pins: {pins}")))?;
        check!(group.memory_event("oom_kill")? > 0);
        drop(device);
    }
    Ok(())
}

/// With swap for all of them: each has its content afterwards.
fn more_objects_than_fit_into_a_cgroup_are_filled() -> Outcome {
    const SIZE: u64 = 256 << 10;
    let _swap = Swap::on_disk()?;
    let group = Group::new(MEMORY)?;
    group.write("memory.max", &(8 * MIB).to_string())?;
    let device = open()?;
    let child = Child::run(|_| {
        let _inside = group.enter()?;
        let mut handles = Vec::new();
        for seed in 0..36 {
            let handle = device.create(Create::new(SIZE))?;
            device.write(handle, 0, &Pattern::new(seed).bytes(SIZE as usize))?;
            handles.push(handle);
        }
        let mut found = vec![0; SIZE as usize];
        for (seed, handle) in (0..).zip(handles) {
            device.read(handle, 0, &mut found)?;
            check_eq!(Pattern::new(seed).mismatch(0, &found), None, "{seed}");
        }
        Ok(())
    })?;
    child.join()?;
    check_eq!(group.memory_event("oom_kill")?, 0);
    drop(device);
    Ok(())
}

/// Writing `memory.max` has the kernel reclaim, too.
fn a_lower_limit_of_a_cgroup_takes_objects() -> Outcome {
    let _swap = Swap::on_disk()?;
    let group = Group::new(MEMORY)?;
    let objects = {
        let _inside = group.enter()?;
        Objects::of(12)?
    };
    let before = counter("backed_up_pages")?;
    group.write("memory.max", &(8 * MIB).to_string())?;
    check!(group.memory_pages()? <= 8 * MIB / PAGE);
    check!(counter("backed_up_pages")? > before);
    check_eq!(group.memory_event("oom_kill")?, 0);
    objects.check()
}
