// SPDX-License-Identifier: GPL-2.0-or-later

//! Ranges and buffers that a copy cannot use.

use nix::errno::Errno;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::raw::Way;
use reeve_uapi::sys::reeve_bo_rw;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::memory::read_into;
use crate::memory::rw_at_hole;
use crate::memory::rw_nowhere;
use crate::memory::Region;
use crate::memory::NOWHERE;
use crate::seen::open;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("ranges";
    outside_the_object,
    overflowing_ranges,
    buffers_that_are_nowhere,
    write_from_a_buffer_that_ends,
    read_into_a_buffer_that_ends,
    read_into_read_only_memory,
    bad_buffers_and_swapped_content,
    length_zero_changes_nothing,
);

const SIZE: u64 = 3 * PAGE + 10;
const SEED: u64 = 77;

fn filled(device: &Device) -> Outcome<Handle> {
    let handle = device.create(Create::new(SIZE))?;
    device.write(handle, 0, &Pattern::new(SEED).bytes(SIZE as usize))?;
    Ok(handle)
}

/// The object still holds its pattern, from byte `from` on.
#[track_caller]
fn untouched(device: &Device, handle: Handle, from: u64) -> Outcome {
    let mut found = vec![0; (SIZE - from) as usize];
    device.read(handle, from, &mut found)?;
    check_eq!(Pattern::new(SEED).mismatch(from, &found), None);
    Ok(())
}

fn rw(handle: Handle, offset: u64, length: u64) -> reeve_bo_rw {
    reeve_bo_rw {
        handle: handle.get(),
        offset,
        length,
        ..Default::default()
    }
}

fn outside_the_object() -> Outcome {
    let device = open()?;
    let handle = filled(&device)?;
    let mut bytes = vec![0; SIZE as usize + 1];
    unchanged(&device, || {
        for (offset, length) in [
            (0, SIZE + 1),
            (1, SIZE),
            (SIZE, 1),
            (SIZE - 1, 2),
            (SIZE + 1, 1),
            (4 * PAGE - 1, 1), // in its last page, behind its last byte
            (1 << 40, 1),
        ] {
            let bytes = &mut bytes[..length as usize];
            refused(device.write(handle, offset, bytes), Errno::EINVAL)
                .map_err(|stop| stop.during(format!("write {offset} {length}")))?;
            refused(device.read(handle, offset, bytes), Errno::EINVAL)
                .map_err(|stop| stop.during(format!("read {offset} {length}")))?;
        }
        Ok(())
    })?;
    untouched(&device, handle, 0)
}

fn overflowing_ranges() -> Outcome {
    let device = open()?;
    let handle = filled(&device)?;
    unchanged(&device, || {
        for (offset, length) in [
            (u64::MAX, 1),
            (u64::MAX, u64::MAX),
            (1, u64::MAX),
            (0, u64::MAX),
            (u64::MAX - PAGE, PAGE + 1),
            (1 << 63, 1 << 63),
        ] {
            for way in [Way::Read, Way::Write] {
                let mut arg = reeve_bo_rw {
                    addr: NOWHERE[0],
                    ..rw(handle, offset, length)
                };
                refused(rw_nowhere(&device, way, &mut arg), Errno::EINVAL)
                    .map_err(|stop| stop.during(format!("{way:?} {offset:#x} {length:#x}")))?;
            }
        }
        Ok(())
    })?;
    untouched(&device, handle, 0)
}

fn buffers_that_are_nowhere() -> Outcome {
    let device = open()?;
    let handle = filled(&device)?;
    unchanged(&device, || {
        for addr in NOWHERE {
            for (offset, length) in [(0, 1), (0, SIZE), (PAGE - 1, 2)] {
                for way in [Way::Read, Way::Write] {
                    let mut arg = reeve_bo_rw {
                        addr,
                        ..rw(handle, offset, length)
                    };
                    refused(rw_nowhere(&device, way, &mut arg), Errno::EFAULT)
                        .map_err(|stop| stop.during(format!("{way:?} {addr:#x}")))?;
                    check_eq!(arg.done, 0, "{way:?} {addr:#x}");
                }
            }
        }
        Ok(())
    })?;
    untouched(&device, handle, 0)
}

fn write_from_a_buffer_that_ends() -> Outcome {
    let device = open()?;
    let mut region = Region::new(2)?;
    region.bytes().fill(0xee);
    for there in [1, 100, PAGE - 1, PAGE, PAGE + 5] {
        let handle = filled(&device)?;
        let mut arg = rw(handle, 10, there + 50);
        let result = unchanged(&device, || {
            refused(
                rw_at_hole(&device, Way::Write, &mut arg, &mut region, there as usize),
                Errno::EFAULT,
            )
        });
        result.map_err(|stop| stop.during(format!("{there} bytes there")))?;
        check!(arg.done <= there, "{} of {there} bytes", arg.done);
        // What is said to be done is done, and nothing changed behind what was there.
        let mut done = vec![0; arg.done as usize];
        device.read(handle, 10, &mut done)?;
        check!(done.iter().all(|byte| *byte == 0xee));
        untouched(&device, handle, 10 + there)?;
        device.destroy(handle)?;
    }
    Ok(())
}

fn read_into_a_buffer_that_ends() -> Outcome {
    let device = open()?;
    let mut region = Region::new(2)?;
    let handle = filled(&device)?;
    for there in [1, 100, PAGE - 1, PAGE, PAGE + 5] {
        region.bytes().fill(0);
        let mut arg = rw(handle, 10, there + 50);
        unchanged(&device, || {
            refused(
                rw_at_hole(&device, Way::Read, &mut arg, &mut region, there as usize),
                Errno::EFAULT,
            )
        })?;
        check!(arg.done <= there, "{} of {there} bytes", arg.done);
        let start = region.bytes().len() - there as usize;
        let done = &region.bytes()[start..][..arg.done as usize];
        check_eq!(Pattern::new(SEED).mismatch(10, done), None);
    }
    untouched(&device, handle, 0)
}

fn read_into_read_only_memory() -> Outcome {
    let device = open()?;
    let handle = filled(&device)?;
    let memory = Region::new(1)?.read_only()?;
    let mut arg = rw(handle, 0, 100);
    unchanged(&device, || {
        refused(read_into(&device, &mut arg, &memory), Errno::EFAULT)
    })?;
    check!(memory.bytes().iter().all(|byte| *byte == 0));
    untouched(&device, handle, 0)
}

fn bad_buffers_and_swapped_content() -> Outcome {
    let device = open()?;
    let handle = filled(&device)?;
    device.swapout(handle)?;
    for way in [Way::Read, Way::Write] {
        let mut arg = reeve_bo_rw {
            addr: NOWHERE[1],
            ..rw(handle, 0, SIZE)
        };
        refused(rw_nowhere(&device, way, &mut arg), Errno::EFAULT)?;
        untouched(&device, handle, 0)?;
        device.swapout(handle)?;
    }
    untouched(&device, handle, 0)
}

/// Whether copying nothing is an error is not said; that it does nothing is.
fn length_zero_changes_nothing() -> Outcome {
    let device = open()?;
    let handle = filled(&device)?;
    unchanged(&device, || {
        for way in [Way::Read, Way::Write] {
            let mut arg = reeve_bo_rw {
                addr: NOWHERE[0],
                ..rw(handle, 5, 0)
            };
            match rw_nowhere(&device, way, &mut arg) {
                Ok(()) => check_eq!(arg.done, 0),
                other => refused(other, Errno::EINVAL)?,
            }
        }
        Ok(())
    })?;
    untouched(&device, handle, 0)
}
