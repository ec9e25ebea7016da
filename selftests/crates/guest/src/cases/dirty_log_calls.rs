// SPDX-License-Identifier: GPL-2.0-or-later

//! What the calls of the dirty log answer to bad input: the order of their checks, and random structs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::errno::Errno;

use reeve_uapi::sys;
use reeve_uapi::sys::REEVE_BO_LOGGING;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::memory;
use crate::memory::LowPage;
use crate::memory::Words;
use crate::memory::NOWHERE;
use crate::process::Child;
use crate::random::Random;
use crate::seen::meminfo;
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

use super::dirty_log::pages_of;
use super::dirty_log::request;
use super::dirty_log::INITIALLY_SET;
use super::dirty_log::MANUAL;
use super::dirty_log::MODES;
use super::dirty_log_races::steps;

cases!("dirty_log";
    order_of_checks,
    random_structs,
    logs_larger_than_memory,
    calls_of_32_bit_programs,
);

const N: u64 = 130;

/// Handles that the mistakes need.
struct Objects {
    device: Device,
    logs: u32,
    external: u32,
}

/// A mistake in an argument of type `T`, and the errno of a call that has no earlier one.
struct Wrong<T> {
    name: &'static str,
    errno: Errno,
    make: fn(&mut T, &Objects),
}

/// An argument, and where its bitmap is.
#[derive(Clone, Copy)]
struct Argument<T> {
    arg: T,
    good_words: bool,
}

/// Objects may have any size as long as nothing of them is there; a log is there at once. No other process may be
/// killed for one.
fn logs_larger_than_memory() -> Outcome {
    let device = open()?;
    // The first to be killed if memory ends.
    let mut other = Child::run(|line| {
        fs::write("/proc/self/oom_score_adj", "1000")?;
        line.say(0)?;
        line.hear().map(drop)
    })?;
    other.line.hear()?;
    let machine = meminfo("MemTotal")? << 10;
    let handle = device.create(Create::new(machine / 2))?;
    device.log_start(handle)?;
    device.destroy(handle)?;
    for size in [machine + PAGE]
        .into_iter()
        .chain((40..63).map(|shift| 1 << shift))
    {
        let handle = device.create(Create::new(size))?;
        refused(device.log_start(handle), Errno::ENOMEM)?;
        check!(!device.info(handle)?.is(REEVE_BO_LOGGING), "{size}");
        device.destroy(handle)?;
    }
    other.line.say(0)?;
    other.join()
}

/// Makes each mistake, and each two, which have to be answered by the errno of the earlier.
fn try_pairs<T: Copy>(
    objects: &Objects,
    good: impl Fn() -> T,
    wrongs: &[Wrong<T>],
    call: impl Fn(T) -> std::io::Result<()>,
) -> Outcome {
    call(good())?;
    for (index, earlier) in wrongs.iter().enumerate() {
        for later in &wrongs[index..] {
            let mut arg = good();
            // The later first, so that the earlier is not undone.
            (later.make)(&mut arg, objects);
            (earlier.make)(&mut arg, objects);
            let names = format!("{} and {}", earlier.name, later.name);
            match call(arg) {
                Err(err) if errno(&err) == earlier.errno => {}
                other => {
                    let wanted = earlier.errno;
                    return Err(Stop::failed(format!("{names}: {other:?}, not {wanted:?}")));
                }
            }
        }
    }
    Ok(())
}

const ENOENT: Errno = Errno::ENOENT;
const EINVAL: Errno = Errno::EINVAL;
const EFAULT: Errno = Errno::EFAULT;

const GET: &[Wrong<Argument<sys::reeve_bo_log_get>>] = &[
    Wrong {
        name: "flags",
        errno: EINVAL,
        make: |a, _| a.arg.flags = 1 << 31,
    },
    Wrong {
        name: "no such handle",
        errno: ENOENT,
        make: |a, _| a.arg.handle = 0,
    },
    Wrong {
        name: "no log",
        errno: ENOENT,
        make: |a, objects| a.arg.handle = objects.external,
    },
    Wrong {
        name: "pages",
        errno: EINVAL,
        make: |a, _| a.arg.pages = N + 1,
    },
    Wrong {
        name: "bitmap",
        errno: EFAULT,
        make: |a, _| a.good_words = false,
    },
];

