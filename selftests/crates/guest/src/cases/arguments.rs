// SPDX-License-Identifier: GPL-2.0-or-later

//! Calls that do not exist, and arguments that are not there.

use nix::errno::Errno;

use reeve_uapi::sys;
use reeve_uapi::Create;
use reeve_uapi::Device;

use crate::memory::ioctl;
use crate::memory::Place;
use crate::memory::Region;
use crate::memory::NOWHERE;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("arguments";
    unknown_numbers,
    wrong_sizes,
    wrong_directions,
    wrong_magic,
    no_memory_there,
    memory_ends_in_the_argument,
    read_only_memory,
    create_into_read_only_memory,
    changes_into_read_only_memory,
);

/// Number and argument size of every call.
const CALLS: [(u32, usize); 26] = [
    (sys::REEVE_NR_VERSION, size_of::<sys::reeve_version>()),
    (sys::REEVE_NR_STATS, size_of::<sys::reeve_stats>()),
    (sys::REEVE_NR_BO_CREATE, size_of::<sys::reeve_bo_create>()),
    (sys::REEVE_NR_BO_DESTROY, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_INFO, size_of::<sys::reeve_bo_info>()),
    (sys::REEVE_NR_BO_NEXT, size_of::<sys::reeve_bo_info>()),
    (sys::REEVE_NR_BO_POPULATE, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_UNPOPULATE, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_PIN, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_UNPIN, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_SWAPOUT, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_BACKUP, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_RESTORE, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_READ, size_of::<sys::reeve_bo_rw>()),
    (sys::REEVE_NR_BO_WRITE, size_of::<sys::reeve_bo_rw>()),
    (sys::REEVE_NR_FILE_LIMIT, size_of::<sys::reeve_file_limit>()),
    (sys::REEVE_NR_BO_MMAP, size_of::<sys::reeve_bo_mmap>()),
    (
        sys::REEVE_NR_BO_DMA_ADDRESS,
        size_of::<sys::reeve_bo_dma_address>(),
    ),
    (sys::REEVE_NR_LOG_MODE, size_of::<sys::reeve_log_mode>()),
    (sys::REEVE_NR_BO_LOG_START, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_LOG_STOP, size_of::<sys::reeve_bo>()),
    (sys::REEVE_NR_BO_LOG_GET, size_of::<sys::reeve_bo_log_get>()),
    (
        sys::REEVE_NR_BO_LOG_CLEAR,
        size_of::<sys::reeve_bo_log_clear>(),
    ),
    (
        sys::REEVE_NR_BO_LOG_INFO,
        size_of::<sys::reeve_bo_log_info>(),
    ),
    (
        sys::REEVE_NR_BO_LOG_FENCE,
        size_of::<sys::reeve_bo_log_fence>(),
    ),
    (
        sys::REEVE_NR_LOCK_SANITY,
        size_of::<sys::reeve_lock_sanity>(),
    ),
];

const WRITE: u32 = 1;
const READ: u32 = 2;

/// A request number as `_IOC` makes it.
const fn request(direction: u32, magic: u32, nr: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | magic << 8 | nr
}

/// Sends a request with a zeroed argument.
fn send(device: &Device, request: u32) -> std::io::Result<()> {
    ioctl(device, request, Place::Buffer(&mut [0; 4096]))
}

fn every_call(mut f: impl FnMut(u32, usize) -> Outcome) -> Outcome {
    for (nr, size) in CALLS {
        f(nr, size).map_err(|stop| stop.during(format!("call {nr:#x}")))?;
    }
    Ok(())
}

fn unknown_numbers() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        for nr in (0..=255).filter(|nr| CALLS.iter().all(|(known, _)| known != nr)) {
            for size in [0, 8, size_of::<sys::reeve_bo>()] {
                let number = request(READ | WRITE, sys::REEVE_IOC_MAGIC, nr, size);
                refused(send(&device, number), Errno::ENOTTY)
                    .map_err(|stop| stop.during(format!("{nr:#x}, {size} bytes")))?;
            }
        }
        Ok(())
    })
}

fn wrong_sizes() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        every_call(|nr, size| {
            for wrong in [0, 8, size - 8, size - 1, size + 1, size + 8, 16383] {
                let number = request(READ | WRITE, sys::REEVE_IOC_MAGIC, nr, wrong);
                refused(send(&device, number), Errno::ENOTTY)
                    .map_err(|stop| stop.during(format!("{wrong} bytes")))?;
            }
            Ok(())
        })
    })
}

