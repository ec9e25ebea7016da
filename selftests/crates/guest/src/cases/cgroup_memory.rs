// SPDX-License-Identifier: GPL-2.0-or-later

//! Memory cgroups: pages are charged to who populates, and a cgroup at its limit takes from itself.

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_BACKED_UP;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::cgroup::Group;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("cgroup_memory";
    follows_what_its_tasks_populate,
    pages_of_the_pool_are_charged_to_no_cgroup,
    can_be_switched_off,
    over_the_limit_it_is_refused,
    own_objects_go_and_neighbours_stay,
    a_limit_above_counts_too,
    content_stays_with_its_cgroup,
    a_full_cgroup_keeps_no_other_from_memory,
    a_backup_that_is_asked_for_keeps_within_the_limit,
);

const MEMORY: &str = "memory";
const MIB: u64 = 1 << 20;

/// What the kernel charges ahead of time, for each processor, and what this process may need.
const SLACK: u64 = 400;

fn resident(device: &Device, handle: Handle) -> Outcome<bool> {
    Ok(device.info(handle)?.is(REEVE_BO_POPULATED))
}

/// Has about `pages` more pages charged than `before`.
#[track_caller]
fn charged(group: &Group, before: u64, pages: u64) -> Outcome {
    let now = group.memory_pages()?;
    check!(
        now + SLACK >= before + pages && now <= before + pages + SLACK,
        "{now} pages, {before} before, {pages} expected"
    );
    Ok(())
}

fn follows_what_its_tasks_populate() -> Outcome {
    const PAGES: u64 = 3000;
    let group = Group::new(MEMORY)?;
    let device = open()?;
    let inside = group.enter()?;
    let before = group.memory_pages()?;
    let plain = Create::new(PAGES * PAGE);
    for create in [
        plain,
        plain.zeroed(),
        plain.dma32(),
        plain.shmem(),
        plain.caching(Caching::WriteCombined),
        plain.caching(Caching::Uncached).dma32(),
        plain.kind(BoType::Sg).mappable(),
    ] {
        let handle = device.create(create)?;
        charged(&group, before, 0)?;
        device.populate(handle)?;
        charged(&group, before, PAGES)?;
        device.unpopulate(handle)?;
        charged(&group, before, 0)?;
        device.populate(handle)?;
        device.destroy(handle)?;
        charged(&group, before, 0)?;
    }
    let mapped = device.create(plain)?;
    let mapping = device.map(mapped)?;
    mapping.touch();
    charged(&group, before, PAGES)?;
    drop(inside);
    // Who gives it back does not matter.
    device.destroy(mapped)?;
    charged(&group, before, 0)
}

fn pages_of_the_pool_are_charged_to_no_cgroup() -> Outcome {
    const PAGES: u64 = 2000;
    let group = Group::new(MEMORY)?;
    let device = open()?;
    knobs::drain_pool()?;
    let create = Create::new(PAGES * PAGE).caching(Caching::WriteCombined);
    // What the root gave back is kept, and not handed on without being charged.
    let roots = device.create(create)?;
    device.populate(roots)?;
    device.unpopulate(roots)?;
    check_eq!(device.stats()?.pool_pages, PAGES);
    let inside = group.enter()?;
    let before = group.memory_pages()?;
    let own = device.create(create)?;
    device.populate(own)?;
    check_eq!(device.stats()?.pool_pages, PAGES);
    charged(&group, before, PAGES)?;
    // What is charged is not kept.
    device.unpopulate(own)?;
    check_eq!(device.stats()?.pool_pages, PAGES);
    charged(&group, before, 0)?;
    device.populate(own)?;
    drop(inside);
    device.populate(roots)?;
    check_eq!(device.stats()?.pool_pages, 0);
    device.destroy(own)?;
    check_eq!(device.stats()?.pool_pages, 0);
    charged(&group, before, 0)
}

