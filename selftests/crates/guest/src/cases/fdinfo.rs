// SPDX-License-Identifier: GPL-2.0-or-later

//! What /proc says that an open file holds.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;

use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("fdinfo";
    starts_at_nothing,
    follows_what_happens,
    is_about_one_open_file,
    names_the_open_file,
    shows_the_limit,
    is_of_one_moment,
    changes_nothing,
);

/// Keys and values, after those of every open file.
fn fdinfo(device: &Device) -> Outcome<BTreeMap<String, String>> {
    let path = format!("/proc/self/fdinfo/{}", device.as_fd().as_raw_fd());
    let text = fs::read_to_string(path)?;
    text.lines()
        .map(|line| {
            let (key, value) = line
                .split_once(':')
                .ok_or_else(|| Stop::failed(format!("no key in {line:?}")))?;
            Ok((key.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Pages under a key, which are in KiB.
fn pages(device: &Device, key: &str) -> Outcome<u64> {
    let all = fdinfo(device)?;
    let kib = all.get(key).and_then(|value| value.strip_suffix(" KiB"));
    let kib = kib.and_then(|number| number.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| Stop::failed(format!("no {key} in {all:?}")))? * 1024 / PAGE)
}

/// Total, resident, charged, pinned, swapped and backed up pages.
fn sums(device: &Device) -> Outcome<[u64; 6]> {
    Ok([
        pages(device, "drm-total-system")?,
        pages(device, "drm-resident-system")?,
        pages(device, "reeve-charged-system")?,
        pages(device, "reeve-pinned-system")?,
        pages(device, "reeve-swapped-system")?,
        pages(device, "reeve-backed-up-system")?,
    ])
}

fn starts_at_nothing() -> Outcome {
    let device = open()?;
    let all = fdinfo(&device)?;
    check_eq!(all.get("drm-driver").map(String::as_str), Some("reeve"));
    check_eq!(all.get("reeve-objects").map(String::as_str), Some("0"));
    check!(all.contains_key("pos"), "{all:?}");
    check_eq!(sums(&device)?, [0; 6]);
    Ok(())
}

fn follows_what_happens() -> Outcome {
    let device = open()?;
    device.create(Create::new(PAGE))?;
    check_eq!(sums(&device)?, [1, 0, 0, 0, 0, 0]);
    let first = populated(&device, 10)?;
    check_eq!(sums(&device)?, [11, 10, 10, 0, 0, 0]);
    device.pin(first)?;
    check_eq!(sums(&device)?, [11, 10, 10, 10, 0, 0]);
    device.unpin(first)?;
    device.swapout(first)?;
    check_eq!(sums(&device)?, [11, 0, 0, 0, 10, 0]);
    let second = populated(&device, 20)?;
    device.backup(second)?;
    check_eq!(sums(&device)?, [31, 0, 0, 0, 10, 20]);
    let mappable = Create::new(5 * PAGE).kind(BoType::Sg).mappable();
    device.populate(device.create(mappable)?)?;
    check_eq!(sums(&device)?, [36, 5, 0, 0, 10, 20]);
    device.destroy(second)?;
    check_eq!(sums(&device)?, [16, 5, 0, 0, 10, 0]);
    check_eq!(
        fdinfo(&device)?.get("reeve-objects").map(String::as_str),
        Some("3")
    );
    Ok(())
}

fn is_about_one_open_file() -> Outcome {
    let device = open()?;
    populated(&device, 10)?;
    check_eq!(sums(&open()?)?, [0; 6]);
    Ok(())
}

/// A descriptor that was duplicated is the same client, another open file is another one.
fn names_the_open_file() -> Outcome {
    let client = |device: &Device| -> Outcome<Option<String>> {
        Ok(fdinfo(device)?.remove("drm-client-id"))
    };
    let (device, other) = (open()?, open()?);
    let again = Device::from(device.as_fd().try_clone_to_owned()?);
    check!(client(&device)?.is_some_and(|id| id.parse::<u64>().is_ok_and(|id| id != 0)));
    check_eq!(client(&device)?, client(&again)?);
    check!(client(&device)? != client(&other)?);
    // Nothing is ever in two open files.
    populated(&device, 10)?;
    check_eq!(pages(&again, "drm-total-system")?, 10);
    check_eq!(pages(&again, "drm-shared-system")?, 0);
    Ok(())
}

fn shows_the_limit() -> Outcome {
    let device = open()?;
    check!(!fdinfo(&device)?.contains_key("reeve-limit-system"));
    device.set_file_limit(25)?;
    check_eq!(pages(&device, "reeve-limit-system")?, 25);
    populated(&device, 26)?;
    let all = fdinfo(&device)?;
    check_eq!(all.get("reeve-overcommits").map(String::as_str), Some("1"));
    Ok(())
}

/// Each of two threads has one object at a time, so that there never are three.
fn is_of_one_moment() -> Outcome {
    let device = open()?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let makers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    while !done.load(Ordering::Relaxed) {
                        let handle = populated(&device, 10)?;
                        device.destroy(handle)?;
                    }
                    Ok(())
                })
            })
            .collect();
        let result = (0..1000).try_for_each(|_| {
            let all = fdinfo(&device)?;
            let number = |key: &str| -> Outcome<u64> {
                let first = all.get(key).and_then(|value| value.split(' ').next());
                let number = first.and_then(|first| first.parse().ok());
                number.ok_or_else(|| Stop::failed(format!("no {key} in {all:?}")))
            };
            let objects = number("reeve-objects")?;
            let total = number("drm-total-system")?;
            check!(objects <= 2, "{all:?}");
            check_eq!(total, objects * 10 * PAGE / 1024);
            check!(number("drm-resident-system")? <= total, "{all:?}");
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        for maker in makers {
            maker
                .join()
                .unwrap_or(Err(Stop::failed("a thread panicked")))?;
        }
        result
    })
}

fn changes_nothing() -> Outcome {
    let device = open()?;
    populated(&device, 10)?;
    unchanged(&device, || {
        for _ in 0..10 {
            fdinfo(&device)?;
        }
        Ok(())
    })
}
