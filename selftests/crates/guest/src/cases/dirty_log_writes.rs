// SPDX-License-Identifier: GPL-2.0-or-later

//! What counts as a write, and what does not.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use reeve_uapi::sys;
use reeve_uapi::Create;

use super::dirty_log::log_clear;
use super::dirty_log::log_get;
use super::dirty_log::set;
use super::dirty_log::Log;
use super::dirty_log::LEGACY;
use super::dirty_log::MANUAL;
use super::dirty_log::MODES;
use super::dirty_log::N;
use super::dirty_log::STEP;

use crate::memory;
use crate::memory::Region;
use crate::memory::Words;
use crate::process::Child;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("dirty_log";
    kinds_of_writes,
    no_writes,
    bitmap_in_a_mapping_of_the_object,
    mappings_of_several_processes,
    outlives_pages_and_mappings,
);

fn kinds_of_writes() -> Outcome {
    for mode in MODES {
        for create in [Create::new(N * PAGE), Create::new(N * PAGE).shmem()] {
            let log = Log::of(create, mode)?;
            kinds_of_one(&log).map_err(|stop| stop.during(format!("mode {mode}, {create:?}")))?;
        }
    }
    Ok(())
}

fn kinds_of_one(log: &Log) -> Outcome {
    let device = &log.device;
    let all: BTreeSet<u64> = (0..N).collect();
    log.clear_all()?;

    // Copied in, across a page's end, and by a call that ends early.
    device.write(log.handle, 3 * PAGE - 4, &[1; 8])?;
    check_eq!(log.dirty()?, set([2, 3]));
    log.clear_all()?;
    // The same bytes once more.
    device.write(log.handle, 3 * PAGE - 4, &[1; 8])?;
    check_eq!(log.dirty()?, set([2, 3]));
    log.clear_all()?;
    let mut region = Region::new(2)?;
    let mut arg = sys::reeve_bo_rw {
        handle: log.handle.get(),
        offset: 7 * PAGE,
        length: 2 * PAGE + 1,
        ..Default::default()
    };
    let way = reeve_uapi::raw::Way::Write;
    let result = memory::rw_at_hole(device, way, &mut arg, &mut region, STEP + 1);
    refused(result, Errno::EFAULT)?;
    check_eq!(arg.done, PAGE + 1);
    check_eq!(log.dirty()?, set([7, 8]));
    log.clear_all()?;

    // A debugger.
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/proc/self/mem")?;
    let at = log.mapping.address() as u64;
    memory.read_exact_at(&mut [0; 8], at + 30 * PAGE)?;
    check_eq!(log.dirty()?, set([]));
    memory.write_all_at(&[1; 8], at + 31 * PAGE - 4)?;
    check_eq!(log.dirty()?, set([30, 31]));
    log.clear_all()?;

    // The kernel stores through the mapping.
    let file = temporary("dirty_log")?;
    memory::fill(&file, &[5; STEP + 8])?;
    memory::load(&log.mapping, STEP + 8, &file)?;
    check_eq!(log.dirty()?, set([0, 1]));
    log.clear_all()?;

    // Content that is gone.
    device.unpopulate(log.handle)?;
    check_eq!(log.dirty()?, all);
    log.clear_all()?;
    // There is nothing to lose.
    device.unpopulate(log.handle)?;
    check_eq!(log.dirty()?, set([]));
    for backed_up in [false, true] {
        device.populate(log.handle)?;
        if backed_up {
            device.backup(log.handle)?;
        }
        check_eq!(log.dirty()?, set([]));
        device.backup_with(log.handle, sys::REEVE_BO_BACKUP_PURGE)?;
        check_eq!(log.dirty()?, all);
        log.clear_all()?;
    }
    Ok(())
}

fn temporary(name: &str) -> Outcome<File> {
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    fs::remove_file(path)?;
    Ok(file)
}

