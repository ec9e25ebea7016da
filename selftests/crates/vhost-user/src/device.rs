// SPDX-License-Identifier: GPL-2.0-or-later
//! The devices: a network card that nothing is connected to, and a disk in memory.

use std::collections::VecDeque;

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::features::{self, Feature, Features};
use crate::memory::Memory;
use crate::ring::{Chain, Piece};

/// The kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A network card: takes what is sent, and can send it back.
    Net,
    /// A disk whose image is in memory.
    Blk,
}

/// The largest frame that is sent back, with its header.
const FRAME: u64 = 65_536 + 12;
/// How many frames wait for a buffer before further ones are lost.
const FRAMES: usize = 64;
/// A disk's sector.
const SECTOR: u64 = 512;
/// The bytes of a device's configuration.
pub const CONFIG_BYTES: usize = 256;

const BLK_IN: u32 = 0;
const BLK_OUT: u32 = 1;
const BLK_FLUSH: u32 = 4;
const BLK_GET_ID: u32 = 8;
const BLK_OK: u8 = 0;
const BLK_IO_ERROR: u8 = 1;
const BLK_UNSUPPORTED: u8 = 2;

/// A device with its state.
#[derive(Debug)]
pub enum Device {
    /// A network card.
    Net {
        /// Send back what is sent.
        echo: bool,
        /// Frames that wait for a buffer, with the receiving ring.
        frames: VecDeque<(usize, Vec<u8>)>,
    },
    /// A disk.
    Blk {
        /// Its content.
        image: Vec<u8>,
    },
}

impl Device {
    /// Returns the image of a disk of that many MiB, in which every sector is different.
    pub fn pattern(mib: usize) -> Vec<u8> {
        let byte = |at: usize| (at / 512 * 7 + at % 251 + 1) as u8;
        (0..mib << 20).map(byte).collect()
    }

    /// Returns a network card.
    pub fn net(echo: bool) -> Self {
        let frames = VecDeque::new();
        Self::Net { echo, frames }
    }

    /// Returns a disk with this content.
    pub fn blk(image: Vec<u8>) -> Self {
        Self::Blk { image }
    }

    /// Returns what the device can do at most.
    pub fn features(&self) -> Features {
        let common: &[Feature] = &[
            features::LOG_ALL,
            features::PROTOCOL_FEATURES,
            features::VERSION_1,
            features::LOG_SHMFD,
            features::REPLY_ACK,
            features::CONFIGURE_MEM_SLOTS,
            features::RESET_DEVICE,
        ];
        let set = Features::of(common);
        match self {
            Self::Net { .. } => set.with(features::MQ).with(features::NET_MQ),
            Self::Blk { .. } => set.with(features::CONFIG).with(features::BLK_FLUSH),
        }
    }

    /// Returns how many rings there are.
    pub fn rings(&self, offer: Features) -> usize {
        match self {
            Self::Net { .. } if offer.has(features::MQ) => 4,
            Self::Net { .. } => 2,
            Self::Blk { .. } => 1,
        }
    }

    /// Returns the reply to GET_QUEUE_NUM: pairs of rings for a network card, as front ends understand it.
    pub fn queues(&self, offer: Features) -> u64 {
        match self {
            Self::Net { .. } => self.rings(offer) as u64 / 2,
            Self::Blk { .. } => 1,
        }
    }

    /// Returns the configuration.
    pub fn config(&self) -> [u8; CONFIG_BYTES] {
        let mut config = [0; CONFIG_BYTES];
        if let Self::Blk { image } = self {
            let sectors = image.len() as u64 / SECTOR;
            config[..8].copy_from_slice(&sectors.to_le_bytes());
            config[20..24].copy_from_slice(&(SECTOR as u32).to_le_bytes());
            config[34..36].copy_from_slice(&1_u16.to_le_bytes());
        }
        config
    }

