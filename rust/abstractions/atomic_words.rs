// SPDX-License-Identifier: GPL-2.0

//! Memory that several threads change at once, word by word.

use core::{
    ops::Deref,
    slice, //
};
use kernel::{
    alloc::Flags,
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
    /// Makes `count` words, with all bits `set` or clear. Returns `ENOMEM` if there is no memory.
    pub(crate) fn new(set: bool, count: usize, flags: Flags) -> Result<Self> {
        // Plain words with a value that is known become a memset().
        let words = if set {
            KVVec::from_elem(u64::MAX, count, flags)
        } else {
            KVVec::from_elem(0, count, flags)
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
