// SPDX-License-Identifier: GPL-2.0

//! Directories and read-only files in debugfs.
//!
//! The kernel crate's debugfs files have no owner, so the module could go away while one is open,
//! and closing it would then call through freed memory. These keep the module loaded while open;
//! see `helpers/debugfs.c`.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::bindings as shim;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

/// A file's content.
pub(crate) trait Show: Send + Sync + 'static {
    /// Writes the content; called once per read from the start. May sleep.
    ///
    /// An error is what the reader's `read()` fails with.
    fn show(&self, m: &SeqFile) -> Result;
}

/// An entry in debugfs; dropping it removes it.
///
/// # Invariants
///
/// The entry is null or one that we made and have not removed.
struct Entry(*mut bindings::dentry);

// SAFETY: debugfs does its own locking; an entry may be used and removed by any task.
unsafe impl Send for Entry {}
// SAFETY: As above.
unsafe impl Sync for Entry {}

impl Entry {
    /// Takes what a `debugfs_create_*()` answered; without debugfs that is an error, and then
    /// there is nothing, as its documentation wants it.
    ///
    /// # Safety
    ///
    /// `raw` must come from a `debugfs_create_*()` and be used nowhere else.
    unsafe fn new(raw: *mut bindings::dentry) -> Self {
        // INVARIANT: By the contract.
        Self(from_err_ptr(raw).unwrap_or(core::ptr::null_mut()))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; null is fine. Waits for reads in progress.
        unsafe { bindings::debugfs_remove(self.0) };
    }
}

/// A directory; dropping it removes it.
pub(crate) struct Dir(Entry);

impl Dir {
    /// Makes a directory at the top of debugfs.
    pub(crate) fn new(name: &CStr) -> Self {
        // SAFETY: `name` is a string, the parent may be null, and the entry is ours.
        Self(unsafe {
            Entry::new(bindings::debugfs_create_dir(
                name.as_char_ptr(),
                core::ptr::null_mut(),
            ))
        })
    }

    /// Makes a directory in this one.
    pub(crate) fn subdir(&self, name: &CStr) -> Self {
        if self.0 .0.is_null() {
            return Self(Entry(core::ptr::null_mut()));
        }
        // SAFETY: `name` is a string, the parent is a live directory, and the entry is ours.
        Self(unsafe { Entry::new(bindings::debugfs_create_dir(name.as_char_ptr(), self.0 .0)) })
    }

    /// Makes a file of mode `mode` in this directory, whose content `data` shows.
    ///
    /// `ENOMEM`: no memory. May sleep.
    pub(crate) fn file<T: Show>(&self, name: &CStr, mode: u16, data: Arc<T>) -> Result<File> {
        let content = Content {
            operations: shim::reeve_debugfs_file {
                show: Some(show::<T>),
                data: Arc::as_ptr(&data).cast_mut().cast(),
            },
            _data: data,
        };
        let content = KBox::new(content, GFP_KERNEL)?;
        if self.0 .0.is_null() {
            return Ok(File {
                _entry: Entry(core::ptr::null_mut()),
                _content: content,
            });
        }
        // SAFETY: `name` is a string and the parent is a live directory. The operations stay where
        // they are until the file was removed, because `File` drops its entry first; removal waits
        // for all calls of `show::<T>`, and no later open gets that far.
        let entry = unsafe {
            Entry::new(shim::reeve_shim_debugfs_file(
                name.as_char_ptr(),
                mode,
                self.0 .0,
                &content.operations,
            ))
        };
        Ok(File {
            _entry: entry,
            _content: content,
        })
    }
}

/// A file; dropping it removes it, after the reads in progress.
pub(crate) struct File {
    _entry: Entry,
    _content: KBox<dyn Any>,
}

/// What a file keeps alive.
trait Any: Send + Sync {}

struct Content<T> {
    operations: shim::reeve_debugfs_file,
    _data: Arc<T>,
}

// SAFETY: The operations hold a function and a pointer to what `_data` keeps alive, a `T` that may
// be shared among tasks.
unsafe impl<T: Send + Sync> Send for Content<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Content<T> {}

impl<T: Send + Sync> Any for Content<T> {}

/// Shows a `T`.
///
/// # Safety
///
/// `m` must be a `seq_file` opened with `single_open()` and a pointer to a live `T` as its data.
unsafe extern "C" fn show<T: Show>(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By the contract.
    let data = unsafe { &*(*m).private.cast::<T>() };
    // SAFETY: By the contract.
    let m = unsafe { SeqFile::from_raw(m) };
    match data.show(m) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}
