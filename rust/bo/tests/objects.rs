// SPDX-License-Identifier: GPL-2.0

//! Making, populating and ending objects.

#![deny(unsafe_code)]

use super::support::*;
use crate::bo::{
    object::BoRef,
    rules::{
        object::{
            flags,
            BoFlags,
            BoType, //
        },
        state::{
            self,
            State, //
        }, //
    }, //
};
use kernel::prelude::*;

#[kunit_tests(reeve_tt)]
mod tests {
    use super::*;

    #[test]
    fn transitions_are_those_of_the_table() -> Result {
        for (state, event, after) in state::TRANSITIONS {
            expect!(state::step(state, event) == after);
        }
        for (view, request, decision) in state::CASES {
            expect!(state::decide(view, request) == decision);
        }
        Ok(())
    }

    #[test]
    fn create_by_type() -> Result {
        Bench::run(1, |bench| {
            for (ty, zero_alloc, expected) in [
                (BoType::Device, false, 0),
                (BoType::Device, true, flags::ZERO_ALLOC),
                (BoType::Kernel, false, 0),
                (BoType::Kernel, true, 0),
                (BoType::Sg, false, flags::EXTERNAL),
                (BoType::Sg, true, flags::EXTERNAL),
            ] {
                let bo = BoRef::new(bench.device(0)?, PAGE, 0, ty, BoFlags::of(ty, zero_alloc))?;
                let info = bo.reserve().info();
                expect!(info.flags == expected);
                expect!(info.num_pages == 1);
                expect!(info.resident == 0 && info.charged == 0);
                expect!(bo.reserve().state() == State::Empty);
            }
            expect!(bench.counted() == 0);
            Ok(())
        })
    }

    #[test]
    fn create_keeps_the_tt_it_has() -> Result {
        Bench::run(1, |bench| {
            let bo = BoRef::without_tt(bench.device(0)?, PAGE, BoType::Device)?;
            bo.reserve().create_tt(2, true)?;
            bo.reserve().create_tt(5, false)?;
            let info = bo.reserve().info();
            expect!(info.num_pages == 3);
            expect!(info.flags == flags::ZERO_ALLOC);
            bo.reserve().populate(&*bench.manager)?;
            bo.reserve().create_tt(5, false)?;
            expect!(bo.reserve().state() == State::Populated);
            Ok(())
        })
    }

    #[test]
    fn sizes_round_up_and_extra_pages_count() -> Result {
        Bench::run(1, |bench| {
            for (size, extra, pages) in [
                (1, 0, 1),
                (PAGE - 1, 0, 1),
                (PAGE + 1, 0, 2),
                (2 * PAGE, 3, 5),
            ] {
                let bo = bench.object_of(BoType::Kernel, size, extra)?;
                expect!(bo.reserve().populate(&*bench.manager)? == pages);
                expect!(bench.counted() == pages);
                expect!(bo.reserve().info().resident == pages);
                expect!(bo.size() == size);
            }
            Ok(())
        })
    }

    #[test]
    fn sizes_that_overflow_are_refused() -> Result {
        Bench::run(1, |bench| {
            for (size, extra) in [
                (0, 0),
                (0, 1),
                (u64::MAX, 0),
                (u64::MAX - PAGE + 2, 0),
                (1 << 63, 0),
                (PAGE, u64::MAX),
            ] {
                let made = bench.object_of(BoType::Device, size, extra);
                expect!(made.err() == Some(EINVAL));
            }
            expect!(bench.manager.accounting().objects() == 0);
            Ok(())
        })
    }

    #[test]
    fn objects_are_counted_while_they_live() -> Result {
        Bench::run(1, |bench| {
            let first = bench.object(1)?;
            let second = bench.object(1)?;
            let again = first.clone();
            expect!(bench.manager.accounting().objects() == 2);
            drop(first);
            expect!(bench.manager.accounting().objects() == 2);
            drop(again);
            expect!(bench.manager.accounting().objects() == 1);
            drop(second);
            Ok(())
        })
    }

    #[test]
    fn populate_needs_a_tt() -> Result {
        Bench::run(1, |bench| {
            let bo = BoRef::without_tt(bench.device(0)?, PAGE, BoType::Device)?;
            expect!(bo.reserve().populate(&*bench.manager) == Err(EINVAL));
            expect!(bo.reserve().unpopulate() == Err(EINVAL));
            expect!(bench.counted() == 0);
            Ok(())
        })
    }

