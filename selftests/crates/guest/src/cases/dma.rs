// SPDX-License-Identifier: GPL-2.0-or-later

//! Addresses for the device.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::reeve_bo_dma_address;
use reeve_uapi::sys::REEVE_BO_BACKUP_PURGE;
use reeve_uapi::sys::REEVE_BO_DMA_ADDRESSES;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use super::reevectl::reevectl_with;
use crate::content::filled;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;
use crate::tracing;
use crate::tracing::Tracing;

cases!("dma";
    every_page_has_an_address,
    no_two_pages_have_the_same,
    addresses_last_while_it_is_pinned,
    without_pages_there_are_none,
    who_did_not_ask_has_none,
    arguments_are_checked,
    content_is_the_same_with_addresses,
    they_go_before_content_is_copied_out,
    reevectl_shows_them,
);

const PAGES: u64 = 700;

/// Objects of every kind that can have addresses.
fn kinds() -> Vec<Create> {
    let create = Create::new(PAGES * PAGE).dma_addresses();
    let mut all: Vec<_> = Caching::ALL
        .into_iter()
        .flat_map(|caching| [create.caching(caching), create.caching(caching).dma32()])
        .collect();
    all.push(create.kind(BoType::Kernel).extra(5));
    all.push(create.kind(BoType::Sg).mappable());
    all.push(create.shmem());
    all
}

/// Memory of the machine, as physical addresses.
fn memory() -> Outcome<Vec<RangeInclusive<u64>>> {
    let text = fs::read_to_string("/proc/iomem")?;
    let ranges: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_suffix(" : System RAM"))
        .filter_map(|range| {
            let (first, last) = range.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            Some(number(first)?..=number(last)?)
        })
        .collect();
    check!(!ranges.is_empty(), "{text}");
    Ok(ranges)
}

/// The addresses of all pages; runs are what they say they are.
fn addresses(device: &Device, handle: Handle) -> Outcome<Vec<u64>> {
    let pages = device.info(handle)?.num_pages;
    let found = (0..pages)
        .map(|page| Ok(device.dma_address(handle, page)?))
        .collect::<Outcome<Vec<_>>>()?;
    for (page, &(address, row)) in (0..).zip(&found) {
        check_eq!(address % PAGE, 0);
        check!(row > 0 && page + row <= pages, "page {page}: {row}");
        for (next, &(other, rest)) in (0..row).zip(&found[page as usize..]) {
            check_eq!((other, rest), (address + next * PAGE, row - next));
        }
        if let Some(&(other, _)) = found.get((page + row) as usize) {
            check!(
                other != address + row * PAGE,
                "page {page}: the run goes on"
            );
        }
    }
    Ok(found.into_iter().map(|(address, _)| address).collect())
}

#[track_caller]
fn none(device: &Device, handle: Handle) -> Outcome {
    for page in [0, 1] {
        refused(device.dma_address(handle, page), Errno::EINVAL)?;
    }
    Ok(())
}

fn every_page_has_an_address() -> Outcome {
    let device = open()?;
    let memory = memory()?;
    for create in kinds() {
        let handle = device.create(create)?;
        check!(device.info(handle)?.is(REEVE_BO_DMA_ADDRESSES));
        device.populate(handle)?;
        let found = addresses(&device, handle)?;
        check_eq!(found.len() as u64, PAGES + u64::from(create.extra_pages));
        for address in found {
            // The machine has nothing between device and memory.
            check!(
                memory.iter().any(|range| range.contains(&address)),
                "{address:#x}"
            );
            check!(!create.dma32 || address < 1 << 32, "{address:#x}");
        }
        device.destroy(handle)?;
    }
    Ok(())
}

fn no_two_pages_have_the_same() -> Outcome {
    let device = open()?;
    let mut all = BTreeSet::new();
    for create in kinds() {
        let handle = device.create(create)?;
        device.populate(handle)?;
        for address in addresses(&device, handle)? {
            check!(all.insert(address), "{address:#x}");
        }
    }
    Ok(())
}

fn addresses_last_while_it_is_pinned() -> Outcome {
    let device = open()?;
    let other = open()?;
    for create in kinds() {
        let handle = device.create(create)?;
        device.populate(handle)?;
        device.pin(handle)?;
        let before = addresses(&device, handle)?;
        knobs::trigger("prepare_hibernation")?;
        knobs::trigger("bo_shrink")?;
        let busy = other.create(Create::new(PAGES * PAGE))?;
        other.populate(busy)?;
        check!(addresses(&device, handle)? == before);
        device.unpin(handle)?;
        device.destroy(handle)?;
        other.destroy(busy)?;
    }
    Ok(())
}

fn without_pages_there_are_none() -> Outcome {
    let device = open()?;
    for create in kinds() {
        let handle = device.create(create)?;
        let there = || -> Outcome {
            addresses(&device, handle)?;
            Ok(())
        };
        none(&device, handle)?;
        device.populate(handle)?;
        there()?;
        device.unpopulate(handle)?;
        none(&device, handle)?;
        device.populate(handle)?;
        if !create.mappable {
            device.swapout(handle)?;
            none(&device, handle)?;
            device.populate(handle)?;
            there()?;
        }
        device.backup(handle)?;
        none(&device, handle)?;
        device.restore(handle)?;
        there()?;
        device.backup_with(handle, REEVE_BO_BACKUP_PURGE)?;
        none(&device, handle)?;
        device.destroy(handle)?;
        refused(device.dma_address(handle, 0), Errno::ENOENT)?;
    }
    Ok(())
}

