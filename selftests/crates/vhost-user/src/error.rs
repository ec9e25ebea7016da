// SPDX-License-Identifier: GPL-2.0-or-later
//! What can be wrong with what the other side sent.

use std::fmt;
use std::io;

/// A violation of the protocol by the other side, or a failure of the system underneath.
#[derive(Debug)]
pub enum Error {
    /// The version in a header is not 1.
    Version(u32),
    /// A request has the reply bit set, or a reply lacks it.
    ReplyBit,
    /// A header announces a payload of a size that its request does not have.
    Size {
        /// The request.
        code: u32,
        /// The size that the header announced.
        got: usize,
    },
    /// A message broke off, by the end of the connection or by silence.
    Short,
    /// A message has more or fewer file descriptors than it should.
    Fds {
        /// How many came.
        got: usize,
        /// How many belong to the message.
        want: usize,
    },
    /// The kernel could not hand over all file descriptors of a message.
    FdsLost,
    /// A file descriptor is of the wrong kind for its use.
    FdKind(&'static str),
    /// A request that is not known here.
    Unknown(u32),
    /// A request of a feature that was not negotiated.
    NotNegotiated(&'static str),
    /// A ring's index is out of range.
    RingIndex(u64),
    /// A field has a value that it cannot have.
    Value(&'static str, u64),
    /// A file that cannot be mapped as it is asked for.
    File(String),
    /// Memory regions that cannot be.
    Memory(String),
    /// A dirty log that cannot be.
    Log(String),
    /// Something in a ring, which the driver in the guest wrote, is wrong.
    Ring(String),
    /// The system refused something.
    Os(&'static str, io::Error),
}

/// The result of what depends on the other side.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "the header's version is {version}, not 1"),
            Self::ReplyBit => f.write_str("the header's reply bit is wrong"),
            Self::Size { code, got } => write!(f, "request {code} with a payload of {got} bytes"),
            Self::Short => f.write_str("a message broke off"),
            Self::Fds { got, want } => write!(f, "{got} file descriptors where {want} belong"),
            Self::FdsLost => f.write_str("file descriptors of a message could not be received"),
            Self::FdKind(want) => write!(f, "a file descriptor that is not {want}"),
            Self::Unknown(code) => write!(f, "request {code} is not known"),
            Self::NotNegotiated(feature) => write!(f, "{feature} was not negotiated"),
            Self::RingIndex(index) => write!(f, "there is no ring {index}"),
            Self::Value(field, value) => write!(f, "{field} cannot be {value:#x}"),
            Self::File(what) => write!(f, "mapping: {what}"),
            Self::Memory(what) => write!(f, "memory table: {what}"),
            Self::Log(what) => write!(f, "dirty log: {what}"),
            Self::Ring(what) => write!(f, "ring: {what}"),
            Self::Os(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Returns a function that wraps an error of the system with what was being done.
    pub fn os<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Os(what, error.into())
    }
}
