// SPDX-License-Identifier: GPL-2.0-or-later

//! The pre-copy engine with KVM's dirty log as its source: the memory of a virtual machine moves while the machine's
//! processor writes to it.

use std::cell::Cell;
use std::io;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use reeve_precopy::receive;
use reeve_precopy::send;
use reeve_precopy::Bitmap;
use reeve_precopy::Failed;
use reeve_precopy::FirstSync;
use reeve_precopy::Kind;
use reeve_precopy::Limits;
use reeve_precopy::LogMode;
use reeve_precopy::Monotonic;
use reeve_precopy::Options;
use reeve_precopy::Progress;
use reeve_precopy::Region;
use reeve_precopy::Request;
use reeve_precopy::Sink;
use reeve_precopy::Socket;
use reeve_precopy::Source;
use reeve_precopy::Statistics;
use reeve_precopy::Watch;
use reeve_precopy::Writers;
use reeve_precopy::SILENCE;

use super::dirty_log::INITIALLY_SET;
use super::dirty_log::LEGACY;
use super::dirty_log::MANUAL;
use crate::kvm::Guest;
use crate::random::Random;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

cases!("precopy";
    memory_of_kvm_moves_while_its_guest_writes,
    memory_of_kvm_stays_after_a_cancel,
);

/// Not a multiple of 64.
const PAGES: u64 = 450;

/// The memory of a virtual machine. Its processor runs between two calls of the engine.
struct Kvm<'a> {
    guest: &'a Guest<'a>,
    mode: u32,
    regions: Vec<Region>,
    running: &'a Cell<bool>,
    random: Random,
    writes: u64,
    released: bool,
}

impl<'a> Kvm<'a> {
    fn new(guest: &'a Guest<'a>, mode: u32, running: &'a Cell<bool>) -> Self {
        Self {
            guest,
            mode,
            regions: vec![Region {
                id: 1,
                size: PAGES * PAGE,
                kind: 0,
                caching: 0,
                flags: 0,
                device: 0,
                extra_pages: 0,
            }],
            running,
            random: Random::new(1),
            writes: 0,
            released: false,
        }
    }

    /// Lets the processor write to some pages, unless it is stopped.
    fn run(&mut self) -> io::Result<()> {
        for _ in 0..3 {
            if self.running.get() {
                self.writes += 1;
                let page = self.random.below(PAGES);
                let stored = self.guest.write(page, self.writes as u8 | 1);
                stored.map_err(|stop| io::Error::other(format!("{stop:?}")))?;
            }
        }
        Ok(())
    }
}

impl Source for Kvm<'_> {
    fn page_size(&self) -> u32 {
        PAGE as u32
    }

    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn start(&mut self, _region: usize) -> io::Result<LogMode> {
        self.guest.set_mode(self.mode.into(), 0)?;
        self.guest.log(true)?;
        self.run()?;
        Ok(match self.mode {
            LEGACY => LogMode::Legacy,
            MANUAL => LogMode::Manual,
            _ => LogMode::InitiallySet,
        })
    }

    fn stop(&mut self, _region: usize) -> io::Result<()> {
        self.guest.log(false)
    }

    fn get(&mut self, _region: usize, bitmap: &mut Bitmap) -> io::Result<()> {
        self.run()?;
        let words = self.guest.get(None)?;
        bitmap.fill_with(|to| to.copy_from_slice(&words));
        self.run()
    }

    fn clear(&mut self, _region: usize, first: u64, pages: u64, mask: &[u64]) -> io::Result<()> {
        self.run()?;
        self.guest.clear(None, first, pages as u32, Some(mask))?;
        self.run()
    }

    fn read(&mut self, _region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        self.guest.read(first, to);
        self.run()
    }

    fn has_content(&mut self, _region: usize) -> io::Result<bool> {
        Ok(true)
    }

    fn release(&mut self) -> io::Result<()> {
        self.released = true;
        Ok(())
    }
}

/// The virtual machine's processor, which runs as long as the flag says so.
struct Processor<'a>(&'a Cell<bool>);

impl Writers for Processor<'_> {
    fn stop(&mut self) -> io::Result<()> {
        self.0.set(false);
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        self.0.set(true);
        Ok(())
    }

    fn slow(&mut self, _percent: u8) -> io::Result<()> {
        Ok(())
    }
}

/// The copy, in memory of this process.
#[derive(Default)]
struct Copy {
    bytes: Vec<u8>,
    kept: bool,
}

impl Sink for Copy {
    fn page_size(&self) -> u32 {
        PAGE as u32
    }

    fn create(&mut self, region: &Region) -> io::Result<()> {
        self.bytes = vec![0xff; region.size as usize];
        Ok(())
    }

