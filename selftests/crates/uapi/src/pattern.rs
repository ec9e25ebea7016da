// SPDX-License-Identifier: GPL-2.0-or-later

//! Content that is easy to make and to recognise.

/// An endless stream of bytes that depends on a seed; any part of it can be made on its own.
///
/// ```
/// use reeve_uapi::pattern::Pattern;
///
/// let pattern = Pattern::new(7);
/// let mut bytes = pattern.bytes(100);
/// assert_eq!(pattern.mismatch(0, &bytes), None);
/// assert_eq!(pattern.mismatch(40, &bytes[40..]), None);
/// bytes[50] ^= 1;
/// assert_eq!(pattern.mismatch(0, &bytes), Some(50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
}

impl Pattern {
    /// The stream of this seed. Different seeds give streams that differ in nearly every byte.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The eight bytes that start at `8 * index`.
    fn word(self, index: u64) -> [u8; 8] {
        mix(mix(self.seed).wrapping_add(index)).to_le_bytes()
    }

    /// The byte at `position`.
    pub fn byte(self, position: u64) -> u8 {
        self.word(position / 8)[(position % 8) as usize]
    }

    /// Fills `buf` with the part of the stream that starts at `offset`.
    pub fn fill(self, offset: u64, buf: &mut [u8]) {
        let mut index = offset / 8;
        let mut skip = (offset % 8) as usize;
        let mut rest = buf;
        while !rest.is_empty() {
            let word = &self.word(index)[skip..];
            let (head, tail) = rest.split_at_mut(word.len().min(rest.len()));
            head.copy_from_slice(&word[..head.len()]);
            rest = tail;
            skip = 0;
            index = index.wrapping_add(1);
        }
    }

    /// Position in the stream of the first byte of `buf` that is not the pattern's.
    pub fn mismatch(self, offset: u64, buf: &[u8]) -> Option<u64> {
        let mut index = offset / 8;
        let mut skip = (offset % 8) as usize;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let word = &self.word(index)[skip..];
            let (head, tail) = rest.split_at(word.len().min(rest.len()));
            if let Some(wrong) = head.iter().zip(word).position(|(a, b)| a != b) {
                return Some(at + wrong as u64);
            }
            at += head.len() as u64;
            rest = tail;
            skip = 0;
            index = index.wrapping_add(1);
        }
        None
    }

    /// `len` bytes from the start of the stream.
    pub fn bytes(self, len: usize) -> Vec<u8> {
        let mut buf = vec![0; len];
        self.fill(0, &mut buf);
        buf
    }
}

/// The finaliser of splitmix64: every bit of the result depends on every bit of the input.
pub const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A short fingerprint of a stream of bytes (FNV-1a, 64 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    /// Of no bytes.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Goes on with these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The fingerprint of what was added so far.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_parts_of_the_whole() {
        let pattern = Pattern::new(7);
        let whole = pattern.bytes(100);
        for offset in 0..20 {
            for len in 0..40 {
                let mut part = vec![0; len];
                pattern.fill(offset as u64, &mut part);
                assert_eq!(part, whole[offset..offset + len], "{offset} {len}");
                assert_eq!(pattern.mismatch(offset as u64, &part), None);
            }
        }
        for (position, byte) in whole.iter().enumerate() {
            assert_eq!(pattern.byte(position as u64), *byte);
        }
    }

    #[test]
    fn every_changed_byte_is_found() {
        let pattern = Pattern::new(1);
        let mut part = vec![0; 33];
        pattern.fill(5, &mut part);
        for at in 0..part.len() {
            part[at] ^= 0x80;
            assert_eq!(pattern.mismatch(5, &part), Some(5 + at as u64));
            part[at] ^= 0x80;
        }
    }

    #[test]
    fn seeds_differ() {
        let a = Pattern::new(1).bytes(4096);
        let b = Pattern::new(2).bytes(4096);
        let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
        assert!(same < 64, "{same} equal bytes");
        assert!(a.iter().any(|byte| *byte != 0));
    }

    #[test]
    fn checksum_is_fnv1a_and_does_not_care_about_chunks() {
        let mut sum = Checksum::new();
        assert_eq!(sum.get(), 0xcbf2_9ce4_8422_2325);
        sum.add(b"foo");
        sum.add(b"bar");
        assert_eq!(sum.get(), 0x8594_4171_f739_67e8);
    }
}
