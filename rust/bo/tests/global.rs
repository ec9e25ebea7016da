// SPDX-License-Identifier: GPL-2.0

//! Limits, global swapout and the self-check.

#![deny(unsafe_code)]

use super::support::*;
use crate::abstractions::list::Linked;
use crate::bo::{
    limits::{
        Limits,
        PoolCap, //
    },
    lru::{
        LruItem,
        Walk, //
    },
    manager::Manager,
    object::{
        Bo,
        BoRef, //
    },
    rules::{
        limits::Verdict,
        object::{
            flags,
            BoFlags,
            BoType, //
        },
        sequence::MAX_DEVICES,
        state::State, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed, //
    }, //
};

#[kunit_tests(reeve_tt_global)]
mod tests {
    use super::*;

    #[test]
    fn as_many_devices_as_there_may_be() -> Result {
        for (count, made) in [
            (0, Err(EINVAL)),
            (1, Ok(1)),
            (MAX_DEVICES, Ok(MAX_DEVICES)),
            (MAX_DEVICES + 1, Err(EINVAL)),
        ] {
            let manager = Manager::new(Limits::own(1), PoolCap::own(0), count);
            expect!(manager.map(|m| m.devices().len()) == made);
        }
        Ok(())
    }

    #[test]
    fn devices_know_their_number() -> Result {
        Bench::run(3, |bench| {
            for index in 0..3 {
                expect!(bench.device(index)?.index() == index as u32);
                let bo = bench.object_on(index, 1)?;
                expect!(bo.device().index() == index as u32);
            }
            Ok(())
        })
    }

    #[test]
    fn the_limit_itself_is_not_over_it() -> Result {
        Bench::run(1, |bench| {
            bench.limit(4);
            let first = bench.populated(2)?;
            let second = bench.populated(2)?;
            expect!(first.reserve().state() == State::Populated);
            expect!(second.reserve().state() == State::Populated);
            expect!(bench.manager.accounting().statistics.swapouts.get() == 0);
            Ok(())
        })
    }

    #[test]
    fn over_the_limit_the_least_recently_used_goes_first() -> Result {
        Bench::run(1, |bench| {
            bench.limit(6);
            let first = bench.populated(2)?;
            let second = bench.populated(2)?;
            let third = bench.populated(2)?;
            let fourth = bench.populated(2)?;
            expect!(first.reserve().state() == State::Swapped);
            expect!(second.reserve().state() == State::Populated);
            expect!(third.reserve().state() == State::Populated);
            expect!(fourth.reserve().state() == State::Populated);
            expect!(bench.counted() == 6);
            expect!(bench.manager.accounting().statistics.overcommits.get() == 0);
            Ok(())
        })
    }

    #[test]
    fn as_many_go_as_must() -> Result {
        Bench::run(1, |bench| {
            bench.limit(6);
            let small = [
                bench.populated(1)?,
                bench.populated(2)?,
                bench.populated(2)?,
            ];
            let large = bench.populated(4)?;
            // 5 + 4 pages: the first two have to go, and the third fits.
            let [first, second, third] = &small;
            expect!(first.reserve().state() == State::Swapped);
            expect!(second.reserve().state() == State::Swapped);
            expect!(third.reserve().state() == State::Populated);
            expect!(large.reserve().state() == State::Populated);
            expect!(bench.counted() == 6);
            Ok(())
        })
    }

    #[test]
    fn using_an_object_moves_it_to_the_end_of_the_lru() -> Result {
        Bench::run(1, |bench| {
            let first = bench.populated(1)?;
            let second = bench.populated(1)?;
            let third = bench.populated(1)?;
            first.reserve().populate(&*bench.manager)?;
            second.reserve().read(0, &mut [0; 1], &*bench.manager)?;
            expect!(bench.evict_one()? == 1);
            expect!(third.reserve().state() == State::Swapped);
            expect!(bench.evict_one()? == 1);
            expect!(first.reserve().state() == State::Swapped);
            expect!(second.reserve().state() == State::Populated);
            Ok(())
        })
    }

    #[test]
    fn with_no_object_left_the_limit_is_soft_and_that_is_counted() -> Result {
        Bench::run(1, |bench| {
            bench.limit(3);
            let pinned = bench.populated(2)?;
            pinned.reserve().pin()?;
            let bo = bench.populated(2)?;
            expect!(bench.counted() == 4);
            expect!(pinned.reserve().state() == State::Populated);
            let statistics = &bench.manager.accounting().statistics;
            expect!(statistics.overcommits.get() == 1);
            drop(bo);
            let huge = bench.populated(9)?;
            expect!(bench.counted() == 11);
            expect!(statistics.overcommits.get() == 2);
            drop(huge);
            Ok(())
        })
    }

