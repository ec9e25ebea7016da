// SPDX-License-Identifier: GPL-2.0-or-later

//! Pins keep an object in memory.

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_ON_LRU;
use reeve_uapi::BoCall;
use reeve_uapi::Create;

use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("pins";
    need_pages,
    nest,
    unpin_what_is_not_pinned,
    keep_from_unpopulate_and_swapout,
    take_off_the_lru,
    leave_content_usable,
    swapped_objects_cannot_be_pinned,
    return_no_pages,
);

fn need_pages() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGE))?;
    unchanged(&device, || refused(device.pin(handle), Errno::EINVAL))?;
    device.populate(handle)?;
    device.unpopulate(handle)?;
    unchanged(&device, || refused(device.pin(handle), Errno::EINVAL))
}

fn nest() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 1)?;
    for pins in 1..=10 {
        device.pin(handle)?;
        check_eq!(device.info(handle)?.pin_count, pins);
    }
    for pins in (0..10).rev() {
        refused(device.unpopulate(handle), Errno::EBUSY)?;
        device.unpin(handle)?;
        check_eq!(device.info(handle)?.pin_count, pins);
    }
    check_eq!(device.unpopulate(handle)?, 1);
    Ok(())
}

fn unpin_what_is_not_pinned() -> Outcome {
    let device = open()?;
    let empty = device.create(Create::new(PAGE))?;
    let full = populated(&device, 1)?;
    device.pin(full)?;
    device.unpin(full)?;
    unchanged(&device, || {
        refused(device.unpin(empty), Errno::EINVAL)?;
        refused(device.unpin(full), Errno::EINVAL)
    })
}

fn keep_from_unpopulate_and_swapout() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 2)?;
    device.pin(handle)?;
    unchanged(&device, || {
        refused(device.unpopulate(handle), Errno::EBUSY)?;
        refused(device.swapout(handle), Errno::EBUSY)
    })?;
    device.unpin(handle)?;
    check_eq!(device.swapout(handle)?, 2);
    Ok(())
}

fn take_off_the_lru() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 2)?;
    check!(device.info(handle)?.is(REEVE_BO_ON_LRU));
    device.pin(handle)?;
    check!(!device.info(handle)?.is(REEVE_BO_ON_LRU));
    check_eq!(knobs::tt_shrink()?, 0);
    device.pin(handle)?;
    device.unpin(handle)?;
    check!(!device.info(handle)?.is(REEVE_BO_ON_LRU));
    check_eq!(knobs::tt_shrink()?, 0);
    device.unpin(handle)?;
    check!(device.info(handle)?.is(REEVE_BO_ON_LRU));
    check_eq!(knobs::tt_shrink()?, 2);
    Ok(())
}

fn leave_content_usable() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 2)?;
    device.pin(handle)?;
    device.write(handle, PAGE - 1, &[1, 2])?;
    check_eq!(device.populate(handle)?, 0);
    let mut bytes = [0; 2];
    device.read(handle, PAGE - 1, &mut bytes)?;
    check_eq!(bytes, [1, 2]);
    Ok(())
}

fn swapped_objects_cannot_be_pinned() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 2)?;
    device.swapout(handle)?;
    unchanged(&device, || refused(device.pin(handle), Errno::EINVAL))?;
    device.populate(handle)?;
    Ok(device.pin(handle)?)
}

fn return_no_pages() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 2)?;
    for call in [BoCall::Pin, BoCall::Unpin, BoCall::Destroy] {
        check_eq!(device.bo(call, handle)?, 0, "{}", call.name());
    }
    Ok(())
}
