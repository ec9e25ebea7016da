// SPDX-License-Identifier: GPL-2.0-or-later

//! Handles that name nothing here, and calls on handles that are not well formed.

use nix::errno::Errno;

use reeve_uapi::raw::Way;
use reeve_uapi::sys::reeve_bo;
use reeve_uapi::sys::reeve_bo_info;
use reeve_uapi::sys::reeve_bo_rw;
use reeve_uapi::BoCall;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::memory::rw_nowhere;
use crate::memory::NOWHERE;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("handles";
    unknown,
    zero,
    destroyed,
    of_another_open_file,
    flags_must_be_zero,
    reserved_must_be_zero,
    info_reserved_must_be_zero,
    rw_flags_and_reserved_must_be_zero,
    next_walks_in_ascending_order,
    next_ends_with_enoent,
    numbers_are_per_open_file,
);

/// Every call that takes a handle returns ENOENT for this one.
#[track_caller]
fn names_nothing(device: &Device, handle: Handle) -> Outcome {
    let enoent = |call: &str, result: std::io::Result<()>| {
        refused(result, Errno::ENOENT).map_err(|stop| stop.during(format!("{call} {handle}")))
    };
    unchanged(device, || {
        for call in BoCall::ALL {
            enoent(call.name(), device.bo(call, handle).map(drop))?;
        }
        enoent("info", device.info(handle).map(drop))?;
        enoent("read", device.read(handle, 0, &mut [0]))?;
        enoent("write", device.write(handle, 0, &[1]))
    })
}

fn unknown() -> Outcome {
    let device = open()?;
    for number in [1, 2, 1000, 1 << 31, u32::MAX] {
        names_nothing(&device, Handle::new(number))?;
    }
    let highest = device.create(Create::new(PAGE))?;
    names_nothing(&device, Handle::new(highest.get() + 1))
}

fn zero() -> Outcome {
    let device = open()?;
    names_nothing(&device, Handle::new(0))?;
    device.create(Create::new(PAGE))?;
    names_nothing(&device, Handle::new(0))
}

fn destroyed() -> Outcome {
    let device = open()?;
    for populate in [false, true] {
        let handle = device.create(Create::new(PAGE))?;
        if populate {
            device.populate(handle)?;
        }
        device.destroy(handle)?;
        refused(device.destroy(handle), Errno::ENOENT)?;
        names_nothing(&device, handle)?;
    }
    Ok(())
}

fn of_another_open_file() -> Outcome {
    let (mine, other) = (open()?, open()?);
    // Several, so that equal numbers on both sides would be noticed.
    let handles: Vec<Handle> = (0..3)
        .map(|_| populated(&mine, 2))
        .collect::<Outcome<_>>()?;
    for handle in &handles {
        mine.write(*handle, 0, &[7; 100])?;
    }
    unchanged(&mine, || {
        for handle in &handles {
            names_nothing(&other, *handle)?;
        }
        check!(other.list()?.is_empty());
        Ok(())
    })?;
    let mut bytes = [0; 100];
    mine.read(handles[0], 0, &mut bytes)?;
    check_eq!(bytes, [7; 100]);
    Ok(())
}

fn flags_must_be_zero() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 1)?;
    device.pin(handle)?;
    unchanged(&device, || {
        for call in BoCall::ALL {
            for flags in [1, 1 << 31, u32::MAX] {
                if call == BoCall::Backup && flags == 1 {
                    continue; // it has that one
                }
                let mut arg = reeve_bo {
                    handle: handle.get(),
                    flags,
                    ..Default::default()
                };
                refused(device.raw().bo(call, &mut arg), Errno::EINVAL)
                    .map_err(|stop| stop.during(format!("{} {flags:#x}", call.name())))?;
            }
        }
        Ok(())
    })
}

