// SPDX-License-Identifier: GPL-2.0-or-later

//! The limit on what the objects of one open file hold.

use std::time::Duration;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::memory::ioctl;
use crate::memory::Place;
use crate::memory::Region;
use crate::process::Child;
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

cases!("file_limit";
    there_is_none_at_first,
    says_what_is_charged,
    own_objects_go_first_and_others_stay,
    content_survives,
    the_parameter_is_for_every_file,
    the_lower_limit_holds,
    with_no_object_left_it_goes_on,
    nothing_is_evicted_in_vain,
    hard_refuses_and_changes_nothing,
    pages_of_others_do_not_count,
    mapped_objects_make_room_too,
    lowering_starts_reclaim,
    setting_what_is_kept_starts_none,
    lowering_the_parameter_starts_reclaim,
    lowering_with_all_pinned_returns,
    belongs_to_the_open_file,
    is_shown,
    its_own_use_decides,
    older_objects_of_others_stay,
    threads_stay_within_it,
    bad_arguments,
    a_result_that_cannot_be_written_sets_nothing,
);

const SOON: Duration = Duration::from_secs(20);

fn swapped(device: &Device, handle: Handle) -> Outcome<bool> {
    Ok(device.info(handle)?.is(REEVE_BO_SWAPPED))
}

fn there_is_none_at_first() -> Outcome {
    let device = open()?;
    let limit = device.file_limit()?;
    check_eq!(limit, sys::reeve_file_limit::default());
    populated(&device, 1000)?;
    check_eq!(device.file_limit()?.limit, 0);
    check_eq!(device.file_limit()?.overcommits, 0);
    Ok(())
}

fn says_what_is_charged() -> Outcome {
    let (device, other) = (open()?, open()?);
    let first = populated(&device, 10)?;
    let second = populated(&device, 5)?;
    populated(&other, 100)?;
    check_eq!(device.file_limit()?.pages_charged, 15);
    device.swapout(first)?;
    check_eq!(device.file_limit()?.pages_charged, 5);
    device.backup(second)?;
    check_eq!(device.file_limit()?.pages_charged, 0);
    device.restore(second)?;
    device.populate(first)?;
    check_eq!(device.file_limit()?.pages_charged, 15);
    device.unpopulate(first)?;
    device.destroy(second)?;
    check_eq!(device.file_limit()?.pages_charged, 0);
    check_eq!(other.file_limit()?.pages_charged, 100);
    Ok(())
}

fn own_objects_go_first_and_others_stay() -> Outcome {
    let (device, other) = (open()?, open()?);
    let foreign = populated(&other, 50)?;
    check_eq!(device.set_file_limit(30)?.limit, 30);
    let first = populated(&device, 10)?;
    let second = populated(&device, 10)?;
    let third = populated(&device, 10)?;
    check!(!swapped(&device, first)?);
    let before = device.stats()?;
    populated(&device, 10)?;
    check!(swapped(&device, first)?);
    check!(!swapped(&device, second)? && !swapped(&device, third)?);
    check!(!swapped(&other, foreign)?);
    let after = device.stats()?;
    check_eq!(after.swapouts, before.swapouts + 1);
    check_eq!(after.overcommits, before.overcommits);
    check_eq!(after.file_overcommits, before.file_overcommits);
    check_eq!(device.file_limit()?.pages_charged, 30);
    Ok(())
}

fn content_survives() -> Outcome {
    let device = open()?;
    device.set_file_limit(20)?;
    let mut handles = Vec::new();
    for seed in 0..5 {
        let handle = device.create(Create::new(10 * PAGE))?;
        let mut bytes = vec![0; 10 * PAGE as usize];
        Pattern::new(seed).fill(0, &mut bytes);
        device.write(handle, 0, &bytes)?;
        handles.push((seed, handle, bytes));
    }
    for (seed, handle, expected) in &handles {
        let mut found = vec![0; expected.len()];
        device.read(*handle, 0, &mut found)?;
        check!(found == *expected, "object {seed}");
        check!(device.file_limit()?.pages_charged <= 20);
    }
    Ok(())
}

fn the_parameter_is_for_every_file() -> Outcome {
    let (device, other) = (open()?, open()?);
    knobs::set_parameter("file_pages_limit", "15")?;
    for device in [&device, &other] {
        check_eq!(device.file_limit()?.limit, 15);
        let first = populated(device, 10)?;
        populated(device, 10)?;
        check!(swapped(device, first)?);
        check_eq!(device.file_limit()?.pages_charged, 10);
    }
    check_eq!(open()?.file_limit()?.limit, 15);
    check_eq!(device.stats()?.pages_allocated, 20);
    Ok(())
}

