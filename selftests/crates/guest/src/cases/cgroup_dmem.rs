// SPDX-License-Identifier: GPL-2.0-or-later

//! The dmem cgroup controller: what the tasks of a cgroup hold is charged to it, and limited.

use std::time::Duration;

use nix::errno::Errno;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::cgroup::Group;
use crate::process::least_until;
use crate::process::time_in_kernel;
use crate::process::Child;
use crate::random::Random;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("cgroup_dmem";
    follows_what_its_tasks_populate,
    who_populates_is_charged,
    the_root_is_not_charged,
    own_objects_go_first_and_neighbours_stay,
    with_no_object_left_it_is_refused,
    lowering_swaps_out_at_once,
    lowering_with_all_pinned_returns,
    protected_siblings_go_last,
    what_was_used_least_recently_goes_first_whichever_cgroup_it_is_of,
    a_cgroup_finds_its_objects_among_those_of_others,
    cgroups_come_and_go,
    outlives_the_cgroup,
    groups_at_their_limits_at_the_same_time,
);

const DMEM: &str = "dmem";

/// Time for cgroups that were removed to be gone, which the kernel frees later.
const SOON: Duration = Duration::from_secs(20);

fn swapped(device: &Device, handle: Handle) -> Outcome<bool> {
    Ok(device.info(handle)?.is(REEVE_BO_SWAPPED))
}

fn follows_what_its_tasks_populate() -> Outcome {
    let group = Group::new(DMEM)?;
    check_eq!(group.dmem_pages()?, 0);
    let inside = group.enter()?;
    let device = open()?;
    let first = populated(&device, 100)?;
    check_eq!(group.dmem_pages()?, 100);
    let shmem = device.create(Create::new(30 * PAGE).shmem())?;
    device.populate(shmem)?;
    check_eq!(group.dmem_pages()?, 130);
    device.populate(first)?;
    check_eq!(group.dmem_pages()?, 130);
    device.swapout(first)?;
    check_eq!(group.dmem_pages()?, 30);
    device.populate(first)?;
    device.backup(shmem)?;
    check_eq!(group.dmem_pages()?, 100);
    device.restore(shmem)?;
    device.unpopulate(shmem)?;
    check_eq!(group.dmem_pages()?, 100);
    let external = device.create(Create::new(20 * PAGE).kind(BoType::Sg).mappable())?;
    device.populate(external)?;
    check_eq!(group.dmem_pages()?, 120);
    device.unpopulate(external)?;
    check_eq!(group.dmem_pages()?, 100);
    device.destroy(first)?;
    check_eq!(group.dmem_pages()?, 0);
    // A fault populates for who touches.
    let mapped = device.create(Create::new(7 * PAGE))?;
    let mapping = device.map(mapped)?;
    check_eq!(group.dmem_pages()?, 0);
    mapping.touch();
    check_eq!(group.dmem_pages()?, 7);
    drop((mapping, device));
    check_eq!(group.dmem_pages()?, 0);
    drop(inside);
    Ok(())
}

fn who_populates_is_charged() -> Outcome {
    let one = Group::new(DMEM)?;
    let two = one.child(DMEM, "below")?;
    let device = open()?;
    let handle = device.create(Create::new(50 * PAGE))?;
    let inside = two.enter()?;
    device.populate(handle)?;
    drop(inside);
    // What is charged to a group is charged to those above it.
    check_eq!((one.dmem_pages()?, two.dmem_pages()?), (50, 50));
    // Using it from elsewhere changes nothing, giving it back does.
    device.write(handle, 0, &[1; 8])?;
    check_eq!(two.dmem_pages()?, 50);
    device.swapout(handle)?;
    check_eq!((one.dmem_pages()?, two.dmem_pages()?), (0, 0));
    device.populate(handle)?;
    check_eq!((one.dmem_pages()?, two.dmem_pages()?), (0, 0));
    Ok(())
}

fn the_root_is_not_charged() -> Outcome {
    let group = Group::new(DMEM)?;
    let device = open()?;
    populated(&device, 60)?;
    check_eq!(group.dmem_pages()?, 0);
    let text = std::fs::read_to_string("/sys/fs/cgroup/dmem.capacity")?;
    check!(text.contains("reeve/system "), "{text}");
    Ok(())
}

