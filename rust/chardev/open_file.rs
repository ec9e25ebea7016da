// SPDX-License-Identifier: GPL-2.0

//! An open `/dev/reeve`: its handles and the client that its objects belong to.
#![deny(unsafe_code)]

use super::handles::Handles;
use crate::{
    abstractions::vma::MapSpace,
    bo::{
        object::ClientRef,
        rules::dirty::Mode,
        Manager, //
    },
    lock_order::hierarchy::Hierarchy, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc, //
    }, //
};

/// What all open files share.
pub(crate) struct Shared {
    /// The devices.
    pub(crate) manager: Arc<Manager>,
    /// The hierarchy that the lock sanity suite runs on.
    pub(crate) sanity: &'static Hierarchy,
}

/// An open file of `/dev/reeve`.
#[pin_data]
pub(crate) struct OpenFile {
    pub(super) manager: Arc<Manager>,
    pub(super) sanity: &'static Hierarchy,
    /// The client that its objects are charged to.
    pub(super) client: ClientRef,
    #[pin]
    pub(super) handles: Handles,
    /// The bits of the mode in which it starts dirty logs.
    pub(super) log_mode: Atomic<u32>,
    /// The address space of its mappings.
    pub(super) space: Arc<MapSpace>,
}

impl OpenFile {
    /// Opens the device as a new client whose mappings will be in `space`.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(super) fn new(shared: &Shared, space: &Arc<MapSpace>) -> Result<Pin<KBox<Self>>> {
        let client = shared.manager.open_file()?;
        KBox::pin_init(
            pin_init!(Self {
                manager: shared.manager.clone(),
                sanity: shared.sanity,
                client,
                handles <- Handles::new(),
                log_mode: Atomic::new(Mode::Legacy.bits()),
                space: space.clone(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }
}