fn no_writes() -> Outcome {
    for create in [Create::new(N * PAGE), Create::new(N * PAGE).shmem()] {
        for mode in MODES {
            let log = Log::of(create, mode)?;
            log.clear_all()?;
            let (device, handle) = (&log.device, log.handle);
            device.swapout(handle)?;
            log.mapping.touch();
            device.backup(handle)?;
            device.restore(handle)?;
            device.swapout(handle)?;
            device.populate(handle)?;
            let mut bytes = vec![0; N as usize * STEP];
            device.read(handle, 0, &mut bytes)?;
            check_eq!(log.dirty()?, set([]));
            check_eq!(log.info()?.write_faults, 0);
        }
    }
    // Nor is the populate of an empty object.
    let log = Log::prepared(Create::new(N * PAGE))?;
    log.start(MANUAL)?;
    log.device.populate(log.handle)?;
    log.mapping.touch();
    check_eq!(log.dirty()?, set([]));
    Ok(())
}

fn bitmap_in_a_mapping_of_the_object() -> Outcome {
    for mode in MODES {
        let log = Log::new(mode)?;
        log.clear_all()?;
        log.write(100);
        log.device.swapout(log.handle)?;
        let mut get = log_get(log.handle, N);
        memory::log_get(
            &log.device,
            &mut get,
            Words::Mapped(&log.mapping, 20 * STEP),
        )?;
        let mut words = [0; 24];
        log.mapping.read(20 * STEP, &mut words);
        check_eq!(
            u64::from_ne_bytes(words[8..16].try_into().unwrap_or_default()),
            1 << 36
        );
        let dirty = log.dirty()?;
        check!(dirty.contains(&20), "{dirty:?}");
        log.write(64);
        let mask = [u64::MAX; 3].map(u64::to_ne_bytes).concat();
        log.mapping.write(20 * STEP, &mask);
        let mut clear = log_clear(log.handle, 0, N);
        memory::log_clear(
            &log.device,
            &mut clear,
            Words::Mapped(&log.mapping, 20 * STEP),
        )?;
        check!(clear.cleared >= 2);
        check_eq!(log.dirty()?, set([]));
    }
    Ok(())
}

fn mappings_of_several_processes() -> Outcome {
    for mode in MODES {
        let log = Log::new(mode)?;
        log.clear_all()?;
        let again = log.device.map(log.handle)?;
        again.touch();
        for page in [1, 2] {
            again.write(page * STEP, &[3; 8]);
        }
        check_eq!(log.dirty()?, set([1, 2]));
        // Entries that fork copied while they were writable.
        let mut child = Child::run(|line| {
            line.hear()?;
            again.write(2 * STEP, &[4; 8]);
            log.write(60);
            line.say(0)
        })?;
        log.clear_all()?;
        child.line.say(0)?;
        child.line.hear()?;
        check_eq!(log.dirty()?, set([2, 60]));
        child.join()?;
        log.clear_all()?;
        // Moved while they are writable.
        again.write(STEP, &[5; 8]);
        let again = again.moved()?;
        log.clear_all()?;
        again.write(STEP, &[6; 8]);
        check_eq!(log.dirty()?, set([1]));
    }
    Ok(())
}

fn outlives_pages_and_mappings() -> Outcome {
    for create in [Create::new(N * PAGE), Create::new(N * PAGE).shmem()] {
        for mode in MODES {
            let log = Log::of(create, mode)?;
            log.clear_all()?;
            log.write(5);
            log.device.swapout(log.handle)?;
            check_eq!(log.info()?.dirty, 1);
            check_eq!(log.clear(0, 64, &[0])?, 0);
            log.write(6);
            log.device.backup(log.handle)?;
            log.device.restore(log.handle)?;
            let Log {
                device,
                handle,
                mapping,
                pages,
            } = log;
            drop(mapping);
            let mapping = device.map(handle)?;
            mapping.write(7 * STEP, &[1; 8]);
            let log = Log {
                device,
                handle,
                mapping,
                pages,
            };
            check_eq!(log.dirty()?, set([5, 6, 7]));
            // Swapped out objects can be cleared, and started.
            log.device.swapout(log.handle)?;
            let again = if mode == LEGACY { 0 } else { 3 };
            check_eq!(log.clear_all()?, again);
            check_eq!(log.dirty()?, set([]));
            log.device.log_stop(log.handle)?;
            log.start(mode)?;
            log.clear_all()?;
            log.read(9);
            log.write(8);
            check_eq!(log.dirty()?, set([8]));
        }
    }
    Ok(())
}
