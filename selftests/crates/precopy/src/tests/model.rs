// SPDX-License-Identifier: GPL-2.0-or-later

//! A world of its own: memory with a dirty log, writers, a connection, a receiver and time, all in one thread, so that
//! a seed says everything that happens.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use reeve_uapi::pattern::mix;

use crate::Bitmap;
use crate::Clock;
use crate::LogMode;
use crate::Progress;
use crate::Region;
use crate::Request;
use crate::Sink;
use crate::Source;
use crate::Watch;
use crate::Writers;

/// Pages are small, so that many can be moved.
pub(super) const PAGE: usize = 64;

/// What writers do between two calls of the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// In so many of 256 steps something is written.
    pub(super) often: u8,
    /// Up to so many pages.
    pub(super) pages: u8,
    /// In so many of 256 writes a region loses its content.
    pub(super) purges: u8,
}

impl Load {
    pub(super) const NONE: Self = Self {
        often: 0,
        pages: 1,
        purges: 0,
    };
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Start,
    Get,
    Clear,
    Read,
    Look,
    Send,
    Answer,
    Create,
    Write,
    Keep,
    Stop,
    Connect,
}

pub(super) struct Memory {
    pub(super) pages: Vec<u64>,
    pub(super) content: bool,
    pub(super) discarded: Vec<bool>,
    pub(super) log: Option<Log>,
    /// Nothing writes to it.
    pub(super) fenced: bool,
}

pub(super) struct Log {
    mode: LogMode,
    bits: Bitmap,
    /// The bits that a get has handed out, or that a fresh log was born with.
    known: Bitmap,
    got: bool,
}

/// Everything there is.
pub(super) struct World {
    seed: u64,
    load: Load,
    pub(super) regions: Vec<Memory>,
    described: Vec<Region>,
    mode: LogMode,
    pub(super) running: bool,
    /// Writers are held back by fences, and run.
    pub(super) fences: bool,
    pub(super) slowed: u8,
    pub(super) now: Duration,
    /// Bytes a second.
    pub(super) rate: u64,
    /// Pages that were cleared though they had not been synced.
    pub(super) unsynced: Vec<u64>,
    pub(super) released: bool,
    pub(super) copies: Vec<Memory>,
    pub(super) kept: bool,
    pub(super) discards: u32,
    /// Which call fails, and after how many that succeed.
    pub(super) fail: Option<(Call, u64)>,
    pub(super) calls: u64,
    /// Reads of the source.
    pub(super) reads: u64,
    pub(super) zeros_ignored: bool,
    /// So many frames are on their way before the receiver takes them.
    pub(super) lag: usize,
    /// The connection is cut so many times more, each time in one of so many of 256 cases.
    pub(super) cuts: u32,
    pub(super) often_cut: u8,
    /// How long a read takes: of the source's pages, and of each page of the copy.
    pub(super) slow: [Duration; 2],
    /// The connection has room for so many bytes; a writer waits until a quarter of that is left.
    pub(super) room: Option<usize>,
    /// Since when the sender, and the receiver, were not heard by the other side if that waited.
    pub(super) heard: [Duration; 2],
    /// The sender waits.
    pub(super) waits: bool,
    /// The longest that either side waited without hearing anything.
    pub(super) silence: Duration,
    /// Both sides had it at once.
    pub(super) twice: bool,
    /// The source was freed before the receiver had it.
    pub(super) early: bool,
}

pub(super) type Shared = Rc<RefCell<World>>;

impl World {
    pub(super) fn new(seed: u64, sizes: &[u64], mode: LogMode, load: Load) -> Shared {
        let mut world = Self {
            seed,
            load,
            regions: Vec::new(),
            described: Vec::new(),
            mode,
            running: true,
            fences: false,
            slowed: 0,
            now: Duration::ZERO,
            rate: 1 << 20,
            unsynced: Vec::new(),
            released: false,
            copies: Vec::new(),
            kept: false,
            discards: 0,
            fail: None,
            calls: 0,
            reads: 0,
            zeros_ignored: false,
            lag: 0,
            cuts: 0,
            often_cut: 0,
            slow: [Duration::ZERO; 2],
            room: None,
            heard: [Duration::ZERO; 2],
            waits: false,
            silence: Duration::ZERO,
            twice: false,
            early: false,
        };
        for (index, pages) in sizes.iter().enumerate() {
            world.described.push(Region {
                id: index as u32 + 10,
                size: pages * PAGE as u64 - (index as u64 % 2) * 5,
                kind: 0,
                caching: 0,
                flags: 0,
                device: 0,
                extra_pages: 0,
            });
            let content = world.random() % 5 != 0;
            let mut pages: Vec<u64> = (0..*pages).map(|_| world.value()).collect();
            let mut discarded = vec![false; pages.len()];
            if !content {
                pages.fill(0);
            } else if world.random() % 2 == 0 {
                for discarded in &mut discarded {
                    *discarded = world.random() % 7 == 0;
                }
            }
            world.regions.push(Memory {
                pages,
                content,
                discarded,
                log: None,
                fenced: false,
            });
        }
        Rc::new(RefCell::new(world))
    }

