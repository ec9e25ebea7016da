// SPDX-License-Identifier: GPL-2.0-or-later

//! Content goes to a backup, all of it or a part, and comes back.

use std::fs;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::sys::REEVE_BO_BACKED_UP;
use reeve_uapi::sys::REEVE_BO_BACKUP_PURGE;
use reeve_uapi::sys::REEVE_BO_BACKUP_WRITEBACK;
use reeve_uapi::sys::REEVE_BO_ON_LRU;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::content::filled;
use crate::content::holds;
use crate::fail_nth::Faults;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("backup";
    content_comes_back,
    gives_the_pages_back_to_the_counter,
    destroying_what_is_backed_up,
    counts_what_it_did,
    populate_restores_too,
    reading_and_writing_restore,
    restore_is_for_backed_up_objects,
    what_holds_no_pages,
    unpopulate_leaves_the_backup,
    purge_drops_pages,
    purge_drops_the_backup,
    bad_flags,
    pinned_objects_stay,
    external_objects_have_none,
    external_objects_leave_no_file_behind,
    mappable_objects_have_one,
    mappable_is_for_external_objects,
    every_kind_of_pages,
    writeback_keeps_the_content,
    a_partial_backup_can_go_on,
    a_partial_backup_can_be_restored,
    a_partial_backup_can_be_destroyed,
    a_partial_backup_goes_on_under_pressure,
);

fn of_pages(pages: u64) -> Create {
    Create::new(pages * PAGE)
}

/// Whether it is POPULATED, BACKED_UP, ON_LRU, and its resident and charged pages.
fn state(device: &Device, handle: Handle) -> Outcome<([bool; 3], u64, u64)> {
    let info = device.info(handle)?;
    check!(!info.is(REEVE_BO_SWAPPED));
    let flags = [REEVE_BO_POPULATED, REEVE_BO_BACKED_UP, REEVE_BO_ON_LRU];
    Ok((
        flags.map(|flag| info.is(flag)),
        info.pages_resident,
        info.pages_charged,
    ))
}

const BACKED_UP: ([bool; 3], u64, u64) = ([false, true, false], 0, 0);

fn content_comes_back() -> Outcome {
    let device = open()?;
    for (pages, seed) in [(1, 1), (2, 2), (127, 3), (512, 4), (512 + 64 + 3, 5)] {
        let handle = filled(&device, of_pages(pages), seed)?;
        for _ in 0..2 {
            check_eq!(device.backup(handle)?, pages);
            check_eq!(state(&device, handle)?, BACKED_UP);
            check_eq!(device.restore(handle)?, pages);
            check_eq!(state(&device, handle)?, ([true, false, true], pages, pages));
            holds(&device, handle, seed)?;
        }
    }
    Ok(())
}

/// C TTM forgets this: its counter only grows.
fn gives_the_pages_back_to_the_counter() -> Outcome {
    let device = open()?;
    check_eq!(device.stats()?.pages_allocated, 0);
    let handle = device.create(of_pages(512))?;
    device.populate(handle)?;
    check_eq!(device.stats()?.pages_allocated, 512);
    check_eq!(device.backup(handle)?, 512);
    check_eq!(device.stats()?.pages_allocated, 0);
    device.destroy(handle)?;
    check_eq!(device.stats()?.pages_allocated, 0);
    Ok(())
}

fn destroying_what_is_backed_up() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    for dma32 in [false, true] {
        let create = Create {
            dma32,
            ..of_pages(70)
        };
        let handle = filled(&device, create, 1)?;
        device.backup(handle)?;
        device.destroy(handle)?;
        let after = device.stats()?;
        check_eq!(after.pages_allocated, before.pages_allocated);
        check_eq!(after.dma32_pages_allocated, 0);
        check_eq!(after.buffer_objects, before.buffer_objects);
    }
    Ok(())
}

fn counts_what_it_did() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(10), 1)?;
    let before = device.stats()?;
    device.backup(handle)?;
    let out = device.stats()?;
    let expected = sys::reeve_stats {
        pages_allocated: before.pages_allocated - 10,
        backups: before.backups + 1,
        backed_up_pages: before.backed_up_pages + 10,
        ..before
    };
    check_eq!(out, expected);
    device.restore(handle)?;
    let back = device.stats()?;
    let expected = sys::reeve_stats {
        pages_allocated: before.pages_allocated,
        populates: before.populates + 1,
        restores: before.restores + 1,
        pool_pages: back.pool_pages,
        ..expected
    };
    check_eq!(back, expected);
    Ok(())
}

