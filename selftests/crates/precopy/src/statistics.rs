// SPDX-License-Identifier: GPL-2.0-or-later

//! What a migration did, in numbers.

use serde::Serialize;

/// One round.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Round {
    /// From 1 on.
    pub number: u32,
    /// Whether the writers were stopped.
    pub stopped: bool,
    /// Pages sent, zero pages included.
    pub pages: u64,
    /// Of these, pages of zeros.
    pub zero_pages: u64,
    /// Regions that were sent as empty.
    pub empty: u64,
    /// Bytes on the connection.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Pages that were left to send after it.
    pub left: u64,
    /// Bytes a second.
    pub send_rate: Option<u64>,
    /// Bytes a second that the writers made dirty, as the sync after it found.
    pub dirty_rate: Option<u64>,
    /// Whether the connection was lost before its end, and taken up after that.
    pub lost: bool,
}

/// The whole migration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// Regions to move.
    pub regions: u64,
    /// Their pages.
    pub pages: u64,
    /// The size of a page.
    pub page_size: u32,
    /// Whether the first sync was skipped.
    pub first_sync_skipped: bool,
    /// From before the log was switched on until the first page could be chosen, in seconds.
    pub start_seconds: f64,
    /// Gets of all regions' logs.
    pub syncs: u64,
    /// Clears of a part of a log.
    pub clears: u64,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// Bytes on the connection.
    pub bytes: u64,
    /// By how much the writers were slowed at last, in percent.
    pub slowed: u8,
    /// How often a lost connection was taken up.
    pub resumed: u64,
    /// Pages that were sent again because they may not have come before it was lost.
    pub resent: u64,
    /// Whether the writers were stopped because of the time limit.
    pub forced: bool,
    /// From before the writers were stopped until the acknowledgement, in seconds.
    pub downtime_seconds: Option<f64>,
    /// All of it, in seconds.
    pub seconds: f64,
    /// Whether the other side has acknowledged that it has everything.
    pub moved: bool,
    /// What did not go well without stopping it.
    pub warnings: Vec<String>,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// The round.
    pub round: u32,
    /// Whether the writers are stopped.
    pub stopped: bool,
    /// Bytes sent.
    pub bytes: u64,
    /// Pages left to send that are known.
    pub left: u64,
    /// Bytes a second.
    pub send_rate: Option<u64>,
    /// Bytes a second that the writers made dirty, as the last sync found.
    pub dirty_rate: Option<u64>,
    /// By how much the writers are slowed, in percent.
    pub slowed: u8,
    /// Whether it will come to an end at these rates; `None` before they are known.
    pub converges: Option<bool>,
}
