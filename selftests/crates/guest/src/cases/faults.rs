// SPDX-License-Identifier: GPL-2.0-or-later

//! Allocations fail where more than one thing may have happened. The rest is in `sweeps.rs`.

use std::io;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::fail_nth::expected;
use crate::fail_nth::Faults;
use crate::seen::open;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;

cases!("faults";
    populate_over_the_limit,
    shrink_file,
    destroy_and_close_never_fail,
);

/// Pages that the pool keeps are given without an allocation.
fn empty_pool() -> Outcome {
    Ok(knobs::drain_pool()?)
}

/// A device with some objects in every state, so that a change of any would be seen.
struct Scene {
    device: Device,
    handle: Handle,
}

const SIZE: usize = 5 * PAGE as usize;

impl Scene {
    fn new() -> Outcome<Self> {
        let device = open()?;
        let full = device.create(Create::new(2 * PAGE))?;
        device.write(full, 0, &[1; 8])?;
        let swapped = device.create(Create::new(2 * PAGE))?;
        device.write(swapped, 0, &[2; 8])?;
        device.swapout(swapped)?;
        let handle = device.create(Create::new(SIZE as u64))?;
        empty_pool()?;
        Ok(Self { device, handle })
    }

    /// The same with content in the object of the case.
    fn filled() -> Outcome<Self> {
        let scene = Self::new()?;
        scene
            .device
            .write(scene.handle, 0, &Pattern::new(3).bytes(SIZE))?;
        Ok(scene)
    }

    fn content_is_there(&self) -> Outcome {
        let mut found = vec![0; SIZE];
        self.device.read(self.handle, 0, &mut found)?;
        check_eq!(Pattern::new(3).mismatch(0, &found), None);
        Ok(())
    }
}

/// Here a failure may come after another object went out; the counters still have to fit.
fn populate_over_the_limit() -> Outcome {
    let mut faults = Faults::new()?;
    let Scene { device, handle } = Scene::new()?;
    let victim = device.list()?[0].handle();
    let _limit = Limit::pages(5)?;
    let mut failures = 0;
    faults.each(
        || {
            device.unpopulate(handle)?; // when a way around was found
            Ok(device.populate(victim)?)
        },
        || device.populate(handle),
        |_, result, reached| {
            if let Err(err) = result {
                expected(&err, reached)?;
                failures += 1;
            }
            let charged: u64 = device.list()?.iter().map(|info| info.pages_charged).sum();
            check_eq!(device.stats()?.pages_allocated, charged);
            Ok(())
        },
    )?;
    check!(failures > 0);
    let mut bytes = [0; 8];
    device.read(victim, 0, &mut bytes)?;
    check_eq!(bytes, [1; 8]);
    Ok(())
}

/// A shrink that fails says so, or that nothing was freed; content stays in any case.
fn shrink_file() -> Outcome {
    let mut faults = Faults::new()?;
    let scene = Scene::filled()?;
    let Scene { device, handle } = &scene;
    device.pin(device.list()?[0].handle())?;
    let nothing = || Ok(());
    faults.each(nothing, knobs::tt_shrink, |(), result, reached| {
        scene.content_is_there()?;
        match result {
            Ok(pages) => check!(reached || pages == 5, "{pages}"),
            Err(err) => check!(reached && err.raw_os_error().is_some(), "{err}"),
        }
        check_eq!(device.info(*handle)?.pages_charged, 5);
        Ok(())
    })
}

/// Giving back needs no memory.
fn destroy_and_close_never_fail() -> Outcome {
    let mut faults = Faults::new()?;
    for n in 1..=10 {
        let scene = Scene::filled()?;
        let (result, _) = faults.nth(n, || scene.device.unpopulate(scene.handle))?;
        tolerate_copy_failures(result.map(|_| ()))?;
        let (result, _) = faults.nth(n, || scene.device.destroy(scene.handle))?;
        tolerate_copy_failures(result)?;
        faults.nth(n, || drop(scene))?;
    }
    let stats = open()?.stats()?;
    check_eq!((stats.pages_allocated, stats.buffer_objects), (0, 0));
    Ok(())
}

/// The argument itself may be what could not be copied.
fn tolerate_copy_failures(result: io::Result<()>) -> Outcome {
    match result {
        Err(err) if errno(&err) != Errno::EFAULT => Err(err.into()),
        _ => Ok(()),
    }
}
