// SPDX-License-Identifier: GPL-2.0-or-later
//! The back end's program: its clients, its end, its options.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use reeve_vhost_user::features;
use reeve_vhost_user::front::{Area, Front, Kind, Session, MEMORY, MEMORY_NAME, QUIET};
use reeve_vhost_user::wire::{readable, send, Message};
use vhost::vhost_user::message::FrontendReq;

mod common;

use common::{command, peer, until, Dir, Running, LIMIT, PEER};

#[test]
fn sigterm_ends_it_and_takes_the_socket_along() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let mut idle = peer(&socket, &["--device", "net"]);
    idle.terminate();
    assert_eq!(idle.end(), Some(0));
    assert!(!socket.exists());

    let mut busy = peer(&socket, &["--device", "blk"]);
    let mut session = Session::new(&socket, Kind::Blk, &[]).unwrap();
    session.go().unwrap();
    session.io().unwrap();
    busy.terminate();
    assert_eq!(busy.end(), Some(0));
    assert!(!socket.exists());
    assert!(session.front.closes(LIMIT).unwrap());
}

/// What the tests start dies with them, also if they are killed: this test runs itself, as a child to kill.
#[test]
fn what_a_test_has_started_dies_with_it() {
    const VARIABLE: &str = "REEVE_TEST_TO_KILL";
    if let Some(file) = std::env::var_os(VARIABLE) {
        let mut sleeper = command("sleep");
        let mut child = sleeper.arg("600").spawn().unwrap();
        fs::write(file, child.id().to_string()).unwrap();
        child.wait().unwrap();
        return;
    }
    let dir = Dir::new();
    let file = dir.join("pid");
    let mut itself = std::process::Command::new(std::env::current_exe().unwrap());
    itself.args(["--exact", "what_a_test_has_started_dies_with_it"]);
    itself.env(VARIABLE, &file).stdout(Stdio::null());
    let mut itself = Running(itself.spawn().unwrap());
    let pid: u32 = until("its child", || fs::read_to_string(&file).ok()?.parse().ok());
    let status = |what: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.contains(what).then_some(())
    };
    until("a sleeper", || status("Name:\tsleep"));
    itself.0.kill().unwrap();
    assert_eq!(itself.end(), None);
    // It is gone, or waits for whoever takes orphans.
    until("the child's end", || match status("") {
        Some(()) => status("State:\tZ"),
        None => Some(()),
    });
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_a_live_one_is_not() {
    let dir = Dir::new();
    let socket = dir.join("s");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let _peer = peer(&socket, &["--device", "net"]);
    let mut second = command(PEER);
    second
        .arg("--socket")
        .arg(&socket)
        .args(["--device", "net"]);
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("listens on"));
    UnixStream::connect(&socket).unwrap();
}

#[test]
fn each_feature_can_be_taken_away() {
    for feature in features::ALL {
        let dir = Dir::new();
        let socket = dir.join("s");
        let _peer = peer(&socket, &["--device", "net", "--without", feature.name]);
        let session = Session::new(&socket, Kind::Net, &[]).unwrap();
        assert!(!session.offer.has(*feature), "{}", feature.name);
    }
}

#[test]
fn the_trace_has_each_message_with_its_fds_and_the_time() {
    let dir = Dir::new();
    let (socket, log) = (dir.join("s"), dir.join("log"));
    let mut program = command(PEER);
    program
        .arg("--socket")
        .arg(&socket)
        .args(["--device", "blk", "--trace"]);
    let child = program
        .stdout(fs::File::create(&log).unwrap())
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.unwrap());
    until("a listener", || UnixStream::connect(&socket).ok());
    let mut session = Session::new(&socket, Kind::Blk, &[]).unwrap();
    session.go().unwrap();
    drop(session);
    running.terminate();
    assert_eq!(running.end(), Some(0));
    let log = fs::read_to_string(log).unwrap();
    let line = |part: &str| {
        log.lines()
            .find(|line| line.contains(part))
            .unwrap_or_else(|| panic!("{part}: {log}"))
    };
    let table = line("> SET_MEM_TABLE");
    let fds = table
        .split("fds=[")
        .nth(1)
        .unwrap()
        .split(']')
        .next()
        .unwrap();
    assert!(fds.parse::<u32>().is_ok(), "one fd: {table}");
    let seconds: f64 = table.split(' ').next().unwrap().parse().unwrap();
    assert!(seconds > 0.0);
    line("< GET_FEATURES");
    line("closed");
}

