// SPDX-License-Identifier: GPL-2.0-or-later

//! A DRM driver whose pages are Reeve's, through its render node: what programs and monitors see of it while objects
//! are evicted, processes are killed, and the driver is unloaded.
//!
//! Needs the sample `gpu-drm`, whose `run.sh` starts this, and swap. `REEVE_GPU_KO` says where it is.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::kmod::delete_module;
use nix::kmod::finit_module;
use nix::kmod::DeleteModuleFlags;
use nix::kmod::ModuleInitFlags;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::sys::REEVE_BO_SWAPPED;

use crate::dri::clients;
use crate::dri::Node;
use crate::dri::Object;
use crate::dri::DRIVER;
use crate::dri::PURGEABLE;
use crate::process::be_interrupted;
use crate::process::Child;
use crate::runner::scale;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::until;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::shortage::available;
use crate::shortage::Hog;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("gpu_drm";
    objects_are_made_mapped_and_summed,
    what_is_wrong_is_refused,
    monitors_understand_its_fdinfo,
    an_active_object_is_shown_and_passed_over,
    refusals_fences_and_purges_at_once_lose_nothing,
    purgeable_content_is_dropped_or_retained,
    mappings_outlive_their_handle_and_file,
    three_drivers_share_the_limit,
    killed_in_a_populate,
    interrupted_in_a_populate,
    a_busy_driver_gives_way_when_memory_is_short,
    unloaded_while_faults_and_reclaim_run,
);

const KIB: usize = 1 << 10;
const BYTES: usize = 64 * KIB;

fn patience() -> Duration {
    Duration::from_secs(20).mul_f64(scale())
}

fn path_of(name: &str) -> String {
    format!("/sys/module/{DRIVER}/parameters/{name}")
}

/// A number that the driver counts.
fn counted(name: &str) -> Outcome<u64> {
    let text = fs::read_to_string(path_of(name))?;
    text.trim()
        .parse()
        .map_err(|_| Stop::failed(format!("{name} is {text:?}")))
}

/// A parameter of the driver, until dropped.
struct Set(&'static str, &'static str);

impl Set {
    fn to(name: &'static str, value: &str, after: &'static str) -> Outcome<Self> {
        fs::write(path_of(name), value)?;
        Ok(Self(name, after))
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let _ = fs::write(path_of(self.0), self.1);
    }
}

/// An object full of `byte`.
fn filled(node: &Node, bytes: usize, byte: u8, flags: u32) -> Outcome<Object> {
    let object = node.create(bytes, flags)?;
    node.map(object)?.bytes().fill(byte);
    Ok(object)
}

fn objects_are_made_mapped_and_summed() -> Outcome {
    let node = Node::open()?;
    let object = node.create(BYTES, 0)?;
    check_eq!(node.sum(object.handle)?, 0);
    let mut map = node.map(object)?;
    map.bytes()[4096..].fill(3);
    check_eq!(node.sum(object.handle)?, 3 * (BYTES as u64 - 4096));
    check!(knobs::tt_shrink()? > 0);
    check_eq!(node.kib("drm-resident-system")?, 0);
    check_eq!(map.bytes()[4095..4097], [0, 3]);
    check_eq!(node.sum(object.handle)?, 3 * (BYTES as u64 - 4096));
    check_eq!(counted("gpu_faults")?, 0);
    node.close(object.handle)?;
    Ok(())
}

fn what_is_wrong_is_refused() -> Outcome {
    let node = Node::open()?;
    let before = counted("objects")?;
    for bytes in [0, 1, 4097, (1 << 30) + 4096] {
        refused(node.create(bytes, 0).map(|_| ()), Errno::EINVAL)?;
    }
    refused(node.create(4096, 2).map(|_| ()), Errno::EINVAL)?;
    refused(node.sum(77), Errno::ENOENT)?;
    refused(node.madvise(77, 0), Errno::ENOENT)?;
    let object = node.create(4096, 0)?;
    refused(node.madvise(object.handle, 2), Errno::EINVAL)?;
    refused(node.export(object.handle), Errno::EOPNOTSUPP)?;
    // Another file's handle is none of this one.
    refused(Node::open()?.sum(object.handle), Errno::ENOENT)?;
    node.close(object.handle)?;
    refused(node.sum(object.handle), Errno::ENOENT)?;
    check_eq!(counted("objects")?, before);
    Ok(())
}

