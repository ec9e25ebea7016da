// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl migrate estimate`: what it measures of a writer that is known, what it says of that, and what it leaves.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use reeve_uapi::sys;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use super::migrate::logs_nothing;
use super::precopy::needs_log;
use super::reevectl::reevectl;
use crate::beside::inherit;
use crate::beside::keep;
use crate::beside::Beside;
use crate::beside::Run;
use crate::content::filled;
use crate::content::holds;
use crate::process::Child;
use crate::seen::open;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("migrate";
    an_estimate_is_of_what_is_written,
    an_estimate_of_a_steady_writer,
    an_estimate_that_is_ended_leaves_no_log,
    an_estimate_of_what_cannot_be_says_so,
);

/// The pages of the object, and those of them that the writer goes through again and again.
const PAGES: u64 = 1000;
const WORKING: u64 = 500;

/// Runs it on this open file.
fn estimated(device: &Device, args: &str) -> Outcome<Run> {
    let fd = inherit(device)?;
    let run = reevectl(&format!("--fd {fd} migrate estimate {args}"))?;
    keep(device)?;
    Ok(run)
}

fn parsed(run: &Run) -> Outcome<Value> {
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    serde_json::from_str(&run.out).map_err(|err| Stop::failed(err.to_string()))
}

/// Writes to the first pages of the object over and over, as fast as it can; says so once it was through them.
fn writer(device: &Device, handle: Handle) -> Outcome<Child> {
    let mapping = device.map(handle)?;
    let mut child = Child::run(|line| {
        for count in 1_u64.. {
            let page = count % WORKING;
            let place = (page * PAGE) as usize;
            mapping.write(place, &count.to_le_bytes());
            if count == WORKING {
                line.say(0)?;
            }
        }
        Ok(())
    })?;
    child.line.hear()?;
    Ok(child)
}

fn an_estimate_is_of_what_is_written() -> Outcome {
    let device = open()?;
    needs_log(&device)?;
    let handle = filled(&device, Create::new(PAGES * PAGE), 1)?;
    // Without content there is nothing to send.
    device.create(Create::new(50 * PAGE))?;
    let child = writer(&device, handle)?;
    // The 500 pages take 0.49 s at 4 MiB/s, and 1.95 s at 1 MiB/s.
    let run = estimated(&device, "--seconds 2 --bandwidth 4M --downtime 600")?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    for text in [
        "1050 pages, 1000 of them with content (3.9 MiB)\n",
        "500 of them (2.0 MiB) were written to in 2.",
        "at 4.0 MiB/s: 2 rounds, 5.9 MiB to send, 1.5 s, of which writers are stopped for 0.488 s\n",
    ] {
        check!(run.out.contains(text), "{}", run.out);
    }
    let run = estimated(&device, "--seconds 2 --bandwidth 1M")?;
    for text in [
        "at 1.0 MiB/s: 3 rounds, 7.8 MiB to send, 7.8 s\n",
        "it will not end by itself: what is left does not get below 300 ms of sending\n",
        "writers would be stopped for 1.953 s\n",
    ] {
        check!(run.out.contains(text), "{}", run.out);
    }
    // With more time for the last round it would.
    let json = parsed(&estimated(
        &device,
        "--seconds 2 --bandwidth 1M --downtime 2000 --json",
    )?)?;
    check_eq!(json["estimate"]["converges"], true, "{json}");
    check_eq!(json["estimate"]["pages"], PAGES + WORKING);
    check_eq!(json["measured"]["dirty"][5][1], WORKING);
    logs_nothing(&device)?;
    check_eq!(device.log_mode()?.0, 0);
    check!(child.is_going()?, "the writer does not run");
    child.kill()?;
    // And of nothing written.
    let json = parsed(&estimated(&device, "--seconds 1 --json")?)?;
    check_eq!(json["measured"]["dirty"][4][1], 0, "{json}");
    check_eq!(json["estimate"]["rounds"], 2);
    check_eq!(json["estimate"]["downtime"], 0.0);
    Ok(())
}

/// A page that was not written to before, once in this time.
const BEAT: Duration = Duration::from_millis(5);