    pub(super) fn random(&mut self) -> u64 {
        self.seed = mix(self.seed);
        self.seed
    }

    /// What is written: zeros are frequent.
    fn value(&mut self) -> u64 {
        let value = self.random();
        if value % 3 == 0 {
            0
        } else {
            value
        }
    }

    /// Fails if it is this call's turn; else lets the writers write.
    pub(super) fn step(&mut self, call: Call) -> io::Result<()> {
        if let Some((which, after)) = &mut self.fail {
            if *which == call {
                if *after == 0 {
                    self.fail = None;
                    return Err(io::Error::other(format!("{call:?} fails")));
                }
                *after -= 1;
            }
        }
        self.calls += 1;
        self.write();
        Ok(())
    }

    /// The sender, or the receiver, is heard by the other side, which waited.
    pub(super) fn hear(&mut self, side: usize) {
        self.silence = self.silence.max(self.now - self.heard[side]);
        self.heard[side] = self.now;
    }

    /// Returns whether the connection is cut now.
    pub(super) fn cut(&mut self) -> bool {
        if self.cuts == 0 || self.random() % 256 >= u64::from(self.often_cut) {
            return false;
        }
        self.cuts -= 1;
        true
    }

    pub(super) fn write(&mut self) {
        let chance = self.random();
        let slow = self.slowed as u64 * 256 / 100;
        if !self.running || chance % 256 >= u64::from(self.load.often) || (chance >> 8) % 256 < slow
        {
            return;
        }
        for _ in 0..=self.random() % u64::from(self.load.pages) {
            let region = (self.random() % self.regions.len() as u64) as usize;
            if self.regions[region].fenced || self.released {
                continue;
            }
            if self.random() % 256 < u64::from(self.load.purges) {
                self.purge(region);
                continue;
            }
            let value = self.value();
            let page = self.random() % self.regions[region].pages.len() as u64;
            self.store(region, page, value);
        }
    }

    /// Returns whether something could be written to a region: the writers run, and it is there and has no fence.
    pub(super) fn may_write(&self) -> bool {
        self.running && !self.released && self.regions.iter().any(|region| !region.fenced)
    }

    /// Notes whether both sides have it.
    fn look(&mut self) {
        self.twice |= self.kept && self.may_write();
    }

    /// A write to a page.
    pub(super) fn store(&mut self, region: usize, page: u64, value: u64) {
        let memory = &mut self.regions[region];
        memory.pages[page as usize] = value;
        memory.content = true;
        memory.discarded[page as usize] = false;
        if let Some(log) = &mut memory.log {
            log.bits.set(page);
        }
    }

    /// The region's content goes.
    fn purge(&mut self, region: usize) {
        let memory = &mut self.regions[region];
        memory.pages.fill(0);
        memory.content = false;
        memory.discarded.fill(false);
        if let Some(log) = &mut memory.log {
            log.bits.fill_with(|words| words.fill(!0));
        }
    }

    /// Returns the first page whose copy is not the page. What is discarded now has no content.
    pub(super) fn difference(&self) -> Option<(usize, usize)> {
        for (region, (memory, copy)) in self.regions.iter().zip(&self.copies).enumerate() {
            if memory.content != copy.content && !memory.content {
                return Some((region, 0));
            }
            for page in 0..memory.pages.len() {
                if memory.pages[page] != copy.pages[page] && !memory.discarded[page] {
                    return Some((region, page));
                }
            }
        }
        None
    }
}

