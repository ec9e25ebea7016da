// SPDX-License-Identifier: GPL-2.0

//! Memory as large as a user asked for.
#![deny(unsafe_code)]

use kernel::{
    alloc::{
        flags::{
            __GFP_NOWARN,
            GFP_KERNEL_ACCOUNT, //
        },
        Flags, //
    },
    prelude::*, //
};

/// Returns the flags to allocate such memory with.
///
/// It is charged to the task's cgroup. Of a failure the kernel's log says nothing: a user could fill it, and for what
/// is larger than 2 GiB the kernel would warn of a mistake in the code.
pub(crate) fn flags() -> Flags {
    GFP_KERNEL_ACCOUNT | __GFP_NOWARN
}

/// Makes `count` times `value`. Returns `ENOMEM` if there is no memory. May sleep.
pub(crate) fn vector<T: Clone>(value: T, count: usize) -> Result<KVVec<T>> {
    Ok(KVVec::from_elem(value, count, flags())?)
}
