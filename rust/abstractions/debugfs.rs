// SPDX-License-Identifier: GPL-2.0

//! Directories and files in debugfs, which are read, and some of which act when they are written.
//!
//! The files of `kernel::debugfs` have no owner, so the module could be unloaded while one is open,
//! and closing it would then call through freed memory. An open file of these keeps the module
//! loaded; see `helpers/debugfs.c`.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::bindings as helpers;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The content of a file.
pub(crate) trait Show: Send + Sync + 'static {
    /// Prints the content. Called once for each read from the start of the file. May sleep.
    ///
    /// The reader's `read()` fails with the error that is returned.
    fn show(&self, m: &SeqFile) -> Result;
}

/// What a file does when it is written.
pub(crate) trait Act: Show {
    /// Acts once. Called for each write of `1`. May sleep.
    ///
    /// The writer's `write()` fails with the error that is returned.
    fn act(&self) -> Result;
}

/// An entry in debugfs; dropping it removes it.
///
/// # Invariants
///
/// The entry is null, or one that we made, that nothing else removes, and that was not removed yet.
struct Entry(*mut bindings::dentry);

// SAFETY: A dentry belongs to no task: debugfs lets any task remove it.
unsafe impl Send for Entry {}
// SAFETY: With a shared reference an entry can only be the parent of others that are made, which
// debugfs lets several tasks do at once.
unsafe impl Sync for Entry {}

impl Entry {
    /// Takes what a `debugfs_create_*()` returned. If that is an error there is no entry, and
    /// nothing else happens, as debugfs asks of its callers.
    ///
    /// # Safety
    ///
    /// `raw` must come from a `debugfs_create_*()`, and nothing else may remove it.
    unsafe fn new(raw: *mut bindings::dentry) -> Self {
        // INVARIANT: By the contract an entry that is no error was made for us, and only we remove
        // it.
        Self(from_err_ptr(raw).unwrap_or(core::ptr::null_mut()))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: `debugfs_remove()` accepts null, an error, or an entry that is not removed yet:
        // the type invariant says that it is one of these. It waits for reads in progress.
        unsafe { bindings::debugfs_remove(self.0) };
    }
}

/// A directory; dropping it removes it.
pub(crate) struct Dir(Entry);

impl Dir {
    /// Creates a directory at the top of debugfs. May sleep.
    pub(crate) fn new(name: &CStr) -> Self {
        // SAFETY: `debugfs_create_dir()` wants a string, which it copies, and a directory or null
        // for the top. What it returns goes to the `Entry` only.
        Self(unsafe {
            Entry::new(bindings::debugfs_create_dir(
                name.as_char_ptr(),
                core::ptr::null_mut(),
            ))
        })
    }

    /// Creates a directory in this one. May sleep.
    pub(crate) fn subdir(&self, name: &CStr) -> Self {
        if self.0 .0.is_null() {
            return Self(Entry(core::ptr::null_mut()));
        }
        // SAFETY: `debugfs_create_dir()` wants a string, which it copies, and a directory: by the
        // invariant of `Entry` the parent is not removed yet. The result goes to the `Entry` only.
        Self(unsafe { Entry::new(bindings::debugfs_create_dir(name.as_char_ptr(), self.0 .0)) })
    }

    /// Creates a file of mode `mode` in this directory, whose content `data` shows.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn file<T: Show>(&self, name: &CStr, mode: u16, data: Arc<T>) -> Result<File> {
        self.create(name, mode, None, data)
    }

    /// Creates a file of mode 0200 in this directory, that acts when `1` is written to it, and shows
    /// what `data` shows to tasks that may read it in spite of its mode.
    ///
    /// Any other text is refused with `EINVAL`, and nothing is done. Returns `ENOMEM` if there is no
    /// memory. May sleep.
    pub(crate) fn trigger<T: Act>(&self, name: &CStr, data: Arc<T>) -> Result<File> {
        self.create(name, 0o200, Some(write::<T>), data)
    }

    /// Creates a file that shows `data`, and hands what is written to `write`, which has to accept a
    /// `T` as its data.
    fn create<T: Show>(
        &self,
        name: &CStr,
        mode: u16,
        write: Option<WriteFn>,
        data: Arc<T>,
    ) -> Result<File> {
        let content = Content {
            operations: helpers::reeve_debugfs_file {
                show: Some(show::<T>),
                write,
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
        // SAFETY: The helper wants a string, which is copied, a directory, which the parent is by
        // the invariant of `Entry`, and operations that stay valid until the file was removed. They
        // are on the heap, and `File` drops its entry before its content: removal waits for all
        // calls of `show::<T>` and `write`, and a file that was opened but not read before can't be read after
        // it. Only the `Entry` gets the result.
        let entry = unsafe {
            Entry::new(helpers::reeve_helper_debugfs_file(
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

/// A file; dropping it waits for reads in progress and removes it.
pub(crate) struct File {
    _entry: Entry,
    _content: KBox<dyn AnyContent>,
}

/// The content of a file of any type, to be kept until the file is removed.
trait AnyContent: Send + Sync {}

/// A file's operations, and the data that they point to.
struct Content<T> {
    operations: helpers::reeve_debugfs_file,
    _data: Arc<T>,
}

// SAFETY: `operations` is functions and a pointer to the `T` that `_data` keeps alive, which the
// functions only borrow; a `T` may be shared with and sent to other tasks.
unsafe impl<T: Send + Sync> Send for Content<T> {}
// SAFETY: There are no `&self` methods; C reads `operations`, which never change, and borrows the
// `T`, which may be shared.
unsafe impl<T: Send + Sync> Sync for Content<T> {}

impl<T: Send + Sync> AnyContent for Content<T> {}

/// Prints the content that a `T` shows.
///
/// # Safety
///
/// `m` must be a valid `seq_file` whose private data points to a `T` that stays valid meanwhile.
unsafe extern "C" fn show<T: Show>(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By the contract `m` is valid and not used by others during the call, which is what
    // `from_raw` wants, and its private data is a valid `T`.
    let (data, m) = unsafe { (&*(*m).private.cast::<T>(), SeqFile::from_raw(m)) };
    match data.show(m) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// What C calls when a file is written.
type WriteFn = unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> isize;

/// The longest text that is looked at.
const LONGEST: usize = 8;

/// Has a `T` act if `1` is written, and returns `count` or a negative errno.
///
/// # Safety
///
/// `data` must point to a `T` that stays valid meanwhile.
unsafe extern "C" fn write<T: Act>(data: *mut c_void, from: *const c_char, count: usize) -> isize {
    // SAFETY: By the contract it is a valid `T`, which is only borrowed.
    let data = unsafe { &*data.cast::<T>() };
    let from = UserPtr::from_ptr(from.cast_mut().cast());
    match accept(from, count).and_then(|()| data.act()) {
        Ok(()) => count as isize,
        Err(e) => e.to_errno() as isize,
    }
}

/// Returns whether the text is `1`, with or without blanks around it: `EINVAL` if not, `EFAULT` if it can't be
/// read.
fn accept(from: UserPtr, count: usize) -> Result {
    let mut text = [0; LONGEST];
    let text = text.get_mut(..count).ok_or(EINVAL)?;
    UserSlice::new(from, count).reader().read_slice(text)?;
    match text.trim_ascii() {
        b"1" => Ok(()),
        _ => Err(EINVAL),
    }
}
