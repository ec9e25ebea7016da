// SPDX-License-Identifier: GPL-2.0-or-later
//! A random front end and driver: nothing that it does ends the back end, or makes it keep something.
//!
//! `REEVE_SEED` repeats a run, `REEVE_FUZZ_SECONDS` makes it longer than ten seconds.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use reeve_vhost_user::features;
use reeve_vhost_user::front::{memory_file, Area, Kind, Session, MEMORY, MEMORY_NAME};
use reeve_vhost_user::local::event;
use reeve_vhost_user::memory::Memory;
use reeve_vhost_user::wire::{longs, send_bytes, words};

mod common;

use common::{peer, until, Dir, Running};

/// A thing that a front end or a driver does.
#[derive(Debug, Clone)]
enum Step {
    /// Any message: request, flags, payload, kinds of file descriptors.
    Raw(u32, u32, Vec<u8>, Vec<u8>),
    /// A message about a ring, with a value that it may have.
    Ring(u32, u32, u32),
    /// A table of regions: address and size in half megabytes, and whether the file is large enough.
    Table(Vec<(u64, u64, bool)>),
    /// A log: size, offset.
    Log(u64, u64),
    /// Acknowledged features.
    Features(u64),
    /// A descriptor: index, address, size, flags, next.
    Desc(u16, u64, u32, u16, u16),
    /// An available index, and where the entries before it point.
    Available(u16, u16),
    /// A kick.
    Kick,
    /// A request as it should be.
    Request,
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..0x20_0000,
        select(vec![
            0,
            1,
            4095,
            4096,
            MEMORY - 1,
            MEMORY,
            u64::MAX,
            1 << 63,
            1 << 32
        ]),
        any::<u64>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let flags = select(vec![1_u32, 1, 1, 1, 9, 9, 5, 0, 2]);
    let raw = (
        0_u32..48,
        flags,
        vec(any::<u8>(), 0..80),
        vec(0_u8..4, 0..4),
    );
    let ring = (
        select(vec![8_u32, 10, 11, 12, 13, 14, 18]),
        0_u32..4,
        0_u32..0x1_0001,
    );
    prop_oneof![
        2 => raw.prop_map(|(code, flags, body, fds)| Step::Raw(code, flags, body, fds)),
        2 => ring.prop_map(|(code, ring, value)| Step::Ring(code, ring, value)),
        1 => vec((0_u64..6, 0_u64..4, any::<bool>()), 0..10).prop_map(Step::Table),
        1 => (number(), number()).prop_map(|(size, offset)| Step::Log(size, offset)),
        1 => any::<u64>().prop_map(Step::Features),
        4 => (0_u16..20, number(), any::<u32>(), 0_u16..8, 0_u16..20)
            .prop_map(|(index, at, size, flags, next)| Step::Desc(index, at, size, flags, next)),
        3 => (any::<u16>(), 0_u16..20).prop_map(|(index, head)| Step::Available(index, head)),
        3 => Just(Step::Kick),
        3 => Just(Step::Request),
    ]
}

/// Returns a file descriptor of one of four kinds.
fn some_fd(kind: u8) -> OwnedFd {
    match kind {
        0 => event().unwrap(),
        1 => memory_file(MEMORY).unwrap(),
        2 => fs::File::open("/dev/null").unwrap().into(),
        _ => fs::File::open("/").unwrap().into(),
    }
}

fn raw(
    session: &Session,
    code: u32,
    flags: u32,
    body: &[u8],
    fds: &[OwnedFd],
) -> anyhow::Result<()> {
    let mut bytes = words(&[code, flags, body.len() as u32]);
    bytes.extend_from_slice(body);
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    Ok(send_bytes(session.front.socket(), &bytes, &fds)?)
}

