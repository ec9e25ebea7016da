// SPDX-License-Identifier: GPL-2.0-or-later

//! The sender's end of the connection.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pace::Pace;
use crate::wire::shown;
use crate::wire::Frame;
use crate::wire::Hello;
use crate::wire::ALIVE;
use crate::Cause;
use crate::Channel;
use crate::Clock;
use crate::Failure;
use crate::Region;
use crate::Side;
use crate::Stage;

/// Pages of a region that were sent in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) region: usize,
    pub(super) first: u64,
    pub(super) count: u64,
}

/// The most frames of which the sender does not know whether they have come; 24 bytes each.
#[cfg(not(test))]
const UNKNOWN: usize = 1 << 16;
#[cfg(test)]
const UNKNOWN: usize = 24;

/// The connection to the receiver, with its bandwidth limit.
pub(super) struct Link<'a, C, K> {
    channel: &'a mut C,
    clock: &'a K,
    pace: Pace,
    /// Until when to send nothing.
    until: Duration,
    /// When a frame was sent last.
    said: Duration,
    bytes: u64,
    frame: Vec<u8>,
    answer: Vec<u8>,
    /// The connection is of no use any more.
    broken: bool,
    /// Whether the receiver keeps what it has when the connection is lost.
    resumable: bool,
    /// The frames of content that are known to have come.
    came: u64,
    /// What was sent after them.
    sent: VecDeque<Extent>,
}

impl<'a, C: Channel, K: Clock> Link<'a, C, K> {
    pub(super) fn new(channel: &'a mut C, clock: &'a K, bandwidth: Option<u64>) -> Self {
        let now = clock.now();
        Self {
            channel,
            clock,
            pace: Pace::new(bandwidth, now),
            until: now,
            said: now,
            bytes: 0,
            frame: Vec::new(),
            answer: Vec::new(),
            broken: false,
            resumable: false,
            came: 0,
            sent: VecDeque::new(),
        }
    }

    /// Returns whether a lost connection can be taken up.
    pub(super) fn is_resumable(&self) -> bool {
        self.resumable
    }

    /// Notes what the next frame brings, whatever comes of it.
    pub(super) fn note(&mut self, extent: Extent) {
        if self.resumable {
            self.sent.push_back(extent);
        }
    }

    /// Returns whether so much was sent that the receiver has to be asked whether it has come.
    pub(super) fn is_unsure(&self) -> bool {
        self.sent.len() >= UNKNOWN
    }

    /// Notes that everything has come.
    pub(super) fn all_came(&mut self) {
        self.came += self.sent.len() as u64;
        self.sent.clear();
    }

    /// Returns the number of bytes sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells the receiver what will come, and waits until it is ready.
    pub(super) fn open(&mut self, hello: &Hello, regions: &[Region]) -> Result<(), Failure> {
        let stage = Stage::Setup;
        let theirs = self.greet(hello, stage)?;
        for region in regions {
            self.send(&Frame::Region(region.clone()), stage)?;
        }
        self.expect(stage, |frame| (*frame == Frame::Ready).then_some(()))?;
        self.resumable = hello.resume > 0 && theirs.resume > 0;
        Ok(())
    }

    /// Takes up the migration over a new connection, for which it waits up to `limit`, with this round. Returns what
    /// was sent and has not come.
    pub(super) fn resume(
        &mut self,
        hello: &Hello,
        stage: Stage,
        round: u32,
        limit: Duration,
    ) -> Result<VecDeque<Extent>, Failure> {
        let connected = self.channel.reconnect(limit);
        connected.map_err(|error| self.lost(error, stage))?;
        self.broken = false;
        self.greet(hello, stage)?;
        self.send(&Frame::Resume(round), stage)?;
        let taken = self.expect(stage, |frame| match frame {
            Frame::Resumed(taken) => Some(*taken),
            _ => None,
        })?;
        let missing = taken
            .checked_sub(self.came)
            .and_then(|more| usize::try_from(more).ok())
            .filter(|more| *more <= self.sent.len())
            .map(|more| self.sent.split_off(more));
        let Some(missing) = missing else {
            self.broken = true;
            let sent = self.came + self.sent.len() as u64;
            let text = format!(
                "{taken} frames of {sent} have come, of which {} had",
                self.came
            );
            return Err(Failure::new(Side::Receiver, stage, Cause::Protocol(text)));
        };
        self.all_came();
        Ok(missing)
    }

