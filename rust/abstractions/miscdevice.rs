// SPDX-License-Identifier: GPL-2.0

//! A misc device whose opens can reach what was given to it when it was registered, and whose files
//! can be mapped.
//!
//! The kernel crate's `MiscDevice::open` gets the registration only; this puts the shared value
//! next to it. Each open file has an address space of its own, so that what is mapped at some
//! offset of it can be unmapped without looking at other files' mappings. The node has no mode of its own, so devtmpfs makes it 0600 and root's. While one of
//! its files is open the module stays loaded, for the file operations name it as their owner.

use super::vma::{
    self,
    MapSpace,
    Mapped, //
};
use core::marker::PhantomData;
use kernel::{
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    mm::virt::VmaNew,
    prelude::*,
    seq_file::SeqFile,
    sync::Arc,
    types::ForeignOwnable, //
};

/// What a device node does.
pub(crate) trait Node: Sized + Send + Sync + 'static {
    /// What all opens of the node share.
    type Shared: Send + Sync + 'static;

    /// What can be mapped of it.
    type Mapped: Mapped;

    /// An open of the node; `space` is where its mappings will be. May sleep.
    fn open(shared: &Self::Shared, space: &Arc<MapSpace>) -> Result<Pin<KBox<Self>>>;

    /// What is at `pages` pages of the file from `first` on, to be mapped. May sleep; the
    /// `mmap_lock` of the current task is held.
    fn find(&self, first: u64, pages: u64) -> Result<Arc<Self::Mapped>>;

    /// An ioctl. May sleep; several may run at once on one open file.
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize>;

    /// What `/proc/PID/fdinfo` says of an open file. May sleep.
    fn show_fdinfo(&self, m: &SeqFile);

    /// The last reference to the open file is gone, mappings included. May sleep; there may be no
    /// user memory.
    fn release(self: Pin<KBox<Self>>);
}

/// A registered node; dropping it unregisters it. No file of it is open then.
#[pin_data]
#[repr(C)]
pub(crate) struct Registered<N: Node> {
    // First, so that a pointer to it is one to the whole.
    #[pin]
    misc: MiscDeviceRegistration<Bridge<N>>,
    shared: N::Shared,
}

impl<N: Node> Registered<N> {
    /// Registers the node `/dev/<name>`.
    pub(crate) fn new(name: &'static CStr, shared: N::Shared) -> impl PinInit<Self, Error> {
        // Fields are initialised in the order written here: when the node appears, what its
        // `open` uses is there.
        try_pin_init!(Self {
            shared,
            misc <- MiscDeviceRegistration::register(MiscDeviceOptions { name }),
        })
    }
}

/// An open file, as the kernel crate's trait sees it. Private, so that no registration of it is
/// outside of a [`Registered`].
struct Bridge<N: Node> {
    node: Pin<KBox<N>>,
    /// Its mappings are in here.
    _space: Arc<MapSpace>,
}

#[vtable]
impl<N: Node> MiscDevice for Bridge<N> {
    type Ptr = KBox<Self>;

    fn open(file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        let registered = core::ptr::from_ref(misc).cast::<Registered<N>>();
        // SAFETY: Every `MiscDeviceRegistration<Bridge<N>>` is the first field of a
        // `Registered<N>`, pinned. It was reached through its node, so `shared` was initialised
        // before, and stays until the node is gone, which waits for this call.
        let shared = unsafe { &(*registered).shared };
        let space = MapSpace::new(file)?;
        let node = N::open(shared, &space)?;
        let opened = KBox::new(
            Self {
                node,
                _space: space.clone(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: This is the file's `open`, which can't fail any more. `opened` keeps the space
        // until `release` has left it.
        unsafe { space.enter(file) };
        Aligned::<N>::operations_of(file);
        Ok(opened)
    }

    fn release(opened: Self::Ptr, file: &File) {
        // SAFETY: This is the file's `release`.
        unsafe { MapSpace::leave(file) };
        let opened = KBox::into_inner(opened);
        opened.node.release();
    }

    fn mmap(
        opened: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        vma: &VmaNew,
    ) -> Result {
        vma::map(vma, |first, pages| opened.node.find(first, pages))
    }

    fn ioctl(
        opened: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        cmd: u32,
        arg: usize,
    ) -> Result<isize> {
        opened.node.ioctl(cmd, arg)
    }

    fn show_fdinfo(opened: <Self::Ptr as ForeignOwnable>::Borrowed<'_>, m: &SeqFile, _file: &File) {
        opened.node.show_fdinfo(m);
    }
}

/// The node's file operations, but that addresses are chosen so that huge entries can map large
/// objects.
struct Aligned<N>(PhantomData<N>);

impl<N: Node> Aligned<N> {
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    const TABLE: kernel::bindings::file_operations = {
        let misc = MiscDeviceOptions { name: c"" }.into_raw::<Bridge<N>>();
        // SAFETY: It points to a constant table.
        let table = unsafe { *misc.fops };
        kernel::bindings::file_operations {
            get_unmapped_area: Some(kernel::bindings::thp_get_unmapped_area),
            ..table
        }
    };

    /// Gives them to `file`, which is being opened.
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    fn operations_of(file: &File) {
        // SAFETY: While it is being opened nobody else knows the file. The table names the same
        // owner as the one it replaces, so that references to the module stay balanced.
        unsafe { (*file.as_ptr()).f_op = &Self::TABLE };
    }

    #[cfg(not(CONFIG_TRANSPARENT_HUGEPAGE))]
    fn operations_of(_file: &File) {}
}
