// SPDX-License-Identifier: GPL-2.0

//! What is counted in the histograms.

#![deny(unsafe_code)]

use super::support::*;
use crate::bo::{
    rules::{
        histogram::BUCKETS,
        object::BoType, //
    },
    tt::swapout::BackUp, //
};
use kernel::prelude::*;

/// More than the parameter `timed_pages` is by default.
const MANY: u64 = 100;

/// Operations counted: populates, swapouts, swapins, backups, restores, and shrinks of objects and
/// of the pool.
fn counted(bench: &Bench) -> [u64; 7] {
    bench
        .manager
        .histograms()
        .map(|(_, histogram)| histogram.total())
}

#[kunit_tests(reeve_tt_timing)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_shown() -> Result {
        Bench::run(1, |bench| {
            for (_, histogram) in bench.manager.histograms() {
                expect!(histogram.counts().count() == BUCKETS);
            }
            Ok(())
        })
    }

    #[test]
    fn an_operation_is_counted_once() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(MANY)?;
            expect!(counted(bench) == [1, 0, 0, 0, 0, 0, 0]);
            bo.reserve().swap_out()?;
            expect!(counted(bench) == [1, 1, 0, 0, 0, 0, 0]);
            bo.reserve().populate(&*bench.manager)?;
            expect!(counted(bench) == [1, 1, 1, 0, 0, 0, 0]);
            bo.reserve().unpopulate()?;
            bo.reserve().populate(&*bench.manager)?;
            expect!(counted(bench) == [2, 1, 1, 0, 0, 0, 0]);
            bo.reserve().back_up(BackUp::RELAXED)?;
            expect!(counted(bench) == [2, 1, 1, 1, 0, 0, 0]);
            bo.reserve().restore(&*bench.manager)?;
            expect!(counted(bench) == [2, 1, 1, 1, 1, 0, 0]);
            Ok(())
        })
    }

    #[test]
    fn what_does_nothing_is_not_counted() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(MANY)?;
            bo.reserve().populate(&*bench.manager)?;
            bo.reserve().read(0, &mut [0; 1], &*bench.manager)?;
            bo.reserve().unpopulate()?;
            bo.reserve().swap_out()?;
            let sg = bench.object_of(BoType::Sg, MANY * PAGE, 0)?;
            sg.reserve().populate(&*bench.manager)?;
            expect!(bo.reserve().back_up(BackUp::RELAXED)? == 0);
            expect!(counted(bench)[..5] == [1, 0, 0, 0, 0]);
            Ok(())
        })
    }

    #[test]
    fn failures_are_not_counted() -> Result {
        Bench::run(1, |bench| {
            let swapped = bench.populated(MANY)?;
            swapped.reserve().swap_out()?;
            let _other = bench.populated(1)?;
            let before = counted(bench);
            swapped.reserve().truncate_storage()?;
            expect!(swapped.reserve().populate(&*bench.manager).is_err());
            bench.limit(MANY);
            let failing = Scripted::new(Err(EIO));
            let bo = bench.object(MANY)?;
            expect!(bo.reserve().populate(&failing) == Err(EIO));
            expect!(counted(bench) == before);
            Ok(())
        })
    }

    #[test]
    fn a_few_new_pages_are_not_timed() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(1)?;
            expect!(counted(bench) == [0; 7]);
            bo.reserve().swap_out()?;
            bo.reserve().populate(&*bench.manager)?;
            expect!(counted(bench) == [0, 1, 1, 0, 0, 0, 0]);
            Ok(())
        })
    }

    #[test]
    fn the_pool_is_only_counted_when_it_gave_something() -> Result {
        Bench::run(1, |bench| {
            let pool = bench.manager.pool();
            pool.drain();
            expect!(counted(bench)[6] == 0);
            bench.populated(MANY)?.reserve().unpopulate()?;
            expect!(pool.kept() == MANY);
            // One node has it all, and only what gives pages counts.
            expect!(pool.drain() == MANY);
            let nodes = counted(bench)[6];
            expect!(nodes >= 1 && nodes <= pool.nodes() as u64);
            expect!(pool.shrink_node(0, 1) == 0);
            expect!(counted(bench)[6] == nodes);
            Ok(())
        })
    }
}
