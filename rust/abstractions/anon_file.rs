// SPDX-License-Identifier: GPL-2.0

//! A file without a name that keeps a value until it is closed.
//!
//! C header: [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h)

use super::bindings as helpers;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::File,
    module::this_module,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::ForeignOwnable, //
};

/// What a file can keep.
#[vtable]
pub(crate) trait Kept: Send + Sync + 'static {
    /// What is shown as the name of the file.
    const NAME: &'static CStr;
}

/// Makes a file that holds a reference to `value`, and drops it when the file's last reference is gone.
/// While it is open the module stays loaded.
///
/// Returns `ENOMEM` if there is no memory, `ENFILE` if the machine has too many open files. May sleep.
pub(crate) fn new<T: Kept>(value: Arc<T>) -> Result<ARef<File>> {
    let private = value.into_foreign();
    // SAFETY: The helper wants a string that ends, and a table of operations that stays for as long as
    // the file does: that is constant and names this module as its owner. Its operations are those of
    // files whose private data is what `into_foreign` of an `Arc<T>` returned.
    let made = from_err_ptr(unsafe {
        helpers::reeve_helper_anon_file(T::NAME.as_char_ptr(), Operations::<T>::get(), private)
    });
    match made.map(NonNull::new) {
        // SAFETY: The helper returned a reference to a file that nothing else has, so no `fdget_pos`
        // of it is active, as `File` wants; it is ours.
        Ok(Some(file)) => Ok(unsafe { ARef::from_raw(file.cast()) }),
        other => {
            // SAFETY: `from_foreign` wants what `into_foreign` returned, once: there is no file that
            // would take it back.
            drop(unsafe { <Arc<T> as ForeignOwnable>::from_foreign(private) });
            Err(other.err().unwrap_or(ENOMEM))
        }
    }
}

/// The operations of files that keep an `Arc<T>`.
struct Operations<T>(PhantomData<T>);

impl<T: Kept> Operations<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    const fn get() -> &'static bindings::file_operations {
        &Self::TABLE
    }

    /// Drops the value.
    ///
    /// # Safety
    ///
    /// `file` must be a file made by [`new`] of a `T` that is being released.
    unsafe extern "C" fn release(
        _inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        // SAFETY: `from_foreign` wants what `into_foreign` returned, once: by the contract it is the
        // file's private data, which nothing changes, and the file is released once.
        drop(unsafe { <Arc<T> as ForeignOwnable>::from_foreign((*file).private_data) });
        0
    }
}
