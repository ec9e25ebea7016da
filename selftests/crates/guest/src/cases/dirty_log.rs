// SPDX-License-Identifier: GPL-2.0-or-later

//! The dirty log: what it says after which writes, and what its calls answer.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::resource::getrusage;
use nix::sys::resource::UsageWho;

use reeve_uapi::knobs;
use reeve_uapi::sys;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;

use crate::memory;
use crate::memory::ReadOnly;
use crate::memory::Region;
use crate::memory::Words;
use crate::memory::NOWHERE;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("dirty_log";
    fresh_logs,
    legacy_get_clears,
    manual_get_repeats,
    clear_is_exact,
    a_zero_mask_does_nothing,
    initially_set_needs_no_get,
    a_clean_page_faults_once,
    ranges,
    bits_beyond_the_end,
    bad_pointers,
    what_does_not_log,
    modes,
    stopped_and_started_again,
    external_objects_are_refused,
    is_shown,
);

pub(super) const STEP: usize = PAGE as usize;
pub(super) const N: u64 = 130;
pub(super) const LEGACY: u32 = sys::REEVE_LOG_LEGACY;
pub(super) const MANUAL: u32 = sys::REEVE_LOG_MANUAL;
pub(super) const INITIALLY_SET: u32 = sys::REEVE_LOG_MANUAL | sys::REEVE_LOG_INITIALLY_SET;
pub(super) const MODES: [u32; 3] = [LEGACY, MANUAL, INITIALLY_SET];
const ALL: [u64; 3] = [u64::MAX; 3];

/// A mapped object that logs.
pub(super) struct Log {
    pub(super) device: Device,
    pub(super) handle: Handle,
    pub(super) mapping: Mapping,
    pub(super) pages: u64,
}

impl Log {
    /// Of [`N`] pages, all of them mapped to be read before the log is started.
    pub(super) fn new(mode: u32) -> Outcome<Self> {
        Self::of(Create::new(N * PAGE), mode)
    }

    pub(super) fn of(create: Create, mode: u32) -> Outcome<Self> {
        let log = Self::prepared(create)?;
        log.mapping.touch();
        log.start(mode)?;
        Ok(log)
    }

    /// Without a log so far.
    pub(super) fn prepared(create: Create) -> Outcome<Self> {
        let device = open()?;
        let handle = device.create(create)?;
        let mapping = device.map(handle)?;
        let pages = create.size.div_ceil(PAGE);
        Ok(Self {
            device,
            handle,
            mapping,
            pages,
        })
    }

    pub(super) fn start(&self, mode: u32) -> Outcome {
        check_eq!(self.device.set_log_mode(mode)?, (mode, 3));
        check_eq!(self.device.log_start(self.handle)?, self.pages);
        Ok(())
    }

    /// Stores to a page by the mapping.
    pub(super) fn write(&self, page: u64) {
        self.mapping.write(page as usize * STEP, &[9; 8]);
    }

    pub(super) fn read(&self, page: u64) {
        self.mapping.read(page as usize * STEP, &mut [0; 8]);
    }

    /// The words of a get.
    pub(super) fn get(&self) -> Outcome<Vec<u64>> {
        let mut words = vec![0; self.pages.div_ceil(64) as usize];
        let dirty = self.device.log_get(self.handle, self.pages, &mut words)?;
        let ones: u32 = words.iter().map(|word| word.count_ones()).sum();
        check_eq!(dirty, u64::from(ones));
        Ok(words)
    }

    /// The pages of a get.
    pub(super) fn dirty(&self) -> Outcome<BTreeSet<u64>> {
        Ok(pages_of(&self.get()?).collect())
    }

    pub(super) fn clear(&self, first: u64, pages: u64, mask: &[u64]) -> Outcome<u64> {
        Ok(self.device.log_clear(self.handle, first, pages, mask)?)
    }

    pub(super) fn clear_all(&self) -> Outcome<u64> {
        let mask = vec![u64::MAX; self.pages.div_ceil(64) as usize];
        self.clear(0, self.pages, &mask)
    }

    pub(super) fn info(&self) -> Outcome<sys::reeve_bo_log_info> {
        Ok(self.device.log_info(self.handle)?)
    }

    /// The value of a key in the open file's fdinfo; `None`: there is no such key.
    pub(super) fn shown(&self, key: &str) -> Outcome<Option<String>> {
        let fd = self.device.as_fd().as_raw_fd();
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        Ok(line.map(|line| line.trim_start_matches(':').trim().to_owned()))
    }
}

