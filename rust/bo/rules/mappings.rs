// SPDX-License-Identifier: GPL-2.0-or-later

//! The arithmetic of user mappings: where objects are in an open file, and how many pages a fault
//! maps.
#![deny(unsafe_code)]

use super::page_runs::MAX_ORDER;

/// First page that can be given out. Below is nothing, so that an offset that was never asked for
/// finds nothing either.
pub const FIRST: u64 = 1 << 20;

/// Behind the last page that can be given out: what a 32-bit program can name.
pub const END: u64 = 1 << 32;

/// Pages that are mapped around the one that was touched, where there are as many.
pub const AROUND: u64 = 16;

/// Gives out ranges of pages of an open file.
///
/// A free range is not given out again until everything behind it was, so that a stale offset
/// hits nothing rather than something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    next: u64,
}

impl Offsets {
    /// Of a file where nothing was given out yet.
    pub const fn new() -> Self {
        Self { next: FIRST }
    }

    /// A range of `pages` pages; `None`: no room. Ranges as large as a large block start where one
    /// could, so that addresses can be chosen that are mapped with one entry.
    ///
    /// `taken(page)` is the lowest range in use that ends behind `page`, as first page and end.
    pub fn give(&mut self, pages: u64, taken: impl Fn(u64) -> Option<(u64, u64)>) -> Option<u64> {
        let align = if pages >> MAX_ORDER != 0 {
            1 << MAX_ORDER
        } else {
            1
        };
        let mut wrapped = false;
        let mut at = self.next;
        loop {
            at = at.next_multiple_of(align);
            match at.checked_add(pages) {
                Some(end) if end <= END => match taken(at) {
                    Some((first, end_of_it)) if first < end => at = end_of_it,
                    _ => {
                        self.next = end;
                        return Some(at);
                    }
                },
                _ if wrapped => return None,
                _ => {
                    wrapped = true;
                    at = FIRST;
                }
            }
        }
    }
}

impl Default for Offsets {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the pages to map when page `index` is touched, of those from `first` up to `end`.
pub const fn around(index: u64, first: u64, end: u64) -> (u64, u64) {
    let low = index - index % AROUND;
    let high = low.saturating_add(AROUND);
    (
        if low < first { first } else { low },
        if high > end { end } else { high },
    )
}
