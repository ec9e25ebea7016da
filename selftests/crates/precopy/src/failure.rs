// SPDX-License-Identifier: GPL-2.0-or-later

//! How a migration ends when it does not end well.

use std::error;
use std::fmt;
use std::io;

/// The side on which it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the objects are.
    Source,
    /// Where they are to go.
    Receiver,
    /// Between the two.
    Link,
}

/// When it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the first page.
    Setup,
    /// In this round, from 1 on.
    Round(u32),
    /// In this round, with the writers stopped.
    LastRound(u32),
    /// While checksums were compared.
    Compare,
    /// After the source had handed over.
    HandOver,
}

/// Why.
#[derive(Debug)]
pub enum Cause {
    /// A user or a signal asked for it.
    Cancelled,
    /// It did not get there in time.
    TimeLimit,
    /// The other side has said no, with this reason.
    Refused(String),
    /// This side does not take what the other one has, for this reason.
    Limit(String),
    /// The connection broke or was silent.
    Lost(io::Error),
    /// The other side does not keep to the protocol.
    Protocol(String),
    /// The page's copy differs from the page.
    Mismatch {
        /// The region's name at the source.
        region: u32,
        /// The page.
        page: u64,
    },
    /// The source handed over, and no answer came.
    NoAcknowledgement(io::Error),
    /// The system refused something.
    System {
        /// What was being done.
        what: String,
        /// The system's answer.
        error: io::Error,
    },
}

/// The ways of ending that a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This side could not do its part.
    Local,
    /// It was cancelled, or a limit on its time was reached.
    Cancelled,
    /// The other side said no, or cannot be understood.
    Refused,
    /// The connection was lost before the hand-over.
    Lost,
    /// The acknowledgement was lost: the source stays stopped and whole, and the receiver may have everything.
    AcknowledgementLost,
}

/// A migration that failed: on which side, when, and why.
#[derive(Debug)]
pub struct Failure {
    /// The side.
    pub side: Side,
    /// The time.
    pub stage: Stage,
    /// The reason.
    pub cause: Cause,
    /// What went wrong in addition while it was undone.
    pub also: Vec<String>,
}

impl Failure {
    /// Makes one.
    pub fn new(side: Side, stage: Stage, cause: Cause) -> Self {
        Self {
            side,
            stage,
            cause,
            also: Vec::new(),
        }
    }

    /// Returns whether it is the connection alone, so that another one could take its place.
    pub(crate) fn is_of_the_link(&self) -> bool {
        let (Cause::Lost(error) | Cause::NoAcknowledgement(error)) = &self.cause else {
            return false;
        };
        // A signal interrupts what waits for the connection.
        self.side == Side::Link && error.kind() != io::ErrorKind::Interrupted
    }

    /// Returns how it ended.
    pub fn kind(&self) -> Kind {
        match self.cause {
            Cause::Cancelled | Cause::TimeLimit => Kind::Cancelled,
            Cause::Refused(_) | Cause::Limit(_) | Cause::Protocol(_) | Cause::Mismatch { .. } => {
                Kind::Refused
            }
            Cause::Lost(ref error) if error.kind() == io::ErrorKind::Interrupted => Kind::Cancelled,
            Cause::Lost(_) => Kind::Lost,
            Cause::NoAcknowledgement(_) => Kind::AcknowledgementLost,
            Cause::System { .. } => Kind::Local,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Receiver => "receiver",
            Self::Link => "connection",
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup => f.write_str("setup"),
            Self::Round(number) => write!(f, "round {number}"),
            Self::LastRound(number) => write!(f, "round {number}, the last"),
            Self::Compare => f.write_str("comparison"),
            Self::HandOver => f.write_str("hand-over"),
        }
    }
}

/// Returns what is wrong with the connection.
fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "the other side is silent".to_owned()
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => "the other side is gone".to_owned(),
        io::ErrorKind::Interrupted => "cancelled".to_owned(),
        _ => error.to_string(),
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::TimeLimit => f.write_str("the time limit was reached"),
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::Limit(text) => f.write_str(text),
            Self::Lost(error) => f.write_str(&broken(error)),
            Self::Protocol(text) => write!(f, "protocol: {text}"),
            Self::Mismatch { region, page } => {
                write!(f, "page {page} of object {region} differs from its copy")
            }
            Self::NoAcknowledgement(error) => {
                write!(f, "no acknowledgement came: {}", broken(error))
            }
            Self::System { what, error } => write!(f, "could not {what}: {error}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.side, self.stage, self.cause)?;
        for more in &self.also {
            write!(f, "; {more}")?;
        }
        Ok(())
    }
}

impl error::Error for Failure {}
