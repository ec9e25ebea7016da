// SPDX-License-Identifier: GPL-2.0-or-later

//! Bytes that are written are the bytes that are read.

use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys::REEVE_BO_POPULATED;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::random::Random;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;

cases!("content";
    writing_populates,
    reading_populates,
    stays_over_populate,
    any_range_can_be_copied,
    objects_do_not_share,
    large_copies,
    random_ranges_match_a_model,
);

fn writing_populates() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(3 * PAGE))?;
    let before = device.stats()?;
    device.write(handle, 0, &[1])?;
    check!(device.info(handle)?.is(REEVE_BO_POPULATED));
    let after = device.stats()?;
    check_eq!(after.pages_allocated, before.pages_allocated + 3);
    check_eq!(after.populates, before.populates + 1);
    unchanged(&device, || Ok(device.write(handle, PAGE, &[2])?))
}

fn reading_populates() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(3 * PAGE))?;
    let before = device.stats()?.pages_allocated;
    device.read(handle, 3 * PAGE - 1, &mut [1])?;
    check!(device.info(handle)?.is(REEVE_BO_POPULATED));
    check_eq!(device.stats()?.pages_allocated, before + 3);
    unchanged(&device, || Ok(device.read(handle, PAGE, &mut [2])?))
}

fn stays_over_populate() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(2 * PAGE))?;
    device.write(handle, PAGE - 2, &[1, 2, 3, 4])?;
    device.populate(handle)?;
    let mut bytes = [0; 4];
    device.read(handle, PAGE - 2, &mut bytes)?;
    check_eq!(bytes, [1, 2, 3, 4]);
    Ok(())
}

fn any_range_can_be_copied() -> Outcome {
    let device = open()?;
    let size = 3 * PAGE + 100;
    let handle = device.create(Create::new(size))?;
    let mut model = vec![0; size as usize];
    let edges = [
        0,
        1,
        PAGE - 1,
        PAGE,
        PAGE + 1,
        3 * PAGE - 1,
        3 * PAGE,
        size - 1,
        size,
    ];
    for (seed, start) in edges.into_iter().enumerate() {
        for end in edges.into_iter().filter(|end| *end > start) {
            let (from, to) = (start as usize, end as usize);
            Pattern::new(seed as u64 ^ end).fill(start, &mut model[from..to]);
            device.write(handle, start, &model[from..to])?;
            let mut found = vec![0; to - from];
            device.read(handle, start, &mut found)?;
            check!(found == model[from..to], "{start}..{end}");
            check!(read_all(&device, handle)? == model, "after {start}..{end}");
        }
    }
    Ok(())
}

fn objects_do_not_share() -> Outcome {
    let device = open()?;
    let len = 4 * PAGE as usize;
    let mut handles = Vec::new();
    for seed in 0..16 {
        let handle = device.create(Create::new(len as u64))?;
        device.write(handle, 0, &Pattern::new(seed).bytes(len))?;
        handles.push((handle, seed));
    }
    for (handle, seed) in handles {
        check!(
            read_all(&device, handle)? == Pattern::new(seed).bytes(len),
            "object {handle}"
        );
    }
    Ok(())
}

fn large_copies() -> Outcome {
    let device = open()?;
    let len = 4 << 20;
    let handle = device.create(Create::new(len as u64))?;
    let bytes = Pattern::new(11).bytes(len);
    device.write(handle, 0, &bytes)?;
    check!(read_all(&device, handle)? == bytes);
    Ok(())
}

/// Writes, reads and swapouts in a random order; a vector says what must be there.
fn random_ranges_match_a_model() -> Outcome {
    let device = open()?;
    for seed in 1..=3 {
        let mut random = Random::new(seed);
        let size = 1 + random.below(20 * PAGE);
        let handle = device.create(Create::new(size))?;
        let mut model = vec![0; size as usize];
        for step in 0..150 {
            let start = random.below(size);
            let end = start + 1 + random.below((size - start).min(3 * PAGE));
            let end = end.min(size);
            let (from, to) = (start as usize, end as usize);
            match random.below(8) {
                0 => device.swapout(handle).map(|_| ())?,
                1 => device.populate(handle).map(|_| ())?,
                2..=4 => {
                    Pattern::new(random.next()).fill(start, &mut model[from..to]);
                    device.write(handle, start, &model[from..to])?;
                }
                _ => {
                    let mut found = vec![0; to - from];
                    device.read(handle, start, &mut found)?;
                    check!(
                        found == model[from..to],
                        "seed {seed}, step {step}: {start}..{end}"
                    );
                }
            }
        }
        check!(read_all(&device, handle)? == model, "seed {seed}");
    }
    Ok(())
}

fn read_all(device: &Device, handle: Handle) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; device.info(handle)?.size as usize];
    device.read(handle, 0, &mut bytes)?;
    Ok(bytes)
}
