// SPDX-License-Identifier: GPL-2.0-or-later

//! The buffers of a sample GPU driver in memory: `REEVE_GPU` names its device file, which the script beside the sample
//! does.

use std::env;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::Device;
use reeve_uapi::Mapping;
use reeve_uapi::Protection;

use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("gpu";
    shows_what_the_gpu_sums_up,
    buffers_do_not_mix,
    wrong_ranges_are_refused,
    outlives_its_file,
);

/// What the sample makes of a buffer.
const SIZE: usize = 64 << 10;

fn open() -> Outcome<File> {
    let Some(node) = env::var_os("REEVE_GPU") else {
        return Err(Stop::skipped("REEVE_GPU does not name a device"));
    };
    Ok(File::options().read(true).write(true).open(node)?)
}

/// A buffer full of this byte.
fn filled(byte: u8) -> Outcome<File> {
    let file = open()?;
    check_eq!(file.write_at(&[byte; SIZE], 0)?, SIZE);
    Ok(file)
}

fn map(file: &File, offset: usize, length: usize) -> Outcome<std::io::Result<Mapping>> {
    let device = Device::from(OwnedFd::from(file.try_clone()?));
    let protection = Protection::ReadWrite;
    Ok(Mapping::new(&device, offset as u64, length, protection))
}

fn sum(mut file: &File) -> Outcome<u64> {
    let mut text = [0; 32];
    let count = file.read(&mut text)?;
    let text = String::from_utf8_lossy(&text[..count]);
    text.trim()
        .parse()
        .map_err(|_| Stop::failed(format!("{text} is no sum")))
}

/// Written by mapping, seen by the GPU, and the other way round, whatever was evicted meanwhile.
fn shows_what_the_gpu_sums_up() -> Outcome {
    let file = filled(3)?;
    let whole = map(&file, 0, SIZE)??;
    check!(whole.bytes().iter().all(|byte| *byte == 3));
    for round in 1..=5u64 {
        whole.write(round as usize * 5000, &[3 + round as u8; 8]);
        let expected = 3 * SIZE as u64 + 8 * (1..=round).sum::<u64>();
        check_eq!(sum(&file)?, expected);
        let freed = knobs::tt_shrink()?;
        check_eq!(freed, (SIZE as u64 / PAGE) as i64);
        let mut found = [0; 8];
        whole.read(round as usize * 5000, &mut found);
        check_eq!(found, [3 + round as u8; 8]);
        check_eq!(sum(&file)?, expected);
    }
    Ok(())
}

/// Each open file's begins at its offset 0.
fn buffers_do_not_mix() -> Outcome {
    let (first, second) = (filled(1)?, filled(2)?);
    let (one, other) = (map(&first, 0, SIZE)??, map(&second, 0, SIZE)??);
    one.write(0, &[9; 8]);
    check_eq!(sum(&first)?, SIZE as u64 + 64);
    check_eq!(sum(&second)?, 2 * SIZE as u64);
    let part = map(&second, SIZE - PAGE as usize, PAGE as usize)??;
    part.write(PAGE as usize - 8, &[7; 8]);
    check_eq!(other.bytes()[SIZE - 1], 7);
    check_eq!(sum(&second)?, 2 * SIZE as u64 + 40);
    Ok(())
}

fn wrong_ranges_are_refused() -> Outcome {
    let file = open()?;
    refused(map(&file, 0, SIZE)?, Errno::ENODATA)?;
    let file = filled(1)?;
    let page = PAGE as usize;
    refused(map(&file, 0, SIZE + 1)?, Errno::EINVAL)?;
    refused(map(&file, SIZE, page)?, Errno::EINVAL)?;
    refused(map(&file, page, SIZE)?, Errno::EINVAL)?;
    // The largest that a file may have; the driver adds to it.
    refused(map(&file, (1 << 63) - 2 * page, page)?, Errno::EINVAL)
}

fn outlives_its_file() -> Outcome {
    let file = filled(5)?;
    let mapping = map(&file, 0, SIZE)??;
    drop(file);
    check!(knobs::tt_shrink()? > 0);
    check!(mapping.bytes().iter().all(|byte| *byte == 5));
    Ok(())
}