fn reserved_must_be_zero() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 1)?;
    unchanged(&device, || {
        for call in BoCall::ALL {
            for index in 0..2 {
                let mut arg = reeve_bo {
                    handle: handle.get(),
                    ..Default::default()
                };
                arg.reserved[index] = 1 << 40;
                refused(device.raw().bo(call, &mut arg), Errno::EINVAL)
                    .map_err(|stop| stop.during(format!("{} [{index}]", call.name())))?;
            }
        }
        Ok(())
    })
}

fn info_reserved_must_be_zero() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGE))?;
    unchanged(&device, || {
        for index in 0..4 {
            let mut arg = reeve_bo_info {
                handle: handle.get(),
                ..Default::default()
            };
            arg.reserved[index] = 1;
            refused(device.raw().bo_info(&mut arg), Errno::EINVAL)?;
            arg.handle = 0;
            refused(device.raw().bo_next(&mut arg), Errno::EINVAL)?;
        }
        Ok(())
    })
}

fn rw_flags_and_reserved_must_be_zero() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 1)?;
    let good = reeve_bo_rw {
        handle: handle.get(),
        length: 1,
        addr: NOWHERE[0],
        ..Default::default()
    };
    let mut wrong = [good; 4];
    wrong[0].flags = 1;
    wrong[1].flags = 1 << 31;
    wrong[2].reserved[0] = 1;
    wrong[3].reserved[1] = 1 << 63;
    unchanged(&device, || {
        for arg in wrong {
            for way in [Way::Read, Way::Write] {
                // The address is wrong too, but the form is looked at first.
                refused(rw_nowhere(&device, way, &mut { arg }), Errno::EINVAL)
                    .map_err(|stop| stop.during(format!("{way:?} {arg:?}")))?;
            }
        }
        Ok(())
    })
}

fn next_walks_in_ascending_order() -> Outcome {
    let device = open()?;
    let mut handles: Vec<Handle> = (1..=20)
        .map(|pages| device.create(Create::new(pages * PAGE)))
        .collect::<std::io::Result<_>>()?;
    let listed = |device: &Device| -> Outcome<Vec<Handle>> {
        Ok(device.list()?.iter().map(|info| info.handle()).collect())
    };
    handles.sort();
    check_eq!(listed(&device)?, handles);
    // Holes are stepped over.
    for index in [19, 10, 9, 0] {
        device.destroy(handles.remove(index))?;
    }
    check_eq!(listed(&device)?, handles);
    // NEXT tells all that INFO tells.
    for info in device.list()? {
        check_eq!(device.info(info.handle())?, info);
    }
    // A handle that is in no use is as good a start as any.
    let first = device.next(Some(Handle::new(handles[0].get() - 1)))?;
    check_eq!(first.map(|info| info.handle()), Some(handles[0]));
    Ok(())
}

fn next_ends_with_enoent() -> Outcome {
    let device = open()?;
    refused(
        device.raw().bo_next(&mut reeve_bo_info::default()),
        Errno::ENOENT,
    )?;
    let handle = device.create(Create::new(PAGE))?;
    for last in [handle.get(), handle.get() + 1, u32::MAX] {
        let mut arg = reeve_bo_info {
            handle: last,
            ..Default::default()
        };
        refused(device.raw().bo_next(&mut arg), Errno::ENOENT)
            .map_err(|stop| stop.during(format!("after {last}")))?;
    }
    Ok(())
}

fn numbers_are_per_open_file() -> Outcome {
    let (one, two) = (open()?, open()?);
    let a = one.create(Create::new(PAGE))?;
    let b = two.create(Create::new(2 * PAGE))?;
    check_eq!(one.list()?.len(), 1);
    check_eq!(two.list()?.len(), 1);
    check_eq!(one.info(a)?.size, PAGE);
    check_eq!(two.info(b)?.size, 2 * PAGE);
    one.destroy(a)?;
    check_eq!(two.info(b)?.size, 2 * PAGE);
    Ok(())
}