fn populate_restores_too() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(9), 2)?;
    device.backup(handle)?;
    check_eq!(device.populate(handle)?, 9);
    check_eq!(device.info(handle)?.pages_charged, 9);
    unchanged(&device, || {
        check_eq!(device.restore(handle)?, 0);
        holds(&device, handle, 2)
    })
}

fn reading_and_writing_restore() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(4), 3)?;
    device.backup(handle)?;
    holds(&device, handle, 3)?;
    device.backup(handle)?;
    device.write(handle, PAGE + 1, &[0xaa; 3])?;
    device.backup(handle)?;
    let mut expected = Pattern::new(3).bytes(4 * PAGE as usize);
    expected[PAGE as usize + 1..][..3].fill(0xaa);
    let mut found = vec![0; expected.len()];
    device.read(handle, 0, &mut found)?;
    check!(found == expected);
    Ok(())
}

fn restore_is_for_backed_up_objects() -> Outcome {
    let device = open()?;
    let empty = device.create(of_pages(3))?;
    let full = filled(&device, of_pages(3), 1)?;
    let swapped = filled(&device, of_pages(3), 2)?;
    device.swapout(swapped)?;
    unchanged(&device, || {
        for handle in [empty, full, swapped] {
            check_eq!(device.restore(handle)?, 0);
        }
        Ok(())
    })
}

fn what_holds_no_pages() -> Outcome {
    let device = open()?;
    let empty = device.create(of_pages(3))?;
    let swapped = filled(&device, of_pages(3), 1)?;
    device.swapout(swapped)?;
    let backed_up = filled(&device, of_pages(3), 2)?;
    device.backup(backed_up)?;
    unchanged(&device, || {
        for handle in [empty, swapped, backed_up] {
            check_eq!(device.backup(handle)?, 0);
        }
        check_eq!(device.swapout(backed_up)?, 0);
        check_eq!(knobs::tt_shrink()?, 0);
        Ok(())
    })?;
    holds(&device, swapped, 1)?;
    holds(&device, backed_up, 2)
}

fn unpopulate_leaves_the_backup() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(3), 1)?;
    device.backup(handle)?;
    unchanged(&device, || {
        check_eq!(device.unpopulate(handle)?, 0);
        Ok(())
    })?;
    holds(&device, handle, 1)
}

fn is_zero(device: &Device, handle: Handle) -> Outcome {
    let mut found = vec![1; device.info(handle)?.size as usize];
    device.read(handle, 0, &mut found)?;
    check!(found.iter().all(|byte| *byte == 0));
    Ok(())
}

fn purge_drops_pages() -> Outcome {
    let device = open()?;
    knobs::drain_pool()?;
    let handle = filled(&device, of_pages(37), 1)?;
    check_eq!(device.backup_with(handle, REEVE_BO_BACKUP_PURGE)?, 37);
    check_eq!(state(&device, handle)?, ([false; 3], 0, 0));
    let stats = device.stats()?;
    // To the system, not to the pool.
    check_eq!((stats.pages_allocated, stats.pool_pages), (0, 0));
    is_zero(&device, handle)
}

fn purge_drops_the_backup() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(37), 1)?;
    device.backup(handle)?;
    check_eq!(device.backup_with(handle, REEVE_BO_BACKUP_PURGE)?, 0);
    check_eq!(state(&device, handle)?, ([false; 3], 0, 0));
    is_zero(&device, handle)?;
    // What is swapped out is no backup.
    let swapped = filled(&device, of_pages(3), 2)?;
    device.swapout(swapped)?;
    check_eq!(device.backup_with(swapped, REEVE_BO_BACKUP_PURGE)?, 0);
    holds(&device, swapped, 2)
}