const CLEAR: &[Wrong<Argument<sys::reeve_bo_log_clear>>] = &[
    Wrong {
        name: "flags",
        errno: EINVAL,
        make: |a, _| a.arg.flags = 1,
    },
    Wrong {
        name: "first page",
        errno: EINVAL,
        make: |a, _| a.arg.first_page |= 1,
    },
    Wrong {
        name: "no such handle",
        errno: ENOENT,
        make: |a, _| a.arg.handle = u32::MAX,
    },
    Wrong {
        name: "no log",
        errno: ENOENT,
        make: |a, objects| a.arg.handle = objects.external,
    },
    Wrong {
        name: "range",
        errno: EINVAL,
        make: |a, _| a.arg.num_pages = 63,
    },
    Wrong {
        name: "a range that overflows",
        errno: EINVAL,
        make: |a, _| {
            a.arg.first_page = u64::MAX - 63;
            a.arg.num_pages = 64;
        },
    },
    Wrong {
        name: "bitmap",
        errno: EFAULT,
        make: |a, _| a.good_words = false,
    },
];

const MODE: &[Wrong<sys::reeve_log_mode>] = &[
    Wrong {
        name: "reserved",
        errno: EINVAL,
        make: |arg, _| arg.reserved = 1,
    },
    Wrong {
        name: "flags",
        errno: EINVAL,
        make: |arg, _| arg.flags |= 2,
    },
    Wrong {
        name: "mode",
        errno: EINVAL,
        make: |arg, _| {
            arg.flags |= 1;
            arg.mode = 2;
        },
    },
];

const START: &[Wrong<sys::reeve_bo>] = &[
    Wrong {
        name: "reserved",
        errno: EINVAL,
        make: |arg, _| arg.reserved = [1, 0],
    },
    Wrong {
        name: "flags",
        errno: EINVAL,
        make: |arg, _| arg.flags = 1,
    },
    Wrong {
        name: "no such handle",
        errno: ENOENT,
        make: |arg, _| arg.handle = 0,
    },
    Wrong {
        name: "external",
        errno: EINVAL,
        make: |arg, objects| {
            if arg.handle == objects.logs {
                arg.handle = objects.external;
            }
        },
    },
];

const INFO: &[Wrong<sys::reeve_bo_log_info>] = &[
    Wrong {
        name: "reserved",
        errno: EINVAL,
        make: |arg, _| arg.reserved = 1,
    },
    Wrong {
        name: "no such handle",
        errno: ENOENT,
        make: |arg, _| arg.handle = 0,
    },
];

const FENCE: &[Wrong<sys::reeve_bo_log_fence>] = &[
    Wrong {
        name: "reserved",
        errno: EINVAL,
        make: |arg, _| arg.reserved = [0, 1],
    },
    Wrong {
        name: "pad",
        errno: EINVAL,
        make: |arg, _| arg.pad = 1,
    },
    Wrong {
        name: "flags",
        errno: EINVAL,
        make: |arg, _| arg.flags = 1,
    },
    Wrong {
        name: "no such handle",
        errno: ENOENT,
        make: |arg, _| arg.handle = 0,
    },
    Wrong {
        name: "no log",
        errno: ENOENT,
        make: |arg, objects| arg.handle = objects.external,
    },
];

