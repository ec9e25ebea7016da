// SPDX-License-Identifier: GPL-2.0-or-later

//! Fences: while there is one before an object its content does not change, whoever writes and however; readers go on.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::setrlimit;
use nix::sys::resource::Resource;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;

use reeve_uapi::sys;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Handle;
use reeve_uapi::Protection;

use crate::kvm::Guest;
use crate::memory;
use crate::process::be_interrupted;
use crate::process::state;
use crate::process::Child;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

use super::dirty_log::Log;
use super::dirty_log::INITIALLY_SET;
use super::dirty_log::LEGACY;
use super::dirty_log::MANUAL;
use super::dirty_log::MODES;
use super::dirty_log::N;
use super::dirty_log::STEP;
use super::dirty_log_races::creates;

cases!("dirty_log";
    a_store_waits_for_a_fence,
    loads_do_not_wait_for_a_fence,
    the_logs_calls_do_not_wait_for_a_fence,
    calls_that_change_content_wait_for_a_fence,
    stores_of_the_kernel_wait_for_a_fence,
    a_killed_store_does_not_wait_for_a_fence,
    signals_are_handled_behind_a_fence,
    a_fence_goes_with_its_process,
    a_fence_stays_with_a_child,
    the_last_of_several_fences_counts,
    a_fence_goes_with_its_log,
    a_fence_goes_with_its_object,
    children_wait_for_a_fence,
    swapped_out_behind_a_fence,
    huge_entries_behind_a_fence,
    memory_can_be_mapped_behind_a_fence,
    a_mapping_goes_while_a_store_waits,
    a_guest_of_kvm_waits_for_a_fence,
    what_cannot_wait_for_a_fence_fails,
    fences_need_files,
);

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A child that says 1, does something that has to wait, and says 2.
fn waiting(act: impl FnOnce() -> Outcome) -> Outcome<Child> {
    let mut child = Child::run(|line| {
        line.say(1)?;
        act()?;
        line.say(2)
    })?;
    check_eq!(child.line.hear()?, 1);
    waits(&mut child)?;
    Ok(child)
}

/// A store to a page that has to wait.
fn storing(log: &Log, page: u64) -> Outcome<Child> {
    waiting(|| {
        log.write(page);
        Ok(())
    })
}

/// Fails unless it sleeps in what it does.
fn waits(child: &mut Child) -> Outcome {
    let pid = child.pid();
    let sleeps = || Ok(matches!(state(pid)?, Some('S' | 'D')));
    check!(until(PATIENCE, sleeps)?, "it does not wait");
    // It might have slept for something else.
    for _ in 0..20 {
        thread::yield_now();
    }
    check!(!child.line.heard()?, "it did not wait");
    check!(child.is_running()?);
    Ok(())
}

/// Fails unless it goes on and ends.
fn goes_on(mut child: Child) -> Outcome {
    check_eq!(child.line.hear()?, 2);
    child.join()
}

pub(super) fn fence(log: &Log) -> Outcome<OwnedFd> {
    Ok(log.device.log_fence(log.handle)?)
}

/// A process that has put a fence: this one and its other children do not have it.
fn fenced_by_another(log: &Log) -> Outcome<Child> {
    let mut fencer = Child::run(|line| {
        let _fence = fence(log)?;
        line.say(0)?;
        line.hear().map(drop)
    })?;
    fencer.line.hear()?;
    Ok(fencer)
}

/// All that is in the object.
fn content(log: &Log) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; log.mapping.len()];
    log.device.read(log.handle, 0, &mut bytes)?;
    Ok(bytes)
}

fn a_store_waits_for_a_fence() -> Outcome {
    let small = Create::new(N * PAGE);
    for create in [
        small,
        small.shmem(),
        small.caching(Caching::WriteCombined),
        small.caching(Caching::Uncached),
    ] {
        for mode in MODES {
            let log = Log::of(create, mode)?;
            log.write(3);
            log.clear(0, 64, &[1 << 9])?;
            let before = content(&log)?;
            let fencer = fenced_by_another(&log)?;
            // A page that was written to, one that was not, and one that is clean though it was mapped.
            let children = [storing(&log, 3)?, storing(&log, 70)?, storing(&log, 9)?];
            check!(content(&log)? == before, "{create:?}, mode {mode}");
            check_eq!(log.info()?.fences, 1);
            fencer.kill()?;
            for child in children {
                goes_on(child)?;
            }
            check!(content(&log)? != before);
            check_eq!(log.info()?.fences, 0);
            let dirty = log.dirty()?;
            check!([3, 9, 70].iter().all(|page| dirty.contains(page)));
        }
    }
    Ok(())
}