    #[test]
    fn a_hard_limit_refuses_and_changes_nothing() -> Result {
        Bench::run(1, |bench| {
            bench.limit(4);
            bench.manager.accounting().limits.set_hard(true);
            let first = bench.populated(3)?;
            first.reserve().pin()?;
            let second = bench.object(3)?;
            expect!(second.reserve().populate(&*bench.manager) == Err(ENOMEM));
            expect!(second.reserve().state() == State::Empty);
            expect!(bench.counted() == 3);
            first.reserve().unpin()?;
            // Nothing is evicted for what can never fit.
            let huge = bench.object(5)?;
            expect!(huge.reserve().populate(&*bench.manager) == Err(ENOMEM));
            expect!(first.reserve().state() == State::Populated);
            expect!(second.reserve().populate(&*bench.manager)? == 3);
            expect!(first.reserve().state() == State::Swapped);
            let statistics = &bench.manager.accounting().statistics;
            expect!(statistics.refusals.get() == 2 && statistics.overcommits.get() == 0);
            Ok(())
        })
    }

    #[test]
    fn shrinking_takes_what_is_wanted_from_the_oldest() -> Result {
        Bench::run(2, |bench| {
            let first = bench.object(20)?;
            fill(&first, 21, &*bench.manager)?;
            let second = bench.populated(10)?;
            let other = bench.object_on(1, 10)?;
            other.reserve().populate(&*bench.manager)?;
            expect!(bench.manager.evictable_pages() == 40);
            expect!(bench.manager.shrink(5, false) == 5);
            expect!(first.reserve().info().resident == 15);
            // Who is busy is passed over, and pinned ones don't count.
            let busy = first.try_reserve().ok_or(EBUSY)?;
            let freed = bench.manager.shrink(3, false);
            drop(busy);
            expect!(freed == 3);
            expect!(second.reserve().info().resident == 7);
            second.reserve().populate(&*bench.manager)?;
            second.reserve().pin()?;
            expect!(bench.manager.evictable_pages() == 25);
            expect!(bench.counted() == 35);
            expect!(bench.manager.shrink(1000, true) == 25);
            expect!(bench.manager.evictable_pages() == 0);
            expect!(bench.manager.shrink(1000, true) == 0);
            expect!(bench.counted() == 10);
            expect!(is_filled(&first, 21, &*bench.manager)?);
            expect!(bench.manager.evictable_pages() == 20);
            second.reserve().unpin()?;
            expect!(bench.manager.evictable_pages() == 30);
            expect!(bench.manager.self_check() == Verdict::Ok);
            Ok(())
        })
    }

    #[test]
    fn a_failed_swapout_undoes_the_populate() -> Result {
        Bench::run(1, |bench| {
            bench.limit(3);
            let other = bench.populated(3)?;
            let bo = bench.object(2)?;
            let failing = Scripted::new(Err(EIO));
            expect!(bo.reserve().populate(&failing) == Err(EIO));
            expect!(failing.asked() == 1);
            expect!(bo.reserve().state() == State::Empty);
            expect!(bench.counted() == 3);
            let statistics = &bench.manager.accounting().statistics;
            expect!(statistics.populates.get() == 1);
            expect!(statistics.overcommits.get() == 0);
            expect!(other.reserve().info().flags == flags::POPULATED | flags::ON_LRU);
            expect!(bench.manager.self_check() == Verdict::Ok);
            Ok(())
        })
    }

