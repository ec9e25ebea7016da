// SPDX-License-Identifier: GPL-2.0-or-later

//! The bits of a dirty log, its modes, and which ranges of it can be cleared.
#![deny(unsafe_code)]

use core::ops::{
    Deref,
    DerefMut, //
};

/// Pages whose bits are in one word.
pub const PER_WORD: u64 = u64::BITS as u64;

/// Words of a part, whose bits are counted together: a page of them, for 128 MiB of an object.
pub const PER_PART: usize = 512;

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

/// What becomes of a page fault that has to wait for a fence to be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It waits until a signal arrives that kills the task.
    Killable,
    /// It waits until any signal arrives.
    Interruptible,
    /// The caller does not wait, and asks again later.
    Later,
    /// The caller can't ask again, and would keep others waiting with it.
    Refuse,
}

/// Returns what becomes of a page fault that has to wait. `retry`: its lock can be released for that, and
/// the kernel asks again; `nowait`: but the lock must not be released; `interruptible`: the access can be
/// given up for any signal, and is made again after that.
pub const fn hold(retry: bool, nowait: bool, interruptible: bool) -> Hold {
    match (retry, nowait, interruptible) {
        (false, ..) => Hold::Refuse,
        (true, true, _) => Hold::Later,
        (true, false, true) => Hold::Interruptible,
        (true, false, false) => Hold::Killable,
    }
}

/// How many fences hold writers back from an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fences(u64);

impl Fences {
    /// No fence.
    pub const NONE: Self = Self(0);

    /// Returns how many there are.
    pub const fn count(self) -> u64 {
        self.0
    }

    /// Returns those with this number.
    pub const fn of(count: u64) -> Self {
        Self(count)
    }

    /// Returns these and one more, and whether that is the first, from which on writers are held back.
    pub const fn put(self) -> (Self, bool) {
        (Self(self.0.saturating_add(1)), self.0 == 0)
    }

    /// Returns these without one, and whether that was the last, after which writers go on.
    pub const fn lifted(self) -> (Self, bool) {
        (Self(self.0.saturating_sub(1)), self.0 == 1)
    }
}

/// Returns the number of words that `pages` bits take.
pub const fn words_for(pages: u64) -> u64 {
    pages.div_ceil(PER_WORD)
}

/// Returns the number of parts that `pages` bits have.
pub const fn parts_for(pages: u64) -> u64 {
    words_for(pages).div_ceil(PER_PART as u64)
}

/// Returns whether a bitmap may begin at page `first`.
pub const fn begins_at_a_word(first: u64) -> bool {
    first % PER_WORD == 0
}

