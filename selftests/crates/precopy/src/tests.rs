// SPDX-License-Identifier: GPL-2.0-or-later

//! The engine on a model: random writers, failures of everything, and deliberate mistakes, which have to be found.

mod bytes;
mod ends;
mod fuzz;
mod model;
mod pair;
mod resume;
mod whole;

use crate::Bitmap;
use crate::Options;

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The mask of a first clear is empty, as what was got until then is.
    EmptyFirstMask,
    /// A page is read before its chunk is cleared.
    ReadBeforeClear,
    /// A sync loses some of the bits.
    DroppedBits,
    /// A clear names every page of the chunk, not only those that were got.
    FullMask,
    /// A marker of zeros does not overwrite what an earlier round brought.
    ZerosIgnored,
    /// What may not have come before the connection was lost is not sent again.
    NotSentAgain,
    /// Pages count as sent before the frame that has them is the next one.
    DoneTooEarly,
    /// The receiver counts the frame that was cut by the end of the connection.
    CountsTooMany,
    /// The sender says nothing while it reads.
    SilentSender,
    /// The receiver says nothing while it compares.
    SilentReceiver,
    /// The sender does not wait for a receiver that compares slowly.
    TooFarAhead,
    /// The logs that hold the writers back are switched off before the regions are freed, or stay whole for the receiver.
    LogsOffFirst,
    /// The writers run on though the receiver may have taken over.
    RunsTooEarly,
}

impl Options {
    /// Makes [`Mistake::DroppedBits`].
    pub(crate) fn spoil(&self, dirty: &mut Bitmap) {
        if self.mistake == Some(Mistake::DroppedBits) {
            dirty.fill_with(|words| words.iter_mut().for_each(|word| *word &= !0xf0));
        }
    }

    /// Returns the mask that a clear uses.
    pub(crate) fn mask(&self, mask: &[u64], syncs: u64) -> Vec<u64> {
        let word = |word: &u64| match self.mistake {
            Some(Mistake::EmptyFirstMask) if syncs == 0 => 0,
            Some(Mistake::FullMask) if syncs > 0 => !0,
            _ => *word,
        };
        mask.iter().map(word).collect()
    }
}
