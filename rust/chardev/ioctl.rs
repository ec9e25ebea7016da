// SPDX-License-Identifier: GPL-2.0

//! The calls that are not about one buffer object.

use super::uapi::{
    consts::*,
    FileLimit,
    LockSanity,
    Stats,
    Version, //
};
use super::{
    args::{
        read,
        write, //
    },
    file::OpenFile, //
};
use crate::{
    abstractions::params,
    lock_order, //
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

impl OpenFile {
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
                | REEVE_FEATURE_DMA_ADDRESSES,
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

    pub(super) fn stats(&self, s: &mut Stats) -> Result {
        let accounting = self.manager.accounting();
        let counted = accounting.counted();
        let limits = accounting.limits.get();
        let statistics = &accounting.statistics;
        s.pages_allocated = counted.pages;
        s.dma32_pages_allocated = counted.dma32;
        s.pages_limit = limits.pages;
        s.dma32_pages_limit = limits.dma32;
        s.buffer_objects = accounting.objects();
        s.populates = statistics.populates.get();
        s.unpopulates = statistics.unpopulates.get();
        s.swapouts = statistics.swapouts.get();
        s.swapins = statistics.swapins.get();
        s.swapped_pages = statistics.swapped_pages.get();
        s.overcommits = statistics.overcommits.get();
        s.lock_violations = lock_order::total_violations();
        s.pool_pages = self.manager.pool().kept();
        s.backups = statistics.backups.get();
        s.restores = statistics.restores.get();
        s.backed_up_pages = statistics.backed_up_pages.get();
        s.page_pool_size = self.manager.pool().cap();
        s.faults = statistics.faults.get();
        s.huge_faults = statistics.huge_faults.get();
        s.file_overcommits = statistics.file_overcommits.get();
        Ok(())
    }

    /// The answer is written before the limit is set, because it may turn out that it can't be. Who
    /// lowers the limit does not wait until it is kept.
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
            params::limit_changed();
        }
        Ok(0)
    }

    /// Too large for the stack, so it does not go through [`super::args::call`].
    pub(super) fn lock_sanity(&self, arg: usize) -> Result<isize> {
        if !params::enable_builtin_tests() {
            return Err(EPERM);
        }
        let mut asked = KBox::new(LockSanity::default(), GFP_KERNEL)?;
        UserSlice::new(UserPtr::from_addr(arg), core::mem::size_of::<LockSanity>())
            .reader()
            .read_slice(asked.as_bytes_mut())?;
        if asked.flags != 0 || asked.pad != 0 || asked.reserved != [0; 2] {
            return Err(EINVAL);
        }
        let result = lock_order::sanity::run(self.sanity)?;
        write(arg, &*result)?;
        Ok(0)
    }
}
