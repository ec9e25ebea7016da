// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects of other kinds of pages: write-combined, uncached, below 4 GiB.

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_DMA32;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;

use crate::content::filled;
use crate::content::holds;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("caching";
    is_what_was_asked_for,
    content_is_the_same_in_every_kind,
    fresh_pages_are_zero_in_every_kind,
    content_comes_back_from_swap_in_every_kind,
    dma32_pages_are_counted_twice,
    dma32_has_a_limit_of_its_own,
    dma32_overcommits_too,
    dma32_is_not_for_external_objects,
    external_objects_have_caching_too,
);

/// More than fits one block, and not a round number.
const PAGES: u64 = 512 + 64 + 3;

fn kinds() -> impl Iterator<Item = Create> {
    let each = Create::new(PAGES * PAGE);
    Caching::ALL
        .into_iter()
        .flat_map(move |mode| [each.caching(mode), each.caching(mode).dma32()])
}

fn is_what_was_asked_for() -> Outcome {
    let device = open()?;
    for create in kinds() {
        let handle = device.create(create)?;
        for _ in 0..2 {
            let info = device.info(handle)?;
            check_eq!(Caching::from_raw(info.caching), Some(create.caching));
            check_eq!(info.is(REEVE_BO_DMA32), create.dma32);
            device.populate(handle)?;
        }
    }
    Ok(())
}

fn content_is_the_same_in_every_kind() -> Outcome {
    let device = open()?;
    let handles = kinds()
        .zip(0..)
        .map(|(create, seed)| Ok((filled(&device, create, seed)?, seed)))
        .collect::<Outcome<Vec<_>>>()?;
    for (handle, seed) in handles {
        holds(&device, handle, seed)?;
    }
    Ok(())
}

/// Pages go around among objects of all kinds, and none shows what was written to another.
fn fresh_pages_are_zero_in_every_kind() -> Outcome {
    let device = open()?;
    for _ in 0..3 {
        for create in kinds() {
            let handle = device.create(create)?;
            let mut found = vec![1; create.size as usize];
            device.read(handle, 0, &mut found)?;
            check!(found.iter().all(|byte| *byte == 0), "{create:?}");
            device.write(handle, 0, &vec![0xee; create.size as usize])?;
            device.unpopulate(handle)?;
            device.read(handle, 0, &mut found)?;
            check!(found.iter().all(|byte| *byte == 0), "{create:?}");
            device.write(handle, 0, &vec![0xdd; create.size as usize])?;
            device.destroy(handle)?;
        }
    }
    Ok(())
}

fn content_comes_back_from_swap_in_every_kind() -> Outcome {
    let device = open()?;
    for (create, seed) in kinds().zip(7..) {
        let handle = filled(&device, create, seed)?;
        for _ in 0..2 {
            check_eq!(device.swapout(handle)?, PAGES);
            check_eq!(device.stats()?.dma32_pages_allocated, 0);
            holds(&device, handle, seed)?;
        }
        device.destroy(handle)?;
    }
    Ok(())
}

fn dma32_pages_are_counted_twice() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    let low = device.create(Create::new(10 * PAGE).dma32())?;
    let high = device.create(Create::new(20 * PAGE))?;
    let counted = |expected: (u64, u64)| -> Outcome {
        let now = device.stats()?;
        check_eq!(now.pages_allocated - before.pages_allocated, expected.0);
        check_eq!(now.dma32_pages_allocated, expected.1);
        Ok(())
    };
    device.populate(low)?;
    counted((10, 10))?;
    device.populate(high)?;
    counted((30, 10))?;
    check_eq!(device.swapout(low)?, 10);
    counted((20, 0))?;
    device.populate(low)?;
    counted((30, 10))?;
    device.unpopulate(low)?;
    counted((20, 0))?;
    device.populate(low)?;
    device.destroy(low)?;
    counted((20, 0))
}

fn dma32_has_a_limit_of_its_own() -> Outcome {
    let device = open()?;
    knobs::set_parameter("dma32_pages_limit", "20")?;
    let before = device.stats()?;
    let first = device.create(Create::new(15 * PAGE).dma32())?;
    device.populate(first)?;
    let high = device.create(Create::new(100 * PAGE))?;
    device.populate(high)?;
    check_eq!(device.stats()?.swapouts, before.swapouts);
    let second = device.create(Create::new(15 * PAGE).dma32())?;
    device.populate(second)?;
    let after = device.stats()?;
    check_eq!(after.dma32_pages_allocated, 15);
    check_eq!(after.swapouts, before.swapouts + 1);
    check_eq!(after.overcommits, before.overcommits);
    check_eq!(device.info(first)?.pages_resident, 0);
    Ok(())
}

fn dma32_overcommits_too() -> Outcome {
    let device = open()?;
    knobs::set_parameter("dma32_pages_limit", "4")?;
    let before = device.stats()?;
    let only = device.create(Create::new(5 * PAGE).dma32())?;
    device.populate(only)?;
    let after = device.stats()?;
    check_eq!(after.dma32_pages_allocated, 5);
    check_eq!(after.overcommits, before.overcommits + 1);
    Ok(())
}

fn dma32_is_not_for_external_objects() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        let external = Create::new(PAGE).kind(BoType::Sg).dma32();
        refused(device.create(external), Errno::EINVAL)
    })
}

fn external_objects_have_caching_too() -> Outcome {
    let device = open()?;
    for mode in Caching::ALL {
        let external = Create::new(PAGE).kind(BoType::Sg).caching(mode);
        let handle = device.create(external)?;
        device.populate(handle)?;
        let info = device.info(handle)?;
        check_eq!(Caching::from_raw(info.caching), Some(mode));
        check_eq!((info.pages_resident, info.pages_charged), (0, 0));
    }
    Ok(())
}
