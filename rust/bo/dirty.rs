// SPDX-License-Identifier: GPL-2.0

//! The dirty log of a buffer object: which of its pages were written to.
//!
//! It is the object's, not its pages' or its mappings', so it stays when these go. The reservation
//! protects all of it: a bit changes only while the object is reserved, and so do the entries of
//! page tables that let users write without a fault. What such an entry is for has its bit set.
#![deny(unsafe_code)]

use super::rules::dirty::{
    self,
    Bits,
    Mode, //
};
use crate::abstractions::vma::WriteLog;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The number of the log that was made last.
static LAST: Atomic<u64> = Atomic::new(0);

/// Which pages of an object were written to.
pub(crate) struct DirtyLog {
    bits: Bits<KVVec<u64>>,
    mode: Mode,
    /// Tells it from others that the object had or will have.
    number: u64,
    write_faults: u64,
    protections: u64,
}

/// A dirty log at one moment.
#[derive(Clone, Copy)]
pub(crate) struct LogInfo {
    /// The mode it was started in.
    pub(crate) mode: Mode,
    /// The pages that it has.
    pub(crate) pages: u64,
    /// The bits that are set.
    pub(crate) dirty: u64,
    /// The page faults that set a bit.
    pub(crate) write_faults: u64,
    /// The entries of page tables that were write-protected.
    pub(crate) protections: u64,
    /// The memory that it takes.
    pub(crate) bytes: u64,
}

impl DirtyLog {
    /// Makes the log of an object of which `pages` pages can be mapped.
    ///
    /// Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(pages: u64, mode: Mode) -> Result<KBox<Self>> {
        let words = usize::try_from(dirty::words_for(pages)).map_err(|_| ENOMEM)?;
        let words = KVVec::from_elem(0u64, words, GFP_KERNEL_ACCOUNT)?;
        let bits = Bits::new(words, pages, mode.begins_set()).ok_or(EINVAL)?;
        let log = Self {
            bits,
            mode,
            number: LAST.fetch_add(1u64, Relaxed) + 1,
            write_faults: 0,
            protections: 0,
        };
        Ok(KBox::new(log, GFP_KERNEL_ACCOUNT)?)
    }

    /// Returns its mode.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns the number of its pages.
    pub(crate) fn pages(&self) -> u64 {
        self.bits.pages()
    }

    /// Returns what tells it from other logs.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Returns how many bits are set.
    pub(crate) fn dirty(&self) -> u64 {
        self.bits.dirty()
    }

    /// Returns how many page faults set a bit.
    pub(crate) fn write_faults(&self) -> u64 {
        self.write_faults
    }

    /// Returns what it is like now.
    pub(crate) fn info(&self) -> LogInfo {
        let words = dirty::words_for(self.pages());
        LogInfo {
            mode: self.mode,
            pages: self.pages(),
            dirty: self.dirty(),
            write_faults: self.write_faults,
            protections: self.protections,
            bytes: words * size_of::<u64>() as u64 + size_of::<Self>() as u64,
        }
    }

    /// Logs a write of the kernel's to page `index`.
    pub(crate) fn written(&mut self, index: u64) {
        self.bits.set(index);
    }

    /// Logs writes to these `pages` pages, as far as it has them.
    pub(crate) fn written_range(&mut self, first: u64, pages: u64) {
        self.bits.set_range(first, pages);
    }

    /// Logs that all pages changed.
    pub(crate) fn all_written(&mut self) {
        self.bits.set_all();
    }

    /// Copies the bits. Returns how many are set.
    pub(crate) fn copy(&self, to: &mut [u64]) -> u64 {
        self.bits.copy(to)
    }

    /// Moves the bits to `to`, which leaves them clear. Returns how many were set. Those pages have to
    /// be write-protected before the reservation ends.
    pub(super) fn take(&mut self, to: &mut [u64]) -> u64 {
        self.bits.take(to)
    }

    /// Sets the bits of `from`, which begins at page `first`, again.
    pub(super) fn put_back(&mut self, first: u64, from: &[u64]) {
        self.bits.put_back(first, from);
    }

    /// Clears bits, like [`Bits::clear`]. Those pages have to be write-protected before the reservation
    /// ends.
    pub(super) fn clear(&mut self, first: u64, pages: u64, mask: &mut [u64]) -> u64 {
        self.bits.clear(first, pages, mask)
    }

    /// Counts entries of page tables that were write-protected.
    pub(super) fn count_protections(&mut self, entries: u64) {
        self.protections += entries;
    }
}

impl WriteLog for DirtyLog {
    fn is_logged(&self, index: u64) -> bool {
        self.bits.is_set(index)
    }

    fn are_logged(&self, first: u64, pages: u64) -> bool {
        self.bits.are_set(first, pages)
    }

    fn write_fault(&mut self, index: u64) {
        if self.bits.set(index) {
            self.write_faults += 1;
        }
    }
}
