// SPDX-License-Identifier: GPL-2.0-or-later

//! Limits bound what one user can take, and one user's populates never make another's fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Barrier;
use std::thread;

use nix::errno::Errno;
use nix::sys::resource::setrlimit;
use nix::sys::resource::Resource;
use nix::unistd::setuid;
use nix::unistd::Uid;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::DEFAULT_PATH;

use crate::process::Child;
use crate::seen::counter;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("budgets";
    what_can_never_succeed_is_not_counted,
    what_fits_one_after_the_other_is_not_refused,
    external_pages_are_bounded,
    without_swap_storage_is_memory,
    without_swap_storage_is_the_files,
    opening_again_is_no_new_budget,
    users_have_budgets_of_their_own,
    privileged_users_have_none,
    pins_count_against_memlock,
    pins_of_a_user_count_together,
    pins_end_with_the_object,
    pins_of_all_have_a_limit,
    a_file_has_so_many_objects,
    mapped_objects_that_are_gone_count,
    addresses_are_for_administrators,
);

fn harden() -> Outcome {
    Ok(knobs::set_parameter("hard_limit", "1")?)
}

/// Lets every user open the device until dropped.
struct ForAll(());

impl ForAll {
    fn new() -> Outcome<Self> {
        fs::set_permissions(DEFAULT_PATH, fs::Permissions::from_mode(0o666))?;
        Ok(Self(()))
    }
}

impl Drop for ForAll {
    fn drop(&mut self) {
        // When this fails, the case that checks the mode says so.
        let _ = fs::set_permissions(DEFAULT_PATH, fs::Permissions::from_mode(0o600));
    }
}

/// Runs `f` as a user without capabilities.
pub(super) fn as_user(uid: u32, f: impl FnOnce() -> Outcome) -> Outcome {
    let node = ForAll::new()?;
    Child::run(|_| {
        setuid(Uid::from_raw(uid))?;
        f()
    })?
    .join()?;
    drop(node);
    Ok(())
}

/// The largest object has more pages than any machine. No other process may notice that it is tried.
fn what_can_never_succeed_is_not_counted() -> Outcome {
    for hard in ["1", "0"] {
        knobs::set_parameter("hard_limit", hard)?;
        let (device, other) = (open()?, open()?);
        let idle = populated(&device, 64)?;
        let small = device.create(Create::new(16 * PAGE))?;
        let huge = other.create(Create::new(1 << 50))?;
        refused(other.populate(huge), Errno::ENOMEM)?;
        let before = device.stats()?;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = other.populate(huge);
                }
            });
            let result = (0..3000).try_for_each(|_| {
                device.populate(small)?;
                device.unpopulate(small)?;
                check!(device.stats()?.pages_allocated < 1 << 30);
                Ok(())
            });
            done.store(true, Ordering::Relaxed);
            result
        })
        .map_err(|stop: Stop| stop.during(hard))?;
        let after = device.stats()?;
        check_eq!(after.swapouts, before.swapouts);
        check_eq!(after.overcommits, before.overcommits);
        check!(device.info(idle)?.is(REEVE_BO_POPULATED));
    }
    Ok(())
}

