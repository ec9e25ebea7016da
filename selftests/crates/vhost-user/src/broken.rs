// SPDX-License-Identifier: GPL-2.0-or-later
//! Deliberate mistakes of the back end, so that it can be seen that a check finds them.

use clap::ValueEnum;

/// A mistake that the back end makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Broken {
    /// Marks nothing in the log.
    MarkNothing,
    /// Marks a page, waits, and writes it then.
    MarkFirst,
    /// Marks although LOG_ALL is off.
    MarkAlways,
    /// Does not mark the used ring.
    ForgetUsed,
    /// Marks the used ring where it is instead of where the front end says.
    UsedAddress,
    /// Does not mark the last page of a range that ends inside it.
    PartPage,
    /// Does not log regions that came after the log.
    LateRegion,
    /// Goes on with the old log when a new one comes.
    OldLog,
    /// Takes a log from the start of its file.
    LogOffset,
    /// Takes a memory region from the start of its file.
    MmapOffset,
    /// Accepts regions that overlap.
    Overlap,
    /// Writes to memory after its reply to GET_VRING_BASE.
    WriteAfterStop,
    /// Finishes the last of several requests only after its reply to GET_VRING_BASE.
    FinishLate,
    /// Replies to GET_VRING_BASE with 0.
    BaseZero,
    /// Begins at index 0 whatever SET_VRING_BASE says.
    StartZero,
    /// Takes the used index to be 0 at the start.
    UsedZero,
    /// Forgets a kick that comes before the ring is enabled.
    LoseEarlyKick,
    /// Serves what is available at the start only when it is kicked.
    NeedKick,
    /// Serves rings that are disabled.
    IgnoreEnable,
    /// Disables the rings when SET_FEATURES comes.
    FeaturesDisable,
    /// Does nothing at RESET_DEVICE.
    IgnoreReset,
    /// Acknowledges only if GET_PROTOCOL_FEATURES was asked.
    ReplyAckAfterGet,
    /// Replies to SET_LOG_BASE twice when it is asked to acknowledge.
    LogReplyTwice,
    /// Keeps the memory of one connection in the next.
    KeepMemory,
    /// Keeps file descriptors of messages that it refuses.
    LeakFds,
    /// Ends at the first message that is wrong.
    Die,
}