fn order_of_checks() -> Outcome {
    let device = open()?;
    let logs = device.create(Create::new(N * PAGE))?;
    let external = device.create(Create::new(N * PAGE).kind(BoType::Sg))?;
    device.populate(logs)?;
    device.set_log_mode(INITIALLY_SET)?;
    device.log_start(logs)?;
    device.log_clear(logs, 0, 64, &[1 << 40])?;
    let objects = Objects {
        device,
        logs: logs.get(),
        external: external.get(),
    };
    let device = &objects.device;
    let before = device.log_info(logs)?;
    unchanged(device, || {
        for nowhere in NOWHERE {
            let get = || Argument {
                arg: sys::reeve_bo_log_get {
                    handle: objects.logs,
                    pages: N,
                    ..Default::default()
                },
                good_words: true,
            };
            try_pairs(&objects, get, GET, |mut a| {
                if a.good_words {
                    let words = &mut [0; 3];
                    // The wrapper looks after the length, so the right number goes by it.
                    if a.arg.pages == N && a.arg.flags == 0 {
                        return device
                            .log_get(Handle::new(a.arg.handle), N, words)
                            .map(drop);
                    }
                }
                memory::log_get(device, &mut a.arg, Words::Nowhere(nowhere))
            })
            .map_err(|stop| stop.during("get"))?;

            let clear = || Argument {
                arg: sys::reeve_bo_log_clear {
                    handle: objects.logs,
                    first_page: 64,
                    num_pages: 64,
                    ..Default::default()
                },
                good_words: true,
            };
            try_pairs(&objects, clear, CLEAR, |mut a| {
                if a.good_words && a.arg.flags == 0 {
                    let (handle, first) = (Handle::new(a.arg.handle), a.arg.first_page);
                    return device
                        .log_clear(handle, first, a.arg.num_pages, &[0])
                        .map(drop);
                }
                memory::log_clear(device, &mut a.arg, Words::Nowhere(nowhere))
            })
            .map_err(|stop| stop.during("clear"))?;
        }
        try_pairs(
            &objects,
            || sys::reeve_log_mode {
                flags: 0,
                mode: 77,
                ..Default::default()
            },
            MODE,
            |mut arg| device.raw().log_mode(&mut arg),
        )?;
        try_pairs(
            &objects,
            || sys::reeve_bo {
                handle: objects.logs,
                ..Default::default()
            },
            START,
            |mut arg| device.raw().bo(reeve_uapi::BoCall::LogStart, &mut arg),
        )?;
        try_pairs(
            &objects,
            || sys::reeve_bo_log_info {
                handle: objects.logs,
                ..Default::default()
            },
            INFO,
            |mut arg| device.raw().bo_log_info(&mut arg),
        )?;
        try_pairs(
            &objects,
            || sys::reeve_bo_log_fence {
                handle: objects.logs,
                ..Default::default()
            },
            FENCE,
            |mut arg| {
                device.raw().bo_log_fence(&mut arg)?;
                // Lifted at once.
                Ok(nix::unistd::close(arg.fd)?)
            },
        )
    })?;
    check_eq!(device.log_info(logs)?, before);
    check_eq!(device.log_mode()?, (INITIALLY_SET, 3));
    Ok(())
}