fn loads_do_not_wait_for_a_fence() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    log.write(3);
    let _fence = fence(&log)?;
    let mut waiter = storing(&log, 4)?;
    // Entries that are there, and such that are not.
    log.mapping.touch();
    let fresh = log.device.map(log.handle)?;
    fresh.touch();
    let read_only = log.device.map_place(log.handle)?;
    let read_only =
        reeve_uapi::Mapping::new(&log.device, read_only.offset, STEP, Protection::Read)?;
    read_only.touch();
    check_eq!(log.mapping.bytes(), content(&log)?);
    let file = File::create("/tmp/reeve-fence")?;
    memory::save(&fresh, 2 * STEP, &file)?;
    fs::remove_file("/tmp/reeve-fence")?;
    log.mapping.protect(0, STEP, Protection::Read)?;
    log.mapping.protect(0, STEP, Protection::ReadWrite)?;
    waits(&mut waiter)?;
    waiter.kill()?;
    // All that were made to be read are no more than that, also of a page that was written to before.
    for mapping in [&log.mapping, &fresh] {
        let child = waiting(|| {
            mapping.write(3 * STEP, &[8; 8]);
            Ok(())
        })?;
        child.kill()?;
    }
    Ok(())
}

fn the_logs_calls_do_not_wait_for_a_fence() -> Outcome {
    for mode in MODES {
        let log = Log::of(Create::new(N * PAGE), mode)?;
        log.write(3);
        log.write(5);
        let _fence = fence(&log)?;
        let mut waiter = storing(&log, 3)?;
        check!(log.dirty()?.contains(&5));
        log.clear(0, 64, &[1 << 5])?;
        check!(!log.dirty()?.contains(&5));
        check_eq!(log.device.log_start(log.handle)?, N);
        check_eq!(log.info()?.fences, 1);
        for _ in 0..2 {
            log.device.pin(log.handle)?;
            log.device.unpin(log.handle)?;
        }
        waits(&mut waiter)?;
        waiter.kill()?;
    }
    Ok(())
}

fn calls_that_change_content_wait_for_a_fence() -> Outcome {
    type Call = fn(&Log) -> io::Result<()>;
    let calls: [(&str, Call); 3] = [
        ("write", |log| log.device.write(log.handle, 0, &[7; 9000])),
        ("unpopulate", |log| {
            log.device.unpopulate(log.handle).map(drop)
        }),
        ("purge", |log| {
            log.device
                .backup_with(log.handle, sys::REEVE_BO_BACKUP_PURGE)
                .map(drop)
        }),
    ];
    for (name, call) in calls {
        let log = Log::of(Create::new(N * PAGE), MANUAL)?;
        log.mapping.write(0, &[5; 16]);
        let before = content(&log)?;
        let fencer = fenced_by_another(&log)?;
        let child = waiting(|| Ok(call(&log)?)).map_err(|stop| stop.during(name))?;
        let killed = waiting(|| Ok(call(&log)?)).map_err(|stop| stop.during(name))?;
        killed.kill()?;
        check!(content(&log)? == before, "{name}");
        check_eq!(log.info()?.dirty, 1, "{name}");
        fencer.kill()?;
        goes_on(child).map_err(|stop| stop.during(name))?;
        check!(content(&log)? != before, "{name}");
    }
    Ok(())
}

/// System calls that store by the mapping: it is the kernel that takes the fault.
fn stores_of_the_kernel_wait_for_a_fence() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let path = "/tmp/reeve-fence-from";
    fs::write(path, vec![9; 3 * STEP])?;
    let file = File::open(path)?;
    let before = content(&log)?;
    let fencer = fenced_by_another(&log)?;
    let child = waiting(|| Ok(memory::load(&log.mapping, 3 * STEP, &file)?))?;
    let killed = waiting(|| Ok(memory::load(&log.mapping, 3 * STEP, &file)?))?;
    killed.kill()?;
    check!(content(&log)? == before);
    fencer.kill()?;
    goes_on(child)?;
    fs::remove_file(path)?;
    check!(content(&log)?[..3 * STEP].iter().all(|byte| *byte == 9));
    Ok(())
}

