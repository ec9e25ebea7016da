// SPDX-License-Identifier: GPL-2.0-or-later
//! The gaps of vhost-user-backend: each requirement that it does not meet as it is, and our back end does.

use std::path::Path;

use reeve_vhost_user::check::{self, Target};
use reeve_vhost_user::front::Kind;

mod common;
#[path = "common/daemon.rs"]
mod daemon;

use common::{check, failed_each_time, peer, text, until, Dir};
use daemon::serve;

/// What the crates do not do by themselves.
const GAPS: &[&str] = &[
    "handshake/enable-before-features",
    "log/used-address",
    "log/last-part-page",
    "log/region-after-log-base",
    "log/off",
];

fn target(socket: &Path) -> Target {
    Target {
        socket: socket.into(),
        kind: Kind::Blk,
        pid: None,
        reconnects: 1,
    }
}

#[test]
fn each_gap_of_the_crates_is_closed() {
    let dir = Dir::new();
    let (bare, ours) = (dir.join("bare"), dir.join("ours"));
    serve(&bare, |_| ());
    let _peer = peer(&ours, &["--device", "blk"]);
    let (bare, ours) = (target(&bare), target(&ours));
    let requirements = check::all();
    let named = |name: &str| requirements.iter().find(|r| r.name == name).unwrap();
    // The fixture works: what fails below does not fail because of it.
    for name in ["rings/served", "log/complete"] {
        named(name).check(&bare).unwrap();
    }
    for gap in GAPS {
        let requirement = named(gap);
        let bare = requirement.check(&bare);
        assert!(
            bare.is_err(),
            "the crates do {gap} now ({bare:?}): use them for it"
        );
        requirement.check(&ours).unwrap();
    }
}

/// What fails in a run of all, as Documentation/vhost-conformance.md has it.
const FAILS: &[&str] = &[
    "handshake/enable-before-features",
    "memory/file-too-small",
    "log/used-address",
    "log/last-part-page",
    "log/region-after-log-base",
    "log/off",
];

/// A daemon that begins anew after each client, and after an error, is checked as if it were there all the time.
#[test]
fn a_daemon_that_begins_anew_after_each_client_fails_no_more_than_it_has_to() {
    let dir = Dir::new();
    let socket = dir.join("s");
    daemon::serve_as_published(&socket);
    until("a listener", || socket.exists().then_some(()));
    let output = check(&socket, &["--device", "blk", "--reconnects", "100"]);
    assert_eq!(failed_each_time(&output), FAILS, "{}", text(&output));
    assert_eq!(output.status.code(), Some(1));
}

/// Prints what else fails, for Documentation/vhost-conformance.md.
#[test]
#[ignore = "a list to read, not a test"]
fn everything_on_the_bare_crates() {
    let dir = Dir::new();
    let bare = dir.join("bare");
    serve(&bare, |_| ());
    let bare = target(&bare);
    for requirement in check::all() {
        match requirement.check(&bare) {
            Ok(outcome) => println!("{}: {outcome:?}", requirement.name),
            Err(error) => println!("NOT {}: {error:#}", requirement.name),
        }
    }
}
