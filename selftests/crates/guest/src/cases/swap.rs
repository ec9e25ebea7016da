// SPDX-License-Identifier: GPL-2.0-or-later

//! Content goes out of memory and comes back.

use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_ON_LRU;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::content::filled;
use crate::content::holds;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("swap";
    one_byte,
    one_page,
    three_pages,
    a_mebibyte,
    five_mebibytes_and_a_byte,
    frees_the_pages,
    counts_what_it_did,
    what_holds_no_pages,
    populate_brings_back,
    again_and_again,
    writing_brings_back_the_rest,
    extra_pages_are_swapped_too,
);

fn fill(device: &Device, size: u64, seed: u64) -> Outcome<Handle> {
    filled(device, Create::new(size), seed)
}

/// Out and back by reading, for an object of this size.
fn round_trip(size: u64) -> Outcome {
    let device = open()?;
    let handle = fill(&device, size, size)?;
    let pages = size.div_ceil(PAGE);
    check_eq!(device.swapout(handle)?, pages);
    let info = device.info(handle)?;
    check!(info.is(REEVE_BO_SWAPPED) && !info.is(REEVE_BO_POPULATED));
    holds(&device, handle, size)?;
    let info = device.info(handle)?;
    check!(!info.is(REEVE_BO_SWAPPED) && info.is(REEVE_BO_POPULATED));
    check_eq!(info.pages_resident, pages);
    Ok(())
}

fn one_byte() -> Outcome {
    round_trip(1)
}

fn one_page() -> Outcome {
    round_trip(PAGE)
}

fn three_pages() -> Outcome {
    round_trip(3 * PAGE)
}

fn a_mebibyte() -> Outcome {
    round_trip(1 << 20)
}

fn five_mebibytes_and_a_byte() -> Outcome {
    round_trip((5 << 20) + 1)
}

fn frees_the_pages() -> Outcome {
    let device = open()?;
    let before = device.stats()?.pages_allocated;
    let handle = populated(&device, 10)?;
    check_eq!(device.swapout(handle)?, 10);
    let info = device.info(handle)?;
    check_eq!((info.pages_resident, info.pages_charged), (0, 0));
    check!(!info.is(REEVE_BO_ON_LRU));
    check_eq!(device.stats()?.pages_allocated, before);
    Ok(())
}

fn counts_what_it_did() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 10)?;
    let before = device.stats()?;
    device.swapout(handle)?;
    let out = device.stats()?;
    check_eq!(out.swapouts, before.swapouts + 1);
    check_eq!(out.swapped_pages, before.swapped_pages + 10);
    check_eq!(out.unpopulates, before.unpopulates);
    check_eq!(out.swapins, before.swapins);
    device.populate(handle)?;
    let back = device.stats()?;
    check_eq!(back.swapins, before.swapins + 1);
    check_eq!(back.populates, before.populates + 1);
    check_eq!(back.swapped_pages, out.swapped_pages);
    check_eq!(back.overcommits, before.overcommits);
    Ok(())
}

fn what_holds_no_pages() -> Outcome {
    let device = open()?;
    let empty = device.create(Create::new(PAGE))?;
    let swapped = fill(&device, PAGE, 1)?;
    device.swapout(swapped)?;
    unchanged(&device, || {
        check_eq!(device.swapout(empty)?, 0);
        check_eq!(device.swapout(swapped)?, 0);
        Ok(())
    })?;
    holds(&device, swapped, 1)
}

fn populate_brings_back() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 9 * PAGE, 2)?;
    device.swapout(handle)?;
    check_eq!(device.populate(handle)?, 9);
    let info = device.info(handle)?;
    check!(info.is(REEVE_BO_POPULATED) && info.is(REEVE_BO_ON_LRU) && !info.is(REEVE_BO_SWAPPED));
    check_eq!(info.pages_charged, 9);
    unchanged(&device, || holds(&device, handle, 2))
}

fn again_and_again() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 5 * PAGE + 7, 0)?;
    for cycle in 0..30 {
        check_eq!(device.swapout(handle)?, 6, "cycle {cycle}");
        if cycle % 3 == 0 {
            device.populate(handle)?;
        }
        holds(&device, handle, cycle)?;
        let bytes = Pattern::new(cycle + 1).bytes(5 * PAGE as usize + 7);
        device.write(handle, 0, &bytes)?;
    }
    holds(&device, handle, 30)
}

fn writing_brings_back_the_rest() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 4 * PAGE, 3)?;
    device.swapout(handle)?;
    device.write(handle, PAGE + 1, &[0xaa; 3])?;
    let mut found = vec![0; 4 * PAGE as usize];
    device.read(handle, 0, &mut found)?;
    let mut expected = Pattern::new(3).bytes(found.len());
    expected[PAGE as usize + 1..][..3].fill(0xaa);
    check!(found == expected);
    // The change is not lost either.
    device.swapout(handle)?;
    device.read(handle, 0, &mut found)?;
    check!(found == expected);
    Ok(())
}

fn extra_pages_are_swapped_too() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGE).extra(3))?;
    device.write(handle, 0, &[1; 8])?;
    check_eq!(device.swapout(handle)?, 4);
    check_eq!(device.populate(handle)?, 4);
    let mut bytes = [0; 8];
    device.read(handle, 0, &mut bytes)?;
    check_eq!(bytes, [1; 8]);
    Ok(())
}
