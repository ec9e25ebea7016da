// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects in memory: what can be mapped, and what can be done with a mapping.

use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::reeve_bo_mmap;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;
use reeve_uapi::Protection;

use crate::content;
use crate::content::holds;
use crate::memory;
use crate::process::Child;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("mmap";
    place_is_of_the_object,
    places_do_not_overlap,
    place_is_refused,
    wrong_ranges_are_refused,
    only_shared,
    rights_are_those_of_the_file,
    shows_what_the_calls_show,
    parts_of_an_object,
    fork_shares_it,
    moved,
    resized,
    partly_unmapped,
    protected,
    debugger_reads_and_writes,
    closed_while_mapped,
    exit_while_mapped,
    user_memory_of_the_calls,
    is_not_prefaulted,
);

const SIZE: usize = 5 * PAGE as usize;
const STEP: usize = PAGE as usize;

/// An object of five pages that hold the pattern.
pub(super) fn filled(device: &Device, seed: u64) -> Outcome<Handle> {
    content::filled(device, Create::new(SIZE as u64), seed)
}

/// The mapping shows these bytes of the pattern.
#[track_caller]
pub(super) fn shows(mapping: &Mapping, seed: u64, from: usize) -> Outcome {
    check_eq!(
        Pattern::new(seed).mismatch(from as u64, &mapping.bytes()),
        None
    );
    Ok(())
}

fn place_is_of_the_object() -> Outcome {
    let device = open()?;
    for (size, extra, length) in [
        (1, 0, PAGE),
        (PAGE, 0, PAGE),
        (PAGE + 1, 0, 2 * PAGE),
        (3 * PAGE, 4, 3 * PAGE),
        (1 << 30, 0, 1 << 30),
    ] {
        let handle = device.create(Create::new(size).extra(extra))?;
        unchanged(&device, || {
            let place = device.map_place(handle)?;
            check_eq!(place.length, length);
            check!(place.offset != 0 && place.offset % PAGE == 0);
            // A block that could be mapped at once may be.
            check!(length < 2 << 20 || place.offset % (2 << 20) == 0);
            check_eq!(device.map_place(handle)?.offset, place.offset);
            Ok(())
        })?;
    }
    Ok(())
}

fn places_do_not_overlap() -> Outcome {
    let device = open()?;
    let mut places = Vec::new();
    for round in 1..40 {
        let pages = if round % 5 == 0 { 600 } else { round % 7 + 1 };
        let handle = device.create(Create::new(pages * PAGE))?;
        let place = device.map_place(handle)?;
        places.push((place.offset, place.offset + place.length));
        if round % 3 == 0 {
            device.destroy(handle)?;
        }
    }
    places.sort_unstable();
    check!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    Ok(())
}

fn place_is_refused() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGE))?;
    let sg = device.create(Create::new(PAGE).kind(BoType::Sg))?;
    let vast = device.create(Create::new(1 << 50))?;
    unchanged(&device, || {
        refused(device.map_place(sg), Errno::EINVAL)?;
        device.populate(sg)?;
        refused(device.map_place(sg), Errno::EINVAL)?;
        device.unpopulate(sg)?;
        refused(device.map_place(vast), Errno::ENOSPC)?;
        refused(device.map_place(Handle::new(0)), Errno::ENOENT)?;
        refused(device.map_place(Handle::new(99)), Errno::ENOENT)?;
        let mut wrong = [reeve_bo_mmap::default(); 3];
        wrong[0].flags = 1;
        wrong[1].reserved[0] = 1;
        wrong[2].reserved[1] = 1 << 63;
        for mut arg in wrong {
            arg.handle = handle.get();
            refused(device.raw().bo_mmap(&mut arg), Errno::EINVAL)?;
        }
        Ok(())
    })
}

