// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl migrate` with `--resume`: connections that are lost at chosen moments and come back, or do not.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use reeve_precopy::wire::Frame;
use reeve_uapi::Create;
use reeve_uapi::Mapping;

use super::migrate::logs_nothing;
use super::migrate_ends::as_before;
use super::migrate_ends::begun;
use super::migrate_ends::page_of_round_2;
use super::migrate_ends::End;
use crate::beside::keep;
use crate::beside::Beside;
use crate::content::filled;
use crate::content::holds;
use crate::seen::open;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("migrate";
    a_lost_connection_is_taken_up,
    a_receiver_that_was_started_anew_cannot_go_on,
    a_connection_that_stays_lost_ends_both_sides,
    a_signal_ends_the_wait_for_a_connection,
);

/// Is it a page of content?
fn is_page(code: u32) -> bool {
    let page = Frame::Pages {
        region: 0,
        first: 0,
        bytes: &[],
    };
    code == page.code()
}

fn a_lost_connection_is_taken_up() -> Outcome {
    let sender = "--resume 60 --silence 30 --downtime 0 --time-limit 3 --at-limit force --json";
    let mut way = begun(sender, "--resume 60 --silence 30", None)?;
    let map = |handle| Ok(way.from.map(handle)?);
    let sources = way.handles.iter().copied().map(map);
    let sources = sources.collect::<Outcome<Vec<Mapping>>>()?;
    // In round 1, with some pages that have come.
    let mut pages = 0;
    way.carried.until(|code, _| {
        pages += u32::from(is_page(code));
        Ok(pages == 8)
    })?;
    let round = way.carried.round();
    drop(way.carried);
    // One who is not the sender is told so meanwhile.
    let other = open()?;
    let handle = filled(&other, Create::new(PAGE), 9)?;
    let stranger = Beside::start(&other, &format!("migrate send unix:{}", way.far))?;
    keep(&other)?;
    let run = stranger.end()?;
    check_eq!(run.code, Some(4), "{}", run.err);
    let text = "a migration whose connection was lost is to be taken up here, no other one";
    check!(run.err.contains(text), "{}", run.err);
    holds(&other, handle, 9)?;
    way.carried = way.near.carry(&way.far, round)?;
    check!(way.child.is_going()?, "the writer does not run");
    // In a later round.
    way.carried.until(page_of_round_2)?;
    let round = way.carried.round();
    drop(way.carried);
    way.carried = way.near.carry(&way.far, round)?;
    // With the writer stopped, and everything sent.
    way.carried
        .until(|code, _| Ok(code == Frame::Compare.code()))?;
    check!(way.child.is_stopped()?, "the writer runs");
    let round = way.carried.round();
    drop(way.carried);
    way.carried = way.near.carry(&way.far, round)?;
    check!(way.child.is_going()?, "the writer does not run");
    // To the end, which closes it. What is there when all was sent is what has to come.
    let mut contents = Vec::new();
    let child = &way.child;
    let stop = way.carried.until(|code, _| {
        if code == Frame::Compare.code() {
            check!(child.is_stopped()?, "the writer runs");
            contents = sources.iter().map(Mapping::bytes).collect();
        }
        Ok(false)
    });
    check!(stop.is_err());
    drop(way.carried);
    let run = way.sender.end()?;
    check_eq!(run.code, Some(0), "{}", run.err);
    let lost: Vec<&str> = run.err.lines().collect();
    check_eq!(lost.len(), 3, "{}", run.err);
    for line in &lost {
        check!(line.ends_with("; connecting again"), "{line}");
    }
    check!(lost[0].starts_with("connection, round 1: "), "{}", run.err);
    check!(lost[2].contains("comparison"), "{}", run.err);
    let received = way.receiver.end()?;
    check_eq!(received.code, Some(0), "{}", received.err);
    check!(
        received.out.contains("connection lost and taken up: 3\n"),
        "{}",
        received.out
    );
    let json: Value =
        serde_json::from_str(&run.out).map_err(|err| Stop::failed(err.to_string()))?;
    check_eq!(
        (&json["resumed"], &json["moved"]),
        (&3.into(), &true.into())
    );
    // Of round 1, what had come before the connection was lost was not sent again.
    let rounds = json["rounds"].as_array().cloned().unwrap_or_default();
    check_eq!(rounds[0]["lost"], true, "{json}");
    let count = |round: &Value| round["pages"].as_u64().unwrap_or(0);
    check!(count(&rounds[1]) < 364, "{json}");
    // The copies are what the source was when the writer was stopped.
    check!(way.child.is_stopped()?, "the writer runs on");
    check!(way.from.list()?.is_empty());
    let copies = way.to.list()?;
    check_eq!(copies.len(), contents.len());
    for (copy, was) in copies.iter().zip(&contents) {
        let copied = way.to.map(copy.handle())?.bytes();
        for (page, (copied, was)) in copied
            .chunks(PAGE as usize)
            .zip(was.chunks(PAGE as usize))
            .enumerate()
        {
            check!(copied == was, "page {page} of object {}", copy.handle);
        }
    }
    logs_nothing(&way.to)?;
    check!(fs::metadata(&way.far).is_err(), "the socket is left over");
    way.child.kill()
}