fn wrong_directions() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        every_call(|nr, size| {
            for direction in [0, READ, WRITE] {
                let number = request(direction, sys::REEVE_IOC_MAGIC, nr, size);
                refused(send(&device, number), Errno::ENOTTY)?;
            }
            Ok(())
        })
    })
}

fn wrong_magic() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        every_call(|nr, size| {
            for magic in [0, 0x64, sys::REEVE_IOC_MAGIC ^ 1] {
                refused(
                    send(&device, request(READ | WRITE, magic, nr, size)),
                    Errno::ENOTTY,
                )?;
            }
            Ok(())
        })
    })
}

fn no_memory_there() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        every_call(|nr, size| {
            let number = request(READ | WRITE, sys::REEVE_IOC_MAGIC, nr, size);
            for address in NOWHERE {
                refused(
                    ioctl(&device, number, Place::Nowhere(address)),
                    Errno::EFAULT,
                )
                .map_err(|stop| stop.during(format!("{address:#x}")))?;
            }
            Ok(())
        })
    })
}

fn memory_ends_in_the_argument() -> Outcome {
    let device = open()?;
    let mut region = Region::new(1)?;
    unchanged(&device, || {
        every_call(|nr, size| {
            let number = request(READ | WRITE, sys::REEVE_IOC_MAGIC, nr, size);
            for there in [1, size / 2, size - 1] {
                let place = Place::BeforeHole(&mut region, there);
                refused(ioctl(&device, number, place), Errno::EFAULT)
                    .map_err(|stop| stop.during(format!("{there} bytes there")))?;
            }
            Ok(())
        })
    })
}

/// The calls that only return values cannot store them.
fn read_only_memory() -> Outcome {
    let device = open()?;
    let memory = Region::new(1)?.read_only()?;
    unchanged(&device, || {
        for (nr, size) in [CALLS[0], CALLS[1], CALLS[CALLS.len() - 1]] {
            let number = request(READ | WRITE, sys::REEVE_IOC_MAGIC, nr, size);
            refused(
                ioctl(&device, number, Place::ReadOnly(&memory)),
                Errno::EFAULT,
            )?;
        }
        Ok(())
    })
}

/// An object whose handle the caller never learns must not stay.
fn create_into_read_only_memory() -> Outcome {
    let device = open()?;
    let mut region = Region::new(1)?;
    // Only the size is not zero.
    region.bytes()[..8].copy_from_slice(&(3 * PAGE).to_le_bytes());
    let memory = region.read_only()?;
    let size = size_of::<sys::reeve_bo_create>();
    let number = request(
        READ | WRITE,
        sys::REEVE_IOC_MAGIC,
        sys::REEVE_NR_BO_CREATE,
        size,
    );
    unchanged(&device, || {
        for _ in 0..10 {
            match ioctl(&device, number, Place::ReadOnly(&memory)) {
                Err(err) if errno(&err) == Errno::EFAULT => {}
                other => return Err(Stop::failed(format!("{other:?}, not EFAULT"))),
            }
        }
        check!(device.list()?.is_empty());
        Ok(())
    })
}

/// A call that cannot store its result has not taken effect.
fn changes_into_read_only_memory() -> Outcome {
    let device = open()?;
    let empty = device.create(Create::new(2 * PAGE))?;
    let full = populated(&device, 2)?;
    let pinned = populated(&device, 2)?;
    device.pin(pinned)?;
    for (nr, handle) in [
        (sys::REEVE_NR_BO_POPULATE, empty),
        (sys::REEVE_NR_BO_UNPOPULATE, full),
        (sys::REEVE_NR_BO_SWAPOUT, full),
        (sys::REEVE_NR_BO_PIN, full),
        (sys::REEVE_NR_BO_UNPIN, pinned),
        (sys::REEVE_NR_BO_DESTROY, full),
        (sys::REEVE_NR_BO_READ, empty),
        (sys::REEVE_NR_BO_WRITE, empty),
    ] {
        let size = CALLS
            .iter()
            .find(|(known, _)| *known == nr)
            .map_or(0, |(_, size)| *size);
        let mut region = Region::new(1)?;
        // The handle is the first field of each; the rest stays zero.
        region.bytes()[..4].copy_from_slice(&handle.get().to_le_bytes());
        let memory = region.read_only()?;
        let number = request(READ | WRITE, sys::REEVE_IOC_MAGIC, nr, size);
        unchanged(&device, || {
            refused(
                ioctl(&device, number, Place::ReadOnly(&memory)),
                Errno::EFAULT,
            )
        })
        .map_err(|stop| stop.during(format!("call {nr:#x}")))?;
    }
    Ok(())
}