fn monitors_understand_its_fdinfo() -> Outcome {
    let mine = || clients("self");
    let (first, second) = (Node::open()?, Node::open()?);
    let evicted = filled(&first, BYTES, 1, 0)?;
    filled(&second, 3 * BYTES, 1, 0)?;
    second.create(BYTES, 0)?;
    let seen = mine()?;
    check_eq!(seen.len(), 2, "{seen:?}");
    let of = |seen: &BTreeMap<u64, crate::dri::Usage>| -> Vec<[u64; 4]> {
        let mut all: Vec<_> = seen.values().map(|usage| usage.regions["system"]).collect();
        all.sort_unstable();
        all
    };
    for usage in seen.values() {
        check_eq!(usage.driver, DRIVER);
        check_eq!(usage.engines.get("sum"), Some(&0));
        check_eq!(usage.regions.len(), 1, "{usage:?}");
    }
    let bytes = BYTES as u64;
    check_eq!(
        of(&seen),
        [[bytes, 0, bytes, 0], [4 * bytes, 0, 3 * bytes, 0]]
    );
    // The least recently used one goes; it is there still, but not resident.
    check_eq!(knobs::tt_shrink()?, bytes as i64 / PAGE as i64);
    check_eq!(
        of(&mine()?),
        [[bytes, 0, 0, 0], [4 * bytes, 0, 3 * bytes, 0]]
    );
    check_eq!(first.kib("reeve-swapped-system")?, 64);
    // The engine has worked for who asked it to.
    first.sum(evicted.handle)?;
    let seen = mine()?;
    check_eq!(
        of(&seen),
        [[bytes, 0, bytes, 0], [4 * bytes, 0, 3 * bytes, 0]]
    );
    let worked: Vec<_> = seen.values().map(|usage| usage.engines["sum"]).collect();
    check_eq!(
        worked.iter().filter(|ns| **ns >= 1_000_000).count(),
        1,
        "{worked:?}"
    );
    drop(second);
    check_eq!(of(&mine()?), [[bytes, 0, bytes, 0]]);
    Ok(())
}

fn an_active_object_is_shown_and_passed_over() -> Outcome {
    let node = Node::open()?;
    let object = filled(&node, BYTES, 7, 0)?;
    let _slow = Set::to("delay", "1500", "1")?;
    let refusals = counted("refusals")?;
    let sum = thread::scope(|scope| -> Outcome<u64> {
        let job = scope.spawn(|| node.sum(object.handle));
        let active = until(patience(), || Ok(node.kib("drm-active-system")? == 64))?;
        check!(active, "the job is not shown");
        // Reclaim waits for no GPU: it asks, and passes the object over.
        let asked = until(patience(), || {
            knobs::trigger("bo_shrink")?;
            Ok(counted("refusals")? > refusals)
        })?;
        check!(asked, "reclaim did not ask");
        check_eq!(node.kib("drm-resident-system")?, 64);
        // Who may wait does.
        check_eq!(knobs::tt_shrink()?, 16);
        check_eq!(node.kib("drm-active-system")?, 0);
        Ok(job.join().map_err(|_| Stop::failed("the job panicked"))??)
    })?;
    check_eq!(sum, 7 * BYTES as u64);
    check_eq!(counted("gpu_faults")?, 0);
    Ok(())
}

fn refusals_fences_and_purges_at_once_lose_nothing() -> Outcome {
    let node = Node::open()?;
    let _refuse = Set::to("refuse", "1", "0")?;
    let _limit = Limit::pages(48)?;
    let kept: Vec<_> = (0..4)
        .map(|byte| filled(&node, BYTES, 1 + byte, 0))
        .collect::<Outcome<_>>()?;
    let purgeable = filled(&node, BYTES, 9, PURGEABLE)?;
    let before = (counted("refusals")?, counted("evictions")?);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = knobs::tt_shrink();
                let _ = knobs::trigger("bo_shrink");
            }
        });
        let done = (0..15).try_for_each(|_| -> Outcome {
            for (index, object) in kept.iter().enumerate() {
                check_eq!(node.sum(object.handle)?, (1 + index as u64) * BYTES as u64);
            }
            // All of it or nothing.
            let sum = node.sum(purgeable.handle)?;
            check!(sum == 0 || sum == 9 * BYTES as u64, "{sum}");
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        done
    })?;
    check!(counted("refusals")? > before.0 && counted("evictions")? > before.1);
    check_eq!(counted("gpu_faults")?, 0);
    Ok(())
}

fn purgeable_content_is_dropped_or_retained() -> Outcome {
    let node = Node::open()?;
    let object = filled(&node, BYTES, 5, PURGEABLE)?;
    check!(node.madvise(object.handle, 0)?);
    check_eq!(knobs::tt_shrink()?, 16);
    check_eq!(node.sum(object.handle)?, 5 * BYTES as u64);
    check!(node.madvise(object.handle, 1)?);
    check_eq!(knobs::tt_shrink()?, 16);
    check_eq!(node.kib("reeve-swapped-system")?, 0);
    check!(!node.madvise(object.handle, 0)?);
    check_eq!(node.sum(object.handle)?, 0);
    Ok(())
}

