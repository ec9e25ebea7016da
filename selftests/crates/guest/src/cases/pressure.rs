// SPDX-License-Identifier: GPL-2.0-or-later

//! The objects' shrinker, called as the kernel's reclaim does: objects go out, content stays. What
//! the kernel does when it really is short of memory is in `reclaim.rs`.

use std::fs;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_BACKED_UP;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;

use crate::content::filled;
use crate::content::holds;
use crate::seen::counter;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("pressure";
    without_swap_nothing_goes,
    the_oldest_goes_first,
    as_much_goes_as_is_wanted,
    pinned_and_external_objects_stay,
    the_pool_goes_before_objects,
    every_kind_goes_and_comes_back,
);

/// Calls the shrinker of objects once.
fn shrink() -> Outcome<u64> {
    let freed = knobs::triggered("bo_shrink")?;
    u64::try_from(freed).map_err(|_| Stop::failed(format!("bo_shrink says {freed}")))
}

fn without_swap_nothing_goes() -> Outcome {
    if fs::read_to_string("/proc/swaps")?.lines().count() > 1 {
        return Err(Stop::skipped("there is swap"));
    }
    let device = open()?;
    knobs::drain_pool()?;
    filled(&device, Create::new(100 * PAGE), 1)?;
    unchanged(&device, || {
        check_eq!(shrink()?, 0);
        Ok(())
    })
}

/// What one call moves at most.
const BATCH: u64 = 512;

fn the_oldest_goes_first() -> Outcome {
    const EACH: u64 = 300;
    let _swap = Swap::on()?;
    let device = open()?;
    knobs::drain_pool()?;
    let handles = (0..3)
        .map(|seed| filled(&device, Create::new(EACH * PAGE), seed))
        .collect::<Outcome<Vec<_>>>()?;
    check_eq!(counter("evictable_pages")?, 3 * EACH);
    let resident = || {
        let each = handles.iter().map(|handle| device.info(*handle));
        let pages = each.map(|info| Ok(info?.pages_resident));
        pages.collect::<Outcome<Vec<u64>>>()
    };
    check_eq!(shrink()?, BATCH);
    check_eq!(resident()?, [0, 2 * EACH - BATCH, EACH]);
    check_eq!(shrink()?, 3 * EACH - BATCH);
    check_eq!(resident()?, [0; 3]);
    for handle in &handles {
        let info = device.info(*handle)?;
        check!(info.is(REEVE_BO_BACKED_UP) && !info.is(REEVE_BO_POPULATED));
    }
    check_eq!(shrink()?, 0);
    check_eq!(counter("evictable_pages")?, 0);
    check_eq!(device.stats()?.pages_allocated, 0);
    for (handle, seed) in handles.into_iter().zip(0..) {
        holds(&device, handle, seed)?;
    }
    Ok(())
}

fn as_much_goes_as_is_wanted() -> Outcome {
    let _swap = Swap::on()?;
    let device = open()?;
    knobs::drain_pool()?;
    let handle = filled(&device, Create::new(900 * PAGE), 4)?;
    for left in [900 - BATCH, 0] {
        shrink()?;
        let info = device.info(handle)?;
        check_eq!((info.pages_resident, info.pages_charged), (left, left));
        check_eq!(device.stats()?.pages_allocated, left);
        check_eq!(counter("evictable_pages")?, left);
    }
    holds(&device, handle, 4)
}

fn pinned_and_external_objects_stay() -> Outcome {
    let _swap = Swap::on()?;
    let device = open()?;
    knobs::drain_pool()?;
    let pinned = filled(&device, Create::new(10 * PAGE), 1)?;
    device.pin(pinned)?;
    let external = Create::new(10 * PAGE).kind(BoType::Sg).mappable();
    filled(&device, external, 2)?;
    unchanged(&device, || {
        check_eq!(shrink()?, 0);
        Ok(())
    })?;
    device.unpin(pinned)?;
    check_eq!(shrink()?, 10);
    holds(&device, pinned, 1)
}

fn the_pool_goes_before_objects() -> Outcome {
    let _swap = Swap::on()?;
    let device = open()?;
    knobs::drain_pool()?;
    let kept = device.create(Create::new(600 * PAGE).caching(Caching::WriteCombined))?;
    device.populate(kept)?;
    device.destroy(kept)?;
    let handle = filled(&device, Create::new(100 * PAGE), 3)?;
    check_eq!(device.stats()?.pool_pages, 600);
    check_eq!(shrink()?, 600);
    check_eq!(device.stats()?.pool_pages, 0);
    check_eq!(device.info(handle)?.pages_resident, 100);
    check_eq!(shrink()?, 100);
    holds(&device, handle, 3)
}

fn every_kind_goes_and_comes_back() -> Outcome {
    let _swap = Swap::on()?;
    let device = open()?;
    knobs::drain_pool()?;
    let plain = Create::new(70 * PAGE);
    let mut kinds = vec![plain.shmem(), plain.zeroed()];
    for mode in Caching::ALL {
        kinds.push(plain.caching(mode));
        kinds.push(plain.caching(mode).dma32());
    }
    let handles = kinds
        .iter()
        .zip(0..)
        .map(|(create, seed)| filled(&device, *create, seed))
        .collect::<Outcome<Vec<_>>>()?;
    while shrink()? != 0 {}
    let stats = device.stats()?;
    check_eq!((stats.pages_allocated, stats.dma32_pages_allocated), (0, 0));
    for (handle, seed) in handles.into_iter().zip(0..) {
        holds(&device, handle, seed)?;
    }
    Ok(())
}
