// SPDX-License-Identifier: GPL-2.0-or-later

//! Random numbers that are the same in every run.

use reeve_uapi::pattern::mix;

/// A sequence of numbers that depends on a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of the values.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_repeat_and_spread() {
        let (mut a, mut b) = (Random::new(1), Random::new(1));
        let mut hits = [0; 8];
        for _ in 0..8000 {
            let number = a.below(8);
            assert_eq!(number, b.below(8));
            hits[number as usize] += 1;
        }
        assert!(hits.iter().all(|n| (800..1200).contains(n)), "{hits:?}");
    }
}
