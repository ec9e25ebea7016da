// SPDX-License-Identifier: GPL-2.0-or-later

//! What the dirty log and a migration cost, next to what the kernel has for other memory; a part of `make bench`.
//!
//! A line is `bench NAME TICKS OPERATIONS`, as of the module's own measurements. A tick of the time stamp counter is an
//! instruction there. Names that begin with `peer.` are those of the peers.

mod model;
mod peer;

use std::error::Error;
use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use reeve_precopy::receive;
use reeve_precopy::reeve::ReeveSink;
use reeve_precopy::reeve::ReeveSource;
use reeve_precopy::send;
use reeve_precopy::writers::NoWriters;
use reeve_precopy::FirstSync;
use reeve_precopy::Limits;
use reeve_precopy::Monotonic;
use reeve_precopy::Options;
use reeve_precopy::Progress;
use reeve_precopy::Request;
use reeve_precopy::Socket;
use reeve_precopy::Watch;
use reeve_precopy::SILENCE;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;

use peer::Written;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const PAGE: usize = 4096;

/// The modes of a log.
const MANUAL: u32 = sys::REEVE_LOG_MANUAL;
const INITIALLY_SET: u32 = sys::REEVE_LOG_MANUAL | sys::REEVE_LOG_INITIALLY_SET;

/// How often something is measured; the time that was disturbed least counts.
const TRIES: usize = 8;

fn main() -> Result {
    println!("section log");
    clock();
    faults()?;
    // Of a module that has no log.
    if std::env::args().any(|arg| arg == "--faults") {
        return Ok(());
    }
    writes()?;
    gets()?;
    cycles()?;
    starts()?;
    first_page()?;
    idle()?;
    model::busy(10)?;
    model::busy(50)
}

