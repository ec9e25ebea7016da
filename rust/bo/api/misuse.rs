// SPDX-License-Identifier: GPL-2.0

//! Errors of the API for drivers, and the line in the log about misuse.

use crate::{
    abstractions::bindings,
    lock_order::with_context, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Why a call failed.
pub(super) enum Failure {
    /// What may happen to every driver.
    Error(Error),
    /// The caller's mistake, which the log tells of.
    Misuse(Error, &'static CStr),
}

impl Failure {
    /// A mistake of the caller's. A call, so that the usual way has nothing of it.
    #[cold]
    #[inline(never)]
    pub(super) fn misuse(e: Error, what: &'static CStr) -> Self {
        Self::Misuse(e, what)
    }
}

impl From<Error> for Failure {
    #[cold]
    #[inline(never)]
    fn from(e: Error) -> Self {
        Self::Error(e)
    }
}

impl From<AllocError> for Failure {
    #[cold]
    fn from(e: AllocError) -> Self {
        Self::Error(e.into())
    }
}

/// The result of a call.
pub(super) type Answer<R = ()> = core::result::Result<R, Failure>;

/// A call of the API.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// The function's name.
    pub(super) name: &'static CStr,
    /// Where it was called from.
    pub(super) site: usize,
    /// The object that it is about, or 0.
    pub(super) object: u64,
    /// Whether that is not an object but a number of objects, which are left.
    pub(super) counts: bool,
}

/// Passes on the name of the device of an object.
pub(super) type Naming = fn(u64, &mut dyn FnMut(Option<&CStr>));

impl Call {
    /// Does `f` in a context for held locks. Otherwise as [`Call::make_bare`].
    #[inline(always)]
    pub(super) fn make<R>(
        task: usize,
        call: impl Fn() -> Self,
        named: Naming,
        f: impl FnOnce() -> Answer<R>,
    ) -> Result<R> {
        Self::make_bare(task, call, named, || with_context(f))
    }

    /// Does `f`, for `task`, which calls; 0: it must not sleep. What takes a lock there enters a context for it.
    ///
    /// `call` says what is called, for the log, and `named` passes on the name of an object's device.
    #[inline(always)]
    pub(super) fn make_bare<R>(
        task: usize,
        call: impl Fn() -> Self,
        named: Naming,
        f: impl FnOnce() -> Answer<R>,
    ) -> Result<R> {
        if task == 0 {
            return Err(call().not_here());
        }
        f().map_err(|failure| call().fail(failure, named))
    }

    #[cold]
    fn not_here(self) -> Error {
        self.report(None, EPERM, c"called where nothing may sleep")
    }

    /// Returns the errno of a failure, and tells of it if it is a mistake.
    #[cold]
    fn fail(self, failure: Failure, named: Naming) -> Error {
        match failure {
            Failure::Error(e) => e,
            Failure::Misuse(e, what) => {
                named(self.object, &mut |device| {
                    self.report(device, e, what);
                });
                e
            }
        }
    }

    /// Tells of a mistake, and returns its errno.
    #[cold]
    pub(super) fn report(self, device: Option<&CStr>, e: Error, what: &'static CStr) -> Error {
        let device = match device {
            _ if self.object == 0 && !self.counts => core::ptr::null(),
            Some(name) => name.as_char_ptr(),
            None => c"no device".as_char_ptr(),
        };
        // SAFETY: The helper reads three strings, which are valid during the call, or null in the second
        // case, and prints; any context.
        unsafe {
            bindings::reeve_helper_misuse(
                self.name.as_char_ptr(),
                device,
                self.counts,
                self.object,
                what.as_char_ptr(),
                e.to_errno(),
                self.site,
            )
        };
        e
    }
}
