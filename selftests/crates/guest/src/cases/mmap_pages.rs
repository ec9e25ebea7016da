// SPDX-License-Identifier: GPL-2.0-or-later

//! The pages of mapped objects: they come when they are touched, and the mapping does not keep them.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_BACKED_UP;
use reeve_uapi::sys::REEVE_BO_BACKUP_PURGE;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;
use reeve_uapi::Protection;

use super::mmap::filled;
use super::mmap::shows;
use crate::content::holds;
use crate::fail_nth::expected;
use crate::fail_nth::Faults;
use crate::process::Child;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::Limit;
use crate::seen::Seen;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

cases!("mmap_pages";
    come_when_touched,
    come_back_from_swap,
    come_back_from_backup,
    fresh_after_unpopulate,
    every_caching_and_memory,
    pinned_stay,
    touching_is_use,
    limit_swaps_out_mapped_objects,
    end_with_the_object,
    end_with_an_object_without_pages,
    end_with_the_object_in_every_process,
    no_others_bytes,
    more_than_the_machine_has,
    more_than_a_hard_limit,
    huge_entries,
    huge_entries_are_cut,
    faults_with_failing_allocations,
);

const SIZE: usize = 5 * PAGE as usize;
const STEP: usize = PAGE as usize;
const HUGE: usize = 2 << 20;

fn come_when_touched() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(16 * PAGE).extra(2))?;
    let mapping = unchanged_map(&device, handle)?;
    let before = device.stats()?;
    check!(!device.info(handle)?.is(REEVE_BO_POPULATED));

    mapping.read(7 * STEP, &mut [0; 8]);
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated + 18);
    check_eq!(after.populates, before.populates + 1);
    check_eq!(after.faults, before.faults + 1);
    check_eq!(device.info(handle)?.pages_resident, 18);
    check!(mapping.bytes().iter().all(|byte| *byte == 0));

    // Once they are mapped there are no faults any more.
    let before = Seen::of(&device)?;
    mapping.write(0, &Pattern::new(1).bytes(16 * STEP));
    mapping.touch();
    before.still(&device)?;
    check_eq!(device.unpopulate(handle)?, 18);
    check_eq!(device.stats()?.pages_allocated, 0);
    Ok(())
}

/// That it is mapped changes nothing.
fn unchanged_map(device: &Device, handle: Handle) -> Outcome<Mapping> {
    let before = Seen::of(device)?;
    let mapping = device.map(handle)?;
    before.still(device)?;
    Ok(mapping)
}

fn come_back_from_swap() -> Outcome {
    let device = open()?;
    for create in [Create::new(SIZE as u64), Create::new(SIZE as u64).shmem()] {
        let handle = device.create(create)?;
        device.write(handle, 0, &Pattern::new(1).bytes(SIZE))?;
        out_and_back(&device, handle)?;
        device.destroy(handle)?;
    }
    Ok(())
}

fn out_and_back(device: &Device, handle: Handle) -> Outcome {
    let mapping = device.map(handle)?;
    for seed in 1..10 {
        shows(&mapping, seed, 0)?;
        mapping.write(0, &Pattern::new(seed + 1).bytes(SIZE));
        let before = device.stats()?;
        if seed % 2 == 0 {
            check_eq!(device.swapout(handle)?, 5);
        } else {
            check_eq!(knobs::tt_shrink()?, 5);
        }
        check_eq!(device.stats()?.pages_allocated, 0);
        check!(device.info(handle)?.is(REEVE_BO_SWAPPED));
        mapping.read(4 * STEP, &mut [0; 8]);
        let after = device.stats()?;
        check_eq!(after.pages_allocated, 5);
        check_eq!(after.swapins, before.swapins + 1);
        check_eq!(after.swapouts, before.swapouts + 1);
        check_eq!(after.populates, before.populates + 1);
    }
    shows(&mapping, 10, 0)
}