fn a_killed_store_does_not_wait_for_a_fence() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    log.write(3);
    let before = content(&log)?;
    let fencer = fenced_by_another(&log)?;
    for page in [3, 90] {
        storing(&log, page)?.kill()?;
        // One that ends by a signal without a handler.
        let child = storing(&log, page)?;
        kill(child.pid(), Signal::SIGTERM)?;
        child.join_killed_by(Signal::SIGTERM)?;
    }
    check!(content(&log)? == before);
    fencer.kill()?;
    check!(content(&log)? == before);
    goes_on(Child::run(|line| {
        log.write(3);
        line.say(2)
    })?)
}

/// A store of user code is given up for a signal, and made again after its handler.
fn signals_are_handled_behind_a_fence() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let before = content(&log)?;
    let fencer = fenced_by_another(&log)?;
    let mut child = waiting(|| {
        be_interrupted()?;
        log.write(3);
        Ok(())
    })?;
    let pid = child.pid();
    let pending = || -> Outcome<bool> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(status.lines().any(|line| {
            let number = line.split_whitespace().nth(1).unwrap_or_default();
            line.starts_with("ShdPnd:") && !number.trim_start_matches('0').is_empty()
        }))
    };
    for _ in 0..5 {
        kill(pid, Signal::SIGUSR1)?;
        check!(until(PATIENCE, || Ok(!pending()?))?, "it is not handled");
        waits(&mut child)?;
    }
    // It can be stopped, and goes on waiting.
    kill(pid, Signal::SIGSTOP)?;
    check!(until(PATIENCE, || child.is_stopped())?);
    kill(pid, Signal::SIGCONT)?;
    waits(&mut child)?;
    check!(content(&log)? == before);
    fencer.kill()?;
    goes_on(child)
}

/// A process that was killed has no fence any more, though others have the open file and the mapping.
fn a_fence_goes_with_its_process() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let mut fencer = Child::run(|line| {
        let _fence = fence(&log)?;
        line.say(0)?;
        line.hear().map(drop)
    })?;
    fencer.line.hear()?;
    let child = storing(&log, 3)?;
    check_eq!(log.info()?.fences, 1);
    fencer.kill()?;
    goes_on(child)?;
    check_eq!(log.info()?.fences, 0);
    log.write(4);
    Ok(())
}

/// A descriptor that was inherited is one.
fn a_fence_stays_with_a_child() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let fences = fence(&log)?;
    let keeper = Child::run(|line| line.hear().map(drop))?;
    let mut child = storing(&log, 3)?;
    drop(fences);
    // The waiting one has it, too, and the one that is to end it. Both were made after it.
    waits(&mut child)?;
    check_eq!(log.info()?.fences, 1);
    keeper.kill()?;
    waits(&mut child)?;
    child.kill()?;
    check!(until(PATIENCE, || Ok(log.info()?.fences == 0))?);
    log.write(4);
    Ok(())
}

fn the_last_of_several_fences_counts() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let before = content(&log)?;
    let mut writers = Vec::new();
    let mut fencer = Child::run(|line| {
        let _fence = fence(&log)?;
        line.say(0)?;
        line.hear().map(drop)
    })?;
    fencer.line.hear()?;
    let first = fence(&log)?;
    let second = fence(&log)?;
    check_eq!(log.info()?.fences, 3);
    // Those made behind them would have them, too.
    drop(first);
    check_eq!(log.info()?.fences, 2);
    drop(second);
    for page in [3, 70] {
        writers.push(storing(&log, page)?);
    }
    check!(content(&log)? == before);
    fencer.kill()?;
    for writer in writers {
        goes_on(writer)?;
    }
    // One after the other, with a writer all the time.
    let before = log.info()?.protections;
    for _ in 0..50 {
        let fences = fence(&log)?;
        check_eq!(log.info()?.fences, 1);
        drop(fences);
        log.write(3);
    }
    check!(log.info()?.protections >= before + 49);
    Ok(())
}

fn a_fence_goes_with_its_log() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let mut fencer = fenced_by_another(&log)?;
    let child = storing(&log, 3)?;
    log.device.log_stop(log.handle)?;
    goes_on(child)?;
    log.write(4);
    check_eq!(log.shown("reeve-fenced")?, None);
    // Another log is not meant by the old fence, also when that is lifted.
    log.start(LEGACY)?;
    check_eq!(log.info()?.fences, 0);
    log.write(4);
    let ours = fenced_by_another(&log)?;
    fencer.line.say(0)?;
    fencer.join()?;
    check_eq!(log.info()?.fences, 1);
    storing(&log, 5)?.kill()?;
    ours.kill()
}