/// Each is evicted for the other, as soon as the other's populate has ended.
fn what_fits_one_after_the_other_is_not_refused() -> Outcome {
    let _swap = Swap::on()?;
    harden()?;
    let _limit = Limit::pages(100)?;
    let device = open()?;
    let handles = [(); 3].map(|()| device.create(Create::new(60 * PAGE)));
    let barrier = Barrier::new(handles.len());
    let results: Vec<Outcome> = thread::scope(|scope| {
        let threads: Vec<_> = handles
            .iter()
            .map(|handle| {
                scope.spawn(|| {
                    let handle = handle
                        .as_ref()
                        .map_err(|err| Stop::failed(err.to_string()))?;
                    let mut result = Ok(());
                    for _ in 0..100 {
                        barrier.wait();
                        // All go on to the end, for the others wait at the barrier.
                        let populated = device.populate(*handle).map(drop);
                        result = result.and(populated);
                    }
                    Ok(result?)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(Stop::failed("it panicked"))))
            .collect()
    });
    results.into_iter().collect::<Outcome<Vec<()>>>()?;
    check_eq!(device.stats()?.pages_allocated, 60);
    Ok(())
}

fn external_pages_are_bounded() -> Outcome {
    harden()?;
    let device = open()?;
    let _limit = Limit::pages(256)?;
    let mappable = |pages| Create::new(pages * PAGE).kind(BoType::Sg).mappable();
    let large = device.create(mappable(257))?;
    unchanged(&device, || refused(device.populate(large), Errno::ENOMEM))?;
    let first = device.create(mappable(200))?;
    device.populate(first)?;
    check_eq!(counter("external_pages")?, 200);
    check_eq!(device.file_limit()?.pages_charged, 200);
    for more in [mappable(57), Create::new(57 * PAGE)] {
        let more = device.create(more)?;
        unchanged(&device, || refused(device.populate(more), Errno::ENOMEM))?;
    }
    populated(&device, 56)?;
    // What is dropped, backed up or destroyed does not count any more.
    device.unpopulate(first)?;
    check_eq!(counter("external_pages")?, 0);
    device.populate(first)?;
    device.backup(first)?;
    check_eq!(counter("external_pages")?, 0);
    check_eq!(device.file_limit()?.pages_charged, 56);
    device.destroy(first)?;
    check_eq!(counter("stored_pages")?, 0);
    // The file's limit bounds them, too.
    device.set_file_limit(60)?;
    let second = device.create(mappable(50))?;
    unchanged(&device, || refused(device.populate(second), Errno::ENOMEM))
}

/// What was swapped out is still in memory, so it counts.
fn without_swap_storage_is_memory() -> Outcome {
    harden()?;
    let device = open()?;
    let _limit = Limit::pages(256)?;
    let mut taken = 0;
    for _ in 0..10 {
        let handle = device.create(Create::new(100 * PAGE))?;
        match device.populate(handle) {
            Ok(pages) => taken += pages,
            Err(err) => check_eq!(errno(&err), Errno::ENOMEM),
        }
        // Swapping it out does not make room.
        device.swapout(handle)?;
    }
    check_eq!(taken, 200);
    check_eq!(device.stats()?.pages_allocated, 0);
    check_eq!(counter("stored_pages")?, 200);
    // What is swapped out can come back, for it leaves storage.
    let first = device.list()?.first().map(|info| info.handle);
    let first = first.ok_or_else(|| Stop::failed("no objects"))?;
    let mut raw = reeve_uapi::sys::reeve_bo {
        handle: first,
        ..Default::default()
    };
    device.raw().bo(reeve_uapi::BoCall::Populate, &mut raw)?;
    check_eq!(counter("stored_pages")?, 100);
    Ok(())
}

fn without_swap_storage_is_the_files() -> Outcome {
    harden()?;
    let (device, other) = (open()?, open()?);
    device.set_file_limit(100)?;
    let first = populated(&device, 60)?;
    device.swapout(first)?;
    let second = device.create(Create::new(60 * PAGE))?;
    unchanged(&device, || refused(device.populate(second), Errno::ENOMEM))?;
    populated(&other, 60)?;
    device.destroy(first)?;
    check_eq!(device.populate(second)?, 60);
    Ok(())
}

fn opening_again_is_no_new_budget() -> Outcome {
    harden()?;
    knobs::set_parameter("file_pages_limit", "100")?;
    as_user(1000, || {
        let first = open()?;
        populated(&first, 60)?;
        let second = open()?;
        let handle = second.create(Create::new(60 * PAGE))?;
        unchanged(&second, || refused(second.populate(handle), Errno::ENOMEM))?;
        // Nor does another process of the user have one.
        Child::run(|_| {
            let third = open()?;
            let handle = third.create(Create::new(41 * PAGE))?;
            refused(third.populate(handle), Errno::ENOMEM)?;
            populated(&third, 40)?;
            Ok(())
        })?
        .join()?;
        drop(first);
        check_eq!(second.populate(handle)?, 60);
        Ok(())
    })
}

fn users_have_budgets_of_their_own() -> Outcome {
    harden()?;
    knobs::set_parameter("file_pages_limit", "100")?;
    as_user(1000, || {
        let device = open()?;
        populated(&device, 100)?;
        Ok(())
    })?;
    let node = ForAll::new()?;
    let mut children = Vec::new();
    for uid in [1000, 1001] {
        let mut child = Child::run(|line| {
            setuid(Uid::from_raw(uid))?;
            let device = open()?;
            populated(&device, 100)?;
            line.say(1)?;
            line.hear()?;
            Ok(())
        })?;
        child.line.hear()?;
        children.push(child);
    }
    for mut child in children {
        child.line.say(1)?;
        child.join()?;
    }
    drop(node);
    Ok(())
}

fn privileged_users_have_none() -> Outcome {
    harden()?;
    knobs::set_parameter("file_pages_limit", "100")?;
    let (device, other) = (open()?, open()?);
    populated(&device, 100)?;
    populated(&other, 100)?;
    Ok(())
}

/// Runs `f` as a user who may lock so many pages.
fn with_memlock(uid: u32, pages: u64, f: impl FnOnce() -> Outcome) -> Outcome {
    as_user(uid, || {
        let bytes = pages * PAGE;
        setrlimit(Resource::RLIMIT_MEMLOCK, bytes, bytes)?;
        f()
    })
}

fn pins_count_against_memlock() -> Outcome {
    with_memlock(1000, 0, || {
        let device = open()?;
        let handle = populated(&device, 1)?;
        unchanged(&device, || refused(device.pin(handle), Errno::EPERM))
    })?;
    with_memlock(1000, 20, || {
        let device = open()?;
        let (first, second) = (populated(&device, 12)?, populated(&device, 9)?);
        device.pin(first)?;
        // Another pin of the same pages locks no more.
        device.pin(first)?;
        unchanged(&device, || refused(device.pin(second), Errno::ENOMEM))?;
        device.unpin(first)?;
        refused(device.pin(second), Errno::ENOMEM)?;
        device.unpin(first)?;
        Ok(device.pin(second)?)
    })?;
    // With CAP_IPC_LOCK there is no limit.
    Child::run(|_| {
        setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0)?;
        let device = open()?;
        let handle = populated(&device, 100)?;
        Ok(device.pin(handle)?)
    })?
    .join()
}

fn pins_of_a_user_count_together() -> Outcome {
    with_memlock(1000, 20, || {
        let device = open()?;
        let handle = populated(&device, 12)?;
        device.pin(handle)?;
        Child::run(|_| {
            let other = open()?;
            let handle = populated(&other, 9)?;
            refused(other.pin(handle), Errno::ENOMEM)
        })?
        .join()
    })
}

fn pins_end_with_the_object() -> Outcome {
    with_memlock(1000, 20, || {
        for _ in 0..10 {
            let device = open()?;
            let handle = populated(&device, 15)?;
            device.pin(handle)?;
            device.destroy(handle)?;
            let handle = populated(&device, 15)?;
            device.pin(handle)?;
        }
        Ok(())
    })?;
    check_eq!(counter("pinned_pages")?, 0);
    Ok(())
}

fn pins_of_all_have_a_limit() -> Outcome {
    let (device, other) = (open()?, open()?);
    knobs::set_parameter("pinned_pages_limit", "30")?;
    let (first, second) = (populated(&device, 20)?, populated(&other, 20)?);
    device.pin(first)?;
    check_eq!(counter("pinned_pages")?, 20);
    unchanged(&other, || refused(other.pin(second), Errno::ENOMEM))?;
    device.unpin(first)?;
    other.pin(second)?;
    knobs::set_parameter("pinned_pages_limit", "0")?;
    Ok(device.pin(first)?)
}

fn a_file_has_so_many_objects() -> Outcome {
    knobs::set_parameter("file_objects_limit", "10")?;
    let (device, other) = (open()?, open()?);
    let handles = (0..10)
        .map(|_| Ok(device.create(Create::new(PAGE))?))
        .collect::<Outcome<Vec<_>>>()?;
    unchanged(&device, || {
        refused(device.create(Create::new(PAGE)), Errno::ENOSPC)
    })?;
    other.create(Create::new(PAGE))?;
    for handle in handles.into_iter().take(1) {
        device.destroy(handle)?;
    }
    device.create(Create::new(PAGE))?;
    knobs::set_parameter("file_objects_limit", "0")?;
    device.create(Create::new(PAGE))?;
    Ok(())
}

/// A mapping keeps the memory of an object's description, so that one counts as long.
fn mapped_objects_that_are_gone_count() -> Outcome {
    knobs::set_parameter("file_objects_limit", "3")?;
    let device = open()?;
    let mut mappings = Vec::new();
    for _ in 0..3 {
        let handle = device.create(Create::new(PAGE))?;
        mappings.push(device.map(handle)?);
        device.destroy(handle)?;
    }
    refused(device.create(Create::new(PAGE)), Errno::ENOSPC)?;
    mappings.pop();
    device.create(Create::new(PAGE))?;
    Ok(())
}

fn addresses_are_for_administrators() -> Outcome {
    let ask = || -> Outcome<_> {
        let device = open()?;
        let handle = device.create(Create::new(PAGE).dma_addresses())?;
        device.populate(handle)?;
        Ok(device.dma_address(handle, 0).map(drop))
    };
    as_user(1000, || refused(ask()?, Errno::EPERM))?;
    Ok(ask()??)
        .and_then(|()| Ok(knobs::set_parameter("show_dma_addresses", "1")?))
        .and_then(|()| as_user(1000, || Ok(ask()??)))
}
