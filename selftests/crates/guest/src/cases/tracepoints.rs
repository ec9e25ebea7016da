// SPDX-License-Identifier: GPL-2.0-or-later

//! The tracepoints of page accounting, through tracefs.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::BoType;
use reeve_uapi::Create;

use crate::process::Child;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::until;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::tracing::need;
use crate::tracing::path;
use crate::tracing::put;
use crate::tracing::Tracing;
use crate::tracing::EVENTS;

cases!("tracepoints";
    are_off_by_default,
    operations_are_traced,
    only_what_is_enabled,
    failures_are_traced,
    the_end_of_an_object_is_traced,
    nothing_done_is_not_traced,
    overcommits_are_traced,
    giving_back_from_the_pool_is_traced,
    dirty_logs_are_traced,
    small_populates_are_timed_while_traced,
);

const PAGES: u64 = 100;

fn are_off_by_default() -> Outcome {
    need()?;
    for event in EVENTS {
        let enabled = fs::read_to_string(path(&format!("events/reeve/{event}/enable")))?;
        check_eq!(enabled, "0\n", "{event}");
    }
    Ok(())
}

fn operations_are_traced() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGES * PAGE))?;
    let tracing = Tracing::of(&EVENTS)?;
    device.populate(handle)?;
    device.swapout(handle)?;
    device.populate(handle)?;
    device.backup(handle)?;
    device.restore(handle)?;
    device.unpopulate(handle)?;
    let events = tracing.seen()?;
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    check_eq!(
        names,
        [
            "tt_populate",
            "tt_swapout",
            "tt_swapin",
            "tt_backup",
            "tt_restore",
            "tt_unpopulate"
        ]
    );
    for event in &events {
        check_eq!(event.number("device")?, 0);
        check_eq!(event.number("pages")?, PAGES as i64);
        check_eq!(event.number("result")?, 0);
        check!(event.number("duration")? > 0, "{event:?}");
        check_eq!(event.text("bo")?, events[0].text("bo")?);
    }
    Ok(())
}

fn only_what_is_enabled() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGES * PAGE))?;
    let tracing = Tracing::of(&["tt_swapout"])?;
    device.populate(handle)?;
    device.swapout(handle)?;
    device.populate(handle)?;
    check_eq!(tracing.one()?.name, "tt_swapout");
    put("events/reeve/enable", "0")?;
    device.swapout(handle)?;
    check_eq!(tracing.one()?.name, "tt_swapout");
    Ok(())
}

fn failures_are_traced() -> Outcome {
    let device = open()?;
    let huge = device.create(Create::new(1 << 42))?;
    let tracing = Tracing::of(&EVENTS)?;
    refused(device.populate(huge), Errno::ENOMEM)?;
    let event = tracing.one()?;
    check_eq!(event.name, "tt_populate");
    check_eq!(event.number("result")?, -i64::from(Errno::ENOMEM as i32));
    check_eq!(event.number("pages")?, (1 << 42) / PAGE as i64);
    Ok(())
}

fn the_end_of_an_object_is_traced() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 7)?;
    let tracing = Tracing::of(&EVENTS)?;
    device.destroy(handle)?;
    let event = tracing.one()?;
    check_eq!(event.name, "tt_unpopulate");
    check_eq!(event.number("pages")?, 7);
    Ok(())
}

fn nothing_done_is_not_traced() -> Outcome {
    let device = open()?;
    let handle = populated(&device, PAGES)?;
    let empty = device.create(Create::new(PAGES * PAGE))?;
    let tracing = Tracing::of(&EVENTS)?;
    device.populate(handle)?;
    device.unpopulate(empty)?;
    device.swapout(empty)?;
    device.destroy(empty)?;
    let sg = device.create(Create::new(PAGE).kind(BoType::Sg))?;
    device.destroy(sg)?;
    check!(tracing.seen()?.is_empty());
    Ok(())
}

