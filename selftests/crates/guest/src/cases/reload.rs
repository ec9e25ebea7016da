// SPDX-License-Identifier: GPL-2.0-or-later

//! The module goes in and out.

use std::path::Path;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_FEATURE_LOCK_SANITY;
use reeve_uapi::DEFAULT_PATH;

use crate::module;
use crate::process::Child;
use crate::seen::open;
use crate::seen::populated;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("reload";
    refused_while_open,
    refused_while_a_child_holds_it,
    nothing_is_left,
    many_times,
    not_twice,
    parameters_are_heeded,
    limits_show_what_is_in_force,
    tests_are_off_by_default,
    bad_parameters_keep_it_out,
);

/// Removes the module; a case that does needs the file to put it back.
#[track_caller]
fn remove() -> Outcome {
    module::need_file()?;
    module::remove().map_err(|errno| Stop::failed(format!("cannot be removed: {errno:?}")))
}

#[track_caller]
fn insert(parameters: &str) -> Outcome {
    module::insert(parameters)?
        .map_err(|errno| Stop::failed(format!("cannot be inserted: {errno:?}")))
}

fn busy() -> Outcome {
    match module::remove() {
        // EAGAIN and EWOULDBLOCK are one.
        Err(Errno::EBUSY | Errno::EWOULDBLOCK) => Ok(()),
        other => Err(Stop::failed(format!("{other:?} while it is in use"))),
    }
}

fn refused_while_open() -> Outcome {
    module::need_file()?;
    let device = open()?;
    busy()?;
    let handle = populated(&device, 4)?;
    busy()?;
    device.swapout(handle)?;
    busy()?;
    // It works on as if nothing had been tried.
    check_eq!(device.populate(handle)?, 4);
    drop(device);
    remove()?;
    insert("enable_builtin_tests=1")
}

fn refused_while_a_child_holds_it() -> Outcome {
    module::need_file()?;
    let device = open()?;
    let child = Child::run(|line| line.hear().map(drop))?;
    drop(device);
    busy()?;
    child.kill()?;
    remove()?;
    insert("enable_builtin_tests=1")
}

fn nothing_is_left() -> Outcome {
    module::need_file()?;
    let device = open()?;
    let handle = populated(&device, 100)?;
    device.swapout(handle)?;
    drop(device);
    remove()?;
    for path in [DEFAULT_PATH, knobs::DEBUGFS, knobs::MODULE] {
        check!(!Path::new(path).exists(), "{path}");
    }
    insert("enable_builtin_tests=1")?;
    for path in [DEFAULT_PATH, knobs::DEBUGFS, knobs::MODULE] {
        check!(Path::new(path).exists(), "{path}");
    }
    let stats = open()?.stats()?;
    check_eq!(
        (stats.populates, stats.swapouts, stats.buffer_objects),
        (0, 0, 0)
    );
    Ok(())
}

fn many_times() -> Outcome {
    for _ in 0..6 {
        remove()?;
        insert("enable_builtin_tests=1")?;
        let device = open()?;
        check_eq!(device.lock_sanity()?.failed, 0);
        let handle = populated(&device, 10)?;
        device.swapout(handle)?;
        device.populate(handle)?;
    }
    Ok(())
}

fn not_twice() -> Outcome {
    check_eq!(module::insert("")?, Err(Errno::EEXIST));
    open().map(drop)
}

fn parameters_are_heeded() -> Outcome {
    remove()?;
    insert("enable_builtin_tests=1 pages_limit=123 dma32_pages_limit=45 devices=8")?;
    let device = open()?;
    let stats = device.stats()?;
    check_eq!((stats.pages_limit, stats.dma32_pages_limit), (123, 45));
    let version = device.version()?;
    check_eq!(version.devices, 8);
    check!(version.features & u64::from(REEVE_FEATURE_LOCK_SANITY) != 0);
    Ok(())
}

fn limits_show_what_is_in_force() -> Outcome {
    remove()?;
    insert("enable_builtin_tests=1")?;
    let stats = open()?.stats()?;
    check!(stats.pages_limit > 0 && stats.dma32_pages_limit > 0);
    check_eq!(
        knobs::parameter("pages_limit")?,
        stats.pages_limit.to_string()
    );
    check_eq!(
        knobs::parameter("dma32_pages_limit")?,
        stats.dma32_pages_limit.to_string()
    );
    Ok(())
}

fn tests_are_off_by_default() -> Outcome {
    remove()?;
    insert("")?;
    let device = open()?;
    let version = device.version()?;
    check_eq!(version.devices, 1);
    check_eq!(version.features & u64::from(REEVE_FEATURE_LOCK_SANITY), 0);
    refused(device.lock_sanity().map(drop), Errno::EPERM)
}

fn bad_parameters_keep_it_out() -> Outcome {
    remove()?;
    for parameters in [
        "devices=0",
        "devices=9",
        "devices=x",
        "devices=-1",
        "pages_limit=small",
    ] {
        match module::insert(parameters)? {
            Err(Errno::EINVAL | Errno::ERANGE) => {}
            other => return Err(Stop::failed(format!("{parameters}: {other:?}"))),
        }
        check!(!knobs::loaded(), "{parameters}");
        for path in [DEFAULT_PATH, knobs::DEBUGFS] {
            check!(!Path::new(path).exists(), "{path} after {parameters}");
        }
    }
    insert("enable_builtin_tests=1")
}
