// SPDX-License-Identifier: GPL-2.0-or-later

//! Fresh pages show no earlier content.

use reeve_uapi::pattern::Pattern;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::process::Child;
use crate::seen::open;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("fresh";
    zero_alloc_pages_are_zero,
    other_pages_are_zero_too,
    no_bytes_of_another_process,
    no_bytes_of_another_object,
    unpopulate_drops_content,
    untouched_pages_stay_zero_over_swapping,
    zero_alloc_over_swapping_keeps_content,
);

const SIZE: u64 = 64 * PAGE;

fn is_zero(device: &Device, handle: Handle) -> Outcome<bool> {
    let mut bytes = vec![1; device.info(handle)?.size as usize];
    device.read(handle, 0, &mut bytes)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

/// Every kind of object that user space can read.
fn kinds() -> [Create; 3] {
    let plain = Create::new(SIZE);
    [plain, plain.zeroed(), plain.kind(BoType::Kernel)]
}

fn zero_alloc_pages_are_zero() -> Outcome {
    let device = open()?;
    for _ in 0..4 {
        let handle = device.create(Create::new(SIZE).zeroed())?;
        device.populate(handle)?;
        check!(is_zero(&device, handle)?);
        device.write(handle, 0, &Pattern::new(1).bytes(SIZE as usize))?;
        device.destroy(handle)?;
    }
    Ok(())
}

fn other_pages_are_zero_too() -> Outcome {
    let device = open()?;
    for create in kinds() {
        for _ in 0..4 {
            let handle = device.create(create)?;
            check!(is_zero(&device, handle)?, "{create:?}");
            device.write(handle, 0, &Pattern::new(2).bytes(SIZE as usize))?;
            device.destroy(handle)?;
        }
    }
    Ok(())
}

fn no_bytes_of_another_process() -> Outcome {
    for create in kinds() {
        Child::run(|_| {
            let device = open()?;
            for seed in 0..8 {
                let handle = device.create(create)?;
                device.write(handle, 0, &Pattern::new(seed).bytes(SIZE as usize))?;
            }
            Ok(())
        })?
        .join()?;
        let device = open()?;
        for _ in 0..8 {
            let handle = device.create(create)?;
            check!(is_zero(&device, handle)?, "{create:?}");
        }
    }
    Ok(())
}

/// Freed the other ways: by unpopulating and by swapping out.
fn no_bytes_of_another_object() -> Outcome {
    let device = open()?;
    let owner = device.create(Create::new(SIZE))?;
    for swap in [false, true] {
        device.write(owner, 0, &Pattern::new(3).bytes(SIZE as usize))?;
        if swap {
            device.swapout(owner)?;
        } else {
            device.unpopulate(owner)?;
        }
        for create in kinds() {
            let handle = device.create(create)?;
            check!(is_zero(&device, handle)?, "{create:?} after swap={swap}");
        }
    }
    Ok(())
}

fn unpopulate_drops_content() -> Outcome {
    let device = open()?;
    for create in kinds() {
        let handle = device.create(create)?;
        device.write(handle, 0, &Pattern::new(4).bytes(SIZE as usize))?;
        device.unpopulate(handle)?;
        check!(is_zero(&device, handle)?, "{create:?}");
        // Also what a swap file held before.
        device.write(handle, 0, &Pattern::new(5).bytes(SIZE as usize))?;
        device.swapout(handle)?;
        device.populate(handle)?;
        device.unpopulate(handle)?;
        check!(is_zero(&device, handle)?, "{create:?} after swapping");
    }
    Ok(())
}

fn untouched_pages_stay_zero_over_swapping() -> Outcome {
    let device = open()?;
    for create in kinds() {
        let handle = device.create(create)?;
        device.write(handle, 5 * PAGE, &[9])?;
        check_eq!(device.swapout(handle)?, SIZE / PAGE);
        let mut bytes = vec![1; SIZE as usize];
        device.read(handle, 0, &mut bytes)?;
        check_eq!(bytes[5 * PAGE as usize], 9);
        bytes[5 * PAGE as usize] = 0;
        check!(bytes.iter().all(|byte| *byte == 0), "{create:?}");
    }
    Ok(())
}

fn zero_alloc_over_swapping_keeps_content() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(SIZE).zeroed())?;
    let bytes = Pattern::new(6).bytes(SIZE as usize);
    device.write(handle, 0, &bytes)?;
    device.swapout(handle)?;
    device.populate(handle)?;
    let mut found = vec![0; bytes.len()];
    device.read(handle, 0, &mut found)?;
    check!(found == bytes);
    Ok(())
}