fn own_objects_go_first_and_neighbours_stay() -> Outcome {
    let parent = Group::new(DMEM)?;
    let (limited, neighbour) = (parent.child(DMEM, "limited")?, parent.child(DMEM, "other")?);
    let (device, other) = (open()?, open()?);
    let content = Pattern::new(9).bytes(30 * PAGE as usize);
    let foreign = other.create(Create::new(30 * PAGE))?;
    let inside = neighbour.enter()?;
    other.write(foreign, 0, &content)?;
    drop(inside);
    let outside = populated(&other, 10)?;

    limited.set_dmem("dmem.max", 50)?;
    let inside = limited.enter()?;
    let first = device.create(Create::new(20 * PAGE))?;
    device.write(first, 0, &content[..20 * PAGE as usize])?;
    let second = populated(&device, 20)?;
    check_eq!(limited.dmem_pages()?, 40);
    populated(&device, 20)?;
    check!(swapped(&device, first)? && !swapped(&device, second)?);
    check_eq!(limited.dmem_pages()?, 40);
    // It comes back, and another one goes.
    let mut found = vec![0; 20 * PAGE as usize];
    device.read(first, 0, &mut found)?;
    check!(found == content[..20 * PAGE as usize]);
    check!(swapped(&device, second)?);
    drop(inside);

    check!(!swapped(&other, foreign)? && !swapped(&other, outside)?);
    check_eq!(neighbour.dmem_pages()?, 30);
    let mut found = vec![0; content.len()];
    other.read(foreign, 0, &mut found)?;
    check!(found == content);
    drop(device);
    check_eq!(limited.dmem_pages()?, 0);
    Ok(())
}

fn with_no_object_left_it_is_refused() -> Outcome {
    let group = Group::new(DMEM)?;
    let (device, other) = (open()?, open()?);
    let foreign = populated(&other, 40)?;
    group.set_dmem("dmem.max", 30)?;
    let inside = group.enter()?;
    let pinned = populated(&device, 20)?;
    device.pin(pinned)?;
    let more = device.create(Create::new(20 * PAGE))?;
    unchanged(&device, || {
        refused(device.populate(more), Errno::ENOMEM)?;
        refused(device.write(more, 0, &[1; 8]), Errno::ENOMEM)
    })?;
    check_eq!(group.dmem_pages()?, 20);
    check!(!swapped(&other, foreign)?);
    device.unpin(pinned)?;
    check_eq!(device.populate(more)?, 20);
    check!(swapped(&device, pinned)?);
    drop(inside);
    Ok(())
}

fn lowering_swaps_out_at_once() -> Outcome {
    let group = Group::new(DMEM)?;
    let (device, other) = (open()?, open()?);
    let foreign = populated(&other, 40)?;
    let inside = group.enter()?;
    let first = populated(&device, 20)?;
    let second = populated(&device, 20)?;
    drop(inside);
    group.set_dmem("dmem.max", 25)?;
    check_eq!(group.dmem_pages()?, 20);
    check!(swapped(&device, first)? && !swapped(&device, second)?);
    check!(!swapped(&other, foreign)?);
    Ok(())
}

fn lowering_with_all_pinned_returns() -> Outcome {
    let group = Group::new(DMEM)?;
    let device = open()?;
    let inside = group.enter()?;
    let pinned = populated(&device, 20)?;
    drop(inside);
    device.pin(pinned)?;
    group.set_dmem("dmem.max", 5)?;
    check_eq!(group.dmem_pages()?, 20);
    check!(!swapped(&device, pinned)?);
    Ok(())
}

/// When the limit is that of a group above, the group with protection goes after the other one.
fn protected_siblings_go_last() -> Outcome {
    let parent = Group::new(DMEM)?;
    let (kept, free) = (parent.child(DMEM, "kept")?, parent.child(DMEM, "free")?);
    parent.set_dmem("dmem.max", 50)?;
    parent.set_dmem("dmem.low", 50)?;
    kept.set_dmem("dmem.low", 25)?;
    let device = open()?;
    let inside = kept.enter()?;
    let oldest = populated(&device, 20)?;
    drop(inside);
    let inside = free.enter()?;
    let second = populated(&device, 20)?;
    let third = populated(&device, 20)?;
    check!(swapped(&device, second)? && !swapped(&device, oldest)?);
    device.pin(third)?;
    device.populate(second)?;
    check!(swapped(&device, oldest)?);
    check_eq!((kept.dmem_pages()?, free.dmem_pages()?), (0, 40));
    drop(inside);
    Ok(())
}

/// For the limit of a cgroup above.
fn what_was_used_least_recently_goes_first_whichever_cgroup_it_is_of() -> Outcome {
    let parent = Group::new(DMEM)?;
    parent.set_dmem("dmem.max", 40)?;
    let (one, two) = (parent.child(DMEM, "one")?, parent.child(DMEM, "two")?);
    let device = open()?;
    let mut handles = Vec::new();
    for group in [&one, &two, &one, &two] {
        let inside = group.enter()?;
        handles.push(populated(&device, 10)?);
        drop(inside);
    }
    let &[first, second, third, fourth] = handles.as_slice() else {
        return Err(Stop::failed("four were made"));
    };
    // The first is used again, so it comes last.
    device.populate(first)?;
    let all = [second, third, fourth, first];
    let inside = two.enter()?;
    for gone in 1..=all.len() {
        populated(&device, 10)?;
        for (index, handle) in all.iter().enumerate() {
            check_eq!(swapped(&device, *handle)?, index < gone);
        }
    }
    drop(inside);
    Ok(())
}

