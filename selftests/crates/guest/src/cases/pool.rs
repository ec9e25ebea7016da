// SPDX-License-Identifier: GPL-2.0-or-later

//! Free pages that are kept: how many, for whom, and that they are given back.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::cgroup::Group;
use crate::memory::bind_to_node;
use crate::memory::unbind;
use crate::seen::open;
use crate::seen::until;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

cases!("pool";
    keeps_what_is_unpopulated,
    keeps_what_is_destroyed,
    gives_to_the_next,
    keeps_kinds_apart,
    swapping_out_is_not_for_the_pool,
    keeps_no_more_than_it_may,
    a_smaller_size_takes_effect_at_once,
    shrinks_on_request,
    shrinking_ends_at_nothing,
    is_drained_before_any_object_is_swapped_out,
    table_adds_up,
    obeys_memory_policies,
    pages_are_of_the_node_that_is_asked_for,
    pages_are_of_a_node_of_the_cpuset,
    is_gone_with_the_module,
);

const PAGES: u64 = 96;

fn wc(device: &Device, pages: u64) -> Outcome<Handle> {
    let handle = device.create(Create::new(pages * PAGE).caching(Caching::WriteCombined))?;
    device.populate(handle)?;
    Ok(handle)
}

fn kept(device: &Device) -> Outcome<u64> {
    Ok(device.stats()?.pool_pages)
}

/// An open file, with an empty pool behind it.
fn open_empty() -> Outcome<Device> {
    knobs::drain_pool()?;
    let device = open()?;
    check_eq!(kept(&device)?, 0);
    Ok(device)
}

fn keeps_what_is_unpopulated() -> Outcome {
    let device = open_empty()?;
    for mode in Caching::ALL {
        let handle = device.create(Create::new(PAGES * PAGE).caching(mode))?;
        device.populate(handle)?;
        check_eq!(kept(&device)?, 0);
        device.unpopulate(handle)?;
        check_eq!(kept(&device)?, PAGES, "{mode:?}");
        check_eq!(device.stats()?.pages_allocated, 0);
        knobs::drain_pool()?;
    }
    Ok(())
}

fn keeps_what_is_destroyed() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, PAGES)?)?;
    check_eq!(kept(&device)?, PAGES);
    Ok(())
}

fn gives_to_the_next() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, PAGES)?)?;
    let first = wc(&device, PAGES / 2)?;
    // Blocks may not fit, so some of it may come from the system.
    let left = kept(&device)?;
    let second = wc(&device, PAGES)?;
    check!(left < PAGES, "{left} pages left");
    device.destroy(first)?;
    device.destroy(second)?;
    check!(kept(&device)? >= PAGES);
    Ok(())
}

/// What is kept of one kind is of no use to another.
fn keeps_kinds_apart() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, PAGES)?)?;
    let others = [
        Create::new(PAGES * PAGE),
        Create::new(PAGES * PAGE).caching(Caching::Uncached),
        Create::new(PAGES * PAGE)
            .caching(Caching::WriteCombined)
            .dma32(),
    ];
    for create in others {
        let handle = device.create(create)?;
        device.populate(handle)?;
        check_eq!(kept(&device)?, PAGES, "{create:?}");
    }
    Ok(())
}

/// Who swaps out wants memory back.
fn swapping_out_is_not_for_the_pool() -> Outcome {
    let device = open_empty()?;
    let handle = wc(&device, PAGES)?;
    check_eq!(device.swapout(handle)?, PAGES);
    check_eq!(kept(&device)?, 0);
    Ok(())
}

fn keeps_no_more_than_it_may() -> Outcome {
    let device = open_empty()?;
    knobs::set_parameter("page_pool_size", "100")?;
    check_eq!(device.stats()?.page_pool_size, 100);
    let handles = [wc(&device, 64)?, wc(&device, 32)?, wc(&device, 64)?];
    for (handle, expected) in handles.into_iter().zip([64, 96, 96]) {
        device.destroy(handle)?;
        let kept = kept(&device)?;
        // Single blocks of the last may still fit.
        check!(
            kept >= expected && kept <= 100,
            "{kept} pages, expected {expected}"
        );
    }
    Ok(())
}

