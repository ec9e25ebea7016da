// SPDX-License-Identifier: GPL-2.0-or-later
//! The check on our back end, on the same with each mistake, and on one of another code base.

use std::process::Stdio;

mod common;

use common::{check, command, failed, listening, peer, text, Dir};

#[test]
fn the_disk_meets_every_requirement() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let peer = peer(&socket, &["--device", "blk"]);
    let output = check(
        &socket,
        &["--device", "blk", "--pid", &peer.pid().to_string()],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(failed(&output), Vec::<String>::new());
    let skipped = text(&output).matches("# SKIP").count();
    assert_eq!(skipped, 1, "only MQ is not a disk's: {}", text(&output));
}

#[test]
fn the_network_card_meets_every_requirement() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let peer = peer(&socket, &["--device", "net"]);
    let output = check(
        &socket,
        &["--device", "net", "--pid", &peer.pid().to_string()],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(failed(&output), Vec::<String>::new());
}

#[test]
fn a_feature_that_is_taken_away_is_skipped() {
    let features = [
        ("LOG_ALL", "log/complete"),
        ("LOG_SHMFD", "log/complete"),
        ("REPLY_ACK", "handshake/reply-ack"),
        ("CONFIGURE_MEM_SLOTS", "memory/slots"),
        ("RESET_DEVICE", "rings/reset-device"),
        ("PROTOCOL_FEATURES", "rings/kick-before-enable"),
    ];
    for (feature, requirement) in features {
        let dir = Dir::new();
        let socket = dir.join("s");
        let _peer = peer(&socket, &["--device", "net", "--without", feature]);
        let output = check(&socket, &["--device", "net", "--reconnects", "10"]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "without {feature}: {}",
            text(&output)
        );
        let line = format!(" {requirement} [must] # SKIP");
        assert!(
            text(&output).contains(&line),
            "without {feature}: {}",
            text(&output)
        );
    }
}

/// Each mistake, the device that makes it, and the requirement that is there to find it.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("mark-nothing", "blk", "log/complete"),
    ("mark-first", "blk", "log/after-data"),
    ("mark-always", "blk", "log/off"),
    ("forget-used", "net", "log/used-ring"),
    ("used-address", "net", "log/used-address"),
    ("part-page", "blk", "log/both-ends"),
    ("late-region", "blk", "log/region-after-log-base"),
    ("old-log", "blk", "log/replaced"),
    ("log-offset", "blk", "log/offset"),
    ("mmap-offset", "blk", "memory/mmap-offset"),
    ("overlap", "blk", "memory/overlap"),
    ("write-after-stop", "blk", "rings/stop-no-writes"),
    ("base-zero", "net", "rings/base-kept"),
    ("start-zero", "net", "rings/start-index"),
    ("used-zero", "net", "rings/used-index"),
    ("lose-early-kick", "net", "rings/kick-before-enable"),
    ("need-kick", "blk", "rings/available-at-start"),
    ("ignore-enable", "blk", "rings/disabled"),
    ("features-disable", "blk", "rings/log-all-leaves-rings"),
    ("ignore-reset", "blk", "rings/reset-device"),
    (
        "reply-ack-after-get",
        "blk",
        "handshake/reply-ack-without-get",
    ),
    ("log-reply-twice", "blk", "handshake/log-replied-once"),
    ("keep-memory", "blk", "handshake/reconnect-afresh"),
    ("leak-fds", "blk", "bad/surplus-fds"),
    ("die", "blk", "bad/version"),
];

#[test]
fn each_mistake_fails_the_requirement_that_is_meant_for_it() {
    for (mistake, device, requirement) in MISTAKES {
        let dir = Dir::new();
        let socket = dir.join("s");
        let peer = peer(&socket, &["--device", device, "--broken", mistake]);
        let pid = peer.pid().to_string();
        let arguments = ["--device", device, "--pid", &pid, "--only", requirement];
        let output = check(&socket, &arguments);
        assert_eq!(
            failed(&output),
            [*requirement],
            "{mistake}: {}",
            text(&output)
        );
    }
}

/// A mistake must not turn everything red, or the name that is printed would say nothing.
#[test]
fn a_mistake_leaves_the_other_requirements_alone() {
    for (mistake, most) in [
        ("forget-used", 3),
        ("used-address", 1),
        ("part-page", 1),
        ("base-zero", 3),
    ] {
        let dir = Dir::new();
        let socket = dir.join("s");
        let _peer = peer(&socket, &["--device", "blk", "--broken", mistake]);
        let output = check(&socket, &["--device", "blk", "--reconnects", "10"]);
        let failed = failed(&output);
        assert!((1..=most).contains(&failed.len()), "{mistake}: {failed:?}");
    }
}

/// What the storage daemon of QEMU 7.2 does not do; Documentation/vhost-conformance.md says why.
const STORAGE_DAEMON: &[&str] = &[
    "memory/overlap",
    "memory/size-zero",
    "memory/file-too-small",
    "rings/available-at-start",
    "rings/disabled",
    "bad/surplus-fds",
];

#[test]
fn qemu_storage_daemon_does_as_recorded() {
    let dir = Dir::new();
    let (socket, image) = (dir.join("s"), dir.join("image"));
    let content: Vec<u8> = (0..1 << 20)
        .map(|at: u32| (at / 512 + 1) as u8 | 1)
        .collect();
    std::fs::write(&image, content).unwrap();
    let mut daemon = command("qemu-storage-daemon");
    let image = format!("driver=file,node-name=d,filename={}", image.display());
    let path = socket.display();
    let export =
        format!("type=vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path={path},writable=on");
    daemon
        .args(["--blockdev", &image, "--export", &export])
        .stderr(Stdio::null());
    let daemon = listening(daemon, &socket);
    let output = check(
        &socket,
        &["--device", "blk", "--pid", &daemon.pid().to_string()],
    );
    assert_eq!(failed(&output), STORAGE_DAEMON, "{}", text(&output));
}

#[test]
fn wrong_command_lines_get_advice() {
    let dir = Dir::new();
    let (file, unheard, blk, net) = (
        dir.join("file"),
        dir.join("unheard"),
        dir.join("b"),
        dir.join("n"),
    );
    std::fs::write(&file, "").unwrap();
    drop(std::os::unix::net::UnixListener::bind(&unheard).unwrap());
    let _blk = peer(&blk, &["--device", "blk"]);
    let _net = peer(&net, &["--device", "net"]);
    let long = dir.join(&"x".repeat(120));
    for (socket, device, advice) in [
        (&file, "blk", "is no socket; give the one"),
        (&unheard, "blk", "start the back end first"),
        (&dir.join("missing"), "blk", "start the back end first"),
        (&long, "blk", "use a shorter one"),
        (&net, "blk", "say which it is with --device"),
        (&blk, "net", "say which it is with --device"),
    ] {
        let output = check(socket, &["--device", device]);
        assert_eq!(output.status.code(), Some(2), "{advice}: {}", text(&output));
        assert!(
            text(&output).contains(advice),
            "{advice}: {}",
            text(&output)
        );
    }
}