    /// Exchanges the first bytes. Returns the receiver's.
    fn greet(&mut self, hello: &Hello, stage: Stage) -> Result<Hello, Failure> {
        let sent = self.channel.write(&hello.encode());
        // A receiver of another version may have said so and be gone already.
        let theirs = Hello::receive(self.channel);
        let theirs = theirs.map_err(|error| self.lost(error, stage))?;
        let theirs = theirs.map_err(|text| {
            self.broken = true;
            Failure::new(Side::Receiver, stage, Cause::Protocol(text))
        })?;
        sent.map_err(|error| self.lost(error, stage))?;
        Ok(theirs)
    }

    fn lost(&mut self, error: std::io::Error, stage: Stage) -> Failure {
        self.broken = true;
        Failure::new(Side::Link, stage, Cause::Lost(error))
    }

    /// Sends a frame. If the receiver has said something meanwhile, that can only be that it is alive, or why it goes no
    /// further.
    pub(super) fn send(&mut self, frame: &Frame<'_>, stage: Stage) -> Result<(), Failure> {
        loop {
            let waiting = self.channel.is_waiting();
            if !waiting.map_err(|error| self.lost(error, stage))? {
                break;
            }
            self.hear(stage, |_| None::<()>)?;
        }
        frame.encode(&mut self.frame);
        let bytes = self.frame.len() as u64;
        if let Err(error) = self.channel.write(&self.frame) {
            // It may have said why before it went. If not, this error says more than the end that is found now.
            if let Ok(true) = self.channel.is_waiting() {
                match self.expect(stage, |_| None::<()>) {
                    Err(said) if !matches!(said.cause, Cause::Lost(_)) => return Err(said),
                    _ => {}
                }
            }
            return Err(self.lost(error, stage));
        }
        self.bytes += bytes;
        let now = self.clock.now();
        self.said = now;
        self.until = now + self.pace.sent(bytes, now);
        Ok(())
    }

    /// Waits a part of the time that the bandwidth limit asks for. Returns whether there is more of it.
    pub(super) fn pause(&mut self, stage: Stage) -> Result<bool, Failure> {
        let left = self.until.saturating_sub(self.clock.now());
        if left.is_zero() {
            return Ok(false);
        }
        self.clock.sleep(left.min(ALIVE));
        if left > ALIVE {
            self.alive(stage)?;
        }
        Ok(true)
    }

    /// Tells the receiver that this side is there, if it was silent for long.
    pub(super) fn alive(&mut self, stage: Stage) -> Result<(), Failure> {
        if self.clock.now().saturating_sub(self.said) < ALIVE {
            return Ok(());
        }
        let until = self.until;
        self.send(&Frame::Alive, stage)?;
        self.until = self.until.max(until);
        Ok(())
    }

    /// Waits for a frame that `accept` returns something for. Until it comes the receiver may say that it is alive.
    pub(super) fn expect<T>(
        &mut self,
        stage: Stage,
        accept: impl Fn(&Frame<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            if let Some(accepted) = self.hear(stage, &accept)? {
                return Ok(accepted);
            }
        }
    }

    /// Reads the next frame, which has to be one that `accept` returns something for, or `Alive`: then it is `None`.
    fn hear<T>(
        &mut self,
        stage: Stage,
        accept: impl Fn(&Frame<'_>) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let cause = match Frame::receive(self.channel, &mut self.answer) {
            Ok(Ok(Frame::Alive)) => return Ok(None),
            Ok(Ok(frame)) => match accept(&frame) {
                Some(accepted) => return Ok(Some(accepted)),
                None => match frame {
                    Frame::Refuse(text) => Cause::Refused(shown(text)),
                    other => Cause::Protocol(format!("an answer of type {}", other.code())),
                },
            },
            Ok(Err(text)) => Cause::Protocol(text),
            Err(error) => return Err(self.lost(error, stage)),
        };
        self.broken = true;
        Err(Failure::new(Side::Receiver, stage, cause))
    }

    /// Tells the receiver that it goes no further, if it can still be told.
    pub(super) fn give_up(&mut self, failure: &Failure) {
        if self.broken {
            return;
        }
        Frame::Refuse(&failure.to_string()).encode(&mut self.frame);
        // The receiver also gives up when the connection ends.
        let _ = self.channel.write(&self.frame);
    }
}