#[test]
fn out_of_file_descriptors_it_goes_on_when_there_are_some_again() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let mut limited = command("prlimit");
    limited
        .args(["--nofile=24", PEER, "--socket"])
        .arg(&socket)
        .args(["--device", "blk"]);
    let _peer = common::listening(
        {
            limited.stderr(Stdio::null());
            limited
        },
        &socket,
    );
    // One message takes all of them.
    let session = Session::new(&socket, Kind::Blk, &[]).unwrap();
    let event = reeve_vhost_user::local::event().unwrap();
    let fds: Vec<_> = (0..100).map(|_| std::os::fd::AsFd::as_fd(&event)).collect();
    let body = reeve_vhost_user::wire::words(&[FrontendReq::SET_VRING_NUM as u32, 1, 8, 0, 16]);
    reeve_vhost_user::wire::send_bytes(session.front.socket(), &body, &fds).unwrap();
    assert!(session.front.closes(LIMIT).unwrap());
    drop(session);
    let mut session = Session::new(&socket, Kind::Blk, &[]).unwrap();
    session.go().unwrap();
    session.io().unwrap();
}

/// Without a file descriptor that it could have, clients wait, and are served when there are some again.
#[test]
fn a_client_that_cannot_be_accepted_waits_for_file_descriptors() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let peer = peer(&socket, &["--device", "blk"]);
    // Its replies come after the end of the client that looked whether it listens.
    Front::connect(&socket).unwrap().sync().unwrap();
    common::limit_fds(peer.pid(), 3);
    let fronts = [(); 2].map(|()| Front::connect(&socket).unwrap());
    let request = Message::request(FrontendReq::GET_FEATURES, Vec::new());
    send(fronts[1].socket(), &request).unwrap();
    assert!(!readable(fronts[1].socket().as_fd(), QUIET * 4).unwrap());
    common::limit_fds(peer.pid(), 256);
    drop(fronts);
    let mut session = Session::new(&socket, Kind::Blk, &[]).unwrap();
    session.go().unwrap();
    session.io().unwrap();
}

/// Returns how many file descriptors and mappings a process has, and how many KiB of it are resident.
fn holdings(pid: u32) -> [u64; 3] {
    let proc = std::path::Path::new("/proc").join(pid.to_string());
    let maps = fs::read_to_string(proc.join("maps")).unwrap();
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    [
        fs::read_dir(proc.join("fd")).unwrap().count() as u64,
        maps.lines().count() as u64,
        line.split_whitespace().next().unwrap().parse().unwrap(),
    ]
}

/// Clients with memory, a log and a ring that works: a thousand of them leave what ten have left.
#[test]
fn a_thousand_clients_leave_no_more_than_ten() {
    for (device, kind) in [("blk", Kind::Blk), ("net", Kind::Net)] {
        let dir = Dir::new();
        let socket = dir.join("s");
        let peer = peer(&socket, &["--device", device]);
        let clients = |count| {
            for _ in 0..count {
                let mut session = Session::new(&socket, kind, &[features::LOG_SHMFD]).unwrap();
                session.go().unwrap();
                session.log(4096, 0).unwrap();
                session.log_all(true).unwrap();
                session.io().unwrap();
            }
        };
        clients(10);
        // Who is replied to knows that the client before is gone.
        let what_it_has = || {
            let front = Front::connect(&socket).unwrap();
            front.sync().unwrap();
            holdings(peer.pid())
        };
        clients(10);
        let [fds, maps, resident] = what_it_has();
        clients(990);
        let [fds_now, maps_now, resident_now] = what_it_has();
        assert_eq!((fds_now, maps_now), (fds, maps), "{device}");
        // Some pages are the allocator's; had each client left a page behind, it would be 990.
        assert!(
            resident_now <= resident + 256,
            "{resident_now} KiB, {resident} before"
        );
    }
}

