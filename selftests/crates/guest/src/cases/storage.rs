// SPDX-License-Identifier: GPL-2.0-or-later

//! The files that all objects of a device share: what of the machine's they take, and what they give back.

use std::fs;
use std::fs::File;
use std::path::Path;

use nix::errno::Errno;

use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use super::budgets::as_user;
use crate::content::fill;
use crate::content::holds;
use crate::seen::open;
use crate::seen::PAGE;
use crate::shortage::committed;
use crate::shortage::open_files;
use crate::shortage::Strict;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("storage";
    objects_on_shmem_take_no_files,
    populated_objects_on_shmem_are_committed,
    a_folio_larger_than_its_object_is_given_back,
    neighbours_in_a_file_keep_apart,
);

/// A file of the kernel's, changed until dropped.
struct Changed(&'static str, String);

impl Changed {
    fn to(path: &'static str, value: &str) -> Outcome<Self> {
        let before = fs::read_to_string(path)?;
        // One of several words has brackets, if it is a choice.
        let chosen = before
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'));
        let before = chosen.map_or(before.trim(), |(word, _)| word).to_owned();
        fs::write(path, value)?;
        Ok(Self(path, before))
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // When this fails, later cases find another machine than they expect.
        let _ = fs::write(self.0, &self.1);
    }
}

fn on_shmem(device: &Device, pages: u64) -> Outcome<Handle> {
    let handle = device.create(Create::new(pages * PAGE).shmem())?;
    check_eq!(device.populate(handle)?, pages);
    Ok(handle)
}

/// A user makes far more objects than the machine may open files; then another user opens some.
fn objects_on_shmem_take_no_files() -> Outcome {
    const OBJECTS: u64 = 3000;
    const ROOM: u64 = 600;
    let before = open_files()?;
    let most = (before + ROOM).to_string();
    let _limit = Changed::to("/proc/sys/fs/file-max", &most)?;
    let device = open()?;
    as_user(1000, || {
        for index in 0..OBJECTS {
            let handle = on_shmem(&device, 1)?;
            match index % 3 {
                0 => device.swapout(handle)?,
                1 => device.backup(handle)?,
                _ => 0,
            };
        }
        Ok(())
    })?;
    check_eq!(device.list()?.len() as u64, OBJECTS);
    // The counter of files is only exact to some per processor.
    let after = open_files()?;
    check!(after < before + ROOM / 2, "{before} before, {after} now");
    as_user(1001, || {
        let opened: Result<Vec<File>, _> = (0..64).map(|_| File::open("/dev/null")).collect();
        check_eq!(opened?.len(), 64);
        Ok(())
    })
}

/// With strict overcommit a populate takes of what may be committed, and fails when there is not so much left;
/// what is swapped out stays committed, and what is gone is not.
fn populated_objects_on_shmem_are_committed() -> Outcome {
    const PAGES: u64 = 2048;
    let device = open()?;
    let pages = || Ok::<_, Stop>(committed()? / (PAGE / 1024));
    let fits = device.create(Create::new(PAGES * PAGE).shmem())?;
    let too_much = device.create(Create::new(PAGES * PAGE).shmem())?;
    // Others commit little here.
    let near = |found: u64, expected: u64| found.abs_diff(expected) < PAGES / 4;
    let before = pages()?;
    let strict = Strict::set()?;
    strict.leave(PAGES + PAGES / 2)?;
    check_eq!(device.populate(fits)?, PAGES);
    let refused = refused(device.populate(too_much), Errno::ENOMEM);
    let after = pages()?;
    device.swapout(fits)?;
    let swapped = pages()?;
    device.destroy(fits)?;
    let gone = pages()?;
    drop(strict);
    refused?;
    check!(
        near(after, before + PAGES),
        "{before} before, {after} after"
    );
    check!(
        near(swapped, before + PAGES),
        "{before} before, {swapped} swapped out"
    );
    check!(near(gone, before), "{before} before, {gone} in the end");
    check_eq!(device.populate(too_much)?, PAGES);
    Ok(())
}

/// Pages of shared memory that the system has.
fn shared_memory() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Shmem:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| Stop::failed("no Shmem in meminfo"))? / (PAGE / 1024))
}

/// The kernel is told to use large folios for whatever is in shared memory, so that one has pages of several
/// objects at first: they end in any order, and nothing is left.
fn a_folio_larger_than_its_object_is_given_back() -> Outcome {
    const FORCE: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    if !Path::new(FORCE).exists() {
        return Err(Stop::skipped("no huge pages for shared memory".to_owned()));
    }
    let _force = Changed::to(FORCE, "force")?;
    let device = open()?;
    // From now on objects keep apart.
    let first = on_shmem(&device, 1)?;
    let before = shared_memory()?;
    for _ in 0..32 {
        let handles = (0..20)
            .map(|_| on_shmem(&device, 3))
            .collect::<Outcome<Vec<_>>>()?;
        for (seed, handle) in (0..).zip(&handles) {
            fill(&device, *handle, seed)?;
        }
        let (even, odd): (Vec<_>, Vec<_>) =
            (0..).zip(handles).partition(|(index, _)| index % 2 == 0);
        for (_, handle) in even {
            device.destroy(handle)?;
        }
        for (seed, handle) in odd {
            device.swapout(handle)?;
            holds(&device, handle, seed)?;
            device.destroy(handle)?;
        }
    }
    let after = shared_memory()?;
    check!(after <= before + 100, "{before} before, {after} after");
    device.destroy(first)?;
    Ok(())
}

/// Objects of all sizes side by side: each has its own content, and zeroes before it is written to.
fn neighbours_in_a_file_keep_apart() -> Outcome {
    let device = open()?;
    let sizes = [1, 2, 3, 5, 64, 128, 129, 511, 512, 513, 1, 700, 4];
    let mut handles = Vec::new();
    for round in 0..3 {
        for (index, pages) in (0..).zip(sizes) {
            let handle = on_shmem(&device, pages)?;
            let mut found = vec![1; (pages * PAGE) as usize];
            device.read(handle, 0, &mut found)?;
            check!(found.iter().all(|byte| *byte == 0), "{pages} pages");
            let seed = round * 100 + index;
            fill(&device, handle, seed)?;
            handles.push((handle, seed));
        }
        // Every third goes, and some are swapped out.
        let mut kept = Vec::new();
        for (index, (handle, seed)) in handles.into_iter().enumerate() {
            match index % 3 {
                0 => {
                    device.destroy(handle)?;
                    continue;
                }
                1 => {
                    device.swapout(handle)?;
                }
                _ => {}
            }
            kept.push((handle, seed));
        }
        for (handle, seed) in &kept {
            holds(&device, *handle, *seed)?;
        }
        handles = kept;
    }
    Ok(())
}
