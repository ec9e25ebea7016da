// SPDX-License-Identifier: GPL-2.0-or-later

//! Making buffer objects, and what cannot be made.

use std::collections::BTreeSet;

use nix::errno::Errno;

use reeve_uapi::sys;
use reeve_uapi::sys::reeve_bo_create;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;

use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("create";
    info_is_what_was_asked,
    sizes_round_up_to_pages,
    extra_pages_are_added,
    handles_are_unique_and_not_zero,
    zero_size,
    overflowing_sizes,
    overflowing_extra_pages,
    more_than_memory,
    unknown_types,
    unknown_caching,
    unknown_flags,
    zero_alloc_is_for_device_objects,
    reserved_must_be_zero,
    handle_must_be_zero,
    unknown_devices,
);

/// Expects that nothing is made and nothing changes.
#[track_caller]
fn cannot(device: &Device, arg: reeve_bo_create, expected: Errno) -> Outcome {
    unchanged(device, || {
        refused(device.raw().bo_create(&mut { arg }), expected)
    })
    .map_err(|stop| stop.during(format!("{arg:?}")))
}

fn good() -> reeve_bo_create {
    Create::new(PAGE).to_raw()
}

fn info_is_what_was_asked() -> Outcome {
    let device = open()?;
    for (kind, zero, flags) in [
        (BoType::Device, false, 0),
        (BoType::Device, true, sys::REEVE_BO_ZERO_ALLOC),
        (BoType::Kernel, false, 0),
        (BoType::Sg, false, sys::REEVE_BO_EXTERNAL),
    ] {
        let mut create = Create::new(5 * PAGE + 1).kind(kind).extra(2);
        create.zero = zero;
        let handle = device.create(create)?;
        let expected = sys::reeve_bo_info {
            handle: handle.get(),
            type_: kind as u32,
            size: 5 * PAGE + 1,
            num_pages: 8,
            flags,
            ..Default::default()
        };
        check_eq!(device.info(handle)?, expected);
    }
    Ok(())
}

fn sizes_round_up_to_pages() -> Outcome {
    let device = open()?;
    for (size, pages) in [
        (1, 1),
        (PAGE - 1, 1),
        (PAGE, 1),
        (PAGE + 1, 2),
        (3 * PAGE, 3),
        (1 << 20, 256),
        ((5 << 20) + 1, 1281),
    ] {
        let handle = device.create(Create::new(size))?;
        let info = device.info(handle)?;
        check_eq!((info.size, info.num_pages), (size, pages));
        check_eq!(device.populate(handle)?, pages);
        check_eq!(device.info(handle)?.pages_resident, pages);
        device.destroy(handle)?;
    }
    Ok(())
}

fn extra_pages_are_added() -> Outcome {
    let device = open()?;
    let before = device.stats()?.pages_allocated;
    let handle = device.create(Create::new(1).extra(7))?;
    check_eq!(device.info(handle)?.num_pages, 8);
    check_eq!(device.populate(handle)?, 8);
    check_eq!(device.info(handle)?.pages_charged, 8);
    check_eq!(device.stats()?.pages_allocated, before + 8);
    // They are not part of the content.
    let mut byte = [0];
    device.read(handle, 0, &mut byte)?;
    refused(device.read(handle, 1, &mut byte), Errno::EINVAL)
}

fn handles_are_unique_and_not_zero() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    let mut handles = BTreeSet::new();
    for _ in 0..300 {
        let handle = device.create(Create::new(PAGE))?;
        check!(handle.get() != 0);
        check!(handles.insert(handle), "{handle} came twice");
    }
    check_eq!(device.stats()?.buffer_objects, before.buffer_objects + 300);
    // Making them takes no pages.
    check_eq!(device.stats()?.pages_allocated, before.pages_allocated);
    Ok(())
}

fn zero_size() -> Outcome {
    let device = open()?;
    for extra_pages in [0, 1, u32::MAX] {
        let arg = reeve_bo_create {
            size: 0,
            extra_pages,
            ..good()
        };
        cannot(&device, arg, Errno::EINVAL)?;
    }
    Ok(())
}