/// The same answers by the entry of 32-bit programs.
fn calls_of_32_bit_programs() -> Outcome {
    // Without that entry, an int 0x80 is a fault. Kernels that have it have this file.
    if !Path::new("/proc/sys/abi/vsyscall32").exists() {
        return Err(Stop::skipped(
            "this kernel has no entry for 32-bit programs",
        ));
    }
    let device = open()?;
    let handle = device.create(Create::new(N * PAGE))?;
    let mut page = LowPage::new()?;
    let bitmap = u64::from(page.address()) + 64 * 8;
    let number = u64::from(handle.get());
    let mut call = |nr, words: &[u64]| -> std::io::Result<Vec<u64>> {
        page.words()[..words.len()].copy_from_slice(words);
        page.ioctl(&device, request(nr, words.len() * 8), 0)?;
        Ok(page.words().to_vec())
    };
    // SET, mode 3.
    check_eq!(
        call(sys::REEVE_NR_LOG_MODE, &[1 | 3 << 32, 0])?[..2],
        [1 | 3 << 32, 3]
    );
    refused(call(sys::REEVE_NR_LOG_MODE, &[1 | 2 << 32, 0]), EINVAL)?;
    check_eq!(call(sys::REEVE_NR_BO_LOG_START, &[number, 0, 0, 0])?[1], N);
    let got = call(sys::REEVE_NR_BO_LOG_GET, &[number, N, bitmap, 0])?;
    check_eq!(got[3], N);
    check_eq!(got[64..68], [u64::MAX, u64::MAX, 3, 0]);
    // The bitmap of that get, all ones.
    let cleared = call(sys::REEVE_NR_BO_LOG_CLEAR, &[number, 64, 64, bitmap, 0])?;
    check_eq!(cleared[4], 64);
    let got = call(sys::REEVE_NR_BO_LOG_GET, &[number, N, bitmap, 0])?;
    check_eq!(got[64..67], [u64::MAX, 0, 3]);
    let info = call(sys::REEVE_NR_BO_LOG_INFO, &[number, 0, 0, 0, 0, 0, 0, 0])?;
    check_eq!(info[..3], [number | 3 << 32, N, 66]);
    refused(
        call(sys::REEVE_NR_BO_LOG_GET, &[number, N, 1 << 47, 0]),
        EFAULT,
    )?;
    refused(
        call(sys::REEVE_NR_BO_LOG_CLEAR, &[number, 1, 64, bitmap, 0]),
        EINVAL,
    )?;
    let fence = call(sys::REEVE_NR_BO_LOG_FENCE, &[number, 0, 0, 0])?;
    let info = call(sys::REEVE_NR_BO_LOG_INFO, &[number, 0, 0, 0, 0, 0, 0, 0])?;
    check_eq!(info[6], 1);
    nix::unistd::close(fence[1] as i32)?;
    check_eq!(call(sys::REEVE_NR_BO_LOG_STOP, &[number, 0, 0, 0])?[1], N);
    refused(call(sys::REEVE_NR_BO_LOG_STOP, &[number, 0, 0, 0]), ENOENT)
}

/// What a clear of a log of [`N`] pages has to answer: by the rules, written once more.
fn expected_clear(arg: &sys::reeve_bo_log_clear, logs: u32, good_words: bool) -> Result<(), Errno> {
    if arg.flags != 0 || arg.first_page & 63 != 0 {
        return Err(EINVAL);
    }
    if arg.handle != logs {
        return Err(ENOENT);
    }
    let end = u128::from(arg.first_page) + u128::from(arg.num_pages);
    let ends_well = arg.num_pages & 63 == 0 || end == u128::from(N);
    if end > u128::from(N) || !ends_well {
        return Err(EINVAL);
    }
    match arg.num_pages == 0 || good_words {
        true => Ok(()),
        false => Err(EFAULT),
    }
}

