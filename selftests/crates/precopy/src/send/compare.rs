// SPDX-License-Identifier: GPL-2.0-or-later

//! The end of a migration: both sides compare what they have, and the source gives it away.

use std::io;

use crate::wire::sum;
use crate::wire::Frame;
use crate::wire::MAX_CONTENT;
use crate::wire::SUM;
use crate::Cause;
use crate::Channel;
use crate::Clock;
use crate::Failure;
use crate::Request;
use crate::Side;
use crate::Source;
use crate::Stage;
use crate::Writers;

use super::Sender;

/// The most pages whose checksums are in a frame.
#[cfg(not(test))]
const SUMS: usize = 1024;
#[cfg(test)]
const SUMS: usize = 8192;

/// The most frames of them that the receiver may not have taken yet. One that reads slowly would else take nothing out of
/// a full connection for so long that it seems dead.
#[cfg(not(test))]
const AHEAD: usize = 8;
#[cfg(test)]
const AHEAD: usize = 2;

impl<S: Source, W: Writers, C: Channel, K: Clock> Sender<'_, S, W, C, K> {
    /// Has the receiver compare every page with its copy.
    pub(super) fn compare(&mut self) -> Result<(), Failure> {
        self.stage = Stage::Compare;
        let page_size = self.statistics.page_size as usize;
        let most = (MAX_CONTENT / page_size) as u64;
        let mut sums = Vec::new();
        let mut ahead = 0;
        for region in 0..self.plans.len() {
            let number = region as u32;
            if !self.has_content(region)? {
                self.send(&Frame::StillEmpty { region: number })?;
                continue;
            }
            let pages = self.discarded[region].len();
            let mut first = 0;
            while first < pages {
                if self.watch.request() == Request::Cancel {
                    return Err(self.fail(Side::Source, Cause::Cancelled));
                }
                let skipped = self.discarded[region].run(first, pages - first);
                if skipped > 0 {
                    self.send(&Frame::Skip {
                        region: number,
                        first,
                        count: skipped,
                    })?;
                    first += skipped;
                    continue;
                }
                let end = self.discarded[region].next(first, pages).unwrap_or(pages);
                let begin = first;
                sums.clear();
                while first < end && sums.len() < SUMS * SUM {
                    let room = (SUMS - sums.len() / SUM) as u64;
                    let count = most.min(end - first).min(room);
                    self.read(region, first, count)?;
                    for page in self.content.chunks(page_size) {
                        sums.extend_from_slice(&sum(page));
                    }
                    first += count;
                }
                self.send(&Frame::Sums {
                    region: number,
                    first: begin,
                    sums: &sums,
                })?;
                ahead += 1;
                #[cfg(test)]
                if self.options.mistake == Some(crate::tests::Mistake::TooFarAhead) {
                    continue;
                }
                if ahead == AHEAD {
                    self.marked()?;
                    ahead = 0;
                }
            }
        }
        self.send(&Frame::Compare)?;
        let differing = self.link.expect(self.stage, |frame| match frame {
            Frame::Equal => Some(None),
            Frame::Differs { region, page } => Some(Some((*region, *page))),
            _ => None,
        })?;
        match differing {
            None => Ok(()),
            Some((region, page)) => {
                let region = self.source.regions().get(region as usize);
                let region = region.map_or(0, |region| region.id);
                Err(self.fail(Side::Receiver, Cause::Mismatch { region, page }))
            }
        }
    }

    /// Gives the regions away. From the moment that the receiver may have read the frame, they may be its.
    pub(super) fn hand_over(&mut self) -> Result<(), Failure> {
        if self.watch.request() == Request::Cancel {
            return Err(self.fail(Side::Source, Cause::Cancelled));
        }
        self.send(&Frame::HandOver)?;
        self.stage = Stage::HandOver;
        let answer = self.link.expect(self.stage, |frame| {
            (*frame == Frame::Acknowledge).then_some(())
        });
        answer.map_err(|failure| match failure.cause {
            Cause::Lost(error) => self.fail(Side::Link, Cause::NoAcknowledgement(error)),
            // It answers, but not so that it could be understood.
            Cause::Protocol(text) => self.fail(
                Side::Receiver,
                Cause::NoAcknowledgement(io::Error::other(text)),
            ),
            // It says that it does not take them.
            cause => self.fail(failure.side, cause),
        })?;
        self.statistics.moved = true;
        self.statistics.downtime_seconds = self
            .stopping
            .map(|since| (self.clock.now() - since).as_secs_f64());
        Ok(())
    }
}