/// The set bits.
pub(super) fn pages_of(words: &[u64]) -> impl Iterator<Item = u64> + '_ {
    (0..words.len() as u64 * 64).filter(|page| words[*page as usize / 64] >> (page % 64) & 1 != 0)
}

pub(super) fn set<const COUNT: usize>(pages: [u64; COUNT]) -> BTreeSet<u64> {
    pages.into_iter().collect()
}

/// Writes to all pages. It is one function, so that its code is in memory when it was called once.
#[inline(never)]
pub(super) fn write_all(log: &Log) {
    (0..log.pages).for_each(|page| log.write(page));
}

/// Has the code in memory that [`faults_in`] is to measure.
pub(super) fn warm_up() -> Outcome {
    let log = Log::prepared(Create::new(N * PAGE))?;
    for _ in 0..2 {
        faults_in(|| write_all(&log))?;
        faults_in(|| log.read(1))?;
    }
    Ok(())
}

/// Page faults that this thread takes in `f`.
pub(super) fn faults_in(f: impl FnOnce()) -> Outcome<i64> {
    let count = || -> Outcome<i64> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
        Ok(usage.minor_page_faults() + usage.major_page_faults())
    };
    // What the measuring itself needs is there then.
    count()?;
    let before = count()?;
    f();
    Ok(count()? - before)
}

fn fresh_logs() -> Outcome {
    for mode in [LEGACY, MANUAL] {
        check_eq!(Log::new(mode)?.get()?, [0, 0, 0]);
    }
    let log = Log::new(INITIALLY_SET)?;
    check_eq!(log.get()?, [u64::MAX, u64::MAX, 3]);
    check_eq!(log.info()?.protections, 0);
    check_eq!(log.info()?.dirty, N);
    Ok(())
}

fn legacy_get_clears() -> Outcome {
    let log = Log::new(LEGACY)?;
    for _ in 0..2 {
        log.write(5);
        log.write(129);
        check_eq!(log.dirty()?, set([5, 129]));
        check_eq!(log.dirty()?, set([]));
    }
    Ok(())
}

fn manual_get_repeats() -> Outcome {
    let log = Log::new(MANUAL)?;
    for page in [5, 70, 129] {
        log.write(page);
    }
    let protections = log.info()?.protections;
    for _ in 0..3 {
        check_eq!(log.dirty()?, set([5, 70, 129]));
    }
    check_eq!(log.info()?.protections, protections);
    Ok(())
}

fn clear_is_exact() -> Outcome {
    for mode in MODES {
        let log = Log::new(mode)?;
        log.clear_all()?;
        for page in [5, 6, 70, 129] {
            log.write(page);
        }
        check_eq!(log.clear(0, 64, &[1 << 5 | 1 << 9])?, 1);
        check_eq!(log.info()?.dirty, 3);
        log.write(5);
        check_eq!(log.info()?.dirty, 4);
        check_eq!(log.dirty()?, set([5, 6, 70, 129]), "in mode {mode}");
    }
    Ok(())
}

fn a_zero_mask_does_nothing() -> Outcome {
    warm_up()?;
    let log = Log::new(MANUAL)?;
    log.write(5);
    let before = log.info()?;
    check_eq!(log.clear(0, N, &[0; 3])?, 0);
    check_eq!(log.info()?, before);
    check_eq!(faults_in(|| log.write(5))?, 0);
    check_eq!(log.dirty()?, set([5]));
    Ok(())
}

fn initially_set_needs_no_get() -> Outcome {
    let log = Log::new(INITIALLY_SET)?;
    check_eq!(log.clear(0, 64, &[u64::MAX])?, 64);
    check_eq!(log.get()?, [0, u64::MAX, 3]);
    Ok(())
}