/// What is replaced or taken away is unmapped and closed at once, not when the client goes.
#[test]
fn regions_and_logs_that_are_replaced_are_unmapped_and_closed() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let peer = peer(&socket, &["--device", "blk"]);
    let slots = features::CONFIGURE_MEM_SLOTS;
    let mut session = Session::new(&socket, Kind::Blk, &[features::LOG_SHMFD, slots]).unwrap();
    let has = || {
        let proc = std::path::Path::new("/proc").join(peer.pid().to_string());
        let maps = fs::read_to_string(proc.join("maps")).unwrap();
        let fds = fs::read_dir(proc.join("fd")).unwrap().count();
        (maps.matches(MEMORY_NAME).count(), fds)
    };
    session.front.sync().unwrap();
    let (none, fds) = has();
    assert_eq!(none, 0);
    let area = |number: u64| Area::new(number * 2 * MEMORY, MEMORY);
    session.areas(&[area(0), area(1)]).unwrap();
    session.start(0).unwrap();
    session.io().unwrap();
    let rings = has().1 - fds;
    assert_eq!((has().0, rings), (2, 3), "kick, call and err");
    // The same table again: what was mapped for the first is gone, and the ring goes on in the new one.
    session.table().unwrap();
    assert_eq!(has(), (2, fds + rings));
    session.io().unwrap();
    session.make(&[area(2)]).unwrap();
    session.add(2).unwrap();
    assert_eq!(has(), (3, fds + rings));
    session.remove(1).unwrap();
    session.remove(2).unwrap();
    assert_eq!(has(), (1, fds + rings));
    for _ in 0..3 {
        session.log(4096, 0).unwrap();
        assert_eq!(has(), (2, fds + rings));
    }
    session.io().unwrap();
    drop(session);
    let idle = Front::connect(&socket).unwrap();
    idle.sync().unwrap();
    assert_eq!(has(), (0, fds));
}

#[test]
fn a_card_that_echoes_sends_back_what_it_gets() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let _peer = peer(&socket, &["--device", "net", "--echo"]);
    let mut session = Session::new(&socket, Kind::Net, &[]).unwrap();
    session.go().unwrap();
    // The receiving ring has nothing available: the frame waits and the sending ring goes on.
    session.io().unwrap();
    session.io().unwrap();
}

#[test]
fn a_disk_in_memory_keeps_what_is_written() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let _peer = peer(&socket, &["--device", "blk"]);
    for byte in [0x11_u8, 0x22] {
        let mut session = Session::new(&socket, Kind::Blk, &[]).unwrap();
        session.go().unwrap();
        let (header, data, status) = (
            session.buffers,
            session.buffers + 4096,
            session.buffers + 8192,
        );
        let request = |kind: u32| reeve_vhost_user::wire::words(&[kind, 0, 5, 0]);
        session.memory.write_unmarked(header, &request(1)).unwrap();
        session.memory.write_unmarked(data, &[byte; 1024]).unwrap();
        session
            .submit(&[(header, 16, false), (data, 1024, false), (status, 1, true)])
            .unwrap();
        session.kick().unwrap();
        session.served().unwrap();
        session.memory.write_unmarked(header, &request(0)).unwrap();
        session.memory.write_unmarked(data, &[0; 1024]).unwrap();
        session
            .submit(&[(header, 16, false), (data, 1024, true), (status, 1, true)])
            .unwrap();
        session.kick().unwrap();
        session.served().unwrap();
        let mut read = [0; 1024];
        session.memory.read(data, &mut read).unwrap();
        assert_eq!(read, [byte; 1024]);
    }
}

#[test]
fn memory_that_is_mapped_and_untouched_is_not_resident() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let peer = peer(&socket, &["--device", "blk"]);
    let mut session = Session::new(&socket, Kind::Blk, &[]).unwrap();
    let area = reeve_vhost_user::front::Area::new(0, 512 << 20);
    session.areas(&[area]).unwrap();
    session.start(0).unwrap();
    session.io().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", peer.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib <= 8 * 1024, "{kib} KiB are resident");
}

#[test]
fn a_header_of_another_version_is_hung_up_on() {
    let dir = Dir::new();
    let socket = dir.join("s");
    let _peer = peer(&socket, &["--device", "blk"]);
    let front = Front::connect(&socket).unwrap();
    let header = reeve_vhost_user::wire::words(&[1, 3, 0]);
    reeve_vhost_user::wire::send_bytes(front.socket(), &header, &[]).unwrap();
    assert!(front.closes(LIMIT).unwrap());
}
