// SPDX-License-Identifier: GPL-2.0-or-later

//! The limit: what is swapped out when there is more than may be.

use std::time::Duration;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::process::Child;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::until;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("limits";
    are_live,
    zero_is_the_default,
    oldest_goes_first,
    use_makes_young,
    looking_makes_nothing_young,
    only_as_many_go_as_needed,
    several_go_for_a_large_one,
    pinned_objects_stay,
    all_pinned_is_an_overcommit,
    larger_than_the_limit,
    unpinned_objects_go_again,
    lowering_starts_reclaim,
    lowering_ends_with_no_object_left,
    objects_of_others_go_too,
    content_survives_being_pushed_out,
    reading_back_pushes_others_out,
);

const EACH: u64 = 16;

/// Which of these are swapped out.
fn swapped(device: &Device, handles: &[Handle]) -> Outcome<Vec<bool>> {
    handles
        .iter()
        .map(|handle| Ok(device.info(*handle)?.is(REEVE_BO_SWAPPED)))
        .collect()
}

fn fill(device: &Device, count: u64) -> Outcome<Vec<Handle>> {
    (0..count).map(|_| populated(device, EACH)).collect()
}

fn are_live() -> Outcome {
    let device = open()?;
    for pages in [1, 1000, 1 << 40] {
        let _limit = Limit::pages(pages)?;
        check_eq!(device.stats()?.pages_limit, pages);
        check_eq!(knobs::parameter("pages_limit")?, pages.to_string());
    }
    knobs::set_parameter("dma32_pages_limit", "77")?;
    check_eq!(device.stats()?.dma32_pages_limit, 77);
    Ok(())
}

fn zero_is_the_default() -> Outcome {
    let device = open()?;
    let default = device.stats()?;
    check!(default.pages_limit > 0);
    drop(Limit::pages(5)?);
    check_eq!(device.stats()?, default);
    Ok(())
}

fn oldest_goes_first() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(3 * EACH)?;
    let before = device.stats()?;
    let handles = fill(&device, 3)?;
    check_eq!(swapped(&device, &handles)?, [false; 3]);
    populated(&device, EACH)?;
    check_eq!(swapped(&device, &handles)?, [true, false, false]);
    populated(&device, EACH)?;
    check_eq!(swapped(&device, &handles)?, [true, true, false]);
    let after = device.stats()?;
    check_eq!(after.pages_allocated, 3 * EACH);
    check_eq!(after.swapouts, before.swapouts + 2);
    check_eq!(after.swapped_pages, before.swapped_pages + 2 * EACH);
    check_eq!(after.overcommits, before.overcommits);
    Ok(())
}

fn use_makes_young() -> Outcome {
    let uses: [fn(&Device, Handle) -> std::io::Result<()>; 3] = [
        |device, handle| device.populate(handle).map(|_| ()),
        |device, handle| device.read(handle, 0, &mut [0]),
        |device, handle| device.write(handle, 0, &[1]),
    ];
    for (index, use_it) in uses.into_iter().enumerate() {
        let device = open()?;
        let _limit = Limit::pages(3 * EACH)?;
        let handles = fill(&device, 3)?;
        use_it(&device, handles[0])?;
        populated(&device, EACH)?;
        check_eq!(
            swapped(&device, &handles)?,
            [false, true, false],
            "use {index}"
        );
    }
    Ok(())
}

/// Looking at an object is no use of it.
fn looking_makes_nothing_young() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(2 * EACH)?;
    let handles = fill(&device, 2)?;
    device.info(handles[0])?;
    device.list()?;
    populated(&device, EACH)?;
    check_eq!(swapped(&device, &handles)?, [true, false]);
    Ok(())
}

fn only_as_many_go_as_needed() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(4 * EACH)?;
    let handles = fill(&device, 4)?;
    populated(&device, 1)?;
    check_eq!(swapped(&device, &handles)?, [true, false, false, false]);
    // There is room for a while now.
    populated(&device, EACH - 1)?;
    check_eq!(swapped(&device, &handles)?, [true, false, false, false]);
    populated(&device, 1)?;
    check_eq!(swapped(&device, &handles)?, [true, true, false, false]);
    Ok(())
}

fn several_go_for_a_large_one() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(5 * EACH)?;
    let before = device.stats()?;
    let handles = fill(&device, 5)?;
    populated(&device, 3 * EACH)?;
    check_eq!(
        swapped(&device, &handles)?,
        [true, true, true, false, false]
    );
    let after = device.stats()?;
    check_eq!(after.pages_allocated, 5 * EACH);
    check_eq!(after.overcommits, before.overcommits);
    Ok(())
}

fn pinned_objects_stay() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(3 * EACH)?;
    let handles = fill(&device, 3)?;
    device.pin(handles[0])?;
    populated(&device, EACH)?;
    check_eq!(swapped(&device, &handles)?, [false, true, false]);
    Ok(())
}

