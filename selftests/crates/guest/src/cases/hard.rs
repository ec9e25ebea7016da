// SPDX-License-Identifier: GPL-2.0-or-later

//! Hard limits: what can't be kept is refused.

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::Create;

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

cases!("hard";
    others_go_first,
    with_no_object_left_it_is_refused,
    what_can_never_fit_evicts_nothing,
    swapped_out_objects_stay_so,
    dma32_is_as_hard,
    soft_again,
);

fn harden() -> Outcome {
    Ok(knobs::set_parameter("hard_limit", "1")?)
}

fn others_go_first() -> Outcome {
    let _swap = Swap::on()?;
    let device = open()?;
    harden()?;
    let _limit = Limit::pages(30)?;
    let first = populated(&device, 20)?;
    populated(&device, 20)?;
    check!(device.info(first)?.is(REEVE_BO_SWAPPED));
    check_eq!(device.stats()?.pages_allocated, 20);
    Ok(())
}

fn with_no_object_left_it_is_refused() -> Outcome {
    let device = open()?;
    harden()?;
    let before = device.stats()?.overcommits;
    let _limit = Limit::pages(30)?;
    let pinned = populated(&device, 20)?;
    device.pin(pinned)?;
    let other = device.create(Create::new(20 * PAGE))?;
    unchanged(&device, || {
        refused(device.populate(other), Errno::ENOMEM)?;
        refused(device.write(other, 0, &[1]), Errno::ENOMEM)
    })?;
    device.unpin(pinned)?;
    device.unpopulate(pinned)?;
    check_eq!(device.populate(other)?, 20);
    check_eq!(device.stats()?.overcommits, before);
    Ok(())
}

fn what_can_never_fit_evicts_nothing() -> Outcome {
    let device = open()?;
    harden()?;
    let _limit = Limit::pages(30)?;
    populated(&device, 20)?;
    let huge = device.create(Create::new(31 * PAGE))?;
    unchanged(&device, || refused(device.populate(huge), Errno::ENOMEM))
}

fn swapped_out_objects_stay_so() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(20 * PAGE))?;
    device.write(handle, 5, b"still there")?;
    device.swapout(handle)?;
    harden()?;
    let limit = Limit::pages(10)?;
    unchanged(&device, || refused(device.populate(handle), Errno::ENOMEM))?;
    drop(limit);
    let mut found = [0; 11];
    device.read(handle, 5, &mut found)?;
    check_eq!(&found, b"still there");
    Ok(())
}

fn dma32_is_as_hard() -> Outcome {
    let device = open()?;
    harden()?;
    knobs::set_parameter("dma32_pages_limit", "10")?;
    let low = device.create(Create::new(11 * PAGE).dma32())?;
    unchanged(&device, || refused(device.populate(low), Errno::ENOMEM))?;
    populated(&device, 11)?;
    Ok(())
}

fn soft_again() -> Outcome {
    let device = open()?;
    let before = device.stats()?.overcommits;
    harden()?;
    let _limit = Limit::pages(10)?;
    let handle = device.create(Create::new(20 * PAGE))?;
    refused(device.populate(handle), Errno::ENOMEM)?;
    knobs::set_parameter("hard_limit", "0")?;
    check_eq!(device.populate(handle)?, 20);
    check_eq!(device.stats()?.overcommits, before + 1);
    Ok(())
}
