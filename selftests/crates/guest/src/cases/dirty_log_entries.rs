// SPDX-License-Identifier: GPL-2.0-or-later

//! Which entries of page tables can be written to while an object logs, and what that costs those that do not.

use std::collections::BTreeSet;
use std::path::Path;

use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Protection;

use super::dirty_log::faults_in;
use super::dirty_log::set;
use super::dirty_log::warm_up;
use super::dirty_log::write_all;
use super::dirty_log::Log;
use super::dirty_log::INITIALLY_SET;
use super::dirty_log::MODES;
use super::dirty_log::N;

use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("dirty_log";
    reads_make_nothing_writable,
    mprotect_makes_nothing_writable,
    huge_entries,
    huge_entries_of_several_blocks,
    without_a_log_no_more_faults,
    stopping_leaves_nothing_protected,
);

fn reads_make_nothing_writable() -> Outcome {
    for create in [Create::new(N * PAGE), Create::new(N * PAGE).shmem()] {
        for mode in MODES {
            let log = Log::prepared(create)?;
            log.start(mode)?;
            log.clear_all()?;
            log.read(40);
            log.write(41);
            check_eq!(log.dirty()?, set([41]));
            log.clear_all()?;
            // Around the page that was touched.
            for page in 32..48 {
                log.write(page);
            }
            check_eq!(log.dirty()?, (32..48).collect());
            log.clear_all()?;
            // A write makes no others writable either.
            log.device.swapout(log.handle)?;
            log.write(10);
            log.write(11);
            check_eq!(log.dirty()?, set([10, 11]));
        }
    }
    Ok(())
}

fn mprotect_makes_nothing_writable() -> Outcome {
    for mode in MODES {
        let log = Log::new(mode)?;
        log.clear_all()?;
        for page in 0..N {
            log.write(page);
        }
        let length = log.mapping.len();
        // Dirty entries that are protected by both, in either order.
        log.mapping.protect(0, length, Protection::Read)?;
        check_eq!(log.clear_all()?, N);
        log.mapping.protect(0, length, Protection::ReadWrite)?;
        log.write(50);
        check_eq!(log.dirty()?, set([50]));
        log.clear_all()?;
        log.write(51);
        log.clear_all()?;
        log.mapping.protect(0, length, Protection::Read)?;
        log.mapping.protect(0, length, Protection::ReadWrite)?;
        log.write(51);
        check_eq!(log.dirty()?, set([51]));
    }
    Ok(())
}

fn has_huge_entries() -> bool {
    Path::new("/sys/kernel/mm/transparent_hugepage").is_dir()
}

fn huge_entries() -> Outcome {
    for caching in [Caching::Cached, Caching::WriteCombined] {
        let log = Log::prepared(Create::new(1024 * PAGE).caching(caching))?;
        log.mapping.touch();
        if has_huge_entries() {
            check!(log.device.stats()?.huge_faults >= 2);
        }
        log.start(INITIALLY_SET)?;
        check_eq!(log.clear(512, 64, &[u64::MAX])?, 64);
        log.write(520);
        log.write(600);
        let expected: BTreeSet<u64> = (0..1024)
            .filter(|page| !(512..576).contains(page) || *page == 520)
            .collect();
        check!(log.dirty()? == expected);
        // The rest of it, and the other one.
        log.clear_all()?;
        for page in [0, 511, 512, 513, 1023] {
            log.read(page);
            log.write(page);
        }
        check_eq!(log.dirty()?, set([0, 511, 512, 513, 1023]));
    }
    Ok(())
}

/// The kernel's walk of a range ends at the first huge entry.
fn huge_entries_of_several_blocks() -> Outcome {
    for mode in MODES {
        let log = Log::prepared(Create::new((3 * 512 + 5) * PAGE))?;
        log.mapping.touch();
        log.start(mode)?;
        log.clear_all()?;
        for page in [100, 612, 1300, 1540] {
            log.write(page);
        }
        check_eq!(log.dirty()?, set([100, 612, 1300, 1540]), "in mode {mode}");
    }
    Ok(())
}

fn without_a_log_no_more_faults() -> Outcome {
    warm_up()?;
    let create = Create::new(1024 * PAGE);
    for create in [
        create,
        create.shmem(),
        create.caching(Caching::WriteCombined),
    ] {
        let log = Log::prepared(create)?;
        log.mapping.touch();
        let write_all = || write_all(&log);
        check_eq!(faults_in(write_all)?, 0);
        let length = log.mapping.len();
        log.mapping.protect(0, length, Protection::Read)?;
        log.mapping.protect(0, length, Protection::ReadWrite)?;
        check_eq!(faults_in(write_all)?, 0, "after mprotect, {create:?}");
        // Mapped while it could only be read.
        log.mapping.protect(0, length, Protection::Read)?;
        log.device.swapout(log.handle)?;
        log.mapping.touch();
        log.mapping.protect(0, length, Protection::ReadWrite)?;
        check_eq!(faults_in(write_all)?, 0, "mapped to be read, {create:?}");
    }
    Ok(())
}

/// An object that logged costs no fault for each of its pages afterwards: one maps 16 of them.
fn stopping_leaves_nothing_protected() -> Outcome {
    warm_up()?;
    let create = Create::new(N * PAGE);
    for create in [create, create.shmem()] {
        for mode in MODES {
            let log = Log::of(create, mode)?;
            log.clear_all()?;
            log.device.log_stop(log.handle)?;
            let faults = faults_in(|| write_all(&log))?;
            let most = N.div_ceil(16) as i64 + 1;
            check!(faults <= most, "{faults} faults, {create:?}, mode {mode}");
            check_eq!(faults_in(|| write_all(&log))?, 0);
        }
    }
    Ok(())
}
