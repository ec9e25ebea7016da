// SPDX-License-Identifier: GPL-2.0

//! The dirty log of a buffer object: which of its pages were written to.
//!
//! It is the object's, not its pages' or its mappings', so it stays when these go. A bit is set before
//! an entry of a page table lets users write to the page, by the code that makes that entry: under a
//! reservation, or, when a write fault makes an entry writable, under the lock of that entry alone.
//! Bits are cleared under the reservation, and then the entries are protected, each under its lock. So
//! whichever of the two comes second at an entry leaves it as the bit wants it.
//!
//! A fence holds writers back: while there is one no entry becomes writable. It is put like a log: first
//! it is there to be found by those who make entries, and then all entries are protected.
#![deny(unsafe_code)]

use super::rules::dirty::{
    self,
    Bits,
    Count,
    Fences,
    Mode, //
};
use crate::abstractions::{
    atomic_words::AtomicWords,
    gate::Gate,
    page::total_ram,
    published::Published,
    user_sized,
    vma::WriteLog, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The number of the log that was made last.
static LAST: Atomic<u64> = Atomic::new(0);

/// What the logs of a client's objects hold together.
pub(crate) struct LogSums {
    dirty: Atomic<u64>,
    write_faults: Atomic<u64>,
    fenced: Atomic<u64>,
}

impl LogSums {
    /// Makes the sums of no logs.
    pub(super) const fn new() -> Self {
        Self {
            dirty: Atomic::new(0),
            write_faults: Atomic::new(0),
            fenced: Atomic::new(0),
        }
    }

    /// Returns how many objects have a fence.
    pub(crate) fn fenced(&self) -> u64 {
        self.fenced.load(Relaxed)
    }

    /// Returns how many bits are set.
    pub(crate) fn dirty(&self) -> u64 {
        self.dirty.load(Relaxed)
    }

    /// Returns how many page faults set a bit of a log that there is.
    pub(crate) fn write_faults(&self) -> u64 {
        self.write_faults.load(Relaxed)
    }
}

impl dirty::Word for Atomic<u64> {
    #[inline]
    fn get(&self) -> u64 {
        self.load(Relaxed)
    }

    #[inline]
    fn replace(&self, old: u64, new: u64) -> bool {
        self.cmpxchg(old, new, Full).is_ok()
    }
}

impl Count for Atomic<u64> {
    #[inline]
    fn add(&self, pages: u64) {
        self.add(pages, Relaxed);
    }

    #[inline]
    fn sub(&self, pages: u64) {
        self.add(pages.wrapping_neg(), Relaxed);
    }
}

/// The sums of the client, if the object is one's.
struct Sums(Option<Arc<LogSums>>);

impl Count for Sums {
    #[inline]
    fn add(&self, pages: u64) {
        if let Some(sums) = &self.0 {
            Count::add(&sums.dirty, pages);
        }
    }

    #[inline]
    fn sub(&self, pages: u64) {
        if let Some(sums) = &self.0 {
            Count::sub(&sums.dirty, pages);
        }
    }
}

/// What a get hands out: the parts of the log that have bits set.
pub(crate) type Parts = dirty::Parts<KVVec<u64>>;

/// Makes room for `parts` parts of a log of `pages` pages.
///
/// Returns `ENOMEM` if there is no memory. May sleep.
pub(crate) fn room_for(parts: usize, pages: u64) -> Result<Parts> {
    let words = usize::try_from(dirty::words_for(pages)).map_err(|_| ENOMEM)?;
    let words = words.min(parts.saturating_mul(dirty::PER_PART));
    Ok(dirty::Parts::new(
        user_sized::vector(0, parts)?,
        user_sized::vector(0, words)?,
    ))
}

/// Which pages of an object were written to.
pub(crate) struct DirtyLog {
    bits: Bits<AtomicWords, Sums>,
    mode: Mode,
    /// Tells it from others that the object had or will have.
    number: u64,
    write_faults: Atomic<u64>,
    protections: Atomic<u64>,
    /// How many fences there are; changed with the reservation held.
    fences: Atomic<u64>,
    /// Opens when there is none any more; there only while there are some.
    fence: Published<Gate>,
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
    /// The fences that hold writers back.
    pub(crate) fences: u64,
}

impl DirtyLog {
    /// Makes the log of an object of which `pages` pages can be mapped. It counts in `sums`, if the
    /// object is a client's.
    ///
    /// Returns `ENOMEM` if there is no memory, or if the machine has not that many pages: such an object can
    /// never be populated, and its log would be as large as its user likes. May sleep.
    pub(crate) fn new(pages: u64, mode: Mode, sums: Option<Arc<LogSums>>) -> Result<Arc<Self>> {
        if pages > total_ram() {
            return Err(ENOMEM);
        }
        let set = mode.begins_set();
        let words = usize::try_from(dirty::words_for(pages)).map_err(|_| ENOMEM)?;
        let parts = usize::try_from(dirty::parts_for(pages)).map_err(|_| ENOMEM)?;
        let words = AtomicWords::new(set, words)?;
        let counts = AtomicWords::new(set, parts)?;
        let bits = Bits::new(words, counts, pages, set, Sums(sums)).ok_or(EINVAL)?;
        let log = Self {
            bits,
            mode,
            number: LAST.fetch_add(1u64, Relaxed) + 1,
            write_faults: Atomic::new(0),
            protections: Atomic::new(0),
            fences: Atomic::new(Fences::NONE.count()),
            fence: Published::none(),
        };
        Ok(Arc::new(log, GFP_KERNEL_ACCOUNT)?)
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
        self.write_faults.load(Relaxed)
    }

    /// Returns what it is like now.
    pub(crate) fn info(&self) -> LogInfo {
        let words = dirty::words_for(self.pages()) + dirty::parts_for(self.pages());
        LogInfo {
            mode: self.mode,
            pages: self.pages(),
            dirty: self.dirty(),
            write_faults: self.write_faults(),
            protections: self.protections.load(Relaxed),
            bytes: words * size_of::<u64>() as u64 + size_of::<Self>() as u64,
            fences: self.fences.load(Relaxed),
        }
    }

    /// Returns whether writers are held back. Any context.
    #[inline]
    pub(super) fn is_fenced(&self) -> bool {
        self.fence.is_some()
    }

    /// Returns what opens when no fence holds writers back any more; `None`: none does. Any context.
    #[inline]
    pub(crate) fn fence(&self) -> Option<Arc<Gate>> {
        if self.is_fenced() {
            self.fence.get()
        } else {
            None
        }
    }

    /// Puts a fence, which opens `gate` if it is the first. Returns whether it is: then all entries of
    /// page tables have to be write-protected before the reservation ends, which has to be held.
    pub(super) fn put_fence(&self, gate: Arc<Gate>) -> bool {
        let (fences, first) = Fences::of(self.fences.load(Relaxed)).put();
        self.fences.store(fences.count(), Relaxed);
        if first {
            drop(self.fence.replace(Some(gate)));
            self.count_fenced(1);
        }
        first
    }

    /// Lifts a fence, with the reservation held. If it is the last, writers go on.
    pub(super) fn lift_fence(&self) {
        let (fences, last) = Fences::of(self.fences.load(Relaxed)).lifted();
        self.fences.store(fences.count(), Relaxed);
        if last {
            self.open();
        }
    }

    /// Lets writers go on that are held back.
    fn open(&self) {
        if let Some(gate) = self.fence.replace(None) {
            self.count_fenced(1u64.wrapping_neg());
            gate.open();
        }
    }

    fn count_fenced(&self, objects: u64) {
        if let Some(sums) = &self.bits.sums().0 {
            sums.fenced.add(objects, Relaxed);
        }
    }

    /// Logs a write of the kernel's to page `index`.
    pub(crate) fn written(&self, index: u64) {
        self.bits.set(index);
    }

    /// Logs writes to these `pages` pages, as far as it has them.
    pub(crate) fn written_range(&self, first: u64, pages: u64) {
        self.bits.set_range(first, pages);
    }

    /// Logs that all pages changed.
    pub(crate) fn all_written(&self) {
        self.bits.set_all();
    }

    /// Returns how many parts have bits set.
    pub(crate) fn parts(&self) -> usize {
        self.bits.parts()
    }

    /// Copies the parts that have bits set, like [`Bits::get`]. If the bits are taken, which leaves them
    /// clear, those pages have to be write-protected before the reservation ends.
    pub(super) fn get(&self, take: bool, to: &mut Parts) -> Option<u64> {
        self.bits.get(take, to)
    }

    /// Sets the bits of `from`, which begins at page `first`, again.
    pub(super) fn put_back(&self, first: u64, from: &[u64]) {
        self.bits.put_back(first, from);
    }

    /// Clears bits, like [`Bits::clear`]. Those pages have to be write-protected before the reservation
    /// ends.
    pub(super) fn clear(&self, first: u64, pages: u64, mask: &mut [u64]) -> u64 {
        self.bits.clear(first, pages, mask)
    }

    /// Counts entries of page tables that were write-protected.
    pub(super) fn count_protections(&self, entries: u64) {
        self.protections.add(entries, Relaxed);
    }
}

impl WriteLog for DirtyLog {
    fn is_logged(&self, index: u64) -> bool {
        self.bits.is_set(index) && !self.is_fenced()
    }

    fn are_logged(&self, first: u64, pages: u64) -> bool {
        self.bits.are_set(first, pages) && !self.is_fenced()
    }

    fn write_fault(&self, index: u64) -> bool {
        let was_clear = self.bits.set(index);
        if was_clear {
            self.write_faults.add(1u64, Relaxed);
            if let Some(sums) = &self.bits.sums().0 {
                sums.write_faults.add(1u64, Relaxed);
            }
        }
        was_clear
    }
}

impl Drop for DirtyLog {
    fn drop(&mut self) {
        // Those who wait have the gate, and find no log afterwards, or another one.
        self.open();
        let (dirty, write_faults) = (self.dirty(), self.write_faults());
        if let Some(sums) = &self.bits.sums().0 {
            sums.dirty.add(dirty.wrapping_neg(), Relaxed);
            sums.write_faults.add(write_faults.wrapping_neg(), Relaxed);
        }
    }
}