fn wrong_ranges_are_refused() -> Outcome {
    let device = open()?;
    let other = open()?;
    let handle = device.create(Create::new(SIZE as u64))?;
    let at = device.map_place(handle)?.offset;
    let read_write = Protection::ReadWrite;
    unchanged(&device, || {
        for (offset, length) in [
            (0, STEP),
            (at - PAGE, STEP),
            (at - PAGE, SIZE + STEP),
            (at, SIZE + 1),
            (at, SIZE + STEP),
            (at + PAGE, SIZE),
            (at + SIZE as u64, STEP),
            (at + 1, STEP), // no multiple of the page size
            (u64::MAX - PAGE + 1, STEP),
        ] {
            let result = Mapping::new(&device, offset, length, read_write);
            let found = result.err().and_then(|err| err.raw_os_error());
            let fits = [Errno::EINVAL as i32, Errno::EOVERFLOW as i32];
            check!(
                found.is_some_and(|errno| fits.contains(&errno)),
                "{offset:#x} {length:#x}: {found:?}"
            );
        }
        refused(Mapping::new(&other, at, STEP, read_write), Errno::EINVAL)
    })?;
    device.destroy(handle)?;
    refused(Mapping::new(&device, at, STEP, read_write), Errno::EINVAL)
}

fn only_shared() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let at = device.map_place(handle)?.offset;
    for protection in [Protection::ReadWrite, Protection::Read, Protection::None] {
        let private = Mapping::private(&device, at, SIZE, protection);
        refused(private, Errno::EINVAL)?;
    }
    let run = Mapping::new(&device, at, SIZE, Protection::ReadExecute);
    refused(run, Errno::EPERM)?;
    holds(&device, handle, 1)
}

fn rights_are_those_of_the_file() -> Outcome {
    let reading = File::open(reeve_uapi::DEFAULT_PATH)?;
    let device = Device::from(OwnedFd::from(reading));
    let handle = filled(&device, 1)?;
    let at = device.map_place(handle)?.offset;
    let writable = Mapping::new(&device, at, SIZE, Protection::ReadWrite);
    refused(writable, Errno::EACCES)?;
    let mapping = Mapping::new(&device, at, SIZE, Protection::Read)?;
    shows(&mapping, 1, 0)?;
    let more = mapping.protect(0, SIZE, Protection::ReadWrite);
    refused(more, Errno::EACCES)?;

    let writing = OpenOptions::new()
        .write(true)
        .open(reeve_uapi::DEFAULT_PATH)?;
    let device = Device::from(OwnedFd::from(writing));
    let handle = filled(&device, 2)?;
    refused(device.map(handle), Errno::EACCES)
}

fn shows_what_the_calls_show() -> Outcome {
    let device = open()?;
    for kind in [BoType::Device, BoType::Kernel] {
        let handle = device.create(Create::new(SIZE as u64).kind(kind))?;
        let mapping = device.map(handle)?;
        check_eq!(mapping.len(), SIZE);
        device.write(handle, 0, &Pattern::new(1).bytes(SIZE))?;
        shows(&mapping, 1, 0)?;
        mapping.write(0, &Pattern::new(2).bytes(SIZE));
        holds(&device, handle, 2)?;
        let second = device.map(handle)?;
        let third = device.map(handle)?;
        shows(&second, 2, 0)?;
        third.write(0, &Pattern::new(3).bytes(SIZE));
        shows(&mapping, 3, 0)?;
        shows(&second, 3, 0)?;
    }
    Ok(())
}

fn parts_of_an_object() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let at = device.map_place(handle)?.offset;
    for first in 0..5 {
        for pages in 1..=5 - first {
            let (from, length) = (first * STEP, pages * STEP);
            let part = Mapping::new(&device, at + from as u64, length, Protection::ReadWrite)?;
            shows(&part, 1, from)?;
        }
    }
    // The rest of the last page, too, which was never used.
    let odd = device.create(Create::new(PAGE + 8))?;
    let mapping = device.map(odd)?;
    check!(mapping.bytes().iter().all(|byte| *byte == 0));
    Ok(())
}

fn fork_shares_it() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    shows(&mapping, 1, 0)?;
    let mut child = Child::run(|line| {
        shows(&mapping, 1, 0)?;
        line.say(0)?;
        line.hear()?;
        shows(&mapping, 2, 0)?;
        mapping.write(0, &Pattern::new(3).bytes(SIZE));
        line.say(0)?;
        line.hear()?;
        shows(&mapping, 4, 0)?;
        device.swapout(handle)?;
        line.say(0)?;
        line.hear()?;
        device.unpopulate(handle)?;
        check!(mapping.bytes().iter().all(|byte| *byte == 0));
        Ok(())
    })?;
    child.line.hear()?;
    mapping.write(0, &Pattern::new(2).bytes(SIZE));
    child.line.say(0)?;
    child.line.hear()?;
    shows(&mapping, 3, 0)?;
    // Gone from both, and back in both.
    check_eq!(device.swapout(handle)?, 5);
    mapping.write(0, &Pattern::new(4).bytes(SIZE));
    child.line.say(0)?;
    child.line.hear()?;
    check_eq!(device.info(handle)?.pages_resident, 0);
    shows(&mapping, 4, 0)?;
    child.line.say(0)?;
    child.join()?;
    check!(mapping.bytes().iter().all(|byte| *byte == 0));
    Ok(())
}