    #[test]
    fn a_failed_swapout_leaves_swapped_content_where_it_is() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(2)?;
            fill(&bo, 8, &*bench.manager)?;
            bo.reserve().swap_out()?;
            let _other = bench.populated(1)?;
            bench.limit(2);
            expect!(bo.reserve().populate(&Scripted::new(Err(ENOMEM))) == Err(ENOMEM));
            expect!(bo.reserve().state() == State::Swapped);
            bench.limit(2);
            expect!(is_filled(&bo, 8, &*bench.manager)?);
            Ok(())
        })
    }

    #[test]
    fn nothing_is_evicted_below_the_limit() -> Result {
        Bench::run(1, |bench| {
            let reclaim = Scripted::new(Err(EIO));
            let bo = bench.object(2)?;
            bo.reserve().populate(&reclaim)?;
            expect!(reclaim.asked() == 0);
            Ok(())
        })
    }

    #[test]
    fn nothing_left_is_zero() -> Result {
        Bench::run(2, |bench| {
            expect!(bench.evict_one()? == 0);
            let empty = bench.object(3)?;
            expect!(bench.evict_one()? == 0);
            expect!(empty.reserve().state() == State::Empty);
            Ok(())
        })
    }

    #[test]
    fn pinned_external_and_swapped_objects_are_passed_over() -> Result {
        Bench::run(1, |bench| {
            let pinned = bench.populated(1)?;
            pinned.reserve().pin()?;
            let external = bench.object_of(BoType::Sg, PAGE, 0)?;
            external.reserve().populate(&*bench.manager)?;
            let swapped = bench.populated(2)?;
            swapped.reserve().swap_out()?;
            let last = bench.populated(4)?;

            expect!(bench.evict_one()? == 4);
            expect!(last.reserve().state() == State::Swapped);
            expect!(bench.evict_one()? == 0);
            expect!(pinned.reserve().state() == State::Populated);
            expect!(external.reserve().state() == State::Populated);

            pinned.reserve().unpin()?;
            expect!(bench.evict_one()? == 1);
            Ok(())
        })
    }

    #[test]
    fn busy_objects_are_passed_over_and_keep_their_place() -> Result {
        Bench::run(1, |bench| {
            let first = bench.populated(1)?;
            let second = bench.populated(2)?;
            let busy = first.try_reserve().ok_or(EBUSY)?;
            let evicted = bench.evict_one();
            let left = bench.evict_one();
            drop(busy);
            expect!(evicted == Ok(2));
            expect!(left == Ok(0));
            expect!(second.reserve().state() == State::Swapped);
            let third = bench.populated(4)?;
            expect!(bench.evict_one()? == 1);
            expect!(first.reserve().state() == State::Swapped);
            expect!(third.reserve().state() == State::Populated);
            Ok(())
        })
    }

    #[test]
    fn the_object_that_is_being_populated_is_not_its_own_victim() -> Result {
        Bench::run(1, |bench| {
            bench.limit(1);
            let bo = bench.populated(3)?;
            bo.reserve().swap_out()?;
            expect!(bo.reserve().populate(&*bench.manager)? == 3);
            expect!(bo.reserve().state() == State::Populated);
            expect!(bench.manager.accounting().statistics.overcommits.get() == 2);
            Ok(())
        })
    }

    #[test]
    fn devices_are_evicted_from_alternately() -> Result {
        Bench::run(3, |bench| {
            let mut objects = KVec::new();
            for device in 0..3usize {
                for _ in 0..2 {
                    // The number of pages tells the device.
                    let bo = bench.object_on(device, 1 << device)?;
                    bo.reserve().populate(&*bench.manager)?;
                    objects.push(bo, GFP_KERNEL)?;
                }
            }
            for pages in [1, 2, 4, 1, 2, 4, 0] {
                expect!(bench.evict_one()? == pages);
            }
            Ok(())
        })
    }

    #[test]
    fn a_device_with_nothing_to_give_keeps_its_place() -> Result {
        Bench::run(2, |bench| {
            let second = bench.object_on(1, 2)?;
            second.reserve().populate(&*bench.manager)?;
            expect!(bench.evict_one()? == 2);
            let first = bench.object_on(0, 1)?;
            first.reserve().populate(&*bench.manager)?;
            second.reserve().populate(&*bench.manager)?;
            expect!(bench.evict_one()? == 1);
            Ok(())
        })
    }

    #[test]
    fn the_limit_can_change_at_any_time() -> Result {
        Bench::run(1, |bench| {
            let first = bench.populated(4)?;
            bench.limit(2);
            expect!(first.reserve().state() == State::Populated);
            let second = bench.populated(1)?;
            expect!(first.reserve().state() == State::Swapped);
            expect!(second.reserve().state() == State::Populated);
            expect!(bench.counted() == 1);
            Ok(())
        })
    }

    #[test]
    fn hundreds_of_objects_leave_nothing_behind() -> Result {
        Bench::run(2, |bench| {
            bench.limit(100);
            let mut objects = KVVec::new();
            for i in 0..300usize {
                let bo = bench.object_on(i % 2, 1 + i as u64 % 3)?;
                bo.reserve().populate(&*bench.manager)?;
                objects.push(bo, GFP_KERNEL)?;
            }
            expect!(bench.counted() <= 100);
            expect!(bench.manager.self_check() == Verdict::Ok);
            Ok(())
        })
    }

    #[test]
    fn a_walk_keeps_its_place_whatever_happens_around_it() -> Result {
        Bench::run(1, |bench| {
            let mut objects = KVec::new();
            for pages in 1..=6 {
                objects.push(bench.populated(pages)?, GFP_KERNEL)?;
            }
            let [one, two, three, four, five, six] = &objects[..] else {
                return Err(EINVAL);
            };
            let device = bench.device(0)?;
            let mut walk = Walk::<Bo, 0, _>::new(&**device);
            let mut other = Walk::<Bo, 0, _>::new(&**device);
            let sizes = |bo: Option<ARef<Linked<Bo>>>| bo.map(|bo| bo.size() / PAGE_SIZE as u64);
            expect!(sizes(walk.next(|_| true)?) == Some(1));
            expect!(sizes(other.next(|bo| bo.size() > PAGE_SIZE as u64)?) == Some(2));
            // Where the walk is goes, the next one is used, and so is one that was passed.
            one.reserve().unpopulate()?;
            two.reserve().populate(&*bench.manager)?;
            expect!(sizes(walk.next(|_| true)?) == Some(3));
            four.reserve().pin()?;
            three.reserve().swap_out()?;
            let last = bench.populated(7)?;
            expect!(sizes(walk.next(|_| true)?) == Some(5));
            expect!(sizes(other.next(|_| true)?) == Some(5));
            five.reserve().unpopulate()?;
            expect!(sizes(walk.next(|_| true)?) == Some(6));
            // What was used since is not part of it.
            expect!(walk.next(|_| true)?.is_none() && walk.next(|_| true)?.is_none());
            drop(other);
            four.reserve().unpin()?;
            expect!(six.reserve().state() == State::Populated);
            drop(last);
            Ok(())
        })
    }

    #[test]
    fn a_walk_finds_nothing_twice() -> Result {
        Bench::run(1, |bench| {
            let mut objects = KVec::new();
            for pages in 1..=5 {
                objects.push(bench.populated(pages)?, GFP_KERNEL)?;
            }
            let device = bench.device(0)?;
            let mut walk = Walk::<Bo, 0, _>::new(&**device);
            // The first two go, so that the next is the first one then; the others stay.
            for (pages, bo) in (1..).zip(objects.iter()) {
                let found = walk.next(|_| true)?.ok_or(ENOENT)?;
                expect!(found.size() == pages * PAGE_SIZE as u64);
                if pages <= 2 {
                    bo.reserve().swap_out()?;
                }
            }
            expect!(walk.next(|_| true)?.is_none());
            Ok(())
        })
    }

    #[test]
    fn more_devices_are_asked_than_without_memory() -> Result {
        Bench::run(8, |bench| {
            let many = crate::abstractions::page::total_ram() / 2;
            let mut devices = KVec::new();
            for device in bench.manager.devices() {
                devices.push(device.clone(), GFP_KERNEL)?;
            }
            for _ in 0..4 {
                devices.push(bench.manager.register(None)?, GFP_KERNEL)?;
            }
            let flags = BoFlags::of(BoType::Device, false);
            let mut objects = KVec::new();
            for (pages, device) in (1..).zip(&devices) {
                let size = pages * PAGE_SIZE as u64;
                let bo = BoRef::new(device, size, 0, BoType::Device, flags)?;
                bo.reserve().populate(&*bench.manager)?;
                objects.push(bo, GFP_KERNEL)?;
            }
            let (last, others) = objects.split_last().ok_or(EINVAL)?;
            // These claim to hold more than could be copied.
            others
                .iter()
                .for_each(|bo| bo.resident().store(many * 1000, Relaxed));
            let (freed, none) = (bench.evict_one(), bench.evict_one());
            for (pages, bo) in (1..).zip(others) {
                bo.resident().store(pages, Relaxed);
            }
            let was_last = last.reserve().state() == State::Swapped;
            // All others, each once.
            let mut sum = 0;
            for _ in others {
                sum += bench.evict_one()?;
            }
            drop(objects);
            for device in devices.iter().skip(8) {
                bench.manager.unregister(device)?;
            }
            expect!(freed == Ok(12) && none == Ok(0) && was_last);
            expect!(sum == (1..12).sum());
            Ok(())
        })
    }

    #[test]
    fn an_object_that_fails_does_not_end_the_search() -> Result {
        Bench::run(2, |bench| {
            let many = crate::abstractions::page::total_ram() / 2;
            // Claims to hold more than could be copied: it is not even tried.
            let large = bench.populated(1)?;
            large.resident().store(many * 1000, Relaxed);
            let small = bench.populated(3)?;
            let freed = bench.evict_one();
            let state = large.reserve().state();
            large.resident().store(1, Relaxed);
            expect!(freed == Ok(3) && state == State::Populated);
            expect!(small.reserve().state() == State::Swapped);
            expect!(bench.evict_one()? == 1);
            Ok(())
        })
    }

    #[test]
    fn the_self_check_notices_a_page_that_was_not_counted() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(3)?;
            expect!(bench.manager.self_check() == Verdict::Ok);
            bo.device().miscount(1);
            let verdict = bench.manager.self_check();
            bo.device().miscount(1u64.wrapping_neg());
            expect!(
                verdict
                    == Verdict::Drift {
                        counted: 3,
                        summed: 4
                    }
            );
            Ok(())
        })
    }
}
