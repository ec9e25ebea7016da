// SPDX-License-Identifier: GPL-2.0-or-later

//! The frames on the connection.
//!
//! Each side first sends a [`Hello`] of fixed size, then frames: 4 bytes of type, 4 bytes of payload length, payload.
//! Numbers are little-endian. A payload has at most [`MAX_PAYLOAD`] bytes, and exactly as many as its type and its
//! fields say.

use std::io;
use std::time::Duration;

use twox_hash::XxHash3_64;

use crate::Channel;
use crate::Region;

/// What a connection begins with.
pub const MAGIC: [u8; 8] = *b"REEVEMIG";

/// The version of what follows.
pub const VERSION: u32 = 4;

/// The longest that a side which works is silent.
pub(crate) const ALIVE: Duration = Duration::from_secs(1);

/// The largest payload of content.
pub const MAX_CONTENT: usize = 64 << 10;

/// The bytes of a page's checksum.
pub const SUM: usize = 6;

/// The largest payload.
pub const MAX_PAYLOAD: usize = 16 + MAX_CONTENT;

/// The largest text of a refusal.
pub const MAX_TEXT: usize = 512;

/// The bytes of a [`Hello`].
pub const HELLO: usize = 48;

/// Those of them that every version begins with: magic, version, and what that may need.
const FIRST: usize = 24;

/// The bytes before a frame's payload: its type, and the payload's length.
pub const HEADER: usize = 8;

/// Returns the checksum of a page: the low 48 bits of its XXH3. All 64 would be 1 in 512 bytes of what is sent.
pub fn sum(page: &[u8]) -> [u8; SUM] {
    let [a, b, c, d, e, f, ..] = XxHash3_64::oneshot(page).to_le_bytes();
    [a, b, c, d, e, f]
}

/// Why bytes are no frame.
pub type Malformed = String;

/// The first bytes of either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the sender of these bytes.
    pub version: u32,
    /// The size of its pages.
    pub page_size: u32,
    /// The number of regions that follow; 0 from the receiver.
    pub regions: u32,
    /// For how many seconds this side waits for a lost connection to be there again; 0: not at all.
    pub resume: u32,
    /// Whether this connection takes up a migration whose connection was lost; always false from the receiver.
    pub again: bool,
    /// The migration's name, which no other one has; 0 from the receiver, and if it cannot be taken up.
    pub id: u128,
}

impl Hello {
    /// Returns the first bytes of a receiver, or of a sender without regions, that cannot take up a migration.
    pub fn new(page_size: u32) -> Self {
        Self {
            version: VERSION,
            page_size,
            regions: 0,
            resume: 0,
            again: false,
            id: 0,
        }
    }

    /// Returns the bytes.
    pub fn encode(&self) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.page_size.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.regions.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.resume.to_le_bytes());
        bytes[24..28].copy_from_slice(&u32::from(self.again).to_le_bytes());
        bytes[32..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// Reads one. The inner result says that these are no such bytes.
    pub fn receive(channel: &mut impl Channel) -> io::Result<Result<Self, Malformed>> {
        let mut bytes = [0; HELLO];
        // Another version may have fewer, and then wait for an answer.
        channel.read(&mut bytes[..FIRST])?;
        if let Err(text) = Self::version(&bytes) {
            return Ok(Err(text));
        }
        channel.read(&mut bytes[FIRST..])?;
        Ok(Self::parse(&bytes))
    }

    /// Takes what says that the rest can be understood.
    fn version(bytes: &[u8; HELLO]) -> Result<u32, Malformed> {
        let mut fields = Fields(bytes);
        if fields.take(8)? != MAGIC {
            return Err("the other side is no migration".to_owned());
        }
        match fields.u32()? {
            VERSION => Ok(VERSION),
            other => Err(format!(
                "the other side has version {other}, this one {VERSION}"
            )),
        }
    }

    fn parse(bytes: &[u8; HELLO]) -> Result<Self, Malformed> {
        let version = Self::version(bytes)?;
        let mut fields = Fields(&bytes[12..]);
        let (page_size, regions, resume) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let again = match fields.u32()? {
            0 => false,
            1 => true,
            other => return Err(format!("a connection of kind {other}")),
        };
        zero(fields.u32()?)?;
        let id = u128::from(fields.u64()?) | u128::from(fields.u64()?) << 64;
        Ok(Self {
            version,
            page_size,
            regions,
            resume,
            again,
            id,
        })
    }
}

