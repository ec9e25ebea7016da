// SPDX-License-Identifier: GPL-2.0-or-later

//! The bits of a dirty log, its modes, and which ranges of it can be cleared.
#![deny(unsafe_code)]

use core::ops::DerefMut;

/// Pages whose bits are in one word.
pub const PER_WORD: u64 = u64::BITS as u64;

/// How a dirty log begins, and what a get does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A get clears what it hands out.
    Legacy,
    /// Get and clear are apart.
    Manual,
    /// The same, and a log begins all ones.
    InitiallySet,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Legacy, Self::Manual, Self::InitiallySet];

    /// All bits that a mode may have.
    pub const SUPPORTED: u32 = 3;

    /// Returns the mode with these bits; `None`: there is none.
    pub const fn of(bits: u32) -> Option<Self> {
        match bits {
            0 => Some(Self::Legacy),
            1 => Some(Self::Manual),
            3 => Some(Self::InitiallySet),
            _ => None,
        }
    }

    /// Returns its bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Legacy => 0,
            Self::Manual => 1,
            Self::InitiallySet => 3,
        }
    }

    /// Returns whether a get clears what it hands out.
    pub const fn get_clears(self) -> bool {
        matches!(self, Self::Legacy)
    }

    /// Returns whether a log begins all ones, with nothing protected.
    pub const fn begins_set(self) -> bool {
        matches!(self, Self::InitiallySet)
    }
}

/// Returns the number of words that `pages` bits take.
pub const fn words_for(pages: u64) -> u64 {
    pages.div_ceil(PER_WORD)
}

/// Returns whether a bitmap may begin at page `first`.
pub const fn begins_at_a_word(first: u64) -> bool {
    first.is_multiple_of(PER_WORD)
}

/// Returns whether `pages` pages from `first` on can be cleared in a log of `whole` pages: whole words
/// of it, or up to its end.
pub const fn is_range(whole: u64, first: u64, pages: u64) -> bool {
    if first > whole || pages > whole - first {
        return false;
    }
    pages.is_multiple_of(PER_WORD) || pages == whole - first
}

/// Returns the mask of the first `bits` bits of a word; of all, if there are more.
const fn low(bits: u64) -> u64 {
    if bits >= PER_WORD {
        u64::MAX
    } else {
        (1 << bits) - 1
    }
}

/// A bit for each page: whether it was written to.
///
/// No bit behind the last page is ever set.
#[derive(Debug)]
pub struct Bits<W> {
    words: W,
    pages: u64,
    dirty: u64,
}

impl<W: DerefMut<Target = [u64]>> Bits<W> {
    /// Makes the bits of `pages` pages in `words`, all of them set or clear. `None`: there are too few
    /// words.
    pub fn new(mut words: W, pages: u64, set: bool) -> Option<Self> {
        if (words.len() as u64) < words_for(pages) {
            return None;
        }
        words.fill(0);
        let mut bits = Self {
            words,
            pages,
            dirty: 0,
        };
        if set {
            bits.set_all();
        }
        Some(bits)
    }

    /// Returns the number of pages.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns how many bits are set.
    pub const fn dirty(&self) -> u64 {
        self.dirty
    }

    /// Returns whether the bit of page `index` is set. There is none behind the last.
    pub fn is_set(&self, index: u64) -> bool {
        let word = self.words.get((index / PER_WORD) as usize);
        word.is_some_and(|word| word >> (index % PER_WORD) & 1 != 0)
    }

    /// Returns whether the bits of these `pages` pages are all set.
    pub fn are_set(&self, first: u64, pages: u64) -> bool {
        let (mut at, mut left) = (first, pages);
        while left != 0 {
            let shift = at % PER_WORD;
            let here = left.min(PER_WORD - shift);
            let mask = low(here) << shift;
            let word = self.words.get((at / PER_WORD) as usize).copied();
            if word.unwrap_or(0) & mask != mask {
                return false;
            }
            at += here;
            left -= here;
        }
        true
    }