/// Structs of all kinds of numbers: each is answered as it has to be, and none changes a log that it
/// should not.
fn random_structs() -> Outcome {
    // By hand: 100000.
    let rounds = steps().unwrap_or(20_000);
    let device = open()?;
    let logs = device.create(Create::new(N * PAGE))?;
    let plain = device.create(Create::new(N * PAGE))?;
    let other = device.create(Create::new(N * PAGE))?;
    device.set_log_mode(INITIALLY_SET)?;
    device.log_start(other)?;
    device.set_log_mode(MANUAL)?;
    device.log_start(logs)?;
    let untouched = device.log_info(other)?;
    let mut random = Random::new(12);
    let mut model: BTreeSet<u64> = BTreeSet::new();
    let firsts = [
        0,
        0,
        64,
        128,
        128,
        192,
        1,
        63,
        130,
        1 << 40,
        u64::MAX,
        u64::MAX - 63,
    ];
    let counts = [
        0,
        64,
        128,
        130,
        66,
        2,
        1,
        63,
        192,
        1 << 40,
        u64::MAX,
        u64::MAX - 63,
    ];
    let handles = [
        logs,
        logs,
        logs,
        logs,
        plain,
        Handle::new(0),
        Handle::new(u32::MAX),
    ];
    for round in 0..rounds {
        if round % 16 == 0 {
            let page = random.below(N);
            device.write(logs, page * PAGE, &[1])?;
            model.insert(page);
        }
        let nowhere = *random.pick(&NOWHERE);
        let flags = if random.below(8) == 0 {
            random.next() as u32
        } else {
            0
        };
        let handle = *random.pick(&handles);
        let good_words = random.below(3) != 0;
        if random.below(4) == 0 {
            let pages = *random.pick(&[N, N, N, 0, 129, 131, u64::MAX]);
            let wanted = match (flags, handle == logs, pages == N, good_words) {
                (1.., ..) => Err(EINVAL),
                (_, false, ..) => Err(ENOENT),
                (_, _, false, _) => Err(EINVAL),
                (_, _, _, false) => Err(EFAULT),
                _ => Ok(()),
            };
            let mut words = [0; 3];
            let result = if good_words && pages == N && flags == 0 {
                device.log_get(handle, N, &mut words).map(drop)
            } else {
                let mut arg = sys::reeve_bo_log_get {
                    handle: handle.get(),
                    flags,
                    pages,
                    dirty: random.next(),
                    ..Default::default()
                };
                memory::log_get(&device, &mut arg, Words::Nowhere(nowhere))
            };
            check_eq!(
                result.as_ref().map(drop).map_err(errno),
                wanted,
                "get {handle} {flags:#x} {pages} in round {round}"
            );
            if wanted.is_ok() {
                check!(pages_of(&words).eq(model.iter().copied()), "round {round}");
            }
            continue;
        }
        let mut arg = sys::reeve_bo_log_clear {
            handle: handle.get(),
            flags,
            first_page: *random.pick(&firsts),
            num_pages: *random.pick(&counts),
            cleared: random.next(),
            ..Default::default()
        };
        let mask = [random.next() & random.next(), random.next(), random.next()];
        let by_wrapper = good_words && flags == 0 && arg.num_pages <= 192;
        let wanted = expected_clear(&arg, logs.get(), by_wrapper);
        let result = if by_wrapper {
            device
                .log_clear(handle, arg.first_page, arg.num_pages, &mask)
                .map(|cleared| arg.cleared = cleared)
        } else {
            memory::log_clear(&device, &mut arg, Words::Nowhere(nowhere))
        };
        check_eq!(
            result.as_ref().map(drop).map_err(errno),
            wanted,
            "clear {arg:?} in round {round}"
        );
        if wanted.is_ok() {
            let asked: BTreeSet<u64> = pages_of(&mask)
                .filter(|bit| *bit < arg.num_pages)
                .map(|bit| arg.first_page + bit)
                .collect();
            let before = model.len();
            model.retain(|page| !asked.contains(page));
            check_eq!(arg.cleared, (before - model.len()) as u64, "round {round}");
        }
    }
    let mut words = [0; 3];
    device.log_get(logs, N, &mut words)?;
    check!(pages_of(&words).eq(model.iter().copied()));
    check_eq!(device.log_info(other)?, untouched);
    // Requests about modes.
    for _ in 0..1000 {
        let mut arg = sys::reeve_log_mode {
            flags: random.below(4) as u32,
            mode: random.below(9) as u32,
            supported: random.next() as u32,
            reserved: random.below(2) as u32,
        };
        let before = device.log_mode()?;
        let bad_mode = arg.flags & 1 != 0 && !MODES.contains(&arg.mode);
        let wanted = arg.flags < 2 && arg.reserved == 0 && !bad_mode;
        let mode = if arg.flags & 1 != 0 {
            arg.mode
        } else {
            before.0
        };
        check_eq!(device.raw().log_mode(&mut arg).is_ok(), wanted);
        let now = if wanted { mode } else { before.0 };
        check_eq!(device.log_mode()?, (now, 3));
    }
    Ok(())
}