fn moved() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    shows(&mapping, 1, 0)?;
    let before = mapping.address();
    let mapping = mapping.moved()?;
    check!(mapping.address() != before);
    shows(&mapping, 1, 0)?;
    check_eq!(device.swapout(handle)?, 5);
    shows(&mapping, 1, 0)?;
    check_eq!(device.unpopulate(handle)?, 5);
    check!(mapping.bytes().iter().all(|byte| *byte == 0));
    drop(mapping);
    check_eq!(device.info(handle)?.pages_resident, 5);
    Ok(())
}

fn resized() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mut mapping = device.map(handle)?;
    shows(&mapping, 1, 0)?;
    refused(mapping.resize(SIZE + STEP), Errno::EFAULT)?;
    mapping.resize(2 * STEP)?;
    shows(&mapping, 1, 0)?;
    // It does not grow, not even to what the object has.
    refused(mapping.resize(3 * STEP), Errno::EFAULT)?;
    holds(&device, handle, 1)
}

fn partly_unmapped() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let (before, after) = device.map(handle)?.cut(STEP, STEP)?;
    shows(&before, 1, 0)?;
    shows(&after, 1, 2 * STEP)?;
    check_eq!(device.swapout(handle)?, 5);
    shows(&after, 1, 2 * STEP)?;
    before.write(0, &Pattern::new(2).bytes(STEP));
    after.write(0, &Pattern::new(2).bytes(SIZE)[2 * STEP..]);
    drop(before);
    let mut found = vec![0; SIZE];
    device.read(handle, 0, &mut found)?;
    check_eq!(Pattern::new(2).mismatch(0, &found[..STEP]), None);
    check_eq!(
        Pattern::new(1).mismatch(PAGE, &found[STEP..2 * STEP]),
        None,
        "in the page that is not mapped"
    );
    check_eq!(Pattern::new(2).mismatch(2 * PAGE, &found[2 * STEP..]), None);
    Ok(())
}

fn protected() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    mapping.touch();
    mapping.protect(STEP, STEP, Protection::Read)?;
    shows(&mapping, 1, 0)?;
    Child::run(|_| {
        mapping.write(STEP, &[9; 8]);
        Ok(())
    })?
    .join_killed_by(Signal::SIGSEGV)?;
    mapping.write(2 * STEP, &Pattern::new(1).bytes(SIZE)[2 * STEP..]);
    mapping.protect(0, SIZE, Protection::None)?;
    Child::run(|_| {
        mapping.touch();
        Ok(())
    })?
    .join_killed_by(Signal::SIGSEGV)?;
    check_eq!(device.swapout(handle)?, 5);
    mapping.protect(0, SIZE, Protection::ReadWrite)?;
    shows(&mapping, 1, 0)?;
    mapping.write(0, &Pattern::new(2).bytes(SIZE));
    holds(&device, handle, 2)?;
    let run = mapping.protect(0, SIZE, Protection::ReadExecute);
    refused(run, Errno::EACCES)
}

