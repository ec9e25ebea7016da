// SPDX-License-Identifier: GPL-2.0-or-later
//! The requirements that a back end is checked against, each with the sentence of the protocol that it stands for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Result};
use vhost::vhost_user::message::FrontendReq;

use crate::features::{self, Feature, Features};
use crate::front::{Front, Kind, Session, RING};
use crate::wire::words;

mod bad;
mod handshake;
mod limits;
mod log;
mod memory;
mod rings;

/// How much a requirement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A back end that fails it is wrong.
    Must,
    /// A back end that fails it may have a reason.
    Should,
    /// It is only told.
    Information,
}

impl Level {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Information => "information",
        }
    }
}

/// How a requirement went, if it did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// It is met.
    Pass,
    /// It is met, and this was seen.
    Seen(String),
    /// It does not apply.
    Skip(String),
}

/// A requirement.
pub struct Requirement {
    /// Its name: group, slash, what it is about.
    pub name: &'static str,
    /// How much it counts.
    pub level: Level,
    /// What it stands for.
    pub sentence: &'static str,
    /// Finds out.
    run: fn(&Target) -> Result<Outcome>,
}

impl Requirement {
    /// Checks a back end.
    pub fn check(&self, target: &Target) -> Result<Outcome> {
        (self.run)(target)
    }
}

/// Returns all requirements, in the order of checking.
pub fn all() -> Vec<&'static Requirement> {
    let groups = [
        handshake::ALL,
        memory::ALL,
        rings::ALL,
        log::ALL,
        bad::ALL,
        limits::ALL,
    ];
    groups.into_iter().flatten().collect()
}

/// A back end to check.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its socket.
    pub socket: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its process, to look for what it leaks.
    pub pid: Option<u32>,
    /// How many reconnects are many.
    pub reconnects: u32,
}

impl Target {
    /// Connects.
    fn connect(&self) -> Result<Front> {
        Front::connect(&self.socket)
    }

    /// Connects and asks for the features.
    fn greeted(&self) -> Result<(Front, u64)> {
        Front::greeted(&self.socket)
    }

    /// Tells whether the back end can be connected to.
    pub fn listens(&self) -> bool {
        Front::listens(&self.socket)
    }

    /// Connects and negotiates.
    fn session(&self, more: &[Feature]) -> Result<Session> {
        Session::new(&self.socket, self.kind, more)
    }

    /// Connects and has a ring going.
    fn going(&self) -> Result<Session> {
        let mut session = self.session(&[])?;
        session.go()?;
        Ok(session)
    }

    /// Looks whether the next client is served.
    fn next_client(&self) -> Result<()> {
        let served = || {
            let mut session = self.going()?;
            session.io()
        };
        match served() {
            Ok(_) => Ok(()),
            Err(error) => bail!("the next client is not served: {error:#}"),
        }
    }

    /// Asks the back end whether it can be what it is said to be; the result is what to do if it cannot.
    pub fn probe(&self) -> Result<Option<String>> {
        let session = self.session(&[])?;
        let has_config = session.offer.has(features::CONFIG);
        let kind = format!("{:?}", self.kind).to_lowercase();
        if self.kind == Kind::Blk && !has_config {
            return Ok(Some(format!(
                "the back end has no configuration space, so it is no {kind} device; say which it is with --device"
            )));
        }
        let ring = self.kind.ring() as u32;
        let body = words(&[ring, RING.into()]);
        let set = session
            .front
            .set(FrontendReq::SET_VRING_NUM, body, Vec::new());
        if set.is_err() {
            return Ok(Some(format!(
                "the back end has no ring {ring}, so it is no {kind} device; say which it is with --device"
            )));
        }
        Ok(None)
    }
}

/// Returns a skip for a feature that is not offered.
fn lacks(offer: Features, needs: &[Feature]) -> Option<Outcome> {
    let missing = needs.iter().find(|feature| !offer.has(**feature))?;
    Some(Outcome::Skip(format!("{} is not offered", missing.name)))
}

/// Returns a skip for a device that does not write.
fn writes_nothing(kind: Kind) -> Option<Outcome> {
    let skip = || Outcome::Skip("the device writes into no buffer of this check".into());
    (!kind.writes()).then(skip)
}

/// What a process has open and mapped.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    fds: usize,
    memory: usize,
}

impl Holdings {
    /// Counts; only mappings of a check's own memory count, because an allocator's come and go.
    fn of(pid: u32) -> Result<Self> {
        let proc = Path::new("/proc").join(pid.to_string());
        let maps = std::fs::read_to_string(proc.join("maps"))?;
        Ok(Self {
            fds: std::fs::read_dir(proc.join("fd"))?.count(),
            memory: maps.matches(crate::front::MEMORY_NAME).count(),
        })
    }

    /// Waits until a process has what it had before, for it may still be closing.
    fn back_to(&self, pid: u32) -> Result<()> {
        let end = std::time::Instant::now() + crate::wire::LIMIT;
        loop {
            let now = Self::of(pid)?;
            if now.fds <= self.fds && now.memory <= self.memory {
                return Ok(());
            }
            if std::time::Instant::now() > end {
                bail!("process {pid} had {self:?} and has {now:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