/// The others' are used less recently, and a search in the order of use would go over all of them.
fn a_cgroup_finds_its_objects_among_those_of_others() -> Outcome {
    const OTHERS: u64 = 8000;
    let group = Group::new(DMEM)?;
    group.set_dmem("dmem.max", 32)?;
    let time = || {
        let device = open()?;
        let before = time_in_kernel()?;
        for _ in 0..400 {
            populated(&device, 1)?;
        }
        Ok::<_, Stop>(time_in_kernel()? - before)
    };
    let inside = group.enter()?;
    let alone = time()?;
    drop(inside);
    let (other, device) = (Group::new_named(DMEM, "other")?, open()?);
    // Of another cgroup, and of none.
    let inside = other.enter()?;
    for _ in 0..OTHERS / 2 {
        populated(&device, 1)?;
    }
    drop(inside);
    for _ in 0..OTHERS / 2 {
        populated(&device, 1)?;
    }
    let inside = group.enter()?;
    let among = least_until(alone * 2, time)?;
    drop(inside);
    println!("# {alone:?} alone, {among:?} among {OTHERS}");
    check!(among < alone * 2, "{alone:?} alone, {among:?} among others");
    check_eq!(other.dmem_pages()?, OTHERS / 2);
    Ok(())
}

/// While others populate: no charge is lost, and neither a charge nor a cgroup stays.
fn cgroups_come_and_go() -> Outcome {
    let parent = Group::new(DMEM)?;
    parent.set_dmem("dmem.max", 64)?;
    let mut children = Vec::new();
    for name in ["a", "b", "c"] {
        let parent = &parent;
        children.push(Child::run(move |_| {
            let device = open()?;
            for round in 0..40 {
                let group = parent.child(DMEM, name)?;
                let inside = group.enter()?;
                let handle = populated(&device, 1 + round % 16)?;
                drop(inside);
                // The next one of that name is another cgroup.
                group.remove()?;
                if round % 3 == 0 {
                    device.destroy(handle)?;
                }
            }
            Ok(())
        })?);
    }
    for child in children {
        child.join()?;
    }
    check_eq!(parent.dmem_pages()?, 0);
    check!(
        until(SOON, || parent.has_no_dying())?,
        "{}",
        parent.read("cgroup.stat")?
    );
    Ok(())
}

fn outlives_the_cgroup() -> Outcome {
    let parent = Group::new(DMEM)?;
    let child = parent.child(DMEM, "gone")?;
    let device = open()?;
    let inside = child.enter()?;
    let handle = populated(&device, 20)?;
    drop(inside);
    child.remove()?;
    check_eq!(parent.dmem_pages()?, 20);
    check_eq!(device.swapout(handle)?, 20);
    check_eq!(parent.dmem_pages()?, 0);
    check_eq!(device.populate(handle)?, 20);
    Ok(())
}

/// Works on some objects at random, with content; returns when all is released.
fn hammer(seed: u64) -> Outcome {
    const OBJECTS: u64 = 6;
    const BYTES: u64 = 8 * PAGE;
    let device = open()?;
    let mut random = Random::new(seed);
    let mut handles = Vec::new();
    for index in 0..OBJECTS {
        let create = Create::new(BYTES);
        let create = if index % 3 == 0 {
            create.shmem()
        } else {
            create
        };
        handles.push(device.create(create)?);
    }
    let content = |index: usize| Pattern::new(seed << 8 | index as u64).bytes(BYTES as usize);
    for (index, handle) in handles.iter().enumerate() {
        device.write(*handle, 0, &content(index))?;
    }
    for _ in 0..60 {
        let index = random.below(OBJECTS) as usize;
        let handle = handles[index];
        match random.below(5) {
            0 => drop(device.swapout(handle)?),
            1 => drop(device.backup(handle)?),
            2 => drop(device.populate(handle)?),
            _ => {
                let mut found = vec![0; BYTES as usize];
                device.read(handle, 0, &mut found)?;
                check!(found == content(index));
            }
        }
    }
    Ok(())
}

fn groups_at_their_limits_at_the_same_time() -> Outcome {
    let parent = Group::new(DMEM)?;
    let groups = [
        parent.child(DMEM, "a")?,
        parent.child(DMEM, "b")?,
        parent.child(DMEM, "c")?,
    ];
    // More than one of them has, less than all have together, and room for what all do at a time.
    parent.set_dmem("dmem.max", 90)?;
    let mut children = Vec::new();
    for (group, seed) in groups.iter().zip(1..) {
        group.set_dmem("dmem.max", 40)?;
        for more in [0, 10] {
            children.push(Child::run(move |_| {
                let inside = group.enter()?;
                let outcome = hammer(seed + more);
                drop(inside);
                outcome
            })?);
        }
    }
    for child in children {
        child.join()?;
    }
    for group in groups.iter().chain([&parent]) {
        check_eq!(group.dmem_pages()?, 0);
    }
    for group in &groups {
        check!(group.dmem_peak()? <= 40);
    }
    check!(parent.dmem_peak()? <= 90);
    Ok(())
}
