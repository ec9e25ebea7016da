// SPDX-License-Identifier: GPL-2.0

//! An open `/dev/reeve`.

use super::uapi::{
    consts::*,
    Bo,
    BoCreate,
    BoDmaAddress,
    BoInfo,
    BoMmap,
    BoRw,
    FileLimit,
    LockSanity,
    Stats,
    Version, //
};
use super::{
    args::call,
    fdinfo,
    handles::Handles, //
};
use crate::{
    abstractions::{
        miscdevice::MiscFile,
        vma::MapSpace, //
    },
    bo::{
        object::ClientRef,
        vm::Mapping,
        Manager, //
    },
    lock_order::{
        hierarchy::Hierarchy,
        with_context, //
    }, //
};
use kernel::{
    ioctl::_IOWR,
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

/// What all open files share.
pub(crate) struct Shared {
    /// The devices.
    pub(crate) manager: Arc<Manager>,
    /// The hierarchy that the lock sanity suite runs on.
    pub(crate) sanity: &'static Hierarchy,
}

/// An open file: its handles, and what they need.
#[pin_data]
pub(crate) struct OpenFile {
    pub(super) manager: Arc<Manager>,
    pub(super) sanity: &'static Hierarchy,
    /// What its objects hold.
    pub(super) client: ClientRef,
    #[pin]
    pub(super) handles: Handles,
    /// Where its mappings are.
    pub(super) space: Arc<MapSpace>,
}

impl MiscFile for OpenFile {
    type Shared = Shared;
    type Mapped = Mapping;

    fn open(shared: &Shared, space: &Arc<MapSpace>) -> Result<Pin<KBox<Self>>> {
        with_context(|| {
            let client = shared.manager.open_file()?;
            KBox::pin_init(
                pin_init!(Self {
                    manager: shared.manager.clone(),
                    sanity: shared.sanity,
                    client,
                    handles <- Handles::new(),
                    space: space.clone(),
                }),
                GFP_KERNEL,
            )
        })
    }

    fn find(&self, first: u64, pages: u64) -> Result<Arc<Mapping>> {
        with_context(|| self.handles.find(first, pages))
    }

    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        with_context(|| self.dispatch(cmd, arg))
    }

    fn show_fdinfo(&self, m: &SeqFile) {
        with_context(|| fdinfo::show(&self.handles, &self.client, m));
    }

    fn release(self: Pin<KBox<Self>>) {
        // Ends every object that only this file named.
        with_context(|| drop(self));
    }
}

/// The number of an ioctl that takes a `T` both ways.
const fn number<T>(nr: u32) -> u32 {
    _IOWR::<T>(REEVE_IOC_MAGIC, nr)
}

const VERSION: u32 = number::<Version>(REEVE_NR_VERSION);
const STATS: u32 = number::<Stats>(REEVE_NR_STATS);
const BO_CREATE: u32 = number::<BoCreate>(REEVE_NR_BO_CREATE);
const BO_DESTROY: u32 = number::<Bo>(REEVE_NR_BO_DESTROY);
const BO_INFO: u32 = number::<BoInfo>(REEVE_NR_BO_INFO);
const BO_NEXT: u32 = number::<BoInfo>(REEVE_NR_BO_NEXT);
const BO_POPULATE: u32 = number::<Bo>(REEVE_NR_BO_POPULATE);
const BO_UNPOPULATE: u32 = number::<Bo>(REEVE_NR_BO_UNPOPULATE);
const BO_PIN: u32 = number::<Bo>(REEVE_NR_BO_PIN);
const BO_UNPIN: u32 = number::<Bo>(REEVE_NR_BO_UNPIN);
const BO_SWAPOUT: u32 = number::<Bo>(REEVE_NR_BO_SWAPOUT);
const BO_BACKUP: u32 = number::<Bo>(REEVE_NR_BO_BACKUP);
const BO_RESTORE: u32 = number::<Bo>(REEVE_NR_BO_RESTORE);
const BO_READ: u32 = number::<BoRw>(REEVE_NR_BO_READ);
const BO_WRITE: u32 = number::<BoRw>(REEVE_NR_BO_WRITE);
const BO_MMAP: u32 = number::<BoMmap>(REEVE_NR_BO_MMAP);
const FILE_LIMIT: u32 = number::<FileLimit>(REEVE_NR_FILE_LIMIT);
const BO_DMA_ADDRESS: u32 = number::<BoDmaAddress>(REEVE_NR_BO_DMA_ADDRESS);
const LOCK_SANITY: u32 = number::<LockSanity>(REEVE_NR_LOCK_SANITY);

impl OpenFile {
    fn dispatch(&self, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            VERSION => call(arg, |v| self.version(v)),
            STATS => call(arg, |s| self.stats(s)),
            BO_CREATE => self.bo_create(arg),
            BO_DESTROY => self.bo_destroy(arg),
            BO_INFO => call(arg, |info| self.bo_info(info)),
            BO_NEXT => call(arg, |info| self.bo_next(info)),
            BO_POPULATE => self.bo_populate(arg),
            BO_UNPOPULATE => self.bo_unpopulate(arg),
            BO_PIN => self.bo_pin(arg),
            BO_UNPIN => self.bo_unpin(arg),
            BO_SWAPOUT => self.bo_swapout(arg),
            BO_BACKUP => self.bo_backup(arg),
            BO_RESTORE => self.bo_restore(arg),
            BO_READ => self.bo_read(arg),
            BO_WRITE => self.bo_write(arg),
            BO_MMAP => call(arg, |mmap| self.bo_mmap(mmap)),
            FILE_LIMIT => self.file_limit(arg),
            BO_DMA_ADDRESS => call(arg, |at| self.bo_dma_address(at)),
            LOCK_SANITY => self.lock_sanity(arg),
            _ => Err(ENOTTY),
        }
    }
}