fn can_be_switched_off() -> Outcome {
    const PAGES: u64 = 3000;
    let group = Group::new(MEMORY)?;
    let device = open()?;
    let inside = group.enter()?;
    let before = group.memory_pages()?;
    knobs::set_parameter("charge_memcg", "0")?;
    let free = populated(&device, PAGES)?;
    charged(&group, before, 0)?;
    knobs::set_parameter("charge_memcg", "1")?;
    let paid = populated(&device, PAGES)?;
    charged(&group, before, PAGES)?;
    knobs::set_parameter("charge_memcg", "0")?;
    // What was charged is given back all the same.
    device.unpopulate(paid)?;
    charged(&group, before, 0)?;
    device.unpopulate(free)?;
    drop(inside);
    Ok(())
}

fn over_the_limit_it_is_refused() -> Outcome {
    let (group, neighbour) = (Group::new(MEMORY)?, open()?);
    let foreign = populated(&neighbour, 500)?;
    let device = open()?;
    group.write("memory.max", "16M")?;
    let inside = group.enter()?;
    let small = populated(&device, 4 * MIB / PAGE)?;
    let large = device.create(Create::new(32 * MIB))?;
    unchanged(&device, || {
        refused(device.populate(large), Errno::ENOMEM)?;
        refused(device.write(large, 0, &[1; 8]), Errno::ENOMEM)
    })?;
    // It would fit alone, but without swap nothing can make room.
    let fits = device.create(Create::new(13 * MIB))?;
    unchanged(&device, || refused(device.populate(fits), Errno::ENOMEM))?;
    drop(inside);
    check!(resident(&neighbour, foreign)? && resident(&device, small)?);
    check_eq!(group.memory_event("oom_kill")?, 0);
    let inside = group.enter()?;
    device.unpopulate(small)?;
    check_eq!(device.populate(fits)?, 13 * MIB / PAGE);
    drop(inside);
    Ok(())
}

/// An object of `bytes` with content; both buffers are from outside of any group.
struct Filled {
    handle: Handle,
    content: Vec<u8>,
    found: Vec<u8>,
}

impl Filled {
    fn new(device: &Device, bytes: u64, seed: u64) -> Outcome<Self> {
        Ok(Self {
            handle: device.create(Create::new(bytes))?,
            content: Pattern::new(seed).bytes(bytes as usize),
            found: vec![1; bytes as usize],
        })
    }

    fn write(&self, device: &Device) -> Outcome {
        Ok(device.write(self.handle, 0, &self.content)?)
    }

    fn check(&mut self, device: &Device) -> Outcome {
        device.read(self.handle, 0, &mut self.found)?;
        check!(self.found == self.content);
        Ok(())
    }
}

fn own_objects_go_and_neighbours_stay() -> Outcome {
    let _swap = Swap::on()?;
    let (group, other) = (Group::new(MEMORY)?, Group::new_named(MEMORY, "other")?);
    let (device, neighbour) = (open()?, open()?);
    let mut foreign = Filled::new(&neighbour, 3 * MIB, 1)?;
    let mut outside = Filled::new(&neighbour, 3 * MIB, 2)?;
    // Together more than the limit, and less than a small swap.
    let mut first = Filled::new(&device, 384 * PAGE, 3)?;
    let mut second = Filled::new(&device, 448 * PAGE, 4)?;
    outside.write(&neighbour)?;
    let inside = other.enter()?;
    foreign.write(&neighbour)?;
    drop(inside);

    group.write("memory.max", "3M")?;
    let inside = group.enter()?;
    first.write(&device)?;
    check!(resident(&device, first.handle)?);
    second.write(&device)?;
    check!(device.info(first.handle)?.is(REEVE_BO_BACKED_UP));
    first.check(&device)?;
    check!(device.info(second.handle)?.is(REEVE_BO_BACKED_UP));
    second.check(&device)?;
    drop(inside);
    check!(group.memory_pages()? <= 3 * MIB / PAGE);
    check_eq!(group.memory_event("oom_kill")?, 0);

    // They were used before any of the group's, and were not asked.
    check!(resident(&neighbour, foreign.handle)? && resident(&neighbour, outside.handle)?);
    foreign.check(&neighbour)?;
    outside.check(&neighbour)
}