/// What is said after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A region; the receiver numbers them from 0.
    Region(Region),
    /// The receiver made all regions.
    Ready,
    /// Whole pages of a region.
    Pages {
        /// The region.
        region: u32,
        /// The first page.
        first: u64,
        /// Their content.
        bytes: &'a [u8],
    },
    /// Pages of zeros.
    Zeros {
        /// The region.
        region: u32,
        /// The first page.
        first: u64,
        /// How many.
        count: u64,
    },
    /// The region has no content.
    Empty {
        /// The region.
        region: u32,
    },
    /// This side is there.
    Alive,
    /// The end of a round.
    Round(u32),
    /// The receiver has come to the end of that round.
    Reached(u32),
    /// Checksums of pages, [`SUM`] bytes each, from the first page of the first region on.
    Sums {
        /// The region.
        region: u32,
        /// The first page.
        first: u64,
        /// The checksums.
        sums: &'a [u8],
    },
    /// Pages that need not be compared.
    Skip {
        /// The region.
        region: u32,
        /// The first page.
        first: u64,
        /// How many.
        count: u64,
    },
    /// The region has no content, which is compared, too.
    StillEmpty {
        /// The region.
        region: u32,
    },
    /// All checksums were sent.
    Compare,
    /// They are those of the copies.
    Equal,
    /// A page's copy is not the page.
    Differs {
        /// The region.
        region: u32,
        /// The page.
        page: u64,
    },
    /// The receiver has the regions now.
    HandOver,
    /// It does.
    Acknowledge,
    /// This side goes no further.
    Refuse(&'a str),
    /// The sender asks to be told when everything before this has come.
    Mark,
    /// It has.
    Marked,
    /// The sender goes on after a lost connection, with this round.
    Resume(u32),
    /// The receiver has taken so many frames of content, of all connections together.
    Resumed(u64),
}

/// Fields of a payload, from the left.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| "a frame is too short".to_owned())?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?.try_into().map_err(|_| "too short")?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?.try_into().map_err(|_| "too short")?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

impl<'a> Frame<'a> {
    /// Returns the number of the frame's type.
    pub fn code(&self) -> u32 {
        match self {
            Self::Region(_) => 1,
            Self::Ready => 2,
            Self::Pages { .. } => 3,
            Self::Zeros { .. } => 4,
            Self::Empty { .. } => 5,
            Self::Alive => 6,
            Self::Round(_) => 7,
            Self::Reached(_) => 8,
            Self::Sums { .. } => 9,
            Self::Skip { .. } => 10,
            Self::StillEmpty { .. } => 11,
            Self::Compare => 12,
            Self::Equal => 13,
            Self::Differs { .. } => 14,
            Self::HandOver => 15,
            Self::Acknowledge => 16,
            Self::Refuse(_) => 17,
            Self::Mark => 18,
            Self::Marked => 19,
            Self::Resume(_) => 20,
            Self::Resumed(_) => 21,
        }
    }