fn come_back_from_backup() -> Outcome {
    let device = open()?;
    let sg = Create::new(SIZE as u64).kind(BoType::Sg).mappable();
    for create in [
        Create::new(SIZE as u64),
        Create::new(SIZE as u64).shmem(),
        sg,
    ] {
        let handle = device.create(create)?;
        let mapping = device.map(handle)?;
        for seed in 1..5 {
            mapping.write(0, &Pattern::new(seed).bytes(SIZE));
            check_eq!(device.backup(handle)?, 5);
            check!(device.info(handle)?.is(REEVE_BO_BACKED_UP));
            shows(&mapping, seed, 0)?;
            check!(device.info(handle)?.is(REEVE_BO_POPULATED));
            holds(&device, handle, seed)?;
        }
        check_eq!(device.backup_with(handle, REEVE_BO_BACKUP_PURGE)?, 5);
        check!(mapping.bytes().iter().all(|byte| *byte == 0));
        device.destroy(handle)?;
    }
    Ok(())
}

fn fresh_after_unpopulate() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    for _ in 0..3 {
        mapping.write(0, &Pattern::new(2).bytes(SIZE));
        check_eq!(device.unpopulate(handle)?, 5);
        check_eq!(device.info(handle)?.pages_resident, 0);
        check!(mapping.bytes().iter().all(|byte| *byte == 0));
        check_eq!(device.info(handle)?.pages_resident, 5);
    }
    Ok(())
}

fn every_caching_and_memory() -> Outcome {
    let device = open()?;
    for caching in Caching::ALL {
        for low in [false, true] {
            let mut create = Create::new(SIZE as u64).caching(caching);
            if low {
                create = create.dma32();
            }
            let handle = device.create(create)?;
            let mapping = device.map(handle)?;
            mapping.write(0, &Pattern::new(1).bytes(SIZE));
            holds(&device, handle, 1)?;
            check_eq!(device.swapout(handle)?, 5);
            shows(&mapping, 1, 0)?;
            check_eq!(device.unpopulate(handle)?, 5);
            check!(mapping.bytes().iter().all(|byte| *byte == 0));
            device.destroy(handle)?;
        }
    }
    Ok(())
}

fn pinned_stay() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    device.pin(handle)?;
    shows(&mapping, 1, 0)?;
    let before = device.stats()?;
    check_eq!(knobs::tt_shrink()?, 0);
    shows(&mapping, 1, 0)?;
    check_eq!(device.stats()?.faults, before.faults);
    device.unpin(handle)?;
    check_eq!(knobs::tt_shrink()?, 5);
    shows(&mapping, 1, 0)
}

fn touching_is_use() -> Outcome {
    let device = open()?;
    let [first, second] = [filled(&device, 1)?, filled(&device, 2)?];
    let mapping = device.map(first)?;
    mapping.touch();
    // The second is the least recently used now.
    check_eq!(knobs::tt_shrink()?, 5);
    check!(device.info(second)?.is(REEVE_BO_SWAPPED));
    check!(device.info(first)?.is(REEVE_BO_POPULATED));
    Ok(())
}

fn limit_swaps_out_mapped_objects() -> Outcome {
    let device = open()?;
    let objects = (0..6)
        .map(|seed| {
            let handle = device.create(Create::new(SIZE as u64))?;
            Ok((seed, device.map(handle)?))
        })
        .collect::<Outcome<Vec<_>>>()?;
    let _limit = Limit::pages(12)?;
    let before = device.stats()?;
    for (seed, mapping) in &objects {
        mapping.write(0, &Pattern::new(*seed).bytes(SIZE));
        check!(device.stats()?.pages_allocated <= 12);
    }
    for _ in 0..3 {
        for (seed, mapping) in &objects {
            shows(mapping, *seed, 0)?;
            check!(device.stats()?.pages_allocated <= 12);
        }
    }
    let stats = device.stats()?;
    check!(stats.swapouts >= before.swapouts + 20);
    check!(stats.swapins >= before.swapins + 18);
    check_eq!(stats.overcommits, before.overcommits);
    Ok(())
}

fn end_with_the_object() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    shows(&mapping, 1, 0)?;
    device.pin(handle)?;
    device.destroy(handle)?;
    let stats = device.stats()?;
    check_eq!((stats.buffer_objects, stats.pages_allocated), (0, 0));
    unchanged(&device, || {
        Child::run(|_| {
            mapping.touch();
            Ok(())
        })?
        .join_killed_by(Signal::SIGBUS)?;
        Child::run(|_| {
            mapping.write(STEP, &[1; 8]);
            Ok(())
        })?
        .join_killed_by(Signal::SIGBUS)
    })?;
    // A call says so in its own way.
    let other = device.create(Create::new(SIZE as u64))?;
    let (result, done) = mapping.send(0, SIZE, &device, other, 0);
    check_eq!(result.map_err(|err| errno(&err)), Err(Errno::EFAULT));
    check_eq!(done, 0);
    // What comes after it is elsewhere.
    let next = device.map(filled(&device, 2)?)?;
    shows(&next, 2, 0)?;
    Child::run(|_| {
        mapping.touch();
        Ok(())
    })?
    .join_killed_by(Signal::SIGBUS)
}