fn the_lower_limit_holds() -> Outcome {
    let device = open()?;
    knobs::set_parameter("file_pages_limit", "15")?;
    check_eq!(device.set_file_limit(40)?.limit, 15);
    let first = populated(&device, 10)?;
    populated(&device, 10)?;
    check!(swapped(&device, first)?);
    check_eq!(device.set_file_limit(12)?.limit, 12);
    check_eq!(device.set_file_limit(1 << 40)?.limit, 15);
    knobs::set_parameter("file_pages_limit", "0")?;
    check_eq!(device.file_limit()?.limit, 1 << 40);
    check_eq!(device.set_file_limit(0)?.limit, 0);
    Ok(())
}

fn with_no_object_left_it_goes_on() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    device.set_file_limit(10)?;
    let large = populated(&device, 20)?;
    check_eq!(device.file_limit()?.overcommits, 1);
    let again = populated_and_pinned(&device, large)?;
    let small = populated(&device, 5)?;
    let again = again + populated_and_pinned(&device, small)?;
    let limit = device.file_limit()?;
    check_eq!((limit.overcommits, limit.pages_charged), (2 + again, 25));
    let after = device.stats()?;
    check_eq!(
        after.file_overcommits,
        before.file_overcommits + limit.overcommits
    );
    check_eq!(after.overcommits, before.overcommits);
    Ok(())
}

/// Pins an object that was populated over the limit, which may be swapped out until then. Returns how
/// often it had to be populated again.
fn populated_and_pinned(device: &Device, handle: Handle) -> Outcome<u64> {
    let mut again = 0;
    loop {
        match device.pin(handle) {
            Ok(()) => return Ok(again),
            Err(err) => check_eq!(err.raw_os_error(), Some(Errno::EINVAL as i32)),
        }
        device.populate(handle)?;
        again += 1;
    }
}

/// With what is pinned it could not be kept, whatever else was evicted.
fn nothing_is_evicted_in_vain() -> Outcome {
    let device = open()?;
    device.set_file_limit(30)?;
    let idle = populated(&device, 10)?;
    let pinned = populated(&device, 15)?;
    device.pin(pinned)?;
    let before = device.stats()?;
    let large = populated(&device, 16)?;
    check!(!swapped(&device, idle)?);
    check_eq!(device.stats()?.swapouts, before.swapouts);
    check_eq!(device.file_limit()?.overcommits, 1);

    device.unpopulate(large)?;
    knobs::set_parameter("hard_limit", "1")?;
    refused(device.populate(large), Errno::ENOMEM)?;
    check!(!swapped(&device, idle)?);
    knobs::set_parameter("hard_limit", "0")?;

    // For less it can be kept.
    populated(&device, 12)?;
    check!(swapped(&device, idle)?);
    check!(device.file_limit()?.pages_charged <= 30);
    device.unpin(pinned)?;
    Ok(())
}

fn hard_refuses_and_changes_nothing() -> Outcome {
    let (device, other) = (open()?, open()?);
    knobs::set_parameter("hard_limit", "1")?;
    let foreign = populated(&other, 30)?;
    device.set_file_limit(30)?;
    let pinned = populated(&device, 20)?;
    let large = device.create(Create::new(31 * PAGE))?;
    unchanged(&device, || refused(device.populate(large), Errno::ENOMEM))?;
    device.pin(pinned)?;
    let second = device.create(Create::new(20 * PAGE))?;
    unchanged(&device, || {
        refused(device.populate(second), Errno::ENOMEM)?;
        refused(device.write(second, 0, &[1]), Errno::ENOMEM)
    })?;
    check_eq!(device.file_limit()?.pages_charged, 20);
    check!(!swapped(&other, foreign)?);
    device.unpin(pinned)?;
    device.unpopulate(pinned)?;
    check_eq!(device.populate(second)?, 20);
    check_eq!(device.file_limit()?.overcommits, 0);
    Ok(())
}

fn pages_of_others_do_not_count() -> Outcome {
    let device = open()?;
    knobs::set_parameter("hard_limit", "1")?;
    device.set_file_limit(1)?;
    let handle = device.create(Create::new(50 * PAGE).kind(BoType::Sg))?;
    device.populate(handle)?;
    check!(device.info(handle)?.is(REEVE_BO_POPULATED));
    check_eq!(device.file_limit()?.pages_charged, 0);
    Ok(())
}

