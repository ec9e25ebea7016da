// SPDX-License-Identifier: GPL-2.0-or-later

//! What the other side has to know of a region to make its copy.

/// A region of memory that is moved as one: a buffer object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name at the source, for messages.
    pub id: u32,
    /// Its size in bytes, above 0.
    pub size: u64,
    /// `REEVE_BO_TYPE_*`.
    pub kind: u32,
    /// `REEVE_CACHING_*`.
    pub caching: u32,
    /// `REEVE_BO_CREATE_*` bits.
    pub flags: u32,
    /// The index of its device.
    pub device: u32,
    /// The number of pages behind its own, whose content is not moved.
    pub extra_pages: u32,
}

impl Region {
    /// Returns the number of pages whose content is moved.
    pub fn pages(&self, page_size: u32) -> u64 {
        self.size.div_ceil(u64::from(page_size))
    }
}