fn end_with_an_object_without_pages() -> Outcome {
    let device = open()?;
    let emptied = filled(&device, 1)?;
    device.unpopulate(emptied)?;
    let never_filled = device.create(Create::new(SIZE as u64))?;
    for handle in [emptied, never_filled] {
        let mapping = device.map(handle)?;
        device.destroy(handle)?;
        check_eq!(device.stats()?.buffer_objects, u64::from(handle == emptied));
        Child::run(|_| {
            mapping.touch();
            Ok(())
        })?
        .join_killed_by(Signal::SIGBUS)?;
        check_eq!(device.stats()?.pages_allocated, 0);
    }
    Ok(())
}

fn end_with_the_object_in_every_process() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    let mut child = Child::run(|line| {
        let again = device.map(handle)?;
        shows(&again, 1, 0)?;
        shows(&mapping, 1, 0)?;
        line.say(0)?;
        line.hear()?;
        again.touch();
        Ok(())
    })?;
    child.line.hear()?;
    device.destroy(handle)?;
    check_eq!(device.stats()?.pages_allocated, 0);
    child.line.say(0)?;
    child.join_killed_by(Signal::SIGBUS)
}

/// Pages that wander from one object to the next show nothing of the first, and the first's mapping
/// nothing of the next.
fn no_others_bytes() -> Outcome {
    let device = open()?;
    let kinds = Caching::ALL.map(|caching| Create::new(SIZE as u64).caching(caching));
    for create in kinds.into_iter().chain([Create::new(SIZE as u64).shmem()]) {
        let [first, second] = [device.create(create)?, device.create(create)?];
        let [mine, theirs] = [device.map(first)?, device.map(second)?];
        for _ in 0..5 {
            mine.write(0, &[0xaa; SIZE]);
            device.unpopulate(first)?;
            check!(theirs.bytes().iter().all(|byte| *byte == 0));
            theirs.write(0, &[0x55; SIZE]);
            check!(mine.bytes().iter().all(|byte| *byte == 0));
            mine.write(0, &[0xbb; SIZE]);
            check!(theirs.bytes().iter().all(|byte| *byte == 0x55));
            device.unpopulate(second)?;
            device.unpopulate(first)?;
        }
    }
    Ok(())
}

fn more_than_the_machine_has() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(1 << 43))?;
    let at = device.map_place(handle)?.offset;
    let far = at + (1 << 42);
    let mapping = Mapping::new(&device, far, SIZE, Protection::ReadWrite)?;
    let victim = populated(&device, 3)?;
    unchanged(&device, || {
        Child::run(|_| {
            mapping.touch();
            Ok(())
        })?
        .join_killed_by(Signal::SIGBUS)?;
        let (result, done) = mapping.receive(0, 8, &device, victim, 0);
        check_eq!(result.map_err(|err| errno(&err)), Err(Errno::EFAULT));
        check_eq!(done, 0);
        Ok(())
    })
}

fn more_than_a_hard_limit() -> Outcome {
    let device = open()?;
    let [pinned, handle] = [filled(&device, 1)?, filled(&device, 2)?];
    let mapping = device.map(handle)?;
    mapping.touch();
    device.pin(pinned)?;
    device.swapout(handle)?;
    let _limit = Limit::pages(9)?;
    knobs::set_parameter("hard_limit", "1")?;
    let before = Seen::of(&device)?;
    Child::run(|_| {
        mapping.touch();
        Ok(())
    })?
    .join_killed_by(Signal::SIGBUS)?;
    let after = Seen::of(&device)?;
    check_eq!(after.objects, before.objects);
    check_eq!(after.stats.pages_allocated, 5);
    check_eq!(after.stats.faults, before.stats.faults);
    // Without swap nothing is evicted below a hard limit.
    knobs::set_parameter("hard_limit", "0")?;
    device.unpin(pinned)?;
    shows(&mapping, 2, 0)?;
    check!(device.info(pinned)?.is(REEVE_BO_SWAPPED));
    holds(&device, pinned, 1)?;
    shows(&mapping, 2, 0)
}