    /// Puts the frame's bytes into `to`, replacing what is there.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.clear();
        to.extend_from_slice(&self.code().to_le_bytes());
        to.extend_from_slice(&[0; 4]);
        match self {
            Self::Region(region) => {
                for field in [
                    region.id,
                    region.kind,
                    region.caching,
                    region.flags,
                    region.device,
                    region.extra_pages,
                ] {
                    to.extend_from_slice(&field.to_le_bytes());
                }
                to.extend_from_slice(&region.size.to_le_bytes());
            }
            Self::Pages {
                region,
                first,
                bytes,
            }
            | Self::Sums {
                region,
                first,
                sums: bytes,
            } => {
                to.extend_from_slice(&region.to_le_bytes());
                to.extend_from_slice(&[0; 4]);
                to.extend_from_slice(&first.to_le_bytes());
                to.extend_from_slice(bytes);
            }
            Self::Zeros {
                region,
                first,
                count,
            }
            | Self::Skip {
                region,
                first,
                count,
            } => {
                to.extend_from_slice(&region.to_le_bytes());
                to.extend_from_slice(&[0; 4]);
                to.extend_from_slice(&first.to_le_bytes());
                to.extend_from_slice(&count.to_le_bytes());
            }
            Self::Differs { region, page } => {
                to.extend_from_slice(&region.to_le_bytes());
                to.extend_from_slice(&[0; 4]);
                to.extend_from_slice(&page.to_le_bytes());
            }
            Self::Empty { region: number }
            | Self::StillEmpty { region: number }
            | Self::Round(number)
            | Self::Reached(number)
            | Self::Resume(number) => to.extend_from_slice(&number.to_le_bytes()),
            Self::Resumed(frames) => to.extend_from_slice(&frames.to_le_bytes()),
            Self::Refuse(text) => {
                let mut end = text.len().min(MAX_TEXT);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                to.extend_from_slice(&text.as_bytes()[..end]);
            }
            Self::Ready
            | Self::Alive
            | Self::Compare
            | Self::Equal
            | Self::HandOver
            | Self::Acknowledge
            | Self::Mark
            | Self::Marked => {}
        }
        let length = (to.len() - HEADER) as u32;
        to[4..8].copy_from_slice(&length.to_le_bytes());
    }

    fn parse(code: u32, payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(payload);
        let frame = match code {
            1 => Self::Region(Region {
                id: fields.u32()?,
                kind: fields.u32()?,
                caching: fields.u32()?,
                flags: fields.u32()?,
                device: fields.u32()?,
                extra_pages: fields.u32()?,
                size: fields.u64()?,
            }),
            2 => Self::Ready,
            3 | 9 => {
                let region = fields.u32()?;
                zero(fields.u32()?)?;
                let first = fields.u64()?;
                let rest = fields.rest();
                if code == 3 {
                    Self::Pages {
                        region,
                        first,
                        bytes: rest,
                    }
                } else {
                    Self::Sums {
                        region,
                        first,
                        sums: rest,
                    }
                }
            }
            4 | 10 => {
                let region = fields.u32()?;
                zero(fields.u32()?)?;
                let (first, count) = (fields.u64()?, fields.u64()?);
                if code == 4 {
                    Self::Zeros {
                        region,
                        first,
                        count,
                    }
                } else {
                    Self::Skip {
                        region,
                        first,
                        count,
                    }
                }
            }
            5 => Self::Empty {
                region: fields.u32()?,
            },
            6 => Self::Alive,
            7 => Self::Round(fields.u32()?),
            8 => Self::Reached(fields.u32()?),
            11 => Self::StillEmpty {
                region: fields.u32()?,
            },
            12 => Self::Compare,
            13 => Self::Equal,
            14 => {
                let region = fields.u32()?;
                zero(fields.u32()?)?;
                Self::Differs {
                    region,
                    page: fields.u64()?,
                }
            }
            15 => Self::HandOver,
            16 => Self::Acknowledge,
            17 => {
                let text = fields.rest();
                if text.len() > MAX_TEXT {
                    return Err("a text is too long".to_owned());
                }
                let text = std::str::from_utf8(text);
                Self::Refuse(text.map_err(|_| "a text is not UTF-8".to_owned())?)
            }
            18 => Self::Mark,
            19 => Self::Marked,
            20 => Self::Resume(fields.u32()?),
            21 => Self::Resumed(fields.u64()?),
            other => return Err(format!("there is no frame of type {other}")),
        };
        if !fields.0.is_empty() {
            return Err(format!("a frame of type {code} is too long"));
        }
        Ok(frame)
    }

    /// Reads a frame, with its payload in `buffer`. The inner result says that these bytes are none.
    pub fn receive(
        channel: &mut impl Channel,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<Result<Self, Malformed>> {
        let mut header = [0; HEADER];
        channel.read(&mut header)?;
        let mut fields = Fields(&header);
        let (Ok(code), Ok(length)) = (fields.u32(), fields.u32()) else {
            return Ok(Err("a frame is too short".to_owned()));
        };
        let length = length as usize;
        if length > MAX_PAYLOAD {
            return Ok(Err(format!("a frame of {length} bytes")));
        }
        buffer.resize(length, 0);
        channel.read(buffer)?;
        Ok(Self::parse(code, buffer))
    }
}

