// SPDX-License-Identifier: GPL-2.0-or-later

//! The life of a buffer object: populated, unpopulated, destroyed.

use reeve_uapi::sys;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("life";
    populate_gives_pages,
    populate_twice,
    unpopulate_takes_pages,
    unpopulate_what_has_none,
    kernel_objects_live_likewise,
    destroy_populated,
    destroy_swapped,
    destroy_pinned,
    close_with_everything,
    many_times,
    many_objects,
);

/// Resident and charged pages, and whether it is POPULATED, SWAPPED, ON_LRU.
fn state(device: &Device, handle: Handle) -> Outcome<(u64, u64, [bool; 3])> {
    let info = device.info(handle)?;
    let flags = [
        sys::REEVE_BO_POPULATED,
        sys::REEVE_BO_SWAPPED,
        sys::REEVE_BO_ON_LRU,
    ];
    Ok((
        info.pages_resident,
        info.pages_charged,
        flags.map(|flag| info.is(flag)),
    ))
}

const EMPTY: (u64, u64, [bool; 3]) = (0, 0, [false, false, false]);
const FULL: (u64, u64, [bool; 3]) = (4, 4, [true, false, true]);
const SWAPPED: (u64, u64, [bool; 3]) = (0, 0, [false, true, false]);

fn populate_gives_pages() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(4 * PAGE))?;
    check_eq!(state(&device, handle)?, EMPTY);
    let before = device.stats()?;
    check_eq!(device.populate(handle)?, 4);
    check_eq!(state(&device, handle)?, FULL);
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated + 4);
    check_eq!(after.populates, before.populates + 1);
    Ok(())
}

fn populate_twice() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 4)?;
    unchanged(&device, || {
        for _ in 0..3 {
            check_eq!(device.populate(handle)?, 0);
        }
        Ok(())
    })
}

fn unpopulate_takes_pages() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 4)?;
    let before = device.stats()?;
    check_eq!(device.unpopulate(handle)?, 4);
    check_eq!(state(&device, handle)?, EMPTY);
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated - 4);
    check_eq!(after.unpopulates, before.unpopulates + 1);
    check_eq!(device.populate(handle)?, 4);
    check_eq!(state(&device, handle)?, FULL);
    Ok(())
}

fn unpopulate_what_has_none() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(4 * PAGE))?;
    unchanged(&device, || {
        check_eq!(device.unpopulate(handle)?, 0);
        Ok(())
    })?;
    // What is swapped out holds no pages either, and its content stays.
    device.write(handle, PAGE, &[5; 10])?;
    device.swapout(handle)?;
    unchanged(&device, || {
        check_eq!(device.unpopulate(handle)?, 0);
        Ok(())
    })?;
    let mut bytes = [0; 10];
    device.read(handle, PAGE, &mut bytes)?;
    check_eq!(bytes, [5; 10]);
    Ok(())
}

fn kernel_objects_live_likewise() -> Outcome {
    let device = open()?;
    let before = device.stats()?.pages_allocated;
    let handle = device.create(Create::new(4 * PAGE).kind(BoType::Kernel))?;
    check_eq!(device.populate(handle)?, 4);
    check_eq!(state(&device, handle)?, FULL);
    check_eq!(device.swapout(handle)?, 4);
    check_eq!(state(&device, handle)?, SWAPPED);
    check_eq!(device.populate(handle)?, 4);
    check_eq!(device.unpopulate(handle)?, 4);
    check_eq!(state(&device, handle)?, EMPTY);
    check_eq!(device.stats()?.pages_allocated, before);
    Ok(())
}

fn destroy_populated() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    let handle = populated(&device, 64)?;
    check_eq!(device.stats()?.pages_allocated, before.pages_allocated + 64);
    device.destroy(handle)?;
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated);
    check_eq!(after.buffer_objects, before.buffer_objects);
    Ok(())
}

fn destroy_swapped() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    let handle = populated(&device, 4)?;
    check_eq!(device.swapout(handle)?, 4);
    check_eq!(state(&device, handle)?, SWAPPED);
    device.destroy(handle)?;
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated);
    check_eq!(after.buffer_objects, before.buffer_objects);
    Ok(())
}

fn destroy_pinned() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    let handle = populated(&device, 4)?;
    device.pin(handle)?;
    device.destroy(handle)?;
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated);
    check_eq!(after.buffer_objects, before.buffer_objects);
    Ok(())
}

fn close_with_everything() -> Outcome {
    let watcher = open()?;
    let before = watcher.stats()?;
    let device = open()?;
    device.create(Create::new(PAGE))?;
    populated(&device, 300)?;
    let pinned = populated(&device, 5)?;
    device.pin(pinned)?;
    device.pin(pinned)?;
    let swapped = populated(&device, 7)?;
    device.swapout(swapped)?;
    let sg = device.create(Create::new(3 * PAGE).kind(BoType::Sg))?;
    device.populate(sg)?;
    check_eq!(
        watcher.stats()?.pages_allocated,
        before.pages_allocated + 305
    );
    check_eq!(watcher.stats()?.buffer_objects, before.buffer_objects + 5);
    drop(device);
    let after = watcher.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated);
    check_eq!(after.buffer_objects, before.buffer_objects);
    Ok(())
}

fn many_times() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(16 * PAGE))?;
    let before = device.stats()?;
    for _ in 0..200 {
        check_eq!(device.populate(handle)?, 16);
        check_eq!(device.unpopulate(handle)?, 16);
    }
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated);
    check_eq!(after.populates, before.populates + 200);
    check_eq!(after.unpopulates, before.unpopulates + 200);
    Ok(())
}

fn many_objects() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    let handles: Vec<Handle> = (0..500)
        .map(|_| populated(&device, 1))
        .collect::<Outcome<_>>()?;
    check_eq!(
        device.stats()?.pages_allocated,
        before.pages_allocated + 500
    );
    check_eq!(device.list()?.len(), 500);
    // Not in the order they were made.
    for step in 0..7 {
        for handle in handles.iter().skip(step).step_by(7) {
            device.destroy(*handle)?;
        }
    }
    check!(device.list()?.is_empty());
    check_eq!(device.stats()?.pages_allocated, before.pages_allocated);
    check_eq!(device.stats()?.buffer_objects, before.buffer_objects);
    Ok(())
}
