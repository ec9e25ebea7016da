// SPDX-License-Identifier: GPL-2.0

//! Arguments of calls: from user space, checked, and back.

use super::uapi::{
    Bo,
    BoCreate,
    BoDmaAddress,
    BoInfo,
    BoMmap,
    BoRw,
    FileLimit,
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

/// A struct of the ABI.
pub(super) trait Argument: FromBytes + AsBytes {
    /// Whether all fields that must be 0 are.
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

/// Runs a call: reads its struct from user address `arg`, checks it, and writes it back when `f`
/// succeeded.
///
/// `EFAULT`: the struct can't be read, or can't be written back though `f` took effect. `EINVAL`: a
/// field that must be 0 is not. May sleep; holds no lock meanwhile.
pub(super) fn call<T: Argument>(arg: usize, f: impl FnOnce(&mut T) -> Result) -> Result<isize> {
    let mut value = read::<T>(arg)?;
    f(&mut value)?;
    write(arg, &value)?;
    Ok(0)
}

/// Reads and checks a struct; see [`call`].
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

/// Writes a struct back. `EFAULT`.
pub(super) fn write<T: AsBytes>(arg: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(arg), core::mem::size_of::<T>())
        .writer()
        .write(value)
}