fn a_fence_goes_with_its_object() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let fencer = fenced_by_another(&log)?;
    let child = waiting(|| {
        // Where the object was, there is nothing.
        let file = File::open("/dev/zero")?;
        match memory::load(&log.mapping, STEP, &file) {
            Err(err) if errno(&err) == Errno::EFAULT => Ok(()),
            other => Err(Stop::failed(format!("{other:?}"))),
        }
    })?;
    log.device.destroy(log.handle)?;
    goes_on(child)?;
    fencer.kill()?;
    let handle = log.device.create(Create::new(PAGE))?;
    refused(log.device.log_fence(handle), Errno::ENOENT)?;
    refused(log.device.log_fence(Handle::new(77)), Errno::ENOENT)
}

/// Those that were there before, those that are made behind the fence, and their children.
fn children_wait_for_a_fence() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    (0..N).for_each(|page| log.write(page));
    let before = content(&log)?;
    // With writable entries of its own.
    let mut early = Child::run(|line| {
        log.write(0);
        line.say(1)?;
        line.hear()?;
        log.mapping.write(STEP, &[77; 8]);
        line.say(2)
    })?;
    early.line.hear()?;
    let fencer = fenced_by_another(&log)?;
    early.line.say(0)?;
    let mut late = Child::run(|line| {
        let mut child = Child::run(|line| {
            line.say(1)?;
            log.mapping.write(2 * STEP, &[77; 8]);
            line.say(2)
        })?;
        child.line.hear()?;
        waits(&mut child)?;
        line.say(1)?;
        goes_on(child)?;
        line.say(2)
    })?;
    check_eq!(late.line.hear()?, 1);
    waits(&mut early)?;
    waits(&mut late)?;
    check!(content(&log)? == before);
    fencer.kill()?;
    goes_on(early)?;
    goes_on(late)?;
    let after = content(&log)?;
    check_eq!((after[STEP], after[2 * STEP]), (77, 77));
    Ok(())
}

fn swapped_out_behind_a_fence() -> Outcome {
    for create in creates() {
        let log = Log::of(create, MANUAL)?;
        log.write(3);
        log.write(log.pages - 1);
        let before = content(&log)?;
        let fencer = fenced_by_another(&log)?;
        let mut child = storing(&log, 3)?;
        for round in 0..4 {
            match round % 2 {
                0 => log.device.swapout(log.handle)?,
                _ => log.device.backup(log.handle)?,
            };
            // It is tried while nothing is in memory, too.
            let other = storing(&log, log.pages - 1)?;
            waits(&mut child)?;
            log.mapping.touch();
            check!(log.mapping.bytes() == before, "{create:?}");
            other.kill()?;
        }
        check_eq!(log.info()?.fences, 1);
        log.device.swapout(log.handle)?;
        fencer.kill()?;
        goes_on(child)?;
        check!(log.dirty()?.contains(&3));
    }
    Ok(())
}

/// Entries of 2 MiB, written to before, and not at all.
fn huge_entries_behind_a_fence() -> Outcome {
    for mode in [MANUAL, INITIALLY_SET] {
        let log = Log::prepared(Create::new(1024 * PAGE))?;
        log.device.populate(log.handle)?;
        log.write(5);
        log.start(mode)?;
        log.write(5);
        let before = content(&log)?;
        let fencer = fenced_by_another(&log)?;
        let children = [5, 6, 700].map(|page| storing(&log, page));
        log.mapping.touch();
        check!(log.mapping.bytes() == before);
        fencer.kill()?;
        for child in children {
            goes_on(child?)?;
        }
        let dirty = log.dirty()?;
        check!([5, 6, 700].iter().all(|page| dirty.contains(page)));
    }
    Ok(())
}

/// A thread that waits has its process's memory left to others.
fn memory_can_be_mapped_behind_a_fence() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    log.write(3);
    let fencer = fenced_by_another(&log)?;
    let mut child = Child::run(|line| {
        thread::scope(|scope| {
            // An entry that is there, and none.
            let log = &log;
            let threads = [3, 100].map(|page| scope.spawn(move || log.write(page)));
            line.say(1)?;
            line.hear()?;
            for _ in 0..20 {
                let mapping = log.device.map(log.handle)?;
                mapping.touch();
                let mapping = mapping.moved()?;
                drop(mapping);
                Child::run(|_| Ok(()))?.join()?;
            }
            check!(threads.iter().all(|thread| !thread.is_finished()));
            line.say(3)?;
            for thread in threads {
                check!(thread.join().is_ok());
            }
            line.say(2)
        })
    })?;
    check_eq!(child.line.hear()?, 1);
    let pid = child.pid();
    // All threads but the first, which listens, are held.
    let held = || -> Outcome<bool> {
        let mut waiting = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = fs::read_to_string(task?.path().join("stat"))?;
            waiting += usize::from(stat.contains(") S ") || stat.contains(") D "));
        }
        Ok(waiting == 3)
    };
    check!(until(PATIENCE, held)?, "they do not wait");
    child.line.say(0)?;
    check_eq!(child.line.hear()?, 3);
    fencer.kill()?;
    goes_on(child)
}

