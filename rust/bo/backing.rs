// SPDX-License-Identifier: GPL-2.0

//! What a device gives to the TTs of its buffer objects.
#![deny(unsafe_code)]

use super::{
    counters::Accounting,
    pool::Pool, //
};
use crate::abstractions::{
    dma::DmaDevice,
    shmem::Storage, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The accounting, the pool, the storage and the DMA device that the TTs of a device use.
///
/// A device owns one and passes it to each operation of a TT that gets or frees pages.
pub(crate) struct Backing {
    device: u32,
    accounting: Arc<Accounting>,
    pool: Arc<Pool>,
    dma: Arc<DmaDevice>,
    storage: Arc<Storage>,
}

impl Backing {
    /// Makes the backing of the device numbered `device`, with a storage of its own. Fails like
    /// [`Storage::new`]. May sleep.
    pub(super) fn new(
        device: u32,
        accounting: Arc<Accounting>,
        pool: Arc<Pool>,
        dma: Arc<DmaDevice>,
    ) -> Result<Self> {
        Ok(Self {
            device,
            accounting,
            pool,
            dma,
            storage: Storage::new()?,
        })
    }

    /// Returns the number of the device, as tracepoints show it.
    pub(super) fn device(&self) -> u32 {
        self.device
    }

    /// Returns the accounting in which pages are counted.
    #[inline]
    pub(crate) fn accounting(&self) -> &Arc<Accounting> {
        &self.accounting
    }

    /// Returns the pool from which pages come and to which they return.
    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns the device for which pages are mapped.
    pub(crate) fn dma(&self) -> &Arc<DmaDevice> {
        &self.dma
    }

    /// Returns where content is kept that is not in pages.
    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }
}