fn who_did_not_ask_has_none() -> Outcome {
    let device = open()?;
    let plain = device.create(Create::new(3 * PAGE))?;
    check!(!device.info(plain)?.is(REEVE_BO_DMA_ADDRESSES));
    device.populate(plain)?;
    none(&device, plain)?;
    // The addresses of imported pages are not known.
    let sg = Create::new(3 * PAGE).kind(BoType::Sg);
    for create in [sg, sg.dma_addresses()] {
        let handle = device.create(create)?;
        check_eq!(
            device.info(handle)?.is(REEVE_BO_DMA_ADDRESSES),
            create.dma_addresses
        );
        device.populate(handle)?;
        none(&device, handle)?;
    }
    Ok(())
}

fn arguments_are_checked() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(3 * PAGE).extra(1).dma_addresses())?;
    device.populate(handle)?;
    unchanged(&device, || {
        check!(device.dma_address(handle, 3).is_ok());
        for page in [4, 5, 1 << 52, u64::MAX] {
            refused(device.dma_address(handle, page), Errno::EINVAL)?;
        }
        for number in [0, 99, u32::MAX] {
            refused(device.dma_address(Handle::new(number), 0), Errno::ENOENT)?;
        }
        let mut wrong = [reeve_bo_dma_address::default(); 3];
        wrong[0].flags = 1;
        wrong[1].reserved[0] = 1;
        wrong[2].reserved[1] = 1 << 63;
        for mut arg in wrong {
            arg.handle = handle.get();
            refused(device.raw().bo_dma_address(&mut arg), Errno::EINVAL)?;
        }
        // What is only told means nothing when it is asked.
        let mut arg = reeve_bo_dma_address {
            handle: handle.get(),
            address: u64::MAX,
            pages: u64::MAX,
            ..Default::default()
        };
        device.raw().bo_dma_address(&mut arg)?;
        check_eq!((arg.address, arg.pages), device.dma_address(handle, 0)?);
        Ok(())
    })
}

fn content_is_the_same_with_addresses() -> Outcome {
    let device = open()?;
    for (create, seed) in kinds().into_iter().zip(1..) {
        let handle = device.create(create)?;
        let size = create.size as usize;
        device.write(handle, 0, &Pattern::new(seed).bytes(size))?;
        if create.mappable {
            device.backup(handle)?;
        } else {
            device.swapout(handle)?;
        }
        let mut found = vec![0; size];
        device.read(handle, 0, &mut found)?;
        check_eq!(Pattern::new(seed).mismatch(0, &found), None);
        let mapping = device.map(handle)?;
        check_eq!(Pattern::new(seed).mismatch(0, &mapping.bytes()), None);
        device.destroy(handle)?;
    }
    Ok(())
}

fn reevectl_shows_them() -> Outcome {
    let script = "\
        bo create --size 20K --dma-addresses\n\
        bo populate last\n\
        bo dma-addresses last\n\
        bo dma-addresses last --json\n";
    let run = reevectl_with("batch", script)?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let lines: Vec<_> = run.out.lines().collect();
    let header = lines
        .iter()
        .position(|line| line.split_whitespace().eq(["page", "pages", "address"]));
    let header = header.ok_or_else(|| Stop::failed(format!("no table: {}", run.out)))?;
    let first: Vec<_> = lines[header + 1].split_whitespace().collect();
    check!(first[0] == "0" && first[2].starts_with("0x"), "{}", run.out);
    check!(run.out.contains("\"address\""), "{}", run.out);
    Ok(())
}

/// The trace shows the end of the last mapping for the device before the pages that content is copied to.
fn they_go_before_content_is_copied_out() -> Outcome {
    const EVENTS: [&str; 2] = ["dma/dma_unmap_phys", "kmem/mm_page_alloc"];
    const PAGES: u64 = 300;
    tracing::need()?;
    let device = open()?;
    for backup in [false, true] {
        let handle = filled(&device, Create::new(PAGES * PAGE).dma_addresses(), 5)?;
        let tracing = Tracing::of(&[])?;
        for event in EVENTS {
            tracing::put(&format!("events/{event}/enable"), "1")?;
        }
        let moved = match backup {
            true => device.backup(handle),
            false => device.swapout(handle),
        };
        for event in EVENTS {
            tracing::put(&format!("events/{event}/enable"), "0")?;
        }
        check_eq!(moved?, PAGES);
        let text = fs::read_to_string(tracing::path("trace"))?;
        drop(tracing);
        // The name of the task may not be known.
        let number = format!("-{}", std::process::id());
        let ours: Vec<_> = text
            .lines()
            .filter(|line| {
                line.split('[')
                    .next()
                    .unwrap_or("")
                    .trim()
                    .ends_with(&number)
            })
            .collect();
        let last = ours
            .iter()
            .rposition(|line| line.contains("dma_unmap_phys"));
        let last = last.ok_or_else(|| Stop::failed("no address went"))?;
        let (before, after) = ours.split_at(last);
        let allocated = |lines: &[&str]| {
            let found = lines.iter().filter(|line| line.contains("mm_page_alloc"));
            found.count() as u64
        };
        let counts = (allocated(before), allocated(after));
        check!(
            counts.0 < PAGES / 10 && counts.1 >= PAGES / 2,
            "allocations before and after: {counts:?}"
        );
        device.destroy(handle)?;
    }
    Ok(())
}