fn an_estimate_of_a_steady_writer() -> Outcome {
    let device = open()?;
    needs_log(&device)?;
    let handle = filled(&device, Create::new(4 * PAGES * PAGE), 1)?;
    let counts = open()?;
    let count = counts.create(Create::new(PAGE))?;
    let counted = counts.map(count)?;
    counted.touch();
    let mapping = device.map(handle)?;
    let mut child = Child::run(|line| {
        for page in 0..4 * PAGES {
            mapping.write((page * PAGE) as usize, &page.to_le_bytes());
            counted.write(0, &page.to_le_bytes());
            if page == 0 {
                line.say(0)?;
            }
            std::thread::sleep(BEAT);
        }
        Ok(())
    })?;
    child.line.hear()?;
    let count = || {
        let mut word = [0; 8];
        counted.read(0, &mut word);
        u64::from_le_bytes(word)
    };
    let before = count();
    let json = parsed(&estimated(&device, "--seconds 3 --json")?)?;
    let after = count();
    child.kill()?;
    // Four looks are within the first second.
    let look = |second: usize| &json["measured"]["dirty"][second + 4];
    let dirty = |second: usize| look(second)[1].as_u64().unwrap_or(0);
    let time = |second: usize| look(second)[0].as_f64().unwrap_or(0.0);
    // No page is named that was not written to meanwhile: 200 a second at most, on a machine that is busy fewer.
    let written = after + 1 - before;
    check!(dirty(0) > 0 && dirty(2) <= written, "{written} {json}");
    let most = (time(2) / BEAT.as_secs_f64()) as u64 + 1;
    check!(dirty(2) <= most, "{json}");
    // And each second has some of its own.
    check!(dirty(0) <= dirty(1) && dirty(1) <= dirty(2), "{json}");
    check!(dirty(0) < dirty(2), "{json}");
    Ok(())
}

fn an_estimate_that_is_ended_leaves_no_log() -> Outcome {
    let device = open()?;
    needs_log(&device)?;
    let handles = [1, 2, 3].map(|seed| filled(&device, Create::new(100 * PAGE), seed));
    let handles = handles.into_iter().collect::<Outcome<Vec<_>>>()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let beside = Beside::start(&device, "migrate estimate --seconds 3600")?;
        keep(&device)?;
        let last = handles[2];
        let logs = || Ok(device.info(last)?.is(sys::REEVE_BO_LOGGING));
        check!(until(Duration::from_secs(20), logs)?, "it does not begin");
        beside.signal(signal)?;
        let run = beside.end()?;
        check_eq!((run.code, run.out.as_str()), (Some(3), ""), "{}", run.err);
        check!(run.err.contains("source, setup: cancelled"), "{}", run.err);
        logs_nothing(&device)?;
        check_eq!(device.log_mode()?.0, 0);
    }
    // An object that goes meanwhile ends it, and the logs of the others.
    let beside = Beside::start(&device, "migrate estimate --seconds 3600")?;
    keep(&device)?;
    let logs = || Ok(device.info(handles[2])?.is(sys::REEVE_BO_LOGGING));
    check!(until(Duration::from_secs(20), logs)?, "it does not begin");
    device.destroy(handles[1])?;
    let run = beside.end()?;
    check_eq!(run.code, Some(1), "{}", run.err);
    let text = format!("could not get the log of buffer object {}", handles[1]);
    check!(run.err.contains(&text), "{}", run.err);
    logs_nothing(&device)?;
    holds(&device, handles[0], 1)?;
    check!(estimated(&device, "--seconds 1")?.code == Some(0));
    Ok(())
}

fn an_estimate_of_what_cannot_be_says_so() -> Outcome {
    let device = open()?;
    needs_log(&device)?;
    let [first, logged] = [1, 2].map(|seed| filled(&device, Create::new(PAGE), seed));
    let (first, logged) = (first?, logged?);
    let run = reevectl("migrate estimate")?;
    check_eq!(run.code, Some(2), "{}", run.err);
    check!(run.err.contains("--fd"), "{}", run.err);
    for (args, code, text) in [
        ("--seconds 0".to_owned(), 2, "0 is not in 1..=3600"),
        ("--bandwidth 0".to_owned(), 2, "a bandwidth is above 0"),
        (
            "--bandwidth fast".to_owned(),
            2,
            "a size is a number with nothing",
        ),
        ("9".to_owned(), 1, "no object of that handle"),
        (format!("{first} {first}"), 2, "is named twice"),
    ] {
        let run = estimated(&device, &args)?;
        check_eq!(run.code, Some(code), "{args}: {}", run.err);
        check!(run.err.contains(text), "{args}: {}", run.err);
        check_eq!(run.out, "", "{args}");
        logs_nothing(&device)?;
    }
    // A log that is on is another user's: it stays, and no other one does.
    device.log_start(logged)?;
    let run = estimated(&device, "--seconds 1")?;
    check_eq!(run.code, Some(1), "{}", run.err);
    let text = format!("object {logged} is being logged already");
    check!(run.err.contains(&text), "{}", run.err);
    check!(device.info(logged)?.is(sys::REEVE_BO_LOGGING));
    check!(!device.info(first)?.is(sys::REEVE_BO_LOGGING));
    check_eq!(device.log_mode()?.0, 0);
    Ok(())
}
