// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects whose pages belong to an exporter: never counted, never swapped out.

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("sg";
    is_external_and_not_counted,
    cannot_be_swapped_out,
    has_no_content,
    is_not_taken_by_shrinking,
    ignores_the_limit,
);

fn sg(device: &Device) -> Outcome<Handle> {
    Ok(device.create(Create::new(8 * PAGE).kind(BoType::Sg))?)
}

fn is_external_and_not_counted() -> Outcome {
    let device = open()?;
    let handle = sg(&device)?;
    let before = device.stats()?.pages_allocated;
    check!(device.info(handle)?.is(sys::REEVE_BO_EXTERNAL));
    device.populate(handle)?;
    let info = device.info(handle)?;
    check!(info.is(sys::REEVE_BO_EXTERNAL) && info.is(sys::REEVE_BO_POPULATED));
    check!(!info.is(sys::REEVE_BO_ON_LRU));
    check_eq!(info.pages_charged, 0);
    check_eq!(device.stats()?.pages_allocated, before);
    device.unpopulate(handle)?;
    check!(!device.info(handle)?.is(sys::REEVE_BO_POPULATED));
    check_eq!(device.stats()?.pages_allocated, before);
    Ok(())
}

fn cannot_be_swapped_out() -> Outcome {
    let device = open()?;
    let handle = sg(&device)?;
    unchanged(&device, || refused(device.swapout(handle), Errno::EINVAL))?;
    device.populate(handle)?;
    unchanged(&device, || refused(device.swapout(handle), Errno::EINVAL))?;
    device.unpopulate(handle)?;
    unchanged(&device, || refused(device.swapout(handle), Errno::EINVAL))
}

fn has_no_content() -> Outcome {
    let device = open()?;
    let handle = sg(&device)?;
    for _ in 0..2 {
        unchanged(&device, || {
            refused(device.read(handle, 0, &mut [0; 16]), Errno::EINVAL)?;
            refused(device.write(handle, 0, &[0; 16]), Errno::EINVAL)
        })?;
        device.populate(handle)?;
    }
    Ok(())
}

fn is_not_taken_by_shrinking() -> Outcome {
    let device = open()?;
    let handle = sg(&device)?;
    device.populate(handle)?;
    unchanged(&device, || {
        check_eq!(knobs::tt_shrink()?, 0);
        Ok(())
    })
}

fn ignores_the_limit() -> Outcome {
    let device = open()?;
    let handle = sg(&device)?;
    let before = device.stats()?;
    let _limit = Limit::pages(1)?;
    device.populate(handle)?;
    let after = device.stats()?;
    check_eq!(after.overcommits, before.overcommits);
    check_eq!(after.pages_allocated, before.pages_allocated);
    Ok(())
}
