// SPDX-License-Identifier: GPL-2.0-or-later

//! The receiver.

use std::io;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use crate::wire;
use crate::wire::shown;
use crate::wire::Frame;
use crate::wire::Hello;
use crate::wire::ALIVE;
use crate::wire::SUM;
use crate::Cause;
use crate::Channel;
use crate::Clock;
use crate::Failure;
use crate::Kind;
use crate::Monotonic;
use crate::Region;
use crate::Side;
use crate::Sink;
use crate::Stage;

/// What a sender may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Regions.
    pub regions: u32,
    /// Bytes of all regions together.
    pub bytes: u64,
    /// How long to keep what came for a sender that takes up a lost connection.
    pub resume: Option<Duration>,
    /// A deliberate mistake, which tests have to find.
    #[cfg(test)]
    pub(crate) mistake: Option<crate::tests::Mistake>,
}

impl Default for Limits {
    /// 1024 regions, 1 TiB; nothing is kept.
    fn default() -> Self {
        Self {
            regions: 1024,
            bytes: 1 << 40,
            resume: None,
            #[cfg(test)]
            mistake: None,
        }
    }
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Regions.
    pub regions: u64,
    /// Their pages.
    pub pages: u64,
    /// Rounds.
    pub rounds: u32,
    /// Pages that came, also those that came again, zero pages included.
    pub pages_received: u64,
    /// Of these, pages of zeros.
    pub zero_pages: u64,
    /// How often a lost connection was taken up.
    pub resumed: u32,
    /// Whether the acknowledgement could be sent. If not, the source stays stopped, and what came is whole.
    pub acknowledged: bool,
}

/// Takes the regions that a sender at the other end of `channel` has.
///
/// If it succeeds, `sink` was told to keep them. If it fails, whatever was made is discarded, and the other side told why.
pub fn receive<S: Sink, C: Channel>(
    sink: &mut S,
    channel: &mut C,
    limits: &Limits,
) -> Result<Received, Failure> {
    let mut receiver = Receiver::new(sink, limits, Box::new(Monotonic::new()));
    let result = receiver.run(channel);
    if let Err(failure) = &result {
        receiver.give_up(channel, failure);
    }
    result
}

/// The receiver between two frames.
pub(crate) struct Receiver<'a, S> {
    sink: &'a mut S,
    limits: &'a Limits,
    clock: Box<dyn Clock + 'a>,
    /// When it said something last.
    said: Duration,
    /// The number of regions that the sender has announced, and the bytes of those that were made.
    announced: u32,
    bytes: u64,
    regions: Vec<Known>,
    stage: Stage,
    /// The region and the page whose checksum is next.
    position: (usize, u64),
    differs: Option<(u32, u64)>,
    received: Received,
    /// The migration's name, if it can be taken up.
    id: Option<u128>,
    /// The connection was lost, and the sender has not said yet where it goes on.
    waiting: bool,
    /// Frames of content that were taken.
    taken: u64,
    page: Vec<u8>,
    frame: Vec<u8>,
    payload: Vec<u8>,
}

/// What is remembered of a region.
#[derive(Debug)]
struct Known {
    id: u32,
    pages: u64,
}

impl<'a, S: Sink> Receiver<'a, S> {
    /// Makes one that has seen nothing.
    pub(crate) fn new(sink: &'a mut S, limits: &'a Limits, clock: Box<dyn Clock + 'a>) -> Self {
        Self {
            sink,
            limits,
            said: clock.now(),
            clock,
            announced: 0,
            bytes: 0,
            regions: Vec::new(),
            stage: Stage::Setup,
            position: (0, 0),
            differs: None,
            received: Received::default(),
            id: None,
            waiting: false,
            taken: 0,
            page: Vec::new(),
            frame: Vec::new(),
            payload: Vec::new(),
        }
    }

    fn fail(&self, side: Side, cause: Cause) -> Failure {
        Failure::new(side, self.stage, cause)
    }

