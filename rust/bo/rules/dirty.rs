// SPDX-License-Identifier: GPL-2.0-or-later

//! The bits of a dirty log, its modes, and which ranges of it can be cleared.
#![deny(unsafe_code)]

use core::ops::Deref;

/// Pages whose bits are in one word.
pub const PER_WORD: u64 = u64::BITS as u64;

/// Words that are copied before they are counted.
const AT_ONCE: usize = 64;

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

/// A word of bits that several threads change at once.
pub trait Word {
    /// Returns it.
    fn get(&self) -> u64;

    /// Makes it `new` if it is `old`, and returns whether it was. What the caller did before is done
    /// before, and what it does afterwards, afterwards.
    fn replace(&self, old: u64, new: u64) -> bool;
}

/// A number of pages that several threads change at once.
pub trait Count {
    /// Adds `pages`.
    fn add(&self, pages: u64);

    /// Subtracts `pages`.
    fn sub(&self, pages: u64);
}

/// A bit for each page: whether it was written to.
///
/// Bits are set by whoever writes, without a lock, while another thread reads or clears them. No bit
/// behind the last page is ever set. `dirty` counts those that are set, and for a moment those that
/// are about to be, so that it is never too low.
#[derive(Debug)]
pub struct Bits<W, C> {
    words: W,
    pages: u64,
    dirty: C,
}

impl<A: Word, W: Deref<Target = [A]>, C: Count> Bits<W, C> {
    /// Makes the bits of `pages` pages in `words`, which are all ones if the bits are to be `set`, and
    /// else 0. `None`: there are too few words.
    pub fn new(words: W, pages: u64, set: bool, dirty: C) -> Option<Self> {
        if (words.len() as u64) < words_for(pages) {
            return None;
        }
        if set {
            let mut keep = low(pages % PER_WORD);
            for word in words.iter().skip((pages / PER_WORD) as usize) {
                word.replace(word.get(), keep);
                keep = 0;
            }
            dirty.add(pages);
        }
        Some(Self {
            words,
            pages,
            dirty,
        })
    }

    /// Returns the number of pages.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns the count of bits that are set.
    pub const fn dirty(&self) -> &C {
        &self.dirty
    }

    /// Returns whether the bit of page `index` is set. There is none behind the last.
    pub fn is_set(&self, index: u64) -> bool {
        let word = self.words.get((index / PER_WORD) as usize);
        word.is_some_and(|word| word.get() >> (index % PER_WORD) & 1 != 0)
    }

    /// Returns whether the bits of these `pages` pages are all set.
    pub fn are_set(&self, first: u64, pages: u64) -> bool {
        let (mut at, mut left) = (first, pages);
        while left != 0 {
            let shift = at % PER_WORD;
            let here = left.min(PER_WORD - shift);
            let mask = low(here) << shift;
            let word = self.words.get((at / PER_WORD) as usize);
            if word.map_or(0, Word::get) & mask != mask {
                return false;
            }
            at += here;
            left -= here;
        }
        true
    }

    /// Sets the bits of `mask` in a word. Returns those that were clear.
    fn set_in(&self, word: &A, mask: u64) -> u64 {
        loop {
            let old = word.get();
            let new = mask & !old;
            if new == 0 {
                return 0;
            }
            let count = u64::from(new.count_ones());
            self.dirty.add(count);
            if word.replace(old, old | new) {
                return new;
            }
            self.dirty.sub(count);
        }
    }

    /// Clears the bits of `mask` in a word. Returns those that were set.
    fn clear_in(&self, word: &A, mask: u64) -> u64 {
        loop {
            let old = word.get();
            let both = mask & old;
            if both == 0 {
                return 0;
            }
            if word.replace(old, old & !both) {
                self.dirty.sub(u64::from(both.count_ones()));
                return both;
            }
        }
    }

    /// Sets the bit of page `index`, if there is one. Returns whether it was clear.
    pub fn set(&self, index: u64) -> bool {
        if index >= self.pages {
            return false;
        }
        let word = self.words.get((index / PER_WORD) as usize);
        word.is_some_and(|word| self.set_in(word, 1 << (index % PER_WORD)) != 0)
    }

    /// Sets the bits of those of these `pages` pages that there are.
    pub fn set_range(&self, first: u64, pages: u64) {
        let end = first.saturating_add(pages).min(self.pages);
        let mut at = first;
        while at < end {
            let shift = at % PER_WORD;
            let here = (end - at).min(PER_WORD - shift);
            if let Some(word) = self.words.get((at / PER_WORD) as usize) {
                self.set_in(word, low(here) << shift);
            }
            at += here;
        }
    }

    /// Sets all bits.
    pub fn set_all(&self) {
        self.set_range(0, self.pages);
    }

    /// Copies all bits to `to`. Returns how many of these are set.
    pub fn copy(&self, to: &mut [u64]) -> u64 {
        let mut set = 0;
        for (to, words) in to.chunks_mut(AT_ONCE).zip(self.words.chunks(AT_ONCE)) {
            let mut any = 0;
            for (to, word) in to.iter_mut().zip(words) {
                *to = word.get();
                any |= *to;
            }
            // Most of a log is clear.
            if any != 0 {
                set += to
                    .iter()
                    .map(|word| u64::from(word.count_ones()))
                    .sum::<u64>();
            }
        }
        set
    }

    /// Moves all bits to `to`, which leaves them clear. Returns how many of these were set.
    pub fn take(&self, to: &mut [u64]) -> u64 {
        let mut taken = 0;
        for (to, word) in to.iter_mut().zip(self.words.iter()) {
            *to = self.clear_in(word, u64::MAX);
            taken += u64::from(to.count_ones());
        }
        taken
    }

    /// Sets the bits that are set in `from`, which begins at page `first`, the first of a word.
    pub fn put_back(&self, first: u64, from: &[u64]) {
        let mut left = self.pages.saturating_sub(first);
        let words = self.words.iter().skip((first / PER_WORD) as usize);
        for (word, from) in words.zip(from) {
            self.set_in(word, from & low(left));
            left = left.saturating_sub(PER_WORD);
        }
    }

    /// Clears the bits that are set in `mask`, which begins at page `first`, the first of a word, and is
    /// for `pages` pages. `mask` becomes those that were set. Returns how many these are.
    pub fn clear(&self, first: u64, pages: u64, mask: &mut [u64]) -> u64 {
        let mut left = pages;
        let mut cleared = 0;
        let words = self.words.iter().skip((first / PER_WORD) as usize);
        for (word, mask) in words.zip(mask) {
            *mask = self.clear_in(word, *mask & low(left));
            cleared += u64::from(mask.count_ones());
            left = left.saturating_sub(PER_WORD);
        }
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
