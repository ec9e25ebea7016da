// SPDX-License-Identifier: GPL-2.0-or-later

//! Calls that get in each other's way: each returns what it would have returned alone, before or after.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::Barrier;
use std::thread;

use nix::errno::Errno;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::BoCall;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::process::Child;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

cases!("races";
    one_destroy_wins,
    destroy_against_everything,
    one_populate_gains,
    one_swapout_gives,
    create_gives_each_its_own,
    pins_are_counted_exactly,
    list_while_others_come_and_go,
    close_while_in_use,
);

const ROUNDS: usize = 15;
const THREADS: usize = 4;

/// Runs `f` in all threads at the same moment; sums up what they return.
fn at_once(f: impl Fn(usize) -> Outcome<u64> + Sync) -> Outcome<u64> {
    let start = Barrier::new(THREADS);
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let (start, sum, f) = (&start, &sum, &f);
                scope.spawn(move || -> Outcome {
                    start.wait();
                    sum.fetch_add(f(index)?, Ordering::Relaxed);
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| panic!("a thread panicked"))
        })
    })?;
    Ok(sum.into_inner())
}

/// Success and ENOENT are right results for a handle that another thread may have destroyed.
fn or_gone<T>(result: std::io::Result<T>) -> Outcome<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(err) if errno(&err) == Errno::ENOENT => Ok(None),
        Err(err) => Err(err.into()),
    }
}

fn one_destroy_wins() -> Outcome {
    let device = open()?;
    for _ in 0..ROUNDS {
        let handle = populated(&device, 3)?;
        let won = at_once(|_| Ok(u64::from(or_gone(device.destroy(handle))?.is_some())))?;
        check_eq!(won, 1);
    }
    check_eq!(device.stats()?.pages_allocated, 0);
    check_eq!(device.stats()?.buffer_objects, 0);
    Ok(())
}

fn destroy_against_everything() -> Outcome {
    let device = open()?;
    for round in 0..ROUNDS {
        let handle = populated(&device, 16)?;
        at_once(|index| {
            match index {
                0 => drop(or_gone(device.destroy(handle))?),
                1 => {
                    let call = [BoCall::Swapout, BoCall::Unpopulate][round % 2];
                    or_gone(device.bo(call, handle))?;
                    or_gone(device.populate(handle))?;
                }
                2 => drop(or_gone(device.write(handle, 0, &[1; 64]))?),
                _ => {
                    let mut bytes = vec![0; 16 * PAGE as usize];
                    or_gone(device.read(handle, 0, &mut bytes))?;
                }
            }
            Ok(0)
        })?;
        check_eq!(device.stats()?.pages_allocated, 0, "round {round}");
    }
    Ok(())
}

fn one_populate_gains() -> Outcome {
    let device = open()?;
    for round in 0..ROUNDS {
        let handle = device.create(Create::new(12 * PAGE))?;
        if round % 2 == 1 {
            device.write(handle, 0, &[7; 4096])?;
            device.swapout(handle)?;
        }
        check_eq!(at_once(|_| Ok(device.populate(handle)?))?, 12);
        check_eq!(device.stats()?.pages_allocated, 12);
        device.destroy(handle)?;
    }
    Ok(())
}

fn one_swapout_gives() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(12 * PAGE))?;
    let bytes = Pattern::new(1).bytes(12 * PAGE as usize);
    device.write(handle, 0, &bytes)?;
    for _ in 0..ROUNDS {
        check_eq!(at_once(|_| Ok(device.swapout(handle)?))?, 12);
        check_eq!(device.stats()?.pages_allocated, 0);
        check_eq!(device.populate(handle)?, 12);
    }
    let mut found = vec![0; bytes.len()];
    device.read(handle, 0, &mut found)?;
    check!(found == bytes);
    Ok(())
}

fn create_gives_each_its_own() -> Outcome {
    let device = open()?;
    for _ in 0..ROUNDS {
        let made = std::sync::Mutex::new(Vec::<Handle>::new());
        at_once(|_| {
            let handle = device.create(Create::new(PAGE))?;
            made.lock()
                .map_err(|_| Stop::failed("poisoned"))?
                .push(handle);
            Ok(0)
        })?;
        let made = made.into_inner().map_err(|_| Stop::failed("poisoned"))?;
        let unique: BTreeSet<Handle> = made.iter().copied().collect();
        check_eq!(unique.len(), THREADS);
        for handle in unique {
            device.destroy(handle)?;
        }
    }
    Ok(())
}

fn pins_are_counted_exactly() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 1)?;
    at_once(|_| {
        for _ in 0..ROUNDS {
            device.pin(handle)?;
        }
        Ok(0)
    })?;
    check_eq!(device.info(handle)?.pin_count as usize, ROUNDS * THREADS);
    at_once(|_| {
        for _ in 0..ROUNDS {
            device.unpin(handle)?;
        }
        Ok(0)
    })?;
    check_eq!(device.info(handle)?.pin_count, 0);
    Ok(())
}

fn list_while_others_come_and_go() -> Outcome {
    let device = open()?;
    let stays: Vec<Handle> = (0..5)
        .map(|_| Ok(device.create(Create::new(PAGE))?))
        .collect::<Outcome<_>>()?;
    at_once(|index| {
        for _ in 0..ROUNDS {
            if index == 0 {
                let listed: Vec<Handle> = device.list()?.iter().map(|i| i.handle()).collect();
                check!(
                    listed.windows(2).all(|pair| pair[0] < pair[1]),
                    "{listed:?}"
                );
                check!(
                    stays.iter().all(|handle| listed.contains(handle)),
                    "{listed:?}"
                );
            } else {
                let handle = device.create(Create::new(PAGE))?;
                device.destroy(handle)?;
            }
        }
        Ok(0)
    })?;
    check_eq!(device.list()?.len(), 5);
    Ok(())
}

/// The last descriptor is closed by one process while another has just used it.
fn close_while_in_use() -> Outcome {
    for round in 0..10 {
        let device: Device = open()?;
        let handle = populated(&device, 20)?;
        let mut child = Child::run(|line| {
            line.say(1)?;
            for _ in 0..round {
                device.swapout(handle)?;
                device.populate(handle)?;
            }
            Ok(())
        })?;
        child.line.hear()?;
        drop(device);
        child.join()?;
    }
    let stats = open()?.stats()?;
    check_eq!((stats.pages_allocated, stats.buffer_objects), (0, 0));
    Ok(())
}