fn bad_flags() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(3), 1)?;
    unchanged(&device, || {
        for flags in [
            4,
            1 << 31,
            REEVE_BO_BACKUP_PURGE | REEVE_BO_BACKUP_WRITEBACK,
        ] {
            refused(device.backup_with(handle, flags), Errno::EINVAL)
                .map_err(|stop| stop.during(format!("{flags:#x}")))?;
        }
        Ok(())
    })
}

fn pinned_objects_stay() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(3), 1)?;
    device.pin(handle)?;
    unchanged(&device, || {
        refused(device.backup(handle), Errno::EBUSY)?;
        refused(
            device.backup_with(handle, REEVE_BO_BACKUP_PURGE),
            Errno::EBUSY,
        )
    })?;
    device.unpin(handle)?;
    check_eq!(device.backup(handle)?, 3);
    // It has no pages to pin.
    refused(device.pin(handle), Errno::EINVAL)
}

fn external_objects_have_none() -> Outcome {
    let device = open()?;
    let handle = device.create(of_pages(3).kind(BoType::Sg))?;
    for _ in 0..2 {
        unchanged(&device, || {
            refused(device.backup(handle), Errno::EINVAL)?;
            refused(device.restore(handle), Errno::EINVAL)?;
            refused(
                device.backup_with(handle, REEVE_BO_BACKUP_PURGE),
                Errno::EINVAL,
            )
        })?;
        device.populate(handle)?;
    }
    Ok(())
}

/// Files that the system has in memory, open or not.
fn inodes() -> Outcome<i64> {
    let text = fs::read_to_string("/proc/sys/fs/inode-nr")?;
    let count = text.split_whitespace().next().and_then(|n| n.parse().ok());
    count.ok_or_else(|| Stop::failed(format!("inode-nr says {text:?}")))
}

/// C TTM makes the file first and then finds that it may not.
fn external_objects_leave_no_file_behind() -> Outcome {
    let device = open()?;
    let handle = device.create(of_pages(3).kind(BoType::Sg))?;
    device.populate(handle)?;
    let before = inodes()?;
    for _ in 0..1000 {
        refused(device.backup(handle), Errno::EINVAL)?;
    }
    let grown = inodes()? - before;
    // Others come and go, but not a thousand.
    check!(grown < 500, "{grown} more inodes");
    Ok(())
}

fn mappable_objects_have_one() -> Outcome {
    let device = open()?;
    let create = of_pages(37).kind(BoType::Sg).mappable();
    let handle = device.create(create)?;
    check_eq!(device.populate(handle)?, 37);
    let info = device.info(handle)?;
    check!(info.is(sys::REEVE_BO_EXTERNAL) && info.is(sys::REEVE_BO_EXTERNAL_MAPPABLE));
    check!(!info.is(REEVE_BO_ON_LRU));
    // It has pages, which are not counted.
    check_eq!((info.pages_resident, info.pages_charged), (37, 0));
    check_eq!(device.stats()?.pages_allocated, 0);
    device.write(handle, 0, &Pattern::new(6).bytes(37 * PAGE as usize))?;
    refused(device.swapout(handle), Errno::EINVAL)?;
    check_eq!(knobs::tt_shrink()?, 0);
    check_eq!(device.backup(handle)?, 37);
    check_eq!(device.info(handle)?.pages_resident, 0);
    holds(&device, handle, 6)?;
    check_eq!(device.unpopulate(handle)?, 37);
    check_eq!(device.stats()?.pages_allocated, 0);
    Ok(())
}

fn mappable_is_for_external_objects() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        for kind in [BoType::Device, BoType::Kernel] {
            refused(
                device.create(of_pages(1).kind(kind).mappable()),
                Errno::EINVAL,
            )?;
        }
        Ok(())
    })
}

fn every_kind_of_pages() -> Outcome {
    let device = open()?;
    for (mode, seed) in Caching::ALL.into_iter().zip(1..) {
        for dma32 in [false, true] {
            let create = Create {
                dma32,
                ..of_pages(512 + 37).caching(mode)
            };
            let handle = filled(&device, create, seed)?;
            check_eq!(device.backup(handle)?, 512 + 37);
            check_eq!(device.stats()?.dma32_pages_allocated, 0);
            holds(&device, handle, seed)?;
            device.destroy(handle)?;
        }
    }
    Ok(())
}