fn mapped_objects_make_room_too() -> Outcome {
    let device = open()?;
    device.set_file_limit(10)?;
    let first = device.create(Create::new(10 * PAGE))?;
    let second = device.create(Create::new(10 * PAGE).shmem())?;
    let (one, two) = (device.map(first)?, device.map(second)?);
    one.write(8, b"of first");
    two.write(16, b"ofsecond");
    check!(swapped(&device, first)?);
    let mut bytes = [0; 8];
    one.read(8, &mut bytes);
    check_eq!(&bytes, b"of first");
    check!(swapped(&device, second)?);
    two.read(16, &mut bytes);
    check_eq!(&bytes, b"ofsecond");
    check_eq!(device.file_limit()?.pages_charged, 10);
    check_eq!(device.file_limit()?.overcommits, 0);
    Ok(())
}

fn lowering_starts_reclaim() -> Outcome {
    let (device, other) = (open()?, open()?);
    populated(&other, 30)?;
    let first = populated(&device, 10)?;
    let second = populated(&device, 10)?;
    check_eq!(device.set_file_limit(10)?.limit, 10);
    let gone = until(SOON, || Ok(device.file_limit()?.pages_charged == 10))?;
    check!(gone, "{:?}", device.file_limit()?);
    check!(swapped(&device, first)? && !swapped(&device, second)?);
    check_eq!(other.file_limit()?.pages_charged, 30);
    check_eq!(device.file_limit()?.overcommits, 0);
    Ok(())
}

/// What a populate was allowed after the limit was set stays: no late look at the limit undoes it.
fn setting_what_is_kept_starts_none() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    for limit in 1..=10 {
        match limit % 2 {
            0 => drop(device.set_file_limit(limit)?),
            _ => knobs::set_parameter("file_pages_limit", &limit.to_string())?,
        }
        let large = populated(&device, 20)?;
        let undone = until(Duration::from_millis(30), || {
            Ok(device.stats()?.swapouts > before.swapouts)
        })?;
        check!(!undone, "with {limit} pages");
        device.destroy(large)?;
    }
    Ok(())
}

fn lowering_the_parameter_starts_reclaim() -> Outcome {
    let (device, other) = (open()?, open()?);
    for device in [&device, &other] {
        populated(device, 10)?;
        populated(device, 10)?;
    }
    knobs::set_parameter("file_pages_limit", "15")?;
    let gone = until(SOON, || Ok(device.stats()?.pages_allocated == 20))?;
    check!(gone, "{:?}", device.stats()?);
    check_eq!(device.file_limit()?.pages_charged, 10);
    check_eq!(other.file_limit()?.pages_charged, 10);
    Ok(())
}

fn lowering_with_all_pinned_returns() -> Outcome {
    let (device, other) = (open()?, open()?);
    let pinned = populated(&device, 10)?;
    device.pin(pinned)?;
    populated(&other, 10)?;
    check_eq!(device.set_file_limit(1)?.limit, 1);
    // No other client waits for it, and their limits are enforced.
    check_eq!(other.set_file_limit(1)?.limit, 1);
    let gone = until(SOON, || Ok(other.file_limit()?.pages_charged == 0))?;
    check!(gone);
    check_eq!(device.file_limit()?.pages_charged, 10);
    Ok(())
}

fn belongs_to_the_open_file() -> Outcome {
    let device = open()?;
    device.set_file_limit(12)?;
    // A child shares the file, and what it populates is the file's.
    Child::run(|_| {
        check_eq!(device.file_limit()?.limit, 12);
        populated(&device, 10)?;
        populated(&device, 10)?;
        Ok(())
    })?
    .join()?;
    check_eq!(device.file_limit()?.pages_charged, 10);
    check_eq!(open()?.file_limit()?.limit, 0);
    Ok(())
}

fn is_shown() -> Outcome {
    let device = open()?;
    let shown = |name: &str| -> Outcome<Option<String>> {
        let pairs = knobs::accounting()?;
        let found = pairs.into_iter().find(|(known, _)| known == name);
        Ok(found.map(|(_, value)| value))
    };
    let before = device.stats()?.file_overcommits;
    check_eq!(shown("file_pages_limit")?.as_deref(), Some("0"));
    let files = shown("open_files")?;
    let more = open()?;
    check!(shown("open_files")? != files);
    drop(more);
    check_eq!(shown("open_files")?, files);
    knobs::set_parameter("file_pages_limit", "7")?;
    check_eq!(shown("file_pages_limit")?.as_deref(), Some("7"));
    populated(&device, 8)?;
    check_eq!(shown("file_overcommits")?, Some((before + 1).to_string()));
    check_eq!(device.stats()?.file_overcommits, before + 1);
    Ok(())
}

