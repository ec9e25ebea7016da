// SPDX-License-Identifier: GPL-2.0-or-later
//! The check on our back end, on the same with each mistake, and on one of another code base.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use clap::ValueEnum;
use reeve_vhost_user::broken::Broken;
use rustix::net::{
    bind, listen, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};

mod common;
#[path = "common/docs.rs"]
mod docs;

use common::{check, command, failed, failed_each_time, listening, peer, text, Dir, CHECK, PEER};

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

/// A mistake: its name, the device that makes it, the exit status of the check, and all requirements that fail; the
/// first is the one that is there to find it. The others cannot be met either by a back end that does this.
type Mistake = (&'static str, &'static str, i32, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    (
        "mark-nothing",
        "blk",
        1,
        &[
            "log/complete",
            "log/after-data",
            "log/used-ring",
            "log/used-address",
            "log/both-ends",
            "log/last-part-page",
            "log/region-after-log-base",
            "log/replaced",
            "log/offset",
            "log/just-large-enough",
            "log/larger",
        ],
    ),
    ("mark-first", "blk", 1, &["log/after-data"]),
    ("mark-always", "blk", 1, &["log/off"]),
    (
        "forget-used",
        "blk",
        1,
        &["log/used-ring", "log/used-address"],
    ),
    ("used-address", "blk", 1, &["log/used-address"]),
    ("part-page", "blk", 1, &["log/both-ends"]),
    ("late-region", "blk", 1, &["log/region-after-log-base"]),
    ("old-log", "blk", 1, &["log/replaced"]),
    ("log-offset", "blk", 1, &["log/offset"]),
    ("mmap-offset", "blk", 1, &["memory/mmap-offset"]),
    // The protocol's text says nothing of regions that overlap, so it is no more than a should.
    ("overlap", "blk", 0, &["memory/overlap"]),
    ("write-after-stop", "blk", 1, &["rings/stop-no-writes"]),
    ("finish-late", "blk", 1, &["rings/stop-in-flight"]),
    (
        "base-zero",
        "net",
        1,
        &[
            "rings/base-kept",
            "rings/stop-and-start",
            "rings/start-index",
        ],
    ),
    (
        "start-zero",
        "net",
        1,
        &[
            "rings/start-index",
            "rings/used-index",
            "rings/stop-and-start",
        ],
    ),
    (
        "used-zero",
        "net",
        1,
        &[
            "rings/used-index",
            "rings/stop-and-start",
            "rings/start-index",
        ],
    ),
    ("lose-early-kick", "net", 1, &["rings/kick-before-enable"]),
    // The text starts a ring with a kick, so it is no more than a should.
    ("need-kick", "blk", 0, &["rings/available-at-start"]),
    ("ignore-enable", "blk", 1, &["rings/disabled"]),
    (
        "features-disable",
        "blk",
        1,
        &["rings/log-all-leaves-rings"],
    ),
    ("ignore-reset", "blk", 1, &["rings/reset-device"]),
    (
        "reply-ack-after-get",
        "blk",
        1,
        &["handshake/reply-ack-without-get"],
    ),
    ("log-reply-twice", "blk", 1, &["handshake/log-replied-once"]),
    (
        "keep-memory",
        "blk",
        1,
        &[
            "handshake/reconnect-afresh",
            "memory/slots",
            "memory/max-slots",
            "log/region-after-log-base",
        ],
    ),
    (
        "leak-fds",
        "blk",
        1,
        &[
            "bad/surplus-fds",
            "bad/too-many-regions",
            "bad/regions-without-fds",
        ],
    ),
    // Nothing can be said of it after that, and nothing is.
    ("die", "blk", 1, &["handshake/unknown-features"]),
];

