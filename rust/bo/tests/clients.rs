// SPDX-License-Identifier: GPL-2.0

//! What the objects of an open file hold, and its limit.

#![deny(unsafe_code)]

use super::support::*;
use crate::{
    abstractions::params::Watcher,
    bo::{
        object::{
            BoRef,
            ClientRef, //
        },
        reclaim::{
            EvictScope,
            Reclaim, //
        },
        rules::{
            client_limit::{
                judge,
                CASES, //
            },
            object::{
                BoFlags, //
                BoType,
            },
            state::State, //
        },
        tt::swapout::BackUp, //
    }, //
};
use kernel::prelude::*;

/// An object of `pages` pages on device `index`, of an open file.
fn object_of(bench: &Bench, file: &ClientRef, index: usize, pages: u64) -> Result<BoRef> {
    BoRef::of_file(
        file,
        bench.device(index)?,
        pages * PAGE,
        0,
        BoType::Device,
        BoFlags::of(BoType::Device, false),
    )
}

/// The same, populated, on device 0.
fn populated_of(bench: &Bench, file: &ClientRef, pages: u64) -> Result<BoRef> {
    let bo = object_of(bench, file, 0, pages)?;
    expect!(bo.reserve().populate(&*bench.manager)? == pages);
    Ok(bo)
}

