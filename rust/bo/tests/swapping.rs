// SPDX-License-Identifier: GPL-2.0

//! Swapping single objects out and in.

#![deny(unsafe_code)]

use super::support::*;
use crate::bo::{
    rules::{
        limits::Verdict,
        object::{flags, BoType},
        state::State, //
    }, //
};
use kernel::prelude::*;

#[kunit_tests(reeve_tt_swap)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_back_bit_for_bit() -> Result {
        Bench::run(1, |bench| {
            // Several orders, and more blocks than a directory keeps in place.
            for pages in [1, 2, 127, 512 + 256 + 3] {
                let bo = bench.object(pages)?;
                fill(&bo, 5, &*bench.manager)?;
                for _ in 0..2 {
                    expect!(bo.reserve().swap_out()? == pages);
                    expect!(bench.counted() == 0);
                    let info = bo.reserve().info();
                    expect!(info.flags == flags::SWAPPED);
                    expect!(info.resident == 0 && info.charged == 0);
                    expect!(bo.reserve().populate(&*bench.manager)? == pages);
                    expect!(bench.counted() == pages);
                    expect!(is_filled(&bo, 5, &*bench.manager)?);
                }
            }
            let statistics = &bench.manager.accounting().statistics;
            expect!(statistics.swapouts.get() == 8 && statistics.swapins.get() == 8);
            expect!(statistics.swapped_pages.get() == 2 * (1 + 2 + 127 + 771));
            Ok(())
        })
    }

    #[test]
    fn pages_behind_the_object_are_swapped_too() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object_of(BoType::Kernel, PAGE, 2)?;
            bo.reserve().populate(&*bench.manager)?;
            expect!(bo.reserve().swap_out()? == 3);
            expect!(bo.reserve().populate(&*bench.manager)? == 3);
            Ok(())
        })
    }

    #[test]
    fn swapping_out_twice_is_nothing() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(3)?;
            expect!(bo.reserve().swap_out()? == 3);
            expect!(bo.reserve().swap_out()? == 0);
            expect!(bo.reserve().state() == State::Swapped);
            expect!(bench.manager.accounting().statistics.swapouts.get() == 1);
            Ok(())
        })
    }

    #[test]
    fn an_empty_object_is_not_swapped_out() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(3)?;
            expect!(bo.reserve().swap_out()? == 0);
            expect!(bo.reserve().state() == State::Empty);
            Ok(())
        })
    }

    #[test]
    fn a_pinned_object_is_not_swapped_out() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(3)?;
            bo.reserve().pin()?;
            expect!(bo.reserve().swap_out() == Err(EBUSY));
            expect!(bo.reserve().state() == State::Populated);
            expect!(bench.counted() == 3);
            Ok(())
        })
    }

    #[test]
    fn an_external_object_is_not_swapped_out() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object_of(BoType::Sg, PAGE, 0)?;
            expect!(bo.reserve().swap_out() == Err(EINVAL));
            bo.reserve().populate(&*bench.manager)?;
            expect!(bo.reserve().swap_out() == Err(EINVAL));
            expect!(bo.reserve().state() == State::Populated);
            Ok(())
        })
    }

    #[test]
    fn unpopulating_a_swapped_object_keeps_its_content() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(3)?;
            fill(&bo, 9, &*bench.manager)?;
            bo.reserve().swap_out()?;
            expect!(bo.reserve().unpopulate()? == 0);
            expect!(bo.reserve().state() == State::Swapped);
            expect!(is_filled(&bo, 9, &*bench.manager)?);
            Ok(())
        })
    }

    #[test]
    fn reading_and_writing_swap_in() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(2)?;
            fill(&bo, 3, &*bench.manager)?;
            bo.reserve().swap_out()?;
            bo.reserve().write(0, b"new", &*bench.manager)?;
            let mut found = [0u8; 3];
            bo.reserve().swap_out()?;
            bo.reserve().read(0, &mut found, &*bench.manager)?;
            expect!(&found == b"new");
            expect!(bench.manager.accounting().statistics.swapins.get() == 2);
            Ok(())
        })
    }

    #[test]
    fn a_swapin_that_fails_changes_nothing() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(3)?;
            bo.reserve().swap_out()?;
            // Storage that ends too early stands for one that can't be read.
            bo.reserve().truncate_storage()?;
            let populates = bench.manager.accounting().statistics.populates.get();
            expect!(bo.reserve().populate(&*bench.manager).is_err());
            expect!(bo.reserve().state() == State::Swapped);
            expect!(bo.reserve().info().flags == flags::SWAPPED);
            expect!(bench.counted() == 0);
            let statistics = &bench.manager.accounting().statistics;
            expect!(statistics.populates.get() == populates);
            expect!(statistics.swapins.get() == 0);
            expect!(bench.manager.self_check() == Verdict::Ok);
            Ok(())
        })
    }
}
