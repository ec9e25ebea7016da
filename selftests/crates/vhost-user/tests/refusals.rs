// SPDX-License-Identifier: GPL-2.0-or-later
//! What no front end and no driver may do, one at a time and in random order: what the back end replies, what it says on
//! standard error, that it closes the connection or stops the ring, that every file descriptor is closed, that nothing
//! else has changed, and that the next client is served.
//!
//! `REEVE_SEED` repeats an order.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{ensure, Context, Result};
use reeve_vhost_user::device::Device;
use reeve_vhost_user::features::{self, Feature};
use reeve_vhost_user::front::{memory_file, Area, Kind, Log, Session, MEMORY, MEMORY_NAME};
use reeve_vhost_user::wire::{
    long, longs, readable, receive, send, send_bytes, words, Message, LIMIT, NEED_REPLY, REPLY,
    VERSION,
};
use vhost::vhost_user::message::FrontendReq as R;

#[path = "refusals/cases.rs"]
mod cases;
mod common;

use cases::{cases, Case, End, ALL, FIRST, SECOND};
use common::{command, until, Dir, Running, PEER};

/// A client that has done nothing wrong yet.
struct Client {
    session: Session,
    log: Option<Log>,
}

impl Client {
    /// Returns the content of its memory, and how many pages are marked.
    fn memory(&self) -> Result<(Pages, usize)> {
        let marks = self.log.as_ref().map_or(0, Log::count);
        Ok((self.session.snapshot()?, marks))
    }
}

type Pages = Vec<(u64, Vec<u8>)>;

/// The back end's program, and what it has said.
struct Back {
    running: Running,
    socket: PathBuf,
    log: PathBuf,
    kind: Kind,
    seen: usize,
    idle: (usize, usize),
    _dir: Dir,
}

impl Back {
    fn start(kind: Kind) -> Self {
        let dir = Dir::new();
        let (socket, log) = (dir.join("s"), dir.join("log"));
        let mut program = command(PEER);
        let device = if kind == Kind::Net { "net" } else { "blk" };
        program.args(["--device", device, "--socket"]).arg(&socket);
        program.stderr(fs::File::create(&log).unwrap());
        let child = program.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let running = Running(child.unwrap());
        until("a listener", || UnixStream::connect(&socket).ok());
        let mut back = Self {
            running,
            socket,
            log,
            kind,
            seen: 0,
            idle: (0, 0),
            _dir: dir,
        };
        // What it opens with its first client and keeps is no leak.
        drop(back.client(ALL, true).unwrap());
        back.idle = until("the client's end", || {
            Some(back.has()).filter(|has| has.1 == 0)
        });
        back
    }

    /// Returns how many file descriptors it has, and how many of our files it has mapped.
    fn has(&self) -> (usize, usize) {
        let proc = PathBuf::from(format!("/proc/{}", self.running.pid()));
        let maps = fs::read_to_string(proc.join("maps")).unwrap();
        let fds = fs::read_dir(proc.join("fd")).unwrap().count();
        (fds, maps.matches(MEMORY_NAME).count())
    }

    /// Returns the lines that it has said since this was asked before.
    fn said(&mut self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let lines: Vec<String> = log.lines().skip(self.seen).map(String::from).collect();
        self.seen += lines.len();
        lines
    }

    /// Connects with two regions that touch, and has a ring and a log going.
    fn client(&self, features: &[Feature], going: bool) -> Result<Client> {
        let mut session = Session::new(&self.socket, self.kind, features)?;
        session.areas(&[Area::new(0, FIRST), Area::new(FIRST, SECOND)])?;
        let mut log = None;
        if going {
            session.start(0)?;
            if features.contains(&features::LOG_SHMFD) {
                log = Some(session.log(4096, 0)?);
                session.log_all(true)?;
                session.log_rings(true)?;
            }
            session.io()?;
        }
        Ok(Client { session, log })
    }

    /// Does what is wrong and looks at everything; returns the client if it goes on.
    fn survives(&mut self, case: &Case, client: Option<Client>) -> Result<Option<Client>> {
        let usual = case.features == ALL && case.going;
        let mut client = match client.filter(|_| usual) {
            Some(client) => client,
            None => {
                let left = || Some(()).filter(|()| self.has() == self.idle);
                let what = format!("before {}: what it has without a client", case.name);
                until(&what, left);
                self.client(case.features, case.going)?
            }
        };
        let had = self.has();
        let before = client.memory()?;
        (case.act)(&mut client.session)?;
        let client = match case.end {
            End::Stopped => {
                // The driver itself has written to the ring.
                let before = client.memory()?;
                let session = &client.session;
                session.kick()?;
                ensure!(session.failed(LIMIT)?, "the err fd is not signalled");
                session.kick()?;
                session.front.sync().context("the connection")?;
                ensure!(client.memory()? == before, "memory or log has changed");
                let has = self.has();
                ensure!(has == had || !case.going, "it had {had:?} and has {has:?}");
                Some(client)
            }
            End::Closed | End::Refused => {
                let replies = replies(&client.session)?;
                let failure = |r: &Message| r.flags & REPLY != 0 && long(&r.body, 0) != 0;
                let count = usize::from(case.end == End::Refused);
                let good = replies.len() == count && replies.iter().all(failure);
                ensure!(good, "replies: {replies:?}");
                let (pages, marks) = client.memory()?;
                // A case may have added some memory.
                let same = pages.starts_with(&before.0) && marks == before.1;
                ensure!(same, "memory or log has changed");
                let has = self.has();
                ensure!(has == self.idle, "it had {:?} and has {has:?}", self.idle);
                None
            }
        };
        let what = match case.end {
            End::Stopped => format!("ring {} is stopped", self.kind.ring()),
            _ => "the client is sent away".into(),
        };
        let line = format!("reeve-vhost-peer: {what}: {}", case.said);
        let said = self.said();
        ensure!(said == [line.as_str()], "it says {said:?} and not {line:?}");
        Ok(client.filter(|_| usual))
    }

