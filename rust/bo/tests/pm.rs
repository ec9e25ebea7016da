// SPDX-License-Identifier: GPL-2.0

//! What happens before the machine sleeps.

#![deny(unsafe_code)]

use super::support::*;
use crate::bo::{
    object::BoRef,
    rules::{
        object::{
            flags,
            BoFlags, //
            BoType,
        },
        state::State, //
    },
    tt::swapout::BackUp, //
};
use kernel::prelude::*;

#[kunit_tests(reeve_tt_hibernation)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_can_goes_and_comes_back() -> Result {
        Bench::run(3, |bench| {
            let reclaim = &*bench.manager;
            let mut objects = KVec::new();
            for index in 0..3 {
                for pages in [1, 5, 600] {
                    let bo = bench.object_on(index, pages)?;
                    fill(&bo, pages as u8, reclaim)?;
                    objects.push(bo, GFP_KERNEL)?;
                }
            }
            let on_shmem = BoFlags::of(BoType::Device, false)
                .on_shmem()
                .ok_or(EINVAL)?;
            let shmem = BoRef::new(bench.device(1)?, 7 * PAGE, 0, BoType::Device, on_shmem)?;
            fill(&shmem, 7, reclaim)?;
            objects.push(shmem, GFP_KERNEL)?;

            expect!(bench.manager.prepare_hibernation()? == 3 * 606 + 7);
            expect!(bench.counted() == 0);
            expect!(bench.manager.pool().kept() == 0);
            for bo in &objects {
                expect!(bo.reserve().info().flags & flags::SWAPPED != 0);
            }
            // Lazily: only what is needed is brought back.
            for bo in &objects {
                let pages = bo.size() / PAGE;
                expect!(is_filled(bo, pages as u8, reclaim)?);
            }
            expect!(bench.counted() == 3 * 606 + 7);
            Ok(())
        })
    }

    #[test]
    fn pinned_and_external_objects_stay() -> Result {
        Bench::run(1, |bench| {
            let pinned = bench.populated(4)?;
            pinned.reserve().pin()?;
            let mappable = BoFlags::of(BoType::Sg, false).mappable().ok_or(EINVAL)?;
            let external = bench.object_with(BoType::Sg, 3, mappable)?;
            external.reserve().populate(&*bench.manager)?;
            let goes = bench.populated(2)?;
            expect!(bench.manager.prepare_hibernation()? == 2);
            expect!(pinned.reserve().state() == State::Populated);
            expect!(external.reserve().state() == State::Populated);
            expect!(goes.reserve().state() == State::Swapped);
            expect!(bench.counted() == 4);
            expect!(bench.manager.prepare_hibernation()? == 0);
            expect!(bench.manager.hibernation.prepares.get() == 2);
            expect!(bench.manager.hibernation.pages.get() == 2);
            Ok(())
        })
    }

    #[test]
    fn a_backup_is_brought_to_its_end() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(40)?;
            fill(&bo, 9, &*bench.manager)?;
            let half = BackUp {
                until: 20,
                ..BackUp::RELAXED
            };
            expect!(bo.reserve().back_up(half)? == 20);
            expect!(bo.reserve().state() == State::PartlyBackedUp);
            expect!(bench.manager.prepare_hibernation()? == 20);
            expect!(bo.reserve().state() == State::BackedUp);
            expect!(is_filled(&bo, 9, &*bench.manager)?);
            Ok(())
        })
    }
}