/// What is waited for may be gone when the wait is over.
fn a_mapping_goes_while_a_store_waits() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    let fencer = fenced_by_another(&log)?;
    let mut child = Child::run(|line| {
        let file = File::open("/dev/zero")?;
        thread::scope(|scope| {
            let stored = scope.spawn(|| memory::load(&log.mapping, STEP, &file));
            line.say(1)?;
            line.hear()?;
            memory::unmap(&log.mapping)?;
            line.say(3)?;
            match stored.join() {
                Ok(Err(err)) if errno(&err) == Errno::EFAULT => line.say(2),
                other => Err(Stop::failed(format!("{other:?}"))),
            }
        })
    })?;
    check_eq!(child.line.hear()?, 1);
    for _ in 0..100 {
        thread::yield_now();
    }
    child.line.say(0)?;
    check_eq!(child.line.hear()?, 3);
    fencer.kill()?;
    goes_on(child)
}

/// An object that is a guest's memory: what it writes to by the tables of its processor, and where these have nothing.
fn a_guest_of_kvm_waits_for_a_fence() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    // Or there is no KVM.
    drop(Guest::of(&log.mapping)?);
    for page in [3, 80] {
        let mut child = Child::run(|line| {
            // A guest is its process's.
            let guest = Guest::of(&log.mapping)?;
            guest.write(3, 1)?;
            line.say(1)?;
            line.hear()?;
            guest.read(4, &mut [0; 8]);
            line.say(1)?;
            guest.write(page, 77)?;
            line.say(2)
        })?;
        check_eq!(child.line.hear()?, 1);
        let before = content(&log)?;
        let fencer = fenced_by_another(&log)?;
        child.line.say(0)?;
        check_eq!(child.line.hear()?, 1);
        waits(&mut child)?;
        check!(content(&log)? == before, "page {page}");
        fencer.kill()?;
        goes_on(child)?;
        check_eq!(content(&log)?[page as usize * STEP], 77);
        log.clear_all()?;
    }
    Ok(())
}

fn what_cannot_wait_for_a_fence_fails() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    log.write(3);
    let before = content(&log)?;
    let fencer = fenced_by_another(&log)?;
    // A debugger's write.
    let own = File::options()
        .read(true)
        .write(true)
        .open("/proc/self/mem")?;
    let address = log.mapping.address() as u64 + 3 * PAGE;
    let mut bytes = [0; 8];
    own.read_exact_at(&mut bytes, address)?;
    check_eq!(bytes, [9; 8]);
    refused(own.write_at(&[1; 8], address), Errno::EIO)?;
    // A futex operation that writes, of a page that is mapped, and of one that is not.
    for page in [3, 110] {
        refused(
            memory::futex_write(&log.mapping, page * STEP),
            Errno::EFAULT,
        )?;
    }
    // Pages are not asked for behind the fence, in whatever way.
    let _ = memory::prefault(&log.mapping, None);
    let _ = memory::prefault(&log.mapping, Some(libc::MADV_POPULATE_WRITE));
    let place = log.device.map_place(log.handle)?;
    memory::map_populated(&log.device, place.offset, place.length as usize)?;
    check!(content(&log)? == before);
    fencer.kill()?;
    own.write_at(&[1; 8], address)?;
    for page in [3, 110] {
        memory::futex_write(&log.mapping, page * STEP)?;
    }
    check!(content(&log)? != before);
    Ok(())
}

fn fences_need_files() -> Outcome {
    let log = Log::of(Create::new(N * PAGE), MANUAL)?;
    Child::run(|_| {
        let fences = fence(&log)?;
        let link = fs::read_link(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&fences)
        ))?;
        check_eq!(link.to_string_lossy(), "anon_inode:[reeve-fence]");
        drop(fences);
        setrlimit(Resource::RLIMIT_NOFILE, 3, 3)?;
        refused(log.device.log_fence(log.handle), Errno::EMFILE)?;
        check_eq!(log.info()?.fences, 0);
        log.write(3);
        Ok(())
    })?
    .join()
}
