// SPDX-License-Identifier: GPL-2.0-or-later

//! The lock sanity suite behind its ioctl.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys::reeve_lock_sanity;
use reeve_uapi::sys::REEVE_CASE_PASSED;
use reeve_uapi::Device;
use reeve_uapi::LOCK_SANITY_NAMES;

use crate::process::Child;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("sanity";
    every_case_passes,
    names_are_in_order,
    says_how_long_it_took,
    needs_the_parameter,
    input_must_be_zero,
    old_results_are_overwritten,
    fifty_times,
    eight_threads,
    two_processes,
    beside_real_work,
    is_no_violation,
    says_that_tracking_is_off,
    switching_fails_no_case,
);

/// Runs the suite; every case has to pass.
#[track_caller]
fn passes(device: &Device) -> Outcome<reeve_lock_sanity> {
    let result = device.lock_sanity()?;
    for case in result.results() {
        check!(case.passed(), "{}, line {}", case.name_text(), case.line);
    }
    check_eq!((result.count, result.failed), (20, 0));
    Ok(result)
}

fn every_case_passes() -> Outcome {
    let result = passes(&open()?)?;
    for case in &result.cases {
        check_eq!(
            (case.status, case.line),
            (REEVE_CASE_PASSED, 0),
            "{}",
            case.name_text()
        );
    }
    check_eq!((result.flags, result.pad, result.reserved), (0, 0, [0; 2]));
    Ok(())
}

fn names_are_in_order() -> Outcome {
    let result = passes(&open()?)?;
    for (case, name) in result.cases.iter().zip(LOCK_SANITY_NAMES) {
        check_eq!(case.name_text(), name);
        check!(
            case.name[name.len()..].iter().all(|byte| *byte == 0),
            "{name}"
        );
    }
    Ok(())
}

fn says_how_long_it_took() -> Outcome {
    let start = std::time::Instant::now();
    let result = passes(&open()?)?;
    let limit = start.elapsed().as_nanos() as u64;
    check!(
        result.duration_ns > 0 && result.duration_ns <= limit,
        "{} ns",
        result.duration_ns
    );
    Ok(())
}

fn needs_the_parameter() -> Outcome {
    let device = open()?;
    knobs::set_parameter("enable_builtin_tests", "0")?;
    unchanged(&device, || {
        refused(device.lock_sanity().map(drop), Errno::EPERM)
    })?;
    knobs::set_parameter("enable_builtin_tests", "1")?;
    passes(&device).map(drop)
}

fn input_must_be_zero() -> Outcome {
    let device = open()?;
    let mut wrong = [reeve_lock_sanity::default(); 5];
    wrong[0].flags = 1;
    wrong[1].flags = 1 << 31;
    wrong[2].pad = 1;
    wrong[3].reserved[0] = 1;
    wrong[4].reserved[1] = 1 << 63;
    unchanged(&device, || {
        for (index, arg) in wrong.iter_mut().enumerate() {
            refused(device.raw().lock_sanity(arg), Errno::EINVAL)
                .map_err(|stop| stop.during(format!("argument {index}")))?;
        }
        Ok(())
    })
}

fn old_results_are_overwritten() -> Outcome {
    let device = open()?;
    let mut arg = reeve_lock_sanity {
        count: 9,
        failed: 9,
        duration_ns: u64::MAX,
        ..Default::default()
    };
    for case in &mut arg.cases {
        case.name.fill(b'x');
        case.status = 9;
        case.line = 9;
    }
    device.raw().lock_sanity(&mut arg)?;
    check_eq!((arg.count, arg.failed), (20, 0));
    check!(arg.duration_ns != u64::MAX);
    for (case, name) in arg.cases.iter().zip(LOCK_SANITY_NAMES) {
        check_eq!(
            (case.name_text(), case.status, case.line),
            (name, REEVE_CASE_PASSED, 0)
        );
    }
    Ok(())
}

fn fifty_times() -> Outcome {
    let device = open()?;
    for run in 0..50 {
        passes(&device).map_err(|stop| stop.during(format!("run {run}")))?;
    }
    Ok(())
}

fn in_threads(device: &Device, threads: usize, runs: usize) -> Outcome {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    for _ in 0..runs {
                        passes(device)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| panic!("a thread panicked"))
        })
    })
}

fn eight_threads() -> Outcome {
    in_threads(&open()?, 8, 5)
}

fn two_processes() -> Outcome {
    let children = [(); 2].map(|()| {
        Child::run(|line| {
            line.hear()?;
            in_threads(&open()?, 2, 10)
        })
    });
    let mut running = Vec::new();
    for child in children {
        let mut child = child?;
        child.line.say(1)?;
        running.push(child);
    }
    running.into_iter().try_for_each(Child::join)
}

/// The suite runs in a thread whose module takes its own locks around it.
fn beside_real_work() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 8)?;
    thread::scope(|scope| {
        let work = scope.spawn(|| -> Outcome {
            for _ in 0..50 {
                device.swapout(handle)?;
                device.populate(handle)?;
            }
            Ok(())
        });
        for _ in 0..20 {
            passes(&device)?;
            device.stats()?;
        }
        work.join().map_err(|_| Stop::failed("panicked"))?
    })
}

/// The suite uses locks wrongly on purpose; that does not count for others.
fn is_no_violation() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    check_eq!(before.lock_violations, 0);
    for _ in 0..3 {
        passes(&device)?;
    }
    check_eq!(device.stats()?, before);
    Ok(())
}

/// Nothing could fail then: 18 to 20 cases did.
fn says_that_tracking_is_off() -> Outcome {
    let device = open()?;
    knobs::set_parameter("lock_tracking", "0")?;
    let off = unchanged(&device, || {
        refused(device.lock_sanity().map(drop), Errno::EOPNOTSUPP)
    });
    knobs::set_parameter("lock_tracking", "1")?;
    off?;
    passes(&device).map(drop)
}

/// Tracking is switched while the suite runs again and again.
fn switching_fails_no_case() -> Outcome {
    let device = open()?;
    let done = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        let runs = scope.spawn(|| -> Outcome {
            while !done.load(Ordering::Relaxed) {
                match device.lock_sanity() {
                    Ok(result) => check_eq!(result.failed, 0),
                    Err(err) => {
                        let errno = err.raw_os_error().map(Errno::from_raw);
                        check!(
                            matches!(errno, Some(Errno::EOPNOTSUPP | Errno::EAGAIN)),
                            "{err}"
                        );
                    }
                }
            }
            Ok(())
        });
        let switched = (0..20).try_for_each(|_| {
            knobs::set_parameter("lock_tracking", "0")?;
            knobs::set_parameter("lock_tracking", "1")
        });
        done.store(true, Ordering::Relaxed);
        let ran = runs.join().unwrap_or_else(|_| panic!("a thread panicked"));
        switched?;
        ran
    });
    knobs::set_parameter("lock_tracking", "1")?;
    outcome?;
    passes(&device).map(drop)
}