fn mappings_outlive_their_handle_and_file() -> Outcome {
    let before = counted("objects")?;
    let node = Node::open()?;
    let object = filled(&node, BYTES, 6, 0)?;
    let mut map = node.map(object)?;
    node.close(object.handle)?;
    drop(node);
    check!(knobs::tt_shrink()? >= 16);
    check!(map.bytes().iter().all(|&byte| byte == 6));
    check_eq!(counted("objects")?, before + 1);
    drop(map);
    check_eq!(counted("objects")?, before);
    Ok(())
}

/// This driver, `gpu-c` and `/dev/reeve`: whichever wants pages, those of another one go.
fn three_drivers_share_the_limit() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(24)?;
    let kept = || -> Outcome {
        let pages = device.stats()?.pages_allocated;
        check!(pages <= 24, "{pages} pages");
        Ok(())
    };
    let node = Node::open()?;
    let object = filled(&node, BYTES, 2, 0)?;
    kept()?;
    let mut other = File::options()
        .read(true)
        .write(true)
        .open("/dev/reeve_gpu")?;
    other.write_all(&[3; BYTES])?;
    kept()?;
    check_eq!(node.kib("drm-resident-system")?, 0);
    let mine = populated(&device, 20)?;
    kept()?;
    check!(device.info(mine)?.is(REEVE_BO_POPULATED));
    let mut text = [0; 32];
    let length = other.read(&mut text)?;
    let text = String::from_utf8_lossy(&text[..length]);
    check_eq!(text.trim(), (3 * BYTES).to_string());
    kept()?;
    check!(device.info(mine)?.is(REEVE_BO_SWAPPED));
    check_eq!(node.sum(object.handle)?, 2 * BYTES as u64);
    kept()?;
    check_eq!(counted("gpu_faults")?, 0);
    Ok(())
}

/// The pages are charged before they are allocated, so that it is seen when a populate has begun.
fn killed_in_a_populate() -> Outcome {
    const MIB: usize = 1 << 20;
    let watcher = open()?;
    let objects = counted("objects")?;
    let mut caught = [0, 0];
    for round in 0..40 {
        let by_fault = round % 2;
        let before = watcher.stats()?;
        let mut child = Child::run(|line| {
            let node = Node::open()?;
            let object = node.create(48 * MIB, 0)?;
            let mut map = node.map(object)?;
            line.say(1)?;
            if by_fault == 0 {
                node.sum(object.handle)?;
            } else {
                map.bytes()[0] = 1;
            }
            line.say(2)?;
            line.hear().map(drop)
        })?;
        child.line.hear()?;
        let began = Instant::now();
        while watcher.stats()?.pages_allocated == before.pages_allocated {
            check!(began.elapsed() < patience(), "nothing is populated");
        }
        let populated = child.line.heard()?;
        child.kill()?;
        caught[by_fault] += u32::from(!populated);
        let gone = until(patience(), || {
            let now = watcher.stats()?;
            Ok(now.pages_allocated == before.pages_allocated
                && now.buffer_objects == before.buffer_objects
                && counted("objects")? == objects)
        })?;
        check!(gone, "{:?} in round {round}", watcher.stats()?);
        if caught.iter().all(|&times| times >= 2) {
            break;
        }
    }
    check!(caught.iter().all(|&times| times >= 2), "{caught:?}");
    check_eq!(counted("gpu_faults")?, 0);
    Ok(())
}

/// A signal that kills nobody ends the call, and nothing has changed.
fn interrupted_in_a_populate() -> Outcome {
    const BYTES: usize = 48 << 20;
    let watcher = open()?;
    for _ in 0..20 {
        let before = watcher.stats()?;
        let mut child = Child::run(|line| {
            be_interrupted()?;
            let node = Node::open()?;
            let object = node.create(BYTES, 0)?;
            line.say(1)?;
            let result = node.sum(object.handle);
            // It may have come when the pages were there, and the GPU was waited for.
            let in_time = result.is_err() && node.kib("drm-resident-system")? == 0;
            if let Err(err) = result {
                check_eq!(errno(&err), Errno::EINTR);
            }
            if in_time {
                check_eq!(node.kib("reeve-charged-system")?, 0);
                check_eq!(node.sum(object.handle)?, 0);
            }
            line.say(if in_time { 2 } else { 3 })
        })?;
        child.line.hear()?;
        let began = Instant::now();
        while watcher.stats()?.pages_allocated == before.pages_allocated {
            check!(began.elapsed() < patience(), "nothing is populated");
        }
        kill(child.pid(), Signal::SIGUSR1)?;
        let said = child.line.hear()?;
        child.join()?;
        let gone = until(patience(), || {
            Ok(watcher.stats()?.buffer_objects == before.buffer_objects)
        })?;
        check!(gone, "{:?}", watcher.stats()?);
        if said == 2 {
            return Ok(());
        }
    }
    Err(Stop::failed("the signal always came too late"))
}