    /// Starts the ring again after an error in it, from the first index on.
    fn goes_on(&self, session: &mut Session) -> Result<()> {
        session.stop()?;
        session.stop_others()?;
        ensure!(session.failed(Duration::ZERO)?, "the err fd is signalled");
        session.start(0)?;
        session.io()?;
        ensure!(!session.failed(Duration::ZERO)?, "the ring works again");
        Ok(())
    }

    /// Looks whether the next client is served, with the device as it was.
    fn next_client(&self) -> Result<()> {
        let mut session = self.client(ALL, true)?.session;
        let parts = session.io()?;
        if self.kind == Kind::Blk {
            let mut sector = [0; 512];
            session.memory.read(parts[1].0, &mut sector)?;
            ensure!(
                sector[..] == Device::pattern(1)[..512],
                "the disk has changed"
            );
        }
        Ok(())
    }
}

/// Receives until the connection is closed.
fn replies(session: &Session) -> Result<Vec<Message>> {
    let (mut replies, end) = (Vec::new(), Instant::now() + LIMIT);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let socket = session.front.socket();
        ensure!(readable(socket.as_fd(), left)?, "the connection is open");
        match receive(socket)? {
            Some(message) => replies.push(message),
            None => return Ok(replies),
        }
    }
}

fn one_at_a_time(kind: Kind) {
    let mut back = Back::start(kind);
    let mut wrong = Vec::new();
    let cases = cases(kind);
    for case in &cases {
        let survived = back.survives(case, None).and_then(|client| {
            // A ring that was stopped works when it is started again.
            client.map_or(Ok(()), |mut client| back.goes_on(&mut client.session))
        });
        let result = survived.and_then(|()| back.next_client());
        if let Err(error) = result {
            wrong.push(format!("{}: {error:#}", case.name));
            back.said();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} cases", cases.len());
}

#[test]
fn a_disk_refuses_each_bad_input_and_nothing_else_changes() {
    one_at_a_time(Kind::Blk);
}

#[test]
fn a_network_card_refuses_each_bad_input_and_nothing_else_changes() {
    one_at_a_time(Kind::Net);
}

/// Returns the next of a row of numbers that looks random.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31) as usize
}

/// The seed that the environment or the clock says.
fn seed() -> u64 {
    let given = std::env::var("REEVE_SEED").ok();
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let clock = clock.map_or(1, |now| now.as_nanos() as u64);
    given.and_then(|seed| seed.parse().ok()).unwrap_or(clock)
}

/// The same one after the other, without a client that does everything right in between: a ring that was stopped is
/// started again on the same connection, and what comes next comes there.
#[test]
fn all_bad_input_in_random_order_leaves_nothing() {
    let seed = seed();
    println!("REEVE_SEED={seed}");
    for kind in [Kind::Blk, Kind::Net] {
        let mut back = Back::start(kind);
        let mut state = seed;
        let mut cases = cases(kind);
        for at in (1..cases.len()).rev() {
            cases.swap(at, random(&mut state) % (at + 1));
        }
        let mut client = None;
        for case in &cases {
            let next = back.survives(case, client.take()).and_then(|client| {
                let Some(mut client) = client else {
                    return Ok(None);
                };
                back.goes_on(&mut client.session)?;
                Ok(Some(client))
            });
            client = next.unwrap_or_else(|e| panic!("REEVE_SEED={seed}: {}: {e:#}", case.name));
        }
        drop(client);
        back.next_client().unwrap();
        until("what it had before", || {
            (back.has() == back.idle).then_some(())
        });
    }
}

/// A migration says what the configuration space was like where it comes from.
#[test]
fn a_configuration_space_may_be_set_to_what_it_is() {
    let back = Back::start(Kind::Blk);
    let session = back.client(ALL, true).unwrap().session;
    let mut body = words(&[0, 64, 0]);
    body.extend([0; 64]);
    let message = Message::request(R::GET_CONFIG, body);
    send(session.front.socket(), &message).unwrap();
    let mut body = session.front.receive().unwrap().body;
    body[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let mut message = Message::request(R::SET_CONFIG, body);
    message.flags |= NEED_REPLY;
    send(session.front.socket(), &message).unwrap();
    assert_eq!(session.front.receive().unwrap().body, longs(&[0]));
    drop(session);
    back.next_client().unwrap();
}

/// A message may come in pieces, for a stream has no borders; one whose rest does not come within five seconds is not
/// waited for.
#[test]
fn a_split_message_is_served_and_half_of_one_costs_five_seconds() {
    let mut back = Back::start(Kind::Blk);
    let session = back.client(ALL, true).unwrap().session;
    let bytes = words(&[R::SET_VRING_NUM as u32, VERSION | NEED_REPLY, 8, 0, 16]);
    for byte in &bytes {
        send_bytes(session.front.socket(), &[*byte], &[]).unwrap();
    }
    assert_eq!(session.front.receive().unwrap().body, longs(&[0]));
    let file = memory_file(MEMORY).unwrap();
    let start = Instant::now();
    send_bytes(session.front.socket(), &bytes[..13], &[file.as_fd()]).unwrap();
    assert!(session.front.closes(2 * LIMIT).unwrap());
    let waited = start.elapsed();
    assert!(waited >= LIMIT && waited < 2 * LIMIT, "{waited:?}");
    assert_eq!(back.has(), back.idle);
    let line = "reeve-vhost-peer: the client is sent away: a message broke off";
    assert_eq!(back.said(), [line]);
    back.next_client().unwrap();
}
