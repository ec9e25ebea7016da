// SPDX-License-Identifier: GPL-2.0-or-later

//! Eight threads, more objects than the limit allows, memory pressure, pins, mappings and attempts
//! to remove the module, for `REEVE_STRESS_SECONDS`: content stays, and the counters agree.
//!
//! Needs a disk to swap to. `REEVE_TIME_SCALE` has to leave enough time.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_BACKUP_PURGE;
use reeve_uapi::sys::REEVE_BO_BACKUP_WRITEBACK;
use reeve_uapi::BoCall;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::module;
use crate::random::Random;
use crate::seen::open;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::shortage::available;
use crate::shortage::Hog;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

cases!("stress"; everything_at_once);

const THREADS: u64 = 8;

const OBJECTS: usize = 24;

/// About a third of what all objects have together.
const LIMIT: u64 = 200;

/// What is left for everybody else when the hog has what it wants.
const LEFT: u64 = 40 << 20;

/// What has to have happened for the run to be worth anything.
const MUST: [&str; 12] = [
    "read",
    "write",
    "mapped read",
    "mapped write",
    "unpopulate",
    "new object",
    "swapout",
    "backup",
    "pin",
    "global swapout",
    "memory pressure",
    "removal refused",
];

/// Pins of a thread at a time.
const PINS: usize = 2;

/// An object that all threads use.
struct Shared {
    create: Create,
    /// Which it is now; a thread that holds `content` may end it and make another.
    handle: AtomicU32,
    content: Mutex<Content>,
}

/// What an object holds: this pattern, or zeroes. Who changes or reads content holds the lock; what
/// must leave content alone is done without.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    Zero,
    Pattern(u64),
}

impl Content {
    fn check(self, found: &[u8]) -> Outcome {
        let wrong = match self {
            Self::Zero => found.iter().position(|byte| *byte != 0),
            Self::Pattern(seed) => Pattern::new(seed).mismatch(0, found).map(|at| at as usize),
        };
        check_eq!(wrong, None, "of {} bytes", found.len());
        Ok(())
    }
}

impl Shared {
    fn handle(&self) -> Handle {
        Handle::new(self.handle.load(Relaxed))
    }

    fn size(&self) -> usize {
        self.create.size as usize
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Who panicked is a failure of its own.
        self.content.lock().unwrap_or_else(|err| err.into_inner())
    }
}

/// What all threads have.
struct Scene {
    device: Device,
    objects: Vec<Shared>,
    end: Instant,
    failed: AtomicBool,
}

/// How often each thing was done, with something to do, and the milliseconds it took in all.
type Done = BTreeMap<&'static str, (u64, u64)>;

/// What a thread has.
struct Worker<'a> {
    scene: &'a Scene,
    random: Random,
    pins: Vec<Handle>,
    hog: Hog,
    done: Done,
}

/// Objects of every kind, one like the other but for their size.
fn kinds(random: &mut Random) -> Vec<Create> {
    (0..OBJECTS as u64)
        .map(|number| {
            let pages = match number % 6 {
                0 => 64 + random.below(64),
                1 | 2 => 8 + random.below(16),
                _ => 1 + random.below(8),
            };
            let plain = Create::new(pages * PAGE);
            match number % 8 {
                0 | 1 => plain,
                2 => plain.zeroed(),
                3 => plain.shmem(),
                4 => plain.caching(Caching::WriteCombined),
                5 => plain.dma32(),
                6 => plain.kind(BoType::Kernel).extra(3),
                _ => plain.kind(BoType::Sg).mappable(),
            }
        })
        .collect()
}

/// What may be refused while others do what they like: such an error counts as nothing done.
fn tolerate<T>(result: io::Result<T>, also: &[Errno]) -> Outcome<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        // No memory, or another thread has ended it.
        Err(err) if [Errno::ENOMEM, Errno::ENOENT].contains(&errno(&err)) => Ok(None),
        Err(err) if also.contains(&errno(&err)) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

