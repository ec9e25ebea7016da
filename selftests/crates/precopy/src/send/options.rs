// SPDX-License-Identifier: GPL-2.0-or-later

//! What a caller says of a migration, and hears of it.

use std::error;
use std::fmt;
use std::time::Duration;

use crate::Failure;
use crate::Progress;
use crate::Statistics;

/// Whether the log is got before the first page is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstSync {
    /// Not if the log says, once it is on, that all its bits are set at first: it can tell nothing new.
    #[default]
    Auto,
    /// Not at all: all pages are to be sent, so the log can name none that is not.
    Never,
    /// In any case.
    Always,
}

/// What to do when the time limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtLimit {
    /// Give up.
    #[default]
    Cancel,
    /// Stop the writers, however much is left.
    Force,
}

/// How to take up a migration whose connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// How long to connect again after that.
    pub window: Duration,
    /// The name of this migration, by which the receiver knows it; random, and not 0.
    pub id: u128,
}

/// How to move.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to sync first.
    pub first_sync: FirstSync,
    /// A chunk, which is cleared at once, has 2^this pages; 6 to 31, what is outside is clamped with a warning.
    pub clear_shift: u32,
    /// The longest time to have the writers stopped for sending what is left, at the rate measured.
    pub downtime: Duration,
    /// The longest time until the writers are stopped.
    pub limit: Option<Duration>,
    /// What to do then.
    pub at_limit: AtLimit,
    /// The most bytes a second.
    pub bandwidth: Option<u64>,
    /// Whether a lost connection is to be taken up.
    pub resume: Option<Resume>,
    /// A deliberate mistake, which tests have to find.
    #[cfg(test)]
    pub(crate) mistake: Option<crate::tests::Mistake>,
}

impl Default for Options {
    /// First sync `auto`, chunks of 2^15 pages, 300 ms of downtime, no limits.
    fn default() -> Self {
        Self {
            first_sync: FirstSync::Auto,
            clear_shift: 15,
            downtime: Duration::from_millis(300),
            limit: None,
            at_limit: AtLimit::Cancel,
            bandwidth: None,
            resume: None,
            #[cfg(test)]
            mistake: None,
        }
    }
}

/// What a user wants of a migration that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To go on.
    Continue,
    /// To give up. After the hand-over it is too late for that.
    Cancel,
    /// To stop the writers now, however much is left.
    Force,
}

/// The user's view of a migration that runs.
pub trait Watch {
    /// Returns what is wanted. It is asked often.
    fn request(&mut self) -> Request;

    /// Takes note of how far it is; once after each part of a round, at most some times a second.
    fn progress(&mut self, progress: &Progress);

    /// Takes note of a lost connection that is to be taken up.
    fn lost(&mut self, failure: &Failure) {
        let _ = failure;
    }
}

/// A migration that failed, with what it did until then.
#[derive(Debug)]
pub struct Failed {
    /// Where, when, why.
    pub failure: Failure,
    /// What it did.
    pub statistics: Box<Statistics>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl error::Error for Failed {}
