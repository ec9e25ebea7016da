// SPDX-License-Identifier: GPL-2.0-or-later

//! The sequence in which devices are asked to evict.
#![deny(unsafe_code)]

/// The most devices the module has.
pub const MAX_DEVICES: usize = 8;

/// The order in which devices are asked to evict.
///
/// # Invariants
///
/// The first `len` entries are the numbers `0..len`, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    order: [u8; MAX_DEVICES],
    len: u8,
}

impl Sequence {
    /// Makes one of `devices` devices, in ascending order; `None`: that is too many.
    pub fn new(devices: usize) -> Option<Self> {
        if devices > MAX_DEVICES {
            return None;
        }
        Some(Self {
            order: core::array::from_fn(|i| i as u8),
            len: devices as u8,
        })
    }

    /// Returns the devices, the one to be asked first at first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.order
            .iter()
            .take(self.len.into())
            .map(|&d| usize::from(d))
    }

    /// Moves `device` to the end, to be asked after all others.
    ///
    /// A number that is no device's changes nothing.
    pub fn move_to_tail(&mut self, device: usize) {
        let Some(used) = self.order.get_mut(..self.len.into()) else {
            return;
        };
        if let Some(at) = used.iter().position(|&d| usize::from(d) == device) {
            if let Some(rest) = used.get_mut(at..) {
                rest.rotate_left(1);
            }
        }
    }
}