/// Reads the time stamp counter.
fn ticks() -> u64 {
    // SAFETY: it needs no more than an x86-64 processor.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Prints a measurement.
fn figure(name: &str, ticks: u64, operations: u64) {
    println!("bench {name} {ticks} {operations}");
}

/// Returns the least ticks that `f` takes in some tries.
fn least(mut f: impl FnMut() -> Result<u64>) -> Result<u64> {
    let mut all = Vec::new();
    for _ in 0..TRIES {
        all.push(f()?);
    }
    Ok(all.into_iter().min().unwrap_or_default())
}

/// A tick has to be an instruction: 100 of them between two reads of the counter.
fn clock() {
    let mut with = u64::MAX;
    let mut without = u64::MAX;
    for _ in 0..TRIES {
        let begin = ticks();
        // SAFETY: it does nothing.
        unsafe { core::arch::asm!(".rept 100", "nop", ".endr", options(nomem, nostack)) };
        with = with.min(ticks() - begin);
        let begin = ticks();
        // SAFETY: it does nothing.
        unsafe { core::arch::asm!("", options(nomem, nostack)) };
        without = without.min(ticks() - begin);
    }
    figure("clock.nops", with - without, 100);
}

/// A mapped object with a log.
struct Log {
    device: Device,
    handle: Handle,
    mapping: Mapping,
    pages: u64,
}

impl Log {
    fn new(pages: u64, mode: u32) -> Result<Self> {
        let device = Device::open(reeve_uapi::DEFAULT_PATH)?;
        let handle = device.create(Create::new(pages * PAGE as u64))?;
        let mapping = device.map(handle)?;
        mapping.touch();
        device.set_log_mode(mode)?;
        device.log_start(handle)?;
        Ok(Self {
            device,
            handle,
            mapping,
            pages,
        })
    }

    fn words(&self) -> Vec<u64> {
        vec![0; self.pages.div_ceil(64) as usize]
    }

    fn clear_all(&self) -> Result<u64> {
        let ones = vec![u64::MAX; self.pages.div_ceil(64) as usize];
        Ok(self.device.log_clear(self.handle, 0, self.pages, &ones)?)
    }
}

/// Stores a byte to each of these pages. Returns the ticks.
fn store(memory: *mut u8, pages: u64, step: u64) -> u64 {
    let begin = ticks();
    for page in (0..pages).step_by(step as usize) {
        // SAFETY: callers have as many pages mapped there, for reading and writing, and read them by such means only.
        unsafe { memory.add(page as usize * PAGE).write_volatile(1) };
    }
    ticks() - begin
}

/// `log.write.clean` and `log.write.dirty`.
fn writes() -> Result {
    const PAGES: u64 = 4096;
    let log = Log::new(PAGES, MANUAL)?;
    let memory = log.mapping.address() as *mut u8;
    let clean = least(|| {
        log.clear_all()?;
        Ok(store(memory, PAGES, 1))
    })?;
    figure("log.write.clean", clean, PAGES);
    let dirty = least(|| Ok(store(memory, PAGES, 1)))?;
    figure("log.write.dirty", dirty, PAGES);

    let peer = Written::new(PAGES)?;
    let clean = least(|| {
        peer.protect_all()?;
        Ok(store(peer.memory(), PAGES, 1))
    })?;
    figure("peer.write.clean", clean, PAGES);
    let dirty = least(|| Ok(store(peer.memory(), PAGES, 1)))?;
    figure("peer.write.dirty", dirty, PAGES);

    Ok(())
}

/// `log.fault.off`: an object without a log, too small for huge entries, and below 4 GiB: for each page that is mapped the
/// kernel looks through the ranges of memory until it finds the one that the page is in.
fn faults() -> Result {
    const PAGES: u64 = 496;
    /// A fault maps up to so many.
    const AROUND: u64 = 16;
    let device = Device::open(reeve_uapi::DEFAULT_PATH)?;
    let handle = device.create(Create::new(PAGES * PAGE as u64).dma32())?;
    device.map(handle)?.touch();
    let fault = least(|| {
        let mapping = device.map(handle)?;
        // The page table is there.
        store(mapping.address() as *mut u8, 1, 1);
        let next = (mapping.address() as *mut u8).wrapping_add(AROUND as usize * PAGE);
        Ok(store(next, PAGES - AROUND, AROUND))
    })?;
    figure("log.fault.off", fault, PAGES / AROUND - 1);
    Ok(())
}

/// `log.get.4g`, next to a copy of as many bytes.
fn gets() -> Result {
    const PAGES: u64 = 1 << 20;
    let device = Device::open(reeve_uapi::DEFAULT_PATH)?;
    let handle = device.create(Create::new(PAGES * PAGE as u64))?;
    device.set_log_mode(MANUAL)?;
    device.log_start(handle)?;
    let mut to = vec![1_u64; PAGES as usize / 64];
    let from = vec![2_u64; PAGES as usize / 64];
    let get = least(|| {
        let begin = ticks();
        let dirty = device.log_get(handle, PAGES, &mut to)?;
        let took = ticks() - begin;
        if dirty != 0 {
            return Err("pages are dirty".into());
        }
        Ok(took)
    })?;
    figure("log.get.4g", get, 1);
    let copy = least(|| {
        let begin = ticks();
        to.copy_from_slice(black_box(&from));
        black_box(&to);
        Ok(ticks() - begin)
    })?;
    figure("peer.memcpy.128k", copy, 1);
    Ok(())
}

/// `log.bytes`, `log.cycle.1000` and `log.clear.dense`.
fn cycles() -> Result {
    const PAGES: u64 = 1 << 18;
    const DIRTY: u64 = 1000;
    const DENSE: u64 = 1 << 15;
    let step = PAGES / DIRTY;
    let log = Log::new(PAGES, MANUAL)?;
    let memory = log.mapping.address() as *mut u8;
    let info = log.device.log_info(log.handle)?;
    figure("log.bytes", info.bytes, info.pages);
    let mut words = log.words();
    log.clear_all()?;
    let mut cycle = |pages: u64, step: u64| {
        least(|| {
            store(memory, pages, step);
            let begin = ticks();
            let dirty = log.device.log_get(log.handle, PAGES, &mut words)?;
            let cleared = log.device.log_clear(log.handle, 0, PAGES, &words)?;
            let took = ticks() - begin;
            if dirty != cleared || dirty != pages.div_ceil(step) {
                return Err(format!("{dirty} pages dirty, {cleared} cleared").into());
            }
            Ok(took)
        })
    };
    figure("log.cycle.1000", cycle(step * DIRTY, step)?, DIRTY);
    figure("log.clear.dense", cycle(DENSE, 1)?, DENSE);
    drop(log);
    let peer = Written::new(PAGES)?;
    peer.protect_all()?;
    let cycle = |pages: u64, step: u64| {
        least(|| {
            store(peer.memory(), pages, step);
            let begin = ticks();
            let found = peer.get_and_protect()?;
            let took = ticks() - begin;
            if found != pages.div_ceil(step) {
                return Err(format!("{found} pages written").into());
            }
            Ok(took)
        })
    };
    figure("peer.cycle.1000", cycle(step * DIRTY, step)?, DIRTY);
    figure("peer.clear.dense", cycle(DENSE, 1)?, DENSE);
    Ok(())
}

/// A user who gives up at once, so that a migration ends where its first page would be chosen.
struct Never;

impl Watch for Never {
    fn request(&mut self) -> Request {
        Request::Cancel
    }

    fn progress(&mut self, _progress: &Progress) {}
}

/// A user who waits for the end.
struct Patient;

impl Watch for Patient {
    fn request(&mut self) -> Request {
        Request::Continue
    }

    fn progress(&mut self, _progress: &Progress) {}
}

/// Returns how long the start of a migration takes, in instructions: the clock counts them.
fn start(device: &Device, handle: Handle, first_sync: FirstSync) -> Result<u64> {
    least(|| {
        let (near, far) = UnixStream::pair()?;
        let mut near = Socket::unix(near, SILENCE)?;
        let mut far = Socket::unix(far, SILENCE)?;
        let mut source = ReeveSource::new(device, &[handle])?;
        let options = Options {
            first_sync,
            ..Options::default()
        };
        let receiver = thread::spawn(move || -> std::io::Result<()> {
            let device = Device::open(reeve_uapi::DEFAULT_PATH)?;
            let mut sink = ReeveSink::new(&device)?;
            // It is cancelled.
            let _ = receive(&mut sink, &mut far, &Limits::default());
            Ok(())
        });
        let clock = Monotonic::new();
        let sent = send(
            &mut source,
            &mut NoWriters,
            &mut near,
            &clock,
            &options,
            &mut Never,
        );
        drop(near);
        receiver.join().map_err(|_| "the receiver panicked")??;
        let failed = sent.err().ok_or("it was not cancelled")?;
        Ok((failed.statistics.start_seconds * 1e9) as u64)
    })
}

/// `migrate.start.*`
fn starts() -> Result {
    for (name, mib) in [("64m", 64), ("256m", 256), ("1g", 1024), ("4g", 4096_u64)] {
        let device = Device::open(reeve_uapi::DEFAULT_PATH)?;
        let handle = device.create(Create::new(mib << 20))?;
        let skipped = start(&device, handle, FirstSync::Auto)?;
        figure(&format!("migrate.start.{name}"), skipped, 1);
        let synced = start(&device, handle, FirstSync::Always)?;
        figure(&format!("peer.start.{name}"), synced, 1);
    }
    Ok(())
}

/// `migrate.first_page.4g`: what the engine does until it has a page to send, on an object whose pages are mapped.
fn first_page() -> Result {
    const PAGES: u64 = 1 << 20;
    /// The pages of a chunk, whose log is cleared before.
    const CHUNK: u64 = 1 << 15;
    let log = Log::new(PAGES, MANUAL)?;
    log.device.log_stop(log.handle)?;
    let mut words = log.words();
    let ones = vec![u64::MAX; CHUNK as usize / 64];
    let mut page = [0; PAGE];
    let mut take = |mode: u32| -> Result<u64> {
        // All pages are mapped and can be written to.
        store(log.mapping.address() as *mut u8, PAGES, 1);
        log.device.set_log_mode(mode)?;
        let begin = ticks();
        log.device.log_start(log.handle)?;
        if mode == MANUAL {
            log.device.log_get(log.handle, PAGES, &mut words)?;
        }
        log.device.log_clear(log.handle, 0, CHUNK, &ones)?;
        log.device.read(log.handle, 0, &mut page)?;
        let took = ticks() - begin;
        log.device.log_stop(log.handle)?;
        Ok(took)
    };
    let first = take(INITIALLY_SET)?.min(take(INITIALLY_SET)?);
    figure("migrate.first_page.4g", first, 1);
    // It protects every page: once is long enough.
    figure("peer.first_page.4g", take(MANUAL)?, 1);
    Ok(())
}

/// `migrate.idle`: bytes sent for a byte of content.
fn idle() -> Result {
    const SIZE: u64 = 16 << 20;
    let (from, to) = (
        Device::open(reeve_uapi::DEFAULT_PATH)?,
        Device::open(reeve_uapi::DEFAULT_PATH)?,
    );
    let handle = from.create(Create::new(SIZE))?;
    from.write(handle, 0, &Pattern::new(1).bytes(SIZE as usize))?;
    let (near, far) = UnixStream::pair()?;
    let mut near = Socket::unix(near, Duration::from_secs(60))?;
    let mut far = Socket::unix(far, Duration::from_secs(60))?;
    let mut source = ReeveSource::new(&from, &[handle])?;
    let statistics = thread::scope(|scope| -> Result<_> {
        let receiver = scope.spawn(move || -> std::io::Result<_> {
            let mut sink = ReeveSink::new(&to)?;
            Ok(receive(&mut sink, &mut far, &Limits::default()))
        });
        let clock = Monotonic::new();
        let options = Options::default();
        let sent = send(
            &mut source,
            &mut NoWriters,
            &mut near,
            &clock,
            &options,
            &mut Patient,
        );
        receiver.join().map_err(|_| "the receiver panicked")???;
        Ok(sent?)
    })?;
    figure("migrate.idle", statistics.bytes, SIZE);
    Ok(())
}