fn act(session: &mut Session, step: &Step) -> anyhow::Result<()> {
    match step {
        Step::Raw(code, flags, body, kinds) => {
            let fds: Vec<OwnedFd> = kinds.iter().map(|kind| some_fd(*kind)).collect();
            raw(session, *code, *flags, body, &fds)
        }
        Step::Ring(code, ring, value) => {
            let has_fd = (12..=14).contains(code) && *value % 4 != 0;
            let fds: Vec<OwnedFd> = has_fd
                .then(|| some_fd((*value % 5) as u8))
                .into_iter()
                .collect();
            let ring = ring | u32::from((12..=14).contains(code) && !has_fd) << 8;
            raw(session, *code, 1, &words(&[ring, *value]), &fds)
        }
        Step::Table(regions) => {
            let mut body = words(&[regions.len() as u32, 0]);
            let mut fds = Vec::new();
            for (at, size, good) in regions {
                let area = Area::new(at * MEMORY / 2, size * MEMORY / 2);
                body.extend(area.info().bytes());
                fds.push(memory_file(if *good { area.size } else { area.size / 2 })?);
            }
            raw(session, 5, 1, &body, &fds)
        }
        Step::Log(size, offset) => {
            let file = memory_file(8192)?;
            raw(session, 6, 1, &longs(&[*size, *offset]), &[file])
        }
        Step::Features(bits) => {
            let bits = bits & session.offer.virtio | session.acked.virtio;
            raw(session, 2, 1, &longs(&[bits]), &[])
        }
        Step::Desc(index, at, size, flags, next) => {
            session.descriptor(*index, *at, *size, *flags, *next)
        }
        Step::Available(index, head) => {
            let ring: Vec<u8> = (0..16).flat_map(|_| head.to_le_bytes()).collect();
            let at = session.avail_at();
            let memory: &Memory = &session.memory;
            memory.write_unmarked(at + 4, &ring)?;
            Ok(memory.write_unmarked(at + 2, &index.to_le_bytes())?)
        }
        Step::Kick => session.kick(),
        Step::Request => {
            let parts = session.request()?;
            session.submit(&parts)?;
            session.kick()
        }
    }
}

/// Returns how many fds are open and how many of our files are mapped.
fn holdings(pid: u32) -> Option<(usize, usize)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((fds, maps.matches(MEMORY_NAME).count()))
}

fn session(socket: &Path, kind: Kind) -> anyhow::Result<Session> {
    let mut session = Session::new(socket, kind, &[features::LOG_SHMFD])?;
    session.go()?;
    Ok(session)
}

fn fuzz(device: &str, kind: Kind, seconds: u64, seed: u64) {
    println!("REEVE_SEED={seed}: {device} for {seconds} s");
    let dir = Dir::new();
    let socket = dir.join("s");
    let start = || peer(&socket, &["--device", device]);
    let back: RefCell<Running> = RefCell::new(start());
    session(&socket, kind).unwrap().io().unwrap();
    let settled = |pid: u32| until("the client's end", || holdings(pid).filter(|h| h.1 == 0));
    let before = RefCell::new(settled(back.borrow().pid()));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut batch, cases) = (0_u64, RefCell::new(0));
    while Instant::now() < end {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&batch.to_le_bytes());
        let config = Config {
            cases: 64,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let result = TestRunner::new_with_rng(config, rng).run(&vec(step(), 1..40), |steps| {
            if back.borrow_mut().0.try_wait().unwrap().is_some() {
                // The one that the last try has ended: a smaller try is made on a new one.
                *back.borrow_mut() = start();
                *before.borrow_mut() = settled(back.borrow().pid());
            }
            let fail = |e: anyhow::Error| TestCaseError::fail(format!("{e:#}"));
            let mut client = session(&socket, kind).map_err(fail)?;
            // After a message that is wrong there is no connection any more for the next one.
            let _ = steps.iter().try_for_each(|step| act(&mut client, step));
            drop(client);
            let mut next = session(&socket, kind).map_err(fail)?;
            next.io().map_err(fail)?;
            *cases.borrow_mut() += 1;
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("REEVE_SEED={seed}: {error}"));
        batch += 1;
    }
    let pid = back.borrow().pid();
    let before = *before.borrow();
    until("what was before", || {
        (holdings(pid)? == before).then_some(())
    });
    println!("{} cases", cases.borrow());
}

/// Returns the seed and the seconds that the environment or the clock say.
fn choice() -> (u64, u64) {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse().ok());
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let clock = clock.map_or(1, |now| now.as_nanos() as u64);
    let seed = number("REEVE_SEED").unwrap_or(clock);
    (seed, number("REEVE_FUZZ_SECONDS").unwrap_or(10))
}

#[test]
fn a_disk_survives_a_random_front_end() {
    let (seed, seconds) = choice();
    fuzz("blk", Kind::Blk, seconds / 2, seed);
}

#[test]
fn a_network_card_survives_a_random_front_end() {
    let (seed, seconds) = choice();
    fuzz("net", Kind::Net, seconds / 2, seed);
}