/// What goes first is what the file used least recently, on whatever device it is; pinned objects are
/// passed over, and are the most recently used when they are unpinned.
fn its_own_use_decides() -> Outcome {
    let (device, other) = (open()?, open()?);
    let handles: Vec<Handle> = (0..4)
        .map(|_| populated(&device, 10))
        .collect::<Outcome<_>>()?;
    let foreign = populated(&other, 10)?;
    device.read(handles[0], 0, &mut [0; 8])?;
    device.pin(handles[1])?;
    device.populate(handles[2])?;
    other.populate(foreign)?;
    device.unpin(handles[1])?;
    device.set_file_limit(40)?;
    // By use: the last, the first, the third, the second.
    for expected in [3, 0, 2, 1] {
        populated(&device, 10)?;
        check!(swapped(&device, handles[expected])?, "{expected}");
        let left = handles.iter().map(|handle| swapped(&device, *handle));
        let left = left.collect::<Outcome<Vec<bool>>>()?;
        let order = [3, 0, 2, 1];
        let gone = 1 + order
            .iter()
            .position(|index| *index == expected)
            .unwrap_or(0);
        check_eq!(left.iter().filter(|swapped| **swapped).count(), gone);
    }
    check!(!swapped(&other, foreign)?);
    Ok(())
}

/// However many there are.
fn older_objects_of_others_stay() -> Outcome {
    let (device, other) = (open()?, open()?);
    for _ in 0..3000 {
        populated(&other, 1)?;
    }
    device.set_file_limit(10)?;
    for _ in 0..20 {
        populated(&device, 10)?;
    }
    check_eq!(other.file_limit()?.pages_charged, 3000);
    check_eq!(device.file_limit()?.pages_charged, 10);
    check_eq!(device.file_limit()?.overcommits, 0);
    Ok(())
}

/// While several populate at the same time, each counts before it takes.
fn threads_stay_within_it() -> Outcome {
    let device = open()?;
    knobs::set_parameter("hard_limit", "1")?;
    device.set_file_limit(32)?;
    let results: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    for _ in 0..50 {
                        let handle = device.create(Create::new(8 * PAGE))?;
                        match device.populate(handle) {
                            Ok(pages) => check_eq!(pages, 8),
                            // All others were busy.
                            Err(err) => check_eq!(err.raw_os_error(), Some(Errno::ENOMEM as i32)),
                        }
                        check!(device.stats()?.pages_allocated <= 32 + 3 * 8);
                        device.destroy(handle)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| panic!("a thread panicked"))
            })
            .collect()
    });
    results.into_iter().collect::<Outcome>()?;
    check_eq!(device.file_limit()?.pages_charged, 0);
    Ok(())
}

fn bad_arguments() -> Outcome {
    let device = open()?;
    device.set_file_limit(9)?;
    let good = sys::reeve_file_limit::default();
    for bad in [
        sys::reeve_file_limit { flags: 2, ..good },
        sys::reeve_file_limit {
            flags: 1 << 31 | sys::REEVE_FILE_LIMIT_SET,
            limit: 5,
            ..good
        },
        sys::reeve_file_limit {
            flags: sys::REEVE_FILE_LIMIT_SET,
            pad: 1,
            ..good
        },
        sys::reeve_file_limit {
            reserved: [1, 0],
            ..good
        },
        sys::reeve_file_limit {
            reserved: [0, 1 << 63],
            ..good
        },
    ] {
        refused(device.raw().file_limit(&mut { bad }), Errno::EINVAL)?;
        check_eq!(device.file_limit()?.limit, 9);
    }
    // The limit is only read when it is to be set.
    let mut look = sys::reeve_file_limit { limit: 77, ..good };
    device.raw().file_limit(&mut look)?;
    check_eq!(look.limit, 9);
    check_eq!(device.set_file_limit(u64::MAX)?.limit, u64::MAX);
    Ok(())
}

fn a_result_that_cannot_be_written_sets_nothing() -> Outcome {
    // What ioctl() calls it, as published in rust/uapi/layout.rs.
    const FILE_LIMIT: u32 = 0xc030_e71e;
    let device = open()?;
    populated(&device, 20)?;
    let mut region = Region::new(1)?;
    // The flags, and behind them and the padding the limit.
    region.bytes()[..4].copy_from_slice(&sys::REEVE_FILE_LIMIT_SET.to_le_bytes());
    region.bytes()[8..16].copy_from_slice(&5u64.to_le_bytes());
    let memory = region.read_only()?;
    unchanged(&device, || {
        refused(
            ioctl(&device, FILE_LIMIT, Place::ReadOnly(&memory)),
            Errno::EFAULT,
        )
    })?;
    check_eq!(device.file_limit()?.limit, 0);
    Ok(())
}
