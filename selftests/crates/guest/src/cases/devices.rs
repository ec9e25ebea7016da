// SPDX-License-Identifier: GPL-2.0-or-later

//! Several devices: each has its objects, and objects are evicted from each in turn.

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::cgroup::Group;
use crate::fail_nth::Faults;
use crate::seen::open;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Setup;
use crate::test::Stop;

cases!("devices", Setup { devices: 3 };
    objects_know_theirs,
    others_do_not_exist,
    are_evicted_from_alternately,
    without_objects_are_passed_over,
    share_one_limit,
    failing_ones_do_not_hide_others,
    of_a_cgroup_what_was_used_least_recently_goes_first_on_all,
);

fn populated_on(device: &Device, index: u32, pages: u64) -> Outcome<Handle> {
    let handle = device.create(Create::new(pages * PAGE).on(index))?;
    device.populate(handle)?;
    Ok(handle)
}

/// Shrinks once; returns which of the objects went.
fn shrunk(device: &Device, handles: &[Handle]) -> Outcome<Vec<usize>> {
    let state = || -> Outcome<Vec<bool>> {
        handles
            .iter()
            .map(|handle| Ok(device.info(*handle)?.is(REEVE_BO_SWAPPED)))
            .collect()
    };
    let before = state()?;
    knobs::tt_shrink()?;
    let after = state()?;
    Ok((0..handles.len())
        .filter(|index| before[*index] != after[*index])
        .collect())
}

fn objects_know_theirs() -> Outcome {
    let device = open()?;
    check_eq!(device.version()?.devices, 3);
    for index in 0..3 {
        let handle = populated_on(&device, index, 2)?;
        check_eq!(device.info(handle)?.device, index);
    }
    check_eq!(device.stats()?.pages_allocated, 6);
    Ok(())
}

fn others_do_not_exist() -> Outcome {
    let device = open()?;
    for index in [3, 4, u32::MAX] {
        refused(device.create(Create::new(PAGE).on(index)), Errno::ENOENT)?;
    }
    Ok(())
}

/// For a cgroup's limit. Without one, devices take turns.
fn of_a_cgroup_what_was_used_least_recently_goes_first_on_all() -> Outcome {
    let group = Group::new("dmem")?;
    group.set_dmem("dmem.max", 40)?;
    let device = open()?;
    let inside = group.enter()?;
    let mut handles = Vec::new();
    for index in [0, 2, 2, 0] {
        handles.push(populated_on(&device, index, 10)?);
    }
    for gone in 1..=handles.len() {
        populated_on(&device, 1, 10)?;
        for (at, handle) in handles.iter().enumerate() {
            check_eq!(device.info(*handle)?.is(REEVE_BO_SWAPPED), at < gone);
        }
    }
    drop(inside);
    Ok(())
}

fn are_evicted_from_alternately() -> Outcome {
    let device = open()?;
    // Two objects each; handles[2 * i] and handles[2 * i + 1] are on device i.
    let mut handles = Vec::new();
    for index in 0..3 {
        for _ in 0..2 {
            handles.push(populated_on(&device, index, 1)?);
        }
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        order.extend(shrunk(&device, &handles)?);
    }
    check_eq!(order.len(), 6, "{order:?}");
    // Whichever device is first: the first round takes the older one of each, the second the other.
    let devices: Vec<usize> = order.iter().map(|object| object / 2).collect();
    check_eq!(devices[..3], devices[3..], "{order:?}");
    let mut round = devices[..3].to_vec();
    round.sort();
    check_eq!(round, [0, 1, 2], "{order:?}");
    let older: Vec<usize> = order.iter().map(|object| object % 2).collect();
    check_eq!(older, [0, 0, 0, 1, 1, 1], "{order:?}");
    check_eq!(knobs::tt_shrink()?, 0);
    Ok(())
}

fn without_objects_are_passed_over() -> Outcome {
    let device = open()?;
    let handles = [populated_on(&device, 2, 1)?, populated_on(&device, 2, 1)?];
    check_eq!(shrunk(&device, &handles)?, [0]);
    check_eq!(shrunk(&device, &handles)?, [1]);
    check_eq!(knobs::tt_shrink()?, 0);
    Ok(())
}

fn share_one_limit() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(20)?;
    let before = device.stats()?;
    for index in [0, 1, 2, 0, 1, 2] {
        populated_on(&device, index, 10)?;
    }
    let after = device.stats()?;
    check_eq!(after.pages_allocated, 20);
    check_eq!(after.swapouts, before.swapouts + 4);
    check_eq!(after.overcommits, before.overcommits);
    Ok(())
}

/// When one device can't swap out, the next one is asked, and its pages are what the file shows.
fn failing_ones_do_not_hide_others() -> Outcome {
    let mut faults = Faults::new()?;
    let device = open()?;
    let handles = [populated_on(&device, 0, 4)?, populated_on(&device, 1, 4)?];
    // The one that was evicted from is asked last.
    let mut last = match shrunk(&device, &handles)?[..] {
        [one] => one,
        ref other => return Err(Stop::failed(format!("{other:?} went"))),
    };
    let mut passed_over = 0;
    let prepare = || {
        for handle in handles {
            device.populate(handle)?;
        }
        Ok(())
    };
    faults.each(
        prepare,
        || knobs::debugfs("tt_shrink"),
        |(), result, _| {
            let mut gone = Vec::new();
            for (index, handle) in handles.into_iter().enumerate() {
                if device.info(handle)?.is(REEVE_BO_SWAPPED) {
                    gone.push(index);
                }
            }
            match (&result, &gone[..]) {
                (Ok(text), &[one]) => {
                    check_eq!(text, "4\n");
                    passed_over += u32::from(one == last);
                    last = one;
                }
                // The file could not be read, before it acted or after.
                (Err(_), []) => {}
                (Err(_), &[one]) => last = one,
                _ => return Err(Stop::failed(format!("{result:?}, {gone:?} went"))),
            }
            Ok(())
        },
    )?;
    check!(passed_over > 0, "none of them ever failed");
    Ok(())
}
