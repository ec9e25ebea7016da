// SPDX-License-Identifier: GPL-2.0-or-later

//! Sends pages: each chunk's log is cleared before any of its pages is read.

use crate::wire::Frame;
use crate::wire::MAX_CONTENT;
use crate::Cause;
use crate::Channel;
use crate::Clock;
use crate::Failure;
use crate::Request;
use crate::Side;
use crate::Source;
use crate::Writers;

use super::link::Extent;
use super::Pass;
use super::Sender;

impl<S: Source, W: Writers, C: Channel, K: Clock> Sender<'_, S, W, C, K> {
    /// Sends what is to be sent of all regions, once.
    pub(super) fn pass(&mut self, first: bool) -> Result<Pass, Failure> {
        for region in 0..self.plans.len() {
            if !first && self.plans[region].left().next(0, u64::MAX).is_none() {
                continue;
            }
            if self.send_empty(region)? {
                continue;
            }
            for chunk in 0..self.plans[region].chunks() {
                let (from, to) = self.plans[region].bounds(chunk);
                if !first && self.plans[region].left().next(from, to).is_none() {
                    continue;
                }
                #[cfg(test)]
                let clear = self.options.mistake != Some(crate::tests::Mistake::ReadBeforeClear);
                #[cfg(not(test))]
                let clear = true;
                if clear {
                    self.clear(region, chunk)?;
                }
                if first {
                    self.leave_out_discarded(region, from, to)?;
                }
                if self.send_chunk(region, chunk)? == Pass::Forced {
                    return Ok(Pass::Forced);
                }
            }
        }
        Ok(Pass::Complete)
    }

    /// Sends a region without content as such. Returns whether it has none.
    fn send_empty(&mut self, region: usize) -> Result<bool, Failure> {
        if self.has_content(region)? {
            return Ok(false);
        }
        // A write after the look has to be logged, so look again with the log cleared.
        for chunk in 0..self.plans[region].chunks() {
            self.clear(region, chunk)?;
        }
        if self.has_content(region)? {
            return Ok(false);
        }
        self.plans[region].done(0, u64::MAX);
        self.link.note(Extent {
            region,
            first: 0,
            count: self.plans[region].left().len(),
        });
        self.round.empty += 1;
        let number = region as u32;
        self.send(&Frame::Empty { region: number })?;
        Ok(true)
    }

    pub(super) fn has_content(&mut self, region: usize) -> Result<bool, Failure> {
        let what = format!("look at object {}", self.object(region));
        self.source.has_content(region).map_err(self.local(what))
    }

    /// Clears the chunk's log, if it has to be.
    fn clear(&mut self, region: usize, chunk: u64) -> Result<(), Failure> {
        let (from, to) = self.plans[region].bounds(chunk);
        let Some(mask) = self.plans[region].mask(chunk) else {
            return Ok(());
        };
        #[cfg(test)]
        let mask = &self.options.mask(mask, self.statistics.syncs);
        let what = format!("clear the log of object {}", self.object(region));
        self.source
            .clear(region, from, to - from, mask)
            .map_err(self.local(what))?;
        self.plans[region].cleared(chunk);
        self.statistics.clears += 1;
        Ok(())
    }

    /// Leaves pages out whose content no one uses. It is asked once their log is cleared, and so sees what was written
    /// to them before.
    fn leave_out_discarded(&mut self, region: usize, from: u64, to: u64) -> Result<(), Failure> {
        for page in from..to {
            let discarded = self.source.is_discarded(region, page);
            let discarded = discarded.map_err(|error| {
                let what = format!("ask for discarded pages of object {}", self.object(region));
                self.local(what)(error)
            })?;
            if discarded {
                self.plans[region].done(page, page + 1);
                self.discarded[region].set(page);
            }
        }
        Ok(())
    }

    fn send_chunk(&mut self, region: usize, chunk: u64) -> Result<Pass, Failure> {
        let most = (MAX_CONTENT / self.statistics.page_size as usize) as u64;
        let (from, to) = self.plans[region].bounds(chunk);
        let mut at = from;
        while let Some(first) = self.plans[region].left().next(at, to) {
            if self.tick()? == Pass::Forced {
                return Ok(Pass::Forced);
            }
            #[cfg(test)]
            if self.options.mistake == Some(crate::tests::Mistake::ReadBeforeClear) {
                let count = self.plans[region].left().run(first, most.min(to - first));
                self.read(region, first, count)?;
                self.clear(region, chunk)?;
                self.send_content(region, first)?;
                at = first + count;
                continue;
            }
            // A tick may have synced.
            self.clear(region, chunk)?;
            let count = self.plans[region].left().run(first, most.min(to - first));
            self.read(region, first, count)?;
            self.send_content(region, first)?;
            at = first + count;
        }
        Ok(Pass::Complete)
    }

    pub(super) fn read(&mut self, region: usize, first: u64, count: u64) -> Result<(), Failure> {
        let what = format!("read object {}", self.object(region));
        let length = count as usize * self.statistics.page_size as usize;
        self.content.resize(length, 0);
        self.source
            .read(region, first, &mut self.content)
            .map_err(self.local(what))?;
        #[cfg(test)]
        if self.options.mistake == Some(crate::tests::Mistake::SilentSender) {
            return Ok(());
        }
        self.link.alive(self.stage)
    }

    /// Sends the pages that were read, zeros as such.
    fn send_content(&mut self, region: usize, first: u64) -> Result<(), Failure> {
        let page_size = self.statistics.page_size as usize;
        let content = std::mem::take(&mut self.content);
        let mut page = first;
        let mut result = Ok(());
        #[cfg(test)]
        if self.options.mistake == Some(crate::tests::Mistake::DoneTooEarly) {
            let count = (content.len() / page_size) as u64;
            self.plans[region].done(first, first + count);
        }
        for (bytes, zero) in runs(&content, page_size) {
            let count = (bytes.len() / page_size) as u64;
            // One by one: what comes after a lost connection is still to send.
            self.plans[region].done(page, page + count);
            self.link.note(Extent {
                region,
                first: page,
                count,
            });
            let region = region as u32;
            let frame = if zero {
                self.round.zero_pages += count;
                Frame::Zeros {
                    region,
                    first: page,
                    count,
                }
            } else {
                Frame::Pages {
                    region,
                    first: page,
                    bytes,
                }
            };
            self.round.pages += count;
            page += count;
            result = self.send(&frame);
            if result.is_err() {
                break;
            }
        }
        self.content = content;
        result?;
        if self.link.is_unsure() {
            self.marked()?;
            self.link.all_came();
        }
        self.wait()
    }

    /// Waits until the receiver has taken everything.
    pub(super) fn marked(&mut self) -> Result<(), Failure> {
        self.send(&Frame::Mark)?;
        let expected = |frame: &Frame<'_>| (*frame == Frame::Marked).then_some(());
        self.link.expect(self.stage, expected)
    }

    /// Keeps the bandwidth limit.
    fn wait(&mut self) -> Result<(), Failure> {
        while self.link.pause(self.stage)? {
            if self.watch.request() == Request::Cancel {
                return Err(self.fail(Side::Source, Cause::Cancelled));
            }
        }
        Ok(())
    }
}

/// Splits pages into runs of zeros and others.
fn runs(content: &[u8], page_size: usize) -> Vec<(&[u8], bool)> {
    let mut runs = Vec::new();
    let mut from = 0;
    let mut kind = None;
    for (index, page) in content.chunks(page_size).enumerate() {
        let zero = page.iter().all(|byte| *byte == 0);
        if let Some(before) = kind.filter(|kind| *kind != zero) {
            runs.push((&content[from..index * page_size], before));
            from = index * page_size;
        }
        kind = Some(zero);
    }
    if let Some(kind) = kind {
        runs.push((&content[from..], kind));
    }
    runs
}