fn a_smaller_size_takes_effect_at_once() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, 256)?)?;
    check_eq!(kept(&device)?, 256);
    knobs::set_parameter("page_pool_size", "10")?;
    let trimmed = until(Duration::from_secs(20), || Ok(kept(&device)? <= 10))?;
    check!(trimmed, "{} pages left", kept(&device)?);
    Ok(())
}

fn shrinks_on_request() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, PAGES)?)?;
    let freed = knobs::page_pool_shrink()?;
    check_eq!(freed, PAGES as i64);
    check_eq!(kept(&device)?, 0);
    Ok(())
}

/// One request gives back a part of much.
fn shrinking_ends_at_nothing() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, 4096)?)?;
    let before = kept(&device)? as i64;
    let mut freed = 0;
    let mut requests = 0;
    loop {
        match knobs::page_pool_shrink()? {
            0 => break,
            pages => freed += pages,
        }
        requests += 1;
        check!(freed <= before);
        check_eq!(kept(&device)? as i64, before - freed);
    }
    check_eq!(freed, before);
    check!(requests > 1, "all at once");
    Ok(())
}

fn is_drained_before_any_object_is_swapped_out() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, PAGES)?)?;
    let first = device.create(Create::new(8 * PAGE))?;
    device.populate(first)?;
    check_eq!(kept(&device)?, PAGES);
    let _limit = Limit::pages(10)?;
    let second = device.create(Create::new(8 * PAGE))?;
    device.populate(second)?;
    check_eq!(device.info(first)?.pages_resident, 0);
    check_eq!(kept(&device)?, 0);
    Ok(())
}

/// A row of `page_pool`: kind, pages by order, pages altogether.
type Row = (String, Vec<u64>, u64);

/// The rows of `page_pool`, and its total.
fn table() -> Outcome<(Vec<Row>, u64)> {
    let text = knobs::debugfs("page_pool")?;
    let wrong = |line: &str| Stop::failed(format!("page_pool says {line:?}"));
    let mut lines = text.lines();
    check!(lines
        .next()
        .is_some_and(|head| head.starts_with("node kind")));
    let mut rows = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let name = words.next().ok_or_else(|| wrong(line))?;
        if name == "total" {
            let total = words.next().and_then(|word| word.parse().ok());
            return Ok((rows, total.ok_or_else(|| wrong(line))?));
        }
        let kind = words.next().ok_or_else(|| wrong(line))?.to_owned();
        let mut numbers = words
            .map(|word| word.parse::<u64>().map_err(|_| wrong(line)))
            .collect::<Outcome<Vec<_>>>()?;
        let sum = numbers.pop().ok_or_else(|| wrong(line))?;
        rows.push((kind, numbers, sum));
    }
    Err(wrong(&text))
}

fn table_adds_up() -> Outcome {
    let device = open_empty()?;
    device.destroy(wc(&device, PAGES)?)?;
    let low = device.create(Create::new(3 * PAGE).caching(Caching::Uncached).dma32())?;
    device.populate(low)?;
    device.destroy(low)?;
    let (rows, total) = table()?;
    check_eq!(total, PAGES + 3);
    check_eq!(total, kept(&device)?);
    for (kind, orders, sum) in &rows {
        check_eq!(orders.len(), 10);
        check_eq!(orders.iter().sum::<u64>(), *sum, "{kind}");
    }
    let of = |name: &str| -> u64 {
        let rows = rows.iter().filter(|(kind, ..)| kind == name);
        rows.map(|(_, _, sum)| *sum).sum()
    };
    check_eq!((of("wc"), of("uc32"), of("cached")), (PAGES, 3, 0));
    Ok(())
}