/// The kernel's own reclaim, on a small machine: the driver refuses every second time, its GPU works, and some of the
/// objects are purgeable, all at once.
fn a_busy_driver_gives_way_when_memory_is_short() -> Outcome {
    const MIB: usize = 1 << 20;
    const PIECE: usize = 2 * MIB;
    let node = Node::open()?;
    let _refuse = Set::to("refuse", "1", "0")?;
    let _slow = Set::to("delay", "5", "1")?;
    let count = available()? / 100 * 40 / MIB as u64;
    let objects: Vec<_> = (0..count)
        .map(|at| {
            let flags = if at % 4 == 3 { PURGEABLE } else { 0 };
            filled(&node, MIB, 1 + at as u8 % 100, flags)
        })
        .collect::<Outcome<_>>()?;
    let right = |at: usize| -> Outcome {
        let sum = node.sum(objects[at].handle)?;
        let whole = (1 + at as u64 % 100) * MIB as u64;
        check!(
            sum == whole || at % 4 == 3 && sum == 0,
            "object {at}: {sum}, not {whole}"
        );
        Ok(())
    };
    let before = (counted("refusals")?, counted("evictions")?);
    let most = available()? + (64 << 20);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let user = scope.spawn(|| -> Outcome {
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                right(at % objects.len())?;
                at += 7;
            }
            Ok(())
        });
        let mut hog = Hog::new();
        let mut given_way = Ok(false);
        while hog.bytes() < most {
            hog.take(PIECE);
            given_way = counted("evictions").and_then(|evictions| {
                Ok(counted("refusals")? > before.0 + 10 && evictions > before.1 + 10)
            });
            if given_way != Ok(false) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        drop(hog);
        user.join()
            .map_err(|_| Stop::failed("the user panicked"))??;
        check!(given_way?, "reclaim did not ask, or took nothing");
        Ok(())
    })?;
    for at in 0..objects.len() {
        right(at)?;
    }
    check_eq!(counted("gpu_faults")?, 0);
    Ok(())
}

/// Unloads and loads the driver, over and over, while programs open, map and fault, and reclaim and eviction go on.
fn unloaded_while_faults_and_reclaim_run() -> Outcome {
    const TIMES: u32 = 8;
    let ko = std::env::var("REEVE_GPU_KO")
        .map_err(|_| Stop::skipped("REEVE_GPU_KO does not say where the driver is"))?;
    let name = CString::new(DRIVER).map_err(|_| Stop::failed("a bad name"))?;
    let (stop, in_use, used) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let going = || !stop.load(Ordering::Relaxed);
    let user = |byte: u8| -> Outcome {
        while going() {
            // It may be gone at this moment.
            let Ok(node) = Node::open() else {
                thread::yield_now();
                continue;
            };
            let object = node.create(BYTES, 0)?;
            let mut map = node.map(object)?;
            for _ in 0..4 {
                map.bytes().fill(byte);
                check!(map.bytes().iter().all(|&found| found == byte));
            }
            check_eq!(node.sum(object.handle)?, u64::from(byte) * BYTES as u64);
            used.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let unload = || -> Outcome {
        let mut times = 0;
        let began = Instant::now();
        while times < TIMES || in_use.load(Ordering::Relaxed) == 0 {
            check!(
                began.elapsed() < 3 * patience(),
                "unloaded only {times} times; {} times it was used",
                used.load(Ordering::Relaxed)
            );
            match delete_module(&name, DeleteModuleFlags::O_NONBLOCK) {
                Ok(()) => {
                    times += 1;
                    let file = File::open(&ko)?;
                    finit_module(file, c"", ModuleInitFlags::empty())?;
                    // Others have a turn.
                    let before = used.load(Ordering::Relaxed);
                    until(patience(), || Ok(used.load(Ordering::Relaxed) > before + 1))?;
                }
                Err(Errno::EWOULDBLOCK | Errno::EBUSY) => {
                    in_use.fetch_add(1, Ordering::Relaxed);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let users = [1, 2].map(|byte| scope.spawn(move || user(byte)));
        scope.spawn(|| {
            while going() {
                let _ = knobs::tt_shrink();
                let _ = knobs::trigger("bo_shrink");
            }
        });
        let unloaded = unload();
        stop.store(true, Ordering::Relaxed);
        let used = users
            .into_iter()
            .try_for_each(|user| user.join().map_err(|_| Stop::failed("a user panicked"))?);
        unloaded.and(used)
    })?;
    check_eq!(counted("gpu_faults")?, 0);
    check_eq!(counted("objects")?, 0);
    Ok(())
}