fn overflowing_sizes() -> Outcome {
    let device = open()?;
    for size in [
        u64::MAX,
        u64::MAX - 1,
        u64::MAX - 4094, // rounds up to 2^64
        u64::MAX - 4095, // the last multiple of a page
        u64::MAX - 4096,
        1 << 63,
        (1 << 63) - 1,
    ] {
        for kind in BoType::ALL {
            cannot(
                &device,
                Create::new(size).kind(kind).to_raw(),
                Errno::EINVAL,
            )?;
        }
    }
    Ok(())
}

fn overflowing_extra_pages() -> Outcome {
    let device = open()?;
    let largest = (1 << 63) - PAGE;
    for (size, extra) in [(largest, 1), (largest, u32::MAX), (largest - PAGE, 2)] {
        cannot(
            &device,
            Create::new(size).extra(extra).to_raw(),
            Errno::EINVAL,
        )?;
    }
    Ok(())
}

/// Not an overflow, and still no machine has it: refused at once or when it is populated.
fn more_than_memory() -> Outcome {
    let device = open()?;
    for (size, extra) in [
        (1 << 62, 0),
        (1 << 50, 0),
        (1 << 44, 0),
        (PAGE, u32::MAX),
        ((1 << 63) - 2 * PAGE, 0),
    ] {
        unchanged(&device, || {
            let handle = match device.create(Create::new(size).extra(extra)) {
                Ok(handle) => handle,
                Err(err) if errno(&err) == Errno::ENOMEM => return Ok(()),
                Err(err) => return Err(err.into()),
            };
            refused(device.populate(handle), Errno::ENOMEM)?;
            let info = device.info(handle)?;
            check_eq!(
                (info.pages_resident, info.pages_charged, info.flags),
                (0, 0, 0)
            );
            Ok(device.destroy(handle)?)
        })
        .map_err(|stop: Stop| stop.during(format!("{size:#x} + {extra:#x} pages")))?;
    }
    Ok(())
}

fn unknown_types() -> Outcome {
    let device = open()?;
    for type_ in [3, 4, 255, 1 << 31, u32::MAX] {
        cannot(&device, reeve_bo_create { type_, ..good() }, Errno::EINVAL)?;
    }
    Ok(())
}

fn unknown_caching() -> Outcome {
    let device = open()?;
    for caching in [3, 1 << 31, u32::MAX] {
        cannot(
            &device,
            reeve_bo_create { caching, ..good() },
            Errno::EINVAL,
        )?;
    }
    Ok(())
}

fn unknown_flags() -> Outcome {
    let device = open()?;
    for bit in sys::REEVE_BO_CREATE_DMA_ADDRESSES.ilog2() + 1..u32::BITS {
        for known in [
            0,
            sys::REEVE_BO_CREATE_ZERO_ALLOC,
            sys::REEVE_BO_CREATE_DMA32,
        ] {
            let flags = 1 << bit | known;
            cannot(&device, reeve_bo_create { flags, ..good() }, Errno::EINVAL)?;
        }
    }
    Ok(())
}

fn zero_alloc_is_for_device_objects() -> Outcome {
    let device = open()?;
    for kind in [BoType::Kernel, BoType::Sg] {
        cannot(
            &device,
            Create::new(PAGE).kind(kind).zeroed().to_raw(),
            Errno::EINVAL,
        )?;
    }
    Ok(())
}

fn reserved_must_be_zero() -> Outcome {
    let device = open()?;
    for index in 0..2 {
        for value in [1, 1 << 63] {
            let mut arg = good();
            arg.reserved[index] = value;
            cannot(&device, arg, Errno::EINVAL)?;
        }
    }
    Ok(())
}

fn handle_must_be_zero() -> Outcome {
    let device = open()?;
    for handle in [1, u32::MAX] {
        cannot(&device, reeve_bo_create { handle, ..good() }, Errno::EINVAL)?;
    }
    Ok(())
}

fn unknown_devices() -> Outcome {
    let device = open()?;
    let devices = device.version()?.devices;
    for index in [devices, devices + 1, u32::MAX] {
        cannot(&device, Create::new(PAGE).on(index).to_raw(), Errno::ENOENT)?;
    }
    Ok(())
}