/// `/proc/PID/mem` goes the way of ptrace.
fn debugger_reads_and_writes() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    let at = mapping.address() as u64;
    let mut child = Child::run(|line| {
        line.hear()?;
        shows(&mapping, 2, 0)?;
        mapping.protect(0, STEP, Protection::Read)?;
        line.say(0)?;
        line.hear()?;
        shows(&mapping, 2, 0)
    })?;
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{}/mem", child.pid()))?;
    let mut found = vec![0; SIZE];
    for swapped in [false, true, false] {
        if swapped {
            check_eq!(device.swapout(handle)?, 5);
        }
        memory.read_exact_at(&mut found, at)?;
        check_eq!(Pattern::new(1).mismatch(0, &found), None);
    }
    // Across pages, and at odd places.
    memory.read_exact_at(&mut found[..100], at + PAGE - 51)?;
    check_eq!(Pattern::new(1).mismatch(PAGE - 51, &found[..100]), None);
    device.swapout(handle)?;
    memory.write_all_at(&Pattern::new(2).bytes(SIZE), at)?;
    child.line.say(0)?;
    child.line.hear()?;
    // The child can't write there, so the kernel cannot for it.
    check!(memory.write_at(&[9; 8], at).is_err());
    check_eq!(
        memory.write_at(&Pattern::new(2).bytes(SIZE)[STEP..], at + PAGE)?,
        SIZE - STEP
    );
    child.line.say(0)?;
    child.join()?;
    holds(&device, handle, 2)
}

fn closed_while_mapped() -> Outcome {
    let watcher = open()?;
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    drop(device);
    check_eq!(watcher.stats()?.buffer_objects, 1);
    check_eq!(watcher.stats()?.pages_allocated, 5);
    shows(&mapping, 1, 0)?;
    check_eq!(reeve_uapi::knobs::tt_shrink()?, 5);
    check_eq!(watcher.stats()?.pages_allocated, 0);
    shows(&mapping, 1, 0)?;
    let (before, after) = mapping.cut(STEP, STEP)?;
    drop(before);
    shows(&after, 1, 2 * STEP)?;
    check_eq!(watcher.stats()?.pages_allocated, 5);
    drop(after);
    let stats = watcher.stats()?;
    check_eq!((stats.buffer_objects, stats.pages_allocated), (0, 0));
    Ok(())
}

fn exit_while_mapped() -> Outcome {
    let device = open()?;
    let handle = filled(&device, 1)?;
    let mapping = device.map(handle)?;
    for killed in [false, true] {
        let mut child = Child::run(|line| {
            let own = open()?;
            let theirs = own.map(filled(&own, 5)?)?;
            shows(&theirs, 5, 0)?;
            shows(&mapping, 1, 0)?;
            line.say(0)?;
            if killed {
                line.hear()?;
            }
            // Both are mapped when it ends.
            std::mem::forget((own, theirs));
            Ok(())
        })?;
        child.line.hear()?;
        if killed {
            child.kill()?;
        } else {
            child.join()?;
        }
        let stats = device.stats()?;
        check_eq!((stats.buffer_objects, stats.pages_allocated), (1, 5));
        shows(&mapping, 1, 0)?;
        check_eq!(device.swapout(handle)?, 5);
    }
    shows(&mapping, 1, 0)
}

/// A call whose user memory is an object takes faults, of the object it is about as well.
fn user_memory_of_the_calls() -> Outcome {
    let device = open()?;
    let [from, to] = [filled(&device, 1)?, filled(&device, 2)?];
    let mapping = device.map(from)?;
    for target in [to, from] {
        for swapped in [None, Some(from), Some(to)] {
            if let Some(swapped) = swapped {
                device.swapout(swapped)?;
            }
            let (result, done) = mapping.send(0, SIZE, &device, target, 0);
            result?;
            check_eq!(done, SIZE as u64);
            holds(&device, target, 1)?;
        }
    }
    device.write(to, 0, &Pattern::new(3).bytes(SIZE))?;
    device.swapout(from)?;
    let (result, done) = mapping.receive(0, SIZE, &device, to, 0);
    result?;
    check_eq!(done, SIZE as u64);
    holds(&device, from, 3)
}

/// What the ABI's table says of calls that are made to give mappings their pages.
fn is_not_prefaulted() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(SIZE as u64))?;
    let mapping = device.map(handle)?;
    let place = device.map_place(handle)?;
    unchanged(&device, || {
        memory::map_populated(&device, place.offset, SIZE)?;
        memory::prefault(&mapping, None)?;
        for advice in [libc::MADV_POPULATE_READ, libc::MADV_POPULATE_WRITE] {
            refused(memory::prefault(&mapping, Some(advice)), Errno::EINVAL)?;
        }
        Ok(())
    })?;
    check_eq!(device.info(handle)?.pages_resident, 0);
    // Populating the object does what they are asked for.
    check_eq!(device.populate(handle)?, SIZE as u64 / PAGE);
    Ok(())
}
