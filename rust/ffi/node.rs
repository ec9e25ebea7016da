// SPDX-License-Identifier: GPL-2.0

//! A misc device whose opens can reach what was given to it when it was registered.
//!
//! The kernel crate's `MiscDevice::open` gets the registration only; this puts the shared value
//! next to it. The node has no mode of its own, so devtmpfs makes it 0600 and root's. While one of
//! its files is open the module stays loaded, for the file operations name it as their owner.

use kernel::{
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*,
    seq_file::SeqFile,
    types::ForeignOwnable, //
};

/// What a device node does.
pub(crate) trait Node: Sized + Send + Sync + 'static {
    /// What all opens of the node share.
    type Shared: Send + Sync + 'static;

    /// An open of the node. May sleep.
    fn open(shared: &Self::Shared) -> Result<Pin<KBox<Self>>>;

    /// An ioctl. May sleep; several may run at once on one open file.
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize>;

    /// What `/proc/PID/fdinfo` says of an open file. May sleep.
    fn show_fdinfo(&self, m: &SeqFile);

    /// The last reference to the open file is gone. May sleep; there may be no user memory.
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

/// Carries a [`Node`] through the kernel crate's trait. Private, so that no registration of it is
/// outside of a [`Registered`].
struct Bridge<N: Node>(N);

#[vtable]
impl<N: Node> MiscDevice for Bridge<N> {
    type Ptr = Pin<KBox<N>>;

    fn open(_file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        let registered = core::ptr::from_ref(misc).cast::<Registered<N>>();
        // SAFETY: Every `MiscDeviceRegistration<Bridge<N>>` is the first field of a
        // `Registered<N>`, pinned. It was reached through its node, so `shared` was initialised
        // before, and stays until the node is gone, which waits for this call.
        N::open(unsafe { &(*registered).shared })
    }

    fn release(device: Self::Ptr, _file: &File) {
        device.release();
    }

    fn ioctl(
        device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        cmd: u32,
        arg: usize,
    ) -> Result<isize> {
        device.get_ref().ioctl(cmd, arg)
    }

    fn show_fdinfo(device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>, m: &SeqFile, _file: &File) {
        device.get_ref().show_fdinfo(m);
    }
}
