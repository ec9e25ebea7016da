// SPDX-License-Identifier: GPL-2.0

//! The ioctls that do not take a buffer object.
#![deny(unsafe_code)]

use super::{
    args::{
        read,
        write, //
    },
    open_file::OpenFile,
    uapi::{
        consts::*,
        FileLimit,
        LockSanity,
        Stats,
        Version, //
    }, //
};
use crate::{
    abstractions::params,
    bo::counters::for_each_statistic,
    lock_order, //
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    transmute::AsBytes,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The module's version.
const RELEASE: &[u8] = b"0.1.0";

/// `struct reeve_stats` has no other fields than the table's statistics and `reserved`.
const _: () = {
    let mut count = 0;
    macro_rules! count {
        (debugfs $name:ident = $value:expr) => {};
        ($place:ident $name:ident = $value:expr) => {
            count += 1;
        };
    }
    for_each_statistic!(manager, count);
    assert!(offset_of!(Stats, reserved) == count * size_of::<u64>());
};

impl OpenFile {
    /// `REEVE_IOC_VERSION`.
    pub(super) fn version(&self, v: &mut Version) -> Result {
        v.abi_major = REEVE_ABI_MAJOR;
        v.abi_minor = REEVE_ABI_MINOR;
        v.features = u64::from(
            REEVE_FEATURE_LOCK_ORDER
                | REEVE_FEATURE_PAGE_ACCOUNTING
                | REEVE_FEATURE_PAGE_POOL
                | REEVE_FEATURE_BACKUP
                | REEVE_FEATURE_SHMEM
                | REEVE_FEATURE_MMAP
                | REEVE_FEATURE_FILE_LIMIT
                | REEVE_FEATURE_DMA_ADDRESSES
                | REEVE_FEATURE_DIRTY_LOG
                | REEVE_FEATURE_LOG_FENCE,
        );
        if params::enable_builtin_tests() {
            v.features |= u64::from(REEVE_FEATURE_LOCK_SANITY);
        }
        v.page_size = PAGE_SIZE as u32;
        v.devices = self.manager.devices().len() as u32;
        v.release = [0; 32];
        for (to, from) in v.release.iter_mut().zip(RELEASE) {
            *to = *from;
        }
        Ok(())
    }

    /// `REEVE_IOC_STATS`.
    pub(super) fn stats(&self, stats: &mut Stats) -> Result {
        let manager = &*self.manager;
        macro_rules! fill {
            (debugfs $name:ident = $value:expr) => {};
            ($place:ident $name:ident = $value:expr) => {
                stats.$name = $value;
            };
        }
        for_each_statistic!(manager, fill);
        Ok(())
    }

    /// `REEVE_IOC_FILE_LIMIT`.
    ///
    /// The result is written before the limit is set, so that the call changes nothing if it fails
    /// with `EFAULT`. It does not wait until the objects are below a lowered limit.
    pub(super) fn file_limit(&self, arg: usize) -> Result<isize> {
        let mut args = read::<FileLimit>(arg)?;
        if args.flags & !REEVE_FILE_LIMIT_SET != 0 {
            return Err(EINVAL);
        }
        let set = (args.flags & REEVE_FILE_LIMIT_SET != 0).then_some(args.limit);
        let limit = match set {
            Some(pages) => self.client.limit_with(pages),
            None => self.client.limit(),
        };
        args.limit = limit.unwrap_or(0);
        args.pages_charged = self.client.charged();
        args.overcommits = self.client.overcommits();
        write(arg, &args)?;
        if let Some(pages) = set {
            self.client.set_limit(pages);
        }
        Ok(0)
    }

    /// `REEVE_IOC_LOCK_SANITY`.
    ///
    /// The struct is too large for the stack, so this does not use [`super::args::call`].
    pub(super) fn lock_sanity(&self, arg: usize) -> Result<isize> {
        if !params::enable_builtin_tests() {
            return Err(EPERM);
        }
        let mut args = KBox::new(LockSanity::default(), GFP_KERNEL)?;
        UserSlice::new(UserPtr::from_addr(arg), size_of::<LockSanity>())
            .reader()
            .read_slice(args.as_bytes_mut())?;
        if args.flags != 0 || args.pad != 0 || args.reserved != [0; 2] {
            return Err(EINVAL);
        }
        let result = lock_order::sanity::run(self.sanity)?;
        write(arg, &*result)?;
        Ok(0)
    }
}