    /// Sets the bit of page `index`, if there is one. Returns whether it was clear.
    pub fn set(&mut self, index: u64) -> bool {
        if index >= self.pages {
            return false;
        }
        let Some(word) = self.words.get_mut((index / PER_WORD) as usize) else {
            return false;
        };
        let mask = 1 << (index % PER_WORD);
        let was_clear = *word & mask == 0;
        *word |= mask;
        self.dirty += u64::from(was_clear);
        was_clear
    }

    /// Sets the bits of those of these `pages` pages that there are.
    pub fn set_range(&mut self, first: u64, pages: u64) {
        let end = first.saturating_add(pages).min(self.pages);
        for index in first..end {
            self.set(index);
        }
    }

    /// Sets all bits.
    pub fn set_all(&mut self) {
        let mut left = self.pages;
        for word in self.words.iter_mut() {
            *word = low(left);
            left = left.saturating_sub(PER_WORD);
        }
        self.dirty = self.pages;
    }

    /// Copies all bits to `to`. Returns how many are set.
    pub fn copy(&self, to: &mut [u64]) -> u64 {
        for (to, word) in to.iter_mut().zip(self.words.iter()) {
            *to = *word;
        }
        self.dirty
    }

    /// Moves all bits to `to`, which leaves them clear. Returns how many were set.
    pub fn take(&mut self, to: &mut [u64]) -> u64 {
        let taken = self.copy(to);
        self.words.fill(0);
        self.dirty = 0;
        taken
    }

    /// Sets the bits that are set in `from`, which begins at page `first`, the first of a word.
    pub fn put_back(&mut self, first: u64, from: &[u64]) {
        let mut left = self.pages.saturating_sub(first);
        let start = (first / PER_WORD) as usize;
        let words = self.words.get_mut(start..).unwrap_or_default();
        for (word, from) in words.iter_mut().zip(from) {
            let add = from & low(left) & !*word;
            *word |= add;
            self.dirty += u64::from(add.count_ones());
            left = left.saturating_sub(PER_WORD);
        }
    }

    /// Clears the bits that are set in `mask`, which begins at page `first`, the first of a word, and is
    /// for `pages` pages. `mask` becomes those that were set. Returns how many these are.
    pub fn clear(&mut self, first: u64, pages: u64, mask: &mut [u64]) -> u64 {
        let mut left = pages;
        let mut cleared = 0;
        let start = (first / PER_WORD) as usize;
        let words = self.words.get_mut(start..).unwrap_or_default();
        for (word, mask) in words.iter_mut().zip(mask) {
            let both = *word & *mask & low(left);
            *word &= !both;
            *mask = both;
            cleared += u64::from(both.count_ones());
            left = left.saturating_sub(PER_WORD);
        }
        self.dirty -= cleared;
        cleared
    }
}

/// Goes over the runs of set bits in `words`, each given as its first bit and its length.
pub fn runs(words: &[u64]) -> Runs<'_> {
    Runs { words, at: 0 }
}

/// See [`runs`].
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    words: &'a [u64],
    at: u64,
}

impl Runs<'_> {
    /// Returns the first bit from `at` on that is set, or clear if `invert` is all ones; the end if
    /// there is none.
    fn seek(&self, at: u64, invert: u64) -> u64 {
        let start = (at / PER_WORD) as usize;
        let rest = self.words.get(start..).unwrap_or_default();
        let mut skip = at % PER_WORD;
        let mut base = at - skip;
        for word in rest {
            let found = (word ^ invert) >> skip << skip;
            if found != 0 {
                return base + u64::from(found.trailing_zeros());
            }
            skip = 0;
            base += PER_WORD;
        }
        self.words.len() as u64 * PER_WORD
    }
}

impl Iterator for Runs<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let first = self.seek(self.at, 0);
        if first == self.words.len() as u64 * PER_WORD {
            return None;
        }
        self.at = self.seek(first, u64::MAX);
        Some((first, self.at - first))
    }
}