    /// Forgets what is on its way.
    pub fn reset(&mut self) {
        if let Self::Net { frames, .. } = self {
            frames.clear();
        }
    }

    /// Tells whether the device has something to do with chains of this ring.
    pub fn wants(&self, ring: usize) -> bool {
        match self {
            Self::Net { frames, .. } if ring % 2 == 0 => frames.iter().any(|f| f.0 == ring),
            _ => true,
        }
    }

    /// Does what a chain asks for; returns how many bytes of it were written.
    pub fn serve(&mut self, ring: usize, chain: &Chain, memory: &mut Memory) -> Result<u32> {
        match self {
            Self::Net { frames, .. } if ring % 2 == 0 => {
                let at = frames.iter().position(|f| f.0 == ring);
                let frame = at.and_then(|at| frames.remove(at));
                let frame = frame.map(|frame| frame.1).unwrap_or_default();
                scatter(&chain.writable, &frame, memory)
            }
            Self::Net { echo, frames } => {
                let size = total(&chain.readable);
                if *echo && size <= FRAME && frames.len() < FRAMES {
                    frames.push_back((ring - 1, gather(&chain.readable, memory)?));
                }
                Ok(0)
            }
            Self::Blk { image } => blk(image, chain, memory),
        }
    }
}

fn blk(image: &mut [u8], chain: &Chain, memory: &mut Memory) -> Result<u32> {
    let most = image.len() as u64 + 16;
    let request = match total(&chain.readable) {
        size if size > most => Vec::new(),
        _ => gather(&chain.readable, memory)?,
    };
    let room = total(&chain.writable);
    let Some(status_at) = last_byte(&chain.writable) else {
        return Err(Error::Ring(
            "a disk's request without a byte for its status".into(),
        ));
    };
    let (mut status, mut data) = (BLK_IO_ERROR, Vec::new());
    if request.len() >= 16 {
        let start = crate::wire::long(&request, 8).saturating_mul(SECTOR);
        let out = &request[16..];
        let bytes = image.len() as u64;
        let part = |size: u64| {
            let end = start.checked_add(size)?;
            let fits = size % SECTOR == 0 && end <= bytes;
            fits.then_some(start as usize..end as usize)
        };
        match crate::wire::word(&request, 0) {
            BLK_IN => {
                if let Some(part) = part(room - 1) {
                    data.extend_from_slice(&image[part]);
                    status = BLK_OK;
                }
            }
            BLK_OUT => {
                if let Some(part) = part(out.len() as u64) {
                    image[part].copy_from_slice(out);
                    status = BLK_OK;
                }
            }
            BLK_FLUSH => status = BLK_OK,
            BLK_GET_ID => {
                data = b"reeve-vhost-peer\0\0\0\0".to_vec();
                data.truncate((room - 1).min(20) as usize);
                status = BLK_OK;
            }
            _ => status = BLK_UNSUPPORTED,
        }
    }
    let written = scatter(&chain.writable, &data, memory)?;
    memory.write(status_at, &[status])?;
    Ok(written + 1)
}

fn total(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| u64::from(piece.1)).sum()
}

fn last_byte(pieces: &[Piece]) -> Option<u64> {
    let last = pieces.iter().rev().find(|piece| piece.1 > 0)?;
    Some(last.0 + u64::from(last.1) - 1)
}

fn gather(pieces: &[Piece], memory: &Memory) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    for &(address, size) in pieces.iter().filter(|piece| piece.1 > 0) {
        let start = data.len();
        data.resize(start + size as usize, 0);
        memory.read(address, &mut data[start..])?;
    }
    Ok(data)
}

fn scatter(pieces: &[Piece], mut data: &[u8], memory: &mut Memory) -> Result<u32> {
    let mut written = 0;
    for &(address, size) in pieces {
        let part;
        (part, data) = data.split_at(data.len().min(size as usize));
        if !part.is_empty() {
            memory.write(address, part)?;
            written += part.len() as u32;
        }
    }
    Ok(written)
}