/// Whether the kernel can map many such pages with one entry.
fn kernel_has_huge_entries() -> bool {
    Path::new("/sys/kernel/mm/transparent_hugepage").is_dir()
}

fn huge_entries() -> Outcome {
    let device = open()?;
    let size = 2 * HUGE + 3 * STEP;
    for caching in [Caching::Cached, Caching::WriteCombined] {
        let handle = device.create(Create::new(size as u64).caching(caching))?;
        let before = device.stats()?;
        let mapping = device.map(handle)?;
        mapping.touch();
        let after = device.stats()?;
        let faults = after.faults - before.faults;
        let huge = after.huge_faults - before.huge_faults;
        if !kernel_has_huge_entries() {
            check_eq!(huge, 0);
            check_eq!(faults, 2 * 32 + 1);
        } else {
            check_eq!((huge, faults), (2, 3));
            check_eq!(mapping.address() % HUGE, 0);
        }
        let bytes = Pattern::new(1).bytes(size);
        mapping.write(0, &bytes);
        device.swapout(handle)?;
        check_eq!(Pattern::new(1).mismatch(0, &mapping.bytes()), None);
        let mut found = vec![0; size];
        device.read(handle, 0, &mut found)?;
        check_eq!(Pattern::new(1).mismatch(0, &found), None);
        device.destroy(handle)?;
    }
    Ok(())
}

/// Partial unmapping, protection, moving and forking of what one entry maps.
fn huge_entries_are_cut() -> Outcome {
    if !kernel_has_huge_entries() {
        return Err(Stop::skipped("the kernel has no huge entries"));
    }
    let device = open()?;
    let size = 3 * HUGE;
    let handle = device.create(Create::new(size as u64))?;
    device.write(handle, 0, &Pattern::new(1).bytes(size))?;
    let mapping = device.map(handle)?;
    mapping.touch();
    check!(device.stats()?.huge_faults >= 3);

    mapping.protect(HUGE + STEP, STEP, Protection::Read)?;
    Child::run(|_| {
        shows(&mapping, 1, 0)?;
        mapping.write(HUGE + STEP, &[9; 8]);
        Ok(())
    })?
    .join_killed_by(Signal::SIGSEGV)?;
    mapping.protect(0, HUGE, Protection::Read)?;
    Child::run(|_| {
        mapping.write(8, &[9; 8]);
        Ok(())
    })?
    .join_killed_by(Signal::SIGSEGV)?;
    mapping.protect(0, size, Protection::ReadWrite)?;
    shows(&mapping, 1, 0)?;

    let (before, after) = mapping.cut(HUGE / 2, HUGE)?;
    let after = after.moved()?;
    shows(&before, 1, 0)?;
    shows(&after, 1, HUGE + HUGE / 2)?;
    device.swapout(handle)?;
    Child::run(|_| shows(&after, 1, HUGE + HUGE / 2))?.join()?;
    before.write(0, &Pattern::new(2).bytes(HUGE / 2));
    device.unpopulate(handle)?;
    check!(before.bytes().iter().all(|byte| *byte == 0));
    check!(after.bytes().iter().all(|byte| *byte == 0));
    Ok(())
}

/// A fault that fails once is tried again; however it ends, the counters are right.
fn faults_with_failing_allocations() -> Outcome {
    let mut faults = Faults::new()?;
    let device = open()?;
    let handle = filled(&device, 1)?;
    let target = device.create(Create::new(SIZE as u64))?;
    device.populate(target)?;
    let mapping = device.map(handle)?;
    let mut rounds = 0;
    let prepare = || {
        device.swapout(handle)?;
        Ok(knobs::drain_pool()?)
    };
    faults.each(
        prepare,
        || mapping.send(0, SIZE, &device, target, 0),
        |(), (result, _), reached| {
            rounds += 1;
            let charged: u64 = device.list()?.iter().map(|info| info.pages_charged).sum();
            check_eq!(device.stats()?.pages_allocated, charged);
            match result {
                Ok(()) => holds(&device, target, 1)?,
                Err(err) => expected(&err, reached)?,
            }
            shows(&mapping, 1, 0)
        },
    )?;
    check!(rounds > 5);
    Ok(())
}