fn a_clean_page_faults_once() -> Outcome {
    warm_up()?;
    for (create, mode) in [
        (Create::new(N * PAGE), INITIALLY_SET),
        (Create::new(N * PAGE).shmem(), INITIALLY_SET),
        (
            Create::new(N * PAGE).caching(Caching::WriteCombined),
            INITIALLY_SET,
        ),
        (Create::new(N * PAGE), MANUAL),
    ] {
        let log = Log::of(create, mode)?;
        if mode == INITIALLY_SET {
            check_eq!(faults_in(|| write_all(&log))?, 0);
            check_eq!(log.info()?.write_faults, 0);
            check_eq!(log.clear(64, 64, &[u64::MAX])?, 64);
        }
        for round in 1..3 {
            for page in [64, 65, 127] {
                check_eq!(faults_in(|| log.write(page))?, 1, "page {page}");
                check_eq!(faults_in(|| log.write(page))?, 0, "page {page}");
            }
            check_eq!(faults_in(|| log.read(66))?, 0);
            check_eq!(log.info()?.write_faults, 3 * round);
            check_eq!(log.clear(64, 64, &[u64::MAX])?, 3);
        }
    }
    Ok(())
}

fn ranges() -> Outcome {
    for mode in MODES {
        let log = Log::new(mode)?;
        let device = &log.device;
        log.clear(128, 2, &ALL)?;
        for (first, pages) in [
            (128, 1),
            (128, 3),
            (128, 64),
            (0, 63),
            (0, 131),
            (192, 0),
            (1 << 40, 64),
            (u64::MAX - 63, 64),
            (0, u64::MAX - 63),
            (64, u64::MAX - 63),
        ] {
            // The range is looked at before the bitmap.
            let mut arg = log_clear(log.handle, first, pages);
            let result = memory::log_clear(device, &mut arg, Words::Nowhere(NOWHERE[0]));
            refused(result, Errno::EINVAL)
                .map_err(|stop| stop.during(format!("{first}, {pages}")))?;
        }
        for first in [1, 63, 65, 129, 130, u64::MAX] {
            let mut arg = log_clear(log.handle, first, 64);
            let result = memory::log_clear(device, &mut arg, Words::Nowhere(NOWHERE[0]));
            refused(result, Errno::EINVAL)?;
        }
        for address in NOWHERE {
            for first in [0, 64, 128] {
                let mut arg = log_clear(log.handle, first, 0);
                memory::log_clear(device, &mut arg, Words::Nowhere(address))?;
                check_eq!(arg.cleared, 0);
            }
        }
        let left = if mode == INITIALLY_SET { 128 } else { 0 };
        check_eq!(log.clear(0, N, &ALL)?, left);
        check_eq!(log.info()?.dirty, 0);
        // A log that ends with a word has a clear of nothing behind it.
        let log = Log::of(Create::new(128 * PAGE), mode)?;
        check_eq!(log.clear(128, 0, &[])?, 0);
        log.clear(64, 64, &ALL)?;
        let short = device_refuses(&log, 0, 1)?;
        check_eq!(short, Errno::EINVAL);
    }
    Ok(())
}

fn device_refuses(log: &Log, first: u64, pages: u64) -> Outcome<Errno> {
    match log.device.log_clear(log.handle, first, pages, &ALL) {
        Ok(_) => Err(Stop::failed("it succeeded")),
        Err(err) => Ok(errno(&err)),
    }
}

pub(super) fn log_get(handle: Handle, pages: u64) -> sys::reeve_bo_log_get {
    sys::reeve_bo_log_get {
        handle: handle.get(),
        pages,
        ..Default::default()
    }
}

pub(super) fn log_clear(
    handle: Handle,
    first_page: u64,
    num_pages: u64,
) -> sys::reeve_bo_log_clear {
    sys::reeve_bo_log_clear {
        handle: handle.get(),
        first_page,
        num_pages,
        ..Default::default()
    }
}

fn bits_beyond_the_end() -> Outcome {
    let log = Log::new(MANUAL)?;
    log.write(129);
    check_eq!(log.clear(128, 2, &[u64::MAX])?, 1);
    log.write(129);
    let mut region = Region::new(1)?;
    region.bytes().fill(0x5a);
    let mut arg = log_get(log.handle, N);
    // The guard is what is before; behind is no memory at all.
    memory::log_get(&log.device, &mut arg, Words::BeforeHole(&mut region, 3 * 8))?;
    let (guard, words) = region.bytes().split_at(STEP - 3 * 8);
    check!(guard.iter().all(|byte| *byte == 0x5a));
    check_eq!(words[16], 2);
    let mut words = [7; 4];
    check_eq!(log.device.log_get(log.handle, N, &mut words)?, 1);
    check_eq!(words, [0, 0, 2, 7]);
    for pages in [0, 64, 129, 131, 192, u64::MAX] {
        let mut arg = log_get(log.handle, pages);
        let result = memory::log_get(&log.device, &mut arg, Words::Nowhere(NOWHERE[0]));
        refused(result, Errno::EINVAL)?;
    }
    Ok(())
}

