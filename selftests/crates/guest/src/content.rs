// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects whose bytes are known.

use reeve_uapi::pattern::Pattern;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::test::check_eq;
use crate::test::Outcome;

/// A new object that holds the pattern of this seed.
pub(crate) fn filled(device: &Device, create: Create, seed: u64) -> Outcome<Handle> {
    let handle = device.create(create)?;
    device.write(handle, 0, &Pattern::new(seed).bytes(create.size as usize))?;
    Ok(handle)
}

/// Writes the pattern of this seed to an object, from end to end.
pub(crate) fn fill(device: &Device, handle: Handle, seed: u64) -> Outcome {
    let size = device.info(handle)?.size as usize;
    device.write(handle, 0, &Pattern::new(seed).bytes(size))?;
    Ok(())
}

/// The object holds the pattern of this seed, from end to end.
#[track_caller]
pub(crate) fn holds(device: &Device, handle: Handle, seed: u64) -> Outcome {
    let mut found = vec![0; device.info(handle)?.size as usize];
    device.read(handle, 0, &mut found)?;
    check_eq!(Pattern::new(seed).mismatch(0, &found), None);
    Ok(())
}
