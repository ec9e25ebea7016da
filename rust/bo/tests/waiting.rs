// SPDX-License-Identifier: GPL-2.0

//! Populates below hard limits: which wait for others, and what is counted against the limit.

#![deny(unsafe_code)]

use super::support::*;
use crate::{
    bo::{
        charge::Charge,
        object::BoRef,
        rules::{
            object::{
                BoFlags,
                BoType, //
            },
            state::State, //
        },
        tt::swapout::BackUp,
        Manager, //
    },
    lock_order::with_context, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc,
        Completion, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue, //
};

/// What has not come from a populate yet.
const PENDING: i64 = i64::MIN;

/// A populate in a task of its own.
#[pin_data]
struct Populate {
    result: Atomic<i64>,
    #[pin]
    done: Completion,
}

impl Populate {
    /// Starts to populate `bo`.
    fn start(manager: &Arc<Manager>, bo: BoRef) -> Result<Arc<Self>> {
        let populate = Arc::pin_init(
            pin_init!(Self {
                result: Atomic::new(PENDING),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        let (it, manager) = (populate.clone(), manager.clone());
        workqueue::system_freezable().try_spawn(GFP_KERNEL, move || {
            let result = with_context(|| {
                let result = bo.reserve().populate(&*manager);
                drop(bo);
                result
            });
            let value = match result {
                Ok(pages) => pages as i64,
                Err(e) => i64::from(e.to_errno()),
            };
            it.result.store(value, Release);
            it.done.complete_all();
        })?;
        Ok(populate)
    }

    /// Waits for the end and returns the number of pages, or the errno.
    fn end(&self) -> i64 {
        self.done.wait_for_completion();
        self.result.load(Acquire)
    }
}

/// Waits until one task waits for what is in flight; `false`: none does.
fn one_waits(bench: &Bench) -> bool {
    for _ in 0..5000 {
        if bench.manager.accounting().settling.sleepers() == 1 {
            return true;
        }
        fsleep(Delta::from_millis(2));
    }
    false
}

#[kunit_tests(reeve_tt_waiting)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_waited_for_and_then_evicted() -> Result {
        Bench::run(1, |bench| {
            bench.limit(10);
            bench.manager.accounting().limits.set_hard(true);
            let first = bench.populated(6)?;
            let held = first.reserve();
            let populate = Populate::start(&bench.manager, bench.object(6)?)?;
            let waits = one_waits(bench);
            // What waits is not counted.
            let counted = bench.counted();
            drop(held);
            expect!(populate.end() == 6);
            expect!(waits && counted == 6);
            expect!(first.reserve().state() == State::Swapped);
            expect!(bench.manager.accounting().statistics.refusals.get() == 0);
            Ok(())
        })
    }

    #[test]
    fn a_populate_in_flight_that_fails_leaves_room() -> Result {
        Bench::run(1, |bench| {
            let accounting = bench.manager.accounting();
            bench.limit(10);
            accounting.limits.set_hard(true);
            let busy = accounting.settling.begin();
            let mut charge = Charge::new(false, false);
            charge.add_anyway(accounting, 6);
            let populate = Populate::start(&bench.manager, bench.object(6)?)?;
            let waits = one_waits(bench);
            let counted = bench.counted();
            drop(charge);
            drop(busy);
            expect!(populate.end() == 6);
            expect!(waits && counted == 6);
            Ok(())
        })
    }

    #[test]
    fn what_stays_is_refused_once_nothing_is_in_flight() -> Result {
        Bench::run(1, |bench| {
            bench.limit(10);
            bench.manager.accounting().limits.set_hard(true);
            let first = bench.populated(6)?;
            let mut held = first.reserve();
            let populate = Populate::start(&bench.manager, bench.object(6)?)?;
            let waits = one_waits(bench);
            held.pin()?;
            drop(held);
            expect!(populate.end() == i64::from(ENOMEM.to_errno()));
            expect!(waits && bench.counted() == 6);
            expect!(bench.manager.accounting().statistics.refusals.get() == 1);
            Ok(())
        })
    }

    #[test]
    fn two_that_wait_for_each_other_end() -> Result {
        Bench::run(1, |bench| {
            bench.limit(10);
            bench.manager.accounting().limits.set_hard(true);
            let first = bench.populated(6)?;
            first.reserve().pin()?;
            for _ in 0..20 {
                let one = Populate::start(&bench.manager, bench.object(6)?)?;
                let two = Populate::start(&bench.manager, bench.object(6)?)?;
                let refused = i64::from(ENOMEM.to_errno());
                let ends = (one.end(), two.end());
                expect!(ends == (refused, refused));
            }
            expect!(bench.counted() == 6);
            Ok(())
        })
    }

    #[test]
    fn the_limit_of_a_file_is_waited_for_as_well() -> Result {
        Bench::run(1, |bench| {
            bench.manager.accounting().limits.set_hard(true);
            let file = bench.manager.open_file()?;
            file.set_limit(10);
            let object = || {
                let flags = BoFlags::of(BoType::Device, false);
                let (device, size) = (bench.device(0)?, 6 * PAGE_SIZE as u64);
                BoRef::of_file(&file, device, size, 0, BoType::Device, flags)
            };
            let first = object()?;
            first.reserve().populate(&*bench.manager)?;
            let held = first.reserve();
            let populate = Populate::start(&bench.manager, object()?)?;
            let waits = one_waits(bench);
            let charged = file.charged();
            drop(held);
            expect!(populate.end() == 6);
            expect!(waits && charged == 6);
            expect!(first.reserve().state() == State::Swapped);
            Ok(())
        })
    }

    #[test]
    fn what_can_never_fit_is_not_charged_to_the_file() -> Result {
        Bench::run(1, |bench| {
            bench.manager.accounting().limits.set_hard(true);
            let file = bench.manager.open_file()?;
            file.set_limit(10);
            let flags = BoFlags::of(BoType::Device, false);
            let size = 11 * PAGE_SIZE as u64;
            let bo = BoRef::of_file(&file, bench.device(0)?, size, 0, BoType::Device, flags)?;
            let none = Scripted::new(Err(EIO));
            expect!(bo.reserve().populate(&none) == Err(ENOMEM));
            expect!(none.asked() == 0 && file.charged() == 0);
            Ok(())
        })
    }

    #[test]
    fn storage_without_swap_counts_against_a_hard_limit() -> Result {
        Bench::run(1, |bench| {
            let limits = &bench.manager.accounting().limits;
            bench.limit(10);
            limits.set_hard(true);
            limits.set_free_swap(0);
            let first = bench.populated(6)?;
            let second = bench.object(6)?;
            expect!(second.reserve().populate(&*bench.manager) == Err(ENOMEM));
            // Evicting it would not help.
            expect!(first.reserve().state() == State::Populated);
            first.reserve().swap_out()?;
            expect!(limits.stored() == 6);
            expect!(second.reserve().populate(&*bench.manager) == Err(ENOMEM));
            // It can come back itself.
            expect!(first.reserve().populate(&*bench.manager)? == 6);
            expect!(limits.stored() == 0);
            first.reserve().swap_out()?;
            limits.set_free_swap(2);
            expect!(second.reserve().populate(&*bench.manager)? == 6);
            drop(first);
            expect!(limits.stored() == 0);
            // A soft limit is for what is counted.
            limits.set_free_swap(0);
            limits.set_hard(false);
            let third = bench.populated(6)?;
            expect!(second.reserve().state() == State::Swapped && limits.stored() == 6);
            drop((second, third));
            Ok(())
        })
    }

    #[test]
    fn a_backup_in_part_is_stored_in_part() -> Result {
        Bench::run(1, |bench| {
            let limits = &bench.manager.accounting().limits;
            let bo = bench.populated(600)?;
            let half = BackUp {
                until: 300,
                ..BackUp::RELAXED
            };
            bo.reserve().back_up(half)?;
            let left = bo.reserve().info().resident;
            expect!(left < 600 && limits.stored() == 600 - left);
            bo.reserve().purge()?;
            expect!(limits.stored() == 0);
            Ok(())
        })
    }
}
