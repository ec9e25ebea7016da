// SPDX-License-Identifier: GPL-2.0

//! Memory that several threads change at once, word by word.

use super::user_sized;
use core::{
    ops::Deref,
    slice, //
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// Words that may be changed through a shared reference.
///
/// # Invariants
///
/// After it was made, the words are only accessed as atomics.
pub(crate) struct AtomicWords(KVVec<u64>);

impl AtomicWords {
    /// Makes `count` words, with all bits `set` or clear, where `count` may be what a user asked for. Returns
    /// `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(set: bool, count: usize) -> Result<Self> {
        // Plain words with a value that is known become a memset().
        let words = if set {
            user_sized::vector(u64::MAX, count)
        } else {
            user_sized::vector(0, count)
        };
        // INVARIANT: `Deref` is the only access after this.
        Ok(Self(words?))
    }
}

impl Deref for AtomicWords {
    type Target = [Atomic<u64>];

    #[inline]
    fn deref(&self) -> &[Atomic<u64>] {
        // SAFETY: An `Atomic<u64>` is laid out as a `u64`, so the vector's elements are that many valid
        // ones, for as long as it is borrowed. By the type invariant they are accessed as such only.
        unsafe { slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len()) }
    }
}