impl Worker<'_> {
    fn run(&mut self) -> Outcome {
        while Instant::now() < self.scene.end && !self.scene.failed.load(Relaxed) {
            let start = Instant::now();
            let (name, did) = self.step()?;
            let (count, took) = self.done.entry(name).or_default();
            *count += u64::from(did);
            *took += start.elapsed().as_millis() as u64;
        }
        while let Some(handle) = self.pins.pop() {
            tolerate(self.scene.device.unpin(handle), &[Errno::EINVAL])?;
        }
        Ok(())
    }

    fn step(&mut self) -> Outcome<(&'static str, bool)> {
        let scene = self.scene;
        let object = &scene.objects[self.random.below(OBJECTS as u64) as usize];
        let device = &scene.device;
        let moved = |result: io::Result<u64>, also: &[Errno]| -> Outcome<bool> {
            Ok(tolerate(result, also)?.is_some_and(|pages| pages > 0))
        };
        Ok(match self.random.below(100) {
            0..=13 => ("read", self.read(object)?),
            14..=25 => ("write", self.write(object)?),
            26..=35 => ("mapped read", self.mapped_read(object)?),
            36..=47 => ("mapped write", self.mapped_write(object)?),
            48..=52 => ("unpopulate", self.lose(object, BoCall::Unpopulate)?),
            53..=54 => ("purge", self.lose(object, BoCall::Backup)?),
            55..=58 => ("new object", self.renew(object)?),
            59..=65 => ("populate", moved(device.populate(object.handle()), &[])?),
            66..=72 => {
                let external = &[Errno::EBUSY, Errno::EINVAL];
                ("swapout", moved(device.swapout(object.handle()), external)?)
            }
            73..=78 => {
                let flags = self.random.below(2) as u32 * REEVE_BO_BACKUP_WRITEBACK;
                let result = device.backup_with(object.handle(), flags);
                ("backup", moved(result, &[Errno::EBUSY])?)
            }
            79..=81 => ("restore", moved(device.restore(object.handle()), &[])?),
            82..=88 => ("pin", self.pin(object)?),
            89..=90 => ("global swapout", knobs::tt_shrink()? > 0),
            91..=92 => ("objects' shrinker", knobs::triggered("bo_shrink")? > 0),
            93 => ("pool's shrinker", knobs::page_pool_shrink()? > 0),
            94..=95 => ("memory pressure", self.press()?),
            96..=97 => ("another limit", self.limit()?),
            98 => ("another file", self.other_file()?),
            _ => ("removal refused", Self::remove()?),
        })
    }

    fn read(&mut self, object: &Shared) -> Outcome<bool> {
        let content = object.content();
        let mut found = vec![0xee; object.size()];
        let result = self.scene.device.read(object.handle(), 0, &mut found);
        match tolerate(result, &[])? {
            Some(()) => content.check(&found).map(|()| true),
            None => Ok(false),
        }
    }

    fn write(&mut self, object: &Shared) -> Outcome<bool> {
        let mut content = object.content();
        let seed = self.random.next();
        let bytes = Pattern::new(seed).bytes(object.size());
        // All or nothing: an object has its pages as a whole before the first byte is copied, and
        // may lose them between two pieces, when a populate may fail.
        let handle = object.handle();
        loop {
            match tolerate(self.scene.device.write(handle, 0, &bytes), &[])? {
                Some(()) => break,
                None if Instant::now() > self.scene.end + Duration::from_secs(20) => {
                    return Err(Stop::failed("no memory for 20 s"));
                }
                None => thread::yield_now(),
            }
        }
        *content = Content::Pattern(seed);
        Ok(true)
    }

    fn mapped_read(&mut self, object: &Shared) -> Outcome<bool> {
        let content = object.content();
        let mapping = self.scene.device.map(object.handle())?;
        content.check(&mapping.bytes())?;
        Ok(true)
    }

    fn mapped_write(&mut self, object: &Shared) -> Outcome<bool> {
        let mut content = object.content();
        let seed = self.random.next();
        let mapping = self.scene.device.map(object.handle())?;
        mapping.write(0, &Pattern::new(seed).bytes(object.size()));
        *content = Content::Pattern(seed);
        content.check(&mapping.bytes())?;
        Ok(true)
    }

    /// Drops content.
    fn lose(&mut self, object: &Shared, call: BoCall) -> Outcome<bool> {
        let mut content = object.content();
        let device = &self.scene.device;
        let result = match call {
            BoCall::Backup => device.backup_with(object.handle(), REEVE_BO_BACKUP_PURGE),
            _ => device.bo(call, object.handle()),
        };
        let lost = tolerate(result, &[Errno::EBUSY])?;
        // Purging drops a backup, too, which frees no pages.
        if lost.is_some_and(|pages| pages > 0) {
            *content = Content::Zero;
            return Ok(true);
        }
        if lost.is_some() && call == BoCall::Backup {
            let mut found = vec![0xee; object.size()];
            device.read(object.handle(), 0, &mut found)?;
            if Content::Zero.check(&found).is_ok() {
                *content = Content::Zero;
            } else {
                content.check(&found)?;
            }
        }
        Ok(false)
    }

    /// Ends it, pinned or not, and makes another.
    fn renew(&mut self, object: &Shared) -> Outcome<bool> {
        let mut content = object.content();
        let device = &self.scene.device;
        device.destroy(object.handle())?;
        *content = Content::Zero;
        loop {
            if let Some(handle) = tolerate(device.create(object.create), &[])? {
                object.handle.store(handle.get(), Relaxed);
                return Ok(true);
            }
            thread::yield_now();
        }
    }

    fn pin(&mut self, object: &Shared) -> Outcome<bool> {
        let device = &self.scene.device;
        if self.pins.len() == PINS {
            let handle = self.pins.remove(0);
            // Its object may have ended, and another may have got its number.
            tolerate(device.unpin(handle), &[Errno::EINVAL])?;
        }
        let handle = object.handle();
        let pinned = tolerate(device.pin(handle), &[Errno::EINVAL])?.is_some();
        if pinned {
            self.pins.push(handle);
        }
        Ok(pinned)
    }

    /// Takes memory until little is left, or gives it back.
    fn press(&mut self) -> Outcome<bool> {
        if self.hog.bytes() > 0 && self.random.below(2) == 0 {
            self.hog.give();
            return Ok(false);
        }
        let spare = available()?.saturating_sub(LEFT);
        if spare > 1 << 20 {
            self.hog.take(spare.min(4 << 20) as usize);
        }
        Ok(spare > 1 << 20)
    }

    fn limit(&mut self) -> Outcome<bool> {
        let limit = LIMIT / 2 + self.random.below(LIMIT);
        knobs::set_parameter("pages_limit", &limit.to_string())?;
        Ok(true)
    }

    /// An open file that comes and goes with its object.
    fn other_file(&mut self) -> Outcome<bool> {
        let device = open()?;
        let seed = self.random.next();
        let bytes = Pattern::new(seed).bytes((20 * PAGE) as usize);
        let Some(handle) = tolerate(device.create(Create::new(20 * PAGE)), &[])? else {
            return Ok(false);
        };
        if tolerate(device.write(handle, 0, &bytes), &[])?.is_none() {
            return Ok(false);
        }
        tolerate(device.swapout(handle), &[])?;
        let mut found = vec![0; bytes.len()];
        if tolerate(device.read(handle, 0, &mut found), &[])?.is_some() {
            Content::Pattern(seed).check(&found)?;
        }
        Ok(true)
    }

    fn remove() -> Outcome<bool> {
        match module::remove() {
            Err(Errno::EWOULDBLOCK) => Ok(true),
            other => Err(Stop::failed(format!("removing the module: {other:?}"))),
        }
    }
}