/// The allocator knows which node a policy wants; what the pool has is of the local one.
fn obeys_memory_policies() -> Outcome {
    let device = open_empty()?;
    let handle = wc(&device, PAGES)?;
    device.unpopulate(handle)?;
    let populate = || -> Outcome<u64> {
        let before = kept(&device)?;
        check!(before >= PAGES);
        device.populate(handle)?;
        let taken = before.saturating_sub(kept(&device)?);
        device.unpopulate(handle)?;
        Ok(taken)
    };
    match bind_to_node(0) {
        Ok(()) => {}
        Err(err) if errno(&err) == Errno::ENOSYS => {
            return Err(Stop::skipped("the kernel has no memory policies"));
        }
        Err(err) => return Err(err.into()),
    }
    let bound = populate();
    unbind()?;
    check_eq!(bound?, 0);
    check_eq!(populate()?, PAGES);
    Ok(())
}

/// Free pages of a memory node; `None`: there is no such node.
fn free_of(node: u32) -> Outcome<Option<u64>> {
    let path = format!("/sys/devices/system/node/node{node}/meminfo");
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(None);
    };
    let line = text
        .lines()
        .find_map(|line| line.split_once("MemFree:").map(|(_, rest)| rest));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.map(|kib| kib / (PAGE / 1024)))
}

/// A task with a policy gets pages of its node, of the kernel and not of what the pool has of the other one.
fn pages_are_of_the_node_that_is_asked_for() -> Outcome {
    let result = get_pages_of_the_node(|node| Ok(bind_to_node(node)?));
    let unbound = unbind();
    // A kernel without nodes has nothing to unbind from either.
    result?;
    Ok(unbound?)
}

/// So does a task in a cpuset.
fn pages_are_of_a_node_of_the_cpuset() -> Outcome {
    let groups = [
        Group::new_named("cpuset", "node0")?,
        Group::new_named("cpuset", "node1")?,
    ];
    for (node, group) in groups.iter().enumerate() {
        if group.write("cpuset.mems", &node.to_string()).is_err() {
            return Err(Stop::skipped(format!("there is no node {node}")));
        }
    }
    get_pages_of_the_node(|node| groups[node as usize].enter())
}

/// `confine` has this task get pages of a node only.
fn get_pages_of_the_node<T>(confine: impl Fn(u32) -> Outcome<T>) -> Outcome {
    const MANY: u64 = 16384;
    let nodes = (free_of(0)?, free_of(1)?);
    if !matches!(nodes, (Some(MANY..), Some(MANY..))) {
        return Err(Stop::skipped(format!("free pages of two nodes: {nodes:?}")));
    }
    let device = open_empty()?;
    for node in [0, 1] {
        let other = 1 - node;
        for caching in Caching::ALL {
            let handle = device.create(Create::new(MANY * PAGE).caching(caching))?;
            // The pool has enough, of the other node.
            let confined = confine(other)?;
            device.populate(handle)?;
            device.unpopulate(handle)?;
            drop(confined);
            let confined = confine(node)?;
            let free = |node| Ok::<_, Stop>(free_of(node)?.unwrap_or(0));
            let before = (free(node)?, free(other)?, kept(&device)?);
            device.populate(handle)?;
            let after = (free(node)?, free(other)?, kept(&device)?);
            let told = || format!("node {node}, {caching:?}: {before:?} and {after:?}");
            // Some thousand may be on lists of the processors, which count as in use.
            check!(after.0 + MANY / 2 <= before.0, "{}", told());
            check!(after.1 + MANY / 4 >= before.1, "{}", told());
            check_eq!(after.2, before.2);
            drop(confined);
            device.destroy(handle)?;
            knobs::drain_pool()?;
        }
    }
    Ok(())
}

/// What is kept when the module goes must not be lost: kmemleak and the page allocator's own checks
/// would say so.
fn is_gone_with_the_module() -> Outcome {
    crate::module::need_file()?;
    let device = open_empty()?;
    device.destroy(wc(&device, PAGES)?)?;
    drop(device);
    crate::module::remove()?;
    check!(!knobs::loaded());
    crate::module::insert("enable_builtin_tests=1")??;
    check_eq!(kept(&open()?)?, 0);
    Ok(())
}