fn writeback_keeps_the_content() -> Outcome {
    let device = open()?;
    let handle = filled(&device, of_pages(100), 1)?;
    check_eq!(device.backup_with(handle, REEVE_BO_BACKUP_WRITEBACK)?, 100);
    holds(&device, handle, 1)
}

/// While it is there, shmem gives single pages only, also where large folios are wanted: that a large one
/// cannot be allocated is no failure, for there are smaller ones.
struct SinglePages(Option<String>);

impl SinglePages {
    const KNOB: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

    /// Where the kernel has no large folios, there is nothing to do.
    fn new() -> Self {
        let modes = fs::read_to_string(Self::KNOB).unwrap_or_default();
        let before = modes.split(['[', ']']).nth(1).map(str::to_owned);
        if before.is_some() {
            let _ = fs::write(Self::KNOB, "deny");
        }
        Self(before)
    }
}

impl Drop for SinglePages {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(Self::KNOB, before);
        }
    }
}

/// Backs up while ever fewer allocations fail, until it ends at its end; hands each object that is
/// partly backed up to `then`, with the pages that were moved. All pages are in one block at first.
fn partial_backups(then: impl Fn(&Device, Handle, u64) -> Outcome) -> Outcome {
    let mut faults = Faults::new()?;
    let _one_by_one = SinglePages::new();
    let device = open()?;
    let mut partial = 0;
    for interval in (2..1000).step_by(7) {
        let during = |stop: Stop| stop.during(format!("every {interval}th fails"));
        let handle = filled(&device, of_pages(PAGES), 8)?;
        let result = faults.every(interval, || device.backup(handle))?;
        let info = device.info(handle)?;
        check_eq!(device.stats()?.pages_allocated, info.pages_charged);
        check_eq!(info.pages_resident, info.pages_charged);
        match result {
            Ok(PAGES) => {
                check!(partial > 3, "only {partial} backups ended half-way");
                return holds(&device, handle, 8);
            }
            Ok(moved) => {
                partial += 1;
                check!(moved > 0);
                check_eq!(
                    state(&device, handle)?,
                    ([false, true, true], PAGES - moved, PAGES - moved)
                );
                then(&device, handle, moved).map_err(during)?;
            }
            Err(err) => {
                check_eq!(errno(&err), Errno::ENOMEM);
                check_eq!(state(&device, handle)?, ([true, false, true], PAGES, PAGES));
            }
        }
        if device.info(handle).is_ok() {
            holds(&device, handle, 8).map_err(during)?;
            device.destroy(handle)?;
        }
        check_eq!(device.stats()?.pages_allocated, 0);
    }
    Err(Stop::failed("the backup never gets through"))
}

/// A block, so that it is split.
const PAGES: u64 = 64;

fn a_partial_backup_can_go_on() -> Outcome {
    partial_backups(|device, handle, moved| {
        check_eq!(device.backup(handle)?, PAGES - moved);
        check_eq!(state(device, handle)?, BACKED_UP);
        Ok(())
    })
}

fn a_partial_backup_can_be_restored() -> Outcome {
    partial_backups(|device, handle, moved| {
        let before = device.stats()?;
        check_eq!(device.restore(handle)?, moved);
        let after = device.stats()?;
        check_eq!(after.populates, before.populates);
        check_eq!(after.restores, before.restores + 1);
        check_eq!(state(device, handle)?, ([true, false, true], PAGES, PAGES));
        holds(device, handle, 8)?;
        device.unpopulate(handle)?;
        device.write(handle, 0, &Pattern::new(8).bytes((PAGES * PAGE) as usize))?;
        check_eq!(device.backup(handle)?, PAGES);
        Ok(())
    })
}

fn a_partial_backup_can_be_destroyed() -> Outcome {
    partial_backups(|device, handle, _| Ok(device.destroy(handle)?))
}

fn a_partial_backup_goes_on_under_pressure() -> Outcome {
    partial_backups(|device, handle, moved| {
        let _limit = Limit::pages(10)?;
        let other = device.create(of_pages(10))?;
        device.populate(other)?;
        check_eq!(state(device, handle)?, BACKED_UP, "{moved}");
        device.destroy(other)?;
        Ok(())
    })
}
