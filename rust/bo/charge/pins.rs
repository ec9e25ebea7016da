// SPDX-License-Identifier: GPL-2.0

//! What a pinned object of a client is charged to: the user that pinned it, and the module's limit.
#![deny(unsafe_code)]

use crate::{
    abstractions::{
        cred::LockedPages,
        params, //
    },
    bo::counters::{
        self,
        Accounting, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Full,
        Arc, //
    }, //
};

/// The pages of a pinned object; dropping it uncharges them.
pub(in crate::bo) struct PinCharge {
    accounting: Arc<Accounting>,
    pages: u64,
    _locked: Option<LockedPages>,
}

impl PinCharge {
    /// Charges `pages` pages that the current task pins.
    ///
    /// Returns, as `mlock()` does, `EPERM` if `RLIMIT_MEMLOCK` is 0, and `ENOMEM` if more pages would
    /// be locked than it allows, unless the task has `CAP_IPC_LOCK`; `ENOMEM` if more would be pinned
    /// than `pinned_pages_limit` allows.
    pub(in crate::bo) fn new(accounting: &Arc<Accounting>, pages: u64) -> Result<Self> {
        let locked = LockedPages::new(pages)?;
        let limit = match params::pinned_pages_limit() {
            0 => u64::MAX,
            limit => limit,
        };
        if !counters::raise(&accounting.pinned, pages, limit) {
            accounting.statistics.refusals.count();
            return Err(ENOMEM);
        }
        Ok(Self {
            accounting: accounting.clone(),
            pages,
            _locked: locked,
        })
    }
}

impl Drop for PinCharge {
    fn drop(&mut self) {
        self.accounting.pinned.fetch_sub(self.pages, Full);
    }
}