fn bad_pointers() -> Outcome {
    let read_only = Region::new(1)?.read_only()?;
    for mode in MODES {
        let log = Log::new(mode)?;
        log.clear_all()?;
        log.write(3);
        log.write(128);
        let before = log.info()?;
        for address in NOWHERE {
            let (mut get, mut clear) = (log_get(log.handle, N), log_clear(log.handle, 0, N));
            let nowhere = || Words::Nowhere(address);
            refused(
                memory::log_get(&log.device, &mut get, nowhere()),
                Errno::EFAULT,
            )?;
            refused(
                memory::log_clear(&log.device, &mut clear, nowhere()),
                Errno::EFAULT,
            )?;
        }
        // Half of it is there.
        let mut region = Region::new(1)?;
        for before in [8, 16, 23] {
            let words = Words::BeforeHole(&mut region, before);
            let mut get = log_get(log.handle, N);
            refused(memory::log_get(&log.device, &mut get, words), Errno::EFAULT)?;
            region.bytes().fill(0xff);
            let words = Words::BeforeHole(&mut region, before);
            let mut clear = log_clear(log.handle, 0, N);
            refused(
                memory::log_clear(&log.device, &mut clear, words),
                Errno::EFAULT,
            )?;
        }
        unwritable(&log, &read_only)?;
        let after = log.info()?;
        check_eq!((after.dirty, after.mode), (before.dirty, before.mode));
        check_eq!(log.dirty()?, set([3, 128]), "in mode {mode}");
    }
    Ok(())
}

/// Bitmap and arguments that can only be read.
fn unwritable(log: &Log, memory: &ReadOnly) -> Outcome {
    let mut get = log_get(log.handle, N);
    let result = memory::log_get(&log.device, &mut get, Words::ReadOnly(memory));
    refused(result, Errno::EFAULT)?;
    for request in [
        request(sys::REEVE_NR_LOG_MODE, size_of::<sys::reeve_log_mode>()),
        request(
            sys::REEVE_NR_BO_LOG_INFO,
            size_of::<sys::reeve_bo_log_info>(),
        ),
    ] {
        let place = memory::Place::ReadOnly(memory);
        check!(memory::ioctl(&log.device, request, place).is_err());
    }
    Ok(())
}

pub(super) fn request(nr: u32, size: usize) -> u32 {
    3 << 30 | (size as u32) << 16 | sys::REEVE_IOC_MAGIC << 8 | nr
}

