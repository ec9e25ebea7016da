// SPDX-License-Identifier: GPL-2.0-or-later

//! What takes the memory at the receiver.

use std::io;

use crate::Region;

/// The receiver's side of the regions, by the index in which they were made.
pub trait Sink {
    /// Returns the size of a page in bytes, a power of two.
    fn page_size(&self) -> u32;

    /// Makes the next region, without content.
    fn create(&mut self, region: &Region) -> io::Result<()>;

    /// Writes whole pages from `first` on.
    fn write(&mut self, region: usize, first: u64, bytes: &[u8]) -> io::Result<()>;

    /// Drops the region's content.
    fn empty(&mut self, region: usize) -> io::Result<()>;

    /// Returns whether the region has any content.
    fn has_content(&mut self, region: usize) -> io::Result<bool>;

    /// Copies whole pages from `first` on.
    fn read(&mut self, region: usize, first: u64, to: &mut [u8]) -> io::Result<()>;

    /// Makes the regions stay: from here on this side has them.
    fn keep(&mut self) -> io::Result<()>;

    /// Removes whatever was made. It is called once, when the migration failed.
    fn discard(&mut self);
}