    fn protocol(&self, text: impl Into<String>) -> Failure {
        self.fail(Side::Source, Cause::Protocol(text.into()))
    }

    fn lost(&self, error: io::Error) -> Failure {
        self.fail(Side::Link, Cause::Lost(error))
    }

    fn local(&self, what: String) -> impl FnOnce(io::Error) -> Failure {
        let stage = self.stage;
        move |error| Failure::new(Side::Receiver, stage, Cause::System { what, error })
    }

    fn say(&mut self, channel: &mut impl Channel, frame: &Frame<'_>) -> Result<(), Failure> {
        frame.encode(&mut self.frame);
        self.said = self.clock.now();
        channel.write(&self.frame).map_err(|error| self.lost(error))
    }

    fn run(&mut self, channel: &mut impl Channel) -> Result<Received, Failure> {
        self.greet(channel)?;
        let mut until = None;
        loop {
            let failure = match self.step(channel) {
                Ok(Some(received)) => return Ok(received),
                Ok(None) => {
                    until = None;
                    continue;
                }
                Err(failure) => failure,
            };
            let Some(window) = self.pause(&failure) else {
                return Err(failure);
            };
            // The time counts from when it was lost, also if an attempt to take it up is lost, too.
            let until = *until.get_or_insert_with(|| Instant::now() + window);
            self.wait(channel, failure, window, until)?;
        }
    }

    /// Takes a failure as one after which the sender may come again. Returns how long to wait for it.
    pub(crate) fn pause(&mut self, failure: &Failure) -> Option<Duration> {
        self.id?;
        // Before that, and after a signal, there is nothing to keep.
        if self.stage == Stage::Setup || !failure.is_of_the_link() {
            return None;
        }
        self.waiting = true;
        #[cfg(test)]
        if self.limits.mistake == Some(crate::tests::Mistake::CountsTooMany) {
            self.taken += 1;
        }
        self.limits.resume
    }

