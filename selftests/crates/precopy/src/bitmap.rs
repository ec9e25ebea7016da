// SPDX-License-Identifier: GPL-2.0-or-later

//! A bitmap of a fixed number of bits.

use std::io;

/// A bitmap in native 64-bit words: bit i of word w is bit 64w+i. Bits behind the last one are always 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    bits: u64,
}

impl Bitmap {
    /// Returns a bitmap of `bits` zeros. Fails with `OutOfMemory`.
    pub fn zeros(bits: u64) -> io::Result<Self> {
        Self::filled(bits, 0)
    }

    /// Returns a bitmap of `bits` ones. Fails with `OutOfMemory`.
    pub fn ones(bits: u64) -> io::Result<Self> {
        Self::filled(bits, !0)
    }

    fn filled(bits: u64, word: u64) -> io::Result<Self> {
        let out_of_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
        let count = usize::try_from(bits.div_ceil(64)).map_err(|_| out_of_memory())?;
        let mut words = Vec::new();
        words
            .try_reserve_exact(count)
            .map_err(|_| out_of_memory())?;
        words.resize(count, word);
        let mut bitmap = Self { words, bits };
        bitmap.trim();
        Ok(bitmap)
    }

    /// Clears what is behind the last bit.
    fn trim(&mut self) {
        let used = self.bits % 64;
        if let (Some(last), true) = (self.words.last_mut(), used != 0) {
            *last &= (1 << used) - 1;
        }
    }

    /// Returns the number of bits.
    pub fn len(&self) -> u64 {
        self.bits
    }

    /// Returns whether it has no bits at all.
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Returns the words.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Lets `fill` write all words; bits behind the last one are ignored.
    pub fn fill_with<T>(&mut self, fill: impl FnOnce(&mut [u64]) -> T) -> T {
        let result = fill(&mut self.words);
        self.trim();
        result
    }

    /// Returns the bit `index`; 0 for one that is not there.
    pub fn get(&self, index: u64) -> bool {
        let word = self.words.get((index / 64) as usize);
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Sets the bit `index`, which has to be there.
    pub fn set(&mut self, index: u64) {
        assert!(index < self.bits, "bit {index} of {}", self.bits);
        self.words[(index / 64) as usize] |= 1 << (index % 64);
    }

    /// Sets those of the bits `from..to` that are there. Returns how many of them were not set.
    pub fn set_range(&mut self, from: u64, to: u64) -> u64 {
        let mut new = 0;
        self.each_word(from, to, |word, mask| {
            new += u64::from((mask & !*word).count_ones());
            *word |= mask;
        });
        new
    }

    /// Clears the bits `from..to`.
    pub fn unset(&mut self, from: u64, to: u64) {
        self.each_word(from, to, |word, mask| *word &= !mask);
    }

    /// Calls `change` with each word that has bits of `from..to`, and the mask of these.
    fn each_word(&mut self, from: u64, to: u64, mut change: impl FnMut(&mut u64, u64)) {
        let to = to.min(self.bits);
        let mut at = from;
        while at < to {
            let end = to.min((at / 64 + 1) * 64);
            let count = end - at;
            let mask = if count == 64 { !0 } else { (1 << count) - 1 };
            change(&mut self.words[(at / 64) as usize], mask << (at % 64));
            at = end;
        }
    }

    /// Returns the number of ones.
    pub fn count(&self) -> u64 {
        let ones = self.words.iter().map(|word| u64::from(word.count_ones()));
        ones.sum()
    }

    /// Returns the first one in `from..to`.
    pub fn next(&self, from: u64, to: u64) -> Option<u64> {
        let to = to.min(self.bits);
        let mut at = from;
        while at < to {
            let rest = self.words[(at / 64) as usize] >> (at % 64);
            if rest != 0 {
                let found = at + u64::from(rest.trailing_zeros());
                return (found < to).then_some(found);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }

    /// Returns the number of ones in a row from `from` on, up to `most`.
    pub fn run(&self, from: u64, most: u64) -> u64 {
        (0..most)
            .take_while(|offset| self.get(from + offset))
            .count() as u64
    }

    /// Sets every bit that `other`, of the same length, has. Returns how many of them were not set.
    pub fn merge(&mut self, other: &Self) -> u64 {
        let mut new = 0;
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            new += u64::from((more & !*word).count_ones());
            *word |= more;
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_stays_zero() {
        let mut bitmap = Bitmap::ones(130).unwrap();
        assert_eq!(bitmap.words(), [!0, !0, 3]);
        assert_eq!(bitmap.count(), 130);
        bitmap.fill_with(|words| words.fill(!0));
        assert_eq!(bitmap.words(), [!0, !0, 3]);
        assert!(!bitmap.get(130) && !bitmap.get(1000));
        assert!(Bitmap::ones(u64::MAX).is_err());
    }

    #[test]
    fn parts_are_cleared_and_found() {
        for (from, to) in [(0, 1), (5, 64), (63, 65), (64, 128), (1, 130), (128, 130)] {
            let mut bitmap = Bitmap::ones(130).unwrap();
            bitmap.unset(from, to);
            for index in 0..130 {
                assert_eq!(bitmap.get(index), !(from..to).contains(&index), "{index}");
            }
            assert_eq!(bitmap.next(from, to), None);
            let again = &mut bitmap.clone();
            assert_eq!((again.set_range(from, to), again.count()), (to - from, 130));
            assert_eq!(again.set_range(0, u64::MAX), 0);
            assert_eq!(bitmap.next(from, 130), (to < 130).then_some(to));
            assert_eq!(bitmap.run(0, 1000), if from == 0 { 0 } else { from });
        }
    }

    #[test]
    fn merging_counts_what_is_new() {
        let mut bitmap = Bitmap::zeros(70).unwrap();
        bitmap.set(3);
        let mut other = Bitmap::zeros(70).unwrap();
        other.set(3);
        other.set(69);
        assert_eq!((bitmap.merge(&other), bitmap.merge(&other)), (1, 0));
        assert_eq!(bitmap, other);
    }
}