    fn write(&mut self, _region: usize, first: u64, bytes: &[u8]) -> io::Result<()> {
        self.bytes[(first * PAGE) as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn empty(&mut self, _region: usize) -> io::Result<()> {
        self.bytes.fill(0);
        Ok(())
    }

    fn has_content(&mut self, _region: usize) -> io::Result<bool> {
        Ok(true)
    }

    fn read(&mut self, _region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        to.copy_from_slice(&self.bytes[(first * PAGE) as usize..][..to.len()]);
        Ok(())
    }

    fn keep(&mut self) -> io::Result<()> {
        self.kept = true;
        Ok(())
    }

    fn discard(&mut self) {
        self.bytes.clear();
    }
}

/// A user who wants something from a number of requests on.
struct User {
    after: u64,
    wants: Request,
}

impl User {
    /// Has the processor stopped after some rounds. The number of requests does not depend on how fast the machine is.
    const fn patient() -> Self {
        Self {
            after: 60,
            wants: Request::Force,
        }
    }
}

impl Watch for User {
    fn request(&mut self) -> Request {
        self.after = self.after.saturating_sub(1);
        match self.after {
            0 => self.wants,
            _ => Request::Continue,
        }
    }

    fn progress(&mut self, _progress: &Progress) {}
}

/// Moves the memory. Returns how that ended, and the copy.
fn moved(
    source: &mut Kvm<'_>,
    options: &Options,
    mut user: User,
) -> Outcome<(Result<Statistics, Failed>, Copy)> {
    let (near, far) = UnixStream::pair()?;
    let mut near = Socket::unix(near, SILENCE)?;
    let mut far = Socket::unix(far, SILENCE)?;
    let mut processor = Processor(source.running);
    thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut copy = Copy::default();
            // How it ended is what the sender says, too.
            let _ = receive(&mut copy, &mut far, &Limits::default());
            copy
        });
        let clock = Monotonic::new();
        let sent = send(
            source,
            &mut processor,
            &mut near,
            &clock,
            options,
            &mut user,
        );
        drop(near);
        let copy = receiver.join().map_err(|_| Stop::failed("it panicked"))?;
        Ok((sent, copy))
    })
}

/// Small chunks, and rounds until the user has enough of them.
fn options() -> Options {
    Options {
        clear_shift: 6,
        downtime: Duration::ZERO,
        ..Options::default()
    }
}

/// The log is off, the copy is what the memory is.
fn arrived(source: &Kvm<'_>, sent: Result<Statistics, Failed>, copy: &Copy) -> Outcome<Statistics> {
    let statistics = sent.map_err(|failed| Stop::failed(failed.to_string()))?;
    check!(source.released && copy.kept && !source.running.get());
    let mut memory = vec![0; copy.bytes.len()];
    source.guest.read(0, &mut memory);
    for (page, (found, expected)) in copy
        .bytes
        .chunks(PAGE as usize)
        .zip(memory.chunks(PAGE as usize))
        .enumerate()
    {
        check!(found == expected, "page {page}");
    }
    is_off(source)?;
    Ok(statistics)
}

fn is_off(source: &Kvm<'_>) -> Outcome {
    match source.guest.get(None) {
        Err(err) if errno(&err) == Errno::ENOENT => Ok(()),
        other => Err(Stop::failed(format!("the log is on: {other:?}"))),
    }
}

fn memory_of_kvm_moves_while_its_guest_writes() -> Outcome {
    for mode in [INITIALLY_SET, MANUAL, LEGACY] {
        for first_sync in [FirstSync::Auto, FirstSync::Never, FirstSync::Always] {
            let guest = Guest::new(PAGES)?;
            let running = Cell::new(true);
            let mut source = Kvm::new(&guest, mode, &running);
            let options = Options {
                first_sync,
                ..options()
            };
            let (sent, copy) = moved(&mut source, &options, User::patient())?;
            let statistics = arrived(&source, sent, &copy)?;
            let skipped = match first_sync {
                FirstSync::Auto => mode == INITIALLY_SET,
                FirstSync::Never => true,
                FirstSync::Always => false,
            };
            check_eq!(statistics.first_sync_skipped, skipped, "mode {mode}");
            check!(source.writes > 20, "{} writes", source.writes);
        }
    }
    Ok(())
}

fn memory_of_kvm_stays_after_a_cancel() -> Outcome {
    let guest = Guest::new(PAGES)?;
    let running = Cell::new(true);
    let mut source = Kvm::new(&guest, INITIALLY_SET, &running);
    let cancels = User {
        after: 4,
        wants: Request::Cancel,
    };
    let (sent, copy) = moved(&mut source, &options(), cancels)?;
    let failed = sent.err().ok_or_else(|| Stop::failed("it moved"))?;
    check_eq!(failed.failure.kind(), Kind::Cancelled, "{failed}");
    check!(running.get() && !source.released && !copy.kept && copy.bytes.is_empty());
    is_off(&source)?;
    let (sent, copy) = moved(&mut source, &options(), User::patient())?;
    arrived(&source, sent, &copy).map(drop)
}
