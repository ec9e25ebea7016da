// SPDX-License-Identifier: GPL-2.0

//! Backups.

#![deny(unsafe_code)]

use super::support::*;
use crate::bo::{
    object::BoRef,
    pages::PageBlocks,
    pool::alloc,
    rules::{
        object::{
            flags,
            BoFlags, //
            BoType,
        },
        page_kind::{
            Caching,
            PageKind, //
        },
        state::State, //
    },
    tt::swapout::BackUp, //
};
use kernel::prelude::*;

/// Page by page, as when memory is short.
const SPARING: BackUp = BackUp {
    writeback: false,
    granule: 1,
    until: 0,
    overcharge: false,
};

/// Until so many pages are left.
const fn until(pages: u64) -> BackUp {
    BackUp {
        until: pages,
        ..BackUp::RELAXED
    }
}

#[kunit_tests(reeve_tt_backup)]
mod tests {
    use super::*;

    /// The drift of C TTM.
    #[test]
    fn backed_up_pages_are_not_counted_any_more() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(512)?;
            expect!(bench.counted() == 512);
            expect!(bo.reserve().back_up(BackUp::RELAXED)? == 512);
            expect!(bench.counted() == 0);
            expect!(bo.reserve().state() == State::BackedUp);
            drop(bo);
            expect!(bench.counted() == 0);
            Ok(())
        })
    }

    #[test]
    fn content_comes_back_however_it_went() -> Result {
        Bench::run(1, |bench| {
            for granule in [1, 3, 64, 1 << 9] {
                for pages in [1, 2, 127, 512 + 3] {
                    let bo = bench.object(pages)?;
                    fill(&bo, 11, &*bench.manager)?;
                    let how = BackUp {
                        writeback: granule == 3,
                        granule,
                        until: 0,
                        overcharge: false,
                    };
                    expect!(bo.reserve().back_up(how)? == pages);
                    expect!(bo.reserve().info().flags == flags::BACKED_UP);
                    expect!(bo.reserve().restore(&*bench.manager)? == pages);
                    expect!(is_filled(&bo, 11, &*bench.manager)?);
                }
            }
            Ok(())
        })
    }

    #[test]
    fn setting_up_is_for_those_that_have_pages() -> Result {
        Bench::run(1, |bench| {
            let external = BoFlags::of(BoType::Sg, false);
            let bo = bench.object_with(BoType::Sg, 3, external)?;
            expect!(bo.reserve().set_up_backup() == Err(EINVAL));
            bo.reserve().populate(&*bench.manager)?;
            expect!(bo.reserve().set_up_backup() == Err(EINVAL));
            expect!(bo.reserve().back_up(BackUp::RELAXED) == Err(EINVAL));

            let mappable = external.mappable().ok_or(EINVAL)?;
            let bo = bench.object_with(BoType::Sg, 3, mappable)?;
            bo.reserve().set_up_backup()?;
            bo.reserve().set_up_backup()?;
            expect!(bo.reserve().populate(&*bench.manager)? == 3);
            expect!(bench.counted() == 0);
            expect!(bo.reserve().back_up(BackUp::RELAXED)? == 3);
            expect!(bo.reserve().state() == State::BackedUp);
            // It is used already.
            bo.reserve().set_up_backup()?;

            // One that was set up and is never used goes with its object.
            let unused = bench.populated(2)?;
            unused.reserve().set_up_backup()?;
            Ok(())
        })
    }

    #[test]
    fn directories_lose_pages_from_the_end() -> Result {
        let wc = PageKind {
            caching: Caching::WriteCombined,
            dma32: false,
        };
        for kind in [PageKind::CACHED, wc] {
            let mut directory = PageBlocks::new(kind);
            alloc::fill(&mut directory, 64 + 4, false, None)?;
            for (release, left) in [(1, 67), (3, 64), (1, 63), (10, 53), (50, 3), (9, 0)] {
                directory.release_last(release);
                expect!(directory.len() == left);
                let last = directory
                    .last_run(u64::MAX)
                    .map(|(index, run)| index + run.len());
                expect!(last.unwrap_or(0) == left);
            }
            // What is left of a partial block can be put aside and put back.
            alloc::fill(&mut directory, 8, false, None)?;
            directory.release_last(3);
            let partial = directory.take_partial();
            expect!(partial.as_ref().map(|partial| partial.len()) == Some(5));
            expect!(directory.len() == 0);
            directory.put_partial(partial);
            expect!(directory.len() == 5);
        }
        Ok(())
    }

    #[test]
    fn a_torn_block_is_made_whole_again() -> Result {
        Bench::run(1, |bench| {
            // Which pages are left does not matter for the content that comes back.
            for left in [1, 5, 63, 64, 66] {
                let bo = bench.object(64 + 4)?;
                fill(&bo, 13, &*bench.manager)?;
                expect!(bo.reserve().back_up(until(left))? == 68 - left);
                let info = bo.reserve().info();
                expect!(info.resident == left && info.charged == left);
                expect!(info.flags == flags::BACKED_UP | flags::ON_LRU);
                expect!(bench.counted() == left);
                expect!(bo.reserve().state() == State::PartlyBackedUp);
                expect!(bo.reserve().populate(&*bench.manager)? == 68 - left);
                expect!(bench.counted() == 68);
                expect!(is_filled(&bo, 13, &*bench.manager)?);
            }
            Ok(())
        })
    }

    #[test]
    fn what_is_partly_backed_up_ends_in_every_way() -> Result {
        Bench::run(1, |bench| {
            let partly = || -> Result<BoRef> {
                let bo = bench.object(20)?;
                fill(&bo, 14, &*bench.manager)?;
                expect!(bo.reserve().back_up(until(9))? == 11);
                Ok(bo)
            };
            drop(partly()?);
            expect!(bench.counted() == 0);

            let bo = partly()?;
            expect!(bo.reserve().unpopulate()? == 0);
            expect!(bo.reserve().swap_out()? == 0);
            expect!(bo.reserve().pin() == Err(EINVAL));
            expect!(bo.reserve().purge()? == 9);
            expect!(bo.reserve().state() == State::Empty);
            expect!(bench.counted() == 0);

            let bo = partly()?;
            expect!(bo.reserve().back_up(SPARING)? == 9);
            expect!(is_filled(&bo, 14, &*bench.manager)?);

            // Global swapout goes on with it.
            let bo = partly()?;
            bench.limit(u64::MAX);
            while bo.reserve().state() == State::PartlyBackedUp {
                expect!(bench.evict_one()? != 0);
            }
            expect!(bo.reserve().state() == State::BackedUp);
            expect!(is_filled(&bo, 14, &*bench.manager)?);
            Ok(())
        })
    }

    /// So that the next one needs no memory for it either.
    #[test]
    fn a_backup_that_fails_keeps_the_place_that_was_set_up() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(20)?;
            fill(&bo, 16, &*bench.manager)?;
            for how in [BackUp::RELAXED, SPARING] {
                let mut reservation = bo.reserve();
                reservation.set_up_backup()?;
                reservation.tt()?.shorten_prepared()?;
                for _ in 0..2 {
                    expect!(reservation.back_up(how) == Err(EINVAL));
                    expect!(reservation.tt()?.is_set_up());
                    expect!(reservation.state() == State::Populated);
                }
            }
            expect!(bench.counted() == 20);
            expect!(is_filled(&bo, 16, &*bench.manager)?);
            Ok(())
        })
    }

    #[test]
    fn places_of_objects_do_not_overlap() -> Result {
        Bench::run(1, |bench| {
            // Below, at and above the size of a large folio, one beside the other.
            let mut objects = KVec::new();
            for (seed, pages) in (1..).zip([1, 511, 512, 513, 1024, 1, 700]) {
                let bo = bench.object(pages)?;
                fill(&bo, seed, &*bench.manager)?;
                objects.push(bo, GFP_KERNEL)?;
            }
            for bo in objects.iter().step_by(2) {
                bo.reserve().swap_out()?;
            }
            for bo in objects.iter().skip(1).step_by(2) {
                bo.reserve().back_up(BackUp::RELAXED)?;
            }
            // What one gives up is no other's.
            objects.remove(3).map_err(|_| EINVAL)?;
            let seeds = [1, 2, 3, 5, 6, 7];
            for (bo, seed) in objects.iter().zip(seeds) {
                expect!(is_filled(bo, seed, &*bench.manager)?);
            }
            Ok(())
        })
    }

    #[test]
    fn a_restore_that_fails_changes_nothing() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(20)?;
            fill(&bo, 15, &*bench.manager)?;
            bo.reserve().back_up(until(9))?;
            let _other = bench.populated(5)?;
            bench.limit(20);
            let failing = Scripted::new(Err(EIO));
            expect!(bo.reserve().populate(&failing) == Err(EIO));
            expect!(bo.reserve().state() == State::PartlyBackedUp);
            expect!(bench.counted() == 14);
            expect!(bo.reserve().info().resident == 9);
            bench.limit(u64::MAX);
            expect!(is_filled(&bo, 15, &*bench.manager)?);
            Ok(())
        })
    }
}