fn fill(values: &[u64], to: &mut [u8]) {
    for (value, page) in values.iter().zip(to.chunks_exact_mut(PAGE)) {
        for word in page.chunks_exact_mut(8) {
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
}

pub(super) struct ModelSource(Shared, Vec<Region>);

impl ModelSource {
    pub(super) fn new(world: &Shared) -> Self {
        let described = world.borrow().described.clone();
        Self(world.clone(), described)
    }
}

impl Source for ModelSource {
    fn page_size(&self) -> u32 {
        PAGE as u32
    }

    fn regions(&self) -> &[Region] {
        &self.1
    }

    fn start(&mut self, region: usize) -> io::Result<LogMode> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Start)?;
        let mode = world.mode;
        let memory = &mut world.regions[region];
        assert!(memory.log.is_none(), "a log is left over");
        let pages = memory.pages.len() as u64;
        memory.log = Some(Log {
            mode,
            bits: match mode {
                LogMode::InitiallySet => Bitmap::ones(pages)?,
                _ => Bitmap::zeros(pages)?,
            },
            known: Bitmap::ones(pages)?,
            got: false,
        });
        Ok(mode)
    }

    fn stop(&mut self, region: usize) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let memory = &mut world.regions[region];
        memory.log = None;
        // It goes with its log.
        memory.fenced = false;
        world.look();
        world.write();
        Ok(())
    }

    fn get(&mut self, region: usize, bitmap: &mut Bitmap) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Get)?;
        let log = world.regions[region].log.as_mut().expect("it logs");
        bitmap.clone_from(&log.bits);
        if !log.got {
            log.known.fill_with(|words| words.fill(0));
        }
        log.got = true;
        log.known.merge(bitmap);
        if log.mode == LogMode::Legacy {
            log.bits.fill_with(|words| words.fill(0));
        }
        world.write();
        Ok(())
    }

    fn clear(&mut self, region: usize, first: u64, pages: u64, mask: &[u64]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Clear)?;
        let world = &mut *world;
        let length = world.regions[region].pages.len() as u64;
        assert!(first % 64 == 0 && first + pages <= length);
        assert!(pages % 64 == 0 || first + pages == length);
        let log = world.regions[region].log.as_mut().expect("it logs");
        for page in first..first + pages {
            let offset = page - first;
            if mask[(offset / 64) as usize] >> (offset % 64) & 1 == 0 {
                continue;
            }
            if log.bits.get(page) && !log.known.get(page) {
                world.unsynced.push(page);
            }
            log.bits.unset(page, page + 1);
            log.known.unset(page, page + 1);
        }
        world.write();
        Ok(())
    }

    fn read(&mut self, region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Read)?;
        world.reads += 1;
        let slow = world.slow[0];
        world.now += slow;
        let memory = &mut world.regions[region];
        memory.content = true;
        fill(&memory.pages[first as usize..], to);
        world.write();
        Ok(())
    }

    fn has_content(&mut self, region: usize) -> io::Result<bool> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Look)?;
        let content = world.regions[region].content;
        world.write();
        Ok(content)
    }

    fn is_discarded(&mut self, region: usize, page: u64) -> io::Result<bool> {
        Ok(self.0.borrow().regions[region].discarded[page as usize])
    }

    fn release(&mut self) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.look();
        world.released = true;
        world.early |= !world.kept;
        for region in &mut world.regions {
            region.log = None;
            region.fenced = false;
        }
        Ok(())
    }
}

pub(super) struct ModelWriters(pub(super) Shared);

impl Writers for ModelWriters {
    fn stop(&mut self) -> io::Result<()> {
        if !self.0.borrow().fences {
            let mut world = self.0.borrow_mut();
            world.step(Call::Stop)?;
            world.running = false;
            return Ok(());
        }
        // One after the other, with writes to those that have none yet.
        let regions = self.0.borrow().regions.len();
        for region in 0..regions {
            let mut world = self.0.borrow_mut();
            world.step(Call::Stop)?;
            assert!(world.regions[region].log.is_some(), "a fence without a log");
            world.regions[region].fenced = true;
        }
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.running = true;
        for region in &mut world.regions {
            region.fenced = false;
        }
        world.look();
        Ok(())
    }

    fn need_logs(&self) -> bool {
        self.0.borrow().fences
    }

    fn slow(&mut self, percent: u8) -> io::Result<()> {
        self.0.borrow_mut().slowed = percent;
        Ok(())
    }
}

pub(super) struct ModelClock(pub(super) Shared);

impl Clock for ModelClock {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn sleep(&self, time: Duration) {
        let mut world = self.0.borrow_mut();
        world.now += time;
        world.write();
    }
}

pub(super) struct ModelSink(pub(super) Shared);

impl Sink for ModelSink {
    fn page_size(&self) -> u32 {
        PAGE as u32
    }

    fn create(&mut self, region: &Region) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Create)?;
        let pages = region.pages(PAGE as u32) as usize;
        world.copies.push(Memory {
            pages: vec![0; pages],
            content: false,
            discarded: vec![false; pages],
            log: None,
            fenced: false,
        });
        Ok(())
    }

    fn write(&mut self, region: usize, first: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Write)?;
        if world.zeros_ignored && bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let copy = &mut world.copies[region];
        copy.content = true;
        for (page, bytes) in copy.pages[first as usize..]
            .iter_mut()
            .zip(bytes.chunks_exact(PAGE))
        {
            *page = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        }
        Ok(())
    }

    fn empty(&mut self, region: usize) -> io::Result<()> {
        let copy = &mut self.0.borrow_mut().copies[region];
        copy.pages.fill(0);
        copy.content = false;
        Ok(())
    }

    fn has_content(&mut self, region: usize) -> io::Result<bool> {
        Ok(self.0.borrow().copies[region].content)
    }

    fn read(&mut self, region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let slow = world.slow[1];
        world.now += slow;
        fill(&world.copies[region].pages[first as usize..], to);
        Ok(())
    }

    fn keep(&mut self) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.step(Call::Keep)?;
        world.kept = true;
        world.look();
        Ok(())
    }

    fn discard(&mut self) {
        let mut world = self.0.borrow_mut();
        world.discards += 1;
        world.copies.clear();
    }
}

/// A user who wants something from a number of requests on.
#[derive(Clone, Copy)]
pub(super) struct User {
    pub(super) after: u64,
    pub(super) wants: Request,
}

impl User {
    pub(super) const CONTENT: Self = Self {
        after: u64::MAX,
        wants: Request::Continue,
    };
}

impl Watch for User {
    fn request(&mut self) -> Request {
        match self.after {
            0 => self.wants,
            _ => {
                self.after -= 1;
                Request::Continue
            }
        }
    }

    fn progress(&mut self, _progress: &Progress) {}
}
