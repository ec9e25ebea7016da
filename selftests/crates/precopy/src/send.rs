// SPDX-License-Identifier: GPL-2.0-or-later

//! The sender: rounds, throttle, hand-over, and the way back.

mod compare;
mod link;
mod options;
mod pages;
mod resume;

use std::io;
use std::time::Duration;

use crate::pace::rate_of;
use crate::plan::clamp_shift;
use crate::plan::Plan;
use crate::throttle::Throttle;
use crate::wire::Frame;
use crate::wire::Hello;
use crate::Bitmap;
use crate::Cause;
use crate::Channel;
use crate::Clock;
use crate::Failure;
use crate::Kind;
use crate::LogMode;
use crate::Progress;
use crate::Round;
use crate::Side;
use crate::Source;
use crate::Stage;
use crate::Statistics;
use crate::Writers;

use link::Link;
pub use options::AtLimit;
pub use options::Failed;
pub use options::FirstSync;
pub use options::Options;
pub use options::Request;
pub use options::Resume;
pub use options::Watch;

/// Moves all regions of `source` to the receiver at the other end of `channel`.
///
/// If it succeeds, the receiver has them, the source's are freed, and the writers stay stopped. If it fails, the writers
/// run on, the logs are off and the receiver keeps nothing; but with [`Kind::AcknowledgementLost`] the writers stay
/// stopped and the source whole, because the receiver may have everything. The logs stay on then if these stop the
/// writers ([`Writers::need_logs`]).
pub fn send<S: Source, W: Writers, C: Channel, K: Clock>(
    source: &mut S,
    writers: &mut W,
    channel: &mut C,
    clock: &K,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<Statistics, Failed> {
    let mut sender = Sender::new(source, writers, channel, clock, options, watch);
    let result = sender.run();
    sender.end(result)
}

/// The shortest time between two reports of the progress.
const REPORTS: Duration = Duration::from_millis(200);

/// A round's rate counts as measured from so many bytes on.
const MEASURED: u64 = 1 << 20;

/// How a pass over all regions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Complete,
    /// The writers have to be stopped now.
    Forced,
}

struct Sender<'a, S, W, C, K> {
    source: &'a mut S,
    writers: &'a mut W,
    link: Link<'a, C, K>,
    clock: &'a K,
    options: &'a Options,
    watch: &'a mut dyn Watch,
    /// The regions whose log is on, from the first one.
    logging: usize,
    plans: Vec<Plan>,
    /// A region's dirty pages, as a get returns them.
    dirty: Vec<Bitmap>,
    /// Pages that no one uses, and that were not written to since. They are not compared.
    discarded: Vec<Bitmap>,
    throttle: Throttle,
    statistics: Statistics,
    round: Round,
    /// Bytes sent and time at its begin.
    round_begin: (u64, Duration),
    stage: Stage,
    /// Round 1 has gone through all pages.
    complete: bool,
    begin: Duration,
    stopping: Option<Duration>,
    last_sync: Duration,
    last_report: Option<Duration>,
    send_rate: Option<u64>,
    dirty_rate: Option<u64>,
    /// The pages of a frame.
    content: Vec<u8>,
}

impl<'a, S: Source, W: Writers, C: Channel, K: Clock> Sender<'a, S, W, C, K> {
    fn new(
        source: &'a mut S,
        writers: &'a mut W,
        channel: &'a mut C,
        clock: &'a K,
        options: &'a Options,
        watch: &'a mut dyn Watch,
    ) -> Self {
        let now = clock.now();
        let page_size = source.page_size();
        let pages = source
            .regions()
            .iter()
            .map(|region| region.pages(page_size));
        let statistics = Statistics {
            regions: source.regions().len() as u64,
            pages: pages.sum(),
            page_size,
            ..Statistics::default()
        };
        Self {
            link: Link::new(channel, clock, options.bandwidth),
            source,
            writers,
            clock,
            options,
            watch,
            logging: 0,
            plans: Vec::new(),
            dirty: Vec::new(),
            discarded: Vec::new(),
            throttle: Throttle::new(false, now),
            statistics,
            round: Round::default(),
            round_begin: (0, now),
            stage: Stage::Setup,
            complete: false,
            begin: now,
            stopping: None,
            last_sync: now,
            last_report: None,
            send_rate: None,
            dirty_rate: None,
            content: Vec::new(),
        }
    }