/// The counters never drift. `busy` means that they could not be compared now.
fn watch(scene: &Scene) -> Outcome<u64> {
    let mut agreed = 0;
    while Instant::now() < scene.end && !scene.failed.load(Relaxed) {
        let accounting = knobs::accounting()?;
        let said = accounting.iter().find(|(name, _)| name == "self_check");
        match said.map(|(_, said)| said.as_str()) {
            Some("ok") => agreed += 1,
            Some("busy") => {}
            said => return Err(Stop::failed(format!("self_check says {said:?}"))),
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(agreed)
}

fn seconds() -> u64 {
    let text = env::var("REEVE_STRESS_SECONDS").unwrap_or_default();
    text.parse().unwrap_or(20)
}

fn everything_at_once() -> Outcome {
    let _swap = Swap::on_disk()?;
    let _limit = Limit::pages(LIMIT)?;
    let device = open()?;
    let mut random = Random::new(1);
    let objects = kinds(&mut random)
        .into_iter()
        .map(|create| {
            Ok(Shared {
                create,
                handle: AtomicU32::new(device.create(create)?.get()),
                content: Mutex::new(Content::Zero),
            })
        })
        .collect::<Outcome<Vec<_>>>()?;
    let seconds = seconds();
    let scene = Scene {
        device,
        objects,
        end: Instant::now() + Duration::from_secs(seconds),
        failed: AtomicBool::new(false),
    };
    let before = scene.device.stats()?;

    let guarded = |result: Outcome<_>| {
        if result.is_err() {
            scene.failed.store(true, Relaxed);
        }
        result
    };
    let (done, agreed) = thread::scope(|scope| -> Outcome<_> {
        let workers: Vec<_> = (0..THREADS)
            .map(|number| {
                let scene = &scene;
                scope.spawn(move || {
                    let mut worker = Worker {
                        scene,
                        random: Random::new(number),
                        pins: Vec::new(),
                        hog: Hog::new(),
                        done: BTreeMap::new(),
                    };
                    let result = worker.run();
                    if result.is_err() {
                        scene.failed.store(true, Relaxed);
                    }
                    result.map(|()| worker.done)
                })
            })
            .collect();
        let agreed = guarded(watch(&scene));
        let mut done = Done::new();
        for worker in workers {
            let one = worker
                .join()
                .map_err(|_| Stop::failed("a thread panicked"))??;
            for (name, (count, took)) in one {
                let sum = done.entry(name).or_default();
                *sum = (sum.0 + count, sum.1 + took);
            }
        }
        Ok((done, agreed?))
    })?;

    for object in &scene.objects {
        let mut found = vec![0; object.size()];
        scene.device.read(object.handle(), 0, &mut found)?;
        object.content().check(&found)?;
    }
    let stats = scene.device.stats()?;
    println!(
        "# {} operations in {seconds} s: {done:?}",
        done.values().map(|(count, _)| count).sum::<u64>()
    );
    println!(
        "# {} swapouts, {} backups, {} faults, {} overcommits; the counters agreed {agreed} times",
        stats.swapouts - before.swapouts,
        stats.backups - before.backups,
        stats.faults - before.faults,
        stats.overcommits - before.overcommits,
    );
    check!(agreed > 0);
    for name in MUST {
        check!(
            done.get(name).is_some_and(|(count, _)| *count > 0),
            "{name}"
        );
    }
    for object in &scene.objects {
        scene.device.destroy(object.handle())?;
    }
    let stats = scene.device.stats()?;
    check_eq!((stats.pages_allocated, stats.dma32_pages_allocated), (0, 0));
    check_eq!(stats.buffer_objects, 0);
    Ok(())
}
