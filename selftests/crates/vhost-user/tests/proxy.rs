// SPDX-License-Identifier: GPL-2.0-or-later
//! The check that only listens.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

mod common;

use common::{check, command, peer, text, until, Dir, Running, CHECK};

/// Runs the check through a proxy; returns its exit status and the proxy's, and what the proxy printed.
fn through(device: &str, arguments: &[&str], only: &[&str]) -> (Option<i32>, Option<i32>, String) {
    let dir = Dir::new();
    let (back, front, log) = (dir.join("back"), dir.join("front"), dir.join("log"));
    let mut options = vec!["--device", device];
    options.extend(arguments);
    let _peer = peer(&back, &options);
    let mut proxy = proxy(&front, &back, &log);
    let mut options = vec!["--device", device, "--reconnects", "10"];
    only.iter()
        .for_each(|name| options.extend(["--only", *name]));
    let output = check(&front, &options);
    proxy.terminate();
    let status = proxy.end();
    let log = fs::read_to_string(log).unwrap();
    (
        output.status.code(),
        status,
        format!("{}{log}", text(&output)),
    )
}

fn proxy(front: &Path, back: &Path, log: &Path) -> Running {
    let mut program = command(CHECK);
    program.arg("--proxy").args([front, back]);
    let child = program.stdout(fs::File::create(log).unwrap()).spawn();
    let running = Running(child.unwrap());
    until("the proxy", || UnixStream::connect(front).ok());
    running
}

#[test]
fn what_keeps_the_rules_goes_through_untouched() {
    let only = [
        "rings/",
        "log/",
        "memory/slots",
        "handshake/reply-ack",
        "handshake/config",
    ];
    let (checked, proxied, log) = through("blk", &[], &only);
    assert_eq!((checked, proxied), (Some(0), Some(0)), "{log}");
    assert!(log.contains("> ADD_MEM_REG need_reply fds=["), "{log}");
    assert!(!log.contains("RULE"), "{log}");
}

#[test]
fn a_reply_too_many_is_told() {
    let mistake = ["--broken", "log-reply-twice"];
    let (_, proxied, log) = through("blk", &mistake, &["handshake/log-replied-once"]);
    assert_eq!(proxied, Some(1), "{log}");
    assert!(
        log.contains("RULE: SET_LOG_BASE is replied to though no reply was due"),
        "{log}"
    );
}

#[test]
fn a_front_end_that_breaks_rules_is_told() {
    let only = [
        "bad/unknown",
        "bad/reply-bit",
        "bad/regions-without-fds",
        "handshake/unknown-features",
    ];
    let (_, proxied, log) = through("blk", &[], &only);
    assert_eq!(proxied, Some(1), "{log}");
    for rule in [
        "a request has a number that is not known",
        "a request has the reply bit",
        "SET_MEM_TABLE with another number of file descriptors",
        "SET_FEATURES has bits that were not offered",
    ] {
        assert!(log.contains(rule), "{rule}: {log}");
    }
}
