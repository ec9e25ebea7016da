// SPDX-License-Identifier: GPL-2.0

//! The devices of drivers.

use super::{
    link::DriverOps,
    misuse::{
        Answer,
        Failure, //
    },
    prime::prime, //
};
use crate::{
    abstractions::{
        bindings,
        dma::DmaDevice, //
    },
    bo::{
        object::Device,
        Manager, //
    }, //
};
use kernel::{
    ffi::c_char,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// The most bytes of a device's name.
const NAME: usize = 31;

/// A device of a driver.
pub(super) struct DriverDevice {
    device: Arc<Device>,
    driver: Arc<DriverOps>,
}

impl DriverDevice {
    /// Registers a device.
    ///
    /// # Safety
    ///
    /// `dev` must be null or a valid device, `name` null or a string, `ops` null or valid, with functions
    /// that may be called until the device is unregistered as `bo.h` says.
    pub(super) unsafe fn new(
        manager: &Manager,
        dev: *mut kernel::bindings::device,
        name: *const c_char,
        ops: *const bindings::reeve_device_ops,
        flags: u32,
        site: usize,
    ) -> Answer<Self> {
        if name.is_null() {
            return Err(Failure::misuse(EINVAL, c"a device needs a name"));
        }
        // SAFETY: By the contract it is a string.
        let name = unsafe { CStr::from_char_ptr(name) };
        if name.to_bytes().is_empty() || name.to_bytes().len() > NAME {
            return Err(Failure::misuse(EINVAL, c"a name has 1 to 31 bytes"));
        }
        let is_dma_resv = flags & bindings::REEVE_DEVICE_DMA_RESV != 0;
        if flags & !bindings::REEVE_DEVICE_DMA_RESV != 0 {
            return Err(Failure::misuse(EINVAL, c"unknown flags"));
        }
        let ops = if ops.is_null() {
            bindings::reeve_device_ops::default()
        } else {
            // SAFETY: By the contract it is valid. It is only read.
            unsafe { ops.read() }
        };
        let given = [
            ops.lock.is_some(),
            ops.trylock.is_some(),
            ops.unlock.is_some(),
            ops.is_held.is_some(),
        ];
        if given.iter().any(|&it| it != given[0]) {
            return Err(Failure::misuse(EINVAL, c"only some of the ops of the lock"));
        }
        if is_dma_resv && ops.lock.is_none() {
            let what = c"REEVE_DEVICE_DMA_RESV without the ops of the lock";
            return Err(Failure::misuse(EINVAL, what));
        }
        let dma = if dev.is_null() {
            None
        } else {
            // SAFETY: By the contract it is a valid device.
            match unsafe { DmaDevice::of_driver(dev) } {
                Err(EINVAL) => return Err(Failure::misuse(EINVAL, c"its device has no DMA mask")),
                dma => Some(dma?),
            }
        };
        let name = CString::try_from(name)?;
        // SAFETY: By the contract the functions may be called.
        let driver = Arc::new(unsafe { DriverOps::new(name, ops, site) }, GFP_KERNEL)?;
        prime(is_dma_resv)?;
        Ok(Self {
            device: manager.register(dma)?,
            driver,
        })
    }

    /// Returns the device.
    #[inline]
    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Returns its driver.
    #[inline]
    pub(super) fn driver(&self) -> &Arc<DriverOps> {
        &self.driver
    }
}
