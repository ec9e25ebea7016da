// SPDX-License-Identifier: GPL-2.0-or-later

//! What of a region is still to be sent, and what of its log is still to be cleared.

use std::io;
use std::ops::RangeInclusive;

use crate::Bitmap;
use crate::LogMode;

/// The pages of a chunk are cleared at once; 2^shift pages.
const SHIFTS: RangeInclusive<u32> = 6..=31;

/// Returns the nearest shift that a chunk may have.
pub fn clamp_shift(shift: u32) -> u32 {
    shift.clamp(*SHIFTS.start(), *SHIFTS.end())
}

/// The bitmaps of a region.
#[derive(Debug)]
pub(crate) struct Plan {
    pages: u64,
    shift: u32,
    mode: LogMode,
    /// A get was made.
    got: bool,
    /// The pages still to send (QEMU's `bmap`).
    left: Bitmap,
    /// The chunks whose log has to be cleared before any of their pages is sent (QEMU's `clear_bmap`).
    chunks: Bitmap,
    /// The bits that clearing these chunks will clear: got and not cleared yet; where no get was made, all.
    uncleared: Bitmap,
}

impl Plan {
    /// Plans to send every page. Without a first sync every chunk is cleared before its turn, whole, because any of its
    /// bits may be set.
    pub(crate) fn new(pages: u64, shift: u32, mode: LogMode, skip_sync: bool) -> io::Result<Self> {
        let shift = clamp_shift(shift);
        let chunks = pages.div_ceil(1 << shift);
        let bitmap = if skip_sync {
            Bitmap::ones
        } else {
            Bitmap::zeros
        };
        Ok(Self {
            pages,
            shift,
            mode,
            got: false,
            left: Bitmap::ones(pages)?,
            chunks: bitmap(chunks)?,
            uncleared: bitmap(pages)?,
        })
    }

    /// Returns the number of chunks.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunks.len()
    }

    /// Returns the first page of a chunk, and the one behind its last.
    pub(crate) fn bounds(&self, chunk: u64) -> (u64, u64) {
        let from = chunk << self.shift;
        (from, self.pages.min(from + (1 << self.shift)))
    }

    /// Returns the pages still to send.
    pub(crate) fn left(&self) -> &Bitmap {
        &self.left
    }

    /// Takes the pages `from..to` as sent, or as none to send.
    pub(crate) fn done(&mut self, from: u64, to: u64) {
        self.left.unset(from, to);
    }

    /// Takes the pages `from..to` as still to send: they may not have come. Returns how many of them were not already.
    /// They are read anew; what is written to them after that is in the log, which was cleared before they were read
    /// first.
    pub(crate) fn again(&mut self, from: u64, to: u64) -> u64 {
        self.left.set_range(from, to)
    }

    /// Adds what a get returned. Returns how many pages have been written since the last get or clear.
    pub(crate) fn synced(&mut self, dirty: &Bitmap) -> u64 {
        let new = dirty
            .words()
            .iter()
            .zip(self.uncleared.words())
            .map(|(dirty, known)| u64::from((dirty & !known).count_ones()))
            .sum();
        self.left.merge(dirty);
        if !self.got {
            // What may have been set is now known.
            self.uncleared.unset(0, self.pages);
            self.chunks.unset(0, self.chunks.len());
            self.got = true;
        }
        if self.mode == LogMode::Legacy {
            return new;
        }
        self.uncleared.merge(dirty);
        for chunk in 0..self.chunks() {
            let (from, to) = self.bounds(chunk);
            if self.uncleared.next(from, to).is_some() {
                self.chunks.set(chunk);
            }
        }
        new
    }

    /// Returns the mask with which the chunk's log has to be cleared now, if it has to.
    pub(crate) fn mask(&self, chunk: u64) -> Option<&[u64]> {
        if !self.chunks.get(chunk) {
            return None;
        }
        let (from, to) = self.bounds(chunk);
        let words = (from / 64) as usize..to.div_ceil(64) as usize;
        self.uncleared.words().get(words)
    }

    /// Notes that the chunk's log was cleared.
    pub(crate) fn cleared(&mut self, chunk: u64) {
        let (from, to) = self.bounds(chunk);
        self.uncleared.unset(from, to);
        self.chunks.unset(chunk, chunk + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(pages: u64, set: &[u64]) -> Bitmap {
        let mut bitmap = Bitmap::zeros(pages).unwrap();
        set.iter().for_each(|bit| bitmap.set(*bit));
        bitmap
    }

    #[test]
    fn shifts_are_clamped() {
        assert_eq!(
            [0, 5, 6, 15, 31, 32, u32::MAX].map(clamp_shift),
            [6, 6, 6, 15, 31, 31, 31]
        );
        let plan = Plan::new(130, 0, LogMode::Manual, true).unwrap();
        assert_eq!((plan.chunks(), plan.bounds(2)), (3, (128, 130)));
        let plan = Plan::new(130, 99, LogMode::Manual, true).unwrap();
        assert_eq!((plan.chunks(), plan.bounds(0)), (1, (0, 130)));
    }

    #[test]
    fn without_a_get_the_mask_is_full_and_used_once() {
        let mut plan = Plan::new(130, 6, LogMode::InitiallySet, true).unwrap();
        assert_eq!(plan.mask(0), Some(&[!0][..]));
        assert_eq!(plan.mask(2), Some(&[3][..]));
        plan.cleared(2);
        assert_eq!(plan.mask(2), None);
        assert_eq!(plan.left().count(), 130);
    }

    #[test]
    fn masks_are_what_was_got_and_not_cleared() {
        let mut plan = Plan::new(130, 6, LogMode::Manual, false).unwrap();
        assert_eq!(plan.mask(0), None);
        assert_eq!(plan.synced(&bits(130, &[5])), 1);
        assert_eq!(plan.mask(0), Some(&[1 << 5][..]));
        // Got again with another one: only that is new, and nothing is forgotten.
        assert_eq!(plan.synced(&bits(130, &[5, 7])), 1);
        assert_eq!(plan.mask(0), Some(&[1 << 5 | 1 << 7][..]));
        assert_eq!((plan.mask(1), plan.mask(2)), (None, None));
        plan.cleared(0);
        assert_eq!(plan.synced(&bits(130, &[5])), 1);
        assert_eq!(plan.mask(0), Some(&[1 << 5][..]));
    }

    #[test]
    fn a_late_first_get_tells_what_to_clear() {
        let mut plan = Plan::new(130, 6, LogMode::Manual, true).unwrap();
        plan.cleared(0);
        assert_eq!(plan.synced(&bits(130, &[1, 64])), 1);
        assert_eq!(plan.mask(0), Some(&[2][..]));
        assert_eq!(plan.mask(1), Some(&[1][..]));
        assert_eq!(plan.mask(2), None);
    }

    #[test]
    fn a_legacy_get_leaves_nothing_to_clear() {
        let mut plan = Plan::new(130, 6, LogMode::Legacy, false).unwrap();
        plan.done(0, 130);
        assert_eq!(plan.synced(&bits(130, &[1, 64])), 2);
        assert_eq!([plan.mask(0), plan.mask(1)], [None, None]);
        assert_eq!(plan.left(), &bits(130, &[1, 64]));
    }
}
