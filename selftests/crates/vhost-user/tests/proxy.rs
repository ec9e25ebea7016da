// SPDX-License-Identifier: GPL-2.0-or-later
//! The check that only listens.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;

use reeve_vhost_user::front::Front;
use rustix::net::{
    bind, listen, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};

mod common;
#[path = "common/daemon.rs"]
mod daemon;
#[path = "common/docs.rs"]
mod docs;

use common::{check, command, peer, text, until, Dir, Running, CHECK, LIMIT};

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
    // As the documentation says to run it.
    let words = docs::words("vhost-user.md", "reeve-vhost-check --proxy ");
    let (listen, connect) = (front.to_str().unwrap(), back.to_str().unwrap());
    let words = docs::with(&words, &[("LISTEN", listen), ("CONNECT", connect)]);
    let mut program = command(CHECK);
    program.args(&words[1..]);
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

/// A back end that has a socket for each client only, and hangs up on those that came too early.
#[test]
fn a_back_end_that_begins_anew_after_each_client_is_waited_for() {
    let dir = Dir::new();
    let (back, front, log) = (dir.join("back"), dir.join("front"), dir.join("log"));
    daemon::serve_as_published(&back);
    until("a listener", || back.exists().then_some(()));
    let mut proxy = proxy(&front, &back, &log);
    let only = ["rings/served", "rings/base-kept", "memory/two-regions"];
    let options: Vec<&str> = only.iter().flat_map(|name| ["--only", *name]).collect();
    for _ in 0..3 {
        let output = check(&front, &options);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    proxy.terminate();
    let status = proxy.end();
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(status, Some(0), "{log}");
}

/// Nothing is waited for without a limit: not for a place where a back end takes no client, nor for one that is gone.
#[test]
fn a_back_end_that_takes_no_client_gets_a_sentence_after_five_seconds() {
    let dir = Dir::new();
    let (full, unheard, front) = (dir.join("full"), dir.join("unheard"), dir.join("front"));
    let listener = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let listener = listener.unwrap();
    bind(&listener, &SocketAddrUnix::new(&full).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    let _waits = UnixStream::connect(&full).unwrap();
    drop(UnixListener::bind(&unheard).unwrap());
    let (missing, long) = (dir.join("missing"), dir.join(&"x".repeat(120)));
    std::thread::scope(|scope| {
        for (back, least, advice) in [
            (&full, 5.0, "end its other front ends"),
            (&unheard, 5.0, "start it, or give its socket"),
            (&missing, 0.0, "start the back end first"),
            (&long, 0.0, "use a shorter one"),
        ] {
            let front = &front;
            scope.spawn(move || {
                let start = Instant::now();
                let mut program = command(CHECK);
                let output = program.arg("--proxy").args([front, back]).output().unwrap();
                let seconds = start.elapsed().as_secs_f64();
                assert_eq!(output.status.code(), Some(2), "{}", text(&output));
                let said = text(&output);
                assert!(said.contains(advice) && said.lines().count() == 1, "{said}");
                assert!((least..least + 4.0).contains(&seconds), "{seconds} s");
            });
        }
    });
    assert!(!front.exists());
}

/// A client that comes when there is no back end is hung up on, and the next one is served when there is one again.
#[test]
fn a_client_without_a_back_end_is_hung_up_on() {
    let dir = Dir::new();
    let (back, front, log) = (dir.join("back"), dir.join("front"), dir.join("log"));
    let first = peer(&back, &["--device", "blk"]);
    let mut proxy = proxy(&front, &back, &log);
    until(
        "the end of the client that looked whether it listens",
        || {
            let said = fs::read_to_string(&log).ok()?;
            said.contains("closed").then_some(())
        },
    );
    drop(first);
    let early = Front::connect(&front).unwrap();
    assert!(early.closes(2 * LIMIT).unwrap());
    let _second = peer(&back, &["--device", "blk"]);
    Front::connect(&front).unwrap().sync().unwrap();
    proxy.terminate();
    assert_eq!(proxy.end(), Some(0));
}

#[test]
fn a_proxy_that_waits_for_its_back_end_can_be_ended() {
    let dir = Dir::new();
    let (back, front) = (dir.join("back"), dir.join("front"));
    drop(UnixListener::bind(&back).unwrap());
    let mut program = command(CHECK);
    let child = program.arg("--proxy").args([&front, &back]).spawn();
    let mut proxy = Running(child.unwrap());
    // Its signals are blocked before it waits.
    until("blocked signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).ok()?;
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        (mask & 1 << 14 != 0).then_some(())
    });
    let start = Instant::now();
    proxy.terminate();
    assert_eq!(proxy.end(), Some(0));
    assert!(start.elapsed() < LIMIT / 2);
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
