// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection between a sender and a receiver of the model's world, in one thread.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::model::Call;
use super::model::ModelClock;
use super::model::ModelSink;
use super::model::Shared;
use crate::receive::Receiver;
use crate::Channel;
use crate::Failure;
use crate::Limits;
use crate::Received;

/// One end of a connection whose other end is in another thread's hands: bytes in, bytes out.
#[derive(Default)]
pub(super) struct Tape {
    pub(super) input: VecDeque<u8>,
    pub(super) output: Vec<u8>,
    /// Where the other end is.
    world: Option<Shared>,
}

impl Channel for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(bytes);
        if let Some(world) = &self.world {
            let mut world = world.borrow_mut();
            if world.waits {
                world.hear(1);
            }
        }
        Ok(())
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<()> {
        if self.input.len() < to.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for byte in to {
            *byte = self.input.pop_front().unwrap_or_default();
        }
        Ok(())
    }

    fn is_waiting(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// The sender's end of a connection whose other end is a receiver of this world. Each write is one frame, which the
/// receiver takes at once, or with a lag.
pub(super) struct Pair<'a> {
    world: Shared,
    receiver: Receiver<'a, ModelSink>,
    tape: Tape,
    /// Frames that the receiver has not taken yet.
    flight: VecDeque<Vec<u8>>,
    /// The receiver has a connection, whose first bytes it has exchanged or not.
    connected: bool,
    greeted: bool,
    /// Why it had to wait for another one, until that is taken up.
    kept: Option<Failure>,
    pub(super) outcome: Option<Result<Received, Failure>>,
    /// Nothing goes through any more, in the way of this error.
    pub(super) broken: Option<io::ErrorKind>,
}

impl<'a> Pair<'a> {
    pub(super) fn new(world: &Shared, sink: &'a mut ModelSink, limits: &'a Limits) -> Self {
        Self {
            world: world.clone(),
            receiver: Receiver::new(sink, limits, Box::new(ModelClock(world.clone()))),
            tape: Tape {
                world: Some(world.clone()),
                ..Tape::default()
            },
            flight: VecDeque::new(),
            connected: true,
            greeted: false,
            kept: None,
            outcome: None,
            broken: None,
        }
    }

    /// The connection ends, and there is no other one: the receiver finds that out, too.
    pub(super) fn close(mut self) -> Result<Received, Failure> {
        self.lose();
        if let (None, Some(failure)) = (&self.outcome, self.kept.take()) {
            self.end(failure);
        }
        self.outcome.expect("it ended")
    }

    /// The receiver takes what is on its way, but for so many frames.
    fn deliver(&mut self, rest: usize) {
        while self.flight.len() > rest && self.connected && self.outcome.is_none() {
            let frame = self.flight.pop_front().unwrap_or_default();
            self.tape.input.extend(frame);
            self.advance();
        }
    }

    /// If the connection is full, the sender waits until the receiver has taken most of that. It hears nothing meanwhile.
    fn make_room(&mut self, room: usize) {
        let bytes = |flight: &VecDeque<Vec<u8>>| flight.iter().map(Vec::len).sum::<usize>();
        if bytes(&self.flight) <= room {
            return;
        }
        let now = self.world.borrow().now;
        self.world.borrow_mut().heard[1] = now;
        while bytes(&self.flight) > room / 4 {
            self.deliver(self.flight.len() - 1);
        }
        let mut world = self.world.borrow_mut();
        world.hear(1);
        world.heard[0] = world.now;
    }

    /// The sender begins to wait for the receiver, or ends that.
    fn wait(&mut self, begin: bool) {
        let mut world = self.world.borrow_mut();
        world.waits = begin;
        if begin {
            world.heard[1] = world.now;
        } else {
            world.hear(1);
            world.heard[0] = world.now;
        }
    }

