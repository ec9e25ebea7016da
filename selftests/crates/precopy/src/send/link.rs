// SPDX-License-Identifier: GPL-2.0-or-later

//! The sender's end of the connection.

use std::time::Duration;

use crate::pace::Pace;
use crate::wire::shown;
use crate::wire::Frame;
use crate::wire::Hello;
use crate::wire::VERSION;
use crate::Cause;
use crate::Channel;
use crate::Clock;
use crate::Failure;
use crate::Region;
use crate::Side;
use crate::Stage;

/// The longest that the sender is silent.
const ALIVE: Duration = Duration::from_secs(1);

/// The connection to the receiver, with its bandwidth limit.
pub(super) struct Link<'a, C, K> {
    channel: &'a mut C,
    clock: &'a K,
    pace: Pace,
    /// Until when to send nothing.
    until: Duration,
    bytes: u64,
    frame: Vec<u8>,
    answer: Vec<u8>,
    /// The connection is of no use any more.
    broken: bool,
}

impl<'a, C: Channel, K: Clock> Link<'a, C, K> {
    pub(super) fn new(channel: &'a mut C, clock: &'a K, bandwidth: Option<u64>) -> Self {
        let now = clock.now();
        Self {
            channel,
            clock,
            pace: Pace::new(bandwidth, now),
            until: now,
            bytes: 0,
            frame: Vec::new(),
            answer: Vec::new(),
            broken: false,
        }
    }

    /// Returns the number of bytes sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells the receiver what will come, and waits until it is ready.
    pub(super) fn open(&mut self, page_size: u32, regions: &[Region]) -> Result<(), Failure> {
        let stage = Stage::Setup;
        let hello = Hello {
            version: VERSION,
            page_size,
            regions: regions.len() as u32,
        };
        let sent = self.channel.write(&hello.encode());
        // A receiver of another version may have said so and be gone already.
        let theirs = Hello::receive(self.channel);
        let theirs = theirs.map_err(|error| self.lost(error, stage))?;
        theirs.map_err(|text| {
            self.broken = true;
            Failure::new(Side::Receiver, stage, Cause::Protocol(text))
        })?;
        sent.map_err(|error| self.lost(error, stage))?;
        for region in regions {
            self.send(&Frame::Region(region.clone()), stage)?;
        }
        self.expect(stage, |frame| (*frame == Frame::Ready).then_some(()))
    }

    fn lost(&mut self, error: std::io::Error, stage: Stage) -> Failure {
        self.broken = true;
        Failure::new(Side::Link, stage, Cause::Lost(error))
    }

    /// Sends a frame. If the receiver has said something meanwhile, that can only be why it goes no further.
    pub(super) fn send(&mut self, frame: &Frame<'_>, stage: Stage) -> Result<(), Failure> {
        let waiting = self.channel.is_waiting();
        if waiting.map_err(|error| self.lost(error, stage))? {
            self.expect(stage, |_| None::<()>)?;
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
            let until = self.until;
            self.send(&Frame::Alive, stage)?;
            self.until = self.until.max(until);
        }
        Ok(true)
    }

    /// Reads the next frame, which has to be one that `accept` returns something for.
    pub(super) fn expect<T>(
        &mut self,
        stage: Stage,
        accept: impl FnOnce(&Frame<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let cause = match Frame::receive(self.channel, &mut self.answer) {
            Ok(Ok(frame)) => match accept(&frame) {
                Some(accepted) => return Ok(accepted),
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
