// SPDX-License-Identifier: GPL-2.0-or-later

//! A migration of a model, whose writers are as fast as is asked: how many pages are sent, and how many had to be.

use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use reeve_precopy::receive;
use reeve_precopy::send;
use reeve_precopy::Bitmap;
use reeve_precopy::Clock;
use reeve_precopy::Limits;
use reeve_precopy::LogMode;
use reeve_precopy::Options;
use reeve_precopy::Region;
use reeve_precopy::Sink;
use reeve_precopy::Socket;
use reeve_precopy::Source;
use reeve_precopy::Writers;
use reeve_uapi::pattern::mix;

use super::figure;
use super::Patient;
use super::Result;

/// Small pages, so that many are soon moved.
const PAGE: usize = 64;

/// Several chunks.
const PAGES: u64 = 1 << 18;

/// The time that a page takes.
const TIME: Duration = Duration::from_micros(10);

/// What is behind the source, the writers and the clock.
struct World {
    /// How often each page was written to, and how often when it was sent last.
    versions: Vec<u32>,
    sent: Vec<Option<u32>>,
    log: Vec<u64>,
    /// Of 100 pages that are sent, so many are written to meanwhile.
    percent: u64,
    running: bool,
    numbers: u64,
    reads: u64,
    stale: u64,
}

impl World {
    fn write_some(&mut self) {
        self.numbers += 1;
        let number = mix(self.numbers);
        if self.running && number % 100 < self.percent {
            let page = (mix(number) % PAGES) as usize;
            self.versions[page] += 1;
            self.log[page / 64] |= 1 << (page % 64);
        }
    }
}

struct Model {
    world: Rc<RefCell<World>>,
    now: Rc<Cell<Duration>>,
    regions: Vec<Region>,
}

impl Source for Model {
    fn page_size(&self) -> u32 {
        PAGE as u32
    }

    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn start(&mut self, _region: usize) -> io::Result<LogMode> {
        self.world.borrow_mut().log.fill(u64::MAX);
        Ok(LogMode::InitiallySet)
    }

    fn stop(&mut self, _region: usize) -> io::Result<()> {
        Ok(())
    }

    fn get(&mut self, _region: usize, bitmap: &mut Bitmap) -> io::Result<()> {
        let world = self.world.borrow();
        bitmap.fill_with(|words| words.copy_from_slice(&world.log));
        Ok(())
    }

    fn clear(&mut self, _region: usize, first: u64, pages: u64, mask: &[u64]) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let words = (first / 64) as usize..(first + pages).div_ceil(64) as usize;
        for (word, mask) in world.log[words].iter_mut().zip(mask) {
            *word &= !mask;
        }
        Ok(())
    }

    fn read(&mut self, _region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        for (page, bytes) in (first as usize..).zip(to.chunks_mut(PAGE)) {
            let version = world.versions[page];
            // None is a page of zeros.
            bytes.fill(1);
            bytes[..4].copy_from_slice(&version.to_le_bytes());
            // Also what the comparison reads, of which nothing is stale.
            world.reads += 1;
            world.stale += u64::from(world.sent[page] != Some(version));
            world.sent[page] = Some(version);
        }
        for _ in to.chunks(PAGE) {
            self.now.set(self.now.get() + TIME);
            world.write_some();
        }
        Ok(())
    }

    fn has_content(&mut self, _region: usize) -> io::Result<bool> {
        Ok(true)
    }

    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Stopped(Rc<RefCell<World>>);

impl Writers for Stopped {
    fn stop(&mut self) -> io::Result<()> {
        self.0.borrow_mut().running = false;
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        self.0.borrow_mut().running = true;
        Ok(())
    }

    fn slow(&mut self, _percent: u8) -> io::Result<()> {
        Ok(())
    }
}

/// Time is what pages take.
struct Time(Rc<Cell<Duration>>);

impl Clock for Time {
    fn now(&self) -> Duration {
        self.0.get()
    }

    fn sleep(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

/// The copy.
#[derive(Default)]
struct Copy(Vec<u8>);

impl Sink for Copy {
    fn page_size(&self) -> u32 {
        PAGE as u32
    }

    fn create(&mut self, region: &Region) -> io::Result<()> {
        self.0 = vec![0; region.size as usize];
        Ok(())
    }

    fn write(&mut self, _region: usize, first: u64, bytes: &[u8]) -> io::Result<()> {
        self.0[first as usize * PAGE..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn empty(&mut self, _region: usize) -> io::Result<()> {
        self.0.fill(0);
        Ok(())
    }

    fn has_content(&mut self, _region: usize) -> io::Result<bool> {
        Ok(true)
    }

    fn read(&mut self, _region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        to.copy_from_slice(&self.0[first as usize * PAGE..][..to.len()]);
        Ok(())
    }

    fn keep(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&mut self) {}
}

/// `migrate.busy.*`: pages sent while so many percent of the send rate are made dirty; of these, pages that were stale at
/// the receiver when their turn came.
pub(super) fn busy(percent: u64) -> Result {
    let world = Rc::new(RefCell::new(World {
        versions: vec![0; PAGES as usize],
        sent: vec![None; PAGES as usize],
        log: vec![0; PAGES as usize / 64],
        percent,
        running: true,
        numbers: percent,
        reads: 0,
        stale: 0,
    }));
    let now = Rc::new(Cell::new(Duration::ZERO));
    let mut model = Model {
        world: world.clone(),
        now: now.clone(),
        regions: vec![Region {
            id: 1,
            size: PAGES * PAGE as u64,
            kind: 0,
            caching: 0,
            flags: 0,
            device: 0,
            extra_pages: 0,
        }],
    };
    let (near, far) = UnixStream::pair()?;
    let mut near = Socket::unix(near, Duration::from_secs(60))?;
    let mut far = Socket::unix(far, Duration::from_secs(60))?;
    let receiver =
        thread::spawn(move || receive(&mut Copy::default(), &mut far, &Limits::default()));
    let options = Options {
        downtime: Duration::from_millis(10),
        ..Options::default()
    };
    let sent = send(
        &mut model,
        &mut Stopped(world.clone()),
        &mut near,
        &Time(now),
        &options,
        &mut Patient,
    );
    receiver.join().map_err(|_| "the receiver panicked")??;
    let pages: u64 = sent?.rounds.iter().map(|round| round.pages).sum();
    let world = world.borrow();
    // Everything was read once more for the comparison.
    assert_eq!(world.reads, pages + PAGES);
    figure(&format!("migrate.busy.{percent}"), pages, 1);
    figure(&format!("peer.busy.{percent}"), world.stale, 1);
    Ok(())
}