fn overcommits_are_traced() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(10)?;
    let handle = device.create(Create::new(25 * PAGE))?;
    let tracing = Tracing::of(&["tt_overcommit"])?;
    device.populate(handle)?;
    let event = tracing.one()?;
    for (field, value) in [
        ("device", 0),
        ("pages", 25),
        ("allocated", 25),
        ("limit", 10),
        ("dma32_allocated", 0),
    ] {
        check_eq!(event.number(field)?, value, "{field}");
    }
    check_eq!(
        event.number("dma32_limit")? as u64,
        device.stats()?.dma32_pages_limit
    );
    Ok(())
}

fn giving_back_from_the_pool_is_traced() -> Outcome {
    knobs::drain_pool()?;
    let device = open()?;
    device.destroy(populated(&device, PAGES)?)?;
    let tracing = Tracing::of(&["pool_shrink"])?;
    check_eq!(knobs::page_pool_shrink()?, PAGES as i64);
    let mut pages = 0;
    for event in tracing.seen()? {
        check!(event.number("node")? >= 0 && event.number("duration")? > 0);
        check_eq!(event.number("wanted")?, 512);
        pages += event.number("pages")?;
    }
    check_eq!(pages, PAGES as i64);
    Ok(())
}

fn dirty_logs_are_traced() -> Outcome {
    let device = open()?;
    let handle = populated(&device, PAGES)?;
    let mapping = device.map(handle)?;
    let tracing = Tracing::of(&EVENTS)?;
    device.set_log_mode(1)?;
    device.log_start(handle)?;
    mapping.write(70 * PAGE as usize, &[1; 8]);
    let mut words = [0; 2];
    device.log_get(handle, PAGES, &mut words)?;
    device.log_clear(handle, 64, PAGES - 64, &[u64::MAX])?;
    // Made before the fence, so that it does not have it.
    let mut writer = Child::run(|line| {
        line.hear()?;
        mapping.write(33 * PAGE as usize, &[1; 8]);
        Ok(())
    })?;
    let fence = device.log_fence(handle)?;
    writer.line.say(0)?;
    let held = || {
        let info = device.log_info(handle)?;
        Ok((info.fences, info.dirty) == (1, 0)
            && tracing.seen()?.iter().any(|event| event.name == "log_hold"))
    };
    check!(
        until(Duration::from_secs(20), held)?,
        "the store does not wait"
    );
    drop(fence);
    writer.join_within(Duration::from_secs(20))?;
    let events = tracing.seen()?;
    let seen = events
        .iter()
        .map(|event| {
            check_eq!(event.number("device")?, 0);
            check_eq!(event.number("mode")?, 1);
            let numbers = ["first", "pages", "dirty"].map(|field| event.number(field));
            let [first, pages, dirty] = numbers;
            Ok((event.name.as_str(), first?, pages?, dirty?))
        })
        .collect::<Outcome<Vec<_>>>()?;
    check_eq!(
        seen,
        [
            ("log_start", 0, 100, 0),
            ("log_write_fault", 70, 1, 1),
            ("log_get", 0, 100, 1),
            ("log_clear", 64, 36, 1),
            ("log_fence", 0, 100, 0),
            ("log_hold", 33, 1, 0),
            ("log_unfence", 0, 100, 0),
            ("log_write_fault", 33, 1, 1),
        ]
    );
    Ok(())
}

/// A tracepoint's duration is real, whatever is timed otherwise.
fn small_populates_are_timed_while_traced() -> Outcome {
    let device = open()?;
    for timed in ["64", "0"] {
        knobs::set_parameter("timed_pages", timed)?;
        let tracing = Tracing::of(&["tt_populate"])?;
        populated(&device, 1)?;
        let event = tracing.one()?;
        check_eq!(event.number("pages")?, 1);
        check!(event.number("duration")? > 0, "{event:?}");
    }
    Ok(())
}
