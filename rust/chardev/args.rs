// SPDX-License-Identifier: GPL-2.0

//! Arguments of ioctls: copied from user space, checked, and copied back.
#![deny(unsafe_code)]

use super::uapi::{
    Bo,
    BoCreate,
    BoDmaAddress,
    BoInfo,
    BoLogClear,
    BoLogFence,
    BoLogGet,
    BoLogInfo,
    BoMmap,
    BoRw,
    FileLimit,
    LogMode,
    Stats,
    Version, //
};
use kernel::{
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// A struct of the ABI that an ioctl takes.
pub(super) trait Argument: FromBytes + AsBytes {
    /// Returns whether all fields that must be 0 are 0.
    fn reserved_are_zero(&self) -> bool;
}

impl Argument for Version {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2]
    }
}

impl Argument for Stats {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 4]
    }
}

impl Argument for BoCreate {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2] && self.handle == 0
    }
}

impl Argument for Bo {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2]
    }
}

impl Argument for BoInfo {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 4]
    }
}

impl Argument for BoMmap {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2] && self.flags == 0
    }
}

impl Argument for BoDmaAddress {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2] && self.flags == 0
    }
}

impl Argument for BoRw {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2] && self.flags == 0
    }
}

impl Argument for FileLimit {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2] && self.pad == 0
    }
}

impl Argument for LogMode {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == 0
    }
}

impl Argument for BoLogGet {
    fn reserved_are_zero(&self) -> bool {
        self.flags == 0
    }
}

impl Argument for BoLogClear {
    fn reserved_are_zero(&self) -> bool {
        self.flags == 0
    }
}

impl Argument for BoLogInfo {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == 0
    }
}

impl Argument for BoLogFence {
    fn reserved_are_zero(&self) -> bool {
        self.reserved == [0; 2] && self.flags == 0 && self.pad == 0
    }
}

/// Reads an ioctl's struct from the user address `arg`, checks it, calls `f` with it, and writes it
/// back if `f` succeeded.
///
/// Returns `EFAULT` if the struct can't be read, or if it can't be written back, though `f` took
/// effect, and `EINVAL` if a field that must be 0 is not. May sleep; the caller must hold no lock.
pub(super) fn call<T: Argument>(arg: usize, f: impl FnOnce(&mut T) -> Result) -> Result<isize> {
    let mut value = read::<T>(arg)?;
    f(&mut value)?;
    write(arg, &value)?;
    Ok(0)
}

/// Reads a struct from the user address `arg` and checks it.
///
/// Returns `EFAULT` if it can't be read, and `EINVAL` if a field that must be 0 is not. May sleep.
pub(super) fn read<T: Argument>(arg: usize) -> Result<T> {
    let value = UserSlice::new(UserPtr::from_addr(arg), core::mem::size_of::<T>())
        .reader()
        .read::<T>()?;
    if value.reserved_are_zero() {
        Ok(value)
    } else {
        Err(EINVAL)
    }
}

/// Writes a struct to the user address `arg`. Returns `EFAULT` if it can't be written. May sleep.
pub(super) fn write<T: AsBytes>(arg: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(arg), core::mem::size_of::<T>())
        .writer()
        .write(value)
}