fn zero(reserved: u32) -> Result<(), Malformed> {
    match reserved {
        0 => Ok(()),
        _ => Err("a reserved field is not 0".to_owned()),
    }
}

/// Returns a text of the other side as it can be shown.
pub(crate) fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame<'static>> {
        vec![
            Frame::Region(Region {
                id: 1,
                size: 2,
                kind: 3,
                caching: 4,
                flags: 5,
                device: 6,
                extra_pages: 7,
            }),
            Frame::Ready,
            Frame::Pages {
                region: 1,
                first: 2,
                bytes: &[3; 64],
            },
            Frame::Zeros {
                region: 1,
                first: 2,
                count: 3,
            },
            Frame::Empty { region: 9 },
            Frame::Alive,
            Frame::Round(4),
            Frame::Reached(5),
            Frame::Sums {
                region: 1,
                first: 2,
                sums: &[3; 8],
            },
            Frame::Skip {
                region: 1,
                first: 2,
                count: 3,
            },
            Frame::StillEmpty { region: 9 },
            Frame::Compare,
            Frame::Equal,
            Frame::Differs { region: 1, page: 2 },
            Frame::HandOver,
            Frame::Acknowledge,
            Frame::Refuse("no"),
            Frame::Mark,
            Frame::Marked,
            Frame::Resume(6),
            Frame::Resumed(1 << 40),
        ]
    }

    #[test]
    fn frames_come_back() {
        let mut bytes = Vec::new();
        for frame in frames() {
            frame.encode(&mut bytes);
            assert_eq!(
                bytes.len() - HEADER,
                bytes[4] as usize + (bytes[5] as usize) * 256
            );
            assert_eq!(Frame::parse(frame.code(), &bytes[HEADER..]), Ok(frame));
        }
    }

    #[test]
    fn sizes_have_to_be_right() {
        let mut bytes = Vec::new();
        for frame in frames() {
            let open = matches!(
                frame,
                Frame::Pages { .. } | Frame::Sums { .. } | Frame::Refuse(_)
            );
            frame.encode(&mut bytes);
            let payload = &bytes[HEADER..];
            if !open {
                for end in 0..payload.len() {
                    assert!(Frame::parse(frame.code(), &payload[..end]).is_err());
                }
                let longer = [payload, &[0]].concat();
                assert!(Frame::parse(frame.code(), &longer).is_err(), "{frame:?}");
            }
        }
        assert!(Frame::parse(0, &[]).is_err() && Frame::parse(22, &[]).is_err());
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "é".repeat(MAX_TEXT);
        let mut bytes = Vec::new();
        Frame::Refuse(&format!("x{long}")).encode(&mut bytes);
        let Ok(Frame::Refuse(text)) = Frame::parse(17, &bytes[HEADER..]) else {
            panic!("no refusal");
        };
        assert_eq!(text.len(), MAX_TEXT - 1);
        assert_eq!(shown("a\x1b[2Jb\n"), "a [2Jb ");
    }

    #[test]
    fn other_versions_are_named() {
        let hello = Hello {
            version: 7,
            ..Hello::new(4096)
        };
        let error = Hello::parse(&hello.encode()).unwrap_err();
        assert_eq!(error, "the other side has version 7, this one 4");
        let mut bytes = hello.encode();
        bytes[0] = b'X';
        assert!(Hello::parse(&bytes).unwrap_err().contains("no migration"));
    }

    #[test]
    fn first_words_come_back() {
        let hello = Hello {
            version: VERSION,
            page_size: 1,
            regions: 2,
            resume: 3,
            again: true,
            id: 0x1234_5678_9abc_def0_0fed_cba9_8765_4321,
        };
        let bytes = hello.encode();
        assert_eq!(Hello::parse(&bytes), Ok(hello));
        for (at, text) in [(24, "kind 3"), (28, "reserved")] {
            let mut wrong = bytes;
            wrong[at] = 3;
            let error = Hello::parse(&wrong).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