/// Returns whether `pages` pages from `first` on can be cleared in a log of `whole` pages: whole words
/// of it, or up to its end.
pub const fn is_range(whole: u64, first: u64, pages: u64) -> bool {
    if first > whole || pages > whole - first {
        return false;
    }
    pages % PER_WORD == 0 || pages == whole - first
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
/// Bits are set by the threads that write, without a lock, while another thread reads or clears them. No bit
/// behind the last page is ever set.
///
/// Each part has a count of the bits that are set, and for a moment those that are about to be: it is
/// raised before a bit is set, and lowered after one was cleared. So a part whose count is 0 has no bit
/// that was set before, and needs not be looked at. `sums` counts the same with the bits of others.
#[derive(Debug)]
pub struct Bits<W, C> {
    words: W,
    counts: W,
    pages: u64,
    sums: C,
}

impl<A: Word + Count, W: Deref<Target = [A]>, C: Count> Bits<W, C> {
    /// Makes the bits of `pages` pages in `words`, and their counts in `counts`. All of these are ones if
    /// the bits are to be `set`, and else 0. `None`: there are too few.
    pub fn new(words: W, counts: W, pages: u64, set: bool, sums: C) -> Option<Self> {
        if (words.len() as u64) < words_for(pages) || (counts.len() as u64) < parts_for(pages) {
            return None;
        }
        if set {
            let mut keep = low(pages % PER_WORD);
            for word in words.iter().skip((pages / PER_WORD) as usize) {
                word.replace(word.get(), keep);
                keep = 0;
            }
            let mut left = pages;
            for count in counts.iter() {
                let here = left.min(PER_PART as u64 * PER_WORD);
                count.replace(count.get(), here);
                left -= here;
            }
            sums.add(pages);
        }
        Some(Self {
            words,
            counts,
            pages,
            sums,
        })
    }

    /// Returns the number of pages.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns what counts with the bits of others.
    pub const fn sums(&self) -> &C {
        &self.sums
    }

    /// Returns how many bits are set.
    pub fn dirty(&self) -> u64 {
        self.counts.iter().map(Word::get).sum()
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

    /// Sets the bits of `mask` in word `index`. Returns those that were clear.
    fn set_in(&self, index: usize, mask: u64) -> u64 {
        let word = self.words.get(index);
        let Some((word, count)) = word.zip(self.counts.get(index / PER_PART)) else {
            return 0;
        };
        loop {
            let old = word.get();
            let new = mask & !old;
            if new == 0 {
                return 0;
            }
            let bits = u64::from(new.count_ones());
            // Before: who finds the bit afterwards must not find a count of 0.
            count.add(bits);
            self.sums.add(bits);
            if word.replace(old, old | new) {
                return new;
            }
            count.sub(bits);
            self.sums.sub(bits);
        }
    }

    /// Clears the bits of `mask` in a word that `count` counts. Returns those that were set.
    fn clear_in(&self, word: &A, count: &A, mask: u64) -> u64 {
        loop {
            let old = word.get();
            let both = mask & old;
            if both == 0 {
                return 0;
            }
            if word.replace(old, old & !both) {
                let bits = u64::from(both.count_ones());
                count.sub(bits);
                self.sums.sub(bits);
                return both;
            }
        }
    }

    /// Sets the bit of page `index`, if there is one. Returns whether it was clear.
    pub fn set(&self, index: u64) -> bool {
        index < self.pages && self.set_in((index / PER_WORD) as usize, 1 << (index % PER_WORD)) != 0
    }

    /// Sets the bits of those of these `pages` pages that there are.
    pub fn set_range(&self, first: u64, pages: u64) {
        let end = first.saturating_add(pages).min(self.pages);
        let mut at = first;
        while at < end {
            let shift = at % PER_WORD;
            let here = (end - at).min(PER_WORD - shift);
            self.set_in((at / PER_WORD) as usize, low(here) << shift);
            at += here;
        }
    }

    /// Sets all bits.
    pub fn set_all(&self) {
        self.set_range(0, self.pages);
    }

    /// Returns the words of part `number`; those that there are.
    fn part(&self, number: usize) -> &[A] {
        let first = number.saturating_mul(PER_PART);
        let rest = self.words.get(first..).unwrap_or_default();
        rest.get(..PER_PART).unwrap_or(rest)
    }

    /// Returns how many parts have bits that are set.
    pub fn parts(&self) -> usize {
        self.counts.iter().filter(|count| count.get() != 0).count()
    }

    /// Copies the parts that have bits set to `to`; if they are to be taken, these become clear. Returns
    /// how many bits that are. `None`: there is no room for that, and nothing has changed.
    ///
    /// A part that has none when this is called may be left out, whatever is set meanwhile.
    pub fn get(&self, take: bool, to: &mut Parts<impl DerefMut<Target = [u64]>>) -> Option<u64> {
        let (mut used, mut room) = (0, to.words.len());
        (to.used, to.length) = (0, 0);
        for (number, count) in self.counts.iter().enumerate() {
            if count.get() != 0 {
                room = room.checked_sub(self.part(number).len())?;
                *to.numbers.get_mut(used)? = number as u64;
                used += 1;
            }
        }
        (to.used, to.length) = (used, to.words.len() - room);
        let mut dirty = 0;
        for (number, to) in to
            .numbers
            .iter()
            .take(used)
            .zip(to.words.chunks_mut(PER_PART))
        {
            let number = *number as usize;
            let Some(count) = self.counts.get(number) else {
                break;
            };
            for (to, word) in to.iter_mut().zip(self.part(number)) {
                *to = if take {
                    self.clear_in(word, count, u64::MAX)
                } else {
                    word.get()
                };
                // Counting takes longer than to see that there is nothing to count.
                if *to != 0 {
                    dirty += u64::from(to.count_ones());
                }
            }
        }
        Some(dirty)
    }

    /// Sets the bits that are set in `from`, which begins at page `first`, the first of a word.
    pub fn put_back(&self, first: u64, from: &[u64]) {
        let mut left = self.pages.saturating_sub(first);
        for (index, from) in ((first / PER_WORD) as usize..).zip(from) {
            self.set_in(index, from & low(left));
            left = left.saturating_sub(PER_WORD);
        }
    }

    /// Clears the bits that are set in `mask`, which begins at page `first`, the first of a word, and is
    /// for `pages` pages. `mask` becomes those that were set. Returns how many these are.
    pub fn clear(&self, first: u64, pages: u64, mask: &mut [u64]) -> u64 {
        let mut left = pages;
        let mut cleared = 0;
        let mut at = (first / PER_WORD) as usize;
        let mut rest = mask;
        while !rest.is_empty() {
            let number = at / PER_PART;
            let words = self.part(number).get(at % PER_PART..).unwrap_or_default();
            let Some(count) = self.counts.get(number).filter(|_| !words.is_empty()) else {
                break;
            };
            let (here, after) = rest.split_at_mut(words.len().min(rest.len()));
            at += here.len();
            rest = after;
            if count.get() == 0 {
                here.fill(0);
                left = left.saturating_sub(here.len() as u64 * PER_WORD);
                continue;
            }
            for (word, mask) in words.iter().zip(here) {
                if *mask != 0 {
                    *mask = self.clear_in(word, count, *mask & low(left));
                    cleared += u64::from(mask.count_ones());
                }
                left = left.saturating_sub(PER_WORD);
            }
        }
        cleared
    }
}

/// Some parts of the bits of a log, copied; all others are clear.
#[derive(Debug)]
pub struct Parts<V> {
    /// Which they are, in order.
    numbers: V,
    /// Their words, one after the other.
    words: V,
    /// How many there are.
    used: usize,
    /// How many words they have.
    length: usize,
}

impl<V: DerefMut<Target = [u64]>> Parts<V> {
    /// Makes room in `numbers` for the numbers of parts, and in `words` for their words.
    pub fn new(numbers: V, words: V) -> Self {
        Self {
            numbers,
            words,
            used: 0,
            length: 0,
        }
    }

    /// Goes over all `words` words of a log: pieces that were copied, and those between them.
    pub fn pieces(&self, words: usize) -> Pieces<'_> {
        Pieces {
            numbers: self.numbers.get(..self.used).unwrap_or_default(),
            copied: self.words.get(..self.length).unwrap_or_default(),
            at: 0,
            end: words,
        }
    }
}

/// Some words of a log, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The first of them.
    pub first: usize,
    /// How many there are.
    pub length: usize,
    /// What they were. `None`: all 0.
    pub words: Option<&'a [u64]>,
}

impl Piece<'_> {
    /// Returns the page of the first bit.
    pub const fn first_page(&self) -> u64 {
        self.first as u64 * PER_WORD
    }
}

/// See [`Parts::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    numbers: &'a [u64],
    copied: &'a [u64],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let (first, left) = (self.at, self.end.saturating_sub(self.at));
        if left == 0 {
            return None;
        }
        let start = |number: u64| number as usize * PER_PART;
        let side_by_side = (0..).zip(self.numbers);
        let parts = side_by_side
            .take_while(|(ahead, number)| start(**number) == first + ahead * PER_PART)
            .count();
        let (length, words) = if parts == 0 {
            let next = self.numbers.first().map_or(self.end, |next| start(*next));
            (next.saturating_sub(first).min(left), None)
        } else {
            let length = (parts * PER_PART).min(left).min(self.copied.len());
            let (words, copied) = self.copied.split_at(length);
            self.numbers = self.numbers.get(parts..).unwrap_or_default();
            self.copied = copied;
            (length, Some(words))
        };
        if length == 0 {
            return None;
        }
        self.at += length;
        Some(Piece {
            first,
            length,
            words,
        })
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