fn all_pinned_is_an_overcommit() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(2 * EACH)?;
    let before = device.stats()?;
    let handles = fill(&device, 2)?;
    for handle in &handles {
        device.pin(*handle)?;
    }
    for more in 1..=3 {
        let handle = populated(&device, EACH)?;
        device.pin(handle)?;
        let now = device.stats()?;
        check_eq!(now.overcommits, before.overcommits + more);
        check_eq!(now.pages_allocated, (2 + more) * EACH);
        check_eq!(now.swapouts, before.swapouts);
    }
    check_eq!(swapped(&device, &handles)?, [false; 2]);
    Ok(())
}

fn larger_than_the_limit() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(4)?;
    let before = device.stats()?;
    let handle = device.create(Create::new(EACH * PAGE))?;
    let bytes = Pattern::new(1).bytes((EACH * PAGE) as usize);
    device.write(handle, 0, &bytes)?;
    check_eq!(device.stats()?.overcommits, before.overcommits + 1);
    let mut found = vec![0; bytes.len()];
    // The worker that the new limit woke may swap it out, but only once.
    let stays = until(Duration::from_secs(20), || {
        device.read(handle, 0, &mut found)?;
        Ok(device.stats()?.pages_allocated == EACH)
    })?;
    check!(stays, "{:?}", device.stats()?);
    check!(found == bytes);
    Ok(())
}

fn unpinned_objects_go_again() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(2 * EACH)?;
    let handles = fill(&device, 2)?;
    for handle in &handles {
        device.pin(*handle)?;
    }
    populated(&device, EACH)?;
    check_eq!(swapped(&device, &handles)?, [false, false]);
    device.unpin(handles[1])?;
    populated(&device, EACH)?;
    check_eq!(swapped(&device, &handles)?, [false, true]);
    Ok(())
}

/// The writer does not wait; a worker swaps out the oldest.
fn lowering_starts_reclaim() -> Outcome {
    let device = open()?;
    let handles = fill(&device, 3)?;
    let before = device.stats()?;
    let _limit = Limit::pages(EACH)?;
    let done = until(Duration::from_secs(20), || {
        Ok(device.stats()?.pages_allocated == EACH)
    })?;
    check!(done, "{:?}", device.stats()?);
    check_eq!(swapped(&device, &handles)?, [true, true, false]);
    check_eq!(device.stats()?.overcommits, before.overcommits);
    Ok(())
}

/// What is pinned can't go, and no call waits for it.
fn lowering_ends_with_no_object_left() -> Outcome {
    let device = open()?;
    let handles = fill(&device, 2)?;
    device.pin(handles[1])?;
    let _limit = Limit::pages(1)?;
    let done = until(Duration::from_secs(20), || {
        Ok(device.stats()?.pages_allocated == EACH)
    })?;
    check!(done, "{:?}", device.stats()?);
    check_eq!(swapped(&device, &handles)?, [true, false]);
    Ok(())
}

fn objects_of_others_go_too() -> Outcome {
    let _limit = Limit::pages(2 * EACH)?;
    let mut child = Child::run(|line| {
        let device = open()?;
        let handle = device.create(Create::new(2 * EACH * PAGE))?;
        let bytes = Pattern::new(9).bytes((2 * EACH * PAGE) as usize);
        device.write(handle, 0, &bytes)?;
        line.say(1)?;
        line.hear()?;
        check!(device.info(handle)?.is(REEVE_BO_SWAPPED));
        let mut found = vec![0; bytes.len()];
        device.read(handle, 0, &mut found)?;
        check!(found == bytes);
        Ok(())
    })?;
    child.line.hear()?;
    let device = open()?;
    populated(&device, EACH)?;
    check_eq!(device.stats()?.pages_allocated, EACH);
    child.line.say(1)?;
    child.join()
}

/// Three times as much as may be, with content, in several rounds.
fn content_survives_being_pushed_out() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(4 * EACH)?;
    let size = EACH * PAGE;
    let handles: Vec<Handle> = (0..12)
        .map(|_| Ok(device.create(Create::new(size))?))
        .collect::<Outcome<_>>()?;
    for round in 0..3 {
        for (seed, handle) in (round..).zip(&handles) {
            device.write(*handle, 0, &Pattern::new(seed).bytes(size as usize))?;
            check!(device.stats()?.pages_allocated <= 4 * EACH);
        }
        for (seed, handle) in (round..).zip(&handles) {
            let mut found = vec![0; size as usize];
            device.read(*handle, 0, &mut found)?;
            check_eq!(
                Pattern::new(seed).mismatch(0, &found),
                None,
                "round {round}"
            );
            check!(device.stats()?.pages_allocated <= 4 * EACH);
        }
    }
    Ok(())
}

fn reading_back_pushes_others_out() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(2 * EACH)?;
    let handles = fill(&device, 3)?;
    check_eq!(swapped(&device, &handles)?, [true, false, false]);
    device.read(handles[0], 0, &mut [0])?;
    check_eq!(swapped(&device, &handles)?, [false, true, false]);
    device.populate(handles[1])?;
    check_eq!(swapped(&device, &handles)?, [false, false, true]);
    Ok(())
}
