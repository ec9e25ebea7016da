// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects whose pages live in a shmem file: swapped out without a copy.

use std::fs;

use nix::errno::Errno;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::sys::REEVE_BO_BACKED_UP;
use reeve_uapi::sys::REEVE_BO_BACKUP_PURGE;
use reeve_uapi::sys::REEVE_BO_ON_LRU;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SHMEM;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::content;
use crate::content::holds;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("shmem";
    is_what_was_asked_for,
    is_for_plain_memory,
    content_comes_back,
    fresh_pages_are_zero,
    swapping_out_copies_nothing,
    the_memory_is_given_back,
    limits_are_the_same,
    backup_and_purge,
    mappable_objects_can_be_so_too,
);

const PAGES: u64 = 300;

fn on_shmem(pages: u64) -> Create {
    Create::new(pages * PAGE).shmem()
}

fn filled(device: &Device, pages: u64, seed: u64) -> Outcome<Handle> {
    content::filled(device, on_shmem(pages), seed)
}

/// Pages of shared memory that the system has.
fn shared_memory() -> Outcome<i64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Shmem:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    Ok(kib.ok_or_else(|| Stop::failed("no Shmem in meminfo"))? / 4)
}

/// How much it grows by `f`, but for what others do.
fn growth(f: impl FnOnce() -> Outcome) -> Outcome<i64> {
    let before = shared_memory()?;
    f()?;
    Ok(shared_memory()? - before)
}

fn is_what_was_asked_for() -> Outcome {
    let device = open()?;
    for kind in [BoType::Device, BoType::Kernel] {
        let handle = device.create(on_shmem(3).kind(kind))?;
        check_eq!(device.populate(handle)?, 3);
        let info = device.info(handle)?;
        check!(info.is(REEVE_BO_SHMEM) && info.is(REEVE_BO_POPULATED) && info.is(REEVE_BO_ON_LRU));
        check_eq!((info.pages_resident, info.pages_charged), (3, 3));
        check_eq!(device.swapout(handle)?, 3);
        let info = device.info(handle)?;
        check!(info.is(REEVE_BO_SHMEM) && info.is(REEVE_BO_SWAPPED));
        check_eq!((info.pages_resident, info.pages_charged), (0, 0));
    }
    check!(!device
        .info(device.create(Create::new(PAGE))?)?
        .is(REEVE_BO_SHMEM));
    Ok(())
}

fn is_for_plain_memory() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        for create in [
            on_shmem(1).caching(Caching::WriteCombined),
            on_shmem(1).caching(Caching::Uncached),
            on_shmem(1).dma32(),
            on_shmem(1).kind(BoType::Sg),
        ] {
            refused(device.create(create), Errno::EINVAL)?;
        }
        Ok(())
    })
}

fn content_comes_back() -> Outcome {
    let device = open()?;
    for (pages, seed) in [(1, 1), (2, 2), (511, 3), (512, 4), (1000, 5)] {
        let handle = filled(&device, pages, seed)?;
        for _ in 0..2 {
            check_eq!(device.swapout(handle)?, pages);
            check_eq!(device.populate(handle)?, pages);
            holds(&device, handle, seed)?;
        }
        device.swapout(handle)?;
        device.write(handle, 0, &[0xaa; 3])?;
        device.swapout(handle)?;
        let mut found = [0; 3];
        device.read(handle, 0, &mut found)?;
        check_eq!(found, [0xaa; 3]);
    }
    Ok(())
}

fn fresh_pages_are_zero() -> Outcome {
    let device = open()?;
    let handle = filled(&device, PAGES, 1)?;
    device.unpopulate(handle)?;
    for _ in 0..2 {
        let mut found = vec![1; (PAGES * PAGE) as usize];
        device.read(handle, 0, &mut found)?;
        check!(found.iter().all(|byte| *byte == 0));
        device.write(handle, 0, &found.iter().map(|_| 0xee).collect::<Vec<u8>>())?;
        device.unpopulate(handle)?;
    }
    Ok(())
}

