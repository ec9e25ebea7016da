// SPDX-License-Identifier: GPL-2.0

//! A misc device that passes a value to each open, and whose files can be mapped.
//!
//! `kernel::miscdevice::MiscDevice::open` is passed the registration only; here the value lies next
//! to it. Each open file has an address space of its own, so that what is mapped at some offset of
//! it can be unmapped without looking at other files' mappings.
//!
//! The device has no mode of its own, so devtmpfs makes the node 0600, owned by root. While a file
//! is open the module stays loaded, for the file operations name it as their owner.

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

/// An open file of a misc device.
pub(crate) trait MiscFile: Sized + Send + Sync + 'static {
    /// The value that all opens are passed.
    type Shared: Send + Sync + 'static;

    /// The things that can be mapped.
    type Mapped: Mapped;

    /// Opens a file, whose mappings are going to be in `space`. May sleep.
    fn open(shared: &Self::Shared, space: &Arc<MapSpace>) -> Result<Pin<KBox<Self>>>;

    /// Returns what is at `pages` pages of the file from `first` on, to be mapped. May sleep; the
    /// `mmap_lock` of the current task is held.
    fn find(&self, first: u64, pages: u64) -> Result<Arc<Self::Mapped>>;

    /// Handles an ioctl. May sleep; several may run at once on one open file.
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize>;

    /// Prints the text of `/proc/PID/fdinfo`. May sleep.
    fn show_fdinfo(&self, m: &SeqFile);

    /// Releases the file after its last reference is gone, mappings included. May sleep; the
    /// current task may have no user memory.
    fn release(self: Pin<KBox<Self>>);
}

/// A registered misc device; dropping it unregisters it. No file of it may be open then, which the
/// module's reference count guarantees for what is dropped when the module is unloaded.
#[pin_data]
#[repr(C)]
pub(crate) struct Registration<F: MiscFile> {
    // The first field, so that a pointer to it is one to the whole.
    #[pin]
    misc: MiscDeviceRegistration<Opened<F>>,
    shared: F::Shared,
}

impl<F: MiscFile> Registration<F> {
    /// Registers the device, `/dev/<name>`.
    pub(crate) fn new(name: &'static CStr, shared: F::Shared) -> impl PinInit<Self, Error> {
        // Fields are initialised in the order written here: `shared` before the device can be
        // opened.
        try_pin_init!(Self {
            shared,
            misc <- MiscDeviceRegistration::register(MiscDeviceOptions { name }),
        })
    }
}

/// An open file, as the kernel crate's trait wants it. Private, so that each registration of it is
/// in a [`Registration`].
struct Opened<F: MiscFile> {
    file: Pin<KBox<F>>,
    /// The address space that its mappings are in.
    _space: Arc<MapSpace>,
}

#[vtable]
impl<F: MiscFile> MiscDevice for Opened<F> {
    type Ptr = KBox<Self>;

    fn open(file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        let registered = core::ptr::from_ref(misc).cast::<Registration<F>>();
        // SAFETY: `Opened` is private and only `Registration::new` registers it, so `misc` is the
        // first field of a `Registration<F>`, which is `repr(C)` and pinned. `shared` was
        // initialised before the device was registered, and stays until it is unregistered, which
        // waits for this call.
        let shared = unsafe { &(*registered).shared };
        let space = MapSpace::new(file)?;
        let inner = F::open(shared, &space)?;
        let opened = KBox::new(
            Self {
                file: inner,
                _space: space.clone(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: `enter` wants a file that is being opened, as this one is, and that the space
        // lives until `leave`: this can't fail any more, so `release` is going to be called, which
        // leaves before it drops `opened` and with it the reference to the space.
        unsafe { space.enter(file) };
        FileOperations::<F>::set(file);
        Ok(opened)
    }

    fn release(opened: Self::Ptr, file: &File) {
        // SAFETY: `leave` wants a file that is being released: the kernel calls this for such a
        // file.
        unsafe { MapSpace::leave(file) };
        let opened = KBox::into_inner(opened);
        opened.file.release();
    }

    fn mmap(
        opened: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        vma: &VmaNew,
    ) -> Result {
        vma::map(vma, |first, pages| opened.file.find(first, pages))
    }

    fn ioctl(
        opened: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        cmd: u32,
        arg: usize,
    ) -> Result<isize> {
        opened.file.ioctl(cmd, arg)
    }

    fn show_fdinfo(opened: <Self::Ptr as ForeignOwnable>::Borrowed<'_>, m: &SeqFile, _file: &File) {
        opened.file.show_fdinfo(m);
    }
}

/// The file operations of the kernel crate, with addresses for mappings that are aligned so that
/// huge page-table entries can map large objects.
struct FileOperations<F>(PhantomData<F>);

impl<F: MiscFile> FileOperations<F> {
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    const TABLE: kernel::bindings::file_operations = {
        let misc = MiscDeviceOptions { name: c"" }.into_raw::<Opened<F>>();
        // SAFETY: `into_raw` sets `fops` to point to a constant table.
        let table = unsafe { *misc.fops };
        kernel::bindings::file_operations {
            get_unmapped_area: Some(kernel::bindings::thp_get_unmapped_area),
            ..table
        }
    };

    /// Sets the operations of `file`, which is being opened.
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    fn set(file: &File) {
        // SAFETY: The file is valid, and nothing else accesses it while it is being opened. The
        // table is constant, and names the same owner as the one that it replaces, so that the
        // reference to the module that the kernel drops at the end is the one that it took.
        unsafe { (*file.as_ptr()).f_op = &Self::TABLE };
    }

    #[cfg(not(CONFIG_TRANSPARENT_HUGEPAGE))]
    fn set(_file: &File) {}
}