fn a_limit_above_counts_too() -> Outcome {
    let _swap = Swap::on()?;
    let parent = Group::new(MEMORY)?;
    let (own, sibling) = (
        parent.child(MEMORY, "own")?,
        parent.child(MEMORY, "sibling")?,
    );
    let (device, other) = (open()?, open()?);
    let mut foreign = Filled::new(&other, 200 * PAGE, 1)?;
    let mut first = Filled::new(&device, 300 * PAGE, 2)?;
    let second = Filled::new(&device, 350 * PAGE, 3)?;
    parent.write("memory.max", "3M")?;
    let inside = sibling.enter()?;
    foreign.write(&other)?;
    drop(inside);
    let inside = own.enter()?;
    first.write(&device)?;
    second.write(&device)?;
    // Whose, the kernel decides: all groups below the limit share it.
    check!(!resident(&device, first.handle)? || !resident(&other, foreign.handle)?);
    check!(parent.memory_pages()? <= 3 * MIB / PAGE);
    first.check(&device)?;
    drop(inside);
    check_eq!(parent.memory_event("oom_kill")?, 0);
    foreign.check(&other)
}

fn content_stays_with_its_cgroup() -> Outcome {
    const PAGES: u64 = 3000;
    let (one, two) = (Group::new(MEMORY)?, Group::new_named(MEMORY, "two")?);
    let device = open()?;
    let roots = populated(&device, PAGES)?;
    let inside = one.enter()?;
    let before = one.memory_pages()?;
    let ones = populated(&device, PAGES)?;
    drop(inside);
    charged(&one, before, PAGES)?;

    let inside = two.enter()?;
    let nothing = two.memory_pages()?;
    for handle in [ones, roots] {
        device.swapout(handle)?;
    }
    charged(&two, nothing, 0)?;
    charged(&one, before, PAGES)?;
    // Part of a block, which is charged as a whole.
    device.populate(ones)?;
    drop(inside);
    charged(&two, nothing, PAGES)?;
    device.backup(ones)?;
    charged(&two, nothing, PAGES)?;
    charged(&one, before, 0)?;
    device.destroy(ones)?;
    charged(&two, nothing, 0)
}

/// A cgroup that is full has no room for the content of its objects either; another client's populate
/// has them swapped out all the same.
fn a_full_cgroup_keeps_no_other_from_memory() -> Outcome {
    let group = Group::new(MEMORY)?;
    let (device, other) = (open()?, open()?);
    let mut full = Filled::new(&device, 6 * MIB, 5)?;
    group.write("memory.max", "9M")?;
    let inside = group.enter()?;
    full.write(&device)?;
    drop(inside);
    let limit = Limit::pages(6 * MIB / PAGE)?;
    let more = populated(&other, 1000)?;
    check!(!resident(&device, full.handle)? && resident(&other, more)?);
    check_eq!(other.stats()?.pages_allocated, 1000);
    check!(group.memory_pages()? <= 9 * MIB / PAGE + SLACK);
    drop(limit);
    full.check(&device)
}

/// Only reclaim may go over a limit, and use the last reserves of memory, for what it copies: a task that backs
/// up a whole object may not.
fn a_backup_that_is_asked_for_keeps_within_the_limit() -> Outcome {
    const PAGES: u64 = 2048;
    const LIMIT: u64 = 10 * MIB;
    let group = Group::new(MEMORY)?;
    let device = open()?;
    let inside = group.enter()?;
    let handle = populated(&device, PAGES)?;
    drop(inside);
    // No swap: nothing makes room, and less is free than a backup copies before it frees pages.
    let limit = (group.memory_pages()? + 64) * PAGE;
    check!(limit < LIMIT, "{limit}");
    group.write("memory.max", &limit.to_string())?;
    let _ = group.write("memory.peak", "0");
    let backup = device.backup(handle);
    let peak = group.read("memory.peak")?;
    let peak: u64 = peak
        .trim()
        .parse()
        .map_err(|err| Stop::failed(format!("memory.peak: {err}")))?;
    check!(peak <= limit, "{peak} of {limit}: {backup:?}");
    let moved = backup.unwrap_or(0);
    check_eq!(device.info(handle)?.pages_resident, PAGES - moved);
    check_eq!(group.memory_event("oom_kill")?, 0);
    Ok(())
}
