// SPDX-License-Identifier: GPL-2.0-or-later

//! The memory that is moved, with its dirty log.

use std::io;

use crate::Bitmap;
use crate::Region;

/// How a log that was switched on works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogMode {
    /// A get hands out the bits and clears them.
    Legacy,
    /// Get and clear are apart.
    Manual,
    /// Get and clear are apart, and all bits are set at first.
    InitiallySet,
}

/// Memory with a dirty log per region: the module's objects, or a model.
///
/// Regions are named by their index in [`Source::regions`].
pub trait Source {
    /// Returns the size of a page in bytes, a power of two.
    fn page_size(&self) -> u32;

    /// Returns the regions to move.
    fn regions(&self) -> &[Region];

    /// Switches a fresh log on. Returns how it works, as it says itself once it is on. Fails if the region has a log
    /// already: what another user of it has cleared is unknown.
    fn start(&mut self, region: usize) -> io::Result<LogMode>;

    /// Switches the log off.
    fn stop(&mut self, region: usize) -> io::Result<()>;

    /// Fills `bitmap`, which has a bit for each page, with the dirty pages.
    fn get(&mut self, region: usize, bitmap: &mut Bitmap) -> io::Result<()>;

    /// Clears those of `pages` pages from `first` on whose bit in `mask` is set; bit 0 is `first`. Afterwards each write
    /// to one of them is logged again.
    fn clear(&mut self, region: usize, first: u64, pages: u64, mask: &[u64]) -> io::Result<()>;

    /// Copies whole pages from `first` on.
    fn read(&mut self, region: usize, first: u64, to: &mut [u8]) -> io::Result<()>;

    /// Returns whether the region has any content. Without, reading it would make pages.
    fn has_content(&mut self, region: usize) -> io::Result<bool>;

    /// Returns whether the content of the page is of no use to anyone now, so that it need not be sent. It is asked after
    /// the page's log was cleared: what is written from then on is logged.
    fn is_discarded(&mut self, region: usize, page: u64) -> io::Result<bool> {
        let _ = (region, page);
        Ok(false)
    }

    /// Frees all regions: the other side has them.
    fn release(&mut self) -> io::Result<()>;
}