fn swapping_out_copies_nothing() -> Outcome {
    let device = open()?;
    // Others use little shared memory here; so much more than that is ours.
    let slack = PAGES as i64 / 10;
    let pool = device.create(Create::new(PAGES * PAGE))?;
    device.populate(pool)?;
    let handle = device.create(on_shmem(PAGES))?;
    let populated = growth(|| {
        device.populate(handle)?;
        Ok(())
    })?;
    check!(
        (populated - PAGES as i64).abs() < slack,
        "{populated} pages"
    );
    let swapped = growth(|| {
        check_eq!(device.swapout(handle)?, PAGES);
        Ok(())
    })?;
    check!(swapped.abs() < slack, "{swapped} pages");
    let back = growth(|| {
        check_eq!(device.populate(handle)?, PAGES);
        Ok(())
    })?;
    check!(back.abs() < slack, "{back} pages");
    // An object on the pool does need a copy.
    let copied = growth(|| {
        check_eq!(device.swapout(pool)?, PAGES);
        Ok(())
    })?;
    check!((copied - PAGES as i64).abs() < slack, "{copied} pages");
    Ok(())
}

fn the_memory_is_given_back() -> Outcome {
    let device = open()?;
    let slack = PAGES as i64 / 10;
    let grown = growth(|| {
        let handle = filled(&device, PAGES, 1)?;
        check_eq!(device.unpopulate(handle)?, PAGES);
        let swapped = filled(&device, PAGES, 2)?;
        device.swapout(swapped)?;
        device.destroy(swapped)?;
        let full = filled(&device, PAGES, 3)?;
        device.destroy(full)?;
        Ok(())
    })?;
    check!(grown.abs() < slack, "{grown} pages");
    check_eq!(device.stats()?.pages_allocated, 0);
    Ok(())
}

fn limits_are_the_same() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(40)?;
    let before = device.stats()?;
    let handles = (0..4)
        .map(|seed| filled(&device, 20, seed))
        .collect::<Outcome<Vec<_>>>()?;
    let stats = device.stats()?;
    check_eq!(stats.pages_allocated, 40);
    check_eq!(stats.swapouts, before.swapouts + 2);
    check_eq!(stats.overcommits, before.overcommits);
    for (handle, seed) in handles.into_iter().zip(0..) {
        holds(&device, handle, seed)?;
    }
    Ok(())
}

fn backup_and_purge() -> Outcome {
    let device = open()?;
    let handle = filled(&device, PAGES, 7)?;
    for flags in [0, sys::REEVE_BO_BACKUP_WRITEBACK] {
        check_eq!(device.backup_with(handle, flags)?, PAGES);
        let info = device.info(handle)?;
        check!(info.is(REEVE_BO_BACKED_UP) && !info.is(REEVE_BO_POPULATED));
        check_eq!(device.stats()?.pages_allocated, 0);
        check_eq!(device.restore(handle)?, PAGES);
        holds(&device, handle, 7)?;
    }
    device.backup(handle)?;
    check_eq!(device.backup_with(handle, REEVE_BO_BACKUP_PURGE)?, 0);
    let mut found = vec![1; (PAGES * PAGE) as usize];
    device.read(handle, 0, &mut found)?;
    check!(found.iter().all(|byte| *byte == 0));
    check_eq!(device.backup_with(handle, REEVE_BO_BACKUP_PURGE)?, PAGES);
    check_eq!(device.stats()?.pages_allocated, 0);
    Ok(())
}

fn mappable_objects_can_be_so_too() -> Outcome {
    let device = open()?;
    let handle = device.create(on_shmem(5).kind(BoType::Sg).mappable())?;
    check_eq!(device.populate(handle)?, 5);
    check_eq!(device.stats()?.pages_allocated, 0);
    device.write(handle, 0, &Pattern::new(3).bytes(5 * PAGE as usize))?;
    refused(device.swapout(handle), Errno::EINVAL)?;
    check_eq!(device.backup(handle)?, 5);
    holds(&device, handle, 3)
}