fn what_does_not_log() -> Outcome {
    let log = Log::prepared(Create::new(N * PAGE))?;
    let mut words = [0; 3];
    let handles = [
        log.handle,
        Handle::new(0),
        Handle::new(77),
        Handle::new(u32::MAX),
    ];
    for started in [false, true] {
        if started {
            log.start(MANUAL)?;
            log.device.log_stop(log.handle)?;
        }
        unchanged(&log.device, || {
            for handle in handles {
                let device = &log.device;
                refused(device.log_get(handle, N, &mut words), Errno::ENOENT)?;
                refused(device.log_clear(handle, 0, N, &ALL), Errno::ENOENT)?;
                refused(device.log_clear(handle, 0, 0, &[]), Errno::ENOENT)?;
                refused(device.log_info(handle), Errno::ENOENT)?;
                refused(device.log_stop(handle), Errno::ENOENT)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn modes() -> Outcome {
    let log = Log::prepared(Create::new(N * PAGE))?;
    let device = &log.device;
    check_eq!(device.log_mode()?, (LEGACY, 3));
    for mode in MODES {
        check_eq!(device.set_log_mode(mode)?, (mode, 3));
        for bad in [2, 4, 5, 7, 8, u32::MAX] {
            refused(device.set_log_mode(bad), Errno::EINVAL)?;
        }
        for flags in [2, 3, 1 << 31, u32::MAX] {
            let mut arg = sys::reeve_log_mode {
                flags,
                ..Default::default()
            };
            refused(device.raw().log_mode(&mut arg), Errno::EINVAL)?;
        }
        let mut arg = sys::reeve_log_mode {
            flags: sys::REEVE_LOG_MODE_SET,
            reserved: 1,
            ..Default::default()
        };
        refused(device.raw().log_mode(&mut arg), Errno::EINVAL)?;
        check_eq!(device.log_mode()?, (mode, 3));
        // Of this file only.
        check_eq!(open()?.log_mode()?, (LEGACY, 3));
    }
    // A log keeps the mode that it was started in.
    device.set_log_mode(MANUAL)?;
    device.log_start(log.handle)?;
    device.set_log_mode(LEGACY)?;
    check_eq!(device.log_start(log.handle)?, N);
    check_eq!(log.info()?.mode, MANUAL);
    log.write(1);
    check_eq!(log.dirty()?, log.dirty()?);
    check_eq!(log.info()?.dirty, 1);
    Ok(())
}

fn stopped_and_started_again() -> Outcome {
    for mode in MODES {
        let log = Log::new(mode)?;
        log.clear_all()?;
        log.write(7);
        // Again: the log stays.
        log.device.log_start(log.handle)?;
        check_eq!(log.info()?.dirty, 1);
        check!(log.device.info(log.handle)?.is(sys::REEVE_BO_LOGGING));
        check_eq!(log.device.log_stop(log.handle)?, N);
        check!(!log.device.info(log.handle)?.is(sys::REEVE_BO_LOGGING));
        log.write(8);
        log.start(mode)?;
        let expected = if mode == INITIALLY_SET { N } else { 0 };
        check_eq!(log.info()?.dirty, expected);
        check_eq!(log.info()?.write_faults, 0);
        log.clear_all()?;
        log.write(9);
        check_eq!(log.dirty()?, set([9]));
    }
    Ok(())
}

fn external_objects_are_refused() -> Outcome {
    let device = open()?;
    let create = Create::new(N * PAGE).kind(BoType::Sg);
    for create in [create, create.mappable()] {
        let handle = device.create(create)?;
        unchanged(&device, || {
            refused(device.log_start(handle), Errno::EINVAL)?;
            refused(device.log_stop(handle), Errno::ENOENT)
        })?;
    }
    // Extra pages can't be mapped and are not in the log; what is not whole pages is.
    let handle = device.create(Create::new(64 * PAGE + 1).extra(9))?;
    check_eq!(device.log_start(handle)?, 65);
    device.unpopulate(handle)?;
    device.populate(handle)?;
    device.unpopulate(handle)?;
    let mut words = [0; 2];
    check_eq!(device.log_get(handle, 65, &mut words)?, 65);
    check_eq!(words, [u64::MAX, 1]);
    Ok(())
}

fn is_shown() -> Outcome {
    let log = Log::new(MANUAL)?;
    for page in [4, 5, 90] {
        log.write(page);
    }
    let field = |key: &str| -> Outcome<String> {
        let value = log.shown(key)?;
        value.ok_or_else(|| Stop::failed(format!("no {key} in fdinfo")))
    };
    check_eq!(field("reeve-logging")?, "1");
    check_eq!(field("reeve-dirty-system")?, "12 KiB");
    check_eq!(field("reeve-write-faults")?, "3");
    let client = field("drm-client-id")?;
    let logs = knobs::debugfs("dirty_logs")?;
    let line = format!("{client} 1 3 3 0");
    check!(logs.lines().any(|shown| shown == line), "{logs}");
    check_eq!(field("reeve-fenced")?, "0");
    let fences = [
        log.device.log_fence(log.handle)?,
        log.device.log_fence(log.handle)?,
    ];
    check_eq!(field("reeve-fenced")?, "1");
    let logs = knobs::debugfs("dirty_logs")?;
    let line = format!("{client} 1 3 3 1");
    check!(logs.lines().any(|shown| shown == line), "{logs}");
    check_eq!(log.info()?.fences, 2);
    drop(fences);
    check_eq!(field("reeve-fenced")?, "0");
    let info = log.info()?;
    check_eq!((info.pages, info.dirty, info.write_faults), (N, 3, 3));
    check!(info.bytes >= 24 && info.bytes < 1024, "{}", info.bytes);
    check!(info.protections >= N, "{}", info.protections);
    log.device.log_stop(log.handle)?;
    check_eq!(log.shown("reeve-logging")?, None);
    check!(!knobs::debugfs("dirty_logs")?
        .lines()
        .any(|line| line.starts_with(&format!("{client} "))));
    Ok(())
}