    #[test]
    fn populating_twice_counts_once() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(5)?;
            expect!(bo.reserve().populate(&*bench.manager)? == 0);
            expect!(bench.counted() == 5);
            expect!(bench.manager.accounting().statistics.populates.get() == 1);
            expect!(bo.reserve().info().flags == flags::POPULATED | flags::ON_LRU);
            Ok(())
        })
    }

    #[test]
    fn external_objects_count_nothing() -> Result {
        Bench::run(1, |bench| {
            bench.limit(0);
            let bo = bench.object_of(BoType::Sg, 9 * PAGE, 0)?;
            expect!(bo.reserve().populate(&*bench.manager)? == 0);
            let info = bo.reserve().info();
            expect!(info.flags == flags::POPULATED | flags::EXTERNAL);
            expect!(info.num_pages == 9 && info.resident == 0 && info.charged == 0);
            expect!(bench.counted() == 0);
            expect!(bo.reserve().read(0, &mut [0; 1], &*bench.manager) == Err(EINVAL));
            expect!(bo.reserve().unpopulate()? == 0);
            expect!(bo.reserve().state() == State::Empty);
            let statistics = &bench.manager.accounting().statistics;
            expect!(statistics.populates.get() == 0 && statistics.unpopulates.get() == 0);
            expect!(statistics.overcommits.get() == 0);
            Ok(())
        })
    }

    #[test]
    fn pages_are_cleared_of_what_was_in_them() -> Result {
        Bench::run(1, |bench| {
            // The allocator likes to give the same pages again.
            for _ in 0..4 {
                let bo = bench.populated(3)?;
                let mut found = [1u8; 64];
                for offset in [0, PAGE - 32, 3 * PAGE - 64] {
                    bo.reserve().read(offset, &mut found, &*bench.manager)?;
                    expect!(found == [0; 64]);
                }
                fill(&bo, 77, &*bench.manager)?;
                bo.reserve().unpopulate()?;
                bo.reserve().read(PAGE, &mut found, &*bench.manager)?;
                expect!(found == [0; 64]);
                fill(&bo, 78, &*bench.manager)?;
            }
            Ok(())
        })
    }

    #[test]
    fn more_than_all_memory_is_refused_before_any_object_is_swapped_out() -> Result {
        Bench::run(1, |bench| {
            let small = bench.populated(2)?;
            bench.limit(2);
            let huge = bench.object(1 << 36)?;
            expect!(huge.reserve().populate(&*bench.manager) == Err(ENOMEM));
            expect!(huge.reserve().state() == State::Empty);
            expect!(small.reserve().state() == State::Populated);
            expect!(bench.counted() == 2);
            expect!(bench.manager.accounting().statistics.overcommits.get() == 0);
            Ok(())
        })
    }

    #[test]
    fn unpopulate_gives_back() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(7)?;
            expect!(bo.reserve().unpopulate()? == 7);
            expect!(bench.counted() == 0);
            expect!(bo.reserve().info().flags == 0);
            expect!(bo.reserve().unpopulate()? == 0);
            expect!(bench.manager.accounting().statistics.unpopulates.get() == 1);
            Ok(())
        })
    }

    #[test]
    fn unpopulate_of_an_empty_object_is_nothing() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(7)?;
            expect!(bo.reserve().unpopulate()? == 0);
            expect!(bench.manager.accounting().statistics.unpopulates.get() == 0);
            Ok(())
        })
    }

    #[test]
    fn pins_nest_and_hold() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(1)?;
            expect!(bo.reserve().pin() == Err(EINVAL));
            bo.reserve().populate(&*bench.manager)?;
            expect!(bo.reserve().unpin() == Err(EINVAL));
            bo.reserve().pin()?;
            bo.reserve().pin()?;
            expect!(bo.reserve().info().pins == 2);
            expect!(bo.reserve().info().flags == flags::POPULATED);
            expect!(bo.reserve().unpopulate() == Err(EBUSY));
            bo.reserve().unpin()?;
            expect!(bo.reserve().unpopulate() == Err(EBUSY));
            bo.reserve().unpin()?;
            expect!(bo.reserve().info().flags == flags::POPULATED | flags::ON_LRU);
            expect!(bo.reserve().unpopulate()? == 1);
            Ok(())
        })
    }

    #[test]
    fn objects_can_end_in_every_state() -> Result {
        Bench::run(1, |bench| {
            drop(BoRef::without_tt(bench.device(0)?, PAGE, BoType::Device)?);
            drop(bench.object(4)?);
            drop(bench.populated(4)?);
            expect!(bench.counted() == 0);

            let pinned = bench.populated(4)?;
            pinned.reserve().pin()?;
            drop(pinned);
            expect!(bench.counted() == 0);

            let swapped = bench.populated(4)?;
            swapped.reserve().swap_out()?;
            drop(swapped);

            let external = bench.object_of(BoType::Sg, PAGE, 0)?;
            external.reserve().populate(&*bench.manager)?;
            drop(external);
            Ok(())
        })
    }

    #[test]
    fn bytes_are_where_they_were_written() -> Result {
        Bench::run(1, |bench| {
            let bo = BoRef::new(
                bench.device(0)?,
                3 * PAGE + 5,
                0,
                BoType::Device,
                BoFlags::of(BoType::Device, true),
            )?;
            let text = b"across a page boundary";
            for offset in [0, PAGE - 3, 2 * PAGE - 22, 3 * PAGE - 17] {
                bo.reserve().write(offset, text, &*bench.manager)?;
                let mut found = [0u8; 22];
                bo.reserve().read(offset, &mut found, &*bench.manager)?;
                expect!(&found == text);
            }
            // Reading populated it.
            expect!(bench.counted() == 4);
            Ok(())
        })
    }

    #[test]
    fn bytes_outside_are_refused_and_populate_nothing() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object_of(BoType::Device, PAGE + 5, 1)?;
            for (offset, length) in [(PAGE + 5, 1), (PAGE, 6), (u64::MAX, 1), (u64::MAX, 2)] {
                let mut buffer = [0u8; 6];
                let part = buffer.get_mut(..length).ok_or(EINVAL)?;
                expect!(bo.reserve().read(offset, part, &*bench.manager) == Err(EINVAL));
                expect!(bo.reserve().write(offset, part, &*bench.manager) == Err(EINVAL));
            }
            expect!(bench.counted() == 0);
            Ok(())
        })
    }
}