    /// Waits for the sender. Others are told that it is not theirs. Fails with `failure` if it does not come in time.
    fn wait(
        &mut self,
        channel: &mut impl Channel,
        mut failure: Failure,
        window: Duration,
        until: Instant,
    ) -> Result<(), Failure> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!("not taken up within {} s", window.as_secs_f64());
                failure.also.push(text);
                return Err(failure);
            }
            match channel.reconnect(left) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                Err(error) => return Err(self.lost(error)),
            }
            match self.greet_again(channel) {
                Ok(()) => return Ok(()),
                Err(interrupted) if interrupted.kind() == Kind::Cancelled => {
                    return Err(interrupted)
                }
                // It is gone or silent.
                Err(lost) if lost.is_of_the_link() => {}
                Err(other) => self.refuse(channel, &other),
            }
        }
    }

    /// Exchanges the first bytes with one who may be the sender.
    pub(crate) fn greet_again(&mut self, channel: &mut impl Channel) -> Result<(), Failure> {
        let theirs = self.exchange(channel)?;
        if !theirs.again {
            let text = "a migration whose connection was lost is to be taken up here, no other one";
            return Err(self.limit(text.to_owned()));
        }
        if Some(theirs.id) != self.id {
            return Err(self.limit("another migration is to be taken up here".to_owned()));
        }
        Ok(())
    }

    /// Tells a sender why it goes no further.
    pub(crate) fn refuse(&mut self, channel: &mut impl Channel, failure: &Failure) {
        let text = failure.cause.to_string();
        if self.say(channel, &Frame::Refuse(&text)).is_ok() {
            channel.drain();
        }
    }

    /// Discards everything, and tells the sender why unless it knows.
    pub(crate) fn give_up(&mut self, channel: &mut impl Channel, failure: &Failure) {
        self.sink.discard();
        if matches!(
            failure.cause,
            Cause::Refused(_) | Cause::Lost(_) | Cause::Mismatch { .. }
        ) {
            return;
        }
        self.refuse(channel, failure);
    }

    /// Exchanges the first bytes. Returns the sender's.
    fn exchange(&mut self, channel: &mut impl Channel) -> Result<Hello, Failure> {
        let seconds = |window: Duration| window.as_secs_f64().ceil() as u32;
        let hello = Hello {
            resume: self.limits.resume.map_or(0, seconds),
            ..Hello::new(self.sink.page_size())
        };
        // Sent first, so that a sender of another version learns of this one.
        let sent = channel.write(&hello.encode());
        let hello = Hello::receive(channel).map_err(|error| self.lost(error))?;
        let hello = hello.map_err(|text| self.protocol(text))?;
        sent.map_err(|error| self.lost(error))?;
        Ok(hello)
    }

    /// Begins a migration.
    pub(crate) fn greet(&mut self, channel: &mut impl Channel) -> Result<(), Failure> {
        let page_size = self.sink.page_size();
        let hello = self.exchange(channel)?;
        if hello.again {
            let text = "there is no migration here that could be taken up";
            return Err(self.limit(text.to_owned()));
        }
        if hello.page_size != page_size {
            let text = format!("pages have {page_size} bytes here, not {}", hello.page_size);
            return Err(self.limit(text));
        }
        if hello.regions > self.limits.regions {
            let text = format!(
                "at most {} objects are taken, not {}",
                self.limits.regions, hello.regions
            );
            return Err(self.limit(text));
        }
        self.announced = hello.regions;
        let both = self.limits.resume.is_some() && hello.resume > 0;
        self.id = both.then_some(hello.id);
        self.ready(channel)
    }

    /// Says so when all regions were made.
    fn ready(&mut self, channel: &mut impl Channel) -> Result<(), Failure> {
        if self.regions.len() < self.announced as usize {
            return Ok(());
        }
        self.say(channel, &Frame::Ready)?;
        self.stage = Stage::Round(1);
        Ok(())
    }

    /// Takes a frame. Returns what came when that was all.
    pub(crate) fn step(&mut self, channel: &mut impl Channel) -> Result<Option<Received>, Failure> {
        let mut payload = std::mem::take(&mut self.payload);
        let frame = Frame::receive(channel, &mut payload).map_err(|error| self.lost(error))?;
        let frame = frame.map_err(|text| self.protocol(text))?;
        let received = self.take(channel, &frame);
        self.payload = payload;
        received
    }

    fn take(
        &mut self,
        channel: &mut impl Channel,
        frame: &Frame<'_>,
    ) -> Result<Option<Received>, Failure> {
        match frame {
            Frame::Refuse(text) => return Err(self.refused(text)),
            Frame::Resume(round) if self.waiting && *round > self.received.rounds => {
                self.waiting = false;
                self.received.resumed += 1;
                // Writers may have run since anything was compared.
                self.position = (0, 0);
                self.differs = None;
                self.stage = Stage::Round(*round);
                self.say(channel, &Frame::Resumed(self.taken))?;
            }
            other if self.waiting => return Err(self.unexpected(other)),
            Frame::Mark if self.is_marked() => {
                self.say(channel, &Frame::Marked)?;
            }
            Frame::Region(region) if self.stage == Stage::Setup => {
                self.create(region)?;
                self.ready(channel)?;
            }
            Frame::Pages { .. } | Frame::Zeros { .. } | Frame::Empty { .. } => {
                self.content(frame)?;
                self.taken += 1;
            }
            Frame::Sums { .. } | Frame::Skip { .. } | Frame::StillEmpty { .. } => {
                self.sums(channel, frame)?;
            }
            Frame::Alive => {}
            Frame::Round(number) if self.stage == Stage::Round(*number) => {
                self.received.rounds = *number;
                self.stage = Stage::Round(number.saturating_add(1));
                self.say(channel, &Frame::Reached(*number))?;
            }
            Frame::Compare if self.is_compared() => {
                if let Some((region, page)) = self.differs {
                    self.say(channel, &Frame::Differs { region, page })?;
                    let region = self.regions[region as usize].id;
                    return Err(self.fail(Side::Receiver, Cause::Mismatch { region, page }));
                }
                self.say(channel, &Frame::Equal)?;
                self.stage = Stage::HandOver;
            }
            Frame::HandOver if self.stage == Stage::HandOver => {
                self.sink
                    .keep()
                    .map_err(self.local("keep the objects".to_owned()))?;
                // From here on they are this side's, whether the other one learns of it or not.
                self.received.acknowledged = self.say(channel, &Frame::Acknowledge).is_ok();
                return Ok(Some(self.received));
            }
            other => return Err(self.unexpected(other)),
        }
        Ok(None)
    }

    /// Wraps that this side does not take what the sender has.
    fn limit(&self, text: String) -> Failure {
        self.fail(Side::Receiver, Cause::Limit(text))
    }

    fn refused(&self, text: &str) -> Failure {
        self.fail(Side::Source, Cause::Refused(shown(text)))
    }

    fn unexpected(&self, frame: &Frame<'_>) -> Failure {
        self.protocol(format!(
            "a frame of type {} does not belong here",
            frame.code()
        ))
    }

    fn create(&mut self, region: &Region) -> Result<(), Failure> {
        let page_size = u64::from(self.sink.page_size());
        // What the object will take, pages behind its own included.
        let extra = u64::from(region.extra_pages) * page_size;
        let whole = region
            .size
            .checked_next_multiple_of(page_size)
            .filter(|size| *size > 0)
            .and_then(|size| size.checked_add(extra));
        let Some(whole) = whole else {
            return Err(self.protocol(format!("an object of {} bytes", region.size)));
        };
        self.bytes = self.bytes.saturating_add(whole);
        if self.bytes > self.limits.bytes {
            let text = format!("at most {} bytes are taken", self.limits.bytes);
            return Err(self.limit(text));
        }
        let what = format!("make a copy of object {}", region.id);
        self.sink.create(region).map_err(self.local(what))?;
        let pages = region.pages(self.sink.page_size());
        self.regions.push(Known {
            id: region.id,
            pages,
        });
        self.received.regions += 1;
        self.received.pages += pages;
        Ok(())
    }

    /// Checks that the region has these pages. Returns its index.
    fn range(&self, region: u32, first: u64, count: u64) -> Result<usize, Failure> {
        let index = region as usize;
        let Some(known) = self.regions.get(index) else {
            return Err(self.protocol(format!("there is no region {region}")));
        };
        if count == 0 || first > known.pages || count > known.pages - first {
            return Err(self.protocol(format!(
                "region {region} has {} pages, not {count} from page {first} on",
                known.pages
            )));
        }
        Ok(index)
    }

    /// Takes a frame of content.
    fn content(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let page_size = self.sink.page_size() as usize;
        if !matches!(self.stage, Stage::Round(_)) {
            return Err(self.unexpected(frame));
        }
        match *frame {
            Frame::Pages {
                region,
                first,
                bytes,
            } => {
                if bytes.len() % page_size != 0 {
                    return Err(self.protocol("a part of a page"));
                }
                let count = (bytes.len() / page_size) as u64;
                let index = self.range(region, first, count)?;
                self.write(index, first, bytes)?;
                self.received.pages_received += count;
            }
            Frame::Zeros {
                region,
                first,
                count,
            } => {
                let index = self.range(region, first, count)?;
                // A marker that stands for more would keep this side busy for long.
                if count > MAX_ZEROS {
                    return Err(self.protocol(format!("{count} pages of zeros at once")));
                }
                let zeros = vec![0; count as usize * page_size];
                self.write(index, first, &zeros)?;
                self.received.pages_received += count;
                self.received.zero_pages += count;
            }
            Frame::Empty { region } => {
                let index = self.range(region, 0, 1)?;
                let what = format!("drop what object {} had", self.regions[index].id);
                self.sink.empty(index).map_err(self.local(what))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, index: usize, first: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.sink.write(index, first, bytes).map_err(|error| {
            let what = format!("write object {}", self.regions[index].id);
            self.local(what)(error)
        })
    }

    /// Returns whether the sender may want to know that all has come: in a round, if it could be taken up.
    fn is_marked(&self) -> bool {
        match self.stage {
            Stage::Round(_) => self.id.is_some(),
            Stage::Compare => true,
            _ => false,
        }
    }

    /// Returns whether the checksums of all pages came.
    fn is_compared(&self) -> bool {
        matches!(self.stage, Stage::Compare | Stage::Round(_))
            && self.received.rounds > 0
            && self.position == (self.regions.len(), 0)
    }

    /// Takes a frame of checksums.
    fn sums(&mut self, channel: &mut impl Channel, frame: &Frame<'_>) -> Result<(), Failure> {
        let (region, first, count) = match *frame {
            Frame::Sums {
                region,
                first,
                sums,
            } if sums.len() % SUM == 0 => (region, first, (sums.len() / SUM) as u64),
            Frame::Skip {
                region,
                first,
                count,
            } => (region, first, count),
            Frame::StillEmpty { region } => {
                let pages = self
                    .regions
                    .get(region as usize)
                    .map_or(0, |known| known.pages);
                (region, 0, pages)
            }
            _ => return Err(self.unexpected(frame)),
        };
        if !matches!(self.stage, Stage::Round(_) | Stage::Compare) || self.received.rounds == 0 {
            return Err(self.unexpected(frame));
        }
        self.stage = Stage::Compare;
        let index = self.range(region, first, count)?;
        if (index, first) != self.position {
            return Err(self.protocol("checksums that are not in order"));
        }
        let what = format!("look at object {}", self.regions[index].id);
        let content = self.sink.has_content(index).map_err(self.local(what))?;
        match *frame {
            Frame::Sums { sums, .. } => self.check(channel, index, first, sums, content)?,
            Frame::StillEmpty { .. } if content => {
                self.differs.get_or_insert((region, 0));
            }
            _ => {}
        }
        self.position = (index, first + count);
        if self.position.1 == self.regions[index].pages {
            self.position = (index + 1, 0);
        }
        Ok(())
    }

    /// Compares pages. They may take long to read, in which the sender hears that this side is alive.
    fn check(
        &mut self,
        channel: &mut impl Channel,
        index: usize,
        first: u64,
        sums: &[u8],
        content: bool,
    ) -> Result<(), Failure> {
        self.page.resize(self.sink.page_size() as usize, 0);
        for (page, sum) in (first..).zip(sums.chunks_exact(SUM)) {
            if content {
                let read = self.sink.read(index, page, &mut self.page);
                read.map_err(|error| {
                    let what = format!("read object {}", self.regions[index].id);
                    self.local(what)(error)
                })?;
            } else {
                // Without content it reads as zeros, which needs no pages.
                self.page.fill(0);
            }
            if wire::sum(&self.page) != sum {
                self.differs.get_or_insert((index as u32, page));
            }
            self.alive(channel)?;
        }
        Ok(())
    }

    /// Tells the sender that this side is there, if it was silent for long.
    fn alive(&mut self, channel: &mut impl Channel) -> Result<(), Failure> {
        if self.clock.now().saturating_sub(self.said) < ALIVE {
            return Ok(());
        }
        #[cfg(test)]
        if self.limits.mistake == Some(crate::tests::Mistake::SilentReceiver) {
            return Ok(());
        }
        self.say(channel, &Frame::Alive)
    }
}

/// The most pages of zeros of a frame; a sender has no more in its own.
const MAX_ZEROS: u64 = 1 << 10;