fn a_receiver_that_was_started_anew_cannot_go_on() -> Outcome {
    let mut way = begun(
        "--resume 60 --silence 30 --downtime 0",
        "--resume 60 --silence 30",
        None,
    )?;
    way.carried.until(page_of_round_2)?;
    way.receiver.signal(Signal::SIGKILL)?;
    check_eq!(way.receiver.end()?.code, None);
    fs::remove_file(&way.far)?;
    // What it had is gone with its open file.
    way.to = open()?;
    let anew = Beside::receiver(&way.to, &format!("unix:{}", way.far), "--resume 60")?;
    keep(&way.to)?;
    drop(way.carried);
    way.carried = way.near.carry(&way.far, 2)?;
    check!(way.carried.until(|_, _| Ok(false)).is_err());
    drop(way.carried);
    let run = way.sender.end()?;
    let received = anew.end()?;
    check_eq!(received.code, Some(4), "{}", received.err);
    let text = "receiver, setup: there is no migration here that could be taken up";
    check!(received.err.contains(text), "{}", received.err);
    check!(way.to.list()?.is_empty());
    let end = End {
        code: 4,
        text: "receiver, round 2: refused: there is no migration here that could be taken up",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

fn a_connection_that_stays_lost_ends_both_sides() -> Outcome {
    let mut way = begun("--resume 2 --downtime 0", "--resume 2", None)?;
    way.carried.until(page_of_round_2)?;
    // No one can connect any more.
    drop((way.near, way.carried));
    let received = way.receiver.end()?;
    check_eq!(received.code, Some(5), "{}", received.err);
    let text = "connection, round 2: the other side is gone; not taken up within 2 s";
    check!(received.err.contains(text), "{}", received.err);
    check!(way.to.list()?.is_empty());
    let run = way.sender.end()?;
    let end = End { code: 5, text };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

fn a_signal_ends_the_wait_for_a_connection() -> Outcome {
    let mut way = begun("--resume 600 --downtime 0", "--resume 600", None)?;
    way.carried.until(page_of_round_2)?;
    drop((way.near, way.carried));
    way.sender.says("; connecting again")?;
    check!(way.child.is_going()?, "the writer does not run");
    way.sender.signal(Signal::SIGINT)?;
    let run = way.sender.end()?;
    // The receiver cannot be told. It keeps what came until its own time is over, or until it is told here.
    check_eq!(way.to.list()?.len(), way.handles.len());
    way.receiver.signal(Signal::SIGTERM)?;
    let received = way.receiver.end()?;
    check_eq!(received.code, Some(3), "{}", received.err);
    check!(way.to.list()?.is_empty());
    let end = End {
        code: 3,
        text: "source, round 2: cancelled",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}