    fn fail(&self, side: Side, cause: Cause) -> Failure {
        Failure::new(side, self.stage, cause)
    }

    /// Wraps an error of the source's own side.
    fn local(&self, what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
        let (stage, what) = (self.stage, what.into());
        move |error| Failure::new(Side::Source, stage, Cause::System { what, error })
    }

    fn object(&self, region: usize) -> u32 {
        self.source.regions()[region].id
    }

    fn send(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        self.link.send(frame, self.stage)
    }

    /// Returns the first words of a connection, the first one or another.
    fn hello(&self, again: bool) -> Hello {
        let resume = self.options.resume;
        let seconds = |resume: Resume| resume.window.as_secs_f64().ceil() as u32;
        Hello {
            regions: self.source.regions().len() as u32,
            resume: resume.map_or(0, seconds),
            again,
            id: resume.map_or(0, |resume| resume.id),
            ..Hello::new(self.source.page_size())
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.link.open(&self.hello(false), self.source.regions())?;
        if self.options.resume.is_some() && !self.link.is_resumable() {
            let text = "the receiver keeps nothing of a lost connection (its --resume)";
            self.statistics.warnings.push(text.to_owned());
        }
        self.start()?;
        loop {
            match self.rounds() {
                Err(failure) if self.link.is_resumable() && failure.is_of_the_link() => {
                    self.take_up(failure)?;
                }
                result => return result,
            }
        }
    }

    /// Goes through rounds, and to the end.
    fn rounds(&mut self) -> Result<(), Failure> {
        loop {
            self.begin_round(false);
            let pass = self.pass(!self.complete)?;
            self.end_round()?;
            self.complete |= pass == Pass::Complete;
            if pass == Pass::Forced || self.is_forced()? {
                self.statistics.forced = true;
                break;
            }
            self.sync()?;
            if self.fits() {
                break;
            }
        }
        self.stopping = Some(self.clock.now());
        self.writers
            .stop()
            .map_err(self.local("stop the writers"))?;
        self.begin_round(true);
        self.sync()?;
        self.pass(false)?;
        self.end_round()?;
        self.compare()?;
        self.hand_over()
    }

    /// Switches the logs on, and syncs unless that is skipped.
    fn start(&mut self) -> Result<(), Failure> {
        let begin = self.clock.now();
        let shift = self.options.clear_shift;
        if clamp_shift(shift) != shift {
            self.statistics.warnings.push(format!(
                "chunks of 2^{shift} pages cannot be; 2^{} is used",
                clamp_shift(shift)
            ));
        }
        let mut modes = Vec::new();
        for region in 0..self.source.regions().len() {
            let what = format!("switch on the log of object {}", self.object(region));
            let mode = self.source.start(region).map_err(self.local(what))?;
            self.logging = region + 1;
            modes.push(mode);
        }
        // What the log says of itself counts, not what was asked of it.
        let all_set = modes.iter().all(|mode| *mode == LogMode::InitiallySet);
        let skip = match self.options.first_sync {
            FirstSync::Auto => all_set,
            FirstSync::Never => true,
            FirstSync::Always => false,
        };
        let page_size = self.source.page_size();
        for (region, mode) in modes.into_iter().enumerate() {
            let pages = self.source.regions()[region].pages(page_size);
            let memory = || -> io::Result<_> {
                let plan = Plan::new(pages, shift, mode, skip)?;
                Ok((plan, Bitmap::zeros(pages)?, Bitmap::zeros(pages)?))
            };
            let (plan, dirty, discarded) = memory().map_err(self.local("allocate the bitmaps"))?;
            self.plans.push(plan);
            self.dirty.push(dirty);
            self.discarded.push(discarded);
        }
        self.last_sync = self.clock.now();
        self.throttle = Throttle::new(skip, self.last_sync);
        self.statistics.first_sync_skipped = skip;
        if !skip {
            self.sync()?;
            // The time since the start says nothing of the writers.
            self.dirty_rate = None;
        }
        self.statistics.start_seconds = (self.clock.now() - begin).as_secs_f64();
        Ok(())
    }

    /// Gets all logs.
    fn sync(&mut self) -> Result<(), Failure> {
        let mut new = 0;
        for region in 0..self.plans.len() {
            let refused = self.local(format!("get the log of object {}", self.object(region)));
            let dirty = &mut self.dirty[region];
            self.source.get(region, dirty).map_err(refused)?;
            #[cfg(test)]
            self.options.spoil(dirty);
            for word in 0..dirty.words().len() as u64 {
                if dirty.words()[word as usize] != 0 {
                    written(&mut self.discarded[region], dirty, word);
                }
            }
            new += self.plans[region].synced(dirty);
        }
        self.statistics.syncs += 1;
        let now = self.clock.now();
        let bytes = new * u64::from(self.statistics.page_size);
        self.dirty_rate = rate_of(bytes, now - self.last_sync).or(self.dirty_rate);
        self.last_sync = now;
        self.throttle.synced(self.dirty_rate, self.send_rate);
        let left = self.left();
        if let Some(last) = self.statistics.rounds.last_mut() {
            // Between this round and the next one.
            if last.number == self.round.number {
                last.dirty_rate = self.dirty_rate;
                last.left = left;
            }
        }
        Ok(())
    }

    fn left(&self) -> u64 {
        self.plans.iter().map(|plan| plan.left().count()).sum()
    }

    /// Returns whether what is left can be sent within the downtime.
    fn fits(&self) -> bool {
        let bytes = self.left() * u64::from(self.statistics.page_size);
        let rate = self.send_rate.unwrap_or(u64::MAX) as f64;
        bytes as f64 <= rate * self.options.downtime.as_secs_f64()
    }

    fn begin_round(&mut self, stopped: bool) {
        let number = self.round.number + 1;
        self.stage = if stopped {
            Stage::LastRound(number)
        } else {
            Stage::Round(number)
        };
        self.round = Round {
            number,
            stopped,
            ..Round::default()
        };
        self.round_begin = (self.link.bytes(), self.clock.now());
    }

    /// Ends the round when the receiver has come to its end, too, so that its time is that of the bytes.
    fn end_round(&mut self) -> Result<(), Failure> {
        let number = self.round.number;
        self.send(&Frame::Round(number))?;
        self.link.expect(self.stage, |frame| {
            (*frame == Frame::Reached(number)).then_some(())
        })?;
        self.link.all_came();
        let round = self.measured();
        if round.bytes >= MEASURED || self.send_rate.is_none() {
            self.send_rate = round.send_rate.or(self.send_rate);
        }
        self.statistics.rounds.push(round);
        Ok(())
    }

    /// Returns the round with what it took until now.
    fn measured(&self) -> Round {
        let (bytes, begin) = self.round_begin;
        let time = self.clock.now() - begin;
        let bytes = self.link.bytes() - bytes;
        Round {
            bytes,
            seconds: time.as_secs_f64(),
            left: self.left(),
            send_rate: rate_of(bytes, time),
            ..self.round.clone()
        }
    }

    /// What has to be done now and then: requests, limits, the throttle, the report.
    fn tick(&mut self) -> Result<Pass, Failure> {
        if self.round.stopped {
            return match self.watch.request() {
                Request::Cancel => Err(self.fail(Side::Source, Cause::Cancelled)),
                Request::Continue | Request::Force => {
                    self.report();
                    Ok(Pass::Complete)
                }
            };
        }
        if self.is_forced()? {
            return Ok(Pass::Forced);
        }
        if self.throttle.is_due(self.clock.now()) {
            if self.throttle.needs_sync(self.statistics.syncs) {
                self.sync()?;
            }
            if let Some(percent) = self.throttle.step(self.statistics.syncs) {
                self.writers
                    .slow(percent)
                    .map_err(self.local("slow the writers"))?;
            }
        }
        self.report();
        Ok(Pass::Complete)
    }

    /// Returns whether the writers have to be stopped now.
    fn is_forced(&mut self) -> Result<bool, Failure> {
        match self.watch.request() {
            Request::Cancel => return Err(self.fail(Side::Source, Cause::Cancelled)),
            Request::Force => return Ok(true),
            Request::Continue => {}
        }
        let elapsed = self.clock.now() - self.begin;
        if self.options.limit.is_none_or(|limit| elapsed < limit) {
            return Ok(false);
        }
        match self.options.at_limit {
            AtLimit::Force => Ok(true),
            AtLimit::Cancel => Err(self.fail(Side::Source, Cause::TimeLimit)),
        }
    }

    fn report(&mut self) {
        let now = self.clock.now();
        if self.last_report.is_some_and(|last| now - last < REPORTS) {
            return;
        }
        self.last_report = Some(now);
        let converges = match (self.dirty_rate, self.send_rate) {
            (Some(dirty), Some(send)) => Some(dirty < send || self.fits()),
            _ => None,
        };
        let progress = Progress {
            round: self.round.number,
            stopped: self.round.stopped,
            bytes: self.link.bytes(),
            left: self.left(),
            send_rate: self.send_rate,
            dirty_rate: self.dirty_rate,
            slowed: self.throttle.percent(),
            converges,
        };
        self.watch.progress(&progress);
    }

    /// Leaves everything as it has to be after this result.
    fn end(mut self, result: Result<(), Failure>) -> Result<Statistics, Failed> {
        let mut complaints = Vec::new();
        let mut note = |what: &str, result: io::Result<()>| {
            if let Err(error) = result {
                complaints.push(format!("could not {what}: {error}"));
            }
        };
        let held = self.writers.need_logs();
        #[cfg(test)]
        let held = held && self.options.mistake != Some(crate::tests::Mistake::LogsOffFirst);
        let keeps_logs = match &result {
            // They go with the regions.
            Ok(()) => held,
            Err(failure) => held && failure.kind() == Kind::AcknowledgementLost,
        };
        for region in (0..self.logging).filter(|_| !keeps_logs) {
            note("switch off a log", self.source.stop(region));
        }
        match &result {
            Ok(()) => note("free the objects at the source", self.source.release()),
            Err(failure) if failure.kind() == Kind::AcknowledgementLost => {}
            Err(failure) => {
                self.link.give_up(failure);
                note("let the writers run on", self.writers.slow(0));
                note("let the writers run on", self.writers.resume());
            }
        }
        self.statistics.slowed = self.throttle.percent();
        self.statistics.bytes = self.link.bytes();
        self.statistics.seconds = (self.clock.now() - self.begin).as_secs_f64();
        match result {
            Ok(()) => {
                self.statistics.warnings.extend(complaints);
                Ok(self.statistics)
            }
            Err(mut failure) => {
                failure.also.extend(complaints);
                Err(Failed {
                    failure,
                    statistics: Box::new(self.statistics),
                })
            }
        }
    }
}

/// Takes the pages of a word that were written to out of the discarded ones.
fn written(discarded: &mut Bitmap, dirty: &Bitmap, word: u64) {
    let (mut at, end) = (word * 64, (word + 1) * 64);
    while let Some(page) = dirty.next(at, end) {
        discarded.unset(page, page + 1);
        at = page + 1;
    }
}