#[kunit_tests(reeve_tt_files)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_what_the_table_says() -> Result {
        for (charged, wanted, limit, hard, verdict) in CASES {
            expect!(judge(charged, wanted, limit, hard) == verdict);
        }
        Ok(())
    }

    #[test]
    fn follows_what_its_objects_hold() -> Result {
        Bench::run(1, |bench| {
            let (file, other) = (bench.manager.open_file()?, bench.manager.open_file()?);
            let first = populated_of(bench, &file, 4)?;
            let second = populated_of(bench, &file, 600)?;
            let third = populated_of(bench, &other, 3)?;
            let unowned = bench.populated(2)?;
            expect!(file.charged() == 604 && other.charged() == 3);
            expect!(first.reserve().swap_out()? == 4);
            expect!(file.charged() == 600);
            // Half of it, from the end.
            let half = BackUp {
                until: 300,
                ..BackUp::RELAXED
            };
            second.reserve().back_up(half)?;
            expect!(second.reserve().state() == State::PartlyBackedUp);
            expect!(file.charged() == second.reserve().info().resident);
            second.reserve().populate(&*bench.manager)?;
            expect!(file.charged() == 600);
            second.reserve().purge()?;
            expect!(file.charged() == 0);
            first.reserve().populate(&*bench.manager)?;
            expect!(first.reserve().unpopulate()? == 4);
            expect!(file.charged() == 0);
            first.reserve().populate(&*bench.manager)?;
            drop(first);
            expect!(file.charged() == 0 && other.charged() == 3);
            drop((third, unowned));
            expect!(other.charged() == 0);
            Ok(())
        })
    }

    #[test]
    fn only_its_own_objects_make_room() -> Result {
        Bench::run(2, |bench| {
            let (file, other) = (bench.manager.open_file()?, bench.manager.open_file()?);
            let foreign = populated_of(bench, &other, 8)?;
            let first = populated_of(bench, &file, 4)?;
            // Also from another device.
            let second = object_of(bench, &file, 1, 4)?;
            second.reserve().populate(&*bench.manager)?;
            file.set_limit(8);
            expect!(file.limit() == Some(8) && other.limit().is_none());
            let third = populated_of(bench, &file, 8)?;
            expect!(first.reserve().state() == State::Swapped);
            expect!(second.reserve().state() == State::Swapped);
            expect!(third.reserve().state() == State::Populated);
            expect!(foreign.reserve().state() == State::Populated);
            expect!(file.charged() == 8 && file.overcommits() == 0);
            Ok(())
        })
    }

    #[test]
    fn the_order_is_that_of_use_by_the_file() -> Result {
        Bench::run(2, |bench| {
            let file = bench.manager.open_file()?;
            let objects = [
                object_of(bench, &file, 0, 2)?,
                object_of(bench, &file, 1, 2)?,
                object_of(bench, &file, 0, 2)?,
                object_of(bench, &file, 1, 2)?,
            ];
            for bo in &objects {
                bo.reserve().populate(&*bench.manager)?;
            }
            let [first, second, third, fourth] = &objects;
            first.reserve().populate(&*bench.manager)?;
            second.reserve().pin()?;
            third.reserve().read(0, &mut [0; 4], &*bench.manager)?;
            second.reserve().unpin()?;
            for (limit, gone) in [(6, fourth), (4, first), (2, third), (0, second)] {
                let scope = EvictScope::Client(file.number());
                expect!(gone.reserve().state() == State::Populated);
                expect!(bench.manager.evict_one(scope)? == 2);
                expect!(gone.reserve().state() == State::Swapped);
                expect!(file.charged() == limit);
            }
            expect!(bench.manager.evict_one(EvictScope::Client(file.number()))? == 0);
            Ok(())
        })
    }

    #[test]
    fn with_none_left_it_goes_on_and_that_is_counted() -> Result {
        Bench::run(1, |bench| {
            let file = bench.manager.open_file()?;
            bench.manager.accounting().limits.set_file(5);
            expect!(file.limit() == Some(5));
            let pinned = populated_of(bench, &file, 4)?;
            pinned.reserve().pin()?;
            let more = populated_of(bench, &file, 4)?;
            let statistics = &bench.manager.accounting().statistics;
            expect!(file.charged() == 8 && file.overcommits() == 1);
            expect!(statistics.file_overcommits.get() == 1);
            expect!(statistics.overcommits.get() == 0);
            // A higher one of its own is none: the lower one holds.
            file.set_limit(100);
            populated_of(bench, &file, 4)?;
            expect!(file.overcommits() == 2);
            pinned.reserve().unpin()?;
            drop(more);
            Ok(())
        })
    }

    #[test]
    fn hard_means_nothing_changes() -> Result {
        Bench::run(1, |bench| {
            let file = bench.manager.open_file()?;
            let limits = &bench.manager.accounting().limits;
            limits.set_hard(true);
            file.set_limit(5);
            let first = populated_of(bench, &file, 4)?;
            let large = object_of(bench, &file, 0, 6)?;
            expect!(large.reserve().populate(&*bench.manager) == Err(ENOMEM));
            // Nothing was evicted for what can't succeed.
            expect!(first.reserve().state() == State::Populated);
            first.reserve().pin()?;
            let second = object_of(bench, &file, 0, 5)?;
            expect!(second.reserve().populate(&*bench.manager) == Err(ENOMEM));
            expect!(file.charged() == 4);
            expect!(bench.manager.accounting().statistics.refusals.get() == 2);
            first.reserve().unpin()?;
            expect!(second.reserve().populate(&*bench.manager)? == 5);
            expect!(file.charged() == 5 && file.overcommits() == 0);
            Ok(())
        })
    }

    #[test]
    fn a_populate_that_fails_charges_no_client() -> Result {
        Bench::run(1, |bench| {
            let file = bench.manager.open_file()?;
            file.set_limit(100);
            let bo = populated_of(bench, &file, 4)?;
            bo.reserve().swap_out()?;
            bo.reserve().truncate_storage()?;
            expect!(bo.reserve().populate(&*bench.manager).is_err());
            expect!(file.charged() == 0);
            // Room has to be made, and that fails.
            let full = populated_of(bench, &file, 100)?;
            let failing = Scripted::new(Err(EIO));
            let more = object_of(bench, &file, 0, 1)?;
            expect!(more.reserve().populate(&failing) == Err(EIO));
            expect!(failing.asked() == 1 && file.charged() == 100);
            drop(full);
            Ok(())
        })
    }

    #[test]
    fn lowering_a_limit_has_objects_swapped_out() -> Result {
        Bench::run(1, |bench| {
            let files = [
                bench.manager.open_file()?,
                bench.manager.open_file()?,
                bench.manager.open_file()?,
            ];
            let [pinned, lowered, free] = &files;
            let stays = populated_of(bench, pinned, 8)?;
            stays.reserve().pin()?;
            let first = populated_of(bench, lowered, 4)?;
            let second = populated_of(bench, lowered, 4)?;
            let other = populated_of(bench, free, 8)?;
            expect!(!bench.manager.is_over());
            pinned.set_limit(1);
            lowered.set_limit(4);
            expect!(bench.manager.is_over());
            bench.manager.limits_written();
            expect!(stays.reserve().state() == State::Populated);
            expect!(first.reserve().state() == State::Swapped);
            expect!(second.reserve().state() == State::Populated);
            expect!(other.reserve().state() == State::Populated);
            bench.manager.accounting().limits.set_file(7);
            bench.manager.limits_written();
            expect!(other.reserve().state() == State::Swapped);
            expect!(second.reserve().state() == State::Populated);
            stays.reserve().unpin()?;
            Ok(())
        })
    }

    #[test]
    fn objects_outlive_their_file() -> Result {
        Bench::run(1, |bench| {
            let file = bench.manager.open_file()?;
            expect!(bench.manager.open_files() == 1);
            let bo = populated_of(bench, &file, 4)?;
            drop(file);
            expect!(bench.manager.open_files() == 0);
            expect!(bo.reserve().swap_out()? == 4);
            expect!(bo.reserve().populate(&*bench.manager)? == 4);
            Ok(())
        })
    }
}