    /// The connection ends. Of what is on its way some frames come, and a part of one; then the receiver finds that out.
    fn lose(&mut self) {
        let lost = self.world.borrow_mut().random() % (self.flight.len() as u64 + 1);
        self.deliver(lost as usize);
        let part = self.flight.pop_front().unwrap_or_default();
        self.flight.clear();
        self.tape.input.extend(&part[..part.len() / 2]);
        if self.connected && self.outcome.is_none() {
            self.advance();
        }
        self.tape.input.clear();
    }

    fn end(&mut self, failure: Failure) {
        self.receiver.give_up(&mut self.tape, &failure);
        self.outcome = Some(Err(failure));
    }

    fn advance(&mut self) {
        let result = match (self.greeted, &self.kept) {
            (true, _) => self.receiver.step(&mut self.tape),
            (false, None) => self.receiver.greet(&mut self.tape).map(|()| None),
            (false, Some(_)) => {
                if let Err(failure) = self.receiver.greet_again(&mut self.tape) {
                    self.connected = false;
                    if !failure.is_of_the_link() {
                        self.receiver.refuse(&mut self.tape, &failure);
                    }
                }
                self.greeted = true;
                return;
            }
        };
        self.greeted = true;
        match result {
            Ok(None) => self.kept = None,
            Ok(Some(received)) => self.outcome = Some(Ok(received)),
            Err(failure) => match self.receiver.pause(&failure) {
                Some(_) => {
                    self.kept = Some(failure);
                    self.connected = false;
                }
                None => self.end(failure),
            },
        }
    }
}

impl Channel for Pair<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken.is_none() && self.world.borrow_mut().step(Call::Send).is_err() {
            self.broken = Some(io::ErrorKind::BrokenPipe);
        }
        if self.broken.is_none() && self.world.borrow_mut().cut() {
            // Of these bytes, not all may come.
            self.flight.push_back(bytes[..bytes.len() - 1].to_vec());
            self.broken = Some(io::ErrorKind::ConnectionReset);
        }
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        if self.outcome.is_some() || !self.connected {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        {
            let mut world = self.world.borrow_mut();
            let rate = world.rate;
            world.now += Duration::from_secs_f64(bytes.len() as f64 / rate as f64);
            world.hear(0);
        }
        self.flight.push_back(bytes.to_vec());
        let (lag, room) = (self.world.borrow().lag, self.world.borrow().room);
        match room {
            None => self.deliver(lag),
            Some(room) => self.make_room(room),
        }
        self.world.borrow_mut().write();
        Ok(())
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<()> {
        // A frame is read in two parts; it is lost as a whole.
        if self.broken.is_none() && self.world.borrow_mut().step(Call::Answer).is_err() {
            self.broken = Some(io::ErrorKind::TimedOut);
        }
        if self.broken.is_none() && self.world.borrow_mut().cut() {
            self.broken = Some(io::ErrorKind::TimedOut);
        }
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        self.wait(true);
        while self.tape.output.len() < to.len() {
            if self.flight.is_empty() || !self.connected || self.outcome.is_some() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.deliver(self.flight.len() - 1);
        }
        self.wait(false);
        let rest = self.tape.output.split_off(to.len());
        to.copy_from_slice(&self.tape.output);
        self.tape.output = rest;
        Ok(())
    }

    fn reconnect(&mut self, limit: Duration) -> io::Result<()> {
        self.lose();
        self.world.borrow_mut().step(Call::Connect)?;
        if self.outcome.is_some() || self.world.borrow_mut().cut() {
            // It may take a while until that is known.
            self.world.borrow_mut().now += limit / 8;
            self.broken = Some(io::ErrorKind::ConnectionRefused);
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.tape.output.clear();
        self.greeted = false;
        self.connected = true;
        self.broken = None;
        Ok(())
    }

    fn is_waiting(&mut self) -> io::Result<bool> {
        // The receiver's first bytes are there before they are asked for.
        Ok(self.broken.is_none() && self.greeted && !self.tape.output.is_empty())
    }
}
