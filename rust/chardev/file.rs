// SPDX-License-Identifier: GPL-2.0

//! The file operations of `/dev/reeve`, and which ioctl does what.
#![deny(unsafe_code)]

use super::{
    args::call,
    fdinfo,
    open_file::{
        OpenFile,
        Shared, //
    },
    uapi::requests::*, //
};
use crate::{
    abstractions::{
        miscdevice::MiscFile,
        vma::MapSpace, //
    },
    bo::vm::Mapping,
    lock_order::with_context, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

impl MiscFile for OpenFile {
    type Shared = Shared;
    type Mapped = Mapping;

    fn open(shared: &Shared, space: &Arc<MapSpace>) -> Result<Pin<KBox<Self>>> {
        with_context(|| Self::new(shared, space))
    }

    fn find(&self, first: u64, pages: u64) -> Result<Arc<Mapping>> {
        with_context(|| self.handles.find(first, pages))
    }

    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        with_context(|| self.dispatch(cmd, arg))
    }

    fn show_fdinfo(&self, m: &SeqFile) {
        with_context(|| fdinfo::show(&self.client, m));
    }

    fn release(self: Pin<KBox<Self>>) {
        // Destroys the objects that its handles name.
        with_context(|| drop(self));
    }
}

impl OpenFile {
    /// Does the ioctl `cmd`. Returns `ENOTTY` if there is no such ioctl.
    fn dispatch(&self, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            REEVE_IOC_VERSION => call(arg, |version| self.version(version)),
            REEVE_IOC_STATS => call(arg, |stats| self.stats(stats)),
            REEVE_IOC_BO_CREATE => self.bo_create(arg),
            REEVE_IOC_BO_DESTROY => self.bo_destroy(arg),
            REEVE_IOC_BO_INFO => call(arg, |info| self.bo_info(info)),
            REEVE_IOC_BO_NEXT => call(arg, |info| self.bo_next(info)),
            REEVE_IOC_BO_POPULATE => self.bo_populate(arg),
            REEVE_IOC_BO_UNPOPULATE => self.bo_unpopulate(arg),
            REEVE_IOC_BO_PIN => self.bo_pin(arg),
            REEVE_IOC_BO_UNPIN => self.bo_unpin(arg),
            REEVE_IOC_BO_SWAPOUT => self.bo_swapout(arg),
            REEVE_IOC_BO_BACKUP => self.bo_backup(arg),
            REEVE_IOC_BO_RESTORE => self.bo_restore(arg),
            REEVE_IOC_BO_READ => self.bo_read(arg),
            REEVE_IOC_BO_WRITE => self.bo_write(arg),
            REEVE_IOC_BO_MMAP => call(arg, |mmap| self.bo_mmap(mmap)),
            REEVE_IOC_FILE_LIMIT => self.file_limit(arg),
            REEVE_IOC_BO_DMA_ADDRESS => call(arg, |address| self.bo_dma_address(address)),
            REEVE_IOC_LOG_MODE => self.log_mode(arg),
            REEVE_IOC_BO_LOG_START => self.bo_log_start(arg),
            REEVE_IOC_BO_LOG_STOP => self.bo_log_stop(arg),
            REEVE_IOC_BO_LOG_GET => self.bo_log_get(arg),
            REEVE_IOC_BO_LOG_CLEAR => self.bo_log_clear(arg),
            REEVE_IOC_BO_LOG_INFO => call(arg, |info| self.bo_log_info(info)),
            REEVE_IOC_BO_LOG_FENCE => self.bo_log_fence(arg),
            REEVE_IOC_LOCK_SANITY => self.lock_sanity(arg),
            _ => Err(ENOTTY),
        }
    }
}