/// A mistake must not turn everything red, or the name that is printed would say nothing: exactly these fail.
#[test]
fn each_mistake_fails_the_requirement_that_is_meant_for_it_and_no_other() {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    // A mistake is mostly a wait of five seconds.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(mistake) = MISTAKES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = finds(mistake);
                    wrong.lock().unwrap().extend(result.err());
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Checks a back end with a mistake; the error is what is not as written above.
fn finds((mistake, device, status, requirements): &Mistake) -> Result<(), String> {
    let dir = Dir::new();
    let socket = dir.join("s");
    let peer = peer(&socket, &["--device", device, "--broken", mistake]);
    let pid = peer.pid().to_string();
    let arguments = ["--device", device, "--pid", &pid, "--reconnects", "10"];
    let output = check(&socket, &arguments);
    let found: BTreeSet<String> = failed(&output).into_iter().collect();
    let meant: BTreeSet<String> = requirements.iter().map(|name| name.to_string()).collect();
    let code = output.status.code();
    match found == meant && code == Some(*status) {
        true => Ok(()),
        false => Err(format!("{mistake}: status {code:?}, {found:?}")),
    }
}

#[test]
fn every_mistake_that_there_is_is_in_the_table() {
    let named: BTreeSet<&str> = MISTAKES.iter().map(|mistake| mistake.0).collect();
    let all: Vec<_> = Broken::value_variants().iter().collect();
    assert_eq!(named.len(), MISTAKES.len());
    for mistake in &all {
        let value = mistake.to_possible_value().unwrap();
        assert!(named.contains(value.get_name()), "{}", value.get_name());
    }
    assert_eq!(all.len(), named.len());
}

/// A back end that accepts clients, or not even that, and says nothing costs five seconds a requirement.
#[test]
fn a_back_end_that_hangs_costs_five_seconds_a_requirement() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let listener = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
    // The third client finds no place to wait at: connecting to it would wait for ever.
    listen(&listener, 1).unwrap();
    let names = ["handshake/version", "rings/served", "bad/unknown"];
    let start = Instant::now();
    let output = check(&socket, &names.map(|name| ["--only", name]).concat());
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(failed(&output), names, "{}", text(&output));
    assert_eq!(output.status.code(), Some(1));
    // One more is for the question what kind of device it is.
    assert!(seconds < 5.0 * 4.0 + 2.0, "{seconds} s");
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
    // As the documentation says to run them.
    let page = "vhost-conformance.md";
    let (path, file) = (socket.to_str().unwrap(), image.to_str().unwrap());
    let words = docs::words(page, "qemu-storage-daemon ");
    let words = docs::with(&words, &[("IMAGE", file), ("SOCKET", path)]);
    let mut daemon = command(&words[0]);
    daemon.args(&words[1..]).stderr(Stdio::null());
    let daemon = listening(daemon, &socket);
    let words = docs::words(page, "reeve-vhost-check --socket SOCKET --device blk");
    let pid = daemon.pid().to_string();
    let words = docs::with(&words, &[("SOCKET", path), ("PID", &pid)]);
    let output = command(CHECK).args(&words[1..]).output().unwrap();
    assert_eq!(
        failed_each_time(&output),
        STORAGE_DAEMON,
        "{}",
        text(&output)
    );
}

/// The check's command line in the documentation, with each of its devices that is ours; and that of its list.
#[test]
fn the_command_lines_of_the_documentation_run() {
    let dir = Dir::new();
    for device in ["blk", "net"] {
        let socket = dir.join(device);
        let peer = peer(&socket, &["--device", device]);
        let words = docs::words("vhost-user.md", "reeve-vhost-check --socket ");
        let (path, pid) = (socket.to_str().unwrap(), peer.pid().to_string());
        let replace = [("SOCKET", path), ("blk|net|fs|rng", device), ("PID", &pid)];
        let words = docs::with(&words, &replace);
        let mut program = command(CHECK);
        program.args(&words[1..]).args(["--only", "handshake/"]);
        let output = program.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let whole = text(&output);
        assert!(
            whole.contains("ok 1 handshake/features-before-owner [must]"),
            "{whole}"
        );
    }
    // Each requirement has its sentence there.
    let list = text(&command(CHECK).arg("--list").output().unwrap());
    assert_eq!(
        list.lines().count(),
        77,
        "Documentation/vhost-conformance.md has the number"
    );
    for line in list.lines() {
        let (name, sentence) = line.split_once("] ").unwrap();
        assert!(name.contains('/') && sentence.len() > 20, "{line}");
    }
}

/// JSON has what the lines have.
#[test]
fn json_has_each_requirement() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let _peer = peer(&socket, &["--device", "blk", "--broken", "ignore-enable"]);
    let only = [
        "--only",
        "rings/disabled",
        "--only",
        "rings/served",
        "--json",
    ];
    let output = check(&socket, &only);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    let rows = json["requirements"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(row("rings/served")["result"], "ok");
    let disabled = row("rings/disabled");
    assert_eq!(disabled["result"], "not ok");
    assert_eq!(disabled["level"], "must");
    assert_eq!(disabled["message"], "the ring is served");
    assert!(disabled["sentence"].as_str().unwrap().contains("disabled"));
}

/// A path of 107 bytes is served; one of 108 gets a sentence, of both programs.
#[test]
fn a_path_may_have_107_bytes() {
    let dir = Dir::new();
    let stem = dir.join("").as_os_str().len();
    let path = |bytes: usize| dir.join(&"x".repeat(bytes - stem));
    let (longest, longer) = (path(107), path(108));
    let _peer = peer(&longest, &["--device", "blk"]);
    let output = check(&longest, &["--only", "rings/served"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let mut peer = command(PEER);
    peer.args(["--device", "blk", "--socket"]).arg(&longer);
    for (output, advice) in [
        (peer.output().unwrap(), "choose a shorter one"),
        (check(&longer, &[]), "use a shorter one"),
    ] {
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("107 bytes") && said.contains(advice),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
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
        assert_eq!(text(&output).lines().count(), 1, "{}", text(&output));
    }
}
